"""What the dispatcher reports about actions: runs by rule and state, what is held, whether a courier is running.

Runs are counted every few seconds, and when somebody asks, up to a bound, from the keys of one database index:
between two transactions, so that no lock is held.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec

from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.action_run import DEAD, HELD, SENT, SETTLING, WAITING, Hold
from lustre_events.domain.times import SECOND_NS

COUNTED = (SETTLING, WAITING, SENT, HELD, DEAD)
COUNT_NS = 5 * SECOND_NS
MOST_COUNTED = 10_000
"""The most runs that are counted per state; each rule that has any has at least one."""
MOST_TOLD = 100_000
"""The most runs that are counted per state and rule, for who asks about rules."""
TOLD_NS = 2 * SECOND_NS
"""How long a count is told again: asking more often costs nothing."""
LOOK_NS = SECOND_NS
SILENT_NS = 15 * SECOND_NS
"""A running courier takes what there is well within this time: it sends in other threads."""


Counts = Mapping[str, Mapping[str, int]]
"""Runs by rule and state."""
CountRuns = Callable[[Collection[str], int, Collection[str] | None], Counts]
"""As `IndexWriter.count_runs`."""


class CourierWatch:
    """Knows whether a courier takes deliveries, by how many wait in Redis."""

    def __init__(self) -> None:
        self.waiting = 0
        self._looked_ns = 0
        self._since_ns = 0
        self._now_ns = 0

    def is_time(self, now_ns: int) -> bool:
        """Whether it is time to look again; in each step while nobody takes any."""
        self._now_ns = now_ns
        return bool(self.silent_ns) or not 0 <= now_ns - self._looked_ns < LOOK_NS

    def look(self, waiting: int) -> None:
        """Learn how many deliveries wait; fewer than before, or none, means that a courier takes them."""
        if not waiting or waiting < self.waiting or not self.waiting:
            self._since_ns = self._now_ns
        self.waiting, self._looked_ns = waiting, self._now_ns

    @property
    def silent_ns(self) -> int:
        """For how long deliveries have waited without a courier that takes any; 0: one does."""
        waited = self._now_ns - self._since_ns
        return waited if self.waiting and waited >= SILENT_NS else 0


class ActionFacts:
    """Counts runs at intervals, and for who asks; reports on actions as JSON."""

    def __init__(self, count: CountRuns) -> None:
        self._count = count
        self._counted_ns = 0
        self._looked_ns = 0
        self._runs: Counts = {}
        self._told: dict[str, tuple[int, Mapping[str, int]]] = {}
        self._oldest_ns = 0
        self._holds: list[Hold] = []

    def look(self, now_ns: int, asked: Collection[str]) -> None:
        """Count runs, if it is time, and those of the rules about which somebody asks. Raises IndexUnavailable."""
        self._told = {name: known for name, known in self._told.items() if 0 <= now_ns - known[0] < TOLD_NS}
        stale = sorted(set(asked) - self._told.keys())
        if stale:
            found = self._count(COUNTED, MOST_TOLD, stale)
            self._told |= {name: (now_ns, found.get(name, {})) for name in stale}
        if not 0 <= now_ns - self._counted_ns < COUNT_NS:
            self._counted_ns = now_ns
            self._runs = self._count(COUNTED, MOST_COUNTED, None)

    def told(self, rule: str) -> dict[str, int]:
        """Return how many runs a rule has in each state, for who asks."""
        known = self._told.get(rule, (0, {}))[1]
        return {state: known.get(state, 0) for state in COUNTED}

    def see(self, turn: Turn) -> None:
        """Look at what is due and what is held, if it is time."""
        if 0 <= turn.now_ns - self._looked_ns < COUNT_NS:
            return
        self._looked_ns = turn.now_ns
        due = (
            run.due_ns
            for rule in turn.transaction.rules_with_runs(WAITING)
            for run in turn.transaction.due_runs(WAITING, rule, turn.now_ns, 1)
        )
        self._oldest_ns = min(due, default=0)
        self._holds = turn.transaction.holds()

    def published(self, watch: CourierWatch, failing: Iterable[str], rules: Mapping[str, Any]) -> str:
        """Return the report; `failing` are endpoints that are tried once a minute, `rules` how each rule does."""
        told: dict[str, Any] = {
            "runs": self._runs, "oldest_due_ns": self._oldest_ns, "held": self._holds, "failing": sorted(failing),
            "deliveries_waiting": watch.waiting, "courier_silent_seconds": watch.silent_ns / SECOND_NS,
            "rules": rules,
        }  # fmt: skip
        return msgspec.json.encode(told).decode()
