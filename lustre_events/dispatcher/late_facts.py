"""Runs that have settled and wait for facts of their object: these are looked at as soon as the facts come.

In memory only. What a dispatcher that began anew does not know of is looked at when it is due (run_settling.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from lustre_events.actions import ledger
from lustre_events.changelog.fid import FID
from lustre_events.dispatcher.outcomes import ResultOutcome
from lustre_events.dispatcher.run_writing import put_runs
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.action_run import SETTLING, Run
from lustre_events.jobs.messages import STAT

MOST = 200_000
"""Runs that are known to wait; with more, those beyond are looked at when they are due."""


class LateFacts:
    """Knows which runs wait for facts, and makes them due when facts come."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[FID, int]] = {}
        """By run: its object, and its `merged`, by which one that settles again is told apart."""
        self._of: dict[FID, set[str]] = {}

    def wait(self, run: Run) -> None:
        """Take note that a run waits."""
        if len(self._waiting) < MOST:
            self._waiting[run.id] = run.fid, run.merged
            self._of.setdefault(run.fid, set()).add(run.id)

    def looked_at(self, run: Run) -> None:
        """Take note that a run is looked at: it waits no more, unless it is said again."""
        fid, _ = self._waiting.pop(run.id, (None, 0))
        if fid is not None:
            ids = self._of[fid]
            ids.discard(run.id)
            if not ids:
                del self._of[fid]

    def came(self, turn: Turn, outcomes: Sequence[ResultOutcome]) -> None:
        """Make runs due whose facts have come just now."""
        fids = {each.row.fid for each in outcomes if each.extractor == STAT and each.row.fid in self._of}
        if not fids:
            return
        runs = [
            run
            for run in turn.transaction.open_runs(fids)
            if run.state == SETTLING and self._waiting.get(run.id) == (run.fid, run.merged)
        ]
        put_runs(turn, runs, [ledger.later(run, min(run.due_ns, turn.now_ns)) for run in runs])
