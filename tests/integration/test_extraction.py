"""Extractors in real Apptainer containers: documents, hostile input, deadlines, and that nothing is left."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import pytest

from lustre_events.catalog.manifest import Manifest, load
from lustre_events.errors import ContainerFailed, ImageMissing, ManifestError
from lustre_events.jobs.messages import JobItem
from lustre_events.sources.local_fid import fid_of_fd
from tests.support.service.contents import CSV
from tests.support.service.images import extractors, write_extractor, write_file
from tests.support.service.leftovers import adopting, left_behind
from workers.container import ContainerRuntime, find_program
from workers.files import Files, OpenFile
from workers.privileges import account_for
from workers.process_runtime import ProcessRuntime
from workers.runs import RunOutcome

pytestmark = pytest.mark.apptainer

HOSTILE_NAMES = (
    b"x,/etc/hostname:/in/leak",
    b"new\nline.csv",
    b"q'uo\"te.csv",
    b"\xff\xfe.csv",
    b"$(id) `id`;.csv",
    b"-rf",
)


@pytest.fixture(autouse=True)
def staging(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the runs of a test stage; nobody else's are looked at."""
    folder = open_folder / "staging"
    folder.mkdir(mode=0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with adopting():
        yield folder


@pytest.fixture
def runtime(base_image: Path) -> ContainerRuntime:
    """The container runtime with the base image, as the worker makes it."""
    return ContainerRuntime(base_image, account_for("nobody"))


@contextlib.contextmanager
def opened(folder: Path, items: Sequence[JobItem]) -> Iterator[list[OpenFile]]:
    """Open items as a worker does."""
    with contextlib.ExitStack() as stack:
        files = [Files(os.fsencode(folder), fid_of_fd).open(item) for item in items]
        yield [stack.enter_context(file) for file in files if file is not None]


def extract(
    runtime: ContainerRuntime, manifest: Manifest, folder: Path, *items: JobItem, seconds: float = 60
) -> list[RunOutcome]:
    """Run an extractor over items of `folder`."""
    with opened(folder, items) as files:
        return runtime.run(manifest, files, seconds)


def test_tables_and_hdf5_become_documents(runtime: ContainerRuntime, open_folder: Path, staging: Path) -> None:
    """The shipped extractors describe their files, and one bad file of a batch fails alone."""
    with h5py.File(open_folder / "scan.h5", "w") as file:
        file.attrs["instrument"] = "ARPES"
        file.create_dataset("entry/data", data=[[1.0, 2.0]]).attrs["units"] = "K"
    scan = write_file(open_folder, b"scan.h5", (open_folder / "scan.h5").read_bytes())
    table = write_file(open_folder, b"table.csv", CSV)
    torn = write_file(open_folder, b"torn.h5", b"no hdf5")

    tabular = extract(runtime, extractors()["tabular"], open_folder, table)
    good, bad = extract(runtime, extractors()["hdf5"], open_folder, scan, torn)

    assert tabular[0].document["columns"] == ["temperature", "place"]
    assert tabular[0].document["column"]["temperature"] == {"type": "number", "values": 2, "min": 1, "max": 2.5}
    assert good.document["attributes"] == {"instrument": "ARPES"}
    assert good.document["dataset"]["entry/data"]["attributes"] == {"units": "K"}
    assert (bad.status, bad.document) == ("failed", {})
    assert bad.error
    assert left_behind(staging) == []


def test_hostile_names_are_only_names(runtime: ContainerRuntime, open_folder: Path) -> None:
    """A file's name, whatever it holds, neither mounts nor runs anything, and its file is read."""
    items = [write_file(open_folder, name, CSV) for name in HOSTILE_NAMES]

    found = extract(runtime, extractors()["tabular"], open_folder, *items)

    assert [one.status for one in found] == ["ok"] * len(items)
    assert {one.document["rows"] for one in found} == {2}


SPY = """
import json, os, socket, sys
asked = [json.loads(line) for line in sys.stdin]
def attempt(function):
    try:
        return str(function())
    except OSError as exc:
        return type(exc).__name__
document = {
    "in": sorted(os.listdir("/in")),
    "shadow": attempt(lambda: open("/etc/shadow").read()),
    "host": attempt(lambda: os.listdir(FOLDER)),
    "write": attempt(lambda: open(asked[0]["path"], "a")),
    "network": attempt(lambda: socket.create_connection(("192.0.2.1", 80), 1)),
    "interfaces": attempt(lambda: sorted(name for _, name in socket.if_nameindex())),
    "uid": os.getuid(),
    "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
    "capabilities": [line.split()[1] for line in open("/proc/self/status") if line.startswith("Cap")],
    "environment": sorted(os.environ),
}
print(json.dumps({"id": asked[0]["id"], "document": document}))
print(json.dumps({"end": 1}))
"""


def test_container_sees_its_inputs_and_nothing_else(
    runtime: ContainerRuntime, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside there is no host file, no network, no process, no capability and no variable of the worker's."""
    monkeypatch.setenv("LUSTRE_EVENTS_REDIS_URL", "redis://:secret@example/0")
    spy = write_extractor(open_folder, "spy", SPY.replace("FOLDER", repr(str(open_folder))))

    (found,) = extract(runtime, spy, open_folder, write_file(open_folder, b"a.csv", CSV))

    seen = found.document
    assert seen["in"] == ["0001.csv"]
    assert seen["shadow"] in {"FileNotFoundError", "PermissionError"}
    assert seen["host"] == "FileNotFoundError"
    assert seen["write"] in {"PermissionError", "OSError"}  # to its owner it is a read-only file system
    assert seen["network"] != "connected"
    assert seen["interfaces"] in {"PermissionError", "['lo']"}
    assert seen["uid"] != 0
    assert seen["processes"] < 8
    assert set(seen["capabilities"]) == {"0" * 16}
    assert not [name for name in seen["environment"] if name.startswith("LUSTRE")]


HANG = """
import json, os, subprocess, sys, time
asked = [json.loads(line) for line in sys.stdin]
print(json.dumps({"id": asked[0]["id"], "document": {"a": 1}}), flush=True)
subprocess.Popen(["sleep", "600"], start_new_session=True)
print("last words", file=sys.stderr, flush=True)
time.sleep(600)
"""


NEVER_COMPILED = """
import importlib.machinery, json
importlib.machinery.SourceFileLoader.source_to_code = None
import values
print(json.dumps({"found": values.found}))
"""


def test_a_container_takes_what_the_worker_has_compiled(runtime: ContainerRuntime, open_folder: Path) -> None:
    """A module of a site's program is compiled once for all runs, and never in one; without it, each does that."""
    made = write_extractor(open_folder / "extractors", "ours", NEVER_COMPILED, contract='"single"')
    (made.folder / "values.py").write_text("found = 'as written'\n")
    made, item = load(made.folder), write_file(open_folder, b"a.csv", CSV)

    before = extract(runtime, made, open_folder, item)
    runtime.compile(made)
    after = extract(runtime, made, open_folder, item)

    assert [before[0].status, after[0].document] == ["failed", {"found": "as written"}]


def test_deadline_kills_everything(runtime: ContainerRuntime, open_folder: Path, staging: Path) -> None:
    """At the deadline the whole container ends; answers given before it count, the other files fail alone."""
    hang = write_extractor(open_folder, "hang", HANG, limits="seconds = 6")
    items = [write_file(open_folder, name, CSV) for name in (b"a.csv", b"b.csv")]

    begun = time.monotonic()
    first, second = extract(runtime, hang, open_folder, *items)

    assert time.monotonic() - begun < 30
    assert first.document == {"a": 1}
    assert second.error == "no answer: the extractor was killed at its deadline of 6 s"
    assert second.stderr == "last words"
    assert left_behind(staging) == []


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("raise SystemExit(3)", "the program ended with exit code 3"),
        ("import os; os.kill(os.getpid(), 11)", "the program ended with signal 11"),
        ("x = bytearray(3_000_000_000)", "the program ended with exit code 1"),
        ("while True: pass", "the program ended with signal 9"),
        ("print('x' * 100_000_000)", "killed after"),
    ],
)
def test_end_of_the_program_is_told(
    runtime: ContainerRuntime, open_folder: Path, program: str, reason: str
) -> None:
    """A program that breaks, or takes more than its limits, fails its files with the reason."""
    broken = write_extractor(
        open_folder, "broken", program, limits="seconds = 20\ncpu_seconds = 1\nmemory_bytes = 500_000_000"
    )

    (found,) = extract(runtime, broken, open_folder, write_file(open_folder, b"a.csv", CSV))

    assert found.status == "failed"
    assert reason in found.error


