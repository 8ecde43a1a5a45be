"""The part of the ledger of actions that both databases share: which runs are asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from typing import ClassVar

from lustre_events.domain.action_run import STATES, Run, RunsWanted


class FindsRuns(ABC):
    """Finds runs by key, object, or state and rule: each is looked up in an index of its own."""

    mark: ClassVar[str]
    """The placeholder of a parameter."""

    def find_runs(self, wanted: RunsWanted, limit: int) -> list[Run]:
        """Return up to `limit` runs that are wanted, the newest first."""
        found = self._found(wanted, limit)
        found.sort(key=lambda run: run.made_ns, reverse=True)
        return found[:limit]

    def counts(
        self, states: Iterable[str], most: int, rules: Collection[str] | None = None
    ) -> dict[str, dict[str, int]]:
        """Return how many runs there are by rule and state.

        Of all rules about `most` are counted in each state, and of a rule that has any at least one; of `rules`,
        if they are named, `most` of each.
        """
        found: dict[str, dict[str, int]] = {}
        for state in states:
            left = most
            for rule in self.rules_with_runs(state) if rules is None else rules:
                count = self.count_runs(state, rule, max(left, 1))
                if count:
                    found.setdefault(rule, {})[state] = count
                left -= count if rules is None else 0
        return found

    def _found(self, wanted: RunsWanted, limit: int) -> list[Run]:
        mark = self.mark
        if wanted.key:  # or its beginning: g is behind all hexadecimal digits
            keys = (wanted.key, wanted.key + "g")
            return self._fitting(f"key >= {mark} AND key < {mark}", keys, wanted, limit)
        if wanted.fid is not None:
            return self._fitting(f"fid = {mark}", (wanted.fid.pack(),), wanted, limit)
        of_rule = f"state = {mark} AND rule = {mark} ORDER BY due_ns DESC"
        named = [wanted.rule] if wanted.rule else None
        places = [
            (state, rule) for state in wanted.states or STATES for rule in named or self.rules_with_runs(state)
        ]
        return [run for state, rule in places for run in self._fitting(of_rule, (state, rule), wanted, limit)]

    @abstractmethod
    def rules_with_runs(self, state: str) -> list[str]:
        """Return the rules that have runs in a state."""

    @abstractmethod
    def count_runs(self, state: str, rule: str, limit: int) -> int:
        """Return how many runs of a rule are in a state, counted up to `limit`."""

    @abstractmethod
    def _fitting(
        self, condition: str, values: tuple[str | bytes, ...], wanted: RunsWanted, limit: int
    ) -> list[Run]:
        """Return up to `limit` runs of those that meet a condition, as far as they are wanted."""
