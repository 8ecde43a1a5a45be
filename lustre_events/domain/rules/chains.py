"""Chains of rules of actions: `after` names the rule whose run must have succeeded, for the same object.

[[rule]]
name = "ship"
after = "calibrate"                   # instead of `on`: it starts when a run of that rule is done
body = { outputs = "{outputs}" }      # paths of what the last container before it has made

A chain that would never begin, or that is longer than what the guards let through, is refused with its file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lustre_events.config.nearest import nearest
from lustre_events.config.tables import Location
from lustre_events.domain.rules import templates, transfers
from lustre_events.domain.rules.action_rules import ActionRule
from lustre_events.domain.rules.complete import FILES_ONLY
from lustre_events.domain.rules.containers import MOST_DEPTH
from lustre_events.domain.rules.grants import Author
from lustre_events.domain.triggers import AFTER, DIRECTORY, REMOVED

_ELSEWHERE = ("on", "types", "settle_seconds")


def check(location: Location, table: Mapping[str, Any], after: str, author: Author | None) -> frozenset[str]:
    """Return the trigger of a rule that says `after`. Raises `location.error`: it says what such a rule cannot."""
    if not after:
        raise location.at("after").refusal("must be the name of another rule of this file")
    for name in _ELSEWHERE:
        if name in table:
            raise location.at(name).refusal("is given by the rule that `after` names; remove one of the two")
    if author is None and "audience" in table and templates.asks(table.get("body"), "outputs"):
        raise location.at("body").refusal(
            "names {outputs}, and nothing checks whether `audience` may see them; use {path} instead"
        )
    return frozenset({AFTER})


def linked(origin: str, rules: Sequence[ActionRule]) -> tuple[ActionRule, ...]:
    """Return the rules of a file, each with what the beginning of its chain says of its objects.

    Raises:
        ConfigError: a rule that `after` names is not there, a chain has no beginning, or is too long, or a rule
            cannot do its work there.
    """
    by_name = {rule.name: rule for rule in rules}
    return tuple(_linked(origin, rule, by_name) if rule.after else rule for rule in rules)


def _linked(origin: str, rule: ActionRule, by_name: Mapping[str, ActionRule]) -> ActionRule:
    location = Location(origin, f"[[rule]] {_short(rule)!r}").at("after")
    before = list(_before(location, rule, by_name))
    first = before[-1]
    if REMOVED in first.on:
        raise location.refusal(f"leads to {_short(first)!r}, which is on {REMOVED!r}; nothing would be there then")
    if not _can_work_on(rule, first):
        raise location.refusal(
            f"leads to {_short(first)!r}, which is not about files alone, and {rule.action} works on files only"
        )
    asks_outputs = templates.asks(rule.body, "outputs") or templates.asks(rule.settings, "outputs")
    if asks_outputs and not any(each.outputs for each in before):
        raise location.refusal("leads to no rule of a container, and only these make what {outputs} names")
    if DIRECTORY not in first.on:
        return replace(rule, types=first.types)
    if rule.action == transfers.KIND:
        transfers.check_alone(Location(origin, location.section), rule.batch)
    for each in rule.conditions:
        if each.key in FILES_ONLY:
            raise (
                Location(origin, location.section)
                .at(each.key)
                .refusal(f"asks about a file, and the chain begins with {_short(first)!r}, on {DIRECTORY!r}")
            )
    return replace(rule, types=first.types, of_directories=True)


def _can_work_on(rule: ActionRule, first: ActionRule) -> bool:
    """Whether a rule can do its work on what its chain begins with."""
    if rule.action == transfers.KIND:
        return first.types == frozenset("f") or DIRECTORY in first.on
    return not rule.outputs or first.types == frozenset("f")


def _before(location: Location, rule: ActionRule, by_name: Mapping[str, ActionRule]) -> Iterator[ActionRule]:
    """Yield the rules before one in its chain, the nearest first."""
    seen = [rule.name]
    while rule.after:
        before = by_name.get(rule.after)
        if before is None:
            known = [_short(each) for each in by_name.values() if each.name != seen[0]]
            hint = nearest(_short_name(rule.after), known) if known else ""
            raise location.refusal(
                f"leads to {_short_name(rule.after)!r}, which is not a rule of an action in this file{hint}"
            )
        if before.name in seen:
            names = " -> ".join(repr(_short_name(name)) for name in (*seen, before.name))
            raise location.refusal(f"goes in a circle ({names}), so none of these rules would ever start")
        if len(seen) > MOST_DEPTH:
            raise location.refusal(f"is the end of a chain of more than {MOST_DEPTH} steps; make it shorter")
        seen.append(before.name)
        yield before
        rule = before


def refuse_alone(location: Location, table: Mapping[str, Any]) -> None:
    """Refuse {outputs} in a rule that follows no other. Raises `location.error`."""
    for name in ("body", "with"):
        if templates.asks(table.get(name), "outputs"):
            raise location.at(name).refusal("names {outputs}, which only a rule that says `after` knows")


def _short(rule: ActionRule) -> str:
    return _short_name(rule.name)


def _short_name(name: str) -> str:
    """Return a rule's name as its file has it."""
    return name.partition("/")[2] or name
