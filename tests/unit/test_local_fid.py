"""FIDs of local objects, and the statx below them."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.llapi.statx import Statx, statx
from lustre_events.sources.local_fid import fid_of, fid_of_fd, fid_of_path

SHARED_MEMORY = Path("/dev/shm")


CLOCK_REALTIME_COARSE = 5
"""Linux's clock of births (linux/time.h); Python has no name for it."""


@pytest.fixture(params=["disk", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder on the file system of temporary files, and one on tmpfs."""
    if request.param == "disk":
        yield tmp_path
        return
    if not SHARED_MEMORY.is_dir():
        pytest.skip("no tmpfs here")
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as folder:
        yield Path(folder)


def every_type(folder: Path) -> list[Path]:
    """Make an object of each type that needs no rights."""
    paths = [folder / name for name in ("file", "link", "dangling", "fifo", "socket")]
    paths[0].write_text("x")
    paths[1].symlink_to("file")
    paths[2].symlink_to("nowhere")
    os.mkfifo(paths[3])
    folder_fd = os.open(folder, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{folder_fd}/socket")  # the path itself could be too long for a socket
    os.close(folder_fd)
    return paths


def test_the_fid_is_the_same_whichever_way_it_was_found(folder: Path) -> None:
    """By path, by directory and name, by O_PATH descriptor and by open file: one FID per object, of every type."""
    folder_fd = os.open(folder, os.O_PATH)
    fids = {fid_of_fd(folder_fd)}
    for path in every_type(folder):
        fd = os.open(path, os.O_PATH | os.O_NOFOLLOW)
        fid = fid_of_fd(fd)
        os.close(fd)
        fids.add(fid)

        assert fid == fid_of_path(os.fsencode(path)) == fid_of_path(os.fsencode(path.name), folder_fd)
    os.close(folder_fd)
    with (folder / "file").open() as file:
        assert fid_of_fd(file.fileno()) == fid_of_path(os.fsencode(folder / "file"))
    assert len(fids) == 6


def test_the_fid_stays_while_the_object_lives(folder: Path) -> None:
    """Writing, changing attributes, linking and renaming change nothing."""
    path = folder / "a"
    path.write_text("x")
    fid = fid_of_path(os.fsencode(path))
    path.write_text("longer")
    path.chmod(0o600)
    os.utime(path, (1, 1))
    (folder / "b").hardlink_to(path)
    path.rename(folder / "c")

    assert fid == fid_of_path(os.fsencode(folder / "b")) == fid_of_path(os.fsencode(folder / "c"))


def test_a_new_file_is_another_object_although_the_inode_is_used_again(folder: Path) -> None:
    """A file removed and made again has another FID, for it was born later."""
    path = folder / "a"
    fids = set()
    for _ in range(20):
        path.write_text("x")
        fids.add(fid_of_path(os.fsencode(path)))
        path.unlink()
        tick = time.clock_gettime_ns(CLOCK_REALTIME_COARSE)
        deadline = time.monotonic() + 5
        while time.clock_gettime_ns(CLOCK_REALTIME_COARSE) == tick:
            assert time.monotonic() < deadline

    assert len(fids) == 20


def test_no_local_fid_is_one_of_lustre_s_special_ones() -> None:
    """The version is never 0, even where device and birth are unknown; every part fits the wire."""
    nothing = Statx(0x200000007, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    everything = Statx(2**64 - 1, 0o177777, 1, 0, 0, 0, 0, 0, 2**63, 2**32 - 1, 2**32 - 1, 0)

    assert fid_of(nothing).ver == 1
    assert fid_of(nothing) != ROOT_FID
    assert FID.unpack(fid_of(everything).pack()) == fid_of(everything)


def test_statx_agrees_with_stat(folder: Path) -> None:
    """What both calls know is the same in both, for every type and without following links."""
    for path in every_type(folder):
        facts, reference = statx(os.fsencode(path)), path.lstat()

        assert (facts.ino, facts.mode, facts.nlink, facts.uid, facts.gid, facts.size) == (
            reference.st_ino,
            reference.st_mode,
            reference.st_nlink,
            reference.st_uid,
            reference.st_gid,
            reference.st_size,
        )
        assert (facts.mtime_ns, facts.ctime_ns) == (reference.st_mtime_ns, reference.st_ctime_ns)
        assert os.makedev(facts.dev_major, facts.dev_minor) == reference.st_dev
        assert 0 <= facts.btime_ns <= facts.ctime_ns


def test_statx_of_nothing_is_an_os_error(tmp_path: Path) -> None:
    """The kernel's answer arrives as the exception that Python has for it, with the path."""
    with pytest.raises(FileNotFoundError, match="gone"):
        statx(os.fsencode(tmp_path / "gone"))
