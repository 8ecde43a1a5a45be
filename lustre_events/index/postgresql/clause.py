"""Pieces of SQL with their parameters, and what a part of a query means in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

UNKNOWN_SIZE = 1 << 62


@dataclass(frozen=True, slots=True)
class Clause:
    """SQL text and its parameters."""

    sql: str
    parameters: tuple[Any, ...] = ()


TRUE, FALSE = Clause("true"), Clause("false")


@dataclass(frozen=True, slots=True)
class Condition:
    """What a node means, over `object o`.

    `probe` looks at what belongs to one object, `member` asks whether it is in the set of all that match, which is
    made once. `driver` is a SELECT of the ids of all that match, but for `rest`, which is to be tested besides.
    `size`: how many ids the driver gives, as far as counted. `scans`: the driver reads a whole table.
    """

    probe: Clause
    member: Clause
    driver: Clause | None = None
    rest: Clause | None = None
    size: int = UNKNOWN_SIZE
    scans: bool = False

    def driven(self) -> Clause:
        """Return the WHERE condition that is best for all objects that match."""
        if self.driver is None:
            return self.member
        # An array is made first, and the objects are looked up by it, whatever the planner believes of its size.
        first = Clause(f"o.id = ANY(ARRAY({self.driver.sql}))", self.driver.parameters)
        return first if self.rest is None else joined([first, self.rest], "AND")

    def source(self) -> Clause | None:
        """Return a SELECT of the ids of all objects that match."""
        if self.driver is None or self.rest is None:
            return self.driver
        where = self.driven()
        return Clause(f"SELECT o.id FROM object o WHERE {where.sql}", where.parameters)  # noqa: S608


def joined(clauses: Sequence[Clause], word: str) -> Clause:
    """Return conditions joined by AND or OR."""
    return Clause(
        "(" + f" {word} ".join(clause.sql for clause in clauses) + ")",
        tuple(value for clause in clauses for value in clause.parameters),
    )


def union(sources: Sequence[Clause]) -> Clause:
    """Return one SELECT of all rows of several."""
    return Clause(
        " UNION ALL ".join(f"({source.sql})" for source in sources),
        tuple(value for source in sources for value in source.parameters),
    )


def exists(source: Clause) -> Clause:
    """Return the condition that a SELECT ... FROM ... WHERE that refers to `o` has a row.

    As a value: the planner would turn EXISTS into a join over a whole table where it is wrong about sizes.
    """
    return Clause(f"coalesce((SELECT true {source.sql} LIMIT 1), false)", source.parameters)


def member_of(source: Clause) -> Clause:
    """Return the condition that an object's id is in a set, which is made once and hashed."""
    return Clause(f"(o.id IN ({source.sql})) IS TRUE", source.parameters)
