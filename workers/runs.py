"""What every runtime takes and gives: the inputs of a batch, and what became of each.

Inputs get generated names (`0001.csv`), whatever they are called: a name that its owner chose stands on no
command line and in no request, only as the target of a link in a private staging folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from lustre_events.catalog.manifest import ACTION, Manifest
from lustre_events.catalog.program_files import ProgramFile
from workers.child_process import Bounds, Ended, OnLine, Tell, keeper
from workers.contract import (
    ENVELOPE_BYTES,
    FINAL_EXIT,
    AnswerRefused,
    Answers,
    exit_words,
    no_answer,
    readable,
    single_document,
)
from workers.files import OpenFile
from workers.privileges import Account

PROGRAM_PATH = "/extractor"
OUT_FOLDER = "/out"
"""What a run may write into, in a container."""
PRINTED_BYTES = 1 << 20
"""What an action may print; nobody reads it."""
_SPARE_BYTES = 1 << 16
SPARE_SECONDS = 10
"""A run ends itself this long after its deadline, should everybody outside be dead."""
RUNTIME_THREADS = 32
"""What Apptainer itself has in a container's user namespace: 17 to 24 were seen on 2 cores."""


@dataclass(frozen=True, slots=True)
class Input:
    """One file of a batch: `id` in the contract, `name` inside of the run."""

    id: str
    name: str
    file: OpenFile


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What became of one input. `status`, `blame` and `final` are as in messages.Result."""

    status: str
    document: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    stderr: str = ""
    blame: Literal["file", "extractor", "worker"] = "file"
    final: bool = False


GONE = RunOutcome("gone")
RELEASED = RunOutcome("released")


class Runtime(Protocol):
    """Runs an extractor's program."""

    def describe(self) -> str:
        """Return in a few words what it runs extractors with."""

    def acting_as(self, account: Account | None) -> Self:
        """Return the same runtime for another account; None: this process's own user."""

    def prepare(self, manifests: Collection[Manifest]) -> list[str]:
        """Do once what every job would have to do again; return a sentence for each thing that will not work."""

    def provenance(self, manifest: Manifest, /) -> dict[str, Any]:
        """Return what documents say about the image and the runtime."""

    def run(self, manifest: Manifest, files: Sequence[OpenFile], seconds: float) -> list[RunOutcome]:
        """Run the extractor over `files` for at most `seconds`; a finding for each, in their order.

        Raises ImageMissing, ExtractorRefused, ContainerFailed, ManifestError.
        """


@dataclass(frozen=True, slots=True)
class Outputs:
    """The directory that a run may write into: where it is, and a descriptor of it (O_PATH)."""

    path: bytes
    fd: int


class ActionRuntime(Runtime, Protocol):
    """Runs the program of an action, too."""

    def act(
        self, manifest: Manifest, file: OpenFile, outputs: Outputs, settings: str, seconds: float
    ) -> RunOutcome:
        """Run an action on a file for at most `seconds`: it may write into `outputs`. Raises as `run`."""


@dataclass(frozen=True, slots=True)
class ProgramRun:
    """One run of a program: its inputs, arguments behind its command, bounds, and both ends of its talk."""

    inputs: Sequence[Input]
    arguments: Sequence[str]
    bounds: Bounds
    stdin: bytes
    on_line: OnLine
    outputs: Outputs | None = None


Launch = Callable[[ProgramRun], tuple[Ended, frozenset[str]]]
"""Runs in a runtime's way; returns how it ended, and the ids of inputs that were not what was opened (gone).

Raises ContainerFailed: the program never began. How a program ends never says that: it can choose any exit code.
"""


def run_contract(
    manifest: Manifest, files: Sequence[OpenFile], seconds: float, launch: Launch, in_folder: str
) -> list[RunOutcome]:
    """Run `manifest`'s contract over `files`: one run for all, or one for each. `seconds` bounds it all."""
    inputs = [
        Input(f"{number:04}", f"{number:04}{file.suffix}", file) for number, file in enumerate(files, start=1)
    ]
    ends = time.monotonic() + seconds
    if manifest.contract == "batch":
        found = _batch(manifest, inputs, min(seconds, manifest.limits.seconds), launch, in_folder)
    else:
        found = {}
        for one in inputs:
            left = min(ends - time.monotonic(), manifest.limits.seconds)
            late = RunOutcome("failed", error=f"no answer: the job's {seconds:g} s were used up by other files")
            found[one.id] = _single(manifest, one, left, launch, in_folder) if left > 0 else late
    return [found[one.id] for one in inputs]


def _batch(
    manifest: Manifest, inputs: Sequence[Input], seconds: float, launch: Launch, in_folder: str
) -> dict[str, RunOutcome]:
    limit = manifest.limits.output_bytes
    answers = Answers((one.id for one in inputs), limit)
    request = b"".join(
        json.dumps({"id": one.id, "path": f"{in_folder}/{one.name}"}).encode() + b"\n" for one in inputs
    )
    line_bytes = limit + ENVELOPE_BYTES
    total_bytes = line_bytes * (len(inputs) + 1) + _SPARE_BYTES
    bounds = Bounds(seconds, line_bytes, total_bytes, manifest.limits.memory_bytes)
    ended, swapped = launch(ProgramRun(inputs, (), bounds, request, answers.line))
    reason = no_answer(ended, answers.ended, answers.remarks)
    found: dict[str, RunOutcome] = {}
    for one in inputs:
        if one.id in swapped:
            found[one.id] = GONE
        elif one.id in answers.documents:
            found[one.id] = RunOutcome("ok", document=answers.documents[one.id])
        else:
            error = answers.errors.get(one.id, reason)
            found[one.id] = RunOutcome("failed", error=error, stderr=ended.stderr, final=one.id in answers.final)
    return found


