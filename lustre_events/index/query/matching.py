"""Whether one document matches a node about its keys: for where a set of all that match would be too large.

The answer is exactly that of `values.flatten`, but only the values of the key that is asked for are looked at.
A page may need thousands of such looks.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any

import msgspec

from lustre_events.index.query.key_values import (
    Anything,
    Between,
    Has,
    HasRun,
    Is,
    KeyNode,
    Like,
    ValueTest,
    lookups,
)
from lustre_events.index.query.tree import KeyExists
from lustre_events.index.query.wildcards import matcher
from lustre_events.index.typed_values import MOST_INTEGER
from lustre_events.index.values import (
    MAX_DEPTH,
    MAX_KEY_LENGTH,
    MAX_WORD_LENGTH,
    TABLES,
    Flat,
    flatten,
    flatten_values,
    searched,
)

Kinds = Mapping[str, AbstractSet[Any]]
"""Values by their kind (values.TABLES)."""
_OfScalar = Callable[[Any], Kinds | None]

_SHORT = 4_000
"""Characters of a body in which none of the bounds of a whole document can be reached."""
_NONE: Kinds = {kind: frozenset() for kind in TABLES}
_ANY: Kinds = {**_NONE, "word": frozenset(("",))}
_ABSENT = object()
_decode = msgspec.json.Decoder().decode
_MOST_KEYS = 4096
"""Keys of which is remembered whether a glob fits, and words of which is remembered what they are."""


def probe(node: KeyNode) -> Callable[[str, str], bool]:
    """Return a function of an extractor's name and a document (JSON text): does it match?"""
    key, matches = node.key, value_test(node)
    if not node.wild:
        of_scalar = _as_any if isinstance(node, KeyExists) else _of_scalar
        every = partial(_values, key=key, of_scalar=of_scalar)
        if "." in key or len(key) > MAX_KEY_LENGTH:
            return lambda extractor, body: matches(every(extractor, body))
        return _probe_of_member(node, matches, of_scalar, every)
    fits = matcher(key)

    @functools.lru_cache(_MOST_KEYS)
    def is_meant(extractor: str, name: str) -> bool:
        return fits(name) or fits(f"{extractor}.{name}")

    return lambda extractor, body: matches(_values_of_some(extractor, body, is_meant))


def _probe_of_member(
    node: KeyNode, matches: Callable[[Kinds], bool], of_scalar: _OfScalar, every: Callable[[str, str], Kinds]
) -> Callable[[str, str], bool]:
    """Return the same for a key without a dot, so for one member of a document: most of them are single values."""
    key, absent = node.key, matches(_NONE)
    numbers = [_is(test) for kind, test in lookups(node) if kind == "number"]

    def look(extractor: str, body: str) -> bool:
        if not _is_plain(body):
            return matches(every(extractor, body))
        value = searched(_decode(body)).get(key, _ABSENT)
        if value is _ABSENT:
            return absent
        if _is_number(value):
            return any(test(value) for test in numbers)
        one = of_scalar(value)
        return matches(every(extractor, body) if one is None else one)

    return look


def kinds_of(key: str, value: Any) -> Kinds:
    """Return what one value under a key is, by its kind."""
    one = _of_scalar(value) if len(key) <= MAX_KEY_LENGTH else None
    return _kinds([flatten_values(key, [(value, 1)])], lambda _: True) if one is None else one


def value_test(node: KeyNode) -> Callable[[Kinds], bool]:
    """Return whether the values of a key, by their kind (values.TABLES), are those asked for, as a function."""
    tests = [(kind, _any_is(test)) for kind, test in lookups(node)]

    def matches(values: Kinds) -> bool:
        return any(values[kind] and test(values[kind]) for kind, test in tests)

    return matches


def _any_is(test: ValueTest) -> Callable[[AbstractSet[Any]], bool]:
    """Return whether one of some values is what the test wants, as a function."""
    match test:
        case Is(value):
            return lambda values: value in values
        case HasRun(words):
            run = f" {words} "
            return lambda values: any(run in f" {value} " for value in values)
        case Has(characters):
            return lambda values: any(characters in value for value in values)
        case Between():
            return lambda values: any(_inside(value, test) for value in values)
        case Like(glob):
            fits = matcher(glob)
            return lambda values: any(map(fits, values))
        case Anything():
            return bool


def _is(test: ValueTest) -> Callable[[Any], bool]:
    """Return whether a single value is what the test wants, as a function."""
    if isinstance(test, Between):
        return partial(_inside, bounds=test)
    among = _any_is(test)
    return lambda value: among({value})


