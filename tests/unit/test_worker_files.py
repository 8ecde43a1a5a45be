"""From a FID to an open file: the hint is not trusted, links are not followed, the FID decides."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import cast

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.jobs.messages import Job, JobItem
from lustre_events.sources.local_fid import fid_of_fd, fid_of_path
from lustre_events.streams.memory import MemoryResults, MemoryStore
from tests.support.rows import each_row
from workers.context import WorkerContext
from workers.extraction import extract
from workers.files import Files, fid_of_lustre_fd
from workers.runs import Runtime


def item(path: Path, hint: bytes) -> JobItem:
    """Return the job's item for the object at `path` that was last seen at `hint`."""
    return JobItem(fid_of_path(os.fsencode(path)), 1, hint)


def test_right_file_is_opened(tmp_path: Path) -> None:
    """A file that is where the hint says, with its FID, is opened; its generated extension is harmless."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.CSV").write_text("x")

    opened = Files(os.fsencode(tmp_path), fid_of_fd).open(item(tmp_path / "a" / "b.CSV", b"a/b.CSV"))

    assert opened is not None
    with opened:
        assert opened.path == os.fsencode(tmp_path / "a" / "b.CSV")
        assert opened.regular
        assert opened.suffix == ".csv"
        assert opened.facts()["size"] == 1


@each_row("name", [b"a", b"a.", b"a.toolongext", b"a.c v", b"a.\xff", b"a.c,v", b"a/b", b".csv"])
def test_odd_extensions_are_dropped(tmp_path: Path, name: bytes) -> None:
    """Only letters and digits of an extension get into a generated name."""
    path = tmp_path / os.fsdecode(name)
    path.parent.mkdir(exist_ok=True)
    path.touch()

    opened = Files(os.fsencode(tmp_path), fid_of_fd).open(item(path, name))

    assert opened is not None
    with opened:
        assert opened.suffix == ""


@each_row("hint", [b"gone", b"other", b"link", b"down/b", b"d/../b", b"b/c", b"../x", b"d"])
def test_hint_that_leads_elsewhere_is_gone(tmp_path: Path, hint: bytes) -> None:
    """A missing name, another file, a symbolic link anywhere on the way, and a way upwards are all: gone."""
    for name in ("b", "other"):
        (tmp_path / name).write_text("x")
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to("b")
    (tmp_path / "down").symlink_to(".")

    assert Files(os.fsencode(tmp_path), fid_of_fd).open(item(tmp_path / "b", hint)) is None


def test_root_is_the_mount_point(tmp_path: Path) -> None:
    """The root directory has ROOT_FID, whatever its own FID is."""
    opened = Files(os.fsencode(tmp_path), fid_of_fd).open(JobItem(ROOT_FID, 1, b""))

    assert opened is not None
    with opened:
        assert opened.facts()["type"] == "d"


def test_path_by_the_file_system_wins_over_the_hint(tmp_path: Path) -> None:
    """Where the file system tells a FID's path the hint does not count, and it is believed for special files."""
    (tmp_path / "now").write_text("x")
    os.mkfifo(tmp_path / "fifo")
    paths = {FID(1, 1, 0): [b"now"], FID(1, 2, 0): [b"fifo"]}

    def fid_of(fd: int) -> FID | None:
        return FID(1, 1, 0) if stat.S_ISREG(os.fstat(fd).st_mode) else None

    files = Files(os.fsencode(tmp_path), fid_of, lambda fid: paths.get(fid, []))

    found = [files.open(JobItem(fid, 1, b"before")) for fid in (FID(1, 1, 0), FID(1, 2, 0), FID(1, 3, 0))]

    assert [one and one.path.rsplit(b"/", 1)[1] for one in found] == [b"now", b"fifo", None]
    for one in found:
        if one is not None:
            os.close(one.fd)


def test_special_files_are_not_opened_to_learn_their_fid(tmp_path: Path) -> None:
    """A fifo is not opened: that could wake its writer, or wait for one."""
    os.mkfifo(tmp_path / "fifo")
    fd = os.open(tmp_path / "fifo", os.O_PATH)
    try:
        assert fid_of_lustre_fd(fd) is None
    finally:
        os.close(fd)


def test_a_file_deeper_than_a_path_can_be_is_seen_and_its_failure_says_why(tmp_path: Path) -> None:
    """Its facts are read step by step; no program is told a path that it could not open, and the reason is kept."""
    at = os.open(tmp_path, os.O_DIRECTORY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=at)
        above, at = at, os.open("d" * 200, os.O_DIRECTORY, dir_fd=at)
        os.close(above)
    file = os.open("deep.j", os.O_CREAT | os.O_WRONLY, dir_fd=at)
    deep = JobItem(fid_of_fd(file), 1, b"/".join([b"d" * 200] * 25) + b"/deep.j")
    files = Files(os.fsencode(tmp_path), fid_of_fd)
    context = WorkerContext(
        manifests={}, runtime=cast("Runtime", None), host="here", job_seconds=60,
        results=MemoryResults(MemoryStore()), files=files,
    )  # fmt: skip

    try:
        with files.open(deep) as opened:
            assert opened.facts()["size"] == 0
        [(_, found, _)] = extract(Job("j", "echo", 1, os.getuid(), (deep,)), context, time.monotonic())
        assert (found.status, found.error) == (
            "failed",
            "its path is longer than 4095 bytes: no program can open it",
        )
    finally:
        os.close(file)
        os.close(at)
