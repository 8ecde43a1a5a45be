"""Sweeping: removes what the index keeps only in case older records still come, once none can come any more.

The horizon is a time that every MDT has passed: no record that is still to come has an earlier effective time
(domain/namespace.py). How far an MDT is:

- One with new records: the effective time that its cursor has reached.
- A quiet one: the time at which its reader had read everything, less a margin. When something was swept on that
  ground, the cursor of the MDT is moved to the horizon. So a record that comes later gets an effective time behind
  it, even if the MDT's clock is wrong or runs backwards.
- One that nobody knows of cannot be waited for. It must be named in the settings, or its reader must start within
  an hour of this dispatcher.

Clocks of MDTs may differ, so records may be older than that by the skew; the horizon is put back by it. Nothing is
swept that is younger than the oldest question which workers have about the file system (fs_answers.py).

Tombstones and remembered migrations go when their stamps are behind the horizon. An object without a name may be
left behind, e.g. when an old server did not flag the last unlink and workers died. Slow rounds through the index
find such objects, and `stat` decides whether they are gone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from lustre_events.dispatcher.turn import Turn
from lustre_events.dispatcher.work_planner import WorkPlanner
from lustre_events.domain.namespace import OrderKey
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import StreamDamaged
from lustre_events.index.interface import Cursor
from lustre_events.jobs.messages import STAT
from lustre_events.streams.interface import RecordStreams

MARGIN_NS = 2 * SECOND_NS
"""The kernel looks for new records once a second, so a reader that has read everything may lack the last ones."""

LOOK_NS = SECOND_NS
AT_ONCE = 1_000
"""Most tombstones that are removed at once."""

OBJECTS = 500
"""Objects of which one step of a round looks whether they have a name; there is a step each second."""

KEYS = 500
"""Keys of which one step of a round looks whether a document has them; there is a step each second."""

FIRST_ROUND_NS = 600 * SECOND_NS
ROUND_NS = 3_600 * SECOND_NS
"""The least time between the beginnings of two rounds."""

SETTLE_NS = 60 * SECOND_NS
"""How long nothing is swept after the start, or after a new MDT was seen: further MDTs may follow."""

UNNAMED_SETTLE_NS = 3_600 * SECOND_NS
"""The same where the settings name no MDTs: only waiting tells that none is missing."""

NEVER = 0
ALWAYS = (1 << 63) - 1

Cursors = Mapping[tuple[str, int], Cursor]


class Sweeper:
    """Computes the horizon, and removes what lies behind it, in the caller's transaction."""

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
        """Read from Redis, at most once a second, which readers have read everything: to which index, and when."""
        if self._looked_ns is not None and 0 <= now_ns - self._looked_ns < LOOK_NS:
            return
        self._looked_ns = self._now_ns = now_ns
        self._is_due = True
        present = set(self._streams.mdts())
        if present - self._mdts:
            self._settled_ns = now_ns + self._settle_ns
        self._mdts |= present
        self._quiet = {mdt: self._caught_up(mdt) for mdt in sorted(self._mdts)}

    def passed_ns(self, cursors: Cursors) -> int:
        """Return the time (ns) that no record to come can precede.

        With a single MDT it is the largest one, since its records come in order.
        """
        if len(self._mdts) < 2:
            return ALWAYS
        return min(self._passed(mdt, cursors) for mdt in self._quiet) - self._skew_ns

    def read_until_ns(self, cursors: Cursors) -> int:
        """Return the time (ns) up to which all records are read; 0 if that is not known of some MDT."""
        passed_ns = min((self._passed(mdt, cursors) for mdt in self._quiet), default=0)
        return passed_ns - (self._skew_ns if len(self._mdts) > 1 else 0)

    @staticmethod
    def rounds(written: int) -> int:
        """Return how often `step` may be called, so that up to twice as much is removed as was written."""
        return max(1, 2 * written // AT_ONCE)

    def step(self, turn: Turn, cursors: Cursors) -> tuple[int, list[Cursor]]:
        """Remove a portion of what lies behind the horizon.

        Return how many rows went, and the cursors that were moved to the horizon.
        """
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
        """Take a step of a round: have `stat` look at objects without a name, free keys that no document has."""
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
        # The cursor of the reader's epoch, which is an older epoch where Redis was restored from an older copy.
        own = cursors.get((mdt, epoch))
        if own is None and epoch == 0 and reached == NEVER:
            own = Cursor(mdt, 0)
        if own is not None and own.position >= index:
            reached = max(reached, time_ns - MARGIN_NS)
        return reached

    def _caught_up(self, mdt: str) -> tuple[int, int, int]:
        """Return how far the reader said that it has read: epoch (0: it never had a record), index, time (ns)."""
        try:
            state, epochs = self._streams.reader_state(mdt), self._streams.epochs(mdt)
        except StreamDamaged:  # stream_input.py reports it; how far the reader is cannot be known
            return _SILENT
        values = [state.get(f"caught_up_{name}", "") for name in ("epoch", "index", "time_ns")]
        if not all(value.isdecimal() for value in values):
            return _SILENT
        epoch, index, time_ns = map(int, values)
        return (epoch, index, time_ns) if (epochs or [0])[-1] == epoch else _SILENT


def _reached(mdt: str, cursors: Cursors) -> int:
    """Return the effective time (ns) that an MDT's records have reached; NEVER before its first record."""
    return max((cursor.eff_time for (name, _), cursor in cursors.items() if name == mdt), default=NEVER)


_SILENT = (0, 0, 0)
