"""Pieces of SQL with their parameters, and what a node of a query means in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

UNKNOWN = 1 << 62
"""The size of a condition that cannot drive a search."""
MANY = UNKNOWN - 1
"""The size of a condition that was not counted, or not to the end."""


@dataclass(frozen=True, slots=True)
class Clause:
    """SQL text and its parameters."""

    sql: str
    parameters: tuple[Any, ...] = ()

    @classmethod
    def of(cls, template: str, *parts: Clause | str) -> Self:
        """Return a template filled in. It must use each clause once, in the order of `parts`."""
        texts = [part if isinstance(part, str) else part.sql for part in parts]
        return cls(template.format(*texts), _parameters(part for part in parts if isinstance(part, Clause)))


TRUE, FALSE = Clause("true"), Clause("false")

Stream = Callable[[int], tuple[Clause, ...]]


@dataclass(frozen=True, slots=True)
class SqlCondition:
    """What a node means, over `object o`.

    Args:
        probe: looks at what belongs to one object.
        member: asks whether an object is in the set of all that match, which is made once.
        driver: a SELECT of the ids of all that match, but for `rest`.
        rest: what is to be tested besides, where the driver drives.
        size: how many ids the driver gives, as far as counted.
        scans: the driver reads a whole table.
        streams: an object matches if it is in each of them, where there are any, and `besides` holds. A stream
            gives SELECTs of the ids behind one, each in order, which a page merges and may end early.
        besides: see `streams`.
        ways: where the one stream merges those of alternatives: each of these, and what must hold besides for an
            object that is in it, which is often less than `besides`.
    """

    probe: Clause
    member: Clause
    driver: Clause | None = None
    rest: Clause | None = None
    size: int = UNKNOWN
    scans: bool = False
    streams: tuple[Stream, ...] = ()
    besides: Clause | None = None
    ways: tuple[tuple[Stream, Clause | None], ...] = ()


def plain(test: Clause, driver: Clause | None = None, size: int = UNKNOWN) -> SqlCondition:
    """Return a condition that is tested in one way only."""
    return SqlCondition(test, test, driver, size=size)


def joined(clauses: Sequence[Clause], word: str) -> Clause:
    """Return conditions joined by AND or OR, in brackets."""
    return Clause.of("({})", in_a_row(clauses, f" {word} "))


def all_hold(*clauses: Clause | None) -> Clause:
    """Return the condition that all of those given hold, without brackets."""
    return in_a_row([clause for clause in clauses if clause is not None], " AND ")


def in_a_row(clauses: Sequence[Clause], between: str) -> Clause:
    """Return clauses behind each other, with a text between them."""
    return Clause(between.join(clause.sql for clause in clauses), _parameters(clauses))


def _parameters(clauses: Iterable[Clause]) -> tuple[Any, ...]:
    return tuple(value for clause in clauses for value in clause.parameters)
