"""The index on both of its databases, for tests that must hold on each."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lustre_events.index.postgresql.writer import PostgresqlWriter
from lustre_events.index.sqlite.writer import SqliteWriter
from tests.support.servers.postgresql import MakeDatabase

IndexPlace = Path | str
"""A SQLite file, or the URL of a PostgreSQL database."""

Writer = SqliteWriter | PostgresqlWriter

EmptyPlace = Callable[[str], IndexPlace]

BACKENDS = ["sqlite", "postgresql"]


@pytest.fixture(params=BACKENDS)
def index_place(request: pytest.FixtureRequest) -> IndexPlace:
    """A place for an index of its own, without any content; the test runs once for each backend."""
    return place_of(request, "postgresql_index_url")


def place_of(request: pytest.FixtureRequest, postgresql: str = "postgresql_schema_url") -> IndexPlace:
    """Return a place on the backend that is a fixture's parameter: without an index, unless a fixture is named."""
    if request.param == "sqlite":
        folder: Path = request.getfixturevalue("tmp_path")
        return folder / "index.db"
    url: str = request.getfixturevalue(postgresql)
    return url


@pytest.fixture(scope="session")
def empty_place(tmp_path_factory: pytest.TempPathFactory, make_database: MakeDatabase) -> Iterator[EmptyPlace]:
    """Give a place without any content on a backend, quickly: for tests with many examples."""
    with contextlib.ExitStack() as opened:
        kept: list[tuple[str, psycopg.Connection[Any]]] = []

        def make(backend: str) -> IndexPlace:
            if backend == "sqlite":
                return tmp_path_factory.mktemp("index") / "index.db"
            if not kept:
                url = make_database()
                KEPT[url] = PostgresqlWriter(url)
                opened.callback(lambda: KEPT.pop(url).close())
                kept.append((url, opened.enter_context(psycopg.connect(url, autocommit=True))))
            ((url, connection),) = kept
            # Quicker than TRUNCATE for a handful of rows.
            connection.execute("".join(f"DELETE FROM {table};" for table in _TABLES))  # noqa: S608
            return url

        yield make


KEPT: dict[str, PostgresqlWriter] = {}
"""Writers that stay open for tests that undo what they write: a session of PostgreSQL takes long to begin."""


_TABLES = [
    "writer", "cursor", "link", "moved", "walk", "object", "pending", "extractor", "document", "key", "number",
    "word", "part", "fulltext", "counter", "unreadable", "scan", "outcome",
]  # fmt: skip


def open_writer(place: IndexPlace) -> Writer:
    """Open an index for writing; a new one in SQLite begins as a copy of an empty one, which is quicker."""
    if isinstance(place, str):
        return PostgresqlWriter(place)
    if not place.exists():
        place.touch(0o640)
        place.write_bytes(_empty_index())
    made = SqliteWriter(place)
    made._connection.execute("PRAGMA synchronous = OFF")  # no test of these cuts the power
    return made


@functools.cache
def _empty_index() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.db"
        SqliteWriter(path).close()
        return path.read_bytes()


def rows_of(writer: Writer, statement: str, values: Sequence[Any] = ()) -> list[Any]:
    """Return the rows of a statement, beside the writer's own calls; `?` stands for a value."""
    if isinstance(writer, SqliteWriter):
        return writer._connection.execute(statement, values).fetchall()
    found = writer._database.connection.execute(statement.replace("?", "%s"), values, binary=True)
    return found.fetchall() if found.description else []
