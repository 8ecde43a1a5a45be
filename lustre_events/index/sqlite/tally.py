"""How many of the objects that match have which value, in SQLite. See `backend.Reading.tally`."""

from __future__ import annotations

import sqlite3

from lustre_events.index.backend import ValueCount
from lustre_events.index.planner.planner import Planner
from lustre_events.index.planner.tally import values
from lustre_events.index.query.tree import Node


def tally(
    connection: sqlite3.Connection, planner: Planner, node: Node, by: str, limit: int | None
) -> list[ValueCount]:  # fmt: skip
    """Return the values of the objects that match, the most frequent first."""
    if by == "ext":
        connection.create_function("le_ext", 1, extension_of, deterministic=True)
    found = values(planner, planner.plan(node), by)
    rows = connection.execute(
        # In halves, because a sum of 64 bits may need more.
        "SELECT value, count(*), coalesce(sum(size >> 32), 0), coalesce(sum(size & 4294967295), 0)"  # noqa: S608
        f" FROM ({found.sql}) GROUP BY value"
        " ORDER BY 2 DESC, 1 LIMIT ?",
        (*found.parameters, -1 if limit is None else limit),
    )
    return [ValueCount(value, files, (high << 32) + low) for value, files, high, low in rows]


def extension_of(name: bytes | None) -> str | None:
    """Return what is behind a name's last dot, ASCII letters in lower case; None where there is none."""
    stem, dot, extension = (name or b"").rpartition(b".")
    return extension.lower().decode("utf-8", "replace") if dot and stem and extension else None
