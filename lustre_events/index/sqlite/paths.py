"""Paths in SQLite: the links that they are made of (paths.py)."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable

from lustre_events.changelog.fid import FID
from lustre_events.index import paths
from lustre_events.index.sqlite.among import select_among
from lustre_events.index.visibility import AccessFacts, DirectoryAccess


def paths_of(
    connection: sqlite3.Connection, fids: Iterable[FID], *, bounded: bool = False
) -> dict[FID, list[bytes]]:
    """Return for each FID all of its current paths; see paths.py."""
    return paths.paths_of(lambda some: links_of(connection, some), fids, bounded=bounded)


def links_of(connection: sqlite3.Connection, fids: Collection[FID]) -> list[tuple[FID, FID, bytes]]:
    """Return (FID, parent, name) of every current name of `fids`."""
    packed = {fid.pack(): fid for fid in fids}
    unpacked: dict[bytes, FID] = {}
    found = []
    for fid, parent, name in select_among(
        connection, "SELECT fid, parent, name FROM link WHERE fid IN ({})", packed
    ):
        above = unpacked.get(parent) or unpacked.setdefault(parent, FID.unpack(parent))
        found.append((packed[fid], above, name))
    return found


def parents_of(connection: sqlite3.Connection, fids: Collection[FID]) -> list[tuple[FID, FID]]:
    """Return (FID, parent) of every current name of directories, which are mostly one."""
    packed = {fid.pack(): fid for fid in fids}
    rows = select_among(connection, "SELECT fid, parent FROM link WHERE fid IN ({})", packed)
    return [(packed[fid], FID.unpack(parent)) for fid, parent in rows]


def rights_of(connection: sqlite3.Connection, fids: Collection[FID]) -> dict[FID, AccessFacts]:
    """Return what decides about directories, of those that are stored."""
    packed = {fid.pack(): fid for fid in fids}
    return {packed[fid]: AccessFacts(*rest) for fid, *rest in select_among(connection, _RIGHTS, packed)}


_RIGHTS = "SELECT fid, uid, gid, mode, acl, facts_generation >= rights FROM object WHERE fid IN ({})"


def directories_of(connection: sqlite3.Connection, ids: Collection[int]) -> set[bytes]:
    """Return the directories in which objects have names, packed, by the ids of these objects."""
    statement = "SELECT link.parent FROM object o CROSS JOIN link ON link.fid = o.fid WHERE o.id IN ({})"
    return {row[0] for row in select_among(connection, statement, ids)}


class ListedDirectories(dict[bytes, bool]):
    """Whether a viewer can list directories, by their packed FIDs; what is asked for is kept."""

    def __init__(self, access: DirectoryAccess) -> None:
        super().__init__()
        self._access = access

    def __missing__(self, packed: bytes) -> bool:
        self.decide((packed,))
        return self[packed]

    def decide(self, directories: Iterable[bytes]) -> None:
        """Ask for directories together."""
        new = {FID.unpack(packed): packed for packed in directories if packed not in self}
        self._access.decide(new)
        self.update({packed: self._access.listed(fid) for fid, packed in new.items()})
