"""What the parts of a PostgreSQL transaction share: how statements are run, and how facts are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter, itemgetter
from typing import Any, Protocol

from lustre_events.index.interface import Facts, ObjectRow
from lustre_events.index.postgresql.arrays import Column, column
from lustre_events.index.postgresql.database import Connection, Row
from lustre_events.index.values import clean
from lustre_events.index.writer_cache import Remembered

FACTS = Facts.__struct_fields__
_TYPES = {
    "type": "text",
    "mime": "text",
    "released": "integer",
    "acl": "bytea",
    "pool": "text",
    "layout": "text",
    "hsm": "text",
}
_RELEASED, _MIME = FACTS.index("released"), FACTS.index("mime")
_values_of = attrgetter(*FACTS)
_SET = ", ".join(f"{name} = new.{name}" for name in FACTS)
FACTS_ARRAYS = ", ".join(f"%b::{_TYPES.get(name, 'bigint')}[]" for name in FACTS)
_WRITE_FACTS = (
    f"UPDATE object SET {_SET}, facts_generation = new.facts_generation"  # noqa: S608 - names of our own
    f" FROM unnest(%b::bigint[], %b::bigint[], {FACTS_ARRAYS}) AS new (id, facts_generation, {', '.join(FACTS)})"
    " WHERE object.id = new.id AND object.facts_generation <= new.facts_generation"
)


class Rows(Protocol):
    """The rows of a statement; reading them waits for the server. `_count` returns how many rows were changed."""

    def fetchone(self) -> Row | None:
        """Return the next row."""

    def fetchall(self) -> list[Row]:
        """Return all rows that are left."""

    def __iter__(self) -> Iterator[Row]:
        """Return all rows that are left, one by one."""


class Session:
    """Runs the statements of one transaction.

    They are sent without waiting for what they give (a pipeline), so the server works while the next ones are made:
    only who reads rows, or asks how many were changed (`_count`), waits.
    """

    def __init__(self, connection: Connection, name: str, remembered: Remembered) -> None:
        self._connection = connection
        self._name = name
        self._remembered = remembered

    def _run(self, statement: str, *parameters: Any) -> Rows:
        """Run a statement; `%b::type[]` takes a list, in binary form."""
        # Statements are made of constants; psycopg prepares those that come often.
        return self._connection.execute(statement, parameters, binary=True)

    def _count(self, statement: str, *parameters: Any) -> int:
        """Run a statement that changes rows, and return how many it has changed."""
        return len(self._run(f"{statement} RETURNING 1", *parameters).fetchall())

    def put_facts(self, found: Iterable[tuple[ObjectRow, int, Facts]]) -> None:
        """Write the facts of stored objects, each with its generation; where newer ones are stored these stay."""
        found = list(found)
        self._remembered.seen(found)
        rows = [(row.id, generation, *facts_values(facts)) for row, generation, facts in found]
        if rows:
            self._run(_WRITE_FACTS, *columns(sorted(rows, key=itemgetter(0))))


def facts_values(facts: Facts) -> tuple[Any, ...]:
    """Return facts in the order of FACTS, as PostgreSQL takes them."""
    values = list(_values_of(facts))
    values[_RELEASED] = int(facts.released)
    values[_MIME] = None if facts.mime is None else clean(facts.mime)
    return tuple(values)


def columns(rows: Sequence[Sequence[Any]]) -> list[Column]:
    """Return rows as one array for each column, as `unnest` takes them."""
    return [column(each) for each in zip(*rows, strict=True)]
