"""Searching an index in PostgreSQL: the side that only reads. backend.py says what each call means.

Everything is one SELECT after another in a transaction that sees one moment (REPEATABLE READ, READ ONLY), so a user
who may only read, and a replica, will do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property

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
from lustre_events.index.planner.clause import TRUE, Clause, SqlCondition, all_hold
from lustre_events.index.planner.hit_order import Stretch, by, stretches
from lustre_events.index.planner.planner import FEW, Planner
from lustre_events.index.postgresql.arrays import column
from lustre_events.index.postgresql.database import Connection, Database, packed, unpacked_links
from lustre_events.index.postgresql.database import Row as Values
from lustre_events.index.postgresql.dialect import PostgresqlDialect
from lustre_events.index.postgresql.fulltext import phrase
from lustre_events.index.postgresql.tally import tally
from lustre_events.index.postgresql.upkeep import MOVED, moved_of
from lustre_events.index.postgresql.visibility import listed_directories, readable, seen
from lustre_events.index.query.tree import Node, Text
from lustre_events.index.visibility import DirectoryAccess, Viewer

LOOK = 2_000
"""Objects that are probed at first, in the order asked for, where many match."""
MOST_LOOKED_AT = 30_000
"""Objects that are probed at most, before all that match are collected."""

_WRITTEN = ", ".join(f"o.{name}" for name in FoundObject._fields[:-3])
_COLUMNS = ", ".join(f"o.{name}" for name in Row.__struct_fields__)

FEW_JUDGED = 2_000
"""Objects whose names are looked at one by one to tell whether a viewer sees them."""

_SETTINGS = (("work_mem", "64MB"), ("max_parallel_workers_per_gather", "0"))


class PostgresqlReading:
    """See `backend.Reading`, within a transaction of the caller.

    Args:
        connection: an index.
        viewer: who looks; None: everything is seen.
        few: where fewer objects match they are collected; else objects are probed in order.
        look: how many are probed at first.
        end: when its time is over, as `time.monotonic` tells it.
    """

    def __init__(
        self,
        connection: Connection,
        viewer: Viewer | None = None,
        few: int = FEW,
        look: int = LOOK,
        end: float = math.inf,
    ) -> None:
        self._connection = connection
        self._end = end
        self._viewer = viewer
        self.access: DirectoryAccess | None = None
        self._few = few
        self._look = look
        dialect = PostgresqlDialect(self._run)
        self._planner = Planner(dialect, few=few)
        if viewer is not None:
            self._planner = Planner(dialect, seen(viewer), readable(viewer, acl.READ), few)

    @cached_property
    def _counting(self) -> Planner:
        """The planner for what goes through all objects that match."""
        if self._viewer is None:
            return self._planner
        directories = listed_directories(self._run, self._viewer)
        return replace(self._planner, seen=Clause("link.parent = ANY(%b::bytea[])", (directories,)))

    def _for_all(self, node: Node) -> tuple[Planner, SqlCondition]:
        condition = self._planner.plan(node)
        if self._viewer is None or condition.size <= FEW_JUDGED:
            return self._planner, condition
        return self._counting, self._counting.plan(node)

    def in_time(self) -> None:
        """Raise IndexUnavailable where its time is over."""
        check_time(self._end)

    def find(self, node: Node, order: Order, after: PagePosition | None, limit: int) -> list[Row]:
        """Return up to `limit` objects that match, in order, behind `after`."""
        return _rows(self._found(Clause(_COLUMNS), node, order, after, limit))

    def found(self, node: Node, order: Order, after: PagePosition | None, limit: int) -> list[FoundObject]:
        """Return the same objects, with what is written of each."""
        columns = Clause.of(f"{_WRITTEN}, {{}}", self._planner.readable)
        return [FoundObject(*row) for row in self._found(columns, node, order, after, limit)]

    def first(self, node: Node, limit: int, order: Order | None = None) -> list[Ranked]:
        """Return the first objects that match, with what ranks them."""
        columns = Clause.of("o.id, o.mtime_ns, {}", self._planner.readable)
        return [Ranked(*row) for row in self._found(columns, node, order or Order(), None, limit)]

    def _found(
        self, columns: Clause, node: Node, order: Order, after: PagePosition | None, limit: int
    ) -> list[Values]:
        condition = self._planner.plan(node)
        rows: list[Values] = []
        for stretch in stretches(order, after, "%s"):
            if len(rows) < limit:
                rows += self._portion(columns, condition, stretch, limit - len(rows))
        return rows

    def _portion(self, columns: Clause, condition: SqlCondition, stretch: Stretch, limit: int) -> list[Values]:
        many = self._few if stretch.order.column == "id" else min(self._few, self._look)
        if condition.size > many and stretch.indexed:
            rows = self._look_at(columns, condition, stretch, limit)
            if len(rows) == limit:
                return rows
        # Few match, or few of them are here: all of them then, in an order that no index gives.
        driven = condition.driver is not None
        where = all_hold(stretch.start, self._planner.driven(condition) if driven else condition.probe)
        order = by(stretch.order, made=driven)
        # Sorted first: whether a name is seen is asked only until the page is full.
        return self._run(Clause.of(
            f"SELECT {{}} FROM (SELECT * FROM object o WHERE {{}} ORDER BY {order} OFFSET 0) AS o"  # noqa: S608
            " WHERE {} LIMIT {}",
            columns, where, self._planner.live, Clause("%s", (limit,)),
        ))  # fmt: skip

    def _look_at(self, columns: Clause, condition: SqlCondition, stretch: Stretch, limit: int) -> list[Values]:
        """Probe the first objects in order, and more of them if that seems to fill the page."""
        found, order = all_hold(condition.probe, self._planner.live), by(stretch.order)
        look = self._look
        while True:
            rows = self._run(Clause.of(
                f"SELECT {{}} FROM (SELECT * FROM object o WHERE {{}} ORDER BY {order} LIMIT {{}}) AS o"  # noqa: S608
                f" WHERE {{}} ORDER BY {order} LIMIT {{}}",
                columns, stretch.start or TRUE, Clause("%s", (look,)), found, Clause("%s", (limit,)),
            ))  # fmt: skip
            needed = look * limit * 3 // (2 * len(rows)) if rows else MOST_LOOKED_AT + 1
            if len(rows) == limit or needed > MOST_LOOKED_AT or look >= needed:
                return rows
            look = needed

    def selective(self, node: Node) -> bool:
        """Return whether few objects match."""
        return self._planner.plan(node).size <= self._few

    def matching(self, node: Node, ids: Collection[int]) -> list[Row]:
        """Return those of `ids` that match."""
        found = all_hold(self._planner.dialect.among("o.id", ids), self._planner.plan(node).probe)
        return _rows(self._run(Clause.of("SELECT {} FROM object o WHERE {}", _COLUMNS, found)))

    def count(self, node: Node) -> int:
        """Return how many objects match."""
        planner, condition = self._for_all(node)
        found = all_hold(planner.driven(condition), planner.live)
        return self._one(Clause.of("SELECT count(*) FROM object o WHERE {}", found))

    def frequencies(self, texts: Collection[Text], ids: Collection[int]) -> dict[int, float]:
        """Return how often words or phrases stand in the documents of objects."""
        query = " | ".join(filter(None, (phrase(each.words, prefix=each.prefix) for each in texts)))
        found = dict.fromkeys(ids, 0.0)
        if query and found:
            ranks = self._run(Clause(
                "SELECT object, sum(ts_rank('{1,1,1,1}', body, %s::tsquery)) FROM fulltext"
                " WHERE object = ANY(%b::bigint[]) AND body @@ %s::tsquery GROUP BY object",
                (query, sorted(found), query),
            ))  # fmt: skip
            found |= {row[0]: float(row[1]) for row in ranks}
        return found

    def tally(self, node: Node, by: str, limit: int | None) -> list[ValueCount]:
        """Return the values of the objects that match; see tally.py."""
        return tally(*self._for_all(node), by, limit)

    def left_out(self) -> list[LeftOut]:
        """Return what no search finds."""
        rows = self._connection.execute("SELECT glob, fid FROM left_out ORDER BY glob")
        return [LeftOut(glob, None if fid is None else FID.unpack(fid)) for glob, fid in rows]

    def entries(self, parent: FID, after: bytes, limit: int) -> list[Entry]:
        """Return up to `limit` names in a directory behind the name `after`, in order."""
        rows = self._run(Clause(
            "SELECT l.name, l.fid, coalesce(o.id, 0), o.type FROM"
            " (SELECT name, fid FROM link WHERE parent = %s AND name > %s AND fid IS NOT NULL"
            " ORDER BY name LIMIT %s) AS l LEFT JOIN object o ON o.fid = l.fid ORDER BY l.name",
            (parent.pack(), after, limit),
        ))  # fmt: skip
        return [Entry(name, FID.unpack(fid), id_, type_) for name, fid, id_, type_ in rows]

    def links(self, fids: Collection[FID]) -> list[tuple[FID, FID, bytes]]:
        """Return (FID, parent, name) of every current name of `fids`."""
        return unpacked_links(self.packed_links([fid.pack() for fid in fids]))

    def packed_links(self, fids: Collection[bytes]) -> list[tuple[bytes, bytes, bytes]]:
        """Return the same, packed."""
        if not fids:
            return []
        asked = "SELECT fid, parent, name FROM link WHERE fid = ANY(%b::bytea[])"
        return [(fid, parent, name) for fid, parent, name in self._run(Clause(asked, (column(sorted(fids)),)))]

    def moved(self, fids: Collection[FID]) -> dict[FID, FID]:
        """Return the present FID of those of `fids` that an object had before."""
        return moved_of(lambda some: self._run(Clause(MOVED, (packed(some),))), fids)

    def child(self, parent: FID, name: bytes) -> FID | None:
        """Return what a name in a directory means."""
        rows = self._run(Clause("SELECT fid FROM link WHERE parent = %s AND name = %s", (parent.pack(), name)))
        return FID.unpack(rows[0][0]) if rows and rows[0][0] is not None else None

    def objects(self, fids: Collection[FID]) -> dict[FID, Row]:
        """Return those of `fids` that are stored."""
        if not fids:
            return {}
        found = f"SELECT {_COLUMNS} FROM object o WHERE o.fid = ANY(%b::bytea[])"  # noqa: S608 - constants
        rows = _rows(self._run(Clause(found, (packed(fids),))))
        return {row.fid: row for row in rows}

    def documents(self, ids: Collection[int]) -> list[StoredDocument]:
        """Return the documents and failures of objects, by their ids."""
        if not ids:
            return []
        columns = ", ".join(StoredDocument.__struct_fields__)
        rows = self._run(Clause(
            f"SELECT {columns} FROM document WHERE object = ANY(%b::bigint[]) ORDER BY object, extractor",  # noqa: S608
            (sorted(ids),),
        ))  # fmt: skip
        return [StoredDocument(*row) for row in rows]

    def bodies(self, ids: Collection[int]) -> list[tuple[int, str, str]]:
        """Return the good documents of objects."""
        found = self._run(Clause(
            "SELECT object, extractor, body FROM document WHERE body IS NOT NULL AND object = ANY(%b::bigint[])",
            (sorted(ids),),
        )) if ids else ()  # fmt: skip
        return sorted(tuple(row) for row in found)

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
        if not fids:
            return []
        asked = "SELECT fid, rule, generation FROM fired WHERE fid = ANY(%b::bytea[])"
        return [(FID.unpack(row[0]), row[1], row[2]) for row in self._run(Clause(asked, (packed(fids),)))]

    def pending(self, fids: Collection[FID]) -> list[StoredWork]:
        """Return the pending rows of `fids`."""
        if not fids:
            return []
        columns = ", ".join(StoredWork.__struct_fields__)
        rows = self._run(Clause(f"SELECT {columns} FROM pending WHERE fid = ANY(%b::bytea[])", (packed(fids),)))  # noqa: S608
        return [StoredWork(FID.unpack(row[0]), *row[1:]) for row in rows]

    def counts(self) -> Counts:
        """Return how many rows there are, counted."""
        sums = "SELECT extractor, count(*) FROM document WHERE {} IS NOT NULL GROUP BY extractor"
        return Counts(
            objects=self._one(Clause("SELECT count(*) FROM object")),
            links=self._one(Clause("SELECT count(*) FROM link WHERE fid IS NOT NULL")),
            tombstones=self._one(Clause("SELECT count(*) FROM link WHERE fid IS NULL")),
            documents=self._sums(sums.format("body")),
            failures=self._sums(sums.format("failure")),
        )

    def stats(self, counts: Counts) -> Stats:
        """Return the sums, with these counts."""
        pending = self._run(Clause("SELECT reason, count(*), min(due_ns) FROM pending GROUP BY reason"))
        return Stats(
            counts=counts,
            pending={reason: count for reason, count, _ in pending},
            counters=self._sums("SELECT name, value FROM counter ORDER BY name"),
            cursors=tuple(
                (mdt, epoch, position)
                for mdt, epoch, position in self._run(
                    Clause("SELECT mdt, epoch, position FROM cursor ORDER BY mdt, epoch")
                )
            ),
            oldest_due_ns={reason: due_ns for reason, _, due_ns in pending},
            bytes=self._one(Clause("SELECT pg_database_size(current_database())")),
            full=tuple(sorted((extractor, owner) for extractor, owner in self._run(Clause(FULL)))),
        )

    def _run(self, clause: Clause) -> list[Values]:
        # Never prepared: what is best depends on the values.
        return self._connection.execute(clause.sql, clause.parameters, prepare=False, binary=True).fetchall()

    def _one(self, statement: Clause) -> int:
        return int(self._run(statement)[0][0])

    def _sums(self, sql: str) -> dict[str, int]:
        return {row[0]: row[1] for row in self._run(Clause(sql))}


def _rows(found: Iterable[Values]) -> list[Row]:
    return [Row(id_, FID.unpack(fid), *rest) for id_, fid, *rest in found]


class PostgresqlBackend:
    """See `backend.Backend`. A lost session is replaced by the next reading.

    Raises:
        ConfigError: the URL cannot be read.
        IndexUnavailable: there is no index in the database, or no connection.
        IndexTooNew: a later version of this program wrote it.
    """

    def __init__(self, url: str, seconds: float = LONGEST_SECONDS) -> None:
        self._url = url
        self._seconds = seconds
        self._closed = False
        self._database = self._connect()

    @contextmanager
    def reading(self, viewer: Viewer | None, seconds: float | None = None) -> Iterator[PostgresqlReading]:
        """Give one moment of the index, as `viewer` may see it."""
        if self._database.connection.closed and not self._closed:
            self._database = self._connect()
        end = time.monotonic() + min(self._seconds, self._seconds if seconds is None else seconds)
        with self._database.transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as connection:
            if seconds is not None and seconds < self._seconds:
                limit = f"{max(1, int(seconds * 1000))}ms"
                connection.execute("SELECT set_config('statement_timeout', %s, true)", (limit,))
            yield PostgresqlReading(connection, viewer, end=end)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Give the session in a transaction that only reads; raises IndexUnavailable."""
        if self._database.connection.closed and not self._closed:
            self._database = self._connect()
        with self._database.transaction("BEGIN READ ONLY") as connection:
            yield connection

    def close(self) -> None:
        """Close; closing twice is fine."""
        self._closed = True
        self._database.close()

    def _connect(self) -> Database:
        database = Database(self._url, statement_seconds=self._seconds, settings=_SETTINGS)
        try:
            if database.version() == 0:
                raise IndexUnavailable(
                    f"{database.name}: there is no index here yet; start a dispatcher (lustre-events run), "
                    "or name one with --index"
                )
        except BaseException:
            database.close()
            raise
        return database
