"""Translates the options of `find` and `lfs find` into a query of the index. Pure values.

    find /proj -name '*.h5' ! -user ada     (path:/proj OR path:/proj/**) AND name.exact:*.h5 AND NOT (owner:ada)

An option may have one dash or two. Those that the index cannot answer get a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lustre_events.changelog.fid import ROOT_FID
from lustre_events.config.nearest import nearest
from lustre_events.errors import QueryError
from lustre_events.index.query.slips import literal

MOST_DEPTH = 10
"""The greatest depth of -maxdepth."""

_STARTS = ("-", "!", "(", ")")
_NUMBER = re.compile(r"([+-]?)(\d+)\Z", re.ASCII)
_SIZE = re.compile(r"([+-]?)(\d+)([cwbkKMGTPE]?)\Z", re.ASCII)
_UNITS = {"": 1, "c": 1, "w": 2, "b": 512} | {
    unit: 1024**power for power, unit in enumerate("kMGTPE", start=1)
} | {"K": 1024}  # fmt: skip
_PLAIN = re.compile(r"[^\w*?/.-]")


@dataclass(frozen=True, slots=True)
class FindQuery:
    """What is asked: the starting points as typed, the tests as a query, and whether paths end with NUL."""

    starts: tuple[str, ...]
    tests: str
    depths: tuple[int, ...]
    """-maxdepth, where it is given."""
    null: bool = False


def read(arguments: Sequence[str]) -> FindQuery:
    """Return what the arguments of `find` ask for.

    Raises:
        QueryError: the index cannot answer an option, or a value is wrong.
    """
    starts: list[str] = []
    rest = list(arguments)
    while rest and not rest[0].startswith(_STARTS):
        starts.append(rest.pop(0))
    reader = _Reader(rest)
    tests = reader.either() if rest else ""
    if reader.rest:
        raise QueryError(f"{reader.rest[0]!r} cannot stand here; write starting points first, then tests")
    return FindQuery(tuple(starts) or (".",), tests, tuple(reader.depths), reader.null)


def below(path: bytes, depths: Sequence[int]) -> str:
    """Return the query for what `find` would look at from a path of the index on; nothing: everything."""
    inside = path.strip(b"/").decode("utf-8", "surrogateescape")
    here = f"/{literal(inside)}" if inside else ""
    if not depths and not here:
        return ""
    itself = [f"path:{here}"] if here else [f"fid:{ROOT_FID}"]
    if not depths:
        return "(" + " OR ".join([*itself, f"path:{here}/**"]) + ")"
    levels = [f"path:{here}{'/*' * depth}" for depth in range(1, min(depths) + 1)]
    return "(" + " OR ".join([*itself, *levels]) + ")"


@dataclass(slots=True)
class _Reader:
    rest: list[str]
    depths: list[int] = field(default_factory=list)
    null: bool = False

    def either(self) -> str:
        """Return what stands between -o."""
        found = [self.both()]
        while self.rest and _name(self.rest[0]) in {"o", "or"}:
            self.rest.pop(0)
            found.append(self.both())
        if len(found) > 1 and not all(found):
            raise QueryError("-o needs a test on either side")
        return f"({' OR '.join(found)})" if len(found) > 1 else found[0]

    def both(self) -> str:
        """Return what must hold together: -a, or nothing, stands between."""
        found: list[str] = []
        while self.rest and self.rest[0] != ")" and _name(self.rest[0]) not in {"o", "or"}:
            if _name(self.rest[0]) in {"a", "and"}:
                self.rest.pop(0)
            elif test := self.one():
                found.append(test)
        return " AND ".join(found)

    def one(self) -> str:
        """Return one test; an action, or what bounds the walk, is none."""
        option = self.rest.pop(0)
        name = _name(option)
        if option == "!" or name == "not":
            if not self.rest:
                raise QueryError(f"{option} needs a test behind it")
            test = self.one()
            return f"NOT ({test})" if test else ""
        if option == "(":
            inside = self.either()
            if not self.rest or self.rest.pop(0) != ")":
                raise QueryError("a bracket is not closed; write \\( ... \\)")
            return f"({inside})" if inside else ""
        if name is None:
            raise QueryError(f"{option!r} cannot stand here; write starting points first, then tests")
        if name in {"print", "print0"}:
            self.null |= name == "print0"
            return ""
        return _ALONE[name] if name in _ALONE else self.with_value(option, name)

    def with_value(self, option: str, name: str) -> str:
        if name in _REFUSED:
            raise QueryError(f"{option}: {_REFUSED[name]}")
        if name != "maxdepth" and name not in _TESTS:
            known = sorted({*_TESTS, *_ALONE, "maxdepth", "print", "print0", "not"})
            raise QueryError(f"{option}: the index cannot answer this{nearest(name, known)}")
        if not self.rest:
            raise QueryError(f"{option} needs a value behind it")
        value = self.rest.pop(0)
        try:
            if name == "maxdepth":
                self.depths.append(_depth(value))
                return ""
            return _TESTS[name](value)
        except ValueError as exc:
            raise QueryError(f"{option} {value}: {exc}") from exc


def _name(option: str) -> str | None:
    """Return the name of an option, with one dash or two; None: it is none."""
    return option.removeprefix("-").removeprefix("-") if option.startswith("-") and len(option) > 1 else None


def _depth(value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) <= MOST_DEPTH):
        raise ValueError(f"write a number from 0 to {MOST_DEPTH}")
    return int(value)


def _glob(prefix: str) -> Callable[[str], str]:
    def test(value: str) -> str:
        if "[" in value:
            raise ValueError("the index knows * and ?, no [...]; write several names with -o")
        return f"{prefix}:{_PLAIN.sub(lambda found: chr(92) + found[0], value)}"

    return test


def _type(value: str) -> str:
    letters = value.split(",")
    if not all(letter in tuple("fdlpsbc") for letter in letters):
        raise ValueError("the types are f, d, l, p, s, b and c")
    return f"({' OR '.join(f'type:{letter}' for letter in letters)})" if len(letters) > 1 else f"type:{value}"


def _size(value: str) -> str:
    match = _SIZE.match(value)
    if match is None:
        raise ValueError("write a size as 10M, +1G or -4k; without a letter it is bytes")
    sign, size, unit = match[1], int(match[2]) * _UNITS[match[3]], _UNITS[match[3]]
    if sign:
        return f"size:{'>' if sign == '+' else '<'}{size}"
    return f"size:{size}" if unit == 1 or not size else f"size:{{{size - unit} TO {size}]"


def _age(name: str, unit: str) -> Callable[[str], str]:
    def test(value: str) -> str:
        match = _NUMBER.match(value)
        if match is None:
            raise ValueError("write a number: 7, +7 (longer ago) or -7 (since then)")
        sign, count = match[1], int(match[2])
        if sign == "-":
            return f"{name}:>now-{count}{unit}"
        if sign == "+":
            return f"{name}:<=now-{count + 1}{unit}"
        return f"{name}:{{now-{count + 1}{unit} TO now-{count}{unit}]"

    return test


def _date(name: str) -> Callable[[str], str]:
    return lambda value: f'{name}:>"{value.replace(chr(34), "")}"'


def _number(name: str) -> Callable[[str], str]:
    def test(value: str) -> str:
        match = _NUMBER.match(value)
        if match is None:
            raise ValueError("write a number: 3, +3 (more) or -3 (less)")
        return f"{name}:{ {'+': '>', '-': '<', '': ''}[match[1]] }{match[2]}"

    return test


def _who(name: str) -> Callable[[str], str]:
    return lambda value: f"{name}:{literal(value)}"


_TESTS: dict[str, Callable[[str], str]] = {
    "name": _glob("name.exact"),
    "iname": _glob("name"),
    "type": _type,
    "size": _size,
    "user": _who("owner"),
    "uid": _number("uid"),
    "group": _who("group"),
    "gid": _number("gid"),
    "links": _number("links"),
    "projid": _number("projid"),
    "pool": _glob("pool"),
    "mdt": _number("mdt"),
    "mdt-index": _number("mdt"),
    "stripe-count": _number("stripe_count"),
    "mirror-count": _number("mirror_count"),
    "fid": lambda value: f"fid:{literal(value)}",
} | {
    f"{letter}{kind}": _age(f"{letter}time", unit)
    for letter in "amc"
    for kind, unit in (("time", "d"), ("min", "m"))
} | {"newermt": _date("mtime"), "newerct": _date("ctime"), "newerat": _date("atime")}  # fmt: skip
_ALONE = {"empty": "(type:f AND size:0)", "true": "*"}
_REFUSED = {
    **dict.fromkeys(("exec", "execdir", "ok", "delete"), "it only finds; pipe its output: -print0 | xargs -0 ..."),
    **dict.fromkeys(("perm", "readable", "writable", "executable"), "the index cannot search by mode"),
    **dict.fromkeys(("path", "wholename", "ipath"), "write the query itself: search 'path:/proj/**/run*/**'"),
    **dict.fromkeys(("regex", "iregex"), "the index knows * and ?: -name 'run*'"),
    **dict.fromkeys(("newer", "anewer", "cnewer"), "write the time itself: -newermt 2026-11-22"),
    "mindepth": "the index always searches a whole tree; name the directories below it",
    "ls": "search --json or --csv has sizes, times and owners",
    "printf": "search --json or --csv has what it prints",
    "prune": "leave a directory out with a query: search 'path:/a/** NOT path:/a/b/**'",
}  # fmt: skip
