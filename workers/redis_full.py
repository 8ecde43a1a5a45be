"""A worker whose Redis is full waits: each of its commands is given again until there is room.

Redis refuses, with `noeviction`, whatever could take memory, and carries nothing of it out. Readers stop before
(reader/backpressure.py) and the dispatcher makes room; a worker that gave up would lose what it has found. Between
two tries it gives signs of life by EXPIRE, which Redis takes all the same: who waits is not lost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)

WAIT_SECONDS = 1.0
SAY_SECONDS = 60.0


class RoomRetry(Retry):
    """Gives a command that Redis has no memory for again and again; no other failure.

    Attributes:
        goes_on: asked before each wait; False ends the waiting, and the command is refused.
    """

    def __init__(self) -> None:
        super().__init__(NoBackoff(), 0)
        self._said = -SAY_SECONDS
        self.goes_on: Callable[[], bool] = lambda: True

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return this one: redis-py gives each connection a copy, and all of them wait alike."""
        return self

    def call_with_retry(self, *args: Any, **options: Any) -> Any:
        """Run an operation of redis-py to its end.

        Raises as it does; that there is no memory only where the waiting was ended.
        """
        while True:
            try:
                return super().call_with_retry(*args, **options)
            except redis.exceptions.OutOfMemoryError as exc:
                if time.monotonic() - self._said >= SAY_SECONDS:
                    self._said = time.monotonic()
                    log.warning("waiting for room in Redis: %s", exc, extra={"action": "wait"})
                if not self.goes_on():
                    raise
            time.sleep(WAIT_SECONDS)
