"""Continuity: what must be there, compared with what is there, and losses reported.

Gaps in the index are legal, so a missing index alone proves nothing. What proves a loss: records that were in the
stream, left it without being committed, and are no longer on the MDT; a changelog user that is gone; an index
that began anew. A gap at the place where a reader goes on is suspected until a clear there tells that the user,
whose records the MDT keeps, was never gone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from lustre_events.streams.continuity import STREAM_GONE
from lustre_events.streams.interface import Loss, ReaderStream, Standing

_log = logging.getLogger(__name__)

USER_GONE = "the changelog user was gone"
INDEX_BEGAN_ANEW = "the MDT's index started again, so no changelog user was registered for a while"
PURGED = "the MDT no longer had them"
STREAM_TRIMMED = "the stream was trimmed before they were committed"
STREAM_BACK = "Redis went back in time"


@dataclass(frozen=True, slots=True)
class Gap:
    """Indexes of missing records; `reason` is one of the above."""

    first_index: int
    last_index: int
    reason: str


def trimmed(found: Standing) -> bool:
    """Whether entries left the stream that were not committed."""
    return bool(found.tail.epoch) and found.left_index > found.committed


def losses(found: Standing, oldest_index: int) -> Iterator[Gap]:
    """Yield what was in the stream and is neither there, nor committed, nor on the MDT any more.

    `oldest_index` is the oldest record left on the MDT, 0: none is.
    """
    if not found.tail.epoch:
        wanted = [Gap(found.committed + 1, found.mark, STREAM_GONE)]
    else:
        tail_index = max(found.tail.last_index, found.committed)
        wanted = [Gap(tail_index + 1, found.mark, STREAM_BACK)]
        if trimmed(found):
            wanted.append(Gap(found.committed + 1, found.left_index, STREAM_TRIMMED))
    for gap in wanted:
        last_index = min(gap.last_index, oldest_index - 1) if oldest_index else gap.last_index
        if last_index >= gap.first_index:
            yield Gap(gap.first_index, last_index, gap.reason)


def suspect(found: Standing, oldest_index: int) -> Gap | None:
    """Return the gap between what is known and the oldest record left on the MDT: legal, or a loss."""
    known_index = max(found.tail.last_index, found.mark, found.committed)
    if known_index and oldest_index > known_index + 1:
        return Gap(known_index + 1, oldest_index - 1, PURGED)
    return None


class Continuity:
    """What one reader knows of its MDT beyond what Redis remembers, and the losses that it noticed."""

    def __init__(
        self, stream: ReaderStream, mdt: str, time_ns: Callable[[], int], *, clears_committed: bool
    ) -> None:
        """`clears_committed`: nothing is cleared that is not in the index."""
        self._clears_committed = clears_committed
        self._stream = stream
        self._mdt = mdt
        self._time_ns = time_ns
        self._known: Standing | None = None
        self._said: set[tuple[int, Gap]] = set()
        self.lost = False

    def remember(self, found: Standing) -> None:
        """Keep what Redis says now, in case it forgets."""
        self._known = found

    def recall(self, mark: int) -> Standing:
        """Return what Redis says, with what it forgot and this process still knows; `mark` is this process's.

        Raises StreamUnavailable.
        """
        found, known = self._stream.standing(), self._known
        if known is not None:
            newest = found.newest_epoch or known.newest_epoch
            anchored = found if found.anchor_index else known
            found = Standing(
                tail=found.tail,
                mark=max(found.mark, mark),
                newest_epoch=newest,
                committed=max(found.committed, known.committed if known.newest_epoch == newest else 0),
                left_index=found.left_index,
                anchor_index=anchored.anchor_index,
                anchor_digest=anchored.anchor_digest,
            )
        self._known = found
        if self._clears_committed:
            found = msgspec.structs.replace(found, committed=max(found.committed, found.mark))
        return found

    def forget(self) -> None:
        """Forget what was known of an index that is no more."""
        if self._known is not None:
            self._known = msgspec.structs.replace(self._known, anchor_index=0, anchor_digest="")

    def lose(self, epoch: int, gap: Gap) -> None:
        """Keep a loss in Redis, and report it once. Raises StreamUnavailable."""
        loss = Loss(self._mdt, epoch, gap.first_index, gap.last_index, self._time_ns(), gap.reason)
        self._stream.lose(loss)
        self.lost = True
        if (epoch, gap) in self._said:
            return
        self._said.add((epoch, gap))
        _log.error(
            "%s: continuity lost: records from %d to %s are or may be missing, because %s; "
            "scan and compare the file system with: lustre-events continuity reconcile",
            self._mdt, gap.first_index, gap.last_index or "an index not known yet", gap.reason,
            extra={
                "action": "lost", "mdt": self._mdt, "epoch": epoch,
                "first": gap.first_index, "last": gap.last_index,
            },
        )  # fmt: skip
