"""PostgreSQL for tests: one real server for all of them, and a database of its own for each that asks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import psycopg
import pytest

from bench.postgresql_server import PostgreSQLServer
from lustre_events.errors import IndexUnavailable
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
    with start_postgresql("fsync=off", "full_page_writes=off", "max_connections=50") as server:
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
    """The URL of an empty schema of a database: made and removed much faster than a database."""
    name = f"test{next(_NUMBERS)}"
    with psycopg.connect(shared_postgresql.url(), autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
        yield f"{shared_postgresql.url()}&options=-csearch_path%3D{name}"
        connection.execute(f"DROP SCHEMA {name} CASCADE")


_NUMBERS = itertools.count(1)


@pytest.fixture
def postgresql_url(make_database: MakeDatabase) -> str:
    """The URL of an empty database."""
    return make_database()
