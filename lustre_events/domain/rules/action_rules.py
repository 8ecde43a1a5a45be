"""Rules of actions: if this happens to a file or directory, then that is done. action_file.py reads them.

All rules that hold count, in no order: each one is a subscription of its own. They share their conditions with the
rules of extractors (conditions.py). A rule is asked twice: when something happens, by what is known then
(`may_hold`: what is not known yet might hold), and when the object has settled and its facts are known (`holds`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lustre_events.domain.rules import batch_scripts, transfers
from lustre_events.domain.rules.complete import REPORT, Complete
from lustre_events.domain.rules.conditions import Condition, File
from lustre_events.domain.rules.grants import EVERYBODY, MOST_BODY, Author
from lustre_events.domain.rules.prefilter import NameFilter, Prefilter

USERS = "/users"
"""The name of what stands for the rules of all users until it is known whose file it is; no rule is named so."""


def user_of(name: str) -> str:
    """Return the user whose rule has this name; empty: it is none of a user's."""
    return name.partition("/")[0] if "/" in name else ""


MOST_NAMED = 200
"""Most rules that metrics name."""


def metric_names(names: Iterable[str]) -> dict[str, str]:
    """Return under which name metrics have each rule: however many there are, these are few.

    The site's rules have their own up to MOST_NAMED, the others are `(others)`, and those of users are `(users)`:
    users choose their names, and there may be thousands.
    """
    known = list(names)
    site = sorted(name for name in known if not user_of(name))
    kept = set(site[:MOST_NAMED])
    return {name: name if name in kept else "(users)" if user_of(name) else "(others)" for name in known}


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
        author: the user whose rule it is; None: the site's.
        audience: names of users who must be allowed to see what is sent; the site's rules only.
        digest: of all that it says.
        outputs: where what a container made is put, from the file's directory on; empty: it runs none.
        own: whether it also fires for what such runs have put into the file system.
        complete: when a directory is complete, for a rule on that; `late`: what is done about what comes later.
        after: the name of the rule whose run must have succeeded; empty: it follows none (chains.py).
        of_directories: whether its chain begins with a directory that is complete.
        search: the name of the saved search whose subscription it is; empty: it is none.
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
    author: Author | None
    audience: tuple[str, ...]
    digest: str
    outputs: str = ""
    own: bool = False
    complete: Complete | None = None
    late: str = REPORT
    after: str = ""
    of_directories: bool = False
    search: str = ""

    @property
    def most_body(self) -> int:
        """Most bytes of what is sent."""
        return MOST_BODY if self.author is None else self.author.allowance.body_bytes

    @property
    def is_about_directories(self) -> bool:
        """Whether it is about directories that are complete, by itself or by what its chain begins with."""
        return self.complete is not None or self.of_directories

    @property
    def submits(self) -> bool:
        """Whether it submits jobs, which go on when they are submitted."""
        return bool(batch_scripts.script_of(self.endpoint))

    @property
    def works_alone(self) -> bool:
        """Whether only one of its runs works on a file: two would publish there, or copy it twice."""
        return bool(self.outputs) or self.submits or bool(transfers.target_of(self.endpoint))

    @property
    def viewers(self) -> tuple[str, ...]:
        """Users, by name or number, who must be allowed to see what is sent; nobody: it is not asked."""
        return self.audience if self.author is None else (str(self.author.uid),)

    def may_hold(self, file: File, type_: str | None) -> bool:
        """Whether it could hold, by what is known: of facts nothing is, and perhaps not the directory."""
        return (type_ is None or type_ in self.types) and all(
            each.holds(file) or (each.needs_directory and not file.whole)
            for each in self.conditions
            if not each.kind.needs
        )

    def holds(self, file: File, type_: str | None) -> bool:
        """Whether it holds for an object of which all is known; a user's rule holds for that user's files only."""
        return (
            type_ in self.types
            and (self.author is None or file.uid == self.author.uid)
            and all(each.holds(file) for each in self.conditions)
        )

    def about(self, path: bytes) -> bytes:
        """Return the path that is asked about where something is at `path`: of a directory that of a file in it."""
        return path.rstrip(b"/") + b"/x" if self.is_about_directories else path

    def could_hold_in(self, directory: bytes) -> bool:
        """Whether its conditions on directories hold in one."""
        probe = File(directory.strip(b"/") + b"/x")
        return all(each.holds(probe) for each in self.conditions if each.is_about_directory)


def _for_users(rules: Sequence[ActionRule]) -> ActionRule:
    """Return what stands for the rules of all users until it is known whose file it is."""
    on = frozenset(trigger for rule in rules for trigger in rule.on)
    return ActionRule(
        name=USERS, on=on, types=frozenset("fd"), conditions=(), action="", endpoint="", settings={}, body=None,
        batch=1, settle_ns=None, expires_ns=0, burst=0, per_minute=0, running=0, query="", author=None, audience=(),
        digest="",
    )  # fmt: skip


