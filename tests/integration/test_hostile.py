"""Programs and files that mean harm, against the real container runtime: each is contained and named in a sentence.

What goes wrong with one file is asked in one batch of many (fixture `answers`); what ends a whole program has a
run of its own, with files that were answered before and must keep their documents.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lustre_events.catalog.manifest import Manifest
from lustre_events.jobs.messages import JobItem
from lustre_events.sources.local_fid import fid_of_fd
from tests.support.need import need
from tests.support.service.hostile import DEEDS, ENDS, FIRST_THEN, MANY, MARK, NAMES, PORT, PRELUDE, READ
from tests.support.service.images import write_extractor, write_file
from workers.container import ContainerRuntime
from workers.contract import MAX_DEPTH
from workers.files import Files, OpenFile
from workers.images import Image
from workers.privileges import account_for
from workers.runs import GONE, RunOutcome

pytestmark = pytest.mark.apptainer

SECONDS = 90.0


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that everybody may look into, in which the runs of this module stage, too."""
    folder = Path(tempfile.mkdtemp(prefix="lustre-events-test-"))
    folder.chmod(0o755)
    (folder / "staging").mkdir(mode=0o755)
    before, tempfile.tempdir = tempfile.tempdir, str(folder / "staging")
    yield folder
    tempfile.tempdir = before
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def runtime(base_image: Path) -> ContainerRuntime:
    """The container runtime with the base image, as the worker makes it."""
    return ContainerRuntime(base_image, account_for("nobody"))


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Have services on this node that only its own users can reach: a port and an abstract socket."""
    with socket.socket() as port, socket.socket(socket.AF_UNIX) as abstract:
        port.bind(("127.0.0.1", PORT))
        port.listen()
        abstract.bind(f"\0{MARK}")
        abstract.listen()
        yield


@contextlib.contextmanager
def opened(folder: Path, items: Sequence[JobItem]) -> Iterator[list[OpenFile]]:
    """Open items as a worker does."""
    with contextlib.ExitStack() as stack:
        files = [Files(os.fsencode(folder), fid_of_fd).open(item) for item in items]
        yield [stack.enter_context(file) for file in files if file is not None]


def hostile(place: Path, name: str, program: str, limits: str = "") -> Manifest:
    """Make an extractor out of a program that means harm."""
    return write_extractor(place / "extractors", name, PRELUDE + program, limits=limits)


def run(runtime: ContainerRuntime, manifest: Manifest, place: Path, *contents: bytes) -> list[RunOutcome]:
    """Run `manifest` over files with `contents`."""
    items = [
        write_file(place / manifest.name, b"%d.csv" % number, content) for number, content in enumerate(contents)
    ]
    with opened(place / manifest.name, items) as files:
        return runtime.run(manifest, files, SECONDS)


def children() -> dict[int, str]:
    """Return the living processes whose parent is this one, by their pids; orphans below it are among them."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = path.read_text().rpartition(")")
            if int(rest.split()[1]) == os.getpid() and rest.split()[0] not in "ZX":
                found[int(path.parent.name)] = name
    return found


