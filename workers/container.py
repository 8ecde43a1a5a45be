"""Extractors in Apptainer containers: one container for a whole batch.

The flags are those that held when somebody tried to get out: no home, no host processes, no network, no
capabilities, no environment, inputs bound one by one and read-only, no system call that makes a way out. A
worker that is root never runs a container: it becomes `run_as` first.

What is bound is what was opened: an input's link could be made to lead elsewhere between our look at it
and the runtime's. So the program gets no word on stdin before the inputs that the container's PID 1 sees
have been compared, by device and inode, with the files that this worker holds open.

spython builds the command line. It does not run it: it knows no deadline, no bounds, and no separate streams;
and it looks only for a program called singularity, where today's is called apptainer.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spython import main as spython

from lustre_events.errors import ContainerFailed, ImageMissing, RuntimeMissing
from lustre_events.manifest import Manifest
from workers import child, syscalls
from workers.child import Ended
from workers.files import OpenFile
from workers.privileges import Account, readable_by
from workers.processes import container_init
from workers.runs import GONE, PROGRAM_PATH, Finding, Input, Start, limits, run_contract, staging

FLAGS = (
    "--containall", "--no-home", "--pwd", "/", "--net", "--network", "none", "--no-privs",
)  # fmt: skip
IN_FOLDER = "/in"
VERSION_SECONDS = 20
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin", "LANG": "C.UTF-8"}
# A `single` program reads no stdin, so something must wait for it instead.
_WAIT_FOR_STDIN = ("sh", "-c", 'read -r _; exec "$@" </dev/null', "sh")


class _CommandLines(type(spython.Client)):  # type: ignore[misc]
    """spython's client, except that a command is returned and not run."""

    def _run_command(self, cmd: list[str], **_: object) -> list[str]:
        return cmd


