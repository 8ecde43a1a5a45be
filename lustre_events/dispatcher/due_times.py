"""Runs that are due later than a right clock can have said are made due again.

No retry, lease or look at a job is later than a few hours from now. What is due later was written while the clock
was ahead, and would wait until that time has come.
"""

from __future__ import annotations

from lustre_events.actions import run_transitions
from lustre_events.dispatcher.action_runs import AT_ONCE, ActionRuns
from lustre_events.dispatcher.run_writing import put_runs
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.action_run import SENT, SETTLING, WAITING, RunsWanted
from lustre_events.domain.retries import LONGEST_WAIT_NS
from lustre_events.domain.times import SECOND_NS

LOOK_NS = 60 * SECOND_NS
LATEST_NS = LONGEST_WAIT_NS + 24 * 3_600 * SECOND_NS
"""No run that has settled is due later than this, but by the lease of its own endpoint."""


class DueTimes:
    """Looks after the times at which runs are due, in the caller's transaction, once a minute."""

    def __init__(self, runs: ActionRuns) -> None:
        """Take `runs`, which knows the rules."""
        self._runs = runs
        self._looked_ns = 0

    def look(self, turn: Turn) -> None:
        """Make what is due too late due now, if it is time to look."""
        if 0 <= turn.now_ns - self._looked_ns < LOOK_NS:
            return
        self._looked_ns = turn.now_ns
        for state in (SETTLING, WAITING, SENT):
            for name in turn.transaction.rules_with_runs(state):
                latest_ns = turn.now_ns + LATEST_NS + (self._rest_ns(name) if state == SETTLING else 0)
                self._correct(turn, RunsWanted(rule=name, states=(state,)), latest_ns)

    def _correct(self, turn: Turn, wanted: RunsWanted, latest_ns: int) -> None:
        (last,) = turn.transaction.find_runs(wanted, 1) or (None,)  # the one that is due last
        if last is None or last.due_ns <= latest_ns:
            return
        late = [
            run
            for run in turn.transaction.find_runs(wanted, AT_ONCE)
            if run.due_ns > max(latest_ns, self._runs.lease_ends_ns(run, turn.now_ns))
        ]
        if not late:
            return
        put_runs(turn, late, [run_transitions.later(run, turn.now_ns) for run in late])
        self._looked_ns = 0  # there may be more

    def _rest_ns(self, name: str) -> int:
        """Return how long an object must rest for a rule."""
        rule = self._runs.rules.by_name.get(name)
        if rule is None:
            return 0
        return max(rule.settle_ns or 0, rule.complete.quiet_ns if rule.complete is not None else 0)
