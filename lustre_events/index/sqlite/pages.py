"""The pages of a search in SQLite: which of three efforts finds them.

The first one counts no words, and asks the streams of words and values for their first ids (dialect.py). The usual
one probes objects in the order asked for, where very many match, and sorts all that match where they are few. Where
very many match but few of them are near, all are counted and sorted after all.
"""

from __future__ import annotations

import itertools
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from lustre_events.changelog.fid import FID
from lustre_events.index.backend import FoundObject, Order, PagePosition, Ranked, Row
from lustre_events.index.planner.clause import TRUE, Clause, SqlCondition, Stream, all_hold
from lustre_events.index.planner.dialect import Effort
from lustre_events.index.planner.hit_order import Stretch, behind, by, stretches
from lustre_events.index.planner.planner import Planner
from lustre_events.index.query.tree import Node
from lustre_events.index.sqlite.dialect import LISTED
from lustre_events.index.sqlite.paths import ListedDirectories, directories_of

COLUMNS = ", ".join(f"o.{name}" for name in Row.__struct_fields__)
T = TypeVar("T", bound=Row | Ranked | FoundObject)
_BY_ID = by(Order())
_PORTION = 250
"""Candidates that are probed together; a page has about a hundred hits."""
_MOST = 1_000
"""The same of a large page."""


