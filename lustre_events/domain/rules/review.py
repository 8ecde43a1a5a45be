"""What can be said about rules: which are never reached, and why one holds for a file or does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from lustre_events.domain.rules.action_rules import ActionRule
from lustre_events.domain.rules.conditions import Condition, File
from lustre_events.domain.rules.rules import Rule, Rules
from lustre_events.jobs.messages import STAT


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule says about a file. `chosen`: the file gets the rule's extractor; else `why` says why not."""

    rule: Rule
    conditions: tuple[tuple[Condition, bool, str], ...]
    """Each with whether the file meets it, and what the file has."""
    chosen: bool
    why: str


@dataclass(frozen=True, slots=True)
class ActionVerdict:
    """What a rule of an action says about a file: whether it holds, and of each condition whether that is met.

    `waits_for`: the nearest rule before it in its chain that does not hold, so that it never has its turn.
    """

    rule: ActionRule
    conditions: tuple[tuple[Condition, bool, str], ...]
    holds: bool
    waits_for: str = ""


def explain_actions(rules: Rules, file: File, type_: str) -> list[ActionVerdict]:
    """Return what each rule of an action says about a file or directory, in their order."""
    asked = [*rules.actions.rules, *_own(rules, file)]
    found = {rule.name: _verdict(rule, file, type_) for rule in asked}
    return [_in_chain(verdict, found) for verdict in found.values()]


def _in_chain(verdict: ActionVerdict, found: Mapping[str, ActionVerdict]) -> ActionVerdict:
    """Return what a rule says, now that the rules before it have been asked, too."""
    before = found.get(verdict.rule.after)
    while before is not None:
        if not before.holds:
            return replace(verdict, holds=False, waits_for=before.rule.name)
        before = found.get(before.rule.after)
    return verdict


def _verdict(rule: ActionRule, file: File, type_: str) -> ActionVerdict:
    if rule.complete is not None or rule.of_directories:  # it is about a directory: this one, or the file's
        path = rule.about(file.path) if type_ == "d" else file.path
        file, type_ = msgspec.structs.replace(file, path=path), "d"
    conditions = tuple((each, each.holds(file), each.kind.says(file)) for each in rule.conditions)
    return ActionVerdict(rule, conditions, rule.holds(file, type_))


def _own(rules: Rules, file: File) -> Sequence[ActionRule]:
    """Return the rules of the file's owner; where nobody is known to own it, those of every user."""
    if file.uid is None:
        return [rule for own in rules.actions.users.values() for rule in own]
    return rules.actions.users.get(file.uid, ())


def unreachable(rules: Rules) -> list[str]:
    """Return a sentence for each rule that no file can ever reach, in their order."""
    found = []
    for one in (rules.rules, *rules.users.values()):
        for place, rule in enumerate(one):
            sentences = (_shadow(earlier, rule) for earlier in one[:place])
            found += [sentence for sentence in sentences if sentence][:1]
    return found


def _shadow(earlier: Rule, rule: Rule) -> str:
    """Return why `rule` is never reached behind `earlier`; empty: it can be."""
    name, before = repr(rule.work.rule), repr(earlier.work.rule)
    same = earlier.work.extractor == rule.work.extractor
    if same and rule.work.extractor == STAT:
        return f"rule {name}: of the rules for {STAT} only the first counts, which is {before}; remove one"
    if not _covers(earlier, rule) or not (earlier.last or same):
        return ""
    if same and _covers(rule, earlier):
        return f"rule {name}: it has the conditions and the extractor of {before}, which comes first; remove one"
    reason = (
        "stops the search for rules there" if earlier.last else f"has the same extractor ({rule.work.extractor})"
    )
    return (
        f"rule {name}: {before} comes first, holds for every file that it could hold for, and {reason}; "
        "put it before, or remove it"
    )


def _covers(wide: Rule, narrow: Rule) -> bool:
    """Whether `wide` surely holds for every file that `narrow` holds for."""
    return all(any(each.covers(other) for other in narrow.conditions) for each in wide.conditions)


def explain(rules: Rules, file: File) -> list[Verdict]:
    """Return what each rule says about a regular file, in their order; chosen are those of `Rules.match`."""
    verdicts: list[Verdict] = []
    for one in rules.lists(file.uid):
        end = ""
        for rule in one:
            conditions = tuple((each, each.holds(file), each.kind.says(file)) for each in rule.conditions)
            holds = all(met for _, met, _ in conditions)
            why = end if holds else "not all of its conditions are met"
            verdicts.append(Verdict(rule, conditions, not (why or (why := _given(rule, verdicts))), why))
            if holds and rule.last and not end:
                end = f"rule {rule.work.rule!r} holds, and no later rule is asked"
    return verdicts


def _given(rule: Rule, verdicts: Sequence[Verdict]) -> str:
    """Return why a rule that holds gives nothing: an earlier one has given the same extractor."""
    for earlier in verdicts:
        if earlier.chosen and earlier.rule.work.extractor == rule.work.extractor:
            return f"rule {earlier.rule.work.rule!r} gives it {rule.work.extractor} already"
    return ""
