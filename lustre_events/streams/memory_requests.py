"""Requests in this process: the fake for unit tests, held to the same contract as the ones in Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
from lustre_events.streams.memory import MemoryStore


class MemoryRequests:
    """See `interface.Requests`. Requests and answers go through JSON, as they do in Redis."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def ask(
        self, action: str, arguments: Mapping[str, Any], timeout_seconds: float = ANSWER_SECONDS
    ) -> dict[str, Any]:
        """Return the dispatcher's answer; somebody else has to `read` and `answer` meanwhile."""
        store = self._store
        request_id = self.put(action, arguments, timeout_seconds)
        with store.changed:
            store.changed.wait_for(lambda: request_id in store.replies, timeout_seconds)
            store.requests.pop(request_id, None)
            data = store.replies.get(request_id)
        if data is None:
            raise StreamUnavailable(unanswered(timeout_seconds))
        return result_of(data)

    def put(self, action: str, arguments: Mapping[str, Any], timeout_seconds: float = ANSWER_SECONDS) -> str:
        """Put a request without waiting for its answer, as `ask` does first; return its id."""
        store = self._store
        store.check()
        store.check_room()
        with store.changed:
            store.requests_put += 1
            request_id = f"{store.requests_put}-0"
            store.requests[request_id] = (encode_request(action, arguments), store.clock() + timeout_seconds)
        return request_id

    def read(self, limit: int) -> list[Request]:
        """Return up to `limit` of the oldest requests that wait; those whose time is over are forgotten."""
        store = self._store
        store.check()
        with store.changed:
            store.requests = {name: each for name, each in store.requests.items() if each[1] > store.clock()}
            return [decode_request(name, data) for name, (data, _) in list(store.requests.items())[:limit]]

    def answer(self, replies: Sequence[Reply]) -> None:
        """Give answers, and forget the requests."""
        self._store.check()
        with self._store.changed:
            for reply in replies:
                self._store.requests.pop(reply.id, None)
                self._store.replies.setdefault(reply.id, encode_reply(reply))
            self._store.changed.notify_all()
