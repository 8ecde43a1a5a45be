"""A good neighbour: what lies on tape stays there, what is large is not copied, reading leaves no trace."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lustre_events.catalog.manifest import Manifest
from lustre_events.jobs.messages import STAT, Job, JobItem, Result, encode_job
from lustre_events.sources.local_fid import fid_of_fd, fid_of_path
from lustre_events.streams.memory import MemoryResults, MemoryStore
from tests.support.service.images import REPOSITORY, write_extractor, write_file
from workers import jobs, no_atime
from workers.container import ContainerRuntime
from workers.context import CURRENT, WorkerContext
from workers.files import Files, OpenFile, released_lustre_fd
from workers.privileges import Account, account_for
from workers.runs import RunOutcome

TERABYTE = 1 << 40
SIZE = "import extractor_batch, os\nextractor_batch.run(lambda path: {'size': os.stat(path).st_size})\n"


class Recorder:
    """A runtime that reads nothing and remembers what it was given."""

    def __init__(self) -> None:
        self.given: list[bytes] = []

    def describe(self) -> str:
        """Say what it is."""
        return "a recorder"

    def acting_as(self, account: Account | None) -> Recorder:
        """Be itself."""
        return self

    def prepare(self, manifests: object) -> list[str]:
        """Have nothing to do."""
        return []

    def provenance(self, manifest: Manifest) -> dict[str, Any]:
        """Name no image."""
        return {"image_digest": ""}

    def run(self, manifest: Manifest, files: Sequence[OpenFile], seconds: float) -> list[RunOutcome]:
        """Find nothing."""
        self.given += [file.path for file in files]
        return [RunOutcome("ok") for _ in files]


def work(
    folder: Path, extractor: str, *items: JobItem, manifest: Manifest | None = None, released: Callable[[int], bool]
) -> tuple[list[Result], Recorder]:
    """Run a job over files of `folder` and return its results, and what the runtime was given."""
    runtime, results = Recorder(), MemoryResults(MemoryStore())
    known = {} if manifest is None else {manifest.name: manifest}
    files = Files(os.fsencode(folder), fid_of_fd, None, released)
    CURRENT.set(WorkerContext(known, runtime, files, results, "here", 5.0))
    jobs.run(encode_job(Job("1", extractor, 0, -1, items)))
    return [result for _, found in results.read(100) for result in found], runtime


def item(path: Path, *, recall: bool = False) -> JobItem:
    """Return a job's item."""
    return JobItem(fid_of_path(os.fsencode(path)), 1, os.fsencode(path.name), recall)


def on_tape(fd: int) -> bool:
    """Be a file system with HSM: what is called `tape` is released."""
    return Path(f"/proc/self/fd/{fd}").readlink().name == "tape"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A file on disk, one on tape, and an empty one."""
    for name, content in (("disk", "x"), ("tape", "x"), ("empty", "")):
        (tmp_path / name).write_text(content)
    return tmp_path


def test_released_file_is_not_read(tree: Path) -> None:
    """A released file is given to no extractor unless its rule allows recall; it is no failure."""
    ours = write_extractor(tree / "extractors", "ours", "")
    asked = [item(tree / "disk"), item(tree / "tape"), item(tree / "tape", recall=True)]

    results, runtime = work(tree, "ours", *asked, manifest=ours, released=on_tape)

    assert [result.status for result in results] == ["ok", "released", "ok"]
    assert [path.rpartition(b"/")[2] for path in runtime.given] == [b"disk", b"tape"]


def test_stat_says_released(tree: Path) -> None:
    """The facts of a released file say so, and it is not read for its type; an empty file is not asked about."""

    def asked(fd: int) -> bool:
        assert os.fstat(fd).st_size
        return on_tape(fd)

    results, _ = work(tree, STAT, *(item(tree / name) for name in ("disk", "tape", "empty")), released=asked)

    assert [result.document.get("released") for result in results] == [None, True, None]
    assert results[1].document.get("mime") is None


def test_what_the_file_system_does_not_know_is_not_released(tmp_path: Path) -> None:
    """A file system without HSM has no released files; another error is not taken for an answer."""
    (tmp_path / "file").write_text("x")
    fd = os.open(tmp_path / "file", os.O_PATH)
    try:
        assert released_lustre_fd(fd) is False
    finally:
        os.close(fd)


def test_silent_mdt_fails_the_file_and_not_the_job(tree: Path) -> None:
    """Where it cannot be told whether a file is released it is not read; the others of its job are."""
    ours = write_extractor(tree / "extractors", "ours", "")

    def silent(fd: int) -> bool:
        if on_tape(fd):
            raise OSError(errno.EIO, "Input/output error")
        return False

    results, runtime = work(tree, "ours", item(tree / "tape"), item(tree / "disk"), manifest=ours, released=silent)

    assert [(result.status, result.error) for result in results] == [
        ("failed", "it cannot be opened: Input/output error"),
        ("ok", ""),
    ]
    assert len(runtime.given) == 1


def test_files_are_handed_out_no_faster_than_allowed(tree: Path) -> None:
    """A job takes as long as its share of bytes_per_second wants; a sparse file counts by what it holds."""
    limits = "jobs = 2\nbytes_per_second = 4_000_000"
    ours = write_extractor(tree / "extractors", "ours", "", limits=limits)
    (tree / "big").write_bytes(bytes(400_000))
    with (tree / "sparse").open("wb") as file:
        file.truncate(TERABYTE)
    times = []
    for name in ("sparse", "big"):
        begun = time.monotonic()
        work(tree, "ours", item(tree / name), manifest=ours, released=on_tape)
        times.append(time.monotonic() - begun)

    assert times[0] < 10  # by its length it would be days
    assert 0.2 <= times[1] < 10


def size_of(folder: Path) -> int:
    """Return the bytes that a tree holds on disk."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


