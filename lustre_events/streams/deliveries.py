"""Deliveries on their way to the courier, and its answers, in Redis: lists whose entries are only bytes here.

The dispatcher bounds what waits: a number of deliveries per endpoint, and no more while no courier takes any. What
is lost here goes again when its lease ends.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import cast

from lustre_events.streams import keys
from lustre_events.streams.connection import Client, load_script, redis_errors

ID_BYTES = 32
ENTRIES = 200
READ_BYTES = 16 << 20
MOST_BYTES = 64 << 20
"""Of one delivery: a longer one is nobody's of ours."""


class CourierQueue:
    """The courier's side: takes deliveries, gives answers. It may do nothing else."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def take(self, timeout_seconds: float) -> bytes | None:
        """Return the oldest delivery, waiting for one; None: there is none. Raises StreamUnavailable."""
        with redis_errors(self._client):
            found = self._client.blpop([keys.DELIVERIES], timeout_seconds)
        return None if found is None or len(found[1]) > MOST_BYTES else cast("bytes", found[1])

    def answer(self, data: bytes) -> None:
        """Store answers. Raises StreamUnavailable, StreamFull."""
        with redis_errors(self._client):
            self._client.rpush(keys.ANSWERS, uuid.uuid4().hex.encode() + data)


class RunAnswers:
    """The side of a file worker: gives answers. It may do nothing else."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def answer(self, data: bytes) -> None:
        """Store answers. Raises StreamUnavailable, StreamFull."""
        with redis_errors(self._client):
            self._client.rpush(keys.RUN_ANSWERS, uuid.uuid4().hex.encode() + data)


class DeliveryQueue:
    """The dispatcher's side: gives deliveries, reads answers, of the courier or (`key`) of file workers."""

    def __init__(self, client: Client, key: str = keys.ANSWERS) -> None:
        self._client = client
        self._key = key
        self._read = load_script(client, "read_results")
        self._forget = load_script(client, "forget_results")

    def put(self, deliveries: Sequence[bytes]) -> None:
        """Give deliveries to whichever courier comes first. Raises StreamUnavailable, StreamFull."""
        if deliveries:
            with redis_errors(self._client):
                self._client.rpush(keys.DELIVERIES, *deliveries)

    def waiting(self) -> int:
        """Return how many deliveries no courier has taken. Raises StreamUnavailable."""
        with redis_errors(self._client):
            return self._client.llen(keys.DELIVERIES)

    def answers(self) -> list[tuple[str, bytes]]:
        """Return the oldest answers that are not acknowledged, by ids. Raises StreamUnavailable."""
        with redis_errors(self._client):
            answer = self._read([self._key], [ENTRIES, READ_BYTES, READ_BYTES, ID_BYTES])
        entries, _ = cast("tuple[list[tuple[bytes, bytes]], int]", answer)
        return [(entry_id.decode("latin-1"), data) for entry_id, data in entries]

    def acknowledge(self, ids: Sequence[str]) -> None:
        """Forget answers that are committed. Raises StreamUnavailable."""
        if ids:
            with redis_errors(self._client):
                self._forget([self._key], [ID_BYTES, *(each.encode("latin-1") for each in ids)])