def test_failure_of_the_runtime_is_no_failure_of_the_program(base_image: Path, open_folder: Path) -> None:
    """A damaged image is said to be the container's failure, which may be tried again."""
    images = open_folder / "images"
    images.mkdir()
    (images / "base.sif").write_bytes((base_image / "base.sif").read_bytes()[:100_000])
    runtime = ContainerRuntime(images, account_for("nobody"))

    with pytest.raises(ContainerFailed, match="the container of tabular did not run"):
        extract(runtime, extractors()["tabular"], open_folder, write_file(open_folder, b"a.csv", CSV))


ENDINGS = {
    "code 255": "os._exit(255)",
    "its container is killed": "os.kill(1, 9); os.kill(os.getppid(), 9); os.kill(os.getpid(), 9)",
    "the sign is printed": "print('lustre-events: the program begins', flush=True); os._exit(255)",
}


@pytest.mark.parametrize("contract", ["batch", "single"])
@pytest.mark.parametrize("kind", ["container", "process"])
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_no_end_of_a_program_blames_the_extractor(
    runtime: ContainerRuntime, open_folder: Path, ending: str, kind: str, contract: str
) -> None:
    """However a program ends that has begun, its file has failed: no file suspends the extractor for others."""
    chosen: Any = runtime if kind == "container" else ProcessRuntime(account_for("nobody"))
    if kind == "process":
        ending = ending.replace("os.kill(1, 9); os.kill(os.getppid(), 9); ", "")  # those are not its own there
    leaves = write_extractor(open_folder, "leaves", f"import os\n{ending}\n", contract=f'"{contract}"')

    (found,) = extract(chosen, leaves, open_folder, write_file(open_folder, b"a.csv", CSV))

    assert (found.status, found.blame) == ("failed", "file")
    assert found.error.startswith("no answer: the program ended with")


