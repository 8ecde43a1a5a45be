"""Extractors in Apptainer containers: one container for a whole batch.

The flags are those that held when somebody tried to get out: no home, no host processes, no network, no
capabilities, no environment, inputs mounted one by one and read-only, no system call that makes a way out. A
worker that is root never runs a container: it becomes `run_as` first. A user namespace is asked for, so that a
setuid starter, where a site installed Apptainer with one, runs nothing as root here.

What is bound is what was opened: an input's link could be made to lead elsewhere between our look at it
and the runtime's. So the program gets no word on stdin before the inputs that the container's PID 1 sees
have been compared, by device and inode, with the files that this worker holds open. Where there are several, the
worker mounts them itself (see mounted_inputs.py), and starts nothing with another file.

Once a program has begun (see program_start.py), its files are to blame however it ends. Where it has not, a second
run with no file in it decides: only an extractor that does not begin there either is to blame.

spython builds the command line. It does not run it: it knows no deadline, no bounds, and no separate streams;
and it looks only for a program called singularity, where today's is called apptainer.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from spython import main as spython

from lustre_events import subprocesses
from lustre_events.catalog.looks import Looks
from lustre_events.catalog.manifest import Manifest
from lustre_events.catalog.program_files import ProgramFile
from lustre_events.errors import ContainerFailed, ExtractorError, ExtractorRefused, ManifestError, RuntimeMissing
from workers import cgroups, child_process, syscalls
from workers.cgroups import RunGroup
from workers.child_process import Bounds, Ended
from workers.compiled import compiled
from workers.files import OpenFile
from workers.images import Image, Images
from workers.mounted_inputs import FEWEST, MountedInputs
from workers.privileges import Account, account_for, readable_by
from workers.program_start import GATE, SIGN, WAITING_GATE, Beginning, last_words
from workers.runs import (
    GONE,
    OUT_FOLDER,
    PROGRAM_PATH,
    Input,
    Outputs,
    ProgramRun,
    RunOutcome,
    limits,
    run_action,
    run_contract,
    staging,
)
from workers.session_processes import container_init

log = logging.getLogger(__name__)

FLAGS = (
    "--userns", "--containall", "--no-home", "--pwd", "/", "--net", "--network", "none", "--no-privs",
)  # fmt: skip
IN_FOLDER = "/in"
OWN_BYTES_AT_ONCE = 1 << 30
"""So much of users' own images is read by one look of a worker; jobs read the rest, each its own."""
LOOK_SECONDS = 30.0
"""How long a worker waits for a user's image."""
VERSION_SECONDS = 20
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin", "LANG": "C.UTF-8"}
TRIAL_SECONDS = 30.0
TRIAL_BYTES = 1 << 16
TRIES_AS = "nobody"
"""Who tries whether an image starts, where a root worker's containers run as the owner of each file."""


class _CommandLines(type(spython.Client)):  # type: ignore[misc]
    """spython's client, except that a command is returned and not run."""

    def _run_command(self, cmd: list[str], **_: object) -> list[str]:
        return cmd


