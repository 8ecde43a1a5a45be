"""How often a user may ask: a number of requests per minute, over all tokens and browsers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pace:
    """Allows each user a number of requests per minute; unused ones are kept for a minute at most."""

    USERS = 10_000
    """Most users that are remembered; beyond that, the one whose last request is oldest is forgotten."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def wait(self, user: str, per_minute: float) -> float:
        """Count one request; return 0, or the seconds until the next one may come. `per_minute` 0: any number."""
        if not per_minute:
            return 0.0
        with self._lock:
            now = self._clock()
            left, last = self._left.pop(user, (per_minute, now))
            left = min(per_minute, left + (now - last) * per_minute / 60)
            admitted = left >= 1
            self._left[user] = (left - 1 if admitted else left, now)
            if len(self._left) > self.USERS:
                del self._left[next(iter(self._left))]
            return 0.0 if admitted else (1 - left) * 60 / per_minute
