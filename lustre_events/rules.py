"""The rules: which extractor runs on which files, as an ordered list from a TOML file.

    match = "all"                     # or "first": stop at the first rule that holds

    [[rule]]
    name = "tables"                   # default: "rule 1", ...
    extensions = ["csv", "tar.gz"]    # of the file's name, upper or lower case
    globs = ["run-*"]                 # on the file's name
    directories = ["/proj/*/raw/**"]  # on its directory, from the mount point; ** is any number of levels
    owners = ["alice", 1000]          # user names or uids
    events = ["content", "name"]      # what happened: content, attributes, name
    extractor = "tabular"
    queue = "default"
    priority = 0                      # greater ones go first
    settle_seconds = 2.0              # default: [dispatcher] settle_seconds

A rule holds if each condition that it names holds; of a list one entry is enough. Only regular files are
asked about; the built-in `stat` needs no rule (the first one for it, whatever its conditions, sets its queue,
priority and settling). Where
several rules give the same extractor the first of them counts. Names are bytes.
"""

from __future__ import annotations

import pwd
import re
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lustre_events.config import nearest
from lustre_events.errors import ConfigError
from lustre_events.pending import SECOND_NS, Kind
from lustre_events.reach import Reach, directory_pattern, name_pattern, segments_of
from lustre_events.work import STAT

EVENTS = {"content": Kind.CONTENT, "attributes": Kind.ATTRIBUTES, "name": Kind.NAME}
CONDITIONS = ("events", "extensions", "globs", "directories", "owners")
DEFAULT_QUEUE = "default"
_QUEUE = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_MATCH = ("all", "first")


@dataclass(frozen=True, slots=True)
class Work:
    """What a rule asks for. `settle_ns` None: as set for the dispatcher."""

    extractor: str
    queue: str
    priority: int
    settle_ns: int | None
    rule: str


