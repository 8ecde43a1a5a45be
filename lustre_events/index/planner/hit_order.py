"""The order of hits as SQL: by a column, then by id, both in one direction; what is not known comes last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lustre_events.index.backend import Order, PagePosition
from lustre_events.index.planner.clause import Clause, all_hold

_SORTED = frozenset({"id", "size", "mtime_ns"})
"""Columns with an index that gives their order."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Objects in order, of those that match: all, or those where the order's column is known, or is not.

    Args:
        order: of the hits.
        start: condition on `o`: it is of these, and stands behind where the last page ended.
        whole: these are all objects.
    """

    order: Order
    start: Clause | None
    whole: bool

    @property
    def indexed(self) -> bool:
        """Whether an index gives the order."""
        return self.order.column in _SORTED


def stretches(order: Order, after: PagePosition | None, mark: str) -> Iterator[Stretch]:
    """Yield what is to be looked at, one after the other, until the page is full."""
    column = order.column
    if column == "id":
        yield Stretch(order, behind(order, after, mark), whole=True)
        return
    if after is None or after.value is not None:
        yield Stretch(order, all_hold(behind(order, after, mark), Clause(f"o.{column} IS NOT NULL")), whole=False)
        after = None
    order = Order("id", order.descending)
    # What has an index is known of all objects that `stat` has seen; the others are in an index of their own.
    unknown = Clause("o.size IS NULL" if column in _SORTED else f"o.{column} IS NULL")
    yield Stretch(order, all_hold(behind(order, after, mark), unknown), whole=False)


def behind(order: Order, position: PagePosition | None, mark: str, *, before: bool = False) -> Clause | None:
    """Return the condition to stand behind a place, or (`before`) before it or on it."""
    if position is None:
        return None
    sign = "<" if order.descending else ">"
    if before:
        sign = ">=" if order.descending else "<="
    if order.column == "id":
        return Clause(f"o.id {sign} {mark}", (position.id,))
    return Clause(f"(o.{order.column}, o.id) {sign} ({mark}, {mark})", (position.value or 0, position.id))


def by(order: Order, *, made: bool = False) -> str:
    """Return what comes behind ORDER BY; `made`: so that no index can give it, which would not end soon."""
    direction = "DESC" if order.descending else "ASC"
    # The plus hides the column from indexes, on every database.
    first = "" if order.column == "id" else f"{'+' if made else ''}o.{order.column} {direction}, "
    return f"{first}o.id {direction}"
