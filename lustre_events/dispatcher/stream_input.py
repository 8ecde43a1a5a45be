"""What comes in by streams: blocks of records and entries of results, until they are acknowledged.

Both are acknowledged only when they are committed, and as often as it takes. Older epochs are drained first.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping

from lustre_events.dispatcher.continuity import LAST_INDEX, Advance, Continuity
from lustre_events.dispatcher.records import Cursors
from lustre_events.dispatcher.transactions import names_in
from lustre_events.errors import StreamDamaged
from lustre_events.index.interface import Cursor
from lustre_events.jobs.messages import Result
from lustre_events.streams import keys
from lustre_events.streams.interface import Block, EpochKey, RecordStreams, Results

log = logging.getLogger(__name__)

READ_BYTES = 3 << 20
"""How much of all streams one step reads: some 20,000 records (captures: 150 bytes each)."""

RESULT_ENTRIES = 100
LISTED_NAMES = 5_000
"""Names in listings that one step should take: more would hold up what is happening now."""


class Incoming:
    """Reads both kinds of streams. `drained`: the last look at results has found all that there were.

    `reading` are the epochs that are read now. `behind` says how cursors have to go on, behind what is lost, before
    the blocks are taken; `troubles` what is wrong with an MDT's streams. Such an MDT is left alone until it can be
    read again; the others go on.
    """

    def __init__(
        self, streams: RecordStreams, results: Results, clock: Callable[[], int], confirm: Callable[[], None]
    ) -> None:
        """`confirm` raises LeaseLost where the index is another dispatcher's by now."""
        self._streams = streams
        self._results = results
        self._clock = clock
        self._continuity = Continuity(streams, confirm)
        self.behind: list[Advance] = []
        self.reading: set[EpochKey] = set()
        self.troubles: dict[str, str] = {}
        self._said: set[str] = set()
        self._unacknowledged: set[EpochKey] = set()
        self._unacknowledged_results: list[str] = []
        self._seen: set[EpochKey] = set()
        self._entries = RESULT_ENTRIES
        self.drained = True

    def forget(self) -> None:
        """Look again at what may be committed and not acknowledged: after a failed step nobody knows."""
        self._seen.clear()
        self._continuity.forget()

    def blocks(self, cursors: Cursors, timeout_seconds: float) -> list[Block]:
        """Return blocks behind the cursors, waiting up to the timeout. Raises StreamError, LeaseLost."""
        self.behind, self.troubles = [], {}
        positions = {}
        for mdt in self._streams.mdts():
            with self._alone(mdt):
                epoch_key = (mdt, self._oldest_epoch(mdt, cursors))
                if epoch_key[1]:
                    positions[epoch_key] = _position(epoch_key, cursors)
        blocks = self._read(positions, timeout_seconds)
        self.reading = set(positions)
        first: dict[EpochKey, int] = {}
        for block in blocks:
            first.setdefault((block.mdt, block.epoch), block.first_index)
        for epoch_key in positions:
            with self._alone(epoch_key[0]):
                self.behind += self._continuity.look(epoch_key, first.get(epoch_key, 0), cursors, self._clock())
        self._say()
        return [block for block in blocks if block.mdt not in self.troubles]

    def review(self, cursors: Cursors) -> None:
        """Take back marks of losses that the index refutes. Raises StreamError."""
        for mdt in sorted({mdt for mdt, _ in cursors}):
            with self._alone(mdt):
                self._continuity.review(mdt, cursors)

    def lost(self) -> bool:
        """Whether records are missing, and nobody has accepted it. Raises StreamError."""
        return any(not loss.accepted for mdt in self._streams.mdts() for loss in self._streams.continuity(mdt))

    def _read(self, positions: dict[EpochKey, int], timeout_seconds: float) -> list[Block]:
        share = READ_BYTES // max(1, len(positions))
        blocks = self._streams.read(positions, share, timeout_seconds)
        beyond = {(block.mdt, block.epoch): block for block in blocks if block.last_index > LAST_INDEX}
        for epoch_key, block in beyond.items():
            self.troubles[epoch_key[0]] = (
                f"a block ends at index {block.last_index}, which no MDT has reached; "
                f"somebody else wrote it: look at epoch {block.epoch} with redis-cli XRANGE, and XDEL it"
            )
            del positions[epoch_key]
        if beyond:
            blocks = [block for block in blocks if (block.mdt, block.epoch) not in beyond]
            blocks = blocks or self._streams.read(positions, share, timeout_seconds)
        for epoch_key, damage in self._streams.damaged.items():
            self.troubles.setdefault(epoch_key[0], damage)
        return blocks

    @contextlib.contextmanager
    def _alone(self, mdt: str) -> Iterator[None]:
        """Keep what is wrong in the keys of one MDT from stopping the others."""
        try:
            yield
        except StreamDamaged as exc:
            self.troubles[mdt] = str(exc)

    def left_alone(self) -> list[str]:
        """Return which MDTs' streams are left alone, and why, as sentences."""
        return [f"{mdt} is left alone: {trouble}" for mdt, trouble in sorted(self.troubles.items())]

    def _say(self) -> None:
        """Log what is new about streams that are left alone, and what has ended."""
        said = {*self.left_alone(), *map(keys.stranger, self._streams.strangers)}
        for each in sorted(said - self._said):
            log.error("%s", each, extra={"action": "skip"})
        self._said = said

    def results(self) -> list[tuple[str, list[Result]]]:
        """Return entries of results that are not committed yet, by their ids. Raises StreamError."""
        done = set(self._unacknowledged_results)
        found = self._results.read(self._entries + len(done))
        self.drained = not self._results.more
        entries = [entry for entry in found if entry[0] not in done]
        names = sum(names_in(result) for _, each in entries for result in each)
        # As many entries the next time that their listings are about as long as they should be.
        fitting = len(entries) * LISTED_NAMES // names if names else RESULT_ENTRIES
        self._entries = max(2, min(2 * self._entries, RESULT_ENTRIES, fitting))
        return entries

    def committed(self, epoch_keys: Iterable[EpochKey], entry_ids: Iterable[str]) -> None:
        """Remember what is committed: records of these places, and these entries of results."""
        self._unacknowledged.update(epoch_keys)
        self._unacknowledged_results += entry_ids

    def acknowledge(self, cursors: Cursors) -> None:
        """Acknowledge what is committed, also what Redis did not take before. Raises StreamError."""
        for epoch_key in sorted(self._unacknowledged):
            with self._alone(epoch_key[0]):
                self._streams.acknowledge(*epoch_key, _position(epoch_key, cursors))
            self._unacknowledged.discard(epoch_key)
        if self._unacknowledged_results:
            self._results.acknowledge(self._unacknowledged_results)
            self._unacknowledged_results = []

    def _oldest_epoch(self, mdt: str, cursors: Cursors) -> int:
        """Return the oldest epoch that is not drained, and drop those that are; 0: there is none."""
        epochs = self._streams.epochs(mdt)
        while len(epochs) > 1:
            epoch_key = (mdt, epochs[0])
            if _position(epoch_key, cursors) < self._streams.tail(*epoch_key):
                break
            # A newer one has begun, so nothing can be appended to this one any more.
            self._streams.acknowledge(*epoch_key, _position(epoch_key, cursors))
            self._unacknowledged.discard(epoch_key)
            if self._streams.drop(*epoch_key):
                log.info("%s: epoch %d is drained", *epoch_key, extra={"action": "drop"})
            epochs.pop(0)
        if epochs and (mdt, epochs[0]) not in self._seen:
            # Perhaps committed and not acknowledged before this dispatcher began.
            self._seen.add((mdt, epochs[0]))
            if _position((mdt, epochs[0]), cursors):
                self._unacknowledged.add((mdt, epochs[0]))
        return epochs[0] if epochs else 0


def _position(epoch_key: EpochKey, cursors: Mapping[EpochKey, Cursor]) -> int:
    cursor = cursors.get(epoch_key)
    return 0 if cursor is None else cursor.position
