"""How long a step waits when there is nothing to do: shortly while something is under way, else longer.

A step waits for records. What else becomes due meanwhile (a file that has settled, a result) is seen by the next
one, so that wait is a part of the time from close() to a search hit.
"""

from __future__ import annotations

UNDER_WAY_SECONDS = 10.0
"""How long after the last step that did something its files may become due, or their results come."""

SHARE = 4
"""While something is under way, a wait is this share of the usual one."""


class Pauses:
    """Decides how long the next step waits, by what the last ones did."""

    def __init__(self, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._done_ns: int | None = None

    def after(self, now_ns: int, *, done: bool, more: bool = True) -> float:
        """Return how long the next step waits, after one that did something, or nothing.

        `more`: what it did may not have been all; else something may come soon, and the next one waits for it.
        """
        if done:
            self._done_ns = now_ns
            if more:
                return 0.0
        under_way = self._done_ns is not None and 0 <= now_ns - self._done_ns < UNDER_WAY_SECONDS * 1_000_000_000
        return self._idle_seconds / SHARE if under_way else self._idle_seconds
