"""What killed attempts have left in directories for outputs: written down before, and swept now and then.

A worker keeps a note of each attempt that it begins, a file in a folder of its own, until the attempt's directory
is gone. The next run in the same directory sweeps it too; where none comes, the worker does, once the attempt has
ended. A plan is moved to its end, unless a newer run has published meanwhile; all else is removed. What cannot be
swept, as where the file system is not mounted yet, is tried again for a day.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lustre_events.domain.rules.containers import expiry_of
from workers import publication
from workers.as_owner import as_owner
from workers.publication import LATE_NS, OutputsRefused, Place
from workers.rights import OwnerRefused, Rights

log = logging.getLogger(__name__)

MOST_SWEPT = 20
"""Notes of one sweep."""
DAY_NS = 86_400 * 10**9
"""So long after its end an attempt whose target cannot be used is tried again."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Keeps notes in a folder, and sweeps what they name."""

    folder: Path
    mount: bytes
    rights: Rights
    clock: Callable[[], int] = time.time_ns
    most: int = MOST_SWEPT

    def note(self, place: Place) -> None:
        """Remember an attempt before its directory is made; where that cannot be written down the log says it."""
        note = {"directory": os.fsdecode(place.directory), "marker": os.fsdecode(place.marker), "uid": place.uid}
        try:
            self.folder.mkdir(0o700, parents=True, exist_ok=True)
            path = self.folder / os.fsdecode(place.name)
            with open(os.open(path, _NEW, 0o600), "w") as file:  # noqa: PTH123 - a descriptor
                file.write(json.dumps(note))
        except OSError as exc:
            said = "%s: cannot be written (%s), so what a killed run leaves waits for the next one in its directory"
            log.warning(said, self.folder, exc.strerror, extra={"action": "sweep"})

    def forget(self, place: Place, device: int) -> None:
        """Forget an attempt, if it is known that nothing is left of it.

        `device`: that of its input, by which its directory is known to be there: a file system that was unmounted
        meanwhile, or a target that cannot be examined, shows nothing, and its note waits for the sweep.
        """
        if not all(map(_is_absent, (place.staging, place.staging + publication.PLAN))):
            return
        if _device_of(place.target) == device:
            self.drop(place)

    def drop(self, place: Place) -> None:
        """Forget an attempt that has made nothing."""
        with contextlib.suppress(OSError):
            (self.folder / os.fsdecode(place.name)).unlink(missing_ok=True)

    def sweep(self) -> int:
        """Sweep what attempts that are over have left, the longest untried first; return how many are settled."""
        over = [path for path in self._notes() if 0 < expiry_of(os.fsencode(path.name)) + LATE_NS < self.clock()]
        return sum(self._settled(path) for path in sorted(over, key=_tried)[: self.most])

    def _notes(self) -> list[Path]:
        with contextlib.suppress(OSError):
            return list(self.folder.iterdir())
        return []

    def _settled(self, path: Path) -> bool:
        """Settle one attempt; False: it is tried again later."""
        try:
            place = self._place(path)
            account = self.rights.owner(place.uid)
            as_owner(account, partial(publication.settle, place), OutputsRefused)
        except (OwnerRefused, OutputsRefused, FileNotFoundError) as exc:
            if self.clock() < expiry_of(os.fsencode(path.name)) + DAY_NS:
                return _later(path)
            _give_up(exc)
        except OSError:
            return _later(path)
        except (ValueError, KeyError, TypeError) as exc:
            _give_up(exc)
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        return True

    def _place(self, path: Path) -> Place:
        note: dict[str, Any] = json.loads(path.read_text())
        marker, directory = os.fsencode(note["marker"]), os.fsencode(note["directory"])
        return Place(self.mount, directory, marker, os.fsencode(path.name), int(note["uid"]))


def _is_absent(path: bytes) -> bool:
    """Whether there is surely nothing at a path."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except OSError:
        pass
    return False


def _device_of(path: bytes) -> int | None:
    try:
        return os.lstat(path).st_dev
    except OSError:
        return None


def _give_up(reason: Exception) -> None:
    log.warning("what an attempt has left cannot be swept: %s", reason, extra={"action": "sweep"})


def _later(path: Path) -> bool:
    """Put a note behind the others."""
    with contextlib.suppress(OSError):
        os.utime(path)
    return False


def _tried(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