@dataclass(frozen=True, slots=True)
class Pages(Generic[T]):
    """Finds the pages of one reading.

    Args:
        connection: the index.
        planner: says what a query means.
        listed: says whether the viewer can list directories; None: all names are seen.
        columns: what a page holds of `object o`.
        made: makes that of the columns.
        named: behind the columns `made` gets the directory and the name of an object that has one, else None.
    """

    connection: sqlite3.Connection
    planner: Planner
    listed: ListedDirectories | None
    columns: str
    made: Callable[[tuple[Any, ...]], T]
    named: bool = False

    def find(self, node: Node, order: Order, after: PagePosition | None, limit: int) -> list[T]:
        """Return up to `limit` objects that match, in order, behind `after`."""
        if order == Order():
            quick = self.planner.plan(node, Effort.QUICK)
            first = self._first(quick, after.id if after else 0, limit)
            if first is not None:
                return first
        rows: list[T] = []
        for stretch in stretches(order, after, "?"):
            if len(rows) < limit:
                rows += self._portion(node, stretch, limit - len(rows), after.id if after else 0)
        return rows

    def _portion(self, node: Node, stretch: Stretch, limit: int, after: int) -> list[T]:
        condition = self.planner.plan(node)
        if not condition.size:
            return []
        if condition.size <= self.planner.few or not stretch.indexed:
            return self._collected(stretch, condition, limit)
        # `_first` has looked at the first ones of streams already.
        if not (condition.streams and stretch.whole and stretch.order == Order()):
            end = self._end_of_look(stretch, after)
            rows = self._select(stretch, all_hold(end, condition.probe), limit)
            if len(rows) == limit or end is None:
                return rows
        # Many match, but few of them are here: all of them then.
        condition = self.planner.plan(node, Effort.THOROUGH)
        if condition.driver is not None:
            return self._collected(stretch, condition, limit)
        return self._select(stretch, condition.probe, limit)

    def _first(self, condition: SqlCondition, after: int, limit: int) -> list[T] | None:
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
        if condition.ways:
            return self._first_of_ways(condition.ways, after, limit)
        whole: list[bool] = []
        rows: list[T] = []
        for each in self._rounds(condition.streams, after, _MOST, all, whole):
            found = sorted(set(each[0]).intersection(*each[1:]))
            rows += self._among(found, condition.besides, limit - len(rows)) if found else []
            if len(rows) >= limit:
                return rows
        return rows if whole else None

    def _first_of_ways(
        self, ways: Sequence[tuple[Stream, Clause | None]], after: int, limit: int
    ) -> list[T] | None:
        """Do so for objects in any of some streams; of each only what its own stream does not tell is tested."""
        whole: list[bool] = []
        rows: dict[int, T] = {}
        for each in self._rounds([stream for stream, _ in ways], after, _portion(limit), any, whole):
            hits: dict[int, T] = {}
            for ids, (_, besides) in zip(each, ways, strict=True):
                new = [id_ for id_ in ids if id_ not in hits]
                hits |= {row.id: row for row in self._among(new, besides, len(new))} if new else {}
            rows |= sorted(hits.items())
            if len(rows) >= limit:
                return list(itertools.islice(rows.values(), limit))
        return list(rows.values()) if whole else None

    def _rounds(
        self,
        streams: Sequence[Stream],
        after: int,
        size: int,
        going: Callable[[Iterable[list[int]]], bool],
        whole: list[bool],
    ) -> Iterator[list[list[int]]]:  # fmt: skip
        """Yield what streams have behind an id, each up to the same; if that is all, a word is left in `whole`."""
        few, looked = self.planner.few, 0
        for each in aligned([self._ids(stream(after), min(size, few + 1)) for stream in streams], going):
            yield each
            looked += max(map(len, each))
            if looked > few:
                return
        whole.append(True)

    def _ids(self, selects: Sequence[Clause], size: int) -> Iterator[list[int]]:
        """Yield the ids of one stream, in order, some together and each once."""
        if len(selects) > 1:
            for each in aligned([self._ids((select,), size) for select in selects], any):
                yield sorted(set().union(*each))
            return
        found, last = self.connection.execute(selects[0].sql, selects[0].parameters), -1
        while rows := found.fetchmany(size):
            ids = [id_ for (id_,) in dict.fromkeys(rows) if id_ != last]
            if ids:
                yield ids
                last = ids[-1]

    def _first_of_ids(self, driver: Clause, after: int, limit: int) -> list[T] | None:
        statement = Clause.of(
            "WITH found (id) AS ({}) SELECT id FROM found WHERE {} LIMIT ?",
            driver, Clause("id > ? ORDER BY id", (after,)),
        )  # fmt: skip
        wanted = limit + _PORTION
        found = [row[0] for row in self.connection.execute(statement.sql, (*statement.parameters, wanted))]
        rows = self._among(found, None, limit)
        return rows if len(rows) == limit or len(found) < wanted else None

    def _among(self, ids: Collection[int], condition: Clause | None, limit: int, order: str = _BY_ID) -> list[T]:
        """Return up to `limit` of `ids` that match, in order."""
        if self.listed is not None and condition is not None and LISTED.sql in condition.sql:
            self.listed.decide(directories_of(self.connection, ids))
        return self._live(all_hold(self.planner.dialect.among("o.id", ids), condition), order, limit)

    def _end_of_look(self, stretch: Stretch, after: int) -> Clause | None:
        """Return the condition that ends a first look, behind as many objects as are quickly probed; None: all are.

        Ids are numbers without many gaps: none has to be counted.
        """
        order, where = stretch.order, stretch.start or TRUE
        if stretch.whole and order.column == "id":
            (highest,) = self.connection.execute("SELECT max(id) FROM object").fetchone()
            if order.descending:
                last = (after or (highest or 0) + 1) - self.planner.few
                return Clause("o.id >= ?", (last,)) if last > 1 else None
            last = after + self.planner.few
            return None if (highest or 0) <= last else Clause("o.id <= ?", (last,))
        row = self.connection.execute(
            f"SELECT o.{order.column}, o.id FROM object o WHERE {where.sql} ORDER BY {by(order)} LIMIT 1 OFFSET ?",  # noqa: S608
            (*where.parameters, self.planner.few),
        ).fetchone()
        return None if row is None else behind(order, PagePosition(*row), "?", before=True)

    def _select(self, stretch: Stretch, where: Clause, limit: int) -> list[T]:
        return self._live(all_hold(stretch.start, where), by(stretch.order), limit)

    def _collected(self, stretch: Stretch, condition: SqlCondition, limit: int) -> list[T]:
        """Return the first of all objects that match, which are few, sorted by no index."""
        order, where = by(stretch.order, made=True), self.planner.driven(condition)
        if self.listed is None:
            return self._live(all_hold(stretch.start, where), order, limit, sorted_first=True)
        rest, wanted = None, limit  # mostly all are seen
        if condition.driver is not None and condition.rest is not None and LISTED.sql in condition.rest.sql:
            # What is asked of names is asked of many objects together, whose directories are decided first.
            where = Clause.of(self.planner.dialect.drives, "o.id", condition.driver)
            rest, wanted = condition.rest, _MOST
        # Sorted first: whether a name is seen is asked only until the page is full.
        found = all_hold(stretch.start, where)
        sql = f"SELECT o.id FROM object o WHERE {found.sql} ORDER BY {order}"  # noqa: S608
        ids = (row[0] for row in self.connection.execute(sql, found.parameters))
        rows: list[T] = []
        while len(rows) < limit and (portion := list(itertools.islice(ids, wanted))):
            wanted = max(_portion(limit), wanted if rest is not None else 0)
            rows += self._among(portion, rest, limit - len(rows), order)
        return rows

    def _live(self, found: Clause, order: str, limit: int, *, sorted_first: bool = False) -> list[T]:
        """Return the first objects for which a condition holds, and that have a name that is seen."""
        if self.listed is not None:
            return self._seen(found, order, limit, self.listed)
        if self.named and not sorted_first:
            return self._with_names(found, order, limit)
        found = all_hold(found, self.planner.live)
        statement = f"SELECT {self._nameless} FROM object o WHERE {found.sql} ORDER BY {order} LIMIT ?"  # noqa: S608
        return [self.made(row) for row in self.connection.execute(statement, (*found.parameters, limit))]

    @property
    def _nameless(self) -> str:
        """The columns of an object whose names are not looked for."""
        return f"{self.columns}, NULL, NULL" if self.named else self.columns

    def _with_names(self, found: Clause, order: str, limit: int) -> list[T]:
        """Do so by one look for the names of an object, which are needed anyway."""
        which = f"object o CROSS JOIN link ON link.fid = o.fid WHERE {found.sql} ORDER BY {order}"
        named = self.connection.execute(
            f"SELECT {self.columns}, link.parent, link.name FROM {which}",  # noqa: S608
            found.parameters,
        )
        rows: dict[int, T] = {}
        # One more than is wanted: so all names of the last one are known.
        while len(rows) <= limit and (portion := named.fetchmany(limit + 1 - len(rows))):
            self._take(rows, portion)
        return list(itertools.islice(rows.values(), limit))

    def _take(self, rows: dict[int, T], portion: Collection[tuple[Any, ...]]) -> None:
        """Add objects, each with the name in its last columns; of one with several names none is kept."""
        new = {row[0]: row for row in portion}
        if len(new) == len(portion) and rows.keys().isdisjoint(new):
            rows.update(zip(new, map(self.made, portion), strict=True))
            return
        for row in portion:
            rows[row[0]] = self.made((*row[:-2], None, None) if row[0] in rows else row)

    def _seen(self, found: Clause, order: str, limit: int, listed: ListedDirectories) -> list[T]:
        """Do so for a viewer who may not list all directories: those of many candidates are decided together."""
        which = f"object o CROSS JOIN link ON link.fid = o.fid WHERE {found.sql} ORDER BY {order}"
        named = self.connection.execute(
            f"SELECT {self._nameless}, link.parent FROM {which}",  # noqa: S608
            found.parameters,
        )
        rows: dict[int, T] = {}
        # Each may cost a look into a document: so at first no more than the page needs.
        wanted = limit
        while len(rows) < limit and (portion := named.fetchmany(wanted)):
            wanted = _portion(limit)
            listed.decide({row[-1] for row in portion})
            rows |= {row[0]: self.made(row[:-1]) for row in portion if listed[row[-1]]}
        return list(itertools.islice(rows.values(), limit))


