"""What workers found, in Redis, on its way to the index."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import cast

from lustre_events.errors import ConfigError
from lustre_events.streams import keys
from lustre_events.streams.connection import Client, redis_errors
from lustre_events.work import Result, decode_results, encode_results

_log = logging.getLogger(__name__)
_FIELD = "results"


class RedisResults:
    """The results stream of one Redis; see `interface.Results`. An entry is one `put`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def put(self, results: Sequence[Result]) -> None:
        """Store results; when this returns the job may end. Raises StreamUnavailable, StreamFull."""
        if results:
            with redis_errors(self._client):
                self._client.xadd(keys.RESULTS, {_FIELD: encode_results(list(results))})

    def read(self, limit: int) -> list[tuple[str, list[Result]]]:
        """Return up to `limit` of the oldest entries not yet acknowledged: (id, results).

        An entry that cannot be understood comes with no results (and a line in the log): acknowledge it, its
        work becomes due again.
        """
        with redis_errors(self._client):
            entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", self._client.xrange(keys.RESULTS, count=limit))
        return [(entry_id.decode(), _decoded(entry_id, fields)) for entry_id, fields in entries]

    def acknowledge(self, ids: Sequence[str]) -> None:
        """Forget entries that are committed to the index (or refused for good)."""
        if ids:
            with redis_errors(self._client):
                self._client.xdel(keys.RESULTS, *ids)


def _decoded(entry_id: bytes, fields: dict[bytes, bytes]) -> list[Result]:
    try:
        return decode_results(fields.get(_FIELD.encode(), b""))
    except ConfigError as exc:
        _log.error(
            "entry %s of %s cannot be used: %s", entry_id.decode(), keys.RESULTS, exc, extra={"action": "refuse"}
        )
        return []
