"""Searching a SQLite index: the side that only reads. backend.py says what each call means."""

from __future__ import annotations

import functools
import json
import math
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lustre_events.changelog.fid import FID
from lustre_events.domain import acl
from lustre_events.errors import IndexUnavailable
from lustre_events.index.backend import (
    LONGEST_SECONDS,
    Counts,
    Entry,
    FoundObject,
    LeftOut,
    Order,
    PagePosition,
    Ranked,
    Row,
    Stats,
    StoredDocument,
    StoredWork,
    ValueCount,
    check_time,
)
from lustre_events.index.documents import FULL
from lustre_events.index.planner import key_suggestions
from lustre_events.index.planner.clause import Clause, all_hold
from lustre_events.index.planner.planner import FEW, Planner
from lustre_events.index.query.tree import Node, Text
from lustre_events.index.sqlite import local_disk
from lustre_events.index.sqlite.among import select_among
from lustre_events.index.sqlite.database import (
    BUSY_SECONDS,
    check_readable,
    check_version,
    sqlite_errors,
    there,
)
from lustre_events.index.sqlite.dialect import LISTED, SqliteDialect, phrase_of, readable_by
from lustre_events.index.sqlite.documents import SLOT_BITS
from lustre_events.index.sqlite.origin import whole
from lustre_events.index.sqlite.pages import COLUMNS, Pages, T, row_of, rows_of
from lustre_events.index.sqlite.paths import ListedDirectories, links_of, parents_of, rights_of
from lustre_events.index.sqlite.tally import tally
from lustre_events.index.sqlite.upkeep import moved_of
from lustre_events.index.visibility import DirectoryAccess, Viewer, permits

_NO_INDEX = "{}: there is no index here yet; start a dispatcher (lustre-events run), or name one with --index"
_WRITTEN = ", ".join(f"o.{name}" for name in FoundObject._fields[:-3])
_found: Callable[[tuple[Any, ...]], FoundObject] = partial(tuple.__new__, FoundObject)
"""As its _make, which is a call more for each of very many."""
_OFTEN = f"SELECT rowid >> {SLOT_BITS}, bm25(fulltext, 1e-6) FROM fulltext WHERE fulltext MATCH ?"  # noqa: S608
"""With a weight so small, FTS5's rank is proportional to how often a phrase stands in a document: lengths of
documents are not kept (`columnsize=0`; "The bm25() function" of SQLite's documentation of FTS5)."""
_CHUNK = 500
_FEW_CLIMBED = 5_000
"""Objects that are quickly asked, one by one, whether they lie below a directory; beyond that a walk is quicker."""
_DENSE = 2
"""Objects beside each other are read together where at least one of this number is wanted."""
_BESIDE = 20
"""Words of objects of which at least one in this number is wanted are looked at without a list of those wanted."""
_RIGHTS = 10_000
"""Kinds of rights (owner, group, mode, list) that are decided once."""
_LOOK_STEPS = 100_000
"""SQLite's own steps, some milliseconds, between two looks at the clock."""


