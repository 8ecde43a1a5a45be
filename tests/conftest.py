"""Fixtures for all tests."""

from __future__ import annotations

import gc

import pytest

from tests.support import profiles
from tests.support.index.places import empty_place, index_place
from tests.support.servers.postgresql import (
    clean_indexes,
    make_database,
    postgresql_index_url,
    postgresql_schema_url,
    postgresql_url,
    shared_postgresql,
)
from tests.support.servers.redis import redis_server, redis_url, shared_redis_server, shared_valkey_server
from tests.support.servers.roles import role_passwords, role_urls, roles_server
from tests.support.service.images import all_images, base_image, demo_images, open_folder
from tests.support.service.tiny_image import tiny_image

gc.disable()  # until all modules and tests are there: they stay, so nothing is garbage yet


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Collect garbage from here on, but leave out modules and tests."""
    gc.freeze()
    gc.enable()


__all__ = [
    "all_images",
    "base_image",
    "clean_indexes",
    "demo_images",
    "empty_place",
    "index_place",
    "make_database",
    "open_folder",
    "postgresql_index_url",
    "postgresql_schema_url",
    "postgresql_url",
    "profiles",
    "redis_server",
    "redis_url",
    "role_passwords",
    "role_urls",
    "roles_server",
    "shared_postgresql",
    "shared_redis_server",
    "shared_valkey_server",
    "tiny_image",
]
