"""Runs the command `lustre-events` as a user does: as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]


def lustre_events(
    *arguments: str | bytes | Path,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    seconds: float = 60,
    cwd: Path = REPOSITORY,
) -> subprocess.CompletedProcess[bytes]:
    """Run the command and return what it printed and its exit code."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "lustre_events", *map(os.fsdecode, arguments)],
        input=stdin,
        capture_output=True,
        timeout=seconds,
        check=False,
        env=clean_environment(environment),
        cwd=cwd,
    )


def clean_environment(added: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without settings of lustre-events, and with `added`."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith("LUSTRE_EVENTS_")}
    return {**plain, **(added or {})}
