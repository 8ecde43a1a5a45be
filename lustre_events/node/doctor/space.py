"""The disks that fill: below the index, its log of changes, and Redis's folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from lustre_events.history.segments import segments_in
from lustre_events.node.doctor.findings import Finding, failure, ok, warning

GIBIBYTE = 1 << 30
LITTLE, TOO_LITTLE = 0.1, 0.02
"""Shares of a disk that are free."""
LITTLE_BYTES, TOO_LITTLE_BYTES = 10 * GIBIBYTE, GIBIBYTE
"""However large the disk is: more than this is enough."""
FULL_BYTES = 1 << 20
LARGE_WAL = GIBIBYTE


def index(path: Path) -> Iterator[Finding]:
    """Look at the disk of a SQLite index, and at its write-ahead log."""
    yield from _disk("index", path.parent)
    wal = path.with_name(f"{path.name}-wal")
    try:
        size = wal.stat().st_size
    except OSError:
        return
    if size > LARGE_WAL:
        yield warning("index", f"{wal} has {size // GIBIBYTE} GiB: a program has kept the index open for too long",
                      f"fuser -v {path}, then end the oldest of these programs")  # fmt: skip


def redis(folder: str) -> Iterator[Finding]:
    """Look at the disk of Redis's data, where that is on this node."""
    if folder and os.path.isdir(folder):  # noqa: PTH112
        yield from _disk("Redis", Path(folder))


def _disk(what: str, folder: Path) -> Iterator[Finding]:
    try:
        found = shutil.disk_usage(folder)
    except OSError:  # it is not there yet, or on another node
        return
    yield room(f"disk of {what}", folder, found.free, found.total)


def room(subject: str, folder: Path, free: int, total: int) -> Finding:
    """Return what there is to say of a disk with so much room."""
    text = f"{free / GIBIBYTE:.1f} GiB are free below {folder}"
    more = f"make room there, or move it to a larger disk (df {folder})"
    if free < min(TOO_LITTLE * total, TOO_LITTLE_BYTES):
        return failure(subject, f"the disk is full: {text}" if free < FULL_BYTES else text, more)
    if free < min(LITTLE * total, LITTLE_BYTES):
        return warning(subject, text, more)
    return ok(subject, text)


def history(folder: Path, most_bytes: int) -> Iterator[Finding]:
    """Look at the disk of the history, and how much of what it may have it has."""
    try:
        used = sum(each.path.stat().st_size for each in segments_in(folder))
    except OSError:
        yield warning("history", f"{folder} is not there: nothing is kept yet", "lustre-events history-keeper")
        return
    yield ok("history", f"{used / GIBIBYTE:.1f} of {most_bytes / GIBIBYTE:.0f} GiB in {folder}")
    yield from _disk("the history", folder)
