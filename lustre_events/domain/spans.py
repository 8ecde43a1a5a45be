"""Which records of an MDT are in the index, epoch by epoch, and how one more record stands to them.

Epochs overlap: a reader begins a new one behind the last index that it knows to be committed, and an older one
comes back with an older copy of Redis. What is removed from the names is forgotten some time later, so a record
that was taken under one epoch must never be applied under another one. An index alone does not tell a record, as an
MDT may count from the beginning again; its index and its time do.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from lustre_events.domain.namespace import LATEST_TIME_NS

BACKWARDS_NS = 2_000_000_000
"""No MDT's time runs backwards by more."""


class Span(msgspec.Struct, frozen=True, gc=False):
    """The records that one epoch has brought. Nothing was taken yet while the first index is behind the last one.

    `first_ns` is the least time of a record, `last_ns` the effective time reached (namespace.py).
    """

    first_index: int = 0
    last_index: int = 0
    first_ns: int = 0
    last_ns: int = 0

    @property
    def empty(self) -> bool:
        """Whether no record was taken."""
        return not self.last_index or self.first_index > self.last_index

    def holds(self, index: int, time_ns: int) -> bool:
        """Whether a record was taken."""
        return (
            self.first_index <= index <= self.last_index
            and self.first_ns <= self._possible(time_ns) <= self.last_ns
            and not self.empty
        )

    def precedes(self, index: int, time_ns: int) -> bool:
        """Whether a record that was not taken comes behind all that was: by its index, or its time in a new one."""
        possible_ns = self._possible(time_ns)
        return (
            self.empty
            or possible_ns > self.last_ns
            or (index > self.last_index and possible_ns >= self.first_ns - BACKWARDS_NS)
        )

    def surely_precedes(self, index: int, time_ns: int) -> bool:
        """Whether that is so although an MDT's times can run backwards a little."""
        possible_ns = self._possible(time_ns)
        return (
            self.empty
            or possible_ns > self.last_ns + BACKWARDS_NS
            or (index > self.last_index and possible_ns >= self.first_ns)
        )

    def passed(self, other: Span) -> bool:
        """Whether all that is still to come behind this one comes behind the other one, too."""
        return self.last_index >= other.last_index and self.last_ns >= other.last_ns

    def _possible(self, time_ns: int) -> int:
        """Return a record's time; one that cannot be was taken for the time reached (`effective_time`)."""
        return time_ns if time_ns <= LATEST_TIME_NS else self.last_ns


def floor_of(spans: Collection[Span], index: int, time_ns: int) -> tuple[int, bool]:
    """Return the effective time behind which a record that no span holds belongs, and whether it is (perhaps) late.

    Late: a record that comes behind it was taken already.
    """
    floor = max((span.last_ns for span in spans if span.precedes(index, time_ns)), default=0)
    return floor, not all(span.surely_precedes(index, time_ns) for span in spans)


def reach(span: Span, others: Collection[Span]) -> int:
    """Return up to which index all records behind a span's beginning were brought, under whatever epoch."""
    index = span.last_index
    for other in sorted(others, key=lambda each: each.first_index):
        anew = other.first_index <= span.last_index and other.first_ns > span.last_ns
        if not other.empty and other.first_index <= index + 1 and not anew:
            index = max(index, other.last_index)
    return index
