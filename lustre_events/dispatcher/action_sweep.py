"""The ledger of actions stays small: runs that ended a month ago are forgotten, and those beyond a million.

Dead ones are kept until a person drops them, and what has fired lives with its object: forgetting fires nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from lustre_events.actions import run_transitions
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.times import SECOND_NS

KEPT_NS = 30 * 86_400 * SECOND_NS
MOST_KEPT = 1_000_000
"""Most runs that have ended and are kept."""
SWEEP_NS = 60 * SECOND_NS
SWEEP_RUNS = 500
"""Most runs that one write removes; while there are more, each step has one such write."""


class RunSweeper:
    """Removes runs in the caller's transaction, at intervals."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self._kept = 0
        self._swept_ns = 0

    def look(self, counters: Mapping[str, int]) -> None:
        """Learn from the counters that are committed how many runs have ended: to count them would take long."""
        self._kept = run_transitions.kept(counters)

    def sweep(self, turn: Turn) -> None:
        """Remove old runs, except dead ones, if it is time."""
        if 0 <= turn.now_ns - self._swept_ns < SWEEP_NS:
            return
        count = turn.transaction.forget_runs(turn.now_ns - KEPT_NS, SWEEP_RUNS)
        beyond = self._kept - count - self._most
        if beyond > 0:
            count += turn.transaction.forget_runs(turn.now_ns, min(beyond, SWEEP_RUNS))
        turn.counters["runs_swept"] += count
        if count < SWEEP_RUNS:
            self._swept_ns = turn.now_ns
