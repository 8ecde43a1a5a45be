"""What workers found, in Redis, on its way to the index."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import cast

from lustre_events.errors import ConfigError
from lustre_events.jobs.messages import Result, decode_results, encode_results
from lustre_events.streams import keys
from lustre_events.streams.connection import Client, load_script, redis_errors

_log = logging.getLogger(__name__)
_FIELD = "results"

PUT_BYTES = 4 << 20
"""An entry is no longer, unless one result alone is."""
READ_BYTES = 64 << 20
"""Most bytes of one `read`, and of one entry: whatever somebody writes, the dispatcher's memory is bounded."""


class RedisResults:
    """The results stream of one Redis; see `interface.Results`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._read = load_script(client, "read_results")
        self.more = False

    def put(self, results: Sequence[Result]) -> None:
        """Store results; when this returns the job may end. Raises StreamUnavailable, StreamFull."""
        for data in _portions(results):
            with redis_errors(self._client):
                self._client.xadd(keys.RESULTS, {_FIELD: data})

    def read(self, limit: int) -> list[tuple[str, list[Result]]]:
        """Return up to `limit` of the oldest entries not yet acknowledged: (id, results).

        An entry that cannot be understood comes with no results (and a line in the log): acknowledge it, its
        work becomes due again.
        """
        with redis_errors(self._client):
            answer = self._read([keys.RESULTS], [limit, READ_BYTES, READ_BYTES])
        entries, more = cast("tuple[list[tuple[bytes, bytes]], int]", answer)
        self.more = bool(more)
        return [(entry_id.decode(), _decoded(entry_id, data)) for entry_id, data in entries]

    def acknowledge(self, ids: Sequence[str]) -> None:
        """Forget entries that are committed to the index (or refused for good)."""
        if ids:
            with redis_errors(self._client):
                self._client.xdel(keys.RESULTS, *ids)


def _portions(results: Sequence[Result]) -> Iterator[bytes]:
    """Yield results as entries; each stands for itself, so it does no harm if only some are stored."""
    if not results:
        return
    data = encode_results(list(results))
    if len(data) <= PUT_BYTES or len(results) == 1:
        yield data
        return
    half = len(results) // 2
    yield from _portions(results[:half])
    yield from _portions(results[half:])


def _decoded(entry_id: bytes, data: bytes) -> list[Result]:
    try:
        return decode_results(data)
    except ConfigError as exc:
        _log.error(
            "entry %s of %s cannot be used: %s", entry_id.decode(), keys.RESULTS, exc, extra={"action": "refuse"}
        )
        return []
