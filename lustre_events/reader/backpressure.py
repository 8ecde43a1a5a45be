"""Back-pressure: reading stops before Redis is full, and the MDT keeps the rest.

A full Redis refuses everything, results of workers too; so the reader leaves some room.
"""

from __future__ import annotations

from collections.abc import Callable

from lustre_events.streams.interface import ReaderStream

_LOOK_SECONDS = 1.0


class Backpressure:
    """Redis's memory as one reader sees it. `share` of its maxmemory is used; 0: there is no limit."""

    def __init__(self, stream: ReaderStream, limit_share: float, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._limit_share = limit_share
        self._clock = clock
        self._looked_at = float("-inf")
        self.share = 0.0

    def reason(self) -> str:
        """Return why reading has to wait, "" where there is room; looks once a second. Raises StreamUnavailable."""
        if self._clock() - self._looked_at >= _LOOK_SECONDS:
            self.share = self._stream.memory_share()
            self._looked_at = self._clock()
        if self.share <= self._limit_share:
            return ""
        return (
            f"Redis uses {self.share:.0%} of its maxmemory, so reading waits; start the dispatcher if it is down, "
            "or raise maxmemory"
        )
