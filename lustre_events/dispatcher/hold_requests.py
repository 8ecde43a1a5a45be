"""Requests about rules of actions and endpoints: list their open runs, hold them, release them.

The site's people may ask it of all. A user is told of rules of that user's own, and releases one that a guard holds
(requests of their own, so that nobody asks for the site by leaving out a name); what the site holds stays held.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from lustre_events.config.nearest import nearest
from lustre_events.dispatcher.action_facts import ActionFacts
from lustre_events.dispatcher.action_runs import ActionRuns
from lustre_events.dispatcher.action_triggers import ActionTriggers
from lustre_events.dispatcher.run_requests import LISTED
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.action_run import BY_BURST, BY_ENDPOINT, BY_QUERY, DEAD, HELD, Hold, RunsWanted
from lustre_events.domain.rules.action_rules import ActionRule
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import ConfigError
from lustre_events.jobs.requests import Request, arguments_as

SLOW_NS = 300 * SECOND_NS
"""How long before a user's query that took too long is run again, since it stops all other work meanwhile."""


class _Named(msgspec.Struct):
    """A rule of an action, or an endpoint."""

    name: str
    kind: str | None = ""
    why: str | None = ""


class _User(msgspec.Struct):
    """Who asks."""

    user: str
    uid: int

    def owns(self, rule: ActionRule) -> bool:
        """Whether a rule is this user's own; whoever had the name before had another uid."""
        return rule.author is not None and (rule.author.name, rule.author.uid) == (self.user, self.uid)


class _OwnRule(_User):
    """A rule of the user who asks."""

    name: str


class HoldRequests:
    """Carries these requests out."""

    def __init__(self, runs: ActionRuns, triggers: ActionTriggers, facts: ActionFacts) -> None:
        self._runs = runs
        self._triggers = triggers
        self._facts = facts

    def handlers(self) -> dict[str, Any]:
        """Return what carries requests out, by their names."""
        return {
            "actions": self._tell, "hold_action": self._hold, "release_action": self._release,
            "own_rules": self._tell_own, "release_own_rule": self._release_own,
        }  # fmt: skip

    def asked(self, requests: Iterable[Request]) -> set[str]:
        """Return the rules of which requests ask how many runs there are."""
        found: set[str] = set()
        for request in requests:
            if request.action == "actions":
                found |= {rule.name for rule in self._listed()}
            elif request.action == "own_rules":
                with contextlib.suppress(ConfigError):  # then the answer says what is wrong
                    own = self._own(arguments_as(_User, request.arguments))
                    found |= {rule.name for rule in own[:LISTED]}
        return found

    def _listed(self) -> list[ActionRule]:
        return [*self._runs.rules.by_name.values()][:LISTED]

    def _tell(self, turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        held = turn.transaction.holds()
        endpoints = [
            {
                "endpoint": name, "kind": each.kind, "where": each.where, "held": _why(held, "endpoint", name),
                "probed": self._runs.guards.tripped(name),
            }
            for name, each in sorted(self._runs.endpoints.items())
        ]  # fmt: skip
        return {
            "rules": [self._rule(turn, rule, held, own=False) for rule in self._listed()],
            "endpoints": endpoints,
        }

    def _tell_own(self, turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Any]:
        held, own = turn.transaction.holds(), self._own(arguments_as(_User, arguments))
        return {"rules": [self._rule(turn, rule, held, own=True) for rule in own[:LISTED]], "endpoints": []}

    def _rule(self, turn: Turn, rule: ActionRule, held: Sequence[Hold], *, own: bool) -> dict[str, Any]:
        hold = _hold_of(held, "rule", rule.name)
        counts = self._facts.told(rule.name)
        figures = self._runs.figures
        failed = [state for state in (DEAD, HELD) if counts[state]]
        if failed and not figures.knows_error(rule.name):
            for run in turn.transaction.find_runs(RunsWanted(rule=rule.name, states=tuple(failed)), 1):
                figures.learn(run)
        return {
            "rule": rule.name, "on": sorted(rule.on), "action": rule.action, "endpoint": rule.endpoint,
            "since_ns": self._triggers.floor_ns.get(rule.name, 0), "runs": counts,
            "held": "" if hold is None else _why_for_users(hold) if own else hold.why,
            "may_release": hold is not None and (bool(hold.guard) or not own),
            **figures.told(rule.name, turn.now_ns, own=own),
        }  # fmt: skip

    def _hold(self, turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Any]:
        asked = arguments_as(_Named, arguments)
        kind, name = self._named(asked)
        turn.transaction.put_hold(Hold(kind, name, asked.why or "somebody holds it", turn.now_ns))
        return {"kind": kind}

    def _release(self, turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Any]:
        kind, name = self._named(arguments_as(_Named, arguments))
        return self._released(turn, kind, name)

    def _release_own(self, turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Any]:
        asked = arguments_as(_OwnRule, arguments)
        own = [rule.name for rule in self._own(asked)]
        if asked.name not in own:
            near = nearest(asked.name, own or ("none",))
            raise ConfigError(f"you have no rule of an action that is named {asked.name!r}{near}")
        hold = _hold_of(turn.transaction.holds(), "rule", asked.name)
        if hold is not None and not hold.guard:
            raise ConfigError(f"the site holds rule {asked.name!r}; ask its admins to release it")
        if hold is not None and hold.guard == BY_QUERY and (left_ns := hold.since_ns + SLOW_NS - turn.now_ns) > 0:
            raise ConfigError(
                f"the query of rule {asked.name!r} took too long just now; correct it, and release the rule in"
                f" {-(-left_ns // SECOND_NS)} s"
            )
        return self._released(turn, "rule", asked.name)

    def _released(self, turn: Turn, kind: str, name: str) -> dict[str, Any]:
        released = turn.transaction.remove_hold(kind, name)
        self._runs.guards.forgive(name)
        return {"kind": kind, "released": released}

    def _own(self, asked: _User) -> list[ActionRule]:
        return [rule for rule in self._runs.rules.by_name.values() if asked.owns(rule)]

    def _named(self, asked: _Named) -> tuple[str, str]:
        name, rules = asked.name, self._runs.rules.by_name
        if asked.kind != "endpoint" and name in rules:
            return "rule", name
        if name in self._runs.endpoints:
            return "endpoint", name
        known = (*rules, *self._runs.endpoints)
        raise ConfigError(
            f"no rule of an action and no endpoint is named {name!r}{nearest(name, known or ('none',))}"
        )


def _hold_of(held: Sequence[Hold], kind: str, name: str) -> Hold | None:
    return next((each for each in held if each.kind == kind and each.name == name), None)


def _why(held: Sequence[Hold], kind: str, name: str) -> str:
    hold = _hold_of(held, kind, name)
    return "" if hold is None else hold.why


def _why_for_users(hold: Hold) -> str:
    """Return why a user's own rule is held: not what an endpoint answered, nor what the site noted for itself."""
    if hold.guard in {BY_BURST, BY_QUERY}:
        return hold.why
    return "its endpoint refuses what it sends" if hold.guard == BY_ENDPOINT else "the site holds it"