def _inside(value: Any, bounds: Between) -> bool:
    low: Any = bounds.low
    high: Any = bounds.high
    above = low is None or value > low or (bounds.include_low and value == low)
    return above and (high is None or value < high or (bounds.include_high and value == high))


def _values(extractor: str, body: str, key: str, of_scalar: _OfScalar | None = None) -> Kinds:
    """Return the values of a key in a document, by their kind; `of_scalar` tells what a single one is."""
    names = [key]
    if key.startswith(extractor + "."):
        names.append(key[len(extractor) + 1 :])
    if not _is_plain(body):
        return _kinds([flatten(json.loads(body))], lambda name: name in names)
    loaded = searched(_decode(body))
    members = [(name, each) for name in names for each in _members(loaded, name, 0)]
    if not members:
        return _NONE
    if (
        len(members) == 1
        and len(key) <= MAX_KEY_LENGTH
        and (one := (of_scalar or _of_scalar)(members[0][1][0])) is not None
    ):
        return one
    return _kinds([flatten_values(name, [each]) for name, each in members], lambda name: name in names)


def _values_of_some(extractor: str, body: str, is_meant: Callable[[str, str], bool]) -> Kinds:
    """Return the values of all keys that are meant in a document, by their kind."""
    if not _is_plain(body):
        return _kinds([flatten(json.loads(body))], lambda name: is_meant(extractor, name))
    found: dict[str, set[Any]] = {kind: set() for kind in TABLES}
    for key, value in _scalars("", searched(_decode(body)), 0):
        if is_meant(extractor, key):
            one = _of_scalar(value)
            for kind, values in (one or _kinds([flatten_values(key, [(value, 1)])], lambda _: True)).items():
                found[kind] |= values
    return found


def _is_plain(body: str) -> bool:
    """Return whether a document is short, and none of its keys can be empty, or be changed before it is stored."""
    return len(body) <= _SHORT and '""' not in body and "\\ud" not in body and "\\u0000" not in body


def _kinds(flats: list[Flat], is_meant: Callable[[str], bool]) -> Kinds:
    found: dict[str, set[Any]] = {kind: set() for kind in TABLES}
    for flat in flats:
        for kind, pairs in flat.rows:
            found[kind].update(value for name, value in pairs if is_meant(name))
    return found


def _of_scalar(value: Any) -> Kinds | None:
    """Return what one value is by its kind; None: only `flatten` knows."""
    kind = type(value)
    if _is_number(value):
        return {**_NONE, "number": {value}}
    if kind is bool or (kind is str and len(value) <= MAX_WORD_LENGTH):
        return _of_word(value)
    return None


def _is_number(value: Any) -> bool:
    kind = type(value)
    return (kind is float and math.isfinite(value)) or (kind is int and abs(value) < MOST_INTEGER)


def _as_any(value: Any) -> Kinds | None:
    """Return some value for a text or a truth, for who asks only whether there is one."""
    return _ANY if type(value) in {str, bool} else _of_scalar(value)


@functools.lru_cache(_MOST_KEYS, typed=True)
def _of_word(value: str | bool) -> Kinds:
    return _kinds([flatten_values("key", [(value, 1)])], lambda _: True)


def _scalars(key: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield what stands at the ends of a document, each with its dotted key."""
    if not isinstance(value, (dict, list)):
        if value is not None and len(key) <= MAX_KEY_LENGTH:
            yield key, value
    elif depth <= MAX_DEPTH and len(key) <= MAX_KEY_LENGTH:
        for name, item in value.items() if isinstance(value, dict) else (("", each) for each in value):
            below = f"{key}.{name}" if key and name else key or name
            yield from _scalars(below, item, depth + 1)


def _members(value: Mapping[str, Any], key: str, depth: int) -> Iterator[tuple[Any, int]]:
    """Yield what stands under a dotted key, with its depth: a name may have dots itself."""
    if key in value:
        yield value[key], depth + 1
    position = key.find(".")
    while position > 0:
        if key[:position] in value:
            yield from _descend(value[key[:position]], key[position + 1 :], depth + 1)
        position = key.find(".", position + 1)


def _descend(value: Any, key: str, depth: int) -> Iterator[tuple[Any, int]]:
    if depth > MAX_DEPTH:
        return
    if isinstance(value, Mapping):
        yield from _members(value, key, depth)
    elif isinstance(value, list):
        for item in value:
            yield from _descend(item, key, depth + 1)
