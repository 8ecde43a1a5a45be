"""Tables of TOML read into frozen dataclasses: types, choices, bounds, and the place in every message.

A dataclass says what a table may hold: a field is a key, its type the key's type (str, int, float, bool, a tuple of
strings, or another such dataclass, which is a section), its default what holds where the key is missing. `key` adds
what a type cannot say. What is wrong is one sentence that begins with the place: `node.toml: [reader] user must be
a string, not 1`. The caller chooses the error.

(msgspec.convert reports only the first mismatch as `Expected int, got str - at $.reader.user`: neither the value,
nor the nearest name, nor what to write.)
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args, get_type_hints

from lustre_events.config.nearest import nearest
from lustre_events.errors import ConfigError, LustreEventsError

Kind = TypeVar("Kind")
_REQUIRED = dataclasses.MISSING
_NAMES = {str: "a string", int: "a whole number", float: "a finite number", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Location:
    """Where something stands, for messages, and the error that they are: `node.toml: [reader] user`."""

    origin: str
    section: str = ""
    key: str = ""
    error: type[LustreEventsError] = ConfigError

    def at(self, key: str) -> Location:
        """Return the place of a key in this section."""
        return dataclasses.replace(self, key=key)

    def inside(self, section: str) -> Location:
        """Return the place of a section of this file."""
        return dataclasses.replace(self, section=section, key="")

    def refusal(self, words: str) -> LustreEventsError:
        """Return the error that says `words` of what stands here."""
        inner = " ".join(filter(None, (self.section, self.key)))
        return self.error(f"{self.origin}: {inner} {words}" if inner else f"{self.origin} {words}")

    def unknown(self, what: str, name: str, known: Collection[str]) -> LustreEventsError:
        """Return the error about a name that is not known here."""
        within = f" in {self.section}" if self.section else ""
        return self.error(f"{self.origin}: unknown {what}{within}{nearest(name, known)}")


@dataclass(frozen=True, slots=True)
class Key:
    """What a value of one key may be.

    Attributes:
        doc: one line about it.
        choices: the values that it may have; empty: any.
        least: the smallest number; None: no bound. `most`: the greatest.
        longest: most characters of a text.
        fits: whether a text, or each entry of a list, is right; `expected` says what would be.
        needed: what to write where it is missing or empty; empty: it may be empty.
        internal: only code and tests set it: it is refused in a file.
    """

    doc: str = ""
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    longest: int | None = None
    fits: Callable[[str], object] | None = None
    expected: str = ""
    needed: str = ""
    internal: bool = False


ANY = Key()


def key(default: Any = _REQUIRED, doc: str = "", **more: Any) -> Any:
    """Declare a field with its `Key`; without a default it must be there."""
    return dataclasses.field(default=default, metadata={"key": Key(doc, **more)})


@functools.cache
def keys(kind: type) -> dict[str, tuple[Any, Key]]:
    """Return the keys of a dataclass: the type of each, and what it may be. Internal ones are not among them."""
    hints = get_type_hints(kind)
    declared = {spec.name: spec.metadata.get("key", ANY) for spec in dataclasses.fields(kind)}
    return {name: (_without_none(hints[name]), key) for name, key in declared.items() if not key.internal}


def read(kind: type[Kind], table: Mapping[str, Any], location: Location) -> Kind:
    """Return the dataclass that a table says. Raises `location.error`."""
    return kind(**values(kind, table, location))


def values(
    kind: type,
    table: Mapping[str, Any],
    location: Location,
    others: Collection[str] = (),
    gone: Mapping[str, str] = {},
) -> dict[str, Any]:
    """Return the values of a table by key; keys that are not given have none, unless they are required.

    Args:
        kind: the dataclass that says what it may hold.
        table: as it was parsed.
        location: where it stands.
        others: keys that the caller reads itself.
        gone: keys of earlier versions, and what is said about each.

    Raises:
        LustreEventsError: `location.error`, about the first thing that is wrong.
    """
    known = keys(kind)
    found: dict[str, Any] = {}
    for name, given in table.items():
        if name in known:
            found[name] = value(*known[name], given, location.at(name))
        elif name in gone:
            raise location.at(name).refusal(gone[name])
        elif name not in others:
            what = "section" if isinstance(given, dict) and not location.section else "key"
            shown = f"[{name}]" if what == "section" else name
            raise location.unknown(f"{what} {shown}", name, (*known, *others))
    for spec in dataclasses.fields(kind):
        if spec.name not in found and spec.default is _REQUIRED and spec.default_factory is _REQUIRED:
            raise location.at(spec.name).refusal(f"is missing; {known[spec.name][1].needed}")
    return found


def value(hint: Any, key: Key, given: Any, location: Location) -> Any:
    """Return a value as its type and key want it. Raises `location.error`."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(given, dict):
            raise location.refusal(f"must be a section: write [{location.key}]")
        return read(hint, given, location.inside(f"[{location.key}]"))
    found = typed(hint, given, location)
    if key.needed and not found:
        raise location.refusal(f"is empty; {key.needed}")
    if isinstance(found, tuple | str):
        _check_text(key, found, location)
    elif not isinstance(found, bool):
        _check_bounds(key, found, location)
    return found


def typed(hint: Any, given: Any, location: Location) -> Any:
    """Return a value of a plain type or a list of strings. Raises `location.error`."""
    if isinstance(hint, types.GenericAlias):
        if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
            raise location.refusal('must be a list of strings, e.g. ["a", "b"]')
        return tuple(given)
    if hint is float and type(given) is int:
        with contextlib.suppress(OverflowError):  # too large: stays whole and is refused below
            given = float(given)
    if type(given) is not hint or (hint is float and not math.isfinite(given)):
        raise location.refusal(f"must be {_NAMES[hint]}, not {given!r}")
    return given


def _check_text(key: Key, found: str | tuple[str, ...], location: Location) -> None:
    if key.choices and found not in key.choices:
        raise location.refusal(f"is {found!r}; it must be one of: {', '.join(key.choices)}")
    verb, texts = ("is", (found,)) if isinstance(found, str) else ("has", found)
    for text in texts:
        if key.longest is not None and len(text) > key.longest:
            raise location.refusal(f"has more than {key.longest} characters; make it shorter")
        if key.fits is not None and not key.fits(text):
            raise location.refusal(f"{verb} {text!r}; {key.expected}")


def _check_bounds(key: Key, found: float, location: Location) -> None:
    least, most = key.least, key.most
    if (least is None or found >= least) and (most is None or found <= most):
        return
    if least is not None and most is not None:
        raise location.refusal(f"must lie between {least} and {most}, not {found!r}")
    if least == 0:
        raise location.refusal("must not be negative")
    raise location.refusal(f"must be at least {least}, not {found!r}" if most is None else f"is {most} at most")


def _without_none(hint: Any) -> Any:
    """Return the type of `X | None`: a key that may be missing has a value of the type where it is there."""
    if isinstance(hint, types.UnionType):
        return next(each for each in get_args(hint) if each is not type(None))
    return hint
