"""Losses that readers or the dispatcher have marked, kept beside the segments: records of them never came.

    FOLDER/lustre-MDT0000/losses.json     [[epoch, first index, last index, time in ns, reason], ...]

A mark can be withdrawn, when the index has the records after all, or vanish with Redis. Here it stays: whether the
history has records of that range is seen when it is read (gaps.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from lustre_events.streams.interface import Loss

NAME = "losses.json"
MOST = 200
"""Most losses kept of one MDT; older ones are forgotten."""

_Row = tuple[int, int, int, int, str]


def read(folder: Path, mdt: str) -> list[Loss]:
    """Return the losses of an MDT, oldest first. Raises OSError, ValueError: the file is damaged."""
    try:
        data = (folder / mdt / NAME).read_bytes()
    except FileNotFoundError:
        return []
    return [Loss(mdt, *row) for row in msgspec.json.decode(data, type=list[_Row])]


class LossBook:
    """Keeps losses of all MDTs in a history's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, list[Loss]] = {}

    def note(self, found: Iterable[Loss], oldest_ns: int) -> int:
        """Keep losses, forget those before a time, and return how many are new or have grown. Raises OSError."""
        changed = 0
        by_mdt: dict[str, list[Loss]] = {}
        for loss in found:
            if loss.time_ns >= oldest_ns:
                by_mdt.setdefault(loss.mdt, []).append(msgspec.structs.replace(loss, accepted=False))
        for mdt, losses in by_mdt.items():
            known = self._of(mdt)
            kept = {(each.epoch, each.first_index, each.reason): each for each in known + losses}
            new = sum(each not in known for each in kept.values())
            if new:
                self._write(mdt, sorted(kept.values(), key=lambda each: each.time_ns), oldest_ns)
                changed += new
        return changed

    def _of(self, mdt: str) -> list[Loss]:
        if mdt not in self._known:
            try:
                self._known[mdt] = read(self._folder, mdt)
            except ValueError:  # damaged: what is marked now is written again
                self._known[mdt] = []
        return self._known[mdt]

    def _write(self, mdt: str, losses: list[Loss], oldest_ns: int) -> None:
        kept = [each for each in losses if each.time_ns >= oldest_ns][-MOST:]
        rows: list[_Row] = [
            (each.epoch, each.first_index, each.last_index, each.time_ns, each.reason) for each in kept
        ]
        folder = self._folder / mdt
        folder.mkdir(exist_ok=True, mode=0o750)
        new = folder / f"{NAME}.tmp"
        try:
            with new.open("wb") as file:
                file.write(msgspec.json.encode(rows))
                file.flush()
                os.fsync(file.fileno())
            new.rename(folder / NAME)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        self._known[mdt] = kept
