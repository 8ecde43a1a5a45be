"""inotify with FIDs for watch descriptors: which names of which directories somebody touched.

The kernel watches directories (not trees, not paths), so a watch stays right when its directory is renamed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

import inotify_simple
import msgspec

from lustre_events.changelog.fid import FID, NO_FID
from lustre_events.errors import ChangelogRefused, ChangelogUnavailable

ATTRIB = int(inotify_simple.flags.ATTRIB)
CLOSE_WRITE = int(inotify_simple.flags.CLOSE_WRITE)
CREATE = int(inotify_simple.flags.CREATE)
DELETE = int(inotify_simple.flags.DELETE)
MOVED_FROM = int(inotify_simple.flags.MOVED_FROM)
MOVED_TO = int(inotify_simple.flags.MOVED_TO)
IGNORED = int(inotify_simple.flags.IGNORED)
"""The watch is gone: its directory was removed, or its file system unmounted."""
OVERFLOW = int(inotify_simple.flags.Q_OVERFLOW)
"""The kernel's queue was full: events are missing."""

# No MODIFY: a file that is being written would fill the queue. EXCL_UNLINK: nothing about names that are gone.
_MASK = (
    ATTRIB
    | CLOSE_WRITE
    | CREATE
    | DELETE
    | MOVED_FROM
    | MOVED_TO
    | int(inotify_simple.flags.ONLYDIR)
    | int(inotify_simple.flags.EXCL_UNLINK)
)
_LIMITS = Path("/proc/sys/fs/inotify")


class InotifyEvent(msgspec.Struct, frozen=True, gc=False):
    """Something happened to `name` in `directory`; an empty name is the directory itself."""

    directory: FID
    mask: int
    name: bytes


class _Kernel(Protocol):
    """What is used of inotify_simple.INotify, which has no types."""

    def fileno(self) -> int: ...
    def add_watch(self, path: bytes, mask: int) -> int: ...
    def rm_watch(self, wd: int) -> None: ...
    def read(self, timeout: int) -> list[tuple[int, int, int, str]]: ...
    def close(self) -> None: ...


class Watcher(Protocol):
    """What the `directory` source needs of inotify."""

    def fileno(self) -> int:
        """Return the descriptor that is readable while there are events."""

    def watch(self, directory: FID, fd: int) -> None:
        """Watch the open directory `fd` (O_PATH will do). Raises OSError, ChangelogRefused (a limit is reached)."""

    def unwatch(self, directory: FID) -> None:
        """Stop watching, if it is watched."""

    def watches(self, directory: FID) -> bool:
        """Whether it is watched."""

    def events(self) -> list[InotifyEvent]:
        """Return all events there are now, in order."""

    def close(self) -> None:
        """Stop watching anything."""


class InotifyWatcher:
    """The Watcher of the kernel."""

    def __init__(self) -> None:
        """Raises ChangelogRefused: this user has too many inotify instances."""
        try:
            self._inotify = cast("Callable[[], _Kernel]", inotify_simple.INotify)()
        except OSError as exc:
            raise _refused("instances", exc) from exc
        self._directories: dict[int, FID] = {}
        self._descriptors: dict[FID, int] = {}

    def fileno(self) -> int:
        """Return the descriptor that is readable while there are events."""
        return self._inotify.fileno()

    def watch(self, directory: FID, fd: int) -> None:
        """Watch the open directory `fd`. Raises OSError, ChangelogRefused (too many watches)."""
        try:
            # inotify takes paths only; this one leads to the open directory itself, wherever it was moved.
            wd = self._inotify.add_watch(b"/proc/self/fd/%d" % fd, _MASK)
        except OSError as exc:
            if exc.errno == errno.ENOSPC:
                raise _refused("watches", exc) from exc
            if exc.errno == errno.ENOENT:
                raise ChangelogUnavailable("/proc is not mounted, and inotify needs it here; mount it") from exc
            raise
        self._descriptors.pop(self._directories.get(wd, NO_FID), None)
        self._directories[wd] = directory
        self._descriptors[directory] = wd

    def unwatch(self, directory: FID) -> None:
        """Stop watching, if it is watched; events that are under way still count for nobody."""
        wd = self._descriptors.pop(directory, None)
        if wd is None:
            return
        del self._directories[wd]
        try:
            self._inotify.rm_watch(wd)
        except OSError as exc:
            if exc.errno != errno.EINVAL:  # the kernel dropped it first, with its directory
                raise

    def watches(self, directory: FID) -> bool:
        """Whether it is watched."""
        return directory in self._descriptors

    def events(self) -> list[InotifyEvent]:
        """Return all events there are now, in order."""
        found = []
        for wd, mask, _, name in self._inotify.read(timeout=0):
            if mask & OVERFLOW:
                found.append(InotifyEvent(NO_FID, mask, b""))
                continue
            directory = self._directories.get(wd)
            if directory is None:
                continue
            if mask & IGNORED:
                del self._directories[wd]
                del self._descriptors[directory]
            found.append(InotifyEvent(directory, mask, os.fsencode(name)))
        return found

    def close(self) -> None:
        """Stop watching anything."""
        self._inotify.close()


def _refused(what: str, cause: OSError) -> ChangelogRefused:
    setting = f"max_user_{what}"
    try:
        limit = int((_LIMITS / setting).read_text(encoding="ascii"))
    except (OSError, ValueError):
        limit = 0
    return ChangelogRefused(
        f"inotify gives this user no more {what} (the limit is {limit or 'unknown'}); "
        f"raise it: sysctl fs.inotify.{setting}={max(2 * limit, 1024)}",
        cause.errno or 0,
    )
