"""What comes in by streams: blocks of records and entries of results, until they are acknowledged.

Both are acknowledged only when they are committed, and as often as it takes. Older epochs are drained first.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from lustre_events.dispatcher.records import Cursors, Place
from lustre_events.dispatcher.transactions import names_in
from lustre_events.domain.namespace import mdt_number
from lustre_events.errors import StreamDamaged
from lustre_events.index.interface import Cursor
from lustre_events.jobs.messages import Result
from lustre_events.streams.interface import Block, RecordStreams, Results

log = logging.getLogger(__name__)

READ_BYTES = 3 << 20
"""How much of all streams one step reads: some 20,000 records (captures: 150 bytes each)."""

LAST_INDEX = (1 << 63) - 1
RESULT_ENTRIES = 100
LISTED_NAMES = 5_000
"""Names in listings that one step should take: more would hold up what is happening now."""


class Incoming:
    """Reads both kinds of streams. `drained`: the last look at results has found all that there were."""

    def __init__(self, streams: RecordStreams, results: Results) -> None:
        self._streams = streams
        self._results = results
        self._unacknowledged: set[Place] = set()
        self._unacknowledged_results: list[str] = []
        self._seen: set[Place] = set()
        self._entries = RESULT_ENTRIES
        self.drained = True
        self.reading: dict[Place, int] = {}
        """The epochs that are read now, and the first index that was read of each; 0: nothing was."""

    def forget(self) -> None:
        """Look again at what may be committed and not acknowledged: after a failed step nobody knows."""
        self._seen.clear()

    def blocks(self, cursors: Cursors, timeout_seconds: float) -> list[Block]:
        """Return blocks behind the cursors, waiting up to the timeout. Raises StreamError."""
        positions = {}
        for mdt in self._streams.mdts():
            mdt_number(mdt)  # a name without a number cannot be ordered: refuse it before anything is read
            place = (mdt, self._oldest_epoch(mdt, cursors))
            if place[1]:
                positions[place] = _position(place, cursors)
        share = READ_BYTES // max(1, len(positions))
        blocks = _that_fit(self._streams.read(positions, share, timeout_seconds))
        self.reading = dict.fromkeys(positions, 0)
        for block in blocks:
            place = (block.mdt, block.epoch)
            self.reading[place] = self.reading[place] or block.first_index
        return blocks

    def results(self) -> list[tuple[str, list[Result]]]:
        """Return entries of results that are not committed yet, by their ids. Raises StreamError."""
        done = set(self._unacknowledged_results)
        found = self._results.read(self._entries + len(done))
        self.drained = len(found) < self._entries + len(done) and not self._results.more
        entries = [entry for entry in found if entry[0] not in done]
        names = sum(names_in(result) for _, each in entries for result in each)
        # So many entries the next time that their listings are about as long as they should be.
        fitting = len(entries) * LISTED_NAMES // names if names else RESULT_ENTRIES
        self._entries = max(2, min(2 * self._entries, RESULT_ENTRIES, fitting))
        return entries

    def committed(self, places: Iterable[Place], entry_ids: Iterable[str]) -> None:
        """Remember what is committed: records of these places, and these entries of results."""
        self._unacknowledged.update(places)
        self._unacknowledged_results += entry_ids

    def acknowledge(self, cursors: Cursors) -> None:
        """Acknowledge what is committed, also what Redis did not take before. Raises StreamError."""
        for place in sorted(self._unacknowledged):
            self._streams.acknowledge(*place, _position(place, cursors))
            self._unacknowledged.discard(place)
        if self._unacknowledged_results:
            self._results.acknowledge(self._unacknowledged_results)
            self._unacknowledged_results = []

    def _oldest_epoch(self, mdt: str, cursors: Cursors) -> int:
        """Return the oldest epoch that is not drained, and drop those that are; 0: there is none."""
        epochs = self._streams.epochs(mdt)
        while len(epochs) > 1:
            place = (mdt, epochs[0])
            if _position(place, cursors) < self._streams.tail(*place):
                break
            # A newer one has begun, so nothing can be appended to this one any more.
            self._streams.acknowledge(*place, _position(place, cursors))
            self._unacknowledged.discard(place)
            if self._streams.drop(*place):
                log.info("%s: epoch %d is drained", *place, extra={"action": "drop"})
            epochs.pop(0)
        if epochs and (mdt, epochs[0]) not in self._seen:
            # Perhaps committed and not acknowledged before this dispatcher began.
            self._seen.add((mdt, epochs[0]))
            if _position((mdt, epochs[0]), cursors):
                self._unacknowledged.add((mdt, epochs[0]))
        return epochs[0] if epochs else 0


def _that_fit(blocks: list[Block]) -> list[Block]:
    """Return the blocks whose indexes the index can hold. Raises StreamDamaged: there are only others."""
    found = [block for block in blocks if block.last_index <= LAST_INDEX]
    if blocks and not found:
        raise StreamDamaged(
            f"{blocks[0].mdt}: a block ends at index {blocks[0].last_index}, which no MDT has reached; "
            f"somebody wrote it: look at epoch {blocks[0].epoch} with redis-cli XRANGE, and XDEL it"
        )
    return found


def _position(place: Place, cursors: Mapping[Place, Cursor]) -> int:
    cursor = cursors.get(place)
    return 0 if cursor is None else cursor.position