def marked() -> list[str]:
    """Return the processes that hostile programs started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if path.read_text().strip() == MARK:
                found.append(path.parent.name)
    return found


@pytest.fixture(autouse=True)
def nothing_is_left(place: Path) -> Iterator[None]:
    """After each test nothing of its containers is there: no process, helper, staging folder or mount."""
    prctl(1)
    before = children()
    yield
    left = {pid: name for pid, name in children().items() if pid not in before}
    prctl(0)
    assert left == {}
    assert marked() == []
    assert list((place / "staging").iterdir()) == []
    assert str(place) not in Path("/proc/self/mounts").read_text()


def prctl(adopt: int) -> None:
    """Make this process adopt orphans below it (1) or not (0): a helper that lost its parent is then found."""
    pr_set_child_subreaper = 36
    assert ctypes.CDLL(None, use_errno=True).prctl(pr_set_child_subreaper, adopt, 0, 0, 0) == 0


def one_sentence(error: str) -> bool:
    """Whether an error can be shown as a line of its own."""
    return 0 < len(error) <= 500 and error.isprintable()


@pytest.fixture(scope="module")
def answers(runtime: ContainerRuntime, place: Path) -> dict[bytes, RunOutcome]:
    """What became of a batch in which every file means harm, by content; ordinary ones stand between them."""
    manifest = write_extractor(
        place / "extractors",
        "many",
        MANY,
        limits="seconds = 80\nmemory_bytes = 800_000_000\noutput_bytes = 4_000_000",
    )
    folder = place / "many"
    items = [write_file(folder, b"first", b"first")]
    for number, deed in enumerate(DEEDS):
        items += [
            write_file(folder, b"%d.csv" % number, deed),
            write_file(folder, b"%d" % number, b"ok%d" % number),
        ]
    items += [write_file(folder, name, b"named " + name) for name in NAMES]
    with listening(), opened(folder, items) as files:
        found = runtime.run(manifest, files, SECONDS)
    contents = [(folder / os.fsdecode(item.path)).read_bytes() for item in items]
    return dict(zip(contents, found, strict=True))


def test_files_beside_hostile_ones_are_unharmed(answers: dict[bytes, RunOutcome]) -> None:
    """Every ordinary file of a batch of hostile ones has its own document, whatever its name is."""
    ordinary = [
        b"first",
        *(b"ok%d" % number for number in range(len(DEEDS))),
        *(b"named " + name for name in NAMES),
    ]

    assert {content: answers[content].document for content in ordinary} == {
        content: {"sha256": hashlib.sha256(content).hexdigest()} for content in ordinary
    }


def test_input_cannot_be_changed(answers: dict[bytes, RunOutcome]) -> None:
    """A program that writes to its input, its own folder or the image is refused each time."""
    tried = answers[b"write"].document

    assert set(tried) == {"append", "remove", "truncate", "chmod", "extractor", "image"}
    assert set(tried.values()) <= {"PermissionError", "OSError", "FileNotFoundError"}


def test_host_and_network_cannot_be_reached(answers: dict[bytes, RunOutcome]) -> None:
    """A program finds no secret of the host, no network, no device, no rights and no file but its inputs."""
    seen = answers[b"read"].document

    assert seen["shadow"] in {"FileNotFoundError", "PermissionError"}
    assert seen["up"] in {"FileNotFoundError", "PermissionError"}
    assert seen["leak"] is False
    assert len(seen["in"].split(",")) == len(answers)
    assert (seen["network"], seen["loopback"], seen["abstract"]) == (
        "PermissionError", "PermissionError", "ConnectionRefusedError",
    )  # fmt: skip
    assert seen["setuid"] in {"PermissionError", "OSError"}
    assert seen["mount"] in {"FileNotFoundError", "PermissionError"}


def test_nobody_is_root_in_a_namespace_of_his_own(answers: dict[bytes, RunOutcome]) -> None:
    """A program gets no new namespace, mounts and traces nothing, and has no memory that belongs to no process."""
    assert answers[b"root"].document == {
        "unshare": -1, "mount": -1, "shared": -1, "memfd": "PermissionError", "clone3": [-1, errno.ENOSYS],
        "ptrace": [-1, errno.EPERM], "sockets": ["PermissionError"] * 6, "buffer": "PermissionError",
    }  # fmt: skip


def test_temporary_space_is_small(answers: dict[bytes, RunOutcome]) -> None:
    """A program that fills /tmp gets an error long before the node does."""
    assert answers[b"disk"].document == {"tmp": "OSError"}


def test_answer_for_another_file_changes_nothing(answers: dict[bytes, RunOutcome]) -> None:
    """An answer for an unknown file is ignored, and so is a second one for a file that has one."""
    assert answers[b"other"].document == {"own": 1}


@pytest.mark.parametrize(("content", "value"), [(b"nan", "NaN"), (b"huge", "Infinity")])
def test_odd_number_costs_itself_only(answers: dict[bytes, RunOutcome], content: bytes, value: str) -> None:
    """A number that JSON cannot hold is null in a document that says so."""
    assert answers[content].document == {"a": None, "partial": f"a: {value}, which JSON cannot hold, left out"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"nested", f"its document is nested deeper than {MAX_DEPTH}"),
        (b"braces", f"its document is nested deeper than {MAX_DEPTH}"),
        (b"binary", "its answer is not JSON"),
        (b"long", "its document is longer than 4000000 bytes"),
        (b"escape", "xxx"),
    ],
)
def test_bad_answer_fails_its_file_in_one_sentence(
    answers: dict[bytes, RunOutcome], content: bytes, reason: str
) -> None:
    """What the index cannot hold fails its own file, with one printable sentence that says why."""
    found = answers[content]

    assert found.status == "failed"
    assert reason in found.error
    assert one_sentence(found.error)


@pytest.mark.parametrize("name", ENDS)
def test_hostile_program_is_ended(runtime: ContainerRuntime, place: Path, name: str) -> None:
    """What takes more than its share is killed; what it answered before counts, the rest fails in a sentence."""
    program, limits, reason = ENDS[name]
    manifest = hostile(place, name, FIRST_THEN + program, limits)

    begun = time.monotonic()
    first, second = run(runtime, manifest, place, b"first", b"second")

    assert time.monotonic() - begun < 40
    assert (first.status, first.document) == ("ok", {"good": 1})
    assert (second.status, second.document) == ("failed", {})
    assert reason in second.error
    assert one_sentence(second.error)


def test_limit_on_processes_leaves_room_for_the_runtime(runtime: ContainerRuntime, place: Path) -> None:
    """A program may have as many processes as its manifest says, though the runtime's own count as well."""
    manifest = hostile(
        place, "workers",
        FIRST_THEN + "children = [subprocess.Popen(['sleep', '5']) for _ in range(8)]\n"
        "say({'id': asked[1]['id'], 'document': {'children': len(children)}})\nsay({'end': 2})\n",
        "processes = 10",
    )  # fmt: skip

    _, second = run(runtime, manifest, place, b"first", b"second")

    assert second.document == {"children": 8}


