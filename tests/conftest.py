"""Fixtures for all tests."""

from __future__ import annotations

from tests.images import base_image, open_folder
from tests.servers import redis_server, redis_url, shared_redis_server, shared_valkey_server

__all__ = ["base_image", "open_folder", "redis_server", "redis_url", "shared_redis_server", "shared_valkey_server"]
