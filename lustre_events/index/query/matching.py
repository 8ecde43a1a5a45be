"""Whether one document matches a node about its keys: for where a set of all that match would be too large.

The answer is exactly that of `values.flatten`, but only the values of the key that is asked for are looked at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

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
from lustre_events.index.query.wildcards import matcher
from lustre_events.index.values import MAX_DEPTH, TABLES, flatten, flatten_values, searched

_SHORT = 4_000
"""Characters of a body in which none of the bounds of a whole document can be reached."""
_ODD = ('""', "\\ud", "\\u0000")
"""Where a body has one of these a key could be empty, or be changed before it is stored."""


def probe(node: KeyNode) -> Callable[[str, str], bool]:
    """Return a function of an extractor's name and a document (JSON text): does it match?"""
    key, matches = node.key, value_test(node)
    fits = matcher(key) if node.wild else None

    def answer(extractor: str, body: str) -> bool:
        return matches(_values(extractor, body, key) if fits is None else _values_of_some(extractor, body, fits))

    return answer


def value_test(node: KeyNode) -> Callable[[Mapping[str, set[Any]]], bool]:
    """Return whether the values of a key, by their kind (values.TABLES), are those asked for, as a function."""
    tests = [(kind, _any_is(test)) for kind, test in lookups(node)]

    def matches(values: Mapping[str, set[Any]]) -> bool:
        return any(test(values[kind]) for kind, test in tests)

    return matches


def _any_is(test: ValueTest) -> Callable[[set[Any]], bool]:
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


def _inside(value: Any, bounds: Between) -> bool:
    low: Any = bounds.low
    high: Any = bounds.high
    above = low is None or value > low or (bounds.include_low and value == low)
    return above and (high is None or value < high or (bounds.include_high and value == high))


def _values(extractor: str, body: str, key: str) -> dict[str, set[Any]]:
    """Return the values of a key in a document, by their kind."""
    names = [key]
    if key.startswith(extractor + "."):
        names.append(key[len(extractor) + 1 :])
    loaded = searched(json.loads(body))
    if len(body) > _SHORT or any(odd in body for odd in _ODD):
        flats = [flatten(loaded)]
    else:
        flats = [flatten_values(name, _members(loaded, name, 0)) for name in names]
    found: dict[str, set[Any]] = {kind: set() for kind in TABLES}
    for flat in flats:
        for kind, pairs in flat.rows:
            found[kind].update(value for name, value in pairs if name in names)
    return found


def _values_of_some(extractor: str, body: str, fits: Callable[[str], bool]) -> dict[str, set[Any]]:
    """Return the values of all keys that fit, alone or behind the extractor's name, by their kind."""
    return {
        kind: {value for name, value in pairs if fits(name) or fits(f"{extractor}.{name}")}
        for kind, pairs in flatten(json.loads(body)).rows
    }


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
