"""Where Redis is, and what asks it: clients, streams, groups, requests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lustre_events.config.nearest import nearest
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError
from lustre_events.streams.connection import Client, connect
from lustre_events.streams.groups import RedisGroups
from lustre_events.streams.records import RedisRecordStreams
from lustre_events.streams.requests import RedisRequests


def redis_url(settings: Settings) -> str:
    """Return where Redis is: as set, else the private one of `run` on this node.

    Raises:
        ConfigError: neither is there.
    """
    if settings.redis.url:
        return settings.redis.url
    socket = Path(settings.filesystem.state).absolute() / "redis" / "redis.sock"
    try:
        there = socket.exists()
    except PermissionError as exc:
        raise ConfigError(
            "this account has no login for Redis ([redis] url is empty, and the private one here is closed to it); "
            "ask the administrators of this file system"
        ) from exc
    if not there:
        raise ConfigError(
            "[redis] url is empty and no private Redis runs here; "
            "set it, or start everything with: lustre-events run"
        )
    return f"unix://{socket}"


def redis_client(settings: Settings) -> Client:
    """Return a client of the Redis that is set, or of `run`'s own. Raises ConfigError, StreamUnavailable."""
    return connect(redis_url(settings), settings.redis.timeout_seconds)


def requests(settings: Settings) -> RedisRequests:
    """Return what asks the dispatcher for something. Raises ConfigError, StreamUnavailable."""
    return RedisRequests(connect(redis_url(settings), settings.redis.timeout_seconds))


def streams(settings: Settings) -> RedisRecordStreams:
    """Return the record streams, to look at them. Raises ConfigError, StreamUnavailable."""
    return RedisRecordStreams(connect(redis_url(settings), settings.redis.timeout_seconds))


def known_mdts(found: RedisRecordStreams, names: Sequence[str]) -> Sequence[str]:
    """Return names of MDTs, checked. Raises ConfigError: one has no stream."""
    known = found.mdts()
    for name in names:
        if name not in known:
            raise ConfigError(f"{name}: no stream of that name in Redis{nearest(name, tuple(known) or ('none',))}")
    return names


def groups(settings: Settings) -> RedisGroups:
    """Return the subscriber groups. Raises ConfigError, StreamUnavailable."""
    return RedisGroups(connect(redis_url(settings), settings.redis.timeout_seconds))
