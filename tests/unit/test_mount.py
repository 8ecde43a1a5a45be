"""Paths as users have them: below the mount point, and back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lustre_events.index.mount import Mount
from tests.support.rows import each_row

MOUNT = Mount.at("/mnt/lustre/")
NAMES = st.lists(
    st.binary(min_size=1, max_size=5).filter(lambda name: b"/" not in name and name not in {b".", b".."}),
    min_size=1,
)


@each_row(
    ("typed", "cwd", "path"),
    [
        (b"/mnt/lustre/a/b", b"", b"a/b"),
        (b"/mnt/lustre", b"", b""),
        (b"/mnt/lustre2/a", b"", b"mnt/lustre2/a"),
        (b"/a/b/", b"", b"a/b"),
        (b"a/b", b"/home/ada", b"a/b"),
        (b"b", b"/mnt/lustre/a", b"a/b"),
        (b"lustre/a/b", b"/mnt", b"a/b"),
        (b"../../mnt/lustre/a", b"/home/ada", b"a"),
        (b"../c/./b", b"/mnt/lustre/a", b"c/b"),
        (b".", b"/mnt/lustre", b""),
        (b"/mnt/lustre/a/../b\xff", b"/mnt/lustre/x", b"b\xff"),
        (b"/", b"/mnt/lustre", b""),
    ],
)
def test_what_is_typed_is_found(typed: bytes, cwd: bytes, path: bytes) -> None:
    """A path below the mount, relative to a directory there, or from the root on, is the same."""
    assert MOUNT.inside(typed, cwd) == path


@given(NAMES)
def test_what_is_printed_is_taken(names: list[bytes]) -> None:
    """Whatever bytes a name has, the path that is printed is taken back as the same."""
    path = b"/".join(names)
    for mount in (MOUNT, Mount.at("/"), Mount.at("")):
        assert mount.inside(mount.whole(path)) == path
        assert mount.whole(path).startswith(b"/")
    assert (MOUNT.whole(b"/"), Mount.at("/").whole(b"/")) == (b"/mnt/lustre", b"/")


@each_row(
    ("query", "meant"),
    [
        ("path:/mnt/lustre/a/**", "path:/a/**"),
        ('size:>1 AND NOT path:"/mnt/lustre/a b"', 'size:>1 AND NOT path:"/a b"'),
        ("(path:/mnt/lustre)", "(path:/)"),
        ("path:(/mnt/lustre/a OR x)", "path:(/a OR x)"),
        ("path:/mnt/lustre2/a", "path:/mnt/lustre2/a"),
        ("xpath:/mnt/lustre/a", "xpath:/mnt/lustre/a"),
        ("name:/mnt/lustre/a", "name:/mnt/lustre/a"),
    ],
)
def test_a_path_in_a_query_may_be_whole(query: str, meant: str) -> None:
    """Behind `path:` the mount point may stand; everything else is left as it is."""
    assert MOUNT.query(query) == meant
    assert Mount.at("/").query(query) == query
