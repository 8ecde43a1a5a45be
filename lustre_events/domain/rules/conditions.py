"""The conditions of rules: of each, what may be written, whether a file meets it, and what is said about it.

KEYS is the list of them. A condition never asks for more than a `File` has; what is not known meets nothing.
"""

from __future__ import annotations

import grp
import pwd
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from lustre_events.config.nearest import nearest
from lustre_events.config.tables import Location, typed
from lustre_events.domain.record_meaning import Kind
from lustre_events.domain.rules.directories import directory_pattern, name_pattern
from lustre_events.domain.times import SECOND_NS

EVENTS = {"content": Kind.CONTENT, "attributes": Kind.ATTRIBUTES, "name": Kind.NAME}
DEFAULT_EVENTS = ("content", "name")
NOT = "not"
_NOT = "not "
EXCLUDE = "[filesystem] exclude"
MARKER = b".lustre-events-ignore"
"""A file of this name leaves out its directory."""
_EXCLUDED = f"{_NOT}{EXCLUDE}"
_MOST_AGE_SECONDS = 10_000_000_000
MOST_SHOWN = 8
"""Entries of a list that a person is shown: the shipped rules have up to ninety extensions."""
_SIZE = re.compile(r"([0-9]{1,18})([kmgtp]?)\Z", re.IGNORECASE)


class File(msgspec.Struct, frozen=True, gc=False):
    """What rules ask about a regular file; None: not known. `path` is relative to the mount point.

    Not `whole`: only the end of the path is known, so no condition on the directory holds. Times are in ns.
    """

    path: bytes
    events: Collection[Kind] = (Kind.CONTENT,)
    whole: bool = True
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    mtime_ns: int | None = None
    mime: str | None = None
    now_ns: int = 0

    @property
    def name(self) -> bytes:
        """The last part of the path."""
        return self.path.strip(b"/").rpartition(b"/")[2]

    @property
    def directory(self) -> bytes | None:
        """The directory, with a slash before it (of the root's files empty); None: it is not known."""
        if not self.whole:
            return None
        directory = self.path.strip(b"/").rpartition(b"/")[0]
        return b"/" + directory if directory else b""


@dataclass(frozen=True, slots=True)
class Globs:
    """Globs as written, and the one pattern that they make."""

    written: frozenset[str]
    pattern: re.Pattern[bytes]

    def match(self, text: bytes | None) -> bool:
        """Whether one of them matches the whole text."""
        return text is not None and self.pattern.match(text) is not None


@dataclass(frozen=True, slots=True)
class Accounts:
    """How names of users and groups become numbers; both raise KeyError."""

    uid_of: Callable[[str], int] = lambda name: pwd.getpwnam(name).pw_uid
    gid_of: Callable[[str], int] = lambda name: grp.getgrnam(name).gr_gid


@dataclass(frozen=True, slots=True)
class ConditionKind:
    """One kind of condition. `covers(wide, narrow)`: surely every file that meets `narrow` meets `wide`.

    `needs` says what must be known of a file: "" (its name), "owner", or "facts" of its present content. `knows`:
    whether a file has what is asked for; what is not known is not said to be another. `can_exclude`: `not` has it.
    """

    read: Callable[[Location, Any, Accounts], Any]
    holds: Callable[[Any, File], bool]
    says: Callable[[File], str]
    covers: Callable[[Any, Any], bool]
    needs: str = ""
    knows: Callable[[File], bool] = lambda _file: True
    can_exclude: bool = True


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a rule: its key, as it is written, and what that means.

    The key of one that `not` says begins with "not ": files that meet it are left out.
    """

    key: str
    written: tuple[str, ...]
    value: Any

    @property
    def excludes(self) -> bool:
        """Whether it leaves out what meets it."""
        return self.key.startswith(_NOT)

    @property
    def text(self) -> str:
        """It as one writes it, for a person: of many entries the first ones, and how many more there are."""
        more = len(self.written) - MOST_SHOWN
        shown = ", ".join(self.written[: MOST_SHOWN if more > 1 else None])
        return f"{self.key} {shown} and {more} more" if more > 1 else f"{self.key} {shown}"

    @property
    def kind(self) -> ConditionKind:
        """What is asked about."""
        return _EXCLUDE if self.key == _EXCLUDED else KEYS[self.key.removeprefix(_NOT)]

    @property
    def is_about_directory(self) -> bool:
        """Whether it asks about the directory alone, which perhaps is not known."""
        return self.key.removeprefix(_NOT) == "directories"

    @property
    def needs_directory(self) -> bool:
        """Whether it cannot be answered where the directory is not known."""
        return self.is_about_directory or self.key == _EXCLUDED

    def holds(self, file: File) -> bool:
        """Whether a file meets it."""
        if not self.excludes:
            return self.kind.holds(self.value, file)
        return self.kind.knows(file) and not self.kind.holds(self.value, file)

    def covers(self, other: Condition) -> bool:
        """Whether every file that meets `other` meets this one (globs are compared as written)."""
        wide, narrow = (other, self) if self.excludes else (self, other)
        return self.key == other.key and self.kind.covers(wide.value, narrow.value)


def conditions_of(location: Location, entry: Mapping[str, Any], accounts: Accounts) -> tuple[Condition, ...]:
    """Return the conditions of a [[rule]], in the order of KEYS; that on events is always there.

    Raises:
        ConfigError: a value is wrong.
    """
    given = {"events": list(DEFAULT_EVENTS), **entry}
    return (*_read(location, given, accounts), *_read(location, excluded(location, entry), accounts, excludes=True))


def excluded(location: Location, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a [[rule]] says under `not`. Raises ConfigError: it is no table, or names another condition."""
    given = entry.get(NOT, {})
    known = [name for name, kind in KEYS.items() if kind.can_exclude]
    if not isinstance(given, dict):
        raise location.at(NOT).refusal('must be a table of conditions, e.g. { globs = ["*.tmp"] }')
    for name in given:
        if name not in known:
            raise location.at(NOT).unknown(f"condition {name!r}", name, known)
    return given


