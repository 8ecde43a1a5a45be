"""A Redis with the roles of deploy/redis, and what a role reaches on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lustre_events.index import open_search
from lustre_events.node.redis_server import RedisServer
from tests.support.servers.redis import ROLES, RolesServer, login, make_users, start_kind
from tests.support.service.service import Service


@pytest.fixture(scope="module")
def role_passwords(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the logins."""
    folder = tmp_path_factory.mktemp("users")
    make_users(folder)
    return folder


@pytest.fixture(scope="module")
def roles_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that knows the roles, and nobody else."""
    with start_kind(tmp_path_factory.mktemp("roles") / "redis", "redis with roles") as running:
        yield running


@pytest.fixture(scope="module")
def role_urls(roles_server: RedisServer) -> dict[str, str]:
    """The URL of each role at this server, and of the pool `lab`."""
    assert isinstance(roles_server, RolesServer)
    return {role: login(roles_server, role) for role in ROLES} | {"pool": roles_server.pool_login("lab")}


def found(service: Service, query: str) -> int:
    try:
        with open_search(service.index) as search:
            return search.count(query)
    except Exception:  # noqa: BLE001 - there is no index yet
        return 0
