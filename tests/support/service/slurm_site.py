"""A tree, job scripts of a site, and a worker for them in this process, over a real Slurm."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lustre_events.actions.delivery import Delivery, Parcel
from lustre_events.actions.run_transitions import Attempt
from lustre_events.actions.slurm_commands import SlurmCommands
from lustre_events.changelog.fid import FID
from lustre_events.domain.rules.batch_scripts import endpoint_name
from tests.support.records.builders import fid_of
from workers.files import Files
from workers.privileges import account_of
from workers.rights import Rights
from workers.slurm_jobs import SlurmJobs

FAR_NS = 1 << 62
OWNER = account_of(65534) if os.geteuid() == 0 else account_of(os.geteuid())
"""Whose files they are."""
SCRIPT = """#!/bin/sh
# usage: FILE KEY [CODE]
printf '%s|%s|%s|%s\\n' "$SLURM_JOB_ID" "$(id -u)" "$1" "$3" >> ran/"$2"
exit "${4:-0}"
"""


def fid_of_name(fd: int) -> FID | None:
    """Return the FID of a file of this tree: its name is `fNUMBER...`."""
    name = os.path.basename(os.readlink(os.fsencode(f"/proc/self/fd/{fd}")))  # noqa: PTH115, PTH119 - bytes
    return fid_of(int(name[1:].partition(b"-")[0]))


class SlurmSite:
    """A worker for jobs. Jobs write a line for each time that they run into `ran/KEY` beside their file."""

    def __init__(self, folder: Path, look_seconds: float = 0.0) -> None:
        self.tree, self.ran, scripts = folder / "tree", folder / "tree" / "ran", folder / "scripts"
        for each in (self.tree, self.ran, scripts):
            each.mkdir()
        os.chown(self.ran, OWNER.uid, OWNER.gid)
        self.script = scripts / "reduce.sh"
        self.script.write_text(SCRIPT)
        self.script.chmod(0o755)
        rights = Rights(None)
        files = Files(os.fsencode(self.tree), fid_of_name)
        self.jobs = SlurmJobs(scripts, files, rights, SlurmCommands(), look_seconds)

    def write(self, number: int, more: bytes = b"") -> bytes:
        """Make a file of the owner, and return its name."""
        name = b"f%d%b" % (number, more)
        path = os.fsencode(self.tree) + b"/" + name
        with open(path, "wb"):  # noqa: PTH123 - bytes
            os.chown(path, OWNER.uid, OWNER.gid)
        return name

    def parcel(self, name: str, *, path: str = "f1", arguments: Sequence[str] = (), **options: str) -> Parcel:
        """Return a run of the file 1, named by its key."""
        order: dict[str, Any] = {"fid": str(fid_of(1)), "path": path, "options": options}
        body = json.dumps(order | {"arguments": [name, *arguments]}).encode()
        return Parcel(f"run-{name}", name, body, "")

    def attempt(self, event: Parcel, script: str = "reduce.sh") -> Attempt:
        """Make one attempt."""
        ((_, found),) = self.jobs.attempts(Delivery("a", endpoint_name(script), FAR_NS, (event,)))
        return found

    def until(self, event: Parcel, ended: Callable[[Attempt], bool]) -> Attempt:
        """Look at a run, each time with what was found before, until it is as wanted."""
        for _ in range(100_000):
            found = self.attempt(event)
            if ended(found):
                return found
            event = _with(event, found.handle)
        raise AssertionError(found)

    def lines(self, key: str) -> list[str]:
        """Return what the jobs of a key have written."""
        path = self.ran / key
        return path.read_text(errors="surrogateescape").splitlines() if path.exists() else []

    def clock_of(self, clock: Callable[[], int]) -> None:
        """Tell time by this clock."""
        self.jobs = replace(self.jobs, clock=clock)

    def with_commands(self, commands: SlurmCommands) -> None:
        """Call these commands instead."""
        self.jobs = replace(self.jobs, commands=commands)


def _with(event: Parcel, handle: str) -> Parcel:
    return Parcel(event.run, event.key, event.body, handle, event.again)


def queue(*words: str) -> str:
    """Return what squeue says of all jobs."""
    argv = ["squeue", "-h", "-a", "--states=all", "-o", "%A %j %T %r", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20).stdout
