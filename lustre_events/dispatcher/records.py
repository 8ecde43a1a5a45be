"""Blocks of records, on their way into the index: links, migrations, objects that came and went, new work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lustre_events.changelog.fid import FID
from lustre_events.dispatcher import migrated_fids
from lustre_events.dispatcher.action_triggers import ActionTriggers
from lustre_events.dispatcher.directory_walks import DirectoryWalks
from lustre_events.dispatcher.heal import Healing
from lustre_events.dispatcher.turn import Turn
from lustre_events.dispatcher.work_planner import WorkPlanner
from lustre_events.domain.batch import Batch, ObjectChange
from lustre_events.domain.namespace import mdt_number
from lustre_events.domain.spans import Span
from lustre_events.index.interface import Cursor
from lustre_events.streams.interface import Block, EpochKey

Cursors = Mapping[EpochKey, Cursor]


@dataclass(frozen=True, slots=True)
class Gathered:
    """What some blocks change, before it is written, and the cursors before and behind them."""

    batch: Batch
    before: Sequence[Cursor]
    cursors: Mapping[EpochKey, Cursor]
    several: bool
    """There are several MDTs, whose clocks may differ."""


class RecordWriter:
    """Gathers what blocks change, and writes it in the caller's transaction."""

    def __init__(
        self, planner: WorkPlanner, walks: DirectoryWalks, healing: Healing, triggers: ActionTriggers
    ) -> None:
        self._triggers = triggers
        self._planner = planner
        self._walks = walks
        self._healing = healing
        self._unfinished = True
        """There may be names under old FIDs in the index."""
        self._none_moved = False
        """The index knows no migration; only this writer brings any, so it need not be asked again."""

    def gather(self, blocks: Sequence[Block], known: Cursors, now_ns: int) -> Gathered:
        """Return what blocks of records change; `known` are the cursors so far."""
        several = len({mdt for mdt, _ in known} | {block.mdt for block in blocks}) > 1
        batch = Batch(now_ns, self._healing.skew_ns if several else 0, self._triggers.watched)
        cursors: dict[EpochKey, Cursor] = {}
        for block in blocks:
            epoch_key = (block.mdt, block.epoch)
            cursor = cursors.get(epoch_key) or known.get(epoch_key) or Cursor(*epoch_key)
            if block.last_index <= cursor.position:
                continue
            taken = batch.add_block(
                block.data,
                count=block.count,
                last_index=block.last_index,
                where=(mdt_number(block.mdt), block.epoch),
                taken=span_of(cursor),
                others=_others(cursor, known),
            )
            cursors[epoch_key] = Cursor(
                *epoch_key, taken.last_index, taken.last_ns, taken.first_index, taken.first_ns
            )
        before = [known.get(epoch_key) or Cursor(*epoch_key) for epoch_key in cursors]
        return Gathered(batch, before, cursors, several)

    def write(self, turn: Turn, gathered: Gathered) -> None:
        """Write what was gathered, and move the cursors."""
        for before, after in zip(gathered.before, gathered.cursors.values(), strict=True):
            turn.transaction.advance(before, after)
        if gathered.cursors:
            self._write(turn, gathered.batch, several=gathered.several)
        turn.counters.update(gathered.batch.counters)
        turn.counters["links"] += len(gathered.batch.links)

    def bring(self, turn: Turn) -> int:
        """Continue with directories that have another FID now; return how many names were moved to it."""
        if not self._unfinished:
            return 0
        batch = Batch(turn.now_ns)
        brought = migrated_fids.bring_children(turn.transaction, batch, self._healing.skew_ns)
        if batch.contested:
            turn.counters["contested"] += self._healing.want(turn, batch.contested)
        self._unfinished = brought > 0
        return brought

    def _write(self, turn: Turn, batch: Batch, *, several: bool) -> None:
        present = self._follow_moves(turn, batch)
        before = self._walks.before(turn, batch.changes)
        seen = self._triggers.before(turn, batch)
        self._write_names(turn, batch, present, several=several)
        remaining = self._remaining(turn, batch)
        stored = self._planner.take(turn, remaining, {link.parent for link in batch.links.values()})
        self._triggers.take(turn, batch, remaining, stored, seen)
        if several or batch.contested:
            turn.counters["contested"] += self._healing.after(turn, batch, stored, present)
        turn.counters["walks"] += self._walks.begin(turn, before)

    def _follow_moves(self, turn: Turn, batch: Batch) -> Mapping[FID, FID]:
        """Remember the migrations, and let changes of old FIDs be those of the present ones, which are returned."""
        moves = batch.moves()
        self._none_moved = not moves and (self._none_moved or not turn.transaction.any_moved())
        present = {} if self._none_moved else migrated_fids.present_fids(turn.transaction, batch, moves)
        batch.follow(present)
        turn.counters["migrated"] += len(moves)
        return present

    def _write_names(self, turn: Turn, batch: Batch, present: Mapping[FID, FID], *, several: bool) -> None:
        if several or batch.late:
            self._healing.before(turn, batch)
        turn.transaction.set_links(batch.links.values())
        moves = batch.moves()
        if moves:
            self._unfinished = True
            migrated_fids.bring_names(turn.transaction, moves, present, batch)
            migrated_fids.bring_children(turn.transaction, batch, self._healing.skew_ns if several else 0)
        # From the last to the first: what was changed under a later FID counts as a later change.
        for move in reversed(moves):
            for fid in (move.target, move.fid):
                if fid in present:
                    turn.transaction.move_object(fid, present[fid])
                    turn.transaction.move_runs(fid, present[fid])

    @staticmethod
    def _remaining(turn: Turn, batch: Batch) -> Mapping[FID, ObjectChange]:
        """Remove the objects that are gone, and return the changes of the others."""
        gone = {fid for fid, change in batch.changes.items() if change.gone}
        # Alive all the same: names that other records have given it, or flags that an old server lost. Its
        # `stat` will find it gone if it is, and removes it when no name is left (results.py).
        alive = turn.transaction.linked(gone)
        for fid in alive:
            batch.changes[fid].attributes = True
        turn.counters["removed"] += turn.transaction.remove_objects(gone - alive)
        return {fid: change for fid, change in batch.changes.items() if fid in alive or not change.gone}


def span_of(cursor: Cursor) -> Span:
    """Return which records an epoch has brought."""
    return Span(cursor.first_index, cursor.position, cursor.first_ns, cursor.eff_time)


def _others(cursor: Cursor, known: Cursors) -> list[Span]:
    """Return what other epochs of an MDT have brought, earlier and newer ones, where more than this one has."""
    own = span_of(cursor)
    others = [span_of(each) for (mdt, epoch), each in known.items() if mdt == cursor.mdt and epoch != cursor.epoch]
    return [span for span in others if not own.passed(span)]