def _single(manifest: Manifest, one: Input, seconds: float, launch: Launch, in_folder: str) -> RunOutcome:
    limit = manifest.limits.output_bytes
    printed: list[tuple[bytes, bool]] = []
    bounds = Bounds(seconds, limit, limit + _SPARE_BYTES, manifest.limits.memory_bytes)
    ended, swapped = launch(
        ProgramRun(
            [one], [f"{in_folder}/{one.name}"], bounds, b"", lambda data, whole: printed.append((data, whole))
        )
    )
    if swapped:
        return GONE
    if ended.killed or ended.exit_code:
        final = not ended.killed and ended.exit_code == FINAL_EXIT
        return RunOutcome("failed", error=no_answer(ended, marked=False), stderr=ended.stderr, final=final)
    text = b"\n".join(data for data, _ in printed)
    try:
        document = single_document(text, all(whole for _, whole in printed), limit)
    except AnswerRefused as exc:
        return RunOutcome("failed", error=str(exc), stderr=ended.stderr)
    return RunOutcome("ok", document=document)


def run_action(  # noqa: PLR0917 - what one run takes
    manifest: Manifest,
    file: OpenFile,
    outputs: Outputs,
    arguments: tuple[str, str],
    seconds: float,
    launch: Launch,
    in_folder: str,
) -> RunOutcome:
    """Run an action on a file: `PROGRAM INPUT OUTPUTS SETTINGS`, of which `arguments` are the last two."""
    one = Input("0001", f"0001{file.suffix}", file)
    left = min(seconds, manifest.limits.seconds)
    bounds = Bounds(left, PRINTED_BYTES, PRINTED_BYTES, manifest.limits.memory_bytes)
    words = [f"{in_folder}/{one.name}", *arguments]
    ended, swapped = launch(ProgramRun([one], words, bounds, b"", lambda _data, _whole: None, outputs))
    if swapped:
        return GONE if swapped == {one.id} else RunOutcome("failed", error="its directory for outputs was replaced")
    if ended.killed or ended.exit_code:
        final = not ended.killed and ended.exit_code == FINAL_EXIT
        reason = f"it was {ended.killed}" if ended.killed else f"it ended with {exit_words(ended.exit_code)}"
        return RunOutcome(
            "failed", error=readable("; it said ".join([reason, *ended.stderr.splitlines()[-1:]])), final=final
        )
    return RunOutcome("ok")


def limits(manifest: Manifest, *, in_container: bool) -> list[str]:
    """Return the command that puts the manifest's limits on the command behind it.

    The kernel counts the processes of a user, in a container those of its user namespace (with threads of the
    runtime itself); without one it would count all that the user has on the machine, so there is no such limit.
    """
    most = manifest.limits
    processes = [f"--nproc={most.processes + RUNTIME_THREADS}"] if in_container else []
    # The drivers of a GPU reserve more addresses than there is memory.
    addresses = [] if manifest.gpu else [f"--as={most.memory_bytes}"]
    written = [f"--fsize={manifest.outputs.bytes}"] if manifest.contract == ACTION else []
    return [
        "timeout", "-s", "KILL", str(most.seconds + SPARE_SECONDS),
        "prlimit", f"--cpu={most.cpu_seconds}", f"--nofile={most.open_files}", "--core=0", *addresses, *processes,
        *written,
        "--",
    ]  # fmt: skip


@contextlib.contextmanager
def staging(
    manifest: Manifest,
    targets: Sequence[tuple[str, bytes]],
    helpers: Path | None = None,
    compiled: Sequence[ProgramFile] = (),
) -> Iterator[tuple[Path, Tell]]:
    """Make a folder with a link per (name, target) in `in/`, and the program's files in `extractor/`.

    The modules of `helpers`, and what was `compiled`, are put beside the program's own. Gives the folder, and its
    keeper's ear: the folder does not outlive this process. Others can use it but neither list nor change it. The
    program is copied because an installation may lie where the account that runs it cannot look; inputs never are.
    """
    folder = Path(tempfile.gettempdir()) / f"lustre-events-{uuid.uuid4().hex}"
    with keeper(folder) as tell:
        folder.mkdir(0o700)
        try:
            folder.chmod(0o711)
            _fill(folder, [*manifest.program(), *compiled], targets, helpers)
            yield folder, tell
        finally:
            shutil.rmtree(folder)


def _fill(
    folder: Path, files: Sequence[ProgramFile], targets: Sequence[tuple[str, bytes]], helpers: Path | None
) -> None:
    links = folder / "in"
    links.mkdir()
    for name, target in targets:
        os.symlink(target, os.fsencode(links / name))  # noqa: PTH211 - bytes
    program = folder / "extractor"
    program.mkdir()
    for file in files:
        copy = program / file.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.content)
        copy.chmod(0o755 if file.executable else 0o644)
    for source in sorted(helpers.glob("*.py")) if helpers else ():
        shutil.copyfile(source, program / source.name)
        (program / source.name).chmod(0o644)
    for made in (links, *(path for path in (program, *program.rglob("*")) if path.is_dir())):
        made.chmod(0o755)
