"""Answers that are too long for memory: each waits in a file without a name until it is taken.

All of them together have a ceiling, so that whoever asks for much and takes little fills no disk.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

from lustre_events.errors import LustreEventsError

log = logging.getLogger(__name__)


class NoRoom(LustreEventsError):
    """An answer cannot be kept now; the sentence is for who asked."""


def folder_of(environment: Mapping[str, str]) -> Path | None:
    """Return the folder that systemd gives this service; None: the system's folder for temporary files."""
    named = environment.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(named) if named else None


class LongAnswer:
    """An answer in a file: read it from the first byte on; `close` makes room for others."""

    def __init__(self, spool: Spool, file: IO[bytes]) -> None:
        self._spool, self._file, self._size = spool, file, 0
        self.read, self.seek, self.tell = file.read, file.seek, file.tell

    def write(self, part: bytes) -> None:
        """Append a part. Raises NoRoom, OSError."""
        self._spool.take(len(part))
        self._size += len(part)
        self._file.write(part)

    def close(self) -> None:
        """Drop the file."""
        self._file.close()
        size, self._size = self._size, 0
        self._spool.give_back(size)

    def __del__(self) -> None:
        self.close()


class Spool:
    """Keeps answers in files of a folder (None: the system's for temporary files), up to `most` bytes in all."""

    def __init__(self, folder: Path | None, most: int) -> None:
        self._folder, self._most, self._used = folder, most, 0
        self._lock = threading.Lock()

    def keep(self, parts: Iterable[bytes]) -> LongAnswer:
        """Return an answer when all of it is written. Raises NoRoom; and whatever its parts raise."""
        kept = self._new()
        try:
            for part in parts:
                self._write(kept, part)
            kept.seek(0)
        except BaseException:
            kept.close()
            raise
        return kept

    def take(self, size: int) -> None:
        """Take room for some bytes. Raises NoRoom."""
        with self._lock:
            if self._used + size > self._most:
                raise NoRoom(
                    f"All long answers that wait to be taken may have {self._most >> 20} MiB, and this one does not"
                    " fit. Try again in a minute, or ask for less at once."
                )
            self._used += size

    def give_back(self, size: int) -> None:
        """Give room back."""
        with self._lock:
            self._used -= size

    def _new(self) -> LongAnswer:
        try:
            return LongAnswer(self, tempfile.TemporaryFile(dir=self._folder))
        except OSError as exc:
            raise self._unkept(exc) from exc

    def _write(self, kept: LongAnswer, part: bytes) -> None:
        try:
            kept.write(part)
        except OSError as exc:
            raise self._unkept(exc) from exc

    def _unkept(self, exc: OSError) -> NoRoom:
        where = self._folder or tempfile.gettempdir()
        log.error("a long answer cannot be kept in %s: %s", where, exc.strerror or exc, extra={"action": "keep"})
        return NoRoom("A long answer cannot be kept here now. Ask for less at once, or tell your administrators.")
