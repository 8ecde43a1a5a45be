"""How many jobs of Slurm go on for each user's own rules, in one write: counted once, when first asked."""

from __future__ import annotations

from collections import defaultdict

from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.action_run import SENT, RunsWanted
from lustre_events.domain.rules import batch_scripts
from lustre_events.domain.rules.action_rules import ActionRule, ActionRules, user_of


class UserJobs:
    """Counts jobs in a write that ends none; `sent` tells those that it adds.

    Jobs of rules that are gone, or do something else by now, go on as well.
    """

    def __init__(self, rules: ActionRules) -> None:
        self._rules = rules
        self._names: dict[str, list[str]] | None = None
        self._counted: dict[str, int] = {}

    def left(self, turn: Turn, rule: ActionRule, most: int) -> int:
        """Return how many jobs of the author of a rule that submits some may go beside those that go on.

        Without an author, or for a rule that submits none: `most`.
        """
        author = rule.author
        if author is None or not rule.submits or most <= 0:
            return most
        allowed = author.allowance.jobs.jobs
        if author.name not in self._counted:
            self._counted[author.name] = self._count(turn, author.name, allowed)
        return min(most, max(0, allowed - self._counted[author.name]))

    def sent(self, rule: str, endpoint: str, runs: int) -> None:
        """Learn that runs of a rule have gone out."""
        user = user_of(rule)
        if user in self._counted and batch_scripts.script_of(endpoint):
            self._counted[user] += runs

    def _count(self, turn: Turn, user: str, most: int) -> int:
        """Return how many jobs a user's rules have, or may have soon, counted up to `most`."""
        if self._names is None:
            self._names = defaultdict(list)
            for name in turn.transaction.rules_with_runs(SENT):
                self._names[user_of(name)].append(name)
        count = 0
        for name in self._names.get(user, ()):
            count += self._jobs_of(turn, name, most)
            if count >= most:
                break
        return count

    def _jobs_of(self, turn: Turn, name: str, most: int) -> int:
        rule = self._rules.by_name.get(name)
        if rule is not None and rule.submits:
            return turn.transaction.count_runs(SENT, name, most)
        runs = turn.transaction.find_runs(RunsWanted(rule=name, states=(SENT,)), most)
        return sum(bool(batch_scripts.script_of(run.endpoint)) for run in runs)