def top_of(glob: str) -> str:
    """Return a glob of `[filesystem] exclude` from the root on, without what stands for all below it."""
    steps = [step for step in glob.split("/") if step]
    while steps and steps[-1] == "**":
        steps.pop()
    return "/" + "/".join(steps)


def excluding(globs: Sequence[str], *, written: bool = True) -> Condition:
    """Return the condition that leaves out what a glob matches, and all below it. Raises ConfigError."""
    location = Location("settings", "[filesystem]", "exclude")
    for glob in globs:
        if written and "[" in glob:
            # Searches leave it out, too, and their globs have none.
            raise location.refusal(f"has a glob with a square bracket, {glob!r}; write ? or *, or several globs")
    return Condition(_EXCLUDED, tuple(globs), _EXCLUDE.read(location, list(globs), Accounts()))


def _read(
    location: Location, given: Mapping[str, Any], accounts: Accounts, *, excludes: bool = False
) -> Iterator[Condition]:
    for name, kind in KEYS.items():
        if name in given:
            value = kind.read(location.at(f"{NOT}.{name}" if excludes else name), given[name], accounts)
            yield Condition(f"{_NOT}{name}" if excludes else name, _written(given[name]), value)


def size_of(text: int | str) -> int:
    """Return the bytes of 1000, "10k", "10M", "2G" (factors of 1024). Raises ValueError."""
    match = _SIZE.match(str(text))
    if match is None or isinstance(text, bool):
        raise ValueError(text)
    return int(match[1]) << 10 * (" kmgtp".index(match[2].lower()) if match[2] else 0)


