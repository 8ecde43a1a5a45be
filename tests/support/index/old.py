"""An empty index as an earlier version of this program made it, to be filled by a test and opened by today's."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg

from lustre_events.index.sqlite.database import APPLICATION_ID, add_functions

Execute = Callable[..., Any]
"""Runs a statement, with values for its question marks."""


def schemas(database: str) -> list[str]:
    """Return the statements of all versions, in their order."""
    folder = resources.files(f"lustre_events.index.{database}") / "schema"
    return [entry.read_text() for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)]


def sqlite_at(path: Path, version: int) -> Execute:
    """Return what runs a statement on an empty index of a version."""
    connection = sqlite3.connect(path, isolation_level=None)
    add_functions(connection)
    connection.executescript("PRAGMA journal_mode = WAL;" + "".join(schemas("sqlite")[:version]))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()

    def execute(statement: str, values: tuple[Any, ...] = ()) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(statement, values)

    return execute


def postgresql_at(url: str, version: int) -> Execute:
    """Return the same for PostgreSQL."""

    def execute(statement: str, values: tuple[Any, ...] = ()) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.replace("?", "%s") if values else statement, values or None)

    execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    execute("INSERT INTO meta VALUES ('lustre-events schema', %s)", (str(version),))
    for schema in schemas("postgresql")[:version]:
        execute(schema)
    return execute


AT_VERSION: dict[str, Callable[[Any, int], Execute]] = {"sqlite": sqlite_at, "postgresql": postgresql_at}
