"""What the parts of a PostgreSQL transaction share: how statements are run, and facts that wait for each other."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import psycopg

from lustre_events.index.interface import Facts
from lustre_events.index.postgresql.database import Connection, Row
from lustre_events.index.values import clean

FACTS = Facts.__struct_fields__
_TYPES = {"type": "text", "mime": "text", "released": "integer", "acl": "bytea"}
_SET = ", ".join(f"{name} = new.{name}" for name in FACTS)
FACTS_ARRAYS = ", ".join(f"%b::{_TYPES.get(name, 'bigint')}[]" for name in FACTS)
_WRITE_FACTS = (
    f"UPDATE object SET {_SET}, facts_generation = new.facts_generation"  # noqa: S608 - names of our own
    f" FROM unnest(%b::bigint[], %b::bigint[], {FACTS_ARRAYS}) AS new (id, facts_generation, {', '.join(FACTS)})"
    " WHERE object.id = new.id"
)


class Session:
    """Runs the statements of one transaction of the writer.

    Facts come one by one, thousands in a step. So they are kept, and written by one statement before any other
    statement is run. `_facts_generations` are those of the objects that were asked for in this transaction,
    `_recent` the ids of those that were asked for last.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._facts: dict[int, tuple[Any, ...]] = {}
        self._facts_generations: dict[int, int] = {}
        self._recent: Collection[int] = ()

    def flush(self) -> None:
        """Write the facts that are kept."""
        if self._facts:
            rows = [(object_id, *values) for object_id, values in sorted(self._facts.items())]
            self._facts = {}
            self._execute(_WRITE_FACTS, columns(rows))

    def _run(self, statement: str, *parameters: Any) -> psycopg.Cursor[Row]:
        """Run a statement; `%b::type[]` takes a list, in binary form."""
        self.flush()
        return self._execute(statement, parameters)

    def _execute(self, statement: str, parameters: Sequence[Any]) -> psycopg.Cursor[Row]:
        # Statements are made of constants; psycopg prepares those that come often.
        return self._connection.execute(statement, parameters, binary=True)

    def _keep_facts(self, object_id: int, generation: int, facts: Facts) -> None:
        self._facts[object_id] = (generation, *facts_values(facts))
        self._facts_generations[object_id] = generation


def facts_values(facts: Facts) -> tuple[Any, ...]:
    """Return facts in the order of FACTS, as PostgreSQL takes them."""
    row = {name: getattr(facts, name) for name in FACTS}
    row["released"] = int(facts.released)
    row["mime"] = None if facts.mime is None else clean(facts.mime)
    return tuple(row.values())


def columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return rows as one list for each column, as `unnest` takes them."""
    return [list(column) for column in zip(*rows, strict=True)]