@pytest.mark.apptainer
def test_terabyte_costs_no_more_staging_than_a_kilobyte(
    base_image: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is bound, not copied: a sparse file of 1 TB stages as many bytes as one of 1 KB."""
    staging = open_folder / "staging"
    staging.mkdir(mode=0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(staging))
    measured: list[int] = []

    class Weighing(ContainerRuntime):
        def _command(self, *arguments: Any) -> list[str]:
            measured.append(size_of(staging))
            return super()._command(*arguments)

    runtime = Weighing(base_image, account_for("nobody"))
    sizer = write_extractor(open_folder / "extractors", "sizer", SIZE)
    sizes = []
    for name, size in ((b"large", TERABYTE), (b"small", 1024)):
        small = write_file(open_folder, name, b"")
        os.truncate(open_folder / os.fsdecode(name), size)
        file = Files(os.fsencode(open_folder), fid_of_fd).open(small)
        assert file is not None
        with file:
            sizes += [found.document["size"] for found in runtime.run(sizer, [file], 30)]

    assert sizes == [TERABYTE, 1024]
    assert measured[0] == measured[1] < 100_000


READS = """
import os, subprocess, sys
from workers import no_atime
folder, mark = sys.argv[1:3]
if mark == "first":
    subprocess.run(["mount", "-t", "tmpfs", "-o", "strictatime", "none", folder], check=True)
    with open(f"{folder}/file", "w") as file:
        file.write("x")
    os.utime(f"{folder}/file", ns=(1, 1))
    with open(f"{folder}/outside", "w") as file:
        file.write("x")
    command = no_atime.quietly(folder, [sys.executable, "-P", "-c", sys.argv[3], folder, "again", ""])
    subprocess.run(command, check=True, timeout=60)
    print(no_atime.quietly("/proc/self/no", []), os.stat(f"{folder}/file").st_atime_ns)
    open(f"{folder}/file").read()
    print(os.stat(f"{folder}/file").st_atime_ns > 1)
else:
    print(no_atime.quietly(folder, []))
    open(f"{folder}/file").read()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes mounts")
def test_reading_leaves_no_trace(tmp_path: Path) -> None:
    """In a root worker's namespace reading changes no access time; outside it does as before."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    script = [sys.executable, "-P", "-c", READS, str(tmp_path), "first", READS]

    said = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", *script],
        capture_output=True, text=True, timeout=90, check=False, cwd=REPOSITORY,
    )  # fmt: skip

    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.splitlines() == ["None", "None 1", "True"]
    assert no_atime.quietly(str(tmp_path / "missing"), []) is None