def _written(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else (str(value),)


def _strings(location: Location, value: Any) -> list[bytes]:
    found = typed(tuple[str, ...], value, location)
    if not found or not all(found):
        raise location.refusal('must be a list of strings, none of them empty, e.g. ["a", "b"]')
    return [each.encode("utf-8", "surrogateescape") for each in found]


def _events(location: Location, value: Any, _accounts: Accounts) -> frozenset[Kind]:
    if not isinstance(value, list) or not value:
        raise location.refusal(f"must not be empty, and be a list; known are: {', '.join(EVENTS)}")
    for name in value:
        if not isinstance(name, str) or name not in EVENTS:
            raise location.refusal(f"has an unknown event {name!r}{nearest(str(name), EVENTS)}")
    return frozenset(EVENTS[name] for name in value)


def _extensions(location: Location, value: Any, _accounts: Accounts) -> tuple[bytes, ...]:
    return tuple(b"." + each.lstrip(b".").lower() for each in _strings(location, value))


def _globs(pattern_of: Callable[[bytes], bytes]) -> Callable[[Location, Any, Accounts], Globs]:
    def read_globs(location: Location, value: Any, _accounts: Accounts) -> Globs:
        patterns = [pattern_of(each) for each in _strings(location, value)]
        try:
            pattern = re.compile(b"(?:" + b"|".join(patterns) + rb")\Z", re.DOTALL)
        except (re.error, RecursionError, OverflowError) as exc:
            raise location.refusal(
                f"has a glob that cannot be understood ({exc}); look at its square brackets"
            ) from exc
        return Globs(frozenset(value), pattern)

    return read_globs


def _numbers(kind: str, of: Callable[[Accounts], Callable[[str], int]]) -> Callable[[Location, Any, Accounts], Any]:
    def read_numbers(location: Location, value: Any, accounts: Accounts) -> frozenset[int]:
        numbers = set()
        for each in (value if isinstance(value, list) else ()) or [None]:
            if isinstance(each, str):
                try:
                    numbers.add(of(accounts)(each))
                except KeyError as exc:
                    raise location.refusal(
                        f"has {each!r}: there is no {kind} of that name on this node; write the number instead"
                    ) from exc
            elif isinstance(each, int) and not isinstance(each, bool) and each >= 0:
                numbers.add(each)
            else:
                raise location.refusal(f'must be a list of {kind} names or numbers, e.g. ["alice", 1000]')
        return frozenset(numbers)

    return read_numbers


def _size(location: Location, value: Any, _accounts: Accounts) -> int:
    try:
        return size_of(value)
    except ValueError as exc:
        raise location.refusal(f'must be a size like 1000, "10k", "10M" or "2G", not {value!r}') from exc


def _age(location: Location, value: Any, _accounts: Accounts) -> int:
    seconds = typed(float, value, location)
    if not 0 <= seconds <= _MOST_AGE_SECONDS:
        raise location.refusal(f"must lie between 0 and {_MOST_AGE_SECONDS}, not {value!r}")
    return int(seconds * SECOND_NS)


def _globs_cover(everything: frozenset[str]) -> Callable[[Globs, Globs], bool]:
    return lambda wide, narrow: bool(wide.written & everything) or narrow.written <= wide.written


def _happened(file: File) -> str:
    return f"what happened is {', '.join(name for name, kind in EVENTS.items() if kind in file.events)}"


def _directory(file: File) -> str:
    if file.directory is None:
        return "the directory is not known"
    return f"the directory is {file.directory.decode(errors='surrogateescape') or '/'}"


def _name(file: File) -> str:
    return f"the name is {file.name.decode(errors='surrogateescape')}"


def _said(what: str, of: Callable[[File], object]) -> Callable[[File], str]:
    def say(file: File) -> str:
        value = of(file)
        return f"{what} is not known" if value is None else f"{what} is {value}"

    return say


def _age_of(file: File) -> str | None:
    return None if file.mtime_ns is None else f"{max(0, file.now_ns - file.mtime_ns) / SECOND_NS:.0f} s"


KEYS: dict[str, ConditionKind] = {
    "events": ConditionKind(
        _events,
        lambda value, file: not value.isdisjoint(file.events),
        _happened,
        frozenset.__ge__,
        can_exclude=False,
    ),
    "extensions": ConditionKind(
        _extensions,
        lambda value, file: file.name.lower().endswith(value),
        _name,
        lambda wide, narrow: all(each.endswith(wide) for each in narrow),
    ),
    "globs": ConditionKind(
        _globs(name_pattern), lambda value, file: value.match(file.name), _name, _globs_cover(frozenset({"*"}))
    ),
    "directories": ConditionKind(
        _globs(directory_pattern),
        lambda value, file: value.match(file.directory),
        _directory,
        _globs_cover(frozenset({"**", "/**", "/**/"})),
        knows=lambda file: file.directory is not None,
    ),
    "owners": ConditionKind(
        _numbers("user", lambda accounts: accounts.uid_of),
        lambda value, file: file.uid in value,
        _said("the owner", lambda file: file.uid),
        frozenset.__ge__,
        "owner",
        lambda file: file.uid is not None,
    ),
    "groups": ConditionKind(
        _numbers("group", lambda accounts: accounts.gid_of),
        lambda value, file: file.gid in value,
        _said("the group", lambda file: file.gid),
        frozenset.__ge__,
        "owner",
        lambda file: file.gid is not None,
    ),
    "min_size": ConditionKind(
        _size,
        lambda value, file: file.size is not None and file.size >= value,
        _said("the size", lambda file: file.size),
        int.__le__,
        "facts",
        can_exclude=False,
    ),
    "max_size": ConditionKind(
        _size,
        lambda value, file: file.size is not None and file.size <= value,
        _said("the size", lambda file: file.size),
        int.__ge__,
        "facts",
        can_exclude=False,
    ),
    "max_age_seconds": ConditionKind(
        _age,
        lambda value, file: file.mtime_ns is not None and file.now_ns - file.mtime_ns <= value,
        _said("the age", _age_of),
        int.__ge__,
        "facts",
        can_exclude=False,
    ),
    "mimes": ConditionKind(
        _globs(name_pattern),
        lambda value, file: file.mime is not None and value.match(file.mime.encode()),
        _said("the type", lambda file: file.mime),
        _globs_cover(frozenset({"*/*"})),
        "facts",
    ),
}

_EXCLUDE = ConditionKind(
    _globs(lambda glob: directory_pattern(glob) + rb"(?:/.*)?"),
    lambda value, file: value.match(b"/" + file.path.strip(b"/")),
    lambda file: (
        f"the path is /{file.path.strip(b'/').decode(errors='surrogateescape')}"
        if file.whole
        else "the path is not known"
    ),
    _globs_cover(frozenset({"**", "/**"})),
    knows=lambda file: file.whole,
)
"""What every rule leaves out by the settings."""
