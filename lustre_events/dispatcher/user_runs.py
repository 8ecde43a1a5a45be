"""Users' own rules of actions: runs of them, once it is known whose file it is.

Whose a file is, is not known when a record tells of it. So one row stands for the rules of all users together, and
here it becomes runs of its owner's rules. Another user's rules are never asked about it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lustre_events.actions import run_transitions
from lustre_events.changelog.fid import FID
from lustre_events.dispatcher.turn import Turn
from lustre_events.dispatcher.viewers import UserView, Viewers
from lustre_events.domain.action_run import Run, Seen
from lustre_events.domain.rules.action_rules import ActionRule, ActionRules
from lustre_events.domain.rules.conditions import File
from lustre_events.domain.times import SECOND_NS
from lustre_events.domain.triggers import CONTENT, REMOVED, RENAMED
from lustre_events.index.interface import Facts, ObjectRow

NAMED = "named"
"""A file has got a name for which a rule on content holds now, and held under none of `before.paths`."""
FACTS_WAIT_NS = SECOND_NS // 4
MOST_FACTS_WAIT_NS = 600 * SECOND_NS
"""How long a run waits for facts that rules do not need; then it is sent without them."""


@dataclass(frozen=True, slots=True)
class OwnEvent:
    """What happened to a user's file, for a rule of that user. `once`: only if it has not fired for this content.

    `before`: what the run keeps of what was before; old names only if that user saw them.
    """

    rule: ActionRule
    trigger: str
    run: Run
    before: Seen | None
    once: bool


@dataclass(frozen=True, slots=True)
class _Known:
    """What the index knows of objects."""

    rows: Mapping[FID, ObjectRow]
    facts: Mapping[FID, tuple[int, Facts]]
    paths: Mapping[FID, Sequence[bytes]]


def is_patient(turn: Turn, run: Run) -> bool:
    """Whether a run goes on waiting for what is not known yet; what is held anyway has time."""
    return bool(run.hold) or turn.now_ns - run.made_ns < MOST_FACTS_WAIT_NS


def owners_view(
    turn: Turn, rules: ActionRules, viewers: Viewers, facts: Mapping[FID, tuple[int, Facts]], fids: Iterable[FID]
) -> dict[FID, Seen]:
    """Return of objects that lose a name now, and whose owners have rules, what their owners see of them."""
    found: dict[FID, Seen] = {}
    sights: dict[int, UserView] = {}
    for fid in fids:
        known = facts[fid][1] if fid in facts else None
        if known is None or known.uid not in rules.users:
            continue
        viewer = viewers.of([str(known.uid)])
        if viewer is None:
            continue
        sight = sights.setdefault(known.uid, UserView(turn.transaction, viewer[0]))
        mime = known.mime if sight.reads(fid) else None
        found[fid] = Seen(
            paths=tuple(sight.paths(fid)), type=known.type, uid=known.uid, gid=known.gid, size=known.size,
            mtime_ns=known.mtime_ns, mode=known.mode, mime=mime,
        )  # fmt: skip
    return found


def events_of(turn: Turn, rules: ActionRules, runs: Sequence[Run]) -> tuple[list[OwnEvent], list[Run | None]]:
    """Return what happened for users' own rules, and what becomes of the rows that stood for all of them."""
    fids = {run.fid for run in runs}
    look = turn.transaction
    known = _Known(look.objects(fids), look.facts(fids), look.paths(fids))
    events: list[OwnEvent] = []
    after: list[Run | None] = []
    for run in runs:
        row, (generation, facts) = known.rows.get(run.fid), known.facts.get(run.fid, (0, None))
        behind = row is not None and (facts is None or generation < row.generation)
        if run.trigger != REMOVED and behind and is_patient(turn, run):
            after.append(run_transitions.later(run, turn.now_ns + FACTS_WAIT_NS))
            continue
        after.append(None)
        events += _events(rules, run, facts, known.paths.get(run.fid, ()))
    return events, after


def _events(rules: ActionRules, run: Run, facts: Facts | None, paths: Sequence[bytes]) -> list[OwnEvent]:
    before = run.before or Seen()
    if run.trigger == REMOVED:
        asked = _asked(rules, REMOVED, before.uid, before.type, before.paths)
        return [OwnEvent(rule, REMOVED, run, before, once=False) for rule in asked]
    if facts is None:
        return []
    if run.trigger == NAMED:
        asked = _asked(rules, CONTENT, facts.uid, facts.type, paths)
        new = [rule for rule in asked if _begins_to_hold(rule, before.paths, facts.type)]
        return [OwnEvent(rule, CONTENT, run, None, once=True) for rule in new]
    kept = Seen() if run.trigger == RENAMED and before.uid != facts.uid else run.before
    asked = _asked(rules, run.trigger, facts.uid, facts.type, paths)
    return [OwnEvent(rule, run.trigger, run, kept, once=False) for rule in asked]


def _asked(
    rules: ActionRules, trigger: str, uid: int | None, type_: str | None, paths: Iterable[bytes]
) -> list[ActionRule]:
    """Return the owner's rules that could hold for an object under one of its names."""
    found = {rule.name: rule for path in paths for rule in rules.asked_of(uid, trigger, File(path), type_)}
    return list(found.values())


def _begins_to_hold(rule: ActionRule, old: Collection[bytes], type_: str | None) -> bool:
    return not any(rule.may_hold(File(path), type_) for path in old)