def test_file_that_goes_away_harms_no_other(runtime: ContainerRuntime, place: Path) -> None:
    """A file removed, replaced by a link or a directory, or below a folder that became a link is gone alone."""
    folder = place / "swapped"
    manifest = hostile(place, "swapped", FIRST_THEN + READ)
    names = (b"kept", b"removed", b"link", b"directory", b"below/file", b"last")
    items = [write_file(folder, name, name) for name in names]
    secret = write_file(folder, b"elsewhere/file", b"secret")

    with opened(folder, items) as files:
        (folder / "removed").unlink()
        (folder / "link").unlink()
        (folder / "link").symlink_to(folder / os.fsdecode(secret.path))
        (folder / "directory").unlink()
        (folder / "directory").mkdir()
        (folder / "below").rename(folder / "away")
        (folder / "below").symlink_to("elsewhere")
        found = runtime.run(manifest, files, SECONDS)

    assert [one.status for one in found] == ["ok", "gone", "gone", "gone", "gone", "ok"]
    assert found[-1].document == {"text": "last"}


class Swapping(ContainerRuntime):
    """A runtime that has `target` replaced by a link to `secret` (None: removed) right before Apptainer looks."""

    def __init__(self, images: Path, target: Path, secret: Path | None) -> None:
        super().__init__(images, account_for("nobody"))
        self._swap = (target, secret)

    def _command(self, manifest: Manifest, image: Image) -> list[str]:
        target, secret = self._swap
        target.unlink(missing_ok=True)
        if secret is not None:
            target.symlink_to(secret)
        return super()._command(manifest, image)


@pytest.mark.parametrize("secret", ["elsewhere", None])
def test_link_planted_between_check_and_use_is_noticed(base_image: Path, place: Path, secret: str | None) -> None:
    """Between the last check and the mount a file may be replaced or removed: it is gone, the others are read."""
    folder = place / f"planted{secret}"
    manifest = hostile(place, "planted" if secret else "vanished", FIRST_THEN + READ)
    items = [write_file(folder, name, name) for name in (b"first", b"target", b"last")]
    write_file(folder, b"elsewhere", b"secret")
    runtime = Swapping(base_image, folder / "target", folder / secret if secret else None)

    with opened(folder, items) as files:
        first, target, last = runtime.run(manifest, files, SECONDS)

    assert first.status == "ok"
    assert target == GONE
    assert last.document == {"text": "last"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only a worker that is root becomes somebody else")
def test_unreadable_file_harms_no_other(runtime: ContainerRuntime, place: Path) -> None:
    """A file that the account of containers may not read fails with that reason; the others have documents."""
    manifest = hostile(place, "private", FIRST_THEN + "say({'end': 1})\n")
    items = [write_file(place / "private", name, b"x") for name in (b"own", b"folder/inner", b"open")]
    (place / "private/own").chmod(0o600)
    (place / "private/folder").chmod(0o700)

    with opened(place / "private", items) as files:
        own, inner, readable = runtime.run(manifest, files, SECONDS)

    assert own.error == inner.error == "nobody, the account that runs containers here, may not read it"
    assert readable.status == "ok"


def test_singularity_is_the_same_by_another_name(
    place: Path, monkeypatch: pytest.MonkeyPatch, base_image: Path
) -> None:
    """Where there is only a program called singularity, or only one called apptainer, it is used."""
    real = need("apptainer")
    manifest = hostile(place, "named", FIRST_THEN + "say({'end': 1})\n")
    seen = {}
    for name in ("singularity", "apptainer"):
        folder = place / f"bin-{name}"
        folder.mkdir(mode=0o755)
        (folder / name).symlink_to(real)
        monkeypatch.setenv("PATH", str(folder))
        runtime = ContainerRuntime(base_image, account_for("nobody"))
        seen[name] = (runtime.provenance(manifest)["runtime"], run(runtime, manifest, place, b"first")[0].document)

    assert seen["singularity"] == seen["apptainer"]
    assert seen["apptainer"][0].startswith("apptainer version ")
    assert seen["apptainer"][1] == {"good": 1}
