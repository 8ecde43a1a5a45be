"""Blocks of records, on their way into the index: links, migrations, objects that came and went, and wishes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lustre_events.dispatcher.directory_walks import Walks
from lustre_events.dispatcher.heal import Healing
from lustre_events.dispatcher.work_planner import Wishes
from lustre_events.domain.batch import Batch
from lustre_events.domain.namespace import mdt_number
from lustre_events.domain.spans import Span
from lustre_events.index.interface import Cursor, Transaction
from lustre_events.streams.interface import Block

Place = tuple[str, int]
"""An MDT and an epoch."""

Cursors = Mapping[Place, Cursor]


@dataclass(frozen=True, slots=True)
class Gathered:
    """What some blocks change, before it is written, and the cursors before and behind them."""

    batch: Batch
    before: Sequence[Cursor]
    cursors: Mapping[Place, Cursor]
    several: bool
    """There are several MDTs, whose clocks may differ."""


class Intake:
    """Gathers what blocks change, and writes it in the caller's transaction."""

    def __init__(self, wishes: Wishes, walks: Walks, healing: Healing) -> None:
        self._wishes = wishes
        self._walks = walks
        self._healing = healing

    def gather(self, blocks: Sequence[Block], known: Cursors, now_ns: int) -> Gathered:
        """Return what blocks of records change; `known` are the cursors so far."""
        several = len({mdt for mdt, _ in known} | {block.mdt for block in blocks}) > 1
        batch = Batch(now_ns, self._healing.skew_ns if several else 0)
        cursors: dict[Place, Cursor] = {}
        for block in blocks:
            place = (block.mdt, block.epoch)
            cursor = cursors.get(place) or known.get(place) or Cursor(*place)
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
            cursors[place] = Cursor(*place, taken.last_index, taken.last_ns, taken.first_index, taken.first_ns)
        before = [known.get(place) or Cursor(*place) for place in cursors]
        return Gathered(batch, before, cursors, several)

    def write(self, transaction: Transaction, counters: Counter[str], gathered: Gathered, now_ns: int) -> None:
        """Write what was gathered, and move the cursors."""
        for before, after in zip(gathered.before, gathered.cursors.values(), strict=True):
            transaction.advance(before, after)
        if gathered.cursors:
            self._write(transaction, gathered.batch, now_ns, counters, several=gathered.several)
        counters.update(gathered.batch.counters)
        counters["links"] += len(gathered.batch.links)

    def _write(
        self, transaction: Transaction, batch: Batch, now_ns: int, counters: Counter[str], *, several: bool
    ) -> None:
        moves = batch.moves()
        transaction.put_moves(moves)
        moving = {fid for move in moves for fid in (move.fid, move.target)}
        present = transaction.moved(batch.changes.keys() | moving if moving else batch.changes.keys())
        batch.follow(present)
        before = self._walks.before(transaction, batch.changes)
        if several or batch.late:
            self._healing.before(transaction, batch)
        transaction.set_links(batch.links.values())
        # From the last to the first: what was changed under a later FID counts as a later change.
        for move in reversed(moves):
            transaction.move_object(move.fid, present[move.fid])
        gone = {fid for fid, change in batch.changes.items() if change.gone}
        # Alive all the same: names that other records have given it, or flags that an old server lost. Its
        # `stat` will find it gone if it is, and removes it when no name is left (results.py).
        alive = transaction.linked(gone)
        for fid in alive:
            batch.changes[fid].attributes = True
        removed = transaction.remove_objects(gone - alive)
        stored = self._wishes.take(
            transaction, {fid: change for fid, change in batch.changes.items() if fid in alive or not change.gone}
        )
        if several or batch.contested:
            counters["contested"] += self._healing.after(transaction, batch, stored, present, now_ns)
        walks = self._walks.begin(transaction, before)
        counters.update({"removed": removed, "migrated": len(moves), "walks": walks})


def span_of(cursor: Cursor) -> Span:
    """Return which records an epoch has brought."""
    return Span(cursor.first_index, cursor.position, cursor.first_ns, cursor.eff_time)


def _others(cursor: Cursor, known: Cursors) -> list[Span]:
    """Return what other epochs of an MDT have brought, earlier and newer ones, where more than this one has."""
    own = span_of(cursor)
    others = [span_of(each) for (mdt, epoch), each in known.items() if mdt == cursor.mdt and epoch != cursor.epoch]
    return [span for span in others if not own.passed(span)]
