"""systemd's side: units that do not start after a boot, and processes that end again and again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator

from lustre_events import subprocesses
from lustre_events.node.doctor.findings import Finding, failure, info, ok, warning

SECONDS = 10.0
OFTEN = 5
"""Restarts by systemd that are no accident any more."""
PATTERN = "lustre-events*.service"
_FIELDS = "Id,ActiveState,UnitFileState,NRestarts"


def show() -> str:
    """Return what systemctl says of our units; empty where systemd does not run."""
    if not os.path.isdir("/run/systemd/system"):  # noqa: PTH112
        return ""
    try:
        done = subprocesses.run(["systemctl", "show", f"--property={_FIELDS}", PATTERN], SECONDS)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace")


def look(said: Callable[[], str] = show) -> Iterator[Finding]:
    """Look at all units of this node that were ever started."""
    text = said()
    blocks = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in text.split("\n\n")]
    for each in blocks:
        unit = each.get("Id", "")
        if not unit:
            continue
        state, restarts = each.get("ActiveState", ""), each.get("NRestarts", "0")
        if restarts.isdecimal() and int(restarts) >= OFTEN:
            yield failure("units", f"{unit} was started again {restarts} times: it ends by itself",
                          f"journalctl -u {unit} -n 20; then: systemctl reset-failed {unit}")  # fmt: skip
        elif state == "failed":
            yield failure("units", f"{unit} has failed", f"journalctl -u {unit} -n 20")
        elif state == "active" and each.get("UnitFileState") == "disabled":
            yield warning("units", f"{unit} runs, and will not start after a boot", f"systemctl enable {unit}")
        elif state == "active":
            yield ok("units", f"{unit} runs")
        else:
            yield info("units", f"{unit} is {state or 'not there'}", f"systemctl enable --now {unit}")
