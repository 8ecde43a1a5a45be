"""The pages of a search in SQLite: which of three efforts finds them.

The first one counts no words, and asks the streams of words and values for their first ids (dialect.py). The usual
one probes objects in the order asked for, where very many match, and sorts all that match where they are few. Where
very many match but few of them are near, all are counted and sorted after all.
"""

from __future__ import annotations

import heapq
import itertools
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lustre_events.changelog.fid import FID
from lustre_events.index.backend import Order, PagePosition, Row
from lustre_events.index.planner.clause import TRUE, Clause, SqlCondition, all_hold
from lustre_events.index.planner.dialect import Effort
from lustre_events.index.planner.pages import Stretch, behind, by, stretches
from lustre_events.index.planner.planner import Planner
from lustre_events.index.query.tree import Node

COLUMNS = ", ".join(f"o.{name}" for name in Row.__struct_fields__)
_PORTION = 250
"""Candidates that are probed together; a page has about a hundred hits."""


@dataclass(frozen=True, slots=True)
class Pages:
    """Finds the pages of one reading."""

    connection: sqlite3.Connection
    planner: Planner

    def find(self, node: Node, order: Order, after: PagePosition | None, limit: int) -> list[Row]:
        """Return up to `limit` objects that match, in order, behind `after`."""
        if order == Order():
            quick = self.planner.plan(node, Effort.QUICK)
            first = self._first(quick, after.id if after else 0, limit)
            if first is not None:
                return first
        rows: list[Row] = []
        for stretch in stretches(order, after, "?"):
            if len(rows) < limit:
                rows += self._portion(node, stretch, limit - len(rows), after.id if after else 0)
        return rows

    def _portion(self, node: Node, stretch: Stretch, limit: int, after: int) -> list[Row]:
        condition = self.planner.plan(node)
        if condition.size <= self.planner.few or not stretch.indexed:
            return self._select(stretch, self.planner.driven(condition), limit, made=True)
        # `_first` has looked at the first ones of streams already.
        if not (condition.streams and stretch.whole and stretch.order == Order()):
            end = self._end_of_look(stretch, after)
            rows = self._select(stretch, all_hold(end, condition.probe), limit)
            if len(rows) == limit or end is None:
                return rows
        # Many match, but few of them are here: all of them then.
        condition = self.planner.plan(node, Effort.THOROUGH)
        if condition.driver is not None:
            return self._select(stretch, self.planner.driven(condition), limit, made=True)
        return self._select(stretch, condition.probe, limit)

    def _first(self, condition: SqlCondition, after: int, limit: int) -> list[Row] | None:
        """Return the first `limit` objects behind the id `after`, if a few ids of those that match give them.

        None: they do not; there may be more objects than those found.
        """
        few = self.planner.few
        if (
            condition.driver is not None
            and condition.rest is None
            and condition.size <= self.planner.dialect.enough(few)
        ):
            return self._first_of_ids(condition.driver, after, limit)
        if not condition.streams or condition.size <= few:
            return None
        streams = [self._ids(stream(after)) for stream in condition.streams]
        ids = common([itertools.islice(stream, few) for stream in streams])
        rows: list[Row] = []
        while len(rows) < limit and (portion := list(itertools.islice(ids, _PORTION))):
            rows += self._among(portion, condition.besides, limit - len(rows))
        return rows if len(rows) == limit else None

    def _ids(self, selects: Sequence[Clause]) -> Iterator[int]:
        """Yield the ids of one stream, in order."""
        each = [(row[0] for row in self.connection.execute(one.sql, one.parameters)) for one in selects]
        return each[0] if len(each) == 1 else heapq.merge(*each)

    def _first_of_ids(self, driver: Clause, after: int, limit: int) -> list[Row] | None:
        statement = Clause.of(
            "WITH found (id) AS ({}) SELECT id FROM found WHERE {} LIMIT ?",
            driver, Clause("id > ? ORDER BY id", (after,)),
        )  # fmt: skip
        wanted = limit + _PORTION
        found = [row[0] for row in self.connection.execute(statement.sql, (*statement.parameters, wanted))]
        rows = self._among(found, None, limit)
        return rows if len(rows) == limit or len(found) < wanted else None

    def _among(self, ids: Collection[int], condition: Clause | None, limit: int) -> list[Row]:
        """Return up to `limit` of `ids` that match, in order."""
        inside = self.planner.dialect.among("o.id", ids)
        return self._select(Stretch(Order(), condition, whole=True), inside, limit)

    def _end_of_look(self, stretch: Stretch, after: int) -> Clause | None:
        """Return the condition that ends a first look, behind as many objects as are quickly probed; None: all are.

        Ids are numbers without many gaps: none has to be counted.
        """
        order, where = stretch.order, stretch.start or TRUE
        if stretch.whole and order == Order():
            last = after + self.planner.few
            (highest,) = self.connection.execute("SELECT max(id) FROM object").fetchone()
            return None if (highest or 0) <= last else Clause("o.id <= ?", (last,))
        row = self.connection.execute(
            f"SELECT o.{order.column}, o.id FROM object o WHERE {where.sql} ORDER BY {by(order)} LIMIT 1 OFFSET ?",  # noqa: S608
            (*where.parameters, self.planner.few),
        ).fetchone()
        return None if row is None else behind(order, PagePosition(*row), "?", before=True)

    def _select(self, stretch: Stretch, where: Clause, limit: int, *, made: bool = False) -> list[Row]:
        found = all_hold(stretch.start, where, self.planner.live)
        order = by(stretch.order, made=made)
        statement = f"SELECT {COLUMNS} FROM object o WHERE {found.sql} ORDER BY {order} LIMIT ?"  # noqa: S608
        return rows_of(self.connection, Clause(statement, (*found.parameters, limit)))


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


def rows_of(connection: sqlite3.Connection, statement: Clause) -> list[Row]:
    """Return the objects that a statement gives."""
    return [row_of(columns) for columns in connection.execute(statement.sql, statement.parameters)]


def row_of(columns: tuple[Any, ...]) -> Row:
    """Return an object from its COLUMNS."""
    id_, fid, *rest = columns
    return Row(id_, FID.unpack(fid), *rest)
