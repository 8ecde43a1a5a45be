"""How each rule of an action does: how many of its runs were done just now, how long they took, and its last error.

In memory, since the dispatcher began; the ledger has the runs themselves.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lustre_events.actions.guards import Window
from lustre_events.domain.action_run import DEAD, DONE, HELD, SETTLING, Run
from lustre_events.domain.rules.action_rules import metric_names
from lustre_events.domain.rules.file_workers import tells_author
from lustre_events.domain.times import SECOND_NS

KEPT = 500
"""Times of one rule: its last runs that are done."""
MOST_RULES = 10_000
NOT_TOLD = "its endpoint did not take what was sent"


@dataclass(slots=True)
class _Rule:
    """What is known of one rule. `ours`: its last error is no endpoint's own words; `is_new`: of `took_ns`."""

    total: int = 0
    done: Window = field(default_factory=Window)
    took_ns: deque[int] = field(default_factory=lambda: deque(maxlen=KEPT))
    is_new: bool = False
    _p99: float | None = None
    error: str = ""
    error_ns: int = 0
    status: int = 0
    ours: bool = True

    @property
    def p99(self) -> float | None:
        """Within how many seconds 99 of 100 runs were done; None: none was."""
        if self.is_new:
            took = sorted(self.took_ns)
            self._p99, self.is_new = took[min(len(took) - 1, len(took) * 99 // 100)] / SECOND_NS, False
        return self._p99


class RuleFigures:
    """Takes note of what becomes of runs, by rule."""

    def __init__(self) -> None:
        self._rules: dict[str, _Rule] = {}

    def note(self, runs: Iterable[Run | None], now_ns: int) -> None:
        """Take note of what has become of runs just now."""
        for run in runs:
            if run is None or run.state == SETTLING or not (run.error or run.state == DONE):
                continue
            known = self._of(run.rule)
            if run.state == DONE:
                known.total += 1
                known.done.add(1, now_ns)
                known.took_ns.append(max(0, run.ended_ns - run.ready_ns))
                known.is_new = True
            else:
                self._failed(known, run, now_ns)

    def knows_error(self, rule: str) -> bool:
        """Whether an error of a rule is known."""
        return rule in self._rules and bool(self._rules[rule].error)

    def learn(self, run: Run) -> None:
        """Take the error of a run that the ledger has, since nothing is known of before this process began."""
        if run.error:
            self._failed(self._of(run.rule), run, run.ended_ns or run.failed_ns or run.made_ns)

    def told(self, rule: str, now_ns: int, *, own: bool) -> dict[str, Any]:
        """Return what is told of a rule; `own`: to its user, who is not told an endpoint's words."""
        known = self._rules.get(rule, _Rule())
        hidden = own and known.error and not known.ours
        status = f" ({known.status})" if known.status else ""
        return {
            "per_minute": known.done.count(now_ns),
            "p99_seconds": known.p99,
            "last_error_ns": known.error_ns,
            "last_error": f"{NOT_TOLD}{status}" if hidden else known.error,
        }

    def published(self) -> dict[str, dict[str, Any]]:
        """Return how rules do for metrics, by `metric_names`: of several the sum, the slowest, the last error."""
        names, groups = metric_names(self._rules), defaultdict(list)
        for name, known in self._rules.items():
            groups[names[name]].append(known)
        return {
            name: {
                "done": sum(each.total for each in found),
                "p99_seconds": max((each.p99 for each in found if each.p99 is not None), default=None),
                "last_error_ns": max(each.error_ns for each in found),
            }
            for name, found in groups.items()
        }

    def _of(self, rule: str) -> _Rule:
        if rule not in self._rules and len(self._rules) >= MOST_RULES:
            del self._rules[next(iter(self._rules))]
        return self._rules.setdefault(rule, _Rule())

    @staticmethod
    def _failed(known: _Rule, run: Run, time_ns: int) -> None:
        known.error, known.error_ns, known.status = run.error, time_ns, run.status
        known.ours = (
            tells_author(run.rule, run.endpoint) or run.state == HELD or (run.state == DEAD and not run.attempts)
        )
