"""Looking into the tree: what is at a name now, in which directory, wherever that was moved.

A directory is found by walking down its known names, and the FID of what was found is compared: a path may be
out of date, a descriptor never is. The ones used last stay open, so most looks cost no walk at all.
Symbolic links are never followed. Other file systems mounted in the tree, and the folder of the state, count
as not there.
"""

from __future__ import annotations

import logging
import os

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.llapi.statx import Statx, statx
from lustre_events.sources.directory_state import DirectoryEntry, DirectoryState
from lustre_events.sources.local_fid import fid_of, fid_of_fd

OPEN_AT_MOST = 128
_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

log = logging.getLogger(__name__)


class DirectoryLost(Exception):
    """The directory is not where it is known to be: it was moved or removed, and that is not known yet."""


class DirectoryHandles:
    """Descriptors (O_PATH) of the directories used last, and looks through them."""

    def __init__(self, top_fd: int, state: DirectoryState, own: FID) -> None:
        """`top_fd` is the top directory and stays the caller's; `own` is the folder of the state."""
        self._top_fd = top_fd
        self._state = state
        self._own = own
        self._mount = statx(dir_fd=top_fd).mnt_id
        self._open: dict[FID, int] = {}
        self._warned: set[tuple[FID, bytes]] = set()

    def look(self, entry: DirectoryEntry) -> Statx | None:
        """Return what is at `entry` now, None for nothing. Raises as `get` does."""
        fd = self.get(entry.parent)
        try:
            facts = statx(entry.name, fd)
        except FileNotFoundError:
            return None
        if facts.mnt_id != self._mount:
            self.warn(entry.parent, entry.name, "is a mounted file system and left out")
            return None
        return None if fid_of(facts) == self._own else facts

    def find(self, fid: FID, entry: DirectoryEntry) -> Statx | None:
        """Return the facts of `fid` if it can be seen at `entry` now."""
        try:
            facts = self.look(entry)
        except (DirectoryLost, PermissionError):
            return None
        return facts if facts is not None and fid_of(facts) == fid else None

    def names(self, directory: FID) -> list[bytes]:
        """Return the names in a directory, sorted. Raises as `get` does."""
        fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.get(directory))
        try:
            return sorted(os.fsencode(name) for name in os.listdir(fd))  # noqa: PTH208 - Path takes no descriptor
        finally:
            os.close(fd)

    def get(self, directory: FID) -> int:
        """Return a descriptor, good until the next call.

        Raises:
            DirectoryLost: it is not where it is known to be.
            PermissionError: a directory on the way may not be searched.
        """
        missing: list[tuple[FID, bytes]] = []
        at = directory
        while at != ROOT_FID and at not in self._open:
            entries = self._state.entries(at, 1)
            if not entries:
                raise DirectoryLost
            missing.append((at, entries[0].name))
            at = entries[0].parent
        fd = self._top_fd if at == ROOT_FID else self._used(at)
        for fid, name in reversed(missing):
            fd = self._enter(fid, fd, name)
        return fd

    def drop(self, directory: FID) -> None:
        """Close the directory's descriptor, if it is open."""
        fd = self._open.pop(directory, None)
        if fd is not None:
            os.close(fd)

    def close(self) -> None:
        """Close all."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    def warn(self, directory: FID, name: bytes, what: str) -> None:
        """Say once what is left out."""
        if (directory, name) in self._warned:
            return
        self._warned.add((directory, name))
        parts = [name] if name else []
        while directory != ROOT_FID and (entries := self._state.entries(directory, 1)):
            parts.append(entries[0].name)
            directory = entries[0].parent
        path = os.fsdecode(b"/".join(reversed(parts)))
        log.warning("in the watched tree: %r %s", path, what, extra={"action": "leave_out", "path": path})

    def _enter(self, fid: FID, parent_fd: int, name: bytes) -> int:
        try:
            fd = os.open(name, _FLAGS, dir_fd=parent_fd)
        except (FileNotFoundError, NotADirectoryError) as exc:  # O_DIRECTORY: ENOTDIR for symbolic links too
            raise DirectoryLost from exc
        if fid_of_fd(fd) != fid:
            os.close(fd)
            raise DirectoryLost
        if len(self._open) >= OPEN_AT_MOST:
            self.drop(next(iter(self._open)))
        self._open[fid] = fd
        return fd

    def _used(self, fid: FID) -> int:
        fd = self._open[fid] = self._open.pop(fid)
        return fd
