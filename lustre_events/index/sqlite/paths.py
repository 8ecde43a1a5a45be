"""Paths in SQLite: the links that they are made of (paths.py)."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable

from lustre_events.changelog.fid import FID
from lustre_events.index import paths
from lustre_events.index.sqlite.among import select_among
from lustre_events.index.visibility import AccessFacts


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
    statement = "SELECT parent FROM link WHERE fid = ?"
    return [(fid, FID.unpack(row[0])) for fid in fids for row in connection.execute(statement, (fid.pack(),))]


def rights_of(connection: sqlite3.Connection, fids: Collection[FID]) -> dict[FID, AccessFacts]:
    """Return what decides about directories, of those that are stored."""
    rows = ((fid, connection.execute(_RIGHTS, (fid.pack(),)).fetchone()) for fid in fids)
    return {fid: AccessFacts(*row) for fid, row in rows if row is not None}


_RIGHTS = "SELECT uid, gid, mode, acl, facts_generation >= rights FROM object WHERE fid = ?"
