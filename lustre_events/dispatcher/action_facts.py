"""What the dispatcher reports about actions: runs by rule and state, what is held, whether a courier is running.

Runs are counted every few seconds, up to a bound, from the keys of one database index: the write lock is held for
a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.action_run import DEAD, HELD, SENT, SETTLING, WAITING, Hold
from lustre_events.domain.pending import SECOND_NS

COUNTED = (SETTLING, WAITING, SENT, HELD, DEAD)
COUNT_NS = 5 * SECOND_NS
MOST_COUNTED = 10_000
"""The most runs that are counted per state; each rule that has any has at least one."""
LOOK_NS = SECOND_NS
SILENT_NS = 15 * SECOND_NS
"""A running courier takes what there is well within this time: it sends in other threads."""


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
    """Counts runs in the caller's transaction, at intervals, and reports on actions as JSON."""

    def __init__(self) -> None:
        self._counted_ns = 0
        self._runs: dict[str, dict[str, int]] = {}
        self._oldest_ns = 0
        self._holds: list[Hold] = []

    def count(self, turn: Turn) -> None:
        """Count runs and look at what is held, if it is time."""
        if 0 <= turn.now_ns - self._counted_ns < COUNT_NS:
            return
        self._counted_ns = turn.now_ns
        self._runs = {}
        for state in COUNTED:
            left = MOST_COUNTED
            for rule in turn.transaction.rules_with_runs(state):
                found = turn.transaction.count_runs(state, rule, max(left, 1))
                self._runs.setdefault(rule, {})[state] = found
                left -= found
        due = (
            run.due_ns
            for rule in turn.transaction.rules_with_runs(WAITING)
            for run in turn.transaction.due_runs(WAITING, rule, turn.now_ns, 1)
        )
        self._oldest_ns = min(due, default=0)
        self._holds = turn.transaction.holds()

    def published(self, watch: CourierWatch, failing: Iterable[str]) -> str:
        """Return the report; `failing` are endpoints that are tried once a minute."""
        told: dict[str, Any] = {
            "runs": self._runs, "oldest_due_ns": self._oldest_ns, "held": self._holds, "failing": sorted(failing),
            "deliveries_waiting": watch.waiting, "courier_silent_seconds": watch.silent_ns / SECOND_NS,
        }  # fmt: skip
        return msgspec.json.encode(told).decode()
