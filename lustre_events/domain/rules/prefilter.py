"""Which of many rules of actions could hold for a name in a directory, without asking each rule about each name.

Names come first, since every record has one: all endings and globs of the rules together are one look. Then comes
the directory: rules that name its first part, and those that name none, are asked about it once, and what they say
is remembered. So what no rule wants costs the same however many rules there are.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lustre_events.domain.namespace import Link

if TYPE_CHECKING:
    from lustre_events.domain.rules.action_rules import ActionRule
    from lustre_events.domain.rules.conditions import File

MOST_CACHED = 20_000
"""Directories for which is remembered which rules could hold in them."""
_SPECIAL = frozenset("*?[")
_ANYWHERE = None
_TAIL_BYTES = 2


@dataclass(frozen=True, slots=True)
class NameFilter:
    """What names rules want, together. `every`: one of them wants any name."""

    every: bool
    endings: frozenset[bytes]
    """Each begins with a dot."""
    pattern: re.Pattern[bytes] | None
    _tail_bytes: int = field(init=False, compare=False)
    _tails: frozenset[bytes] = field(init=False, compare=False)
    """The last bytes of all names that have one of the endings, two at most."""

    def __post_init__(self) -> None:
        size = min(map(len, self.endings), default=_TAIL_BYTES)
        object.__setattr__(self, "_tail_bytes", min(size, _TAIL_BYTES))
        tails = {ending[-self._tail_bytes :] for ending in self.endings}
        object.__setattr__(self, "_tails", frozenset(each for tail in tails for each in _in_both_cases(tail)))

    def among(self, links: Iterable[Link]) -> list[Link]:
        """Return those of links whose names a rule could want."""
        if self.every:
            return list(links)
        if self.pattern is None:
            # Most names end unlike any name that is wanted: to see that takes no call.
            start, tails = -self._tail_bytes, self._tails
            links = [each for each in links if each.name[start:] in tails]
        return [each for each in links if self.wanted(each.name)]

    def __or__(self, other: NameFilter) -> NameFilter:
        """Return what these and others want."""
        patterns = {each.pattern.pattern for each in (self, other) if each.pattern is not None}
        return _filter(self.every or other.every, self.endings | other.endings, patterns)

    def wanted(self, name: bytes) -> bool:
        """Whether a rule could hold for this name."""
        if self.every or (self.pattern is not None and self.pattern.match(name) is not None):
            return True
        # One look for each dot of the name, however many endings there are.
        dot = name.find(b".") if self.endings else -1
        if dot < 0:
            return False
        name = name.lower()
        while dot >= 0:
            if name[dot:] in self.endings:
                return True
            dot = name.find(b".", dot + 1)
        return False


@dataclass(frozen=True, slots=True)
class Group:
    """The rules that could hold in a directory when one thing happens there."""

    rules: Sequence[ActionRule]
    names: NameFilter

    def asked(self, file: File, type_: str | None) -> list[ActionRule]:
        """Return the rules that could hold for an object."""
        if not self.rules or not self.names.wanted(file.name):
            return []
        return [rule for rule in self.rules if rule.may_hold(file, type_)]

    def any(self, file: File, type_: str | None) -> bool:
        """Whether any rule could hold for an object."""
        return self.names.wanted(file.name) and any(rule.may_hold(file, type_) for rule in self.rules)


@dataclass(frozen=True, slots=True)
class Prefilter:
    """All rules, by what happens, by the first part of directories, and by names."""

    rules: Sequence[ActionRule]
    names: NameFilter = field(init=False)
    _by_trigger: Mapping[str, Group] = field(init=False)
    _by_first: Mapping[str, Mapping[bytes | None, Sequence[int]]] = field(init=False)
    _groups: dict[tuple[int, ...], Group] = field(init=False, compare=False)
    _by_directory: dict[tuple[str, bytes], Group] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        by_trigger: dict[str, list[ActionRule]] = defaultdict(list)
        by_first: dict[str, dict[bytes | None, list[int]]] = defaultdict(lambda: defaultdict(list))
        for number, rule in enumerate(self.rules):
            for trigger in rule.on:
                by_trigger[trigger].append(rule)
                for first in _firsts(rule):
                    by_first[trigger][first].append(number)
        put(self, "names", _names(self.rules))
        put(self, "_by_trigger", {trigger: Group(found, _names(found)) for trigger, found in by_trigger.items()})
        put(self, "_by_first", by_first)
        put(self, "_groups", {})
        put(self, "_by_directory", {})

    def group(self, trigger: str, directory: bytes | None) -> Group:
        """Return the rules that could hold for what happens in a directory; None: nobody knows which it is."""
        if directory is None:
            return self._by_trigger.get(trigger, _NOBODY)
        directory = directory.strip(b"/")
        found = self._by_directory.get((trigger, directory))
        if found is None:
            if len(self._by_directory) >= MOST_CACHED:
                self._by_directory.clear()
            found = self._by_directory[trigger, directory] = self._look(trigger, directory)
        return found

    def _look(self, trigger: str, directory: bytes) -> Group:
        by_first = self._by_first.get(trigger, {})
        first = directory.partition(b"/")[0]
        numbers = sorted({*by_first.get(first, ()), *by_first.get(_ANYWHERE, ())})
        key = tuple(number for number in numbers if self.rules[number].could_hold_in(directory))
        if key not in self._groups:
            if len(self._groups) >= MOST_CACHED:
                self._groups.clear()
            rules = [self.rules[number] for number in key]
            self._groups[key] = Group(rules, _names(rules))
        return self._groups[key]


def _firsts(rule: ActionRule) -> set[bytes | None]:
    """Return the first parts of the directories that a rule could hold in; None: it may be any."""
    said = _said(rule, "directories")
    if not said:
        return {_ANYWHERE}
    return {_first_of(glob) for glob in said[0].written}


def _first_of(glob: str) -> bytes | None:
    first = next((part for part in glob.split("/") if part), "")
    return _ANYWHERE if _SPECIAL & set(first) else first.encode("utf-8", "surrogateescape")


def _names(rules: Sequence[ActionRule]) -> NameFilter:
    every, endings, patterns = False, set[bytes](), set()
    for rule in rules:
        extensions, globs = _said(rule, "extensions"), _said(rule, "globs")
        if extensions:
            endings |= set(extensions[0])
        elif globs:
            patterns.add(globs[0].pattern.pattern)
        else:
            every = True
    return _filter(every, frozenset(endings), patterns)


def _filter(every: bool, endings: frozenset[bytes], patterns: Collection[bytes]) -> NameFilter:
    pattern = re.compile(b"|".join(sorted(patterns)), re.DOTALL) if patterns and not every else None
    return NameFilter(every, endings, pattern)


def _in_both_cases(text: bytes) -> Iterator[bytes]:
    """Yield a text in all its ways of small and capital letters."""
    letters = ({text[at : at + 1].lower(), text[at : at + 1].upper()} for at in range(len(text)))
    return map(b"".join, itertools.product(*letters))


def _said(rule: ActionRule, key: str) -> list[Any]:
    """Return the values of a rule's conditions of one kind."""
    return list(_values(rule, key))


def _values(rule: ActionRule, key: str) -> Iterator[Any]:
    return (each.value for each in rule.conditions if each.key == key)


_NOBODY = Group((), NameFilter(every=False, endings=frozenset(), pattern=None))
