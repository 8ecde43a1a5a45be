"""PostgreSQL for tests: one real server for all of them, and a database of its own for each that asks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from bench.postgresql_server import PostgreSQLServer
from lustre_events.errors import IndexUnavailable
from lustre_events.index.postgresql.writer import PostgresqlWriter
from tests.support.need import missing

MakeDatabase = Callable[[], str]


def start_postgresql(*options: str) -> PostgreSQLServer:
    """Return a running server; the caller removes it (it is a context manager)."""
    try:
        server = PostgreSQLServer(*options)
    except IndexUnavailable as exc:
        missing(str(exc))
    return server.start()


@pytest.fixture(scope="session")
def shared_postgresql() -> Iterator[PostgreSQLServer]:
    """One server for all tests; without fsync, so it must not be killed and looked at."""
    with start_postgresql("fsync=off", "full_page_writes=off", "max_connections=50", "autovacuum=off") as server:
        yield server


@pytest.fixture(scope="session")
def make_database(shared_postgresql: PostgreSQLServer) -> MakeDatabase:
    """Make an empty database and return its URL, as often as it is called."""

    def make() -> str:
        name = f"test{next(_NUMBERS)}"
        with psycopg.connect(shared_postgresql.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return shared_postgresql.url(name)

    return make


@pytest.fixture
def postgresql_schema_url(shared_postgresql: PostgreSQLServer) -> Iterator[str]:
    """The URL of an empty schema, without an index: made and removed much faster than a database."""
    name = f"test{next(_NUMBERS)}"
    with psycopg.connect(shared_postgresql.url(), autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
        yield f"{shared_postgresql.url()}&options=-csearch_path%3D{name}"
        connection.execute(f"DROP SCHEMA {name} CASCADE")


_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def clean_indexes(shared_postgresql: PostgreSQLServer) -> Iterator[CleanIndexes]:
    """Schemas with an empty index, of which those that tests left clean are used again."""
    with psycopg.connect(shared_postgresql.url(), autocommit=True) as connection:
        yield CleanIndexes(connection, shared_postgresql.url())


@pytest.fixture
def postgresql_index_url(clean_indexes: CleanIndexes) -> Iterator[str]:
    """The URL of a schema with an empty index: had at once, while to make one takes a hundred milliseconds."""
    name = clean_indexes.take()
    yield clean_indexes.url(name)
    clean_indexes.give_back(name)


class CleanIndexes:
    """Makes schemas with an index, and empties those that come back.

    A schema comes back into use only if a test left all but its rows as it was: a table that was altered, has
    statistics, or has grown (either changes the plans of the next test's queries) goes with its schema.
    """

    def __init__(self, connection: psycopg.Connection[Any], server_url: str) -> None:
        self._connection = connection
        self._server_url = server_url
        self._clean: list[str] = []
        self._shape: object = None

    def url(self, name: str) -> str:
        """Return the URL of an index in a schema."""
        return f"{self._server_url}&options=-csearch_path%3D{name}"

    def take(self) -> str:
        """Return the name of a schema with an empty index."""
        if self._clean:
            return self._clean.pop()
        name = f"test{next(_NUMBERS)}"
        self._connection.execute(f"CREATE SCHEMA {name}")
        PostgresqlWriter(self.url(name)).close()
        self._shape = self._shape or self._shape_of(name)
        return name

    def give_back(self, name: str) -> None:
        """Empty the index, or remove it if it has another shape than a new one."""
        if self._shape_of(name) != self._shape:
            self._connection.execute(f"DROP SCHEMA {name} CASCADE")
            return
        rows = self._connection.execute(_TABLES, (name,)).fetchall()
        statements = [f"DELETE FROM {name}.{table};" for (table,) in rows]  # noqa: S608
        # As a replica: no foreign key is followed, since all tables are emptied.
        self._connection.execute("SET session_replication_role = replica;" + "".join(statements))
        self._connection.execute(_RESTART, (name,))
        self._clean.append(name)

    def _shape_of(self, name: str) -> object:
        meta = self._connection.execute(f"SELECT * FROM {name}.meta ORDER BY 1").fetchall()  # noqa: S608
        return meta, self._connection.execute(_SHAPE, {"schema": name, "grown": _GROWN_BYTES}).fetchone()


_GROWN_BYTES = 10 * 8_192
"""PostgreSQL plans as for ten pages where a table without statistics has fewer."""

_TABLES = """
    SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r' AND relname <> 'meta'
"""

_RESTART = """
    SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'S'
"""

_SHAPE = """
    SELECT (SELECT md5(string_agg(concat_ws(' ', c.relname, c.relacl, a.attname, a.atttypid, a.attnotnull),
                                  ',' ORDER BY c.relname, a.attnum))
            FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
            WHERE c.relnamespace = %(schema)s::regnamespace AND a.attnum > 0),
           (SELECT md5(string_agg(prosrc, ',' ORDER BY proname, prosrc))
            FROM pg_proc WHERE pronamespace = %(schema)s::regnamespace),
           (SELECT nspacl::text FROM pg_namespace WHERE oid = %(schema)s::regnamespace),
           (SELECT count(*) FROM pg_class
            WHERE relnamespace = %(schema)s::regnamespace AND relkind = 'r'
              AND (reltuples >= 0 OR pg_relation_size(oid) > %(grown)s))
"""


@pytest.fixture
def postgresql_url(make_database: MakeDatabase) -> str:
    """The URL of an empty database."""
    return make_database()
