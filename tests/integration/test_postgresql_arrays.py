"""Columns as binary arrays: what PostgreSQL reads is what was given."""

from __future__ import annotations

from typing import Any

import pytest

from lustre_events.index.postgresql.arrays import column
from lustre_events.index.postgresql.database import Database

CASES = [
    ("bigint", [0, -1, 1 << 62, -(1 << 63), (1 << 63) - 1]),
    ("bigint", [None, 5, None]),
    ("integer", [1, -2]),
    ("double precision", [0.0, -1.5, 1e300]),
    ("double precision", [None, 2.5]),
    ("text", ["", "a" * 300, "\u00e9\U0001f600", None]),
    ("bytea", [b"", b"\0\xff" * 200, None]),
    ("bigint", [None, None]),
    ("bytea", [None]),
    ("bytea", []),
]


@pytest.mark.parametrize(("kind", "values"), CASES)
def test_a_column_is_what_was_given(postgresql_url: str, kind: str, values: list[Any]) -> None:
    """Every value, none, and no value at all arrive as they are."""
    database = Database(postgresql_url, statement_seconds=10)
    found = database.connection.execute(
        f"SELECT * FROM unnest(%b::{kind}[])",  # noqa: S608 - a type
        [column(values)],
        binary=True,
    ).fetchall()
    database.close()

    assert [row[0] for row in found] == values
