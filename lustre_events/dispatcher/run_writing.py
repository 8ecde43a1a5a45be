"""Writes what became of runs into the ledger, with counters that add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from lustre_events.actions import run_transitions
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.action_run import Run


def put_runs(turn: Turn, before: Iterable[Run], after: Iterable[Run | None]) -> None:
    """Write what became of runs, and count it; None: the run is forgotten."""
    written, gone = [], []
    states: Counter[tuple[str, str | None]] = Counter()
    for old, new in zip(before, after, strict=True):
        states[old.state, None if new is None else new.state] += 1
        if new is None:
            gone.append(old.id)
        elif new is not old:
            written.append(new)
    for (was, now), runs in states.items():
        turn.counters.update(run_transitions.counted(was, now, runs))
    turn.transaction.put_runs(written)
    turn.transaction.remove_runs(gone)
