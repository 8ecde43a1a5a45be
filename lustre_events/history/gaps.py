"""Where records are missing in a history: which, why, and between which times.

There are two kinds. The keeper wrote down what it was cut off from, as frames of the kind LOSS. And readers or the
dispatcher marked what was lost (losses.py): such records never came, or left the stream early. As far as the
history has them they are not missing here. Both lie between the record before and the record behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from lustre_events.history.frame import LOSS, Header
from lustre_events.streams.interface import Loss

NOT_KEPT = "the history was too far behind, or switched off"
FOREVER_NS = 1 << 63


class Missing(NamedTuple):
    """Records that are missing, between two times; an index of 0: not known."""

    mdt: str
    epoch: int
    first_index: int
    last_index: int
    after_ns: int
    before_ns: int
    reason: str


@dataclass(slots=True)
class _Gap:
    mdt: str
    epoch: int
    first_index: int
    last_index: int
    reason: str
    had_index: int = 0
    after_ns: int = 0
    before_ns: int = FOREVER_NS

    def see(self, header: Header, last_within: Callable[[int], int]) -> None:
        """Take a frame of records of the same MDT; `last_within` gives its last index up to one."""
        end = self.last_index or self.first_index
        if (header.epoch, header.last_index) < (self.epoch, self.first_index):
            self.after_ns = max(self.after_ns, header.last_ns)
            return
        if (header.epoch, header.first_index) > (self.epoch, end):
            self.before_ns = min(self.before_ns, header.first_ns)
            return
        within = header.last_index <= self.last_index
        had = header.last_index if within else last_within(end) if self.last_index else 0
        if had >= self.first_index:
            self.had_index = max(self.had_index, had)
            self.after_ns = max(self.after_ns, header.last_ns if within else header.first_ns)
        else:
            self.after_ns = max(self.after_ns, header.first_ns)
        if not within:
            self.before_ns = min(self.before_ns, header.last_ns)

    def missing(self) -> Missing | None:
        """Return what is missing; None: the history has all of it."""
        first = max(self.first_index, self.had_index + 1) if self.had_index else self.first_index
        if self.last_index and first > self.last_index:
            return None
        after_ns = min(self.after_ns, self.before_ns)
        return Missing(self.mdt, self.epoch, first, self.last_index, after_ns, self.before_ns, self.reason)


@dataclass(slots=True)
class Gaps:
    """Collects gaps while frames go by, in the order in which they were written."""

    _marks: dict[str, list[_Gap]] = field(default_factory=dict)
    _own: dict[str, list[_Gap]] = field(default_factory=dict)
    _last_ns: dict[str, int] = field(default_factory=dict)

    def mark(self, losses: Iterable[Loss]) -> None:
        """Take what was marked as lost."""
        for loss in losses:
            self._marks.setdefault(loss.mdt, []).append(
                _Gap(loss.mdt, loss.epoch, loss.first_index, loss.last_index, loss.reason)
            )

    def see(self, mdt: str, header: Header, last_within: Callable[[int], int]) -> None:
        """Take the next frame of an MDT."""
        own = self._own.setdefault(mdt, [])
        if header.kind == LOSS:
            span = (header.epoch, header.first_index, header.last_index)
            own.append(_Gap(mdt, *span, NOT_KEPT, after_ns=self._last_ns.get(mdt, 0)))
            return
        for gap in reversed(own):
            if gap.before_ns != FOREVER_NS:
                break
            gap.before_ns = header.first_ns
        self._last_ns[mdt] = header.last_ns
        for gap in self._marks.get(mdt, ()):
            gap.see(header, last_within)

    def found(self) -> set[Missing]:
        """Return what is missing; a range that lies within another one of the same reason is told once."""
        gaps = [gap for each in (self._own, self._marks) for gaps in each.values() for gap in gaps]
        all_of_them = {each for gap in gaps if (each := gap.missing()) is not None}
        return {each for each in all_of_them if not any(_within(each, other) for other in all_of_them - {each})}


def _within(one: Missing, other: Missing) -> bool:
    same = (one.mdt, one.epoch, one.reason) == (other.mdt, other.epoch, other.reason)
    return (
        same
        and other.after_ns <= one.after_ns
        and one.before_ns <= other.before_ns
        and other.first_index <= one.first_index
        and (not other.last_index or 0 < one.last_index <= other.last_index)
    )
