"""The lease of one reader: taken, and renewed in good time. Only its holder may write to the stream."""

from __future__ import annotations

from collections.abc import Callable

from lustre_events.errors import LeaseLost
from lustre_events.streams.interface import ReaderStream


class Lease:
    """Whether this reader leads, as far as it knows. `clock` counts seconds."""

    def __init__(self, stream: ReaderStream, mdt: str, seconds: float, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._mdt = mdt
        self.seconds = seconds
        self._clock = clock
        self.held = False
        self._renewed_at = 0.0

    def take(self) -> bool:
        """Take it; return False where another reader holds it."""
        self.held = self._stream.lease(self.seconds)
        if self.held:
            self._renewed_at = self._clock()
        return self.held

    def keep(self) -> bool:
        """Renew it if it is time, and return whether it was. Raises LeaseLost."""
        now = self._clock()
        if now - self._renewed_at < self.seconds / 3:
            return False
        if not self._stream.lease(self.seconds):
            raise LeaseLost(f"{self._mdt}: another reader has taken over; this one waits as its standby")
        self._renewed_at = now
        return True
