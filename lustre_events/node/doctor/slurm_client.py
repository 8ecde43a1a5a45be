"""What jobs of Slurm need: its commands, a controller that answers, accounting, and the site's scripts."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from lustre_events.actions.slurm_commands import SlurmCommands, SlurmFailed
from lustre_events.domain.rules import batch_scripts
from lustre_events.errors import ConfigError
from lustre_events.node.doctor.findings import Finding, failure, ok, warning

PROGRAMS = ("sbatch", "squeue", "scontrol", "scancel")


def look(scripts: Path, commands: SlurmCommands | None = None) -> Iterator[Finding]:
    """Look whether a worker for actions can submit the scripts of a folder."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        yield failure("slurm", f"{', '.join(missing)} is not on PATH", "install the client of Slurm on this node")
        return
    yield from _scripts(scripts)
    asked = commands or SlurmCommands()
    try:
        said = asked.check()
        accounted = asked.accounted([1])
    except SlurmFailed as exc:
        yield failure("slurm", str(exc), "look at slurmctld, slurmdbd and munge, and at slurm.conf on this node")
        return
    yield ok("slurm", said.replace("\n", "; "))
    if accounted is None:
        yield warning(
            "slurm", "there is no accounting: how a job ended is known for MinJobAge seconds only",
            "set AccountingStorageType, or keep MinJobAge at 300 or above",
        )  # fmt: skip


def _scripts(folder: Path) -> Iterator[Finding]:
    try:
        names = [batch_scripts.script_of(name) for name in batch_scripts.endpoints(folder)]
    except ConfigError as exc:
        yield failure("slurm", str(exc), "make the folder, or correct [actions] slurm_scripts")
        return
    for path in (folder, *(folder / name for name in names)):
        facts = path.stat()
        if facts.st_uid not in {0, os.geteuid()} or facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            yield failure("slurm", f"{path}: others could change it, so no job is made from it",
                          f"chown root {path} && chmod go-w {path}")  # fmt: skip
        elif not facts.st_mode & (stat.S_IXOTH if path == folder else stat.S_IROTH):
            yield failure("slurm", f"{path}: users cannot read it, and their jobs are made from it",
                          f"chmod o+{'x' if path == folder else 'r'} {path}")  # fmt: skip
