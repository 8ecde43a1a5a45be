"""What workers found, in Redis, on its way to the index: a list, to which a worker's login can only append.

Of a stream, whoever may append may also choose the last of all ids, after which nobody can append, or a length that
throws away what is there. An entry of a list has nothing but its place; so each begins with an id of its own.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Sequence
from typing import cast

from lustre_events.errors import ConfigError, StreamFull
from lustre_events.jobs.messages import Result, decode_results, encode_results
from lustre_events.streams import keys
from lustre_events.streams.connection import Client, load_script, redis_errors

_log = logging.getLogger(__name__)
ID_BYTES = 32

PUT_BYTES = 4 << 20
"""An entry is no longer, unless one result alone is."""
READ_BYTES = 64 << 20
"""Most bytes of one `read`, and of one entry: whatever somebody writes, the dispatcher's memory is bounded."""


class RedisResults:
    """A list of results in one Redis; see `interface.Results`. A pool has one of its own, which is its `key`."""

    def __init__(self, client: Client, key: str = keys.RESULTS, read_bytes: int = READ_BYTES) -> None:
        self._client = client
        self._key = key
        self._read_bytes = read_bytes
        self._read = load_script(client, "read_results")
        self._forget = load_script(client, "forget_results")
        self.more = False

    def put(self, results: Sequence[Result]) -> None:
        """Store results; when this returns the job may end. Raises StreamUnavailable, StreamFull."""
        stored = 0
        try:
            for count, data in _portions(results):
                with redis_errors(self._client):
                    self._client.rpush(self._key, uuid.uuid4().hex.encode() + data)
                stored += count
        except StreamFull as exc:
            exc.left = results[stored:]
            raise

    def read(self, limit: int) -> list[tuple[str, list[Result]]]:
        """Return up to `limit` of the oldest entries not yet acknowledged: (id, results).

        An entry that cannot be understood comes with no results (and a line in the log): acknowledge it, its
        work becomes due again.
        """
        with redis_errors(self._client):
            answer = self._read([self._key], [limit, self._read_bytes, self._read_bytes, ID_BYTES])
        entries, more = cast("tuple[list[tuple[bytes, bytes]], int]", answer)
        self.more = bool(more) or len(entries) >= limit
        named = [(entry_id.decode("latin-1"), data) for entry_id, data in entries]  # whatever its bytes are
        return [(entry_id, _decoded(self._key, entry_id, data)) for entry_id, data in named]

    def acknowledge(self, ids: Sequence[str]) -> None:
        """Forget entries that are committed to the index (or refused for good)."""
        if ids:
            with redis_errors(self._client):
                self._forget([self._key], [ID_BYTES, *(entry_id.encode("latin-1") for entry_id in ids)])


def _portions(results: Sequence[Result]) -> Iterator[tuple[int, bytes]]:
    """Yield results as entries, with how many are in each: it stands for itself, so some may be stored alone."""
    if not results:
        return
    data = encode_results(list(results))
    if len(data) <= PUT_BYTES or len(results) == 1:
        yield len(results), data
        return
    half = len(results) // 2
    yield from _portions(results[:half])
    yield from _portions(results[half:])


def _decoded(key: str, entry_id: str, data: bytes) -> list[Result]:
    try:
        return decode_results(data)
    except ConfigError as exc:
        _log.error("entry %r of %s cannot be used: %s", entry_id, key, exc, extra={"action": "refuse"})
        return []
