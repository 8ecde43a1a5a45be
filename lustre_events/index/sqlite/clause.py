"""What a node of a query means in SQL: text with its parameters, and how it can be tested or found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Value = str | bytes | int | float


@dataclass(frozen=True, slots=True)
class Clause:
    """SQL text and its parameters."""

    sql: str
    parameters: tuple[Value, ...] = ()


Stream = Callable[[int], Clause]

NOTHING = Clause("SELECT id FROM object WHERE 0")


@dataclass(frozen=True, slots=True)
class Condition:
    """What a node means. `size`: how many ids the driver gives, as far as counted; `scans`: it reads a table.

    An object matches if it is in each of the `streams`, where there are any, and `besides` holds. A stream gives
    the SELECT of ids behind one, in order, which a page may end early.
    """

    probe: Clause
    member: Clause
    driver: Clause | None = None
    rest: Clause | None = None  # to be tested besides, where the driver drives
    size: int = 1 << 62
    scans: bool = False
    streams: tuple[Stream, ...] = ()
    besides: Clause | None = None

    def driven(self) -> Clause:
        """Return the WHERE condition that is best for all objects that match."""
        if self.driver is None:
            return self.member
        first = within(self.driver)
        return first if self.rest is None else joined([first, self.rest], "AND")

    def source(self) -> Clause | None:
        """Return a SELECT of the ids of all objects that match."""
        if self.driver is None or self.rest is None:
            return self.driver
        where = self.driven()
        return Clause(f"SELECT o.id FROM object o WHERE {where.sql}", where.parameters)  # noqa: S608


def within(source: Clause, plus: str = "") -> Clause:
    """Return the condition that an object is among a SELECT of ids; the plus keeps SQLite from driving from it."""
    return Clause(f"{plus}o.id IN ({source.sql})", source.parameters)


def joined(clauses: Sequence[Clause], word: str) -> Clause:
    """Return conditions joined by AND or OR."""
    return Clause(
        "(" + f" {word} ".join(clause.sql for clause in clauses) + ")",
        tuple(value for clause in clauses for value in clause.parameters),
    )


def union(sources: Sequence[Clause]) -> Clause:
    """Return a SELECT of the ids of several."""
    return Clause(
        " UNION ALL ".join(f"SELECT * FROM ({source.sql})" for source in sources),  # noqa: S608 - made here
        tuple(value for source in sources for value in source.parameters),
    )


def plain(test: Clause, driver: Clause | None = None, size: int = 1 << 62) -> Condition:
    """Return a condition that is tested in one way only."""
    return Condition(test, test, driver, size=size)
