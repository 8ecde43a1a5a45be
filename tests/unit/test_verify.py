"""What `verify` prints of a difference."""

from __future__ import annotations

from lustre_events.index.search.hits import printable
from lustre_events.repair.verify import MISSING, Difference
from tests.support.records.builders import fid_of


def test_a_difference_names_the_path_as_search_does() -> None:
    """A name looks the same in `verify` as in `search`, and two names never look alike."""
    names = ("café.txt".encode(), b"caf\xe9.txt", b"caf\\xe9.txt", b"two\nlines")
    lines = [Difference(MISSING, name, fid_of(1), fid_of(2)).line() for name in names]
    assert lines == [f"missing in the index: {printable(name)}" for name in names]
    assert lines[0] == "missing in the index: café.txt"
    assert len(set(lines)) == len(names)


def test_the_mount_itself_has_a_name() -> None:
    """A difference about the directory at the mount is not printed without any name."""
    assert Difference(MISSING, b"", fid_of(1), fid_of(2)).line() == "missing in the index: ."
