"""All names of a FID, or why not."""

from __future__ import annotations

import errno

import pytest

from lustre_events import llapi
from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.errors import (
    ChangelogError,
    ChangelogRefused,
    ChangelogUnavailable,
)
from tests.support.servers.standin import Standin

FILE = FID(0x200000401, 5)


def test_fid2path_gives_all_names(standin: Standin, library: llapi.Library) -> None:
    """All hard links come, as bytes, relative to the root of the file system."""
    names = [b"run/a", b"run/b \n\xff", b"c"]
    standin.set_mount("/mnt/lustre")
    for name in names:
        standin.add_path(str(FILE), name)
    standin.add_path(str(ROOT_FID), b"")

    assert llapi.fid2path(library, "/mnt/lustre", FILE) == names
    assert llapi.fid2path(library, b"/mnt/lustre", ROOT_FID) == [b""]


def test_fid2path_gives_one_name_once(standin: Standin, library: llapi.Library) -> None:
    """A name that the walk meets twice is in the answer once."""
    standin.set_mount("/mnt/lustre")
    for name in (b"a", b"a", b"b"):
        standin.add_path(str(FILE), name)

    assert llapi.fid2path(library, "/mnt/lustre", FILE) == [b"a", b"b"]


def test_fid2path_of_an_object_that_is_gone_is_empty(standin: Standin, library: llapi.Library) -> None:
    """Gone is normal: no names, no error, for ENOENT and for ESTALE."""
    standin.set_mount("/mnt/lustre")
    assert llapi.fid2path(library, "/mnt/lustre", FILE) == []

    standin.fail_next("fid2path", errno.ESTALE)
    assert llapi.fid2path(library, "/mnt/lustre", FILE) == []


def test_fid2path_of_an_object_that_goes_during_the_walk_is_empty(standin: Standin, library: llapi.Library) -> None:
    """An object that is gone when its second name is asked for has no name any more."""
    standin.set_mount("/mnt/lustre")
    standin.add_path(str(FILE), b"a")
    standin.add_path(str(FILE), b"b")
    asked: list[str] = []
    real = library.call

    def call(name: str, *arguments: object) -> int:
        asked.append(name)
        if len(asked) == 2:
            standin.fail_next("fid2path", errno.ENOENT)
        return real(name, *arguments)

    vanishing = llapi.Library(library.path, {name: lambda *a, n=name: call(n, *a) for name in ["llapi_fid2path"]})

    assert llapi.fid2path(vanishing, "/mnt/lustre", FILE) == []
    assert len(asked) == 2


def test_fid2path_of_a_long_path_grows_its_buffer(standin: Standin, library: llapi.Library) -> None:
    """A path longer than PATH_MAX comes whole."""
    long = b"/".join([b"d" * 250] * 30)
    standin.set_mount("/mnt/lustre")
    standin.add_path(str(FILE), long)

    assert llapi.fid2path(library, "/mnt/lustre", FILE) == [long]


@pytest.mark.parametrize(
    ("mount", "error", "kind", "words"),
    [
        ("/mnt/lustre", errno.EPERM, ChangelogUnavailable, "run as root or mount with user_fid2path"),
        ("/mnt/lustre", errno.EINVAL, ChangelogRefused, "check that it is a FID of this file system"),
        ("/mnt/lustre", errno.EIO, ChangelogUnavailable, "lfs check mds"),
        ("/mnt/lustre", errno.ERANGE, ChangelogUnavailable, "ERANGE"),
        ("/tmp", 0, ChangelogUnavailable, "/tmp: not a mounted Lustre file system"),
        ("/\0", 0, ChangelogRefused, "zero byte"),
    ],
)
def test_fid2path_failures(
    *, standin: Standin, library: llapi.Library, mount: str, error: int, kind: type[ChangelogError], words: str
) -> None:
    """Each failure says what to do, and an ERANGE without end ends."""
    standin.set_mount("/mnt/lustre")
    if error:
        standin.fail_next("fid2path", error, times=99)

    with pytest.raises(kind) as caught:
        llapi.fid2path(library, mount, FILE)
    assert words in str(caught.value)
