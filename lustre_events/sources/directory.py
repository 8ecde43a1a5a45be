"""The source of a machine without Lustre: a local directory tree that is watched, with an MDT's records.

It behaves like an MDT. Records are kept in a log of its own (directory_state) until they are cleared, so a
reader that comes back at its last index + 1 gets the same records again. When it begins, and whenever events
were missed, the whole tree is compared with what the log says, and records are made of the differences.

The first handle of a state folder watches; others (another process that stands by, a look from index 0) are
served from the log, and take over when the first one is gone. All work happens inside `read`.

What cannot be seen: who made a change, and what lies in other file systems mounted inside the tree. Found only at
the next start: truncate(2) of a file that nobody opens, and a write through a hard link outside the tree (or in a
directory made a moment before, when that link is gone again).
"""

from __future__ import annotations

import fcntl
import logging
import math
import os
import select
import sqlite3
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from lustre_events.changelog.record import HEADER_BYTES
from lustre_events.errors import (
    ChangelogBroken,
    ChangelogError,
    ChangelogRefused,
    ChangelogUnavailable,
    ChangelogUserUnknown,
)
from lustre_events.sources.directory_scan import Astray, DirectoryReconciler
from lustre_events.sources.directory_state import DirectoryState
from lustre_events.sources.inotify import OVERFLOW, InotifyWatcher, Watcher
from lustre_events.sources.local_fid import fid_of_fd, fid_of_path

LOCK_NAME = "directory.lock"
STANDBY_SECONDS = 0.1
"""How often a handle that does not watch looks for records of the one that does."""
OVERTIME_SECONDS = 1.0
"""How much longer than its timeout a `read` works that has found nothing yet, before it says so."""

log = logging.getLogger(__name__)


