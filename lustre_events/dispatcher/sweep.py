"""Sweeping: removes what the index keeps only for records that may still come, once none can come any more.

Every MDT has passed the horizon: each record to come will have a later effective time. For an MDT that is busy
that is the time that its cursor has reached. For a quiet one it is the time at which its reader had caught up,
less a margin; once something was swept by it, the MDT's chain of effective times is moved there, so that a record
with an earlier time cannot fall behind what is gone (the time of a record may run backwards, a clock be wrong).
An MDT that nobody knows of cannot be waited for: it must be named in the settings, or its reader must begin no
later than an hour after this dispatcher.

The clocks of two MDTs may differ: what is still to come may be that much older than it should be. And nothing is
swept that is younger than what workers are being asked about the file system (fs_answers.py).

Tombstones and remembered migrations go by their stamps. Objects without a name, of which nobody said that they are
gone (an old server lost a flag, workers died), are found by going round the index slowly; `stat` decides.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from lustre_events.dispatcher.turn import Turn
from lustre_events.dispatcher.work_planner import WorkPlanner
from lustre_events.domain.namespace import OrderKey
from lustre_events.domain.pending import SECOND_NS
from lustre_events.errors import StreamDamaged
from lustre_events.index.interface import Cursor
from lustre_events.jobs.messages import STAT
from lustre_events.streams.interface import RecordStreams

MARGIN_NS = 2 * SECOND_NS
"""The kernel looks for new records once a second: a reader that has caught up may be that far behind."""

LOOK_NS = SECOND_NS
AT_ONCE = 1_000
"""Most tombstones that are removed at once."""

OBJECTS = 500
"""Objects that are looked at for names, once per second while a round goes on."""

KEYS = 500
"""Keys that are looked at for documents that have them, once per second while a round goes on."""

FIRST_ROUND_NS = 600 * SECOND_NS
ROUND_NS = 3_600 * SECOND_NS
"""The least time between the beginnings of two rounds."""

SETTLE_NS = 60 * SECOND_NS
"""How long nothing is swept after the start, or after a new MDT was seen: others may follow."""

UNNAMED_SETTLE_NS = 3_600 * SECOND_NS
"""The same where nobody has named the MDTs, so that only time tells that none is missing."""

NEVER = 0
ALWAYS = (1 << 63) - 1

Cursors = Mapping[tuple[str, int], Cursor]


class Sweeper:
    """Knows the horizon, and removes what lies behind it, in the caller's transaction."""

    def __init__(
        self, streams: RecordStreams, planner: WorkPlanner, mdts: Collection[str], now_ns: int, skew_ns: int = 0
    ) -> None:
        self._skew_ns = skew_ns
        self._streams = streams
        self._planner = planner
        self._quiet: dict[str, tuple[int, int, int]] = {}
        self._mdts = set(mdts)
        self._settle_ns = SETTLE_NS if mdts else UNNAMED_SETTLE_NS
        self._settled_ns = now_ns + self._settle_ns
        self._now_ns = now_ns
        self._looked_ns: int | None = None
        self._at = 0
        self._key = 0
        self._keys_left = self._objects_left = False
        self._round_ns = now_ns - ROUND_NS + FIRST_ROUND_NS
        self._is_due = False

    def look(self, now_ns: int) -> None:
        """Learn from Redis, once per second, which readers have caught up: up to which index, and when."""
        if self._looked_ns is not None and now_ns - self._looked_ns < LOOK_NS:
            return
        self._looked_ns = self._now_ns = now_ns
        self._is_due = True
        present = set(self._streams.mdts())
        if present - self._mdts:
            self._settled_ns = now_ns + self._settle_ns
        self._mdts |= present
        self._quiet = {mdt: self._caught_up(mdt) for mdt in sorted(self._mdts)}

    def passed_ns(self, cursors: Cursors) -> int:
        """Return the time which no record to come can precede; with a single MDT records come in order anyway."""
        if len(self._mdts) < 2:
            return ALWAYS
        return min(self._passed(mdt, cursors) for mdt in self._quiet) - self._skew_ns

    def read_until_ns(self, cursors: Cursors) -> int:
        """Return up to which time all records are read; 0: there is an MDT of which nobody knows that."""
        passed_ns = min((self._passed(mdt, cursors) for mdt in self._quiet), default=0)
        return passed_ns - (self._skew_ns if len(self._mdts) > 1 else 0)

    @staticmethod
    def rounds(written: int) -> int:
        """Return how many times `step` may be called in turn: twice as much may go as was written."""
        return max(1, 2 * written // AT_ONCE)

    def step(self, turn: Turn, cursors: Cursors) -> tuple[int, list[Cursor]]:
        """Remove some of what lies behind the horizon; return how much, and cursors whose times moved with it."""
        if self._now_ns < self._settled_ns or not self._quiet:
            return 0, []
        reached = max((cursor.eff_time for cursor in cursors.values()), default=0)
        skew_ns = self._skew_ns if len(self._mdts) > 1 else 0
        horizon = min(reached, min(self._passed(mdt, cursors) for mdt in self._quiet) - skew_ns)
        asked_ns = turn.transaction.oldest_ask()
        if asked_ns:
            horizon = min(horizon, asked_ns - self._skew_ns - 1)
        if horizon <= 0:
            return 0, []
        swept = turn.transaction.sweep(OrderKey(horizon + 1, 0, 0, 0).pack(), AT_ONCE)
        moved = []
        for mdt, (epoch, _, _) in self._quiet.items() if swept else ():
            cursor = cursors.get((mdt, epoch)) or Cursor(mdt, epoch)
            if _reached(mdt, cursors) < horizon:
                moved.append(msgspec.structs.replace(cursor, eff_time=horizon))
                turn.transaction.advance(cursor, moved[-1])
        return swept, moved

    def go_round(self, turn: Turn) -> None:
        """Let `stat` look at some objects that have no name, and count them; free some keys that nothing has."""
        begins = not self._objects_left and not self._keys_left
        if not self._is_due or (begins and turn.now_ns - self._round_ns < ROUND_NS):
            return
        self._is_due = False
        if begins:
            self._round_ns, self._objects_left, self._keys_left = turn.now_ns, True, True
        if self._keys_left:
            self._key = turn.transaction.free_keys(self._key, KEYS)
            self._keys_left = self._key > 0
        if self._objects_left:
            self._look_at_some(turn)
            self._objects_left = self._at > 0

    def _look_at_some(self, turn: Turn) -> None:
        found, self._at = turn.transaction.nameless(self._at, OBJECTS)
        pending = turn.transaction.pending([(fid, STAT) for fid in found])
        lost = [fid for fid in found if (fid, STAT) not in pending]
        self._planner.look_at(turn, lost)
        turn.counters["looked_at"] += len(lost)

    def _passed(self, mdt: str, cursors: Cursors) -> int:
        epoch, index, time_ns = self._quiet[mdt]
        reached = _reached(mdt, cursors)
        # Of the epoch that the reader is at, which is an older one where an older copy of Redis has come back.
        own = cursors.get((mdt, epoch))
        if own is None and epoch == 0 and reached == NEVER:
            own = Cursor(mdt, 0)
        if own is not None and own.position >= index:
            reached = max(reached, time_ns - MARGIN_NS)
        return reached

    def _caught_up(self, mdt: str) -> tuple[int, int, int]:
        """Return what the reader said: epoch (0: it has never had a record), index, and time."""
        try:
            state, epochs = self._streams.reader_state(mdt), self._streams.epochs(mdt)
        except StreamDamaged:  # said where it is read (stream_input.py); nobody knows how far it is
            return _SILENT
        values = [state.get(f"caught_up_{name}", "") for name in ("epoch", "index", "time_ns")]
        if not all(value.isdecimal() for value in values):
            return _SILENT
        epoch, index, time_ns = map(int, values)
        return (epoch, index, time_ns) if (epochs or [0])[-1] == epoch else _SILENT


def _reached(mdt: str, cursors: Cursors) -> int:
    """Return the effective time that an MDT's records have reached; a first record may have any time."""
    return max((cursor.eff_time for (name, _), cursor in cursors.items() if name == mdt), default=NEVER)


_SILENT = (0, 0, 0)
