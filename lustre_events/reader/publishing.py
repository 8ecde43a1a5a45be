"""What a reader publishes about itself, once a second: `status` shows it, from the reader's state in Redis."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lustre_events.streams.interface import ReaderStream, Tail

_SECONDS = 1.0

State = dict[str, int | str]


class Publishing:
    """Publishes a reader's state, with its rate and the index up to which it had once caught up with the MDT.

    Args:
        stream: takes the state.
        clock: counts seconds.
    """

    def __init__(self, stream: ReaderStream, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._last_at, self._last_stored = clock(), 0
        self._caught_up: tuple[Tail, int] | None = None
        self.rate = 0

    def caught_up(self, tail: Tail, at_ns: int) -> None:
        """Remember that everything up to the tail was stored at a given time."""
        self._caught_up = (tail, at_ns)

    def state(self) -> State:
        """Return the part of the state that is known here."""
        state: State = {"records_per_second": self.rate}
        if self._caught_up is not None:
            tail, at_ns = self._caught_up
            state |= {
                "caught_up_epoch": tail.epoch,
                "caught_up_index": tail.last_index,
                "caught_up_time_ns": at_ns,
            }
        return state

    def publish(self, state: Callable[[], Mapping[str, int | str]], stored: int, *, at_once: bool) -> None:
        """Publish what `state` returns, where it is time or `at_once`; `stored`: records. Raises StreamError."""
        now = self._clock()
        if now - self._last_at < _SECONDS and not at_once:
            return
        if now > self._last_at:
            self.rate = round((stored - self._last_stored) / (now - self._last_at))
        self._last_at, self._last_stored = now, stored
        self._stream.publish(state())
