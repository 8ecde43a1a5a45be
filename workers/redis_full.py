"""A worker whose Redis is full waits: each of its commands is given again until there is room.

Redis refuses, with `noeviction`, whatever could take memory, and carries nothing of it out. Readers stop before
(reader/backpressure.py) and the dispatcher makes room; a worker that gave up would lose what it has found.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)

WAIT_SECONDS = 1.0
SAY_SECONDS = 60.0


class RoomRetry(Retry):
    """Gives a command that Redis has no memory for again and again; no other failure."""

    def __init__(self) -> None:
        super().__init__(NoBackoff(), 0)
        self._said = -SAY_SECONDS

    def call_with_retry(self, *args: Any, **options: Any) -> Any:
        """Run an operation of redis-py to its end; raises as it does, but never that there is no memory."""
        while True:
            try:
                return super().call_with_retry(*args, **options)
            except redis.exceptions.OutOfMemoryError as exc:
                if time.monotonic() - self._said >= SAY_SECONDS:
                    self._said = time.monotonic()
                    log.warning("waiting for room in Redis: %s", exc, extra={"action": "wait"})
            time.sleep(WAIT_SECONDS)
