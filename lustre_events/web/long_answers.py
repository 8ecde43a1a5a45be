"""Answers that are too long for memory: each waits in a file without a name until it is taken.

All of them together have a ceiling, so that whoever asks for much and takes little fills no disk; one has an eighth
of it at most, and those of one user half, so that none keeps the others out.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from lustre_events.errors import LustreEventsError

MIB = 1 << 20
KEPT_BYTES = MIB
"""What is longer waits in a file for whoever takes it."""
SHARE = 8
"""One answer may have this part of the room of all."""
USER_SHARE = 2
"""Those of one user together may have this part of it."""

log = logging.getLogger(__name__)


class NoRoom(LustreEventsError):
    """An answer cannot be kept now; the sentence is for who asked."""


class TooLong(NoRoom):
    """An answer is longer than one may be: to try again does not help."""


def folder_of(environment: Mapping[str, str]) -> Path | None:
    """Return the folder that systemd gives this service; None: the system's folder for temporary files."""
    named = environment.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(named) if named else None


class LongAnswer:
    """An answer in a file: read it from the first byte on; `close` makes room for others. `uid`: whose it is."""

    def __init__(self, spool: Spool, file: IO[bytes], uid: int | None) -> None:
        self._spool, self._file, self._size, self._uid = spool, file, 0, uid
        self.read, self.seek, self.tell = file.read, file.seek, file.tell

    def write(self, part: bytes) -> None:
        """Append a part. Raises NoRoom, OSError."""
        self._spool.check(self._size + len(part))
        self._spool.take(len(part), self._uid)
        self._size += len(part)
        self._file.write(part)

    def finish(self) -> None:
        """Write what is still in memory, and go back to the first byte. Raises OSError."""
        self._file.seek(0)

    def close(self) -> None:
        """Drop the file."""
        with contextlib.suppress(OSError):  # a full disk: closing writes what is still in memory
            self._file.close()
        size, self._size = self._size, 0
        if size:
            self._spool.give_back(size, self._uid)

    def __del__(self) -> None:
        self.close()


class Spool:
    """Keeps answers in files of a folder (None: the system's for temporary files), up to `most` bytes in all."""

    def __init__(self, folder: Path | None, most: int) -> None:
        self._folder, self._most, self._used = folder, most, 0
        self._of_users: dict[int | None, int] = {}
        self._lock = threading.RLock()  # an answer may be collected as garbage while its own thread takes room

    def keep(self, parts: Iterable[bytes], uid: int | None = None) -> LongAnswer:
        """Return an answer when all of it is written. Raises NoRoom; and whatever its parts raise.

        `uid`: whose it is; None: nobody's that is known.
        """
        kept = self._new(uid)
        try:
            for part in parts:
                with self._refusing():
                    kept.write(part)
            with self._refusing():
                kept.finish()
        except BaseException:
            kept.close()
            raise
        return kept

    def check(self, size: int) -> None:
        """Raise TooLong where one answer has more bytes than its share."""
        most = self._most // SHARE
        if size > most:
            mib = max(most, KEPT_BYTES) / MIB
            raise TooLong(
                f"This answer has more than {mib:.4g} MiB, the most that one may have here. Ask for less at"
                " once. `lustre-events search --format jsonl` takes all hits, in portions."
            )

    def take(self, size: int, uid: int | None = None) -> None:
        """Take room for some bytes of a user's. Raises NoRoom."""
        with self._lock:
            whose, most, used = "All", self._most, self._used
            own = self._of_users.get(uid, 0)
            if uid is not None and own + size > self._most // USER_SHARE:
                whose, most, used = "Your", self._most // USER_SHARE, own
            if used + size > most:
                raise NoRoom(
                    f"{whose} long answers that wait to be taken may have {most / MIB:.4g} MiB, and this one does"
                    " not fit. Try again in a minute, or ask for less at once."
                )
            self._used += size
            self._of_users[uid] = self._of_users.get(uid, 0) + size

    def give_back(self, size: int, uid: int | None = None) -> None:
        """Give room of a user back."""
        with self._lock:
            self._used -= size
            left = self._of_users.pop(uid, 0) - size
            if left > 0:
                self._of_users[uid] = left

    def _new(self, uid: int | None) -> LongAnswer:
        with self._refusing():
            return LongAnswer(self, tempfile.TemporaryFile(dir=self._folder), uid)

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        """Make NoRoom of what the disk refuses, and say that in the log."""
        try:
            yield
        except OSError as exc:
            raise self._unkept(exc) from exc

    def _unkept(self, exc: OSError) -> NoRoom:
        where = self._folder or tempfile.gettempdir()
        log.error("a long answer cannot be kept in %s: %s", where, exc.strerror or exc, extra={"action": "keep"})
        return NoRoom("A long answer cannot be kept here now. Ask for less at once, or tell your administrators.")
