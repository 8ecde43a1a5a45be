"""Searching a SQLite index: the side that only reads. reading.py says what each call means."""

from __future__ import annotations

import functools
import itertools
import json
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lustre_events.changelog.fid import FID
from lustre_events.domain import acl
from lustre_events.errors import IndexUnavailable
from lustre_events.index.query.tree import Node
from lustre_events.index.reading import (
    LONGEST_SECONDS,
    Counts,
    Entry,
    Order,
    Place,
    Row,
    Stats,
    StoredDocument,
    StoredWork,
    Tally,
)
from lustre_events.index.sqlite import local_disk
from lustre_events.index.sqlite.clause import Clause, Condition, joined
from lustre_events.index.sqlite.database import BUSY_SECONDS, check_version, sqlite_errors, there
from lustre_events.index.sqlite.filter import FEW, Compiler, Effort
from lustre_events.index.sqlite.origin import whole
from lustre_events.index.sqlite.paths import links_of
from lustre_events.index.sqlite.tally import tally
from lustre_events.index.visibility import Sight, Viewer, permits

_NO_INDEX = "{}: there is no index here yet; start a dispatcher (lustre-events run), or name one with --index"
_CHUNK = 500
_PORTION = 250
"""Candidates that are probed together; a page has about a hundred hits."""
_LOOK_STEPS = 100_000
"""SQLite's own steps, some milliseconds, between two looks at the clock."""
_COLUMNS = ", ".join(f"o.{name}" for name in Row.__struct_fields__)
_SORTED = frozenset({"id", "size", "mtime_ns"})
"""Columns with an index that gives their order."""


class SqliteReading:
    """See `reading.Reading`, within a transaction of the caller.

    Args:
        connection: an index.
        viewer: who looks; None: everything is seen.
        few: where fewer objects match they are collected; else objects are probed in order, at first as many.
    """

    def __init__(self, connection: sqlite3.Connection, viewer: Viewer | None = None, few: int = FEW) -> None:
        self._connection = connection
        self._compiler = Compiler(connection, limited=viewer is not None, few=few)
        if viewer is not None:
            sight = Sight(viewer, lambda fids: [(fid, parent) for fid, parent, _ in self.links(fids)], self.objects)
            connection.create_function("le_listed", 1, lambda packed: sight.listed(FID.unpack(packed)))
            connection.create_function("le_readable", 4, functools.partial(_readable, viewer))

    def find(self, node: Node, order: Order, after: Place | None, limit: int) -> list[Row]:
        """Return up to `limit` objects that match, in order, behind `after`."""
        if order == Order():
            quick = self._compiler.compile(node, Effort.QUICK)
            first = self._first(quick, after.id if after else 0, limit)
            if first is not None:
                return first
        if order.column == "id":
            return self._portion(node, order, after, limit, None)
        rows: list[Row] = []
        if after is None or after.value is not None:
            rows = self._portion(node, order, after, limit, f"o.{order.column} IS NOT NULL")
            after = None
        if len(rows) < limit:
            unknown = Order("id", order.descending)
            rows += self._portion(node, unknown, after, limit - len(rows), f"o.{order.column} IS NULL")
        return rows

    def _portion(
        self, node: Node, order: Order, after: Place | None, limit: int, only: str | None
    ) -> list[Row]:  # fmt: skip
        condition = self._compiler.compile(node)
        start = [_behind(order, after)] if after is not None else []
        start += [Clause(only)] if only is not None else []
        if condition.size <= self._compiler.few or order.column not in _SORTED:
            return self._select(condition.driven(), start, order, limit, plus="+")
        if not (
            condition.streams and order == Order() and only is None
        ):  # else `_first` has looked at the first ones
            end = self._bound(start, order)
            rows = self._select(condition.probe, [*start, *end], order, limit)
            if len(rows) == limit or not end:
                return rows
        # Many match, but few of them are here: all of them then.
        condition = self._compiler.compile(node, Effort.THOROUGH)
        if condition.driver is not None:
            return self._select(condition.driven(), start, order, limit, plus="+")
        return self._select(condition.probe, start, order, limit)

    def _first(self, condition: Condition, after: int, limit: int) -> list[Row] | None:
        """Return the first `limit` objects behind the id `after`, if a few ids of those that match give them.

        None: they do not; there may be more objects than those found.
        """
        if condition.driver is not None and condition.rest is None and condition.size <= self._compiler.many:
            ids = self._connection.execute(
                f"WITH found (id) AS ({condition.driver.sql})"  # noqa: S608 - made here
                " SELECT id FROM found WHERE id > ? ORDER BY id LIMIT ?",
                (*condition.driver.parameters, after, limit + _PORTION),
            )
            found = [row[0] for row in ids]
            rows = self._among(found, None, limit)
            return rows if len(rows) == limit or len(found) < limit + _PORTION else None
        if not condition.streams or condition.size <= self._compiler.few:
            return None
        streams = [
            (
                row[0]
                for row in itertools.islice(self._connection.execute(each.sql, each.parameters), self._compiler.few)
            )
            for each in (stream(after) for stream in condition.streams)
        ]
        common_ids = common(streams)
        rows = []
        while len(rows) < limit and (portion := list(itertools.islice(common_ids, _PORTION))):
            rows += self._among(portion, condition.besides, limit - len(rows))
        return rows if len(rows) == limit else None

    def _among(self, ids: Collection[int], condition: Clause | None, limit: int) -> list[Row]:
        """Return up to `limit` of `ids` that match, in order."""
        inside = Clause(f"o.id IN ({','.join(map(str, ids))})")
        return self._select(inside, [condition] if condition else [], Order(), limit)

    def _bound(self, start: list[Clause], order: Order) -> list[Clause]:
        """Return the condition that ends a first look, behind as many objects as are quickly probed."""
        where = joined(start, "AND") if start else Clause("1")
        row = self._connection.execute(
            f"SELECT o.{order.column}, o.id FROM object o WHERE {where.sql} ORDER BY {_by(order)} LIMIT 1 OFFSET ?",  # noqa: S608
            (*where.parameters, self._compiler.few),
        ).fetchone()
        return [] if row is None else [_behind(order, Place(*row), before=True)]

    def _select(self, where: Clause, more: list[Clause], order: Order, limit: int, plus: str = "") -> list[Row]:
        found = joined([*more, where, Clause(self._compiler.live)], "AND")
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM object o WHERE {found.sql} ORDER BY {_by(order, plus)} LIMIT ?",  # noqa: S608
            (*found.parameters, limit),
        )
        return [_row(row) for row in rows]

    def selective(self, node: Node) -> bool:
        """Return whether few objects match."""
        return self._compiler.compile(node).size <= self._compiler.few

    def matching(self, node: Node, ids: Collection[int]) -> list[Row]:
        """Return those of `ids` that match."""
        probe = self._compiler.compile(node).probe
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM object o WHERE o.id IN ({','.join(map(str, ids))}) AND {probe.sql}",  # noqa: S608
            probe.parameters,
        )
        return [_row(row) for row in rows]

    def count(self, node: Node) -> int:
        """Return how many objects match."""
        where = self._compiler.compile(node).driven()
        counted = self._connection.execute(
            f"SELECT count(*) FROM object o WHERE {where.sql} AND {self._compiler.live}",  # noqa: S608 - of clauses
            where.parameters,
        )
        return int(counted.fetchone()[0])

    def tally(self, node: Node, by: str, limit: int | None) -> list[Tally]:
        """Return the values of the objects that match; see tally.py."""
        return tally(self._connection, self._compiler, node, by, limit)

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

    def child(self, parent: FID, name: bytes) -> FID | None:
        """Return what a name in a directory means."""
        row = self._connection.execute(
            "SELECT fid FROM link WHERE parent = ? AND name = ?", (parent.pack(), name)
        ).fetchone()
        return None if row is None or row[0] is None else FID.unpack(row[0])

    def objects(self, fids: Collection[FID]) -> dict[FID, Row]:
        """Return those of `fids` that are stored."""
        found = self._in(f"SELECT {_COLUMNS} FROM object o WHERE o.fid", [fid.pack() for fid in fids])  # noqa: S608
        return {row.fid: row for row in map(_row, found)}

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


