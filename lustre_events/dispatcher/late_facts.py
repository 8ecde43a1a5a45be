"""Runs that have settled and wait for facts of their object: these are looked at as soon as the facts come.

In memory only. What a dispatcher that began anew does not know of is looked at when it is due (run_settling.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lustre_events.actions import run_transitions
from lustre_events.changelog.fid import FID
from lustre_events.dispatcher.result_outcome import ResultOutcome
from lustre_events.dispatcher.run_writing import put_runs
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.action_run import SETTLING, Run
from lustre_events.jobs.messages import STAT

MOST = 200_000
"""Runs that are known to wait; with more all are forgotten, and looked at when they are due."""


class LateFacts:
    """Knows which runs wait for facts, and makes them due when facts come."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._waiting: dict[str, tuple[FID, int]] = {}
        """By run: its object, and its `merged`, by which one that settles again is told apart."""
        self._of: dict[FID, set[str]] = {}

    def __len__(self) -> int:
        """Return how many runs are known to wait."""
        return len(self._waiting)

    def wait(self, run: Run) -> None:
        """Take note that a run waits."""
        if len(self._waiting) >= self._most:
            self._waiting, self._of = {}, {}
        self._waiting[run.id] = run.fid, run.merged
        self._of.setdefault(run.fid, set()).add(run.id)

    def looked_at(self, runs: Iterable[Run]) -> None:
        """Take note that runs are looked at: they wait no more, unless it is said again."""
        for run in runs:
            self._forget(run.id)

    def _forget(self, run_id: str) -> None:
        fid, _ = self._waiting.pop(run_id, (None, 0))
        if fid is not None:
            ids = self._of[fid]
            ids.discard(run_id)
            if not ids:
                del self._of[fid]

    def _waits(self, run: Run) -> bool:
        return run.state == SETTLING and self._waiting.get(run.id) == (run.fid, run.merged)

    def came(self, turn: Turn, outcomes: Sequence[ResultOutcome]) -> None:
        """Make runs due whose facts have come just now; forget those that have ended meanwhile."""
        fids = {each.row.fid for each in outcomes if each.extractor == STAT and each.row.fid in self._of}
        if not fids:
            return
        found = turn.transaction.open_runs(fids)
        waiting = set[str]().union(*(self._of[fid] for fid in fids))
        for run_id in waiting - {run.id for run in found}:
            self._forget(run_id)
        runs = [run for run in found if self._waits(run)]
        put_runs(turn, runs, [run_transitions.later(run, min(run.due_ns, turn.now_ns)) for run in runs])
