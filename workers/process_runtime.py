"""Trusted extractors without a container, for machines that have no container runtime.

The same contract, deadline and bounds; no isolation beyond another user's rights where the worker is root.
Only extractors whose manifest says `trusted` run like this, and every document says runtime "process".
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Self

from lustre_events.catalog import shipped
from lustre_events.catalog.manifest import Manifest
from lustre_events.errors import ContainerFailed, ManifestError, RuntimeMissing
from workers import child_process
from workers.child_process import Ended, Tell
from workers.files import OpenFile
from workers.privileges import Account
from workers.runs import PROGRAM_PATH, Outputs, ProgramRun, RunOutcome, limits, run_action, run_contract, staging

SYSTEM_PYTHONS = (Path("/usr/bin/python3"), Path("/usr/local/bin/python3"))
"""Run by an account that cannot reach this process's own Python; then only packages of the system are there."""


class ProcessRuntime:
    """Runs trusted extractors with this Python, or with the system's where `account` may not run this one.

    Raises:
        RuntimeMissing: `account` may run neither.
    """

    def __init__(self, account: Account | None) -> None:
        self._account = account
        self._python = _python_for(account) if account else sys.executable

    def acting_as(self, account: Account | None) -> Self:
        """Return the same runtime for another account. Raises RuntimeMissing: as the class."""
        return self if account == self._account else type(self)(account)

    def prepare(self, _manifests: Collection[Manifest]) -> list[str]:
        """Return nothing: `describe` says that only trusted extractors run."""
        return []

    def describe(self) -> str:
        """Return in a few words what it runs extractors with."""
        who = self._account.name if self._account else "this user"
        return f"trusted extractors as processes of {who} with {self._python}, without containers"

    def provenance(self, _: Manifest) -> dict[str, Any]:
        """Return runtime and image: there is none."""
        return {"runtime": "process", "image": "", "image_digest": ""}

    def run(self, manifest: Manifest, files: Sequence[OpenFile], seconds: float) -> list[RunOutcome]:
        """Run the extractor over `files`; see runs.Runtime. Raises ManifestError for one that is not trusted."""
        if not manifest.trusted or manifest.owner:
            raise ManifestError(_untrusted(manifest.identity))
        # A link to a descriptor of the program itself: what it opens is what was opened here.
        targets = [(file, b"/proc/self/fd/%d" % file.fd) for file in files]

        names = [(f"{number:04}{file.suffix}", target) for number, (file, target) in enumerate(targets, start=1)]
        with staging(manifest, names, shipped.extractors() / shipped.HELPERS) as (folder, tell):
            return run_contract(
                manifest,
                files,
                seconds,
                lambda start: (self._launch(manifest, folder, tell, start), frozenset()),
                str(folder / "in"),
            )

    def act(
        self, manifest: Manifest, file: OpenFile, outputs: Outputs, settings: str, seconds: float
    ) -> RunOutcome:
        """Run an action on a file; see runs.Runtime. Raises ManifestError for one that is not trusted."""
        if not manifest.trusted or manifest.owner:
            raise ManifestError(_untrusted(manifest.identity))
        link = (f"0001{file.suffix}", b"/proc/self/fd/%d" % file.fd)
        with staging(manifest, [link], shipped.extractors() / shipped.HELPERS) as (folder, tell):
            return run_action(
                manifest, file, outputs, (os.fsdecode(outputs.path), settings), seconds,
                lambda start: (self._launch(manifest, folder, tell, start), frozenset()), str(folder / "in"),
            )  # fmt: skip

    def _launch(self, manifest: Manifest, folder: Path, tell: Tell, start: ProgramRun) -> Ended:
        command = [
            self._python if word == "python3" else word.replace(f"{PROGRAM_PATH}/", f"{folder}/extractor/", 1)
            for word in manifest.command
        ]
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        try:
            return child_process.run(
                [*limits(manifest, in_container=False), *command, *start.arguments],
                environment=environment,
                account=self._account,
                bounds=start.bounds,
                on_line=start.on_line,
                stdin=lambda _: start.stdin,
                tell=tell,
                pass_fds=[one.file.fd for one in start.inputs],
            )
        except OSError as exc:
            raise ContainerFailed(f"the program of {manifest.name} cannot be started: {exc}") from exc


def _untrusted(names: str) -> str:
    return f'not trusted, so run only in a container, by a worker with [worker] runtime = "apptainer": {names}'


def _python_for(account: Account) -> str:
    """Return a Python that `account` may run. A virtual environment in root's home is none."""
    for python in (Path(sys.executable), *SYSTEM_PYTHONS):
        if python.exists() and account.may_read(python) and account.may_read(python.resolve()):
            return str(python)
    raise RuntimeMissing(
        f"{sys.executable} cannot be run by {account.name}, the account that runs extractors here; "
        "install python3 or install this where everybody may, start the worker as an ordinary user, or use "
        "containers"
    )