def _portion(limit: int) -> int:
    """Return how many candidates are probed together for a page."""
    return max(_PORTION, min(limit, _MOST))


def aligned(
    streams: Sequence[Iterator[list[int]]], going: Callable[[Iterable[list[int]]], bool]
) -> Iterator[list[list[int]]]:
    """Yield for each of some streams what it has up to the same number, as long as `any` or `all` have more.

    A stream gives numbers in order, some together. So those in any, or in all, of the streams are found by sets.
    """
    heads = [next(stream, []) for stream in streams]
    while going(heads):
        bound = min(head[-1] for head in heads if head)
        ends = [bisect_right(head, bound) for head in heads]
        yield [head[:end] for head, end in zip(heads, ends, strict=True)]
        left = [head[end:] for head, end in zip(heads, ends, strict=True)]
        heads = [head or next(stream, []) for head, stream in zip(left, streams, strict=True)]


def rows_of(connection: sqlite3.Connection, statement: Clause) -> list[Row]:
    """Return the objects that a statement gives."""
    return [row_of(columns) for columns in connection.execute(statement.sql, statement.parameters)]


def row_of(columns: tuple[Any, ...]) -> Row:
    """Return an object from its COLUMNS."""
    id_, fid, *rest = columns
    return Row(id_, FID.unpack(fid), *rest)