class DirectorySource:
    """A directory tree as an MDT; see `sources.interface.Source`.

    Clears are checked as an MDT checks them, but there is only one user, whatever its name.
    "Caught up" means: every event was looked at, and every directory was listed as far as time allowed. A name
    that is gone is held for a moment (0.1 s after a rename) before its removal is a record.
    """

    lag_seconds = 1.0
    """More than the moment for which a name that is gone is held."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        name: str = "local-MDT0000",
        *,
        state_dir: str | os.PathLike[str],
        watcher: Callable[[], Watcher] = InotifyWatcher,
    ) -> None:
        """`path` is the top directory, `state_dir` a folder for the state (left out if it lies in the tree)."""
        self.mdt = name
        self.handle = 0
        self._path = Path(path)
        self._state_dir = Path(state_dir)
        self._new_watcher = watcher
        self._state: DirectoryState | None = None
        self._next_index = 0
        self._top_fd = self._lock_fd = -1
        self._watcher: Watcher | None = None
        self._reconciler: DirectoryReconciler | None = None
        # It lives as long as this object: `wake` may come at any time, also from another thread.
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self._wake)

    def open(self, start_index: int) -> None:
        """Begin at the first record whose index is not below `start_index` (0: the oldest one left).

        Raises ChangelogUnavailable (no such directory, no rights), ChangelogRefused (a limit of inotify).
        """
        self.close()
        if start_index < 0:
            raise ChangelogRefused(
                f"{self.mdt}: a changelog cannot begin at index {start_index}; begin at 0 or above"
            )
        try:
            self._top_fd = os.open(self._path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            self._state = DirectoryState(self._state_dir)
            self._lock_fd = os.open(self._state_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._next_index = start_index
            self.handle += 1
            self._take_over()
        except OSError as exc:
            self.close()
            raise ChangelogUnavailable(
                f"{self.mdt}: {exc.filename or self._path} cannot be opened ({exc.strerror}); check it",
                exc.errno or 0,
            ) from exc
        except ChangelogError:
            self.close()
            raise

    def read(self, limit_bytes: int, timeout_seconds: float) -> bytes:
        """Return whole raw records, about `limit_bytes` at most; b"" when nothing came in time or after `wake`.

        Raises ChangelogBroken (open again at the last index + 1), ChangelogRefused (a limit of inotify).
        """
        state = self._opened()
        deadline = time.monotonic() + timeout_seconds
        try:
            while True:
                worked = self._work(state)
                data, self._next_index = state.records(self._next_index, limit_bytes)
                if data:
                    return data
                if self._woken():
                    return b""
                remaining = deadline - time.monotonic()
                if remaining <= (-OVERTIME_SECONDS if worked else 0):
                    return b""
                if not worked:
                    self._wait(remaining)
        except (OSError, sqlite3.Error) as exc:
            self.close()
            raise ChangelogBroken(
                f"{self.mdt}: watching {self._path} failed ({exc}); open it again at the last index + 1",
                getattr(exc, "errno", None) or 0,
            ) from exc
        except ChangelogError:
            self.close()
            raise

    def peek(self, start_index: int) -> bytes:
        """Return the header of the first record whose index is not below `start_index`, b"" for none.

        Raises ChangelogUnavailable.
        """
        state = self._state or DirectoryState(self._state_dir)
        try:
            return state.records(start_index, 1)[0][:HEADER_BYTES]
        except sqlite3.Error as exc:
            raise ChangelogUnavailable(
                f"{self.mdt}: the log in {self._state_dir} cannot be read ({exc}); look at its disk"
            ) from exc
        finally:
            if state is not self._state:
                state.close()

    def knows(self, user: str) -> bool:  # noqa: ARG002
        """Return True: there is one user, whatever its name."""
        return True

    def clear(self, user: str, index: int) -> None:
        """Forget the records up to `index`.

        Raises ChangelogRefused (0, or past the end), ChangelogUserUnknown (below the last clear: an MDT gives
        the same answer to both), ChangelogUnavailable.
        """
        state = self._state or DirectoryState(self._state_dir)
        try:
            last, cleared = state.marks()
            if not 0 < index <= last:
                raise ChangelogRefused(
                    f"{self.mdt}: index {index} cannot be cleared; the log holds records up to {last}"
                )
            if index < cleared:
                raise ChangelogUserUnknown(
                    f"{self.mdt}: {user} cleared up to {cleared} already; clear that index again or a later one"
                )
            state.clear(index)
        except sqlite3.Error as exc:
            raise ChangelogUnavailable(
                f"{self.mdt}: the log in {self._state_dir} cannot be changed ({exc}); is its disk full?"
            ) from exc
        finally:
            if state is not self._state:
                state.close()

    def close(self) -> None:
        """Close; closing twice is fine."""
        self._stop_watching()
        if self._state is not None:
            self._state.close()
            self._state = None
        for fd in (self._top_fd, self._lock_fd):
            if fd >= 0:
                os.close(fd)
        self._top_fd = self._lock_fd = -1

    def wake(self) -> None:
        """Make a `read` that waits return b"" at once, now or the next time; from any thread or signal handler."""
        os.eventfd_write(self._wake, 1)

    @property
    def ended(self) -> bool:
        """A live directory never ends."""
        return False

    def _opened(self) -> DirectoryState:
        if self._state is None:
            raise ChangelogBroken(f"{self.mdt}: the changelog is not open; open it first")
        return self._state

    def _woken(self) -> bool:
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return False
        return True

    def _work(self, state: DirectoryState) -> bool:
        """Do one piece of what there is to do; False: there is nothing now."""
        if self._reconciler is None or self._watcher is None:
            return self._take_over()
        events = self._watcher.events()
        if any(event.mask & OVERFLOW for event in events):
            log.warning(
                "more happened in %s than inotify can queue: comparing the whole tree; "
                "if this is often so, raise fs.inotify.max_queued_events",
                self._path, extra={"action": "overflow", "mdt": self.mdt},
            )  # fmt: skip
            self._watch()
            return True
        try:
            with state.transaction():
                if events:
                    self._reconciler.notice(events)
                if self._reconciler.list_some() or events:
                    return True
                if self._reconciler.due() > time.monotonic():
                    return False
                self._reconciler.settle()
        except Astray:
            log.warning(
                "what happened in %s cannot be followed step by step: comparing the whole tree", self._path,
                extra={"action": "astray", "mdt": self.mdt},
            )  # fmt: skip
            self._watch()
        return True

    def _wait(self, seconds: float) -> None:
        """Wait for events, for `wake`, or for something that becomes due."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if self._watcher is None or self._reconciler is None:
            seconds = min(seconds, STANDBY_SECONDS)
        else:
            poll.register(self._watcher.fileno(), select.POLLIN)
            seconds = min(seconds, self._reconciler.due() - time.monotonic())
        poll.poll(math.ceil(max(0.0, seconds) * 1000))

    def _take_over(self) -> bool:
        """Begin to watch, if no other handle does; return whether it began."""
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._watch()
        return True

    def _watch(self) -> None:
        """Watch from the beginning: everything will be compared."""
        self._stop_watching()
        own = fid_of_path(os.fsencode(self._state_dir.resolve()))
        if own == fid_of_fd(self._top_fd):
            raise ChangelogRefused(
                f"{self.mdt}: {self._path} cannot hold its own state; give the state a folder of its own"
            )
        self._watcher = self._new_watcher()
        self._reconciler = DirectoryReconciler(self._top_fd, self._opened(), self._watcher, own)

    def _stop_watching(self) -> None:
        if self._reconciler is not None:
            self._reconciler.close()
            self._reconciler = None
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
