"""Rules of actions: if this happens to a file or directory, then that is done. action_file.py reads them.

All rules that hold count, in no order: each one is a subscription of its own. They share their conditions with the
rules of extractors (conditions.py). A rule is asked twice: when something happens, by what is known then
(`may_hold`: what is not known yet might hold), and when the object has settled and its facts are known (`holds`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lustre_events.domain.rules.conditions import Condition, File
from lustre_events.domain.rules.prefilter import Prefilter


@dataclass(frozen=True, slots=True)
class ActionRule:
    """One rule of an action.

    Attributes:
        name: with `USER/` in front, where it is a user's.
        on: the triggers (triggers.py).
        types: of objects: f, d.
        conditions: all of them must hold.
        action: what is done, by its kind.
        endpoint: where to.
        settings: what `with` says, as its kind has read it.
        body: the template of the body; None: what is known of the object.
        batch: most events that are sent together.
        settle_ns: how long an object must be left alone before; None: as set for the dispatcher.
        expires_ns: an event that is this old is not sent any more.
        burst: with more runs within a minute the rule is held; 0: any number.
        per_minute: most runs that are handed out in a minute; 0: any number.
        running: most runs that are out; 0: any number.
        query: documents must match it; empty: it asks none.
        uid: the user whose rule it is; None: the site's.
        digest: of all that it says.
    """

    name: str
    on: frozenset[str]
    types: frozenset[str]
    conditions: tuple[Condition, ...]
    action: str
    endpoint: str
    settings: Mapping[str, Any]
    body: Any
    batch: int
    settle_ns: int | None
    expires_ns: int
    burst: int
    per_minute: int
    running: int
    query: str
    uid: int | None
    digest: str

    def may_hold(self, file: File, type_: str | None) -> bool:
        """Whether it could hold, by what is known: of facts nothing is, and perhaps not the directory."""
        return (type_ is None or type_ in self.types) and all(
            each.holds(file) or (each.is_about_directory and not file.whole)
            for each in self.conditions
            if not each.kind.needs
        )

    def holds(self, file: File, type_: str | None) -> bool:
        """Whether it holds for an object of which all is known; a user's rule holds for that user's files only."""
        return (
            type_ in self.types
            and (self.uid is None or file.uid == self.uid)
            and all(each.holds(file) for each in self.conditions)
        )

    def could_hold_in(self, directory: bytes) -> bool:
        """Whether its conditions on directories hold in one."""
        probe = File(directory.strip(b"/") + b"/x")
        return all(each.holds(probe) for each in self.conditions if each.is_about_directory)


@dataclass(frozen=True, slots=True)
class ActionRules:
    """All rules of actions, with a quick way from what happened to those that could hold (prefilter.py)."""

    rules: tuple[ActionRule, ...] = ()
    triggers: frozenset[str] = field(init=False)
    """What any rule asks for."""
    by_name: Mapping[str, ActionRule] = field(init=False)
    _quick: Prefilter = field(init=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "triggers", frozenset(trigger for rule in self.rules for trigger in rule.on))
        put(self, "by_name", {rule.name: rule for rule in self.rules})
        put(self, "_quick", Prefilter(self.rules))

    def __bool__(self) -> bool:
        return bool(self.rules)

    @property
    def want_every_name(self) -> bool:
        """Whether a rule wants any name, so that names leave out nothing."""
        return self._quick.names.every

    def may_be_named(self, name: bytes) -> bool:
        """Whether any rule could hold for something of this name."""
        return self._quick.names.wanted(name)

    def may_happen_in(self, triggers: Iterable[str], directory: bytes, name: bytes) -> bool:
        """Whether any rule could hold for something of this name in a directory, if one of these happens."""
        groups = (self._quick.group(trigger, directory) for trigger in triggers)
        return any(group.rules and group.names.wanted(name) for group in groups)

    def asked(self, trigger: str, file: File, type_: str | None) -> list[ActionRule]:
        """Return the rules that could hold for an object to which this happened."""
        return self._quick.group(trigger, file.directory).asked(file, type_)