def common(streams: Sequence[Iterator[int]]) -> Iterator[int]:
    """Yield the numbers that are in all of the streams, each once; each stream is in order."""
    heads = [next(stream, None) for stream in streams]
    while None not in heads:
        highest = max(head for head in heads if head is not None)
        if all(head == highest for head in heads):
            yield highest
            highest += 1
        for number, stream in enumerate(streams):
            while (head := heads[number]) is not None and head < highest:
                heads[number] = next(stream, None)


def _readable(
    viewer: Viewer, uid: int | None, gid: int | None, mode: int | None, access: bytes | None
) -> bool:  # fmt: skip
    return permits(viewer, uid, gid, mode, access, acl.READ)


def _by(order: Order, plus: str = "") -> str:
    direction = "DESC" if order.descending else "ASC"
    first = "" if order.column == "id" else f"{plus}o.{order.column} {direction}, "
    return f"{first}o.id {direction}"


def _behind(order: Order, place: Place, *, before: bool = False) -> Clause:
    """Return the condition to stand behind a place, or (`before`) before it or on it."""
    sign = "<" if order.descending else ">"
    if before:
        sign = ">=" if order.descending else "<="
    if order.column == "id":
        return Clause(f"o.id {sign} ?", (place.id,))
    return Clause(f"(o.{order.column}, o.id) {sign} (?, ?)", (place.value or 0, place.id))


def _row(columns: tuple[Any, ...]) -> Row:
    id_, fid, *rest = columns
    return Row(id_, FID.unpack(fid), *rest)


class SqliteBackend:
    """See `reading.Backend`: an index file opened for reading.

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
    def reading(self, viewer: Viewer | None) -> Iterator[SqliteReading]:
        """Give one moment of the index, as `viewer` may see it."""
        end = time.monotonic() + self._seconds
        with sqlite_errors(self._path):
            self._connection.execute("BEGIN")
            self._connection.set_progress_handler(lambda: time.monotonic() > end, _LOOK_STEPS)
            try:
                yield SqliteReading(self._connection, viewer)
            finally:
                self._connection.set_progress_handler(None, 0)
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the index."""
        self._connection.close()