@dataclass(frozen=True, slots=True)
class Rule:
    """Conditions (None: not asked) and the work for files that meet them."""

    work: Work
    events: frozenset[Kind]
    extensions: tuple[bytes, ...] | None
    globs: re.Pattern[bytes] | None
    directories: re.Pattern[bytes] | None
    reach: Reach
    owners: frozenset[int] | None
    written: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """The conditions as the file has them, key by key; for people and for rule_review."""

    def holds(self, name: bytes, directory: bytes | None, owner: int | None, events: Collection[Kind]) -> bool:
        """Whether every condition is met; a directory (None) or owner that is not known meets none."""
        return (
            not self.events.isdisjoint(events)
            and (self.extensions is None or name.lower().endswith(self.extensions))
            and (self.globs is None or self.globs.match(name) is not None)
            and (self.directories is None or (directory is not None and bool(self.directories.match(directory))))
            and (self.owners is None or owner in self.owners)
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """The ordered rules of a site."""

    rules: tuple[Rule, ...] = ()
    first_only: bool = False
    needs_owner: bool = field(init=False)
    """Whether a file must not be asked about before its owner is known."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "needs_owner", any(rule.owners is not None for rule in self.rules))

    @property
    def queues(self) -> frozenset[str]:
        """All queues that rules name."""
        return frozenset(rule.work.queue for rule in self.rules)

    @property
    def extractors(self) -> frozenset[str]:
        """All extractors that rules name."""
        return frozenset(rule.work.extractor for rule in self.rules)

    def work_of(self, rule: str) -> Work | None:
        """Return the work of the rule with this name, or None if there is none any more."""
        return next((each.work for each in self.rules if each.work.rule == rule), None)

    def work_of_extractor(self, extractor: str) -> Work | None:
        """Return the work of the first rule for this extractor, or None if there is none."""
        return next((each.work for each in self.rules if each.work.extractor == extractor), None)

    @property
    def ask_for_directories(self) -> bool:
        """Whether the place of a file matters to a rule that is asked when a file gets a new name."""
        return any(rule.reach.globs and Kind.NAME in rule.events for rule in self.rules)

    def may_differ(self, before: Collection[bytes], after: Collection[bytes]) -> bool:
        """Whether files below a directory that had the paths `before` may have other work now, with `after`."""
        for rule in self.rules:
            was, is_ = rule.reach.places(before), rule.reach.places(after)
            if is_ - was or (self.first_only and was != is_):
                return True
        return False

    def match(
        self,
        path: bytes,
        *,
        whole: bool = True,
        owner: int | None = None,
        events: Collection[Kind] = (Kind.CONTENT,),
    ) -> tuple[Work, ...]:
        """Return the work for a regular file, one per extractor, in the order of the rules.

        `path` is relative to the mount point; not `whole`: only the end of it is known, so no condition on
        the directory holds.
        """
        directory, _, name = path.strip(b"/").rpartition(b"/")
        place = b"/" + directory if directory else b""
        found: dict[str, Work] = {}
        for rule in self.rules:
            if rule.holds(name, place if whole else None, owner, events):
                found.setdefault(rule.work.extractor, rule.work)
                if self.first_only:
                    break
        return tuple(found.values())


def parse(text: str, origin: str, extractors: Collection[str], uid_of: Callable[[str], int] | None = None) -> Rules:
    """Return the rules of a TOML text. `extractors` are the installed ones; `uid_of` gives a user's uid.

    The built-in `stat` is always installed.

    Raises:
        ConfigError: not TOML, or a key or value is wrong; the message names the rule, the key and the
            nearest valid one.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{origin}: not a TOML file: {exc}") from exc
    for key in table:
        if key not in ("match", "rule"):
            raise ConfigError(f"{origin}: unknown key {key}{nearest(key, ('match', 'rule'))}")
    match = table.get("match", "all")
    if match not in _MATCH:
        raise ConfigError(f"{origin}: match is {match!r}; it must be one of: {', '.join(_MATCH)}")
    entries = table.get("rule", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{origin}: rules are written as [[rule]], with double brackets")
    rules: list[Rule] = []
    for number, entry in enumerate(entries, start=1):
        rule = _rule(entry, number, origin, {*extractors, STAT}, uid_of or _uid_of)
        if any(rule.work.rule == other.work.rule for other in rules):
            raise ConfigError(f"{origin}: two rules are named {rule.work.rule!r}; give each its own name")
        rules.append(rule)
    return Rules(tuple(rules), first_only=match == "first")


_KEYS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "events": list,
    "extensions": list,
    "globs": list,
    "directories": list,
    "owners": list,
    "extractor": str,
    "queue": str,
    "priority": int,
    "settle_seconds": (int, float),
}
_KIND = {str: "a string", list: "a list", int: "a whole number", (int, float): "a number"}


def _rule(
    entry: Mapping[str, Any], number: int, origin: str, extractors: Collection[str], uid_of: Callable[[str], int]
) -> Rule:
    name = entry.get("name", f"rule {number}")
    place = f"{origin}: [[rule]] {name!r}"
    for key, value in entry.items():
        if key not in _KEYS:
            raise ConfigError(f"{place}: unknown key {key}{nearest(key, _KEYS)}")
        if not isinstance(value, _KEYS[key]) or isinstance(value, bool):
            raise ConfigError(f"{place}: {key} must be {_KIND[_KEYS[key]]}, not {value!r}")
    extractor = entry.get("extractor")
    if extractor is None:
        raise ConfigError(f"{place}: extractor is missing; installed are: {', '.join(sorted(extractors))}")
    if extractor not in extractors:
        raise ConfigError(f"{place}: unknown extractor {extractor!r}{nearest(extractor, tuple(extractors))}")
    queue = entry.get("queue", DEFAULT_QUEUE)
    if _QUEUE.match(queue) is None:
        raise ConfigError(f"{place}: {queue!r} is no name for a queue; use letters, digits, dot, - and _")
    priority = entry.get("priority", 0)
    if abs(priority) > 1_000_000:
        raise ConfigError(f"{place}: priority must lie between -1000000 and 1000000")
    settle = entry.get("settle_seconds")
    if settle is not None and not 0 <= settle <= 86_400:
        raise ConfigError(f"{place}: settle_seconds must lie between 0 and 86400 (a day)")
    extensions = _strings(place, "extensions", entry)
    globs = _strings(place, "globs", entry)
    directories = _strings(place, "directories", entry)
    return Rule(
        Work(extractor, queue, priority, None if settle is None else int(settle * SECOND_NS), name),
        _events(place, entry),
        tuple(b"." + extension.lstrip(b".").lower() for extension in extensions) or None,
        _any_of(place, [name_pattern(glob) for glob in globs]),
        _any_of(place, [directory_pattern(glob) for glob in directories]),
        Reach(tuple(map(segments_of, directories))),
        _owners(place, entry, uid_of),
        tuple((key, tuple(map(str, entry[key]))) for key in CONDITIONS if key in entry),
    )


def _strings(place: str, key: str, entry: Mapping[str, Any]) -> list[bytes]:
    """Return a list of a rule; [] only where the rule does not have it."""
    values = entry.get(key)
    if values is None:
        return []
    if not values or not all(isinstance(value, str) and value for value in values):
        raise ConfigError(f'{place}: {key} must be a list of strings, e.g. ["a", "b"]')
    return [value.encode("utf-8", "surrogateescape") for value in values]


def _events(place: str, entry: Mapping[str, Any]) -> frozenset[Kind]:
    names = entry.get("events", ["content", "name"])
    if not names:
        raise ConfigError(f"{place}: events must not be empty; known are: {', '.join(EVENTS)}")
    for name in names:
        if not isinstance(name, str) or name not in EVENTS:
            raise ConfigError(f"{place}: unknown event {name!r}{nearest(str(name), tuple(EVENTS))}")
    return frozenset(EVENTS[name] for name in names)


def _owners(place: str, entry: Mapping[str, Any], uid_of: Callable[[str], int]) -> frozenset[int] | None:
    if "owners" not in entry:
        return None
    uids = set()
    for owner in entry["owners"] or [None]:
        if isinstance(owner, str):
            try:
                uids.add(uid_of(owner))
            except KeyError as exc:
                raise ConfigError(f"{place}: no user {owner!r} on this node; write the uid instead") from exc
        elif isinstance(owner, int) and not isinstance(owner, bool) and owner >= 0:
            uids.add(owner)
        else:
            raise ConfigError(f'{place}: owners must be a list of user names or uids, e.g. ["alice", 1000]')
    return frozenset(uids)


def _uid_of(name: str) -> int:
    return pwd.getpwnam(name).pw_uid


def _any_of(place: str, patterns: Sequence[bytes]) -> re.Pattern[bytes] | None:
    if not patterns:
        return None
    try:
        return re.compile(b"(?:" + b"|".join(patterns) + rb")\Z", re.DOTALL)
    except re.error as exc:
        raise ConfigError(f"{place}: a glob cannot be understood ({exc}); look at its square brackets") from exc