def test_a_file_that_no_container_can_be_made_with_is_to_blame(
    base_image: Path, runtime: ContainerRuntime, open_folder: Path
) -> None:
    """Where the runtime gives up over a run's files, and begins without them, the extractor is not to blame."""
    refusing = open_folder / "apptainer"
    refusing.write_text(
        '#!/bin/sh\ncase "$*" in *destination=/in/*) echo "cannot bind" >&2; exit 255;; esac\n'
        f'exec {find_program()} "$@"\n'
    )
    refusing.chmod(0o755)
    picky = ContainerRuntime(base_image, account_for("nobody"), str(refusing))

    (found,) = extract(picky, extractors()["tabular"], open_folder, write_file(open_folder, b"a.csv", CSV))

    assert (found.status, found.blame) == ("failed", "file")
    assert "cannot bind" in found.error


def test_missing_image_is_one_sentence(runtime: ContainerRuntime, open_folder: Path) -> None:
    """A missing image is named, with the program that builds it."""
    lost = write_extractor(open_folder, "lost", "", image='"nowhere"')

    with pytest.raises(ImageMissing, match=r"nowhere: the image of lost is not there; build it with"):
        extract(runtime, lost, open_folder, write_file(open_folder, b"a.csv", CSV))


def test_single_contract_takes_any_program(runtime: ContainerRuntime, open_folder: Path) -> None:
    """A program that takes a path and prints an object is an extractor; each file is a run of its own."""
    single = write_extractor(
        open_folder, "single", "", contract='"single"',
        command="""["sh", "-c", 'printf "{\\"bytes\\": %d}" $(wc -c < "$0")']""",
    )  # fmt: skip
    items = [write_file(open_folder, name, name) for name in (b"a", b"long name,1")]

    found = extract(runtime, single, open_folder, *items)

    assert [one.document for one in found] == [{"bytes": 1}, {"bytes": 11}]


def test_input_that_is_replaced_before_it_is_bound_is_gone(runtime: ContainerRuntime, open_folder: Path) -> None:
    """A link put in a file's place between our look and the runtime's is noticed: its content reaches nobody."""
    other = write_file(open_folder, b"other.csv", b"secret\n1\n")
    item = write_file(open_folder, b"a.csv", CSV)
    kept = write_file(open_folder, b"b.csv", CSV)

    with opened(open_folder, [item, kept]) as files:
        (open_folder / "a.csv").unlink()
        (open_folder / "a.csv").symlink_to(open_folder / os.fsdecode(other.path))
        swapped, good = runtime.run(extractors()["tabular"], files, 60)

    assert swapped == RunOutcome("gone")
    assert good.status == "ok"


def test_trusted_extractor_runs_as_a_process(open_folder: Path, staging: Path) -> None:
    """Without a container the contract, the deadline and the answers are the same, and names are as harmless."""
    runtime = ProcessRuntime(None)
    # Without a container, what begins a session of its own is not found: only trusted programs run so.
    alone = "\n".join(line for line in HANG.splitlines() if "start_new_session" not in line)
    hang = write_extractor(open_folder, "hang", alone, limits="seconds = 4")
    items = [write_file(open_folder, name, CSV) for name in HOSTILE_NAMES]

    with opened(open_folder, items) as files:
        found = runtime.run(extractors()["tabular"], files, 60)
        first, second, *_ = runtime.run(hang, files, 60)

    assert [one.document.get("rows") for one in found] == [2] * len(items)
    assert first.document == {"a": 1}
    assert "killed at its deadline of 4 s" in second.error
    assert runtime.provenance(hang)["runtime"] == "process"
    assert left_behind(staging) == []


def test_untrusted_extractor_is_no_process(open_folder: Path) -> None:
    """An extractor that is not marked as trusted never runs outside of a container."""
    foreign = write_extractor(open_folder, "foreign", "print(1)", trusted="false")

    with pytest.raises(ManifestError, match=r"not trusted, so run only in a container.*: foreign$"):
        ProcessRuntime(None).run(foreign, [], 60)


def test_digest_of_an_unpacked_image_is_its_markers(base_image: Path, open_folder: Path) -> None:
    """An unpacked image has the digest of its marker, a SIF that of its bytes."""
    (open_folder / "base" / ".singularity.d").mkdir(parents=True)
    (open_folder / "base" / ".singularity.d" / "labels.json").write_text("{}")
    tabular = extractors()["tabular"]

    unpacked = ContainerRuntime(open_folder, account_for("nobody")).provenance(tabular)
    packed = ContainerRuntime(base_image, account_for("nobody")).provenance(tabular)

    assert unpacked["image_digest"] == hashlib.sha256(b"{}").hexdigest()
    assert packed["image_digest"] == hashlib.sha256((base_image / "base.sif").read_bytes()).hexdigest()
    assert packed["runtime"].startswith(("apptainer", "singularity"))