class ContainerRuntime:
    """Runs extractors in containers.

    Args:
        images: the images that manifests name, or the folder where they lie.
        account: whose rights containers run with; None: this process's own, which must not be root.
        program: apptainer or singularity; empty: the one on PATH.
        looks: how long this waits for images of users' own.

    Raises:
        RuntimeMissing: neither apptainer nor singularity is on PATH, or it does not run.
    """

    def __init__(
        self, images: Images | Path, account: Account | None, program: str = "", looks: Looks | None = None
    ) -> None:
        self._program = program or find_program()
        self._version = _version(self._program)
        self._images = Images(images) if isinstance(images, Path) else images
        self._account = account
        # A user can end what runs as that user: that must not count against the extractor.
        self._tries_as = account or (account_for(TRIES_AS) if os.geteuid() == 0 else None)
        self._looks = looks or Looks(LOOK_SECONDS)
        self._commands: dict[tuple[str, Path], list[str]] = {}
        self._compiled: dict[str, tuple[ProgramFile, ...]] = {}

    def describe(self) -> str:
        """Return in a few words what it runs extractors with."""
        return f"{self._version} containers, images from {self._images.folder}"

    def acting_as(self, account: Account | None) -> Self:
        """Return the same runtime, with what it has learned, for another account."""
        other = copy.copy(self)
        other._account = account  # noqa: SLF001 - of this class
        return other

    def prepare(self, manifests: Collection[Manifest]) -> list[str]:
        """Do once what every job would have to do again; return a sentence per extractor that cannot run."""
        wrong, used, room = [], set(), OWN_BYTES_AT_ONCE
        self._looks.begin()
        for manifest in manifests:
            look = partial(self._image_within, manifest, room)
            try:
                found = self._looks.one(manifest.folder.parent, look) if manifest.owner else look()
            except ExtractorError as exc:
                wrong.append(str(exc))
                continue
            if found is not None:
                image, size = found
                room -= size
                used.add(image.digest)
                self._command(manifest, image)
        self._images.prune(used, time.time())
        return wrong

    def _image_within(self, manifest: Manifest, room: int) -> tuple[Image, int] | None:
        """Return an image and the bytes of it that are read for that; None: more than `room`.

        Who reads a large image of a user's own is that user's job, which others do not wait for.
        """
        unknown = self._images.unknown_bytes(manifest)
        return None if unknown > room else (self._images.find(manifest, self._account), unknown)

    def compile(self, manifest: Manifest) -> None:
        """Compile a program's modules for the containers of this process, and of those that it will start."""
        with contextlib.suppress(ManifestError, OSError):  # whoever runs it says so; a full disk costs time alone
            self._compiled[manifest.digest] = compiled(manifest)

    def packed(self, manifests: Collection[Manifest]) -> set[str]:
        """Return the digests of images that start more slowly than they would if they were unpacked."""
        found = set()
        for manifest in manifests:
            with contextlib.suppress(ExtractorError):
                found.add(self._images.packed(manifest))
        return found - {""}

    def unpack(self, manifests: Collection[Manifest]) -> list[str]:
        """Unpack the images that are packed; return a sentence for each that cannot be."""
        reasons = set()
        for manifest in manifests:
            with contextlib.suppress(ExtractorError):
                reasons.add(self._images.unpack(manifest))
        return sorted(reasons - {""})

    def provenance(self, manifest: Manifest) -> dict[str, Any]:
        """Return runtime and image; the digest is SHA-256 over a SIF, or over an unpacked image's marker.

        Raises:
            ImageMissing, ExtractorRefused: as Images.find.
        """
        image = self._images.find(manifest, self._account)
        return {"runtime": self._version, "image": image.path.name, "image_digest": image.digest}

    def run(self, manifest: Manifest, files: Sequence[OpenFile], seconds: float) -> list[RunOutcome]:
        """Run the extractor over `files`; see runs.Runtime."""
        self._check_account(manifest)
        image = self._images.find(manifest, self._account)
        ends = time.monotonic() + seconds
        found: dict[int, RunOutcome] = {}
        while len(found) < len(files):
            found |= self._unfit(files, found)
            left = [place for place in range(len(files)) if place not in found]
            if not left:
                break
            try:
                findings = run_contract(
                    manifest,
                    [files[place] for place in left],
                    ends - time.monotonic(),
                    lambda start: self._launch(manifest, image, start),
                    IN_FOLDER,
                )
            except ContainerFailed as exc:
                # A file that went away meanwhile cannot be bound, and the runtime gives up: on with the others.
                if self._unfit(files, found):
                    continue
                if not self._begins(manifest, image):
                    raise
                blamed = RunOutcome("failed", error=f"no container could be made with it and its batch: {exc}")
                found |= dict.fromkeys(left, blamed)
            else:
                found |= zip(left, findings, strict=True)
        return [found[place] for place in range(len(files))]

    def act(
        self, manifest: Manifest, file: OpenFile, outputs: Outputs, settings: str, seconds: float
    ) -> RunOutcome:
        """Run an action on a file; see runs.Runtime."""
        self._check_account(manifest)
        image = self._images.find(manifest, self._account)
        ends = time.monotonic() + seconds
        if unfit := self._unfit([file], {}):
            return unfit[0]
        try:
            return run_action(
                manifest, file, outputs, (OUT_FOLDER, settings), ends - time.monotonic(),
                lambda start: self._launch(manifest, image, start), IN_FOLDER,
            )  # fmt: skip
        except ContainerFailed as exc:
            if self._unfit([file], {}):
                return GONE
            if not self._begins(manifest, image):
                raise
            return RunOutcome("failed", error=f"no container could be made with it: {exc}")

    def _check_account(self, manifest: Manifest) -> None:
        if self._account is None and os.geteuid() == 0:
            raise ExtractorRefused(
                f"{manifest.identity}: a container is never run as root; name an account in run_as"
            )

    def _unfit(self, files: Sequence[OpenFile], found: Mapping[int, RunOutcome]) -> dict[int, RunOutcome]:
        """Return, by place, the findings of files that cannot be bound: one of them would stop all others."""
        unfit: dict[int, RunOutcome] = {}
        who = self._account.name if self._account else "this worker's user"
        may_read = readable_by(self._account, [file.path for file in files])
        for place, file in enumerate(files):
            if place in found:
                continue
            if not file.in_place():
                unfit[place] = GONE
            elif not may_read[place]:
                unfit[place] = RunOutcome(
                    "failed", error=f"{who}, the account that runs containers here, may not read it"
                )
        return unfit

    def _begins(self, manifest: Manifest, image: Image) -> bool:
        """Whether a container without any file comes as far as its program, in which `true` stands in for it."""
        begun = Beginning(lambda _data, _whole: None)
        command = [*self._command(manifest, image)[: -len(manifest.command)], "true"]
        with staging(manifest, []) as (folder, tell):
            at = command.index("--pwd")
            options = [_mount(folder / "extractor", PROGRAM_PATH), f"--security=seccomp:{syscalls.write(folder)}"]
            with _group(folder, manifest) as group:
                ended = child_process.run(
                    [*command[:at], *options, *command[at:]],
                    environment=_ENVIRONMENT,
                    account=self._tries_as,
                    bounds=Bounds(TRIAL_SECONDS, TRIAL_BYTES, TRIAL_BYTES, manifest.limits.memory_bytes),
                    on_line=begun.line,
                    stdin=lambda _: b"",
                    tell=tell,
                    group=group,
                )
        # A node that is too slow says nothing about the extractor.
        return begun.seen or bool(ended.killed)

    def _launch(self, manifest: Manifest, image: Image, start: ProgramRun) -> tuple[Ended, frozenset[str]]:
        if len(start.inputs) >= FEWEST:
            try:
                return self._start(manifest, image, start, by_runtime=False)
            except subprocess.SubprocessError as exc:
                # A kernel or node that does not allow it, or an input that went away.
                log.debug("the inputs of %s are bound one by one: %s", manifest.name, exc, extra={"action": "bind"})
        return self._start(manifest, image, start, by_runtime=True)

    def _start(
        self, manifest: Manifest, image: Image, start: ProgramRun, *, by_runtime: bool
    ) -> tuple[Ended, frozenset[str]]:
        """Run it; `by_runtime`: the runtime binds each input. Raises SubprocessError: this worker could not."""
        swapped: set[str] = set()
        begun = Beginning(start.on_line)

        def look(session: int) -> bytes | None:
            found = _swapped(container_init(session), start.inputs, start.outputs)
            if found is None:
                return None
            swapped.update(found)
            if not found:
                return start.stdin
            lines = start.stdin.splitlines(keepends=True)
            return b"".join(line for one, line in zip(start.inputs, lines, strict=False) if one.id not in found)

        targets = [(one.name, one.file.path) for one in start.inputs] if by_runtime else ()
        with staging(manifest, targets, compiled=self._compiled.get(manifest.digest, ())) as (folder, tell):
            inputs = folder / "in"
            options = [_mount(folder / "extractor", PROGRAM_PATH)]
            if by_runtime:
                options += [_mount(inputs / one.name, f"{IN_FOLDER}/{one.name}") for one in start.inputs]
            else:
                options.append(_mount(inputs, IN_FOLDER))
            if start.outputs is not None:
                options.append(_mount(Path(os.fsdecode(start.outputs.path)), OUT_FOLDER, written=True))
            options.append(f"--security=seccomp:{syscalls.write(folder)}")
            command = self._command(manifest, image)
            at = command.index("--pwd")
            with _group(folder, manifest) as group:
                ended = child_process.run(
                    [*command[:at], *options, *command[at:], *start.arguments],
                    environment=_ENVIRONMENT,
                    account=self._account,
                    bounds=replace(start.bounds, line_bytes=max(start.bounds.line_bytes, len(SIGN))),
                    on_line=begun.line,
                    stdin=look,
                    tell=tell,
                    group=group,
                    before=None if by_runtime else MountedInputs(inputs, start.inputs, self._account),
                )
        if not begun.seen and not ended.killed:
            raise ContainerFailed(f"the container of {manifest.name} did not run: {last_words(ended)}")
        return ended, frozenset(swapped)

    def _command(self, manifest: Manifest, image: Image) -> list[str]:
        """Return the command line without mounts and arguments, as spython builds it."""
        key = (manifest.digest, image.root)
        if key not in self._commands:
            gate = GATE if manifest.contract == "batch" else WAITING_GATE
            built = _CommandLines().execute(
                str(image.root),
                [*limits(manifest, in_container=True), *gate, *manifest.command],
                options=list(FLAGS),
                nv=manifest.gpu,
                quiet=True,
            )
            self._commands[key] = [self._program, "--quiet", *built[built.index("exec") :]]
        return self._commands[key]


