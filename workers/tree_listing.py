"""What is below a directory, as its owner finds it: regular files that this user can reach and read, by inode.

Nothing is opened through a link. The listing is of one moment: what comes later is not in it.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from lustre_events.domain.rules.containers import STAGING
from lustre_events.llapi.openat2 import open_beneath
from workers.as_owner import as_owner
from workers.privileges import Account
from workers.rights import OwnerRefused

MOST_FILES = 200_000
MOST_BYTES = 64 << 20
"""Of the paths of a listing, from the directory on, as JSON has them: those of very deep trees are long."""
MOST_TOLD = 100
"""Of what cannot be copied, by name; the others are counted."""
KINDS = {
    stat.S_IFLNK: "links",
    stat.S_IFIFO: "pipes",
    stat.S_IFSOCK: "sockets",
    stat.S_IFBLK: "devices",
    stat.S_IFCHR: "devices",
}
DIRECTORY, CLOSED = "directory", "closed"
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file of a listing: its path from the directory on, device and inode, and its size in bytes."""

    path: bytes
    device: int
    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class TreeListing:
    """Files in the order of their paths; what cannot be read, by name with the reason; what is no file, counted."""

    files: tuple[ListedFile, ...]
    closed: tuple[tuple[bytes, str], ...] = ()
    others: Mapping[str, int] = field(default_factory=dict)


def listing(
    folder: int, account: Account | None, most: int = MOST_FILES, most_bytes: int = MOST_BYTES
) -> TreeListing:
    """Return what is below a directory (a descriptor), as a user finds it; None: as this process does.

    Raises:
        OwnerRefused: more than `most` files and directories are in it, or their paths have more than `most_bytes`
            in JSON, where a byte that is no UTF-8 is six.
        OSError: the directory itself cannot be read.
    """
    found = as_owner(account, partial(_listed, folder, most, most_bytes), OwnerRefused)
    return TreeListing(
        tuple(ListedFile(os.fsencode(path), *facts) for path, *facts in found["files"]),
        tuple((os.fsencode(path), why) for path, why in found["closed"]),
        found["others"],
    )


def _listed(folder: int, most: int, most_bytes: int) -> dict[str, Any]:
    """Be the user, and return the listing as JSON has it."""
    files: list[tuple[str, int, int, int]] = []
    closed: list[tuple[str, str]] = []
    others: Counter[str] = Counter()
    room = _Room(most, most_bytes)
    waiting = [""]
    while waiting:
        path = waiting.pop()
        try:
            for name, kind, facts in _entries(folder, path):
                room.take(name)
                if kind == DIRECTORY:
                    waiting.append(name)
                elif kind == CLOSED:
                    closed.append((name, "Permission denied"))
                elif kind:
                    others[kind] += 1
                else:
                    files.append((name, facts.st_dev, facts.st_ino, facts.st_size))
        except OSError as exc:
            if not path:
                raise
            if exc.errno not in _GONE:
                closed.append((f"{path}/", exc.strerror or str(exc)))
    files.sort(key=lambda each: os.fsencode(each[0]))
    return {"files": files, "closed": closed[:MOST_TOLD], "others": {**others, **_untold(len(closed))}}


@dataclass(slots=True)
class _Room:
    """How many more entries a listing may have, and bytes of their paths in JSON."""

    most: int
    most_bytes: int
    _entries: int = 0
    _bytes: int = 0

    def take(self, path: str) -> None:
        """Take room for one entry. Raises OwnerRefused."""
        self._entries += 1
        self._bytes += len(json.dumps(path)) - len('""')
        if self._entries > self.most:
            raise OwnerRefused(f"more than {self.most} files and directories are in it; let rules copy less")
        if self._bytes > self.most_bytes:
            raise OwnerRefused(
                f"the paths of what is in it have more than {self.most_bytes >> 20} MiB; let rules copy less"
            )


def _untold(closed: int) -> dict[str, int]:
    return {"more that cannot be read": closed - MOST_TOLD} if closed > MOST_TOLD else {}


def _entries(folder: int, path: str) -> Iterator[tuple[str, str, os.stat_result]]:
    """Yield what is in one directory: its path, what it is (empty: a file that can be read), and its facts."""
    at = open_beneath(folder, os.fsencode(path) or b".", _OPEN)
    try:
        with os.scandir(at) as entries:
            for entry in entries:
                try:
                    facts = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                name = f"{path}/{entry.name}" if path else entry.name
                kind = stat.S_IFMT(facts.st_mode)
                if kind == stat.S_IFDIR:
                    if os.fsencode(entry.name) != STAGING:
                        yield name, DIRECTORY, facts
                elif kind != stat.S_IFREG:
                    yield name, KINDS.get(kind, "others"), facts
                elif os.access(entry.name, os.R_OK, dir_fd=at):
                    yield name, "", facts
                else:
                    yield name, CLOSED, facts
    finally:
        os.close(at)
