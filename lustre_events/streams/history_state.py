"""What the keeper of the history and the rest of the service tell each other: losses, and how far it is.

The keeper reads what readers and the dispatcher have marked as lost, and publishes its own state, which `status`
and the metrics read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from lustre_events.streams import keys
from lustre_events.streams.connection import Client, redis_errors
from lustre_events.streams.interface import Loss
from lustre_events.streams.records import RedisRecordStreams

FIELDS = ("updated_ns", "bytes", "most_bytes", "oldest_ns", "newest_ns", "records", "waiting")
"""What the keeper says: when; what its segments take, and may; the times of its first and last record; how many
records this process has written; and what it waits for."""


class HistoryState:
    """The keeper's place in one Redis. Every call may raise StreamError."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._streams = RedisRecordStreams(client)

    def losses(self) -> list[Loss]:
        """Return all losses that are marked, of all MDTs."""
        return [loss for mdt in self._streams.mdts() for loss in self._streams.continuity(mdt)]

    def publish(self, state: Mapping[str, str]) -> None:
        """Say how far the history is."""
        with redis_errors(self._client):
            self._client.hset(keys.HISTORY_STATE, items=[part for pair in state.items() for part in pair])

    def published(self) -> dict[str, str]:
        """Return what the keeper has said last; nothing where there was never one."""
        with redis_errors(self._client):
            told = cast("list[bytes | None]", self._client.hmget(keys.HISTORY_STATE, FIELDS))
            return {name: value.decode() for name, value in zip(FIELDS, told, strict=True) if value is not None}
