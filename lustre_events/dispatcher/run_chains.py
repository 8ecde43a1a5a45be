"""Runs that come after another one: made in the transaction in which that one is done, for the same object.

So a kill leaves both or neither. The key is made of the rule and the key before it, so no success starts a rule
twice. What a user's own rules are is not known while that user's file is wrong: then one row waits, named as the
rule that was done, until they are known again.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from lustre_events.actions import run_transitions
from lustre_events.actions.superseding import supersedes
from lustre_events.dispatcher.run_writing import put_runs
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.action_run import DONE, Run, key_after
from lustre_events.domain.rules.action_rules import ActionRules
from lustre_events.domain.triggers import AFTER


def follow(turn: Turn, rules: ActionRules, runs: Iterable[Run]) -> None:
    """Make the runs that come after those of `runs` that are done."""
    fresh = [each for run in runs if run.state == DONE for each in _after(turn, rules, run)]
    for run in fresh:
        turn.counters.update(run_transitions.counted(None, run.state))
    turn.transaction.put_runs(fresh)
    _supersede(turn, fresh)


def expand(turn: Turn, rules: ActionRules, runs: Sequence[Run]) -> None:
    """Let rows that stood for rules which nobody knew become runs of these."""
    follow(turn, rules, [replace(run, key=run.parent, depth=run.depth - 1, state=DONE) for run in runs])
    put_runs(turn, runs, [None] * len(runs))


def stands_for_others(run: Run) -> bool:
    """Whether a row stands for the rules that come after its own."""
    return run.trigger == AFTER and not run.key


def _after(turn: Turn, rules: ActionRules, run: Run) -> Iterator[Run]:
    if rules.is_paused(run.rule):
        yield _made(turn, run, run.rule, "")
    for rule in rules.following.get(run.rule, ()):
        made = _made(turn, run, rule.name, key_after(rule.name, run.key))
        yield replace(made, digest=rule.digest, endpoint=rule.endpoint, action=rule.action)


def _made(turn: Turn, run: Run, rule: str, key: str) -> Run:
    return Run(
        id=uuid.uuid4().hex, key=key, rule=rule, digest="", trigger=AFTER, endpoint="", action="", fid=run.fid,
        stamp=run.stamp, event_ns=turn.now_ns, first_ns=turn.now_ns, generation=run.generation, made_ns=turn.now_ns,
        due_ns=turn.now_ns, before=run.before, jobid=run.jobid, depth=run.depth + 1, files=run.files,
        parent=run.key, because=run.began, outputs=run.outputs, made=run.made,
    )  # fmt: skip


def _supersede(turn: Turn, fresh: Sequence[Run]) -> None:
    """End runs that were not delivered, and whose rule has just got newer content of the same object."""
    newer = {(run.fid, run.rule): run for run in sorted(fresh, key=lambda run: run.stamp) if run.key}
    open_ = turn.transaction.open_runs({fid for fid, _ in newer}) if newer else ()
    old = [run for run in open_ if _ends(run, newer.get((run.fid, run.rule)))]
    put_runs(turn, old, [run_transitions.superseded(run, turn.now_ns) for run in old])


def _ends(run: Run, newer: Run | None) -> bool:
    return newer is not None and run.trigger == AFTER and run.stamp <= newer.stamp and supersedes(newer, run)
