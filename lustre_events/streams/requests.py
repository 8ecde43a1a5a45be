"""Requests to the dispatcher in Redis, and its answers. keys.py lists the keys.

A request is an entry of one stream with two fields, `request` and `seconds`: Redis's clock gave the entry its id,
so the moment from which on it must not be carried out any more is known by that clock alone, whatever the nodes'
clocks say. The answer is a stream of one entry, which can be waited for by who may only read there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from lustre_events.errors import StreamUnavailable
from lustre_events.jobs.requests import (
    ANSWER_SECONDS,
    Reply,
    Request,
    decode_request,
    encode_reply,
    encode_request,
    result_of,
    unanswered,
)
from lustre_events.streams import keys
from lustre_events.streams.connection import Client, load_script, redis_errors

log = logging.getLogger(__name__)

REPLY_SECONDS = 300
"""How long an answer is kept, for whoever lost the connection while waiting for it."""


RENEW_SECONDS = 10.0
AHEAD_MS = 86_400_000


class RedisRequests:
    """See `interface.Requests`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._answer = load_script(client, "answer")
        self._ask = load_script(client, "ask")
        self._renew = load_script(client, "renew")
        self._renew_at = 0.0
        self._longest_block_ms = int(1000 * float(client.get_connection_kwargs().get("socket_timeout") or 1) / 2)

    def ask(
        self, action: str, arguments: Mapping[str, Any], timeout_seconds: float = ANSWER_SECONDS
    ) -> dict[str, Any]:
        """Return the dispatcher's answer; see `interface.Requests.ask`."""
        deadline = time.monotonic() + timeout_seconds
        with redis_errors(self._client):
            request_id = self._ask([keys.REQUESTS], [encode_request(action, arguments), timeout_seconds]).decode()
        while (left_seconds := deadline - time.monotonic()) > 0:
            data = self._reply(request_id, min(self._longest_block_ms, max(1, int(1000 * left_seconds))))
            if data is not None:
                return result_of(data)
        with redis_errors(self._client):
            self._client.xdel(keys.REQUESTS, request_id)
        data = self._reply(request_id, None)  # it may have come just before the request was taken back
        if data is not None:
            return result_of(data)
        raise StreamUnavailable(unanswered(timeout_seconds))

    def read(self, limit: int) -> list[Request]:
        """Return up to `limit` of the oldest requests that are not answered and not too old; see `interface`."""
        with redis_errors(self._client):
            entries = cast(
                "list[tuple[bytes, dict[bytes, bytes]]]", self._client.xrange(keys.REQUESTS, count=limit)
            )
            if not entries and time.monotonic() < self._renew_at:
                return []
            seconds, micros = self._client.time()
            now_ms = 1000 * seconds + micros // 1000
            if time.monotonic() >= self._renew_at:
                self._renew_at = time.monotonic() + RENEW_SECONDS
                if self._renew([keys.REQUESTS], [now_ms + AHEAD_MS]):
                    log.error("requests with an id of the future are forgotten", extra={"action": "renew"})
                    return []
            late = [entry_id for entry_id, fields in entries if _ends_ms(entry_id, fields) <= now_ms]
            if late:
                self._client.xdel(keys.REQUESTS, *late)
        return [
            decode_request(entry_id.decode(), fields.get(b"request", b""))
            for entry_id, fields in entries
            if entry_id not in late
        ]

    def answer(self, replies: Sequence[Reply]) -> None:
        """Give answers, and forget the requests."""
        for reply in replies:
            with redis_errors(self._client):
                self._answer([keys.REQUESTS, keys.reply(reply.id)], [reply.id, encode_reply(reply), REPLY_SECONDS])

    def _reply(self, request_id: str, block_ms: int | None) -> bytes | None:
        with redis_errors(self._client):
            answer = self._client.xread({keys.reply(request_id): "0"}, count=1, block=block_ms)
        for _, entries in cast("list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]", answer):
            return entries[0][1].get(b"reply", b"")
        return None


def _ends_ms(entry_id: bytes, fields: Mapping[bytes, bytes]) -> float:
    try:
        return int(entry_id.partition(b"-")[0]) + 1000 * float(fields.get(b"seconds", b"0"))
    except ValueError:
        return 0.0
