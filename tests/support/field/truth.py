"""What a machine's index says, against its tree as os.walk sees it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from tests.support.field.machine import Machine
from tests.support.waiting import came_true

MOUNT = "/mnt/lustre"
SETTLE_SECONDS = 150.0
KINDS = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l"}

Row = tuple[Any, ...]


def walked(top: Path) -> dict[str, Row]:
    """Return type, size, time, owner, mode and, of a table, its columns for each path below a folder."""
    found: dict[str, Row] = {}
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = Path(folder, name)
            status = path.lstat()
            kind = KINDS[stat.S_IFMT(status.st_mode)]
            # what lies in a folder changes its size and time by itself, which is no record of its own
            rest = (status.st_size, status.st_mtime_ns) if kind == "f" else (0, 0)
            columns = path.read_text().split("\n")[0].split(",") if kind == "f" and name.endswith(".csv") else []
            mode = f"{stat.S_IMODE(status.st_mode):04o}"
            found["/" + str(path.relative_to(top))] = (
                kind,
                *rest,
                status.st_uid,
                status.st_gid,
                mode,
                tuple(columns),
            )
    return found


def told(machine: Machine) -> dict[str, Row]:
    """Return the same of everything that the index has."""
    said = machine.run("lustre-events search '*' --json --limit 1000000", check=False)
    assert said.returncode in {0, 1}, said.stderr
    found: dict[str, Row] = {}
    for line in said.stdout.splitlines():
        hit = json.loads(line)
        rest = (hit["size"], hit["mtime_ns"]) if hit["type"] == "f" else (0, 0)
        for path in hit["paths"]:
            table = hit["documents"].get("tabular", {}) if path.endswith(".csv") else {}
            columns = tuple(table.get("columns", ()))
            found[path.removeprefix(MOUNT)] = (hit["type"], *rest, hit["uid"], hit["gid"], hit["mode"], columns)
    return found


def differences(machine: Machine, files: Path) -> list[str]:
    """Return where the two differ, as lines."""
    real, index = walked(files), told(machine)
    return [
        f"{path!r}: is {real.get(path)}, index: {index.get(path)}"
        for path in sorted(real.keys() | index.keys()) if real.get(path) != index.get(path)
    ]  # fmt: skip


def check_truth(machine: Machine, seconds: float = SETTLE_SECONDS, files: Path | None = None) -> None:
    """Wait until the index is what the tree is; `verify` must say so too, and nothing be lost or have failed.

    `files` is where the tree lies here; None: on the machine's own disk.
    """
    left: list[str] = []

    def same() -> bool:
        left[:] = differences(machine, files or machine.at(MOUNT))
        return not left

    assert came_true(same, seconds), "\n".join([f"{len(left)} differences:", *left[:20], report(machine)])

    def verified() -> bool:
        found = machine.run(f"lustre-events verify {MOUNT}", check=False)
        left[:] = [found.stdout, found.stderr]
        return found.returncode == 0

    # Names come first; facts of directories follow when workers have looked at them.
    assert came_true(verified, seconds), "\n".join(left)
    assert losses(machine) == []
    assert status(machine)["index"]["failures"] == {}


def status(machine: Machine) -> dict[str, Any]:
    """Return what `status` says."""
    found: dict[str, Any] = json.loads(machine.says("lustre-events status --json"))
    return found


def losses(machine: Machine) -> list[object]:
    """Return what was lost and is not accepted yet."""
    return [loss for mdt in status(machine)["mdts"].values() for loss in mdt["losses"] if not loss["accepted"]]


def report(machine: Machine) -> str:
    """Return what helps to see why: status, units, and the end of the journal."""
    done = machine.run(
        "lustre-events status; systemctl --no-pager --full list-units 'lustre-events*' redis-server;"
        " journalctl --no-pager -n 40 -u 'lustre-events*' -u redis-server", check=False,
    )  # fmt: skip
    return done.stdout + done.stderr
