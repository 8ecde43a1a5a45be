"""Records that left the stream before this index had them: reported, with their range, before the index moves on.

A dispatcher acknowledges what its index has, and only then is a stream trimmed. So an index that is behind the
stream's start is not the one that was here before: it is new and empty, or a backup was put back. Or Redis lost the
records together with all that it knew of them. Nobody else would notice: the reader goes on as before.

Within an epoch each entry says behind which index it was appended, so no legal gap is taken for a loss. Between
epochs only the indexes tell. The mark is written before the index moves: who is killed in between finds it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import msgspec

from lustre_events.dispatcher.records import Cursors, span_of
from lustre_events.domain.spans import Span, reach
from lustre_events.errors import StreamDamaged
from lustre_events.index.interface import Cursor
from lustre_events.streams.continuity import STREAM_GONE
from lustre_events.streams.interface import EpochKey, Loss, RecordStreams, Start

log = logging.getLogger(__name__)

INDEX_BEHIND = "the index is behind the stream, which no longer has them: it is new, or an older copy"
NEITHER_HAS = "neither the stream nor the index has them"

LAST_INDEX = (1 << 63) - 1
"""The largest index number that the database can keep; no MDT has reached it."""

Advance = tuple[Cursor, Cursor]
"""A cursor as it is, and as it must become: behind what is missing."""


class Continuity:
    """Compares the index with where streams begin.

    `confirm` raises LeaseLost where the index is another dispatcher's by now: this one was paused, the other has
    taken records and let them leave the stream, and only this one's cursors are behind.
    """

    def __init__(self, streams: RecordStreams, confirm: Callable[[], None]) -> None:
        self._streams = streams
        self._confirm = confirm
        self._looked: set[EpochKey] = set()

    def forget(self) -> None:
        """Look again at every stream: after a failed step Redis or the index may be another one."""
        self._looked.clear()

    def look(self, epoch_key: EpochKey, first_index: int, cursors: Cursors, now_ns: int) -> list[Advance]:
        """Mark what is lost of an epoch that is read now, and return how the index has to go on.

        `first_index` is the first that was read of it, 0: nothing was. Raises StreamError, LeaseLost.
        """
        position = cursors[epoch_key].position if epoch_key in cursors else 0
        if epoch_key in self._looked and first_index <= position + 1:
            return []
        start = self._streams.start(*epoch_key)
        if max(start.left_index, start.dropped.last_index) > LAST_INDEX:
            raise StreamDamaged(
                f"{epoch_key[0]}: epoch {epoch_key[1]} ends at index {start.left_index}, which no MDT has reached; "
                "somebody wrote an entry with that id: remove the key of this epoch, then restart the reader"
            )
        advances = []
        for before, after, gap in missing(epoch_key, cursors, start):
            if gap is not None:
                self._confirm()  # now: what this start tells was let go before
                self._lose(msgspec.structs.replace(gap, time_ns=now_ns))
            if after != before:
                advances.append((before, after))
        self._looked.add(epoch_key)
        return advances

    def review(self, mdt: str, cursors: Cursors) -> None:
        """Take back what a reader has marked as lost with its stream, and the index has. Raises StreamError.

        After a loss of Redis a reader knows only of the commits that it saw.
        """
        for loss in self._streams.continuity(mdt):
            cursor = cursors.get((mdt, loss.epoch))
            if loss.accepted or loss.reason != STREAM_GONE or cursor is None:
                continue
            reached = min(reach(span_of(cursor), _spans(cursor, cursors)), loss.last_index)
            if not span_of(cursor).first_index <= loss.first_index <= reached:
                continue
            if reached < loss.last_index:
                self._streams.lose(msgspec.structs.replace(loss, first_index=reached + 1))
            self._streams.withdraw(loss)
            log.warning(
                "%s: records from %d to %d are not lost: the index has them", mdt, loss.first_index, reached,
                extra={"action": "found", "mdt": mdt, "epoch": loss.epoch},
            )  # fmt: skip

    def _lose(self, loss: Loss) -> None:
        self._streams.lose(loss)
        log.error(
            "%s: continuity lost: records from %d to %d are or may be missing, because %s; "
            "scan and compare the file system with: lustre-events continuity reconcile",
            loss.mdt, loss.first_index, loss.last_index, loss.reason,
            extra={
                "action": "lost", "mdt": loss.mdt, "epoch": loss.epoch,
                "first": loss.first_index, "last": loss.last_index,
            },
        )  # fmt: skip


def missing(epoch_key: EpochKey, cursors: Cursors, start: Start) -> Iterator[tuple[Cursor, Cursor, Loss | None]]:
    """Yield how cursors have to move so that reading goes on at a stream's start, and what is lost by that."""
    mdt, epoch = epoch_key
    dropped = start.dropped
    if dropped.epoch and dropped.epoch < epoch:
        # An epoch that is forgotten was drained, but perhaps into an index that is gone.
        yield from _up_to(
            cursors.get((mdt, dropped.epoch)) or Cursor(mdt, dropped.epoch), cursors, dropped.last_index
        )
    cursor = cursors.get(epoch_key) or Cursor(*epoch_key)
    yield from _up_to(cursor, cursors, start.left_index)
    if cursor.position or start.left_index or not start.first_index:
        return
    earlier = _before(epoch_key, cursors)
    if earlier is not None and earlier.epoch != dropped.epoch:
        reached = reach(span_of(earlier), _spans(earlier, cursors))
        if start.first_index > reached + 1:
            yield cursor, cursor, Loss(mdt, epoch, reached + 1, start.first_index - 1, 0, NEITHER_HAS)


def _up_to(cursor: Cursor, cursors: Cursors, index: int) -> Iterator[tuple[Cursor, Cursor, Loss | None]]:
    """Yield how a cursor moves up to an index, and which records up to there no epoch has brought."""
    if index <= cursor.position:
        return
    known = cursor if cursor.position else _before((cursor.mdt, cursor.epoch), cursors)
    reached = reach(span_of(known), _spans(known, cursors)) if known is not None else 0
    if cursor.position and reached >= index:
        yield cursor, msgspec.structs.replace(cursor, position=index), None
        return
    first_index = (reached if reached < index else 0) + 1
    after = msgspec.structs.replace(cursor, position=index, first_index=index + 1, first_ns=0)
    yield cursor, after, Loss(cursor.mdt, cursor.epoch, first_index, index, 0, INDEX_BEHIND)


def _before(epoch_key: EpochKey, cursors: Cursors) -> Cursor | None:
    """Return the last epoch before one of which the index has records."""
    mdt, epoch = epoch_key
    earlier = [each for each in cursors.values() if each.mdt == mdt and each.epoch < epoch and each.position]
    return max(earlier, key=lambda cursor: cursor.epoch, default=None)


def _spans(cursor: Cursor, cursors: Cursors) -> list[Span]:
    return [span_of(each) for each in cursors.values() if each.mdt == cursor.mdt and each.epoch != cursor.epoch]