def _by_what_is_before(rules: Iterable[ActionRule]) -> dict[str, list[ActionRule]]:
    """Return rules by the name of the one that they come after; empty: they come after none."""
    found: dict[str, list[ActionRule]] = {}
    for rule in rules:
        found.setdefault(rule.after, []).append(rule)
    return found


def _not_of_users(rules: Iterable[ActionRule]) -> list[ActionRule]:
    return [rule for rule in rules if rule.author is None]


@dataclass(frozen=True, slots=True)
class ActionRules:
    """All rules of actions, with a quick way from what happened to those that could hold (prefilter.py).

    `users` are users' own rules by uid. They are asked when it is known whose file it is; until then one row,
    `for_users`, stands for all of them, so that no user's rules cost others a row for each file. `paused` are users
    whose file is wrong now: what waits for them goes on waiting.
    """

    rules: tuple[ActionRule, ...] = ()
    users: Mapping[int, tuple[ActionRule, ...]] = field(default_factory=dict)
    paused: frozenset[str] = frozenset()
    triggers: frozenset[str] = field(init=False)
    """What any rule asks for."""
    by_name: Mapping[str, ActionRule] = field(init=False)
    for_users: ActionRule = field(init=False)
    viewers: frozenset[str] = field(init=False)
    """All users with whose view rules look."""
    following: Mapping[str, Sequence[ActionRule]] = field(init=False)
    """The rules that come after one, by its name."""
    _quick: Prefilter = field(init=False)
    _quick_users: Prefilter = field(init=False)
    names: NameFilter = field(init=False)
    """What names all rules together want."""

    def __post_init__(self) -> None:
        put = object.__setattr__
        own = [rule for rules in self.users.values() for rule in rules]
        put(self, "by_name", {rule.name: rule for rule in (*self.rules, *own)})
        put(self, "triggers", frozenset(trigger for rule in self.by_name.values() for trigger in rule.on))
        put(self, "viewers", frozenset(name for rule in self.by_name.values() for name in rule.viewers))
        following = _by_what_is_before(self.by_name.values())
        put(self, "following", {name: rules for name, rules in following.items() if name})
        first = following.get("", ())  # what happens starts these only
        site, users = _not_of_users(first), [rule for rule in first if rule.author is not None]
        put(self, "for_users", _for_users(users))
        put(self, "_quick", Prefilter(site))
        put(self, "_quick_users", Prefilter(users))
        put(self, "names", self._quick.names | self._quick_users.names)

    def leaving_out(self, condition: Condition) -> ActionRules:
        """Return these rules with one more condition each."""

        def narrowed(rules: Sequence[ActionRule]) -> tuple[ActionRule, ...]:
            return tuple(replace(rule, conditions=(*rule.conditions, condition)) for rule in rules)

        users = {uid: narrowed(rules) for uid, rules in self.users.items()}
        return ActionRules(narrowed(self.rules), users, self.paused)

    def __bool__(self) -> bool:
        return bool(self.by_name)

    def may_hold_in(self, directory: bytes) -> bool:
        """Whether any rule could hold for anything that happens in a directory."""
        both = [quick for quick in (self._quick, self._quick_users) if quick.rules]
        return any(quick.group(trigger, directory).rules for quick in both for trigger in self.triggers)

    def may_happen_in(self, triggers: Collection[str], directory: bytes, name: bytes) -> bool:
        """Whether any rule could hold for something of this name in a directory, if one of these happens."""
        both = (self._quick, self._quick_users)
        groups = (quick.group(trigger, directory) for quick in both for trigger in triggers)
        return any(group.rules and group.names.wanted(name) for group in groups)

    def asked(self, trigger: str, file: File, type_: str | None) -> list[ActionRule]:
        """Return the rules of the site that could hold for an object to which this happened, and `for_users`."""
        found = self._quick.group(trigger, file.directory).asked(file, type_)
        if self.users and self._quick_users.group(trigger, file.directory).any(file, type_):
            return [*found, self.for_users]
        return found

    def asked_of(self, uid: int | None, trigger: str, file: File, type_: str | None) -> list[ActionRule]:
        """Return the rules of one user that could hold for a file of that user's."""
        own = self.users.get(-1 if uid is None else uid, ())
        return [rule for rule in own if trigger in rule.on and rule.may_hold(file, type_)]

    def is_paused(self, name: str) -> bool:
        """Whether a rule that is not there is one of a user whose file is wrong now, or perhaps not read."""
        user = user_of(name)
        return bool(user) and (user in self.paused or EVERYBODY in self.paused)