class SqliteReading:
    """See `backend.Reading`, within a transaction of the caller.

    Args:
        connection: an index.
        viewer: who looks; None: everything is seen.
        few: where fewer objects match they are collected; else objects are probed in order, at first as many.
        end: when its time is over, as `time.monotonic` tells it.
    """

    def __init__(
        self, connection: sqlite3.Connection, viewer: Viewer | None = None, few: int = FEW, end: float = math.inf
    ) -> None:
        self._connection = connection
        self._end = end
        self._dialect = SqliteDialect(connection)
        self._planner = Planner(self._dialect, few=few)
        self.access: DirectoryAccess | None = None
        self._listed: ListedDirectories | None = None
        if viewer is not None:
            self._planner = Planner(self._dialect, LISTED, readable_by(viewer), few)
            self.access = DirectoryAccess(viewer, partial(parents_of, connection), partial(rights_of, connection))
            self._listed = ListedDirectories(self.access)
            # Called by C, for what is kept too: many objects have the same directory, and the same rights.
            connection.create_function("le_listed", 1, self._listed.__getitem__)
            readable = functools.lru_cache(_RIGHTS)(partial(_readable, viewer))
            connection.create_function("le_readable", 4, readable)

    def in_time(self) -> None:
        """Raise IndexUnavailable where its time is over."""
        check_time(self._end)

    def find(self, node: Node, order: Order, after: PagePosition | None, limit: int) -> list[Row]:
        """Return up to `limit` objects that match, in order, behind `after`."""
        return self._pages(COLUMNS, row_of).find(node, order, after, limit)

    def found(self, node: Node, order: Order, after: PagePosition | None, limit: int) -> list[FoundObject]:
        """Return the same objects, with what is written of each."""
        columns = f"{_WRITTEN}, {self._planner.readable.sql}"
        return self._pages(columns, _found, named=True).find(node, order, after, limit)

    def first(self, node: Node, limit: int, order: Order | None = None) -> list[Ranked]:
        """Return the first objects that match, with what ranks them."""
        columns = f"o.id, o.mtime_ns, {self._planner.readable.sql}"
        return self._pages(columns, lambda row: Ranked(*row)).find(node, order or Order(), None, limit)

    def _pages(self, columns: str, made: Callable[[tuple[Any, ...]], T], *, named: bool = False) -> Pages[T]:
        return Pages(self._connection, self._planner, self._listed, columns, made, named)

    def selective(self, node: Node) -> bool:
        """Return whether few objects match."""
        return self._planner.plan(node).size <= min(self._planner.few, _FEW_CLIMBED)

    def matching(self, node: Node, ids: Collection[int]) -> list[Row]:
        """Return those of `ids` that match."""
        found = all_hold(self._dialect.among("o.id", ids), self._planner.plan(node).probe)
        return rows_of(self._connection, Clause.of("SELECT {} FROM object o WHERE {}", COLUMNS, found))

    def count(self, node: Node) -> int:
        """Return how many objects match."""
        found = all_hold(self._planner.driven(self._planner.plan(node)), self._planner.live)
        return int(self._dialect.run(Clause.of("SELECT count(*) FROM object o WHERE {}", found))[0][0])

    def frequencies(self, texts: Collection[Text], ids: Collection[int]) -> dict[int, float]:
        """Return how often words or phrases stand in the documents of objects, in multiples of the least."""
        found = dict.fromkeys(ids, 0.0)
        first, last = min(found, default=0), max(found, default=-1)
        which = [Clause("rowid >= ? AND rowid < ?", (first << SLOT_BITS, last + 1 << SLOT_BITS))]
        if last - first > _BESIDE * len(found):
            which.append(self._dialect.among(f"rowid >> {SLOT_BITS}", found))
        where = all_hold(*which)
        for text in texts:
            often: dict[int, float] = {}
            phrase = phrase_of(text.words, prefix=text.prefix)
            statement = f"{_OFTEN} AND {where.sql}"
            for id_, times in self._connection.execute(statement, (phrase, *where.parameters)):
                if id_ in found:
                    often[id_] = often.get(id_, 0.0) + abs(times)
            least = min(often.values(), default=0.0) or 1.0
            for id_, times in often.items():
                found[id_] += times / least
        return found

    def tally(self, node: Node, by: str, limit: int | None) -> list[ValueCount]:
        """Return the values of the objects that match; see tally.py."""
        return tally(self._connection, self._planner, node, by, limit)

    def left_out(self) -> list[LeftOut]:
        """Return what no search finds."""
        rows = self._connection.execute("SELECT glob, fid FROM left_out ORDER BY glob")
        return [LeftOut(glob, None if fid is None else FID.unpack(fid)) for glob, fid in rows]

    def entries(self, parent: FID, after: bytes, limit: int) -> list[Entry]:
        """Return up to `limit` names in a directory behind the name `after`, in order."""
        rows = self._connection.execute(
            "SELECT link.name, link.fid, coalesce(o.id, 0), o.type FROM link LEFT JOIN object o ON o.fid = link.fid"
            " WHERE link.parent = ? AND link.name > ? AND link.fid IS NOT NULL ORDER BY link.name LIMIT ?",
            (parent.pack(), after, limit),
        )
        return [Entry(name, FID.unpack(fid), id_, type_) for name, fid, id_, type_ in rows]

    def links(self, fids: Collection[FID]) -> list[tuple[FID, FID, bytes]]:
        """Return (FID, parent, name) of every current name of `fids`."""
        return links_of(self._connection, fids)

    def packed_links(self, fids: Collection[bytes]) -> list[tuple[bytes, bytes, bytes]]:
        """Return the same, packed."""
        return list(select_among(self._connection, "SELECT fid, parent, name FROM link WHERE fid IN ({})", fids))

    def moved(self, fids: Collection[FID]) -> dict[FID, FID]:
        """Return the present FID of those of `fids` that an object had before."""
        return moved_of(self._connection, fids)

    def child(self, parent: FID, name: bytes) -> FID | None:
        """Return what a name in a directory means."""
        row = self._connection.execute(
            "SELECT fid FROM link WHERE parent = ? AND name = ?", (parent.pack(), name)
        ).fetchone()
        return None if row is None or row[0] is None else FID.unpack(row[0])

    def objects(self, fids: Collection[FID]) -> dict[FID, Row]:
        """Return those of `fids` that are stored."""
        found = self._in(f"SELECT {COLUMNS} FROM object o WHERE o.fid", [fid.pack() for fid in fids])  # noqa: S608
        return {row.fid: row for row in map(row_of, found)}

    def documents(self, ids: Collection[int]) -> list[StoredDocument]:
        """Return the documents and failures of objects, by their ids."""
        columns = ", ".join(f"document.{name}" for name in StoredDocument.__struct_fields__)
        found = self._in(
            f"SELECT {columns}, origin.body FROM document LEFT JOIN origin ON origin.id = document.origin"  # noqa: S608
            " WHERE document.object",
            ids,
        )
        return [
            StoredDocument(object_, extractor, generation, serial, body, json.dumps(whole(shared, own)), *failure)
            for object_, extractor, generation, serial, body, own, *failure, shared in sorted(
                found, key=lambda row: row[:2]
            )
        ]

    def bodies(self, ids: Collection[int]) -> list[tuple[int, str, str]]:
        """Return the good documents of objects."""
        select = "SELECT object, extractor, body FROM document WHERE body IS NOT NULL AND"
        first, last = min(ids, default=0), max(ids, default=0)
        if last - first >= _DENSE * len(ids):
            return sorted(self._in(f"{select} object", ids))
        # Beside each other, by their ids.
        among = (first << SLOT_BITS, last + 1 << SLOT_BITS)
        found = self._connection.execute(f"{select} id >= ? AND id < ?", among).fetchall()
        if last - first >= len(ids):
            wanted = frozenset(ids)
            found = [row for row in found if row[0] in wanted]
        found.sort()
        return found

    def keys(self, near: str, limit: int) -> list[tuple[str, str]]:
        """Return keys that are like one that somebody wrote."""
        return key_suggestions.keys(self._planner.dialect, near, limit)

    def keys_from(self, prefix: str, limit: int) -> list[tuple[str, str]]:
        """Return keys of which a step begins so."""
        return key_suggestions.keys_from(self._planner.dialect, prefix, limit)

    def extractors(self, limit: int) -> list[str]:
        """Return the names of extractors."""
        return key_suggestions.extractors(self._planner.dialect, limit)

    def fired(self, fids: Collection[FID]) -> list[tuple[FID, str, int]]:
        """Return what is remembered of actions for objects."""
        rows = self._in("SELECT fid, rule, generation FROM fired WHERE fid", [fid.pack() for fid in fids])
        return [(FID.unpack(fid), rule, generation) for fid, rule, generation in rows]

    def pending(self, fids: Collection[FID]) -> list[StoredWork]:
        """Return the pending rows of `fids`."""
        columns = ", ".join(StoredWork.__struct_fields__)
        found = self._in(f"SELECT {columns} FROM pending WHERE fid", [fid.pack() for fid in fids])  # noqa: S608
        return [StoredWork(FID.unpack(fid), *rest) for fid, *rest in found]

    def counts(self) -> Counts:
        """Return how many rows there are, counted."""
        return Counts(
            objects=self._one("SELECT count(*) FROM object"),
            links=self._one("SELECT count(*) FROM link WHERE fid IS NOT NULL"),
            tombstones=self._one("SELECT count(*) FROM link WHERE fid IS NULL"),
            documents=self._sums(
                "SELECT extractor, count(*) FROM document WHERE body IS NOT NULL GROUP BY extractor"
            ),
            failures=self._sums(
                "SELECT extractor, count(*) FROM document WHERE failure IS NOT NULL GROUP BY extractor"
            ),
        )

    def stats(self, counts: Counts) -> Stats:
        """Return the sums, with these counts."""
        pending = self._connection.execute(
            "SELECT reason, count(*), min(due_ns) FROM pending GROUP BY reason"
        ).fetchall()
        return Stats(
            counts=counts,
            pending={reason: count for reason, count, _ in pending},
            counters=self._sums("SELECT name, value FROM counter ORDER BY name"),
            cursors=tuple(self._connection.execute("SELECT mdt, epoch, position FROM cursor ORDER BY mdt, epoch")),
            oldest_due_ns={reason: due_ns for reason, _, due_ns in pending},
            bytes=self._one("PRAGMA page_count") * self._one("PRAGMA page_size"),
            full=tuple(sorted(self._connection.execute(FULL))),
        )

    def _one(self, sql: str) -> int:
        return int(self._connection.execute(sql).fetchone()[0])

    def _sums(self, sql: str) -> dict[str, int]:
        return dict(self._connection.execute(sql).fetchall())

    def _in(self, select: str, values: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of `select IN (values)`, in portions that SQLite takes."""
        rest = list(values)
        for start in range(0, len(rest), _CHUNK):
            chunk = rest[start : start + _CHUNK]
            yield from self._connection.execute(f"{select} IN ({','.join('?' * len(chunk))})", chunk)


def _readable(
    viewer: Viewer, uid: int | None, gid: int | None, mode: int | None, access: bytes | None
) -> bool:  # fmt: skip
    return permits(viewer, uid, gid, mode, access, acl.READ)


class SqliteBackend:
    """See `backend.Backend`: an index file opened for reading.

    Args:
        path: the file.
        seconds: how long what is done in one `reading` may take.

    Raises:
        IndexUnavailable: there is no index at the path, or it cannot be read.
        IndexTooNew: a later version of this program wrote it.
    """

    def __init__(self, path: Path, seconds: float = LONGEST_SECONDS) -> None:
        self._path = path
        self._seconds = seconds
        if not there(path):
            raise IndexUnavailable(_NO_INDEX.format(path))
        check_readable(path)
        local_disk.check(path)
        with sqlite_errors(path):
            # An absolute path: in a URI, `//name` would be a host.
            address = f"file:{quote(str(path.absolute()))}?mode=ro"
            self._connection = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            with sqlite_errors(path):
                self._connection.execute("PRAGMA query_only = ON")
                if check_version(self._connection, path) == 0:
                    raise IndexUnavailable(_NO_INDEX.format(path))
        except BaseException:
            self._connection.close()
            raise

    @contextmanager
    def reading(self, viewer: Viewer | None, seconds: float | None = None) -> Iterator[SqliteReading]:
        """Give one moment of the index, as `viewer` may see it."""
        end = time.monotonic() + min(self._seconds, self._seconds if seconds is None else seconds)
        with sqlite_errors(self._path):
            self._connection.execute("BEGIN")
            self._connection.set_progress_handler(lambda: time.monotonic() > end, _LOOK_STEPS)
            try:
                yield SqliteReading(self._connection, viewer, end=end)
            finally:
                self._connection.set_progress_handler(None, 0)
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the index."""
        self._connection.close()