class ContainerRuntime:
    """Runs extractors in containers.

    Args:
        images: the folder of the images that manifests name.
        account: whose rights containers run with; None: this process's own, which must not be root.

    Raises:
        RuntimeMissing: neither apptainer nor singularity is on PATH, or it does not run.
    """

    def __init__(self, images: Path, account: Account | None) -> None:
        path = shutil.which("apptainer") or shutil.which("singularity")
        if path is None:
            raise RuntimeMissing(
                "neither apptainer nor singularity is on PATH; install Apptainer, "
                'or set [worker] runtime = "process" for trusted extractors'
            )
        self._program = path
        self._version = _version(path)
        self._images = images.absolute()
        self._account = account
        self._digests: dict[tuple[str, int, int, int], str] = {}
        self._commands: dict[str, list[str]] = {}

    def describe(self) -> str:
        """Return in a few words what it runs extractors with."""
        who = self._account.name if self._account else "this user"
        return f"{self._version} containers as {who}, images from {self._images}"

    def prepare(self, manifests: Mapping[str, Manifest]) -> list[str]:
        """Do once what every job would have to do again; return a sentence per extractor that cannot run."""
        missing = []
        for manifest in manifests.values():
            try:
                self._digest(self._image(manifest))
            except ImageMissing as exc:
                missing.append(str(exc))
            else:
                self._command(manifest)
        return missing

    def provenance(self, manifest: Manifest) -> dict[str, Any]:
        """Return runtime and image; the digest is SHA-256 over a SIF, or over an unpacked image's marker."""
        image = self._image(manifest)
        return {"runtime": self._version, "image": image.name, "image_digest": self._digest(image)}

    def run(self, manifest: Manifest, files: Sequence[OpenFile], seconds: float) -> list[Finding]:
        """Run the extractor over `files`; see runs.Runtime."""
        self._image(manifest)
        ends = time.monotonic() + seconds
        found: dict[int, Finding] = {}
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
                    lambda start: self._launch(manifest, start),
                    IN_FOLDER,
                )
            except ContainerFailed:
                # A file that went away meanwhile cannot be bound, and the runtime gives up: on with the others.
                if not self._unfit(files, found):
                    raise
            else:
                found |= zip(left, findings, strict=True)
        return [found[place] for place in range(len(files))]

    def _unfit(self, files: Sequence[OpenFile], found: Mapping[int, Finding]) -> dict[int, Finding]:
        """Return, by place, the findings of files that cannot be bound: one of them would stop all others."""
        unfit: dict[int, Finding] = {}
        who = self._account.name if self._account else "this worker's user"
        may_read = readable_by(self._account, [file.path for file in files])
        for place, file in enumerate(files):
            if place in found:
                continue
            if not file.in_place():
                unfit[place] = GONE
            elif not may_read[place]:
                unfit[place] = Finding("failed", error=f"{who}, as whom containers run here, may not read it")
        return unfit

    def _launch(self, manifest: Manifest, start: Start) -> tuple[Ended, frozenset[str]]:
        swapped: set[str] = set()

        def look(session: int) -> bytes | None:
            found = _swapped(container_init(session), start.inputs)
            if found is None:
                return None
            swapped.update(found)
            if not found:
                return start.stdin
            lines = start.stdin.splitlines(keepends=True)
            return b"".join(line for one, line in zip(start.inputs, lines, strict=False) if one.id not in found)

        with staging(manifest, [(one.name, one.file.path) for one in start.inputs]) as (folder, tell):
            options = [_mount(folder / "extractor", PROGRAM_PATH)]
            options += [_mount(folder / "in" / one.name, f"{IN_FOLDER}/{one.name}") for one in start.inputs]
            options.append(f"--security=seccomp:{syscalls.write(folder)}")
            command = self._command(manifest)
            at = command.index("--pwd")
            ended = child.run(
                [*command[:at], *options, *command[at:], *start.arguments],
                environment=_ENVIRONMENT,
                account=self._account,
                bounds=start.bounds,
                on_line=start.on_line,
                stdin=look,
                tell=tell,
            )
        return ended, frozenset(swapped)

    def _command(self, manifest: Manifest) -> list[str]:
        """Return the command line without mounts and arguments, as spython builds it."""
        if manifest.name not in self._commands:
            gate = _WAIT_FOR_STDIN if manifest.contract == "single" else ()
            built = _CommandLines().execute(
                str(self._image(manifest)),
                [*gate, *limits(manifest, in_container=True), *manifest.command],
                options=list(FLAGS),
                nv=manifest.gpu,
                quiet=True,
            )
            self._commands[manifest.name] = [self._program, "--quiet", *built[built.index("exec") :]]
        return self._commands[manifest.name]

    def _image(self, manifest: Manifest) -> Path:
        named = self._images / manifest.image
        for path in (named, named.with_name(named.name + ".sif")):
            if path.exists():
                if self._account and not self._account.may_read(path):
                    raise ImageMissing(
                        f"{path}: the image of {manifest.name} cannot be read by {self._account.name}, who runs "
                        "containers here; put images where everybody may read ([worker] images)"
                    )
                return path
        raise ImageMissing(
            f"{named}: the image of {manifest.name} is not there; build it with extractors/build-images.sh"
        )

    def _digest(self, image: Path) -> str:
        """Return the image's digest, computed anew only when the file has changed."""
        marker = image / ".singularity.d" / "labels.json" if image.is_dir() else image
        if not marker.is_file():
            return ""
        facts = marker.stat()
        key = (str(marker), facts.st_ino, facts.st_size, facts.st_mtime_ns)
        if key not in self._digests:
            with marker.open("rb") as file:
                self._digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._digests[key]


def _version(program: str) -> str:
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise RuntimeMissing(f"{program} does not tell its version ({exc}); mend the installation") from exc
    return done.stdout.strip()


def _mount(source: Path, destination: str) -> str:
    # Apptainer reads the words as CSV: within quotes only a quote is special, and is doubled.
    quoted = str(source).replace('"', '""')
    return f'--mount=type=bind,"source={quoted}",destination={destination},ro'


def _swapped(init: int, inputs: Sequence[Input]) -> set[str] | None:
    """Return the ids of inputs that are other files inside the container than here; None: it is not up yet."""
    if not init:
        return None
    root = f"/proc/{init}/root"
    try:
        seen = {one.id: os.stat(f"{root}{IN_FOLDER}/{one.name}") for one in inputs}  # noqa: PTH116 - /proc
    except OSError:
        return None
    held = {one.id: os.fstat(one.file.fd) for one in inputs}
    return {key for key, facts in seen.items() if not os.path.samestat(facts, held[key])}