def _group(folder: Path, manifest: Manifest) -> AbstractContextManager[RunGroup | None]:
    """Return the cgroup of the run that has this folder."""
    return cgroups.of_run(folder.name, manifest.limits.memory_bytes, manifest.limits.processes)


def find_program() -> str:
    """Return the path of apptainer, else of singularity. Raises RuntimeMissing: neither is on PATH."""
    path = shutil.which("apptainer") or shutil.which("singularity")
    if path is None:
        raise RuntimeMissing(
            "neither apptainer nor singularity is on PATH; install Apptainer, "
            'or set [worker] runtime = "process" for trusted extractors'
        )
    return path


def _version(program: str) -> str:
    try:
        done = subprocesses.run([program, "--version"], VERSION_SECONDS)
        done.check_returncode()
    except (OSError, subprocess.SubprocessError) as exc:
        raise RuntimeMissing(f"{program} does not print its version ({exc}); repair the installation") from exc
    return done.stdout.decode(errors="replace").strip()


def _mount(source: Path, destination: str, *, written: bool = False) -> str:
    # Apptainer reads the words as CSV: within quotes only a quote is special, and is doubled.
    quoted = str(source).replace('"', '""')
    return f'--mount=type=bind,"source={quoted}",destination={destination}' + ("" if written else ",ro")


def _swapped(init: int, inputs: Sequence[Input], outputs: Outputs | None) -> set[str] | None:
    """Return the ids of inputs that are other files inside the container than here; None: it is not up yet.

    OUT_FOLDER is among them where that is another directory.
    """
    if not init:
        return None
    root = f"/proc/{init}/root"
    try:
        seen = {one.id: os.stat(f"{root}{IN_FOLDER}/{one.name}") for one in inputs}  # noqa: PTH116 - /proc
        held = {one.id: os.fstat(one.file.fd) for one in inputs}
        if outputs is not None:
            seen[OUT_FOLDER], held[OUT_FOLDER] = os.stat(root + OUT_FOLDER), os.fstat(outputs.fd)  # noqa: PTH116
    except OSError:
        return None
    return {key for key, facts in seen.items() if not os.path.samestat(facts, held[key])}
