"""What the `directory` source keeps between runs: its log of records and the tree that the log describes.

Both lie in one SQLite file and change in one transaction, so neither lags behind the other: after a kill -9
at any moment the tree is exactly what somebody knows who has read every record of the log. A record can be
read only once it is committed, with synchronous=FULL: an index that was given out is never given to another
record, not even after a power failure. Indexes count on when the log is empty.

The tree is (parent FID, name) → FID, and per object what tells whether it changed. A size of NULL means that
the content has not been announced by a CLOSE yet.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.changelog.record import ChangelogRecord, encode_record
from lustre_events.errors import ChangelogRefused, ChangelogUnavailable

FILE_NAME = "directory.db"
SCHEMA_VERSION = 1
_BUSY_SECONDS = 10.0
_SCHEMA = """
CREATE TABLE mark (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL, cleared INTEGER NOT NULL);
INSERT INTO mark VALUES (1, 0, 0);
CREATE TABLE record (number INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE link (
  parent BLOB NOT NULL, name BLOB NOT NULL, fid BLOB NOT NULL,
  PRIMARY KEY (parent, name)
) WITHOUT ROWID;
CREATE INDEX link_fid ON link (fid);
CREATE TABLE object (
  fid BLOB PRIMARY KEY, is_directory INTEGER NOT NULL,
  size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX object_unannounced ON object (fid) WHERE size IS NULL;
"""


class DirectoryEntry(msgspec.Struct, frozen=True, gc=False):
    """A name in a directory."""

    parent: FID
    name: bytes


class KnownObject(msgspec.Struct, frozen=True, gc=False):
    """What the state knows of an object; `size` and `mtime_ns` as of its last CLOSE, None before the first."""

    is_directory: bool
    size: int | None
    mtime_ns: int | None
    ctime_ns: int


class DirectoryState:
    """The open state file. Not thread-safe; several processes may have it open, one of them writes records."""

    def __init__(self, folder: Path) -> None:
        """Open the state in `folder`, made where it is missing.

        Raises ChangelogUnavailable (no such place, no rights), ChangelogRefused (of another version).
        """
        path = folder / FILE_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            version = self._prepare()
        except (OSError, sqlite3.Error) as exc:
            raise ChangelogUnavailable(
                f"{path}: the state of the watched directory cannot be opened ({exc}); check it"
            ) from exc
        if version != SCHEMA_VERSION:
            self._db.close()
            raise ChangelogRefused(
                f"{path}: it has version {version}, this program has {SCHEMA_VERSION}; move it away to start again"
            )

    def _prepare(self) -> int:
        """Make the tables of a new file; return the version of an old one."""
        if self._version() == 0:
            with self.transaction():
                if self._version() == 0:  # nobody else was quicker
                    for statement in _SCHEMA.split(";\n"):
                        self._db.execute(statement)
                    self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        return self._version()

    def _version(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what happens inside one change: all of it or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # The log.

    def append(self, record: ChangelogRecord) -> None:
        """Append `record` under the next index (its own is not used); inside a transaction."""
        (number,) = self._db.execute("UPDATE mark SET last = last + 1 RETURNING last").fetchone()
        data = encode_record(msgspec.structs.replace(record, index=number))
        self._db.execute("INSERT INTO record VALUES (?, ?)", (number, data))

    def records(self, start_index: int, limit_bytes: int) -> tuple[bytes, int]:
        """Return the raw records from `start_index` on, about `limit_bytes`, and the index behind them."""
        parts: list[bytes] = []
        size = 0
        rows = self._db.execute("SELECT number, data FROM record WHERE number >= ? ORDER BY number", (start_index,))
        for number, data in rows:
            size += len(data)
            if parts and size > limit_bytes:
                break
            parts.append(data)
            start_index = number + 1
        rows.close()
        return b"".join(parts), start_index

    def marks(self) -> tuple[int, int]:
        """Return the greatest index ever given, and the greatest that was cleared."""
        last, cleared = self._db.execute("SELECT last, cleared FROM mark").fetchone()
        return last, cleared

    def clear(self, index: int) -> None:
        """Forget the records up to `index`, for ever."""
        with self.transaction():
            self._db.execute("UPDATE mark SET cleared = ?", (index,))
            self._db.execute("DELETE FROM record WHERE number <= ?", (index,))

    # The tree.

    def at(self, entry: DirectoryEntry) -> FID | None:
        """Return what is known to be at `entry`."""
        query = "SELECT fid FROM link WHERE parent = ? AND name = ?"
        row = self._db.execute(query, (entry.parent.pack(), entry.name)).fetchone()
        return FID.unpack(row[0]) if row else None

    def entries(self, fid: FID, most: int) -> list[DirectoryEntry]:
        """Return known names of an object, `most` of them."""
        rows = self._db.execute("SELECT parent, name FROM link WHERE fid = ? LIMIT ?", (fid.pack(), most))
        return [DirectoryEntry(FID.unpack(parent), name) for parent, name in rows]

    def children(self, directory: FID) -> dict[bytes, FID]:
        """Return the known names in a directory."""
        rows = self._db.execute("SELECT name, fid FROM link WHERE parent = ?", (directory.pack(),))
        return {name: FID.unpack(fid) for name, fid in rows}

    def put(self, entry: DirectoryEntry, fid: FID) -> None:
        """Know that `fid` is at `entry`, instead of what was there."""
        row = (entry.parent.pack(), entry.name, fid.pack())
        self._db.execute("INSERT OR REPLACE INTO link VALUES (?, ?, ?)", row)

    def remove(self, entry: DirectoryEntry) -> None:
        """Know that nothing is at `entry`."""
        self._db.execute("DELETE FROM link WHERE parent = ? AND name = ?", (entry.parent.pack(), entry.name))

    def known(self, fid: FID) -> KnownObject | None:
        """Return what is known of an object."""
        query = "SELECT is_directory, size, mtime_ns, ctime_ns FROM object WHERE fid = ?"
        row = self._db.execute(query, (fid.pack(),)).fetchone()
        return KnownObject(bool(row[0]), *row[1:]) if row else None

    def keep(self, fid: FID, known: KnownObject) -> None:
        """Know this of an object."""
        row = (fid.pack(), known.is_directory, known.size, known.mtime_ns, known.ctime_ns)
        self._db.execute("INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?, ?)", row)

    def forget(self, fid: FID) -> None:
        """Know nothing of an object any more."""
        self._db.execute("DELETE FROM object WHERE fid = ?", (fid.pack(),))

    def unannounced(self) -> list[FID]:
        """Return the files whose content has not been announced: few, those that are being written."""
        return [FID.unpack(fid) for (fid,) in self._db.execute("SELECT fid FROM object WHERE size IS NULL")]
