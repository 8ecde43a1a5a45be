"""Opening: at which index a reader goes on, whether in the same epoch, and whether the MDT's index is the same.

The stream is the checkpoint, where it can be continued. Where it vanished or was trimmed, everything that is not
committed to the index is read again from the MDT, as far as it is still there, in a new epoch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from lustre_events.config.settings import ReaderSettings
from lustre_events.errors import ChangelogBroken, StreamMoved
from lustre_events.reader.clearing import Clearing
from lustre_events.reader.continuity import INDEX_BEGAN_ANEW, Continuity, Gap, losses, suspect, trimmed
from lustre_events.reader.probe import look
from lustre_events.sources.interface import Source
from lustre_events.streams.interface import ReaderStream, Tail

_log = logging.getLogger(__name__)


class Opening:
    """How one reader opens its source. `begins_epoch`: the next block must begin an epoch."""

    def __init__(
        self,
        source: Source,
        stream: ReaderStream,
        settings: ReaderSettings,
        clock: Callable[[], float],
        *,
        clearing: Clearing,
        continuity: Continuity,
    ) -> None:
        self._source = source
        self._stream = stream
        self._settings = settings
        self._clock = clock
        self._clearing = clearing
        self._continuity = continuity
        self.begins_epoch = False
        self._trimmed_to = 0
        self._handle = -1
        self._looked_at = 0.0

    def open(self) -> Tail:
        """Open the source where reading goes on, and return where the stream ends.

        Raises ChangelogBroken, ChangelogUnavailable, ChangelogRefused, LeaseLost, StreamUnavailable.
        """
        found = self._continuity.recall(self._clearing.mark)
        self._trimmed_to = found.left_index
        self.begins_epoch = not found.tail.epoch
        self._open_behind(found.committed if self.begins_epoch else found.tail.last_index)
        seen = look(self._source, found.anchor_index, found.anchor_digest)
        if not seen.same:
            self.begin_index(Tail(found.newest_epoch, max(found.mark, found.anchor_index, found.tail.last_index)))
            self._open_behind(0)
            return found.tail
        if trimmed(found) and 0 < seen.oldest_index <= found.left_index:
            self.begins_epoch = True
            self._open_behind(found.committed)
        for gap in losses(found, seen.oldest_index):
            self._continuity.lose(found.newest_epoch, gap)
        if found.anchor_index:
            self._clearing.resume(found.mark, suspect(found, seen.oldest_index), found.newest_epoch)
        else:
            self._clearing.begin_index()  # nothing tells to which index a mark belongs
        return found.tail

    def begin_index(self, old: Tail) -> None:
        """Report that the MDT's index has started again; `old` is the last known index before that."""
        self._continuity.lose(old.epoch, Gap(old.last_index + 1, 0, INDEX_BEGAN_ANEW))
        self._continuity.forget()
        self._clearing.begin_index()
        self.begins_epoch = True

    def check(self, tail: Tail) -> None:
        """Check that the stream still ends at `tail`, and that nobody took entries away.

        Otherwise a Redis that came back without its last second would be noticed only by the next append.
        Raises StreamMoved, StreamUnavailable.
        """
        found, mdt = self._stream.standing(), self._source.mdt
        if found.tail != tail:
            raise StreamMoved(f"{mdt}: the stream ends at {found.tail}, not at {tail}; reading on from its end")
        if trimmed(found) and found.left_index > self._trimmed_to:
            raise StreamMoved(f"{mdt}: the stream was trimmed up to {found.left_index}; reading again what is left")
        self._continuity.remember(found)

    def passed(self) -> None:
        """Note that records came: the index is the one that is read."""
        self._looked_at = self._clock()

    def probe(self, *, at_once: bool) -> None:
        """See that the MDT's index is the same: in a quiet time now and then, or of a handle not yet looked at.

        Raises ChangelogBroken (it started again, or the MDT broke off), ChangelogUnavailable, StreamUnavailable.
        """
        handle = self._source.handle
        overdue = self._clock() - self._looked_at >= self._settings.probe_seconds
        if handle == self._handle and (at_once or not overdue):
            return
        found = self._continuity.recall(self._clearing.mark)
        if not self.begins_epoch and not look(self._source, found.anchor_index, found.anchor_digest).same:
            raise ChangelogBroken(
                f"{self._source.mdt}: the MDT's index has started again; reading it from its beginning"
            )
        self._handle, self._looked_at = handle, self._clock()

    def _open_behind(self, index: int) -> None:
        self._source.open(index + 1 if index else 0)
        _log.info(
            "reading %s from the record after %d on",
            self._source.mdt,
            index,
            extra={"action": "open", "mdt": self._source.mdt, "behind": index},
        )
        self._handle, self._looked_at = self._source.handle, self._clock()
