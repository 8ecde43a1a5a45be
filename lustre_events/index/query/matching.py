"""Whether one document matches a node about its keys: for where a set of all that match would be too large.

The answer is exactly that of `values.flatten`, but only the values of the key that is asked for are looked at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lustre_events.index.query.tree import KeyEquals, KeyExists, KeyGlob, KeyRange
from lustre_events.index.query.wildcards import matcher
from lustre_events.index.values import MAX_DEPTH, Flat, flatten, flatten_values, searched

KeyNode = KeyEquals | KeyRange | KeyGlob | KeyExists

_SHORT = 4_000
"""Characters of a body in which none of the bounds of a whole document can be reached."""
_ODD = ('""', "\\ud", "\\u0000")
"""Where a body has one of these a key could be empty, or be changed before it is stored."""


def probe(node: KeyNode) -> Callable[[str, str], bool]:
    """Return a function of an extractor's name and a document (JSON text): does it match?"""
    key, matches = node.key, _test(node)

    def answer(extractor: str, body: str) -> bool:
        numbers, words, parts = _values(extractor, body, key)
        return matches(numbers, words, parts)

    return answer


_Test = Callable[[set[float], set[str], set[str]], bool]


def _test(node: KeyNode) -> _Test:
    match node:
        case KeyEquals(_, word, number):
            if " " in word:
                run = f" {word} "
                return lambda _, words, __: any(run in f" {value} " for value in words)
            return lambda numbers, words, parts: number in numbers or word in words or word in parts
        case KeyRange():
            return _range_test(node)
        case KeyGlob(_, glob):
            fits = matcher(glob)
            return lambda _, words, parts: any(map(fits, words)) or any(map(fits, parts))
        case KeyExists():
            return lambda numbers, words, _: bool(numbers or words)


def _range_test(node: KeyRange) -> _Test:
    low: Any = node.low
    high: Any = node.high

    def inside(value: Any) -> bool:
        above = low is None or value > low or (node.include_low and value == low)
        return above and (high is None or value < high or (node.include_high and value == high))

    if isinstance(low, str) or isinstance(high, str):
        return lambda _, words, __: any(map(inside, words))
    return lambda numbers, _, __: any(map(inside, numbers))


def _values(extractor: str, body: str, key: str) -> tuple[set[float], set[str], set[str]]:
    names = [key]
    if key.startswith(extractor + "."):
        names.append(key[len(extractor) + 1 :])
    loaded = searched(json.loads(body))
    if len(body) > _SHORT or any(odd in body for odd in _ODD):
        flats = [flatten(loaded)]
    else:
        flats = [flatten_values(name, _members(loaded, name, 0)) for name in names]
    return (_of(flats, "numbers", names), _of(flats, "words", names), _of(flats, "parts", names))


def _of(flats: list[Flat], kind: str, names: list[str]) -> set[Any]:
    return {value for flat in flats for name, value in getattr(flat, kind) if name in names}


def _members(value: Mapping[str, Any], key: str, depth: int) -> Iterator[tuple[Any, int]]:
    """Yield what stands under a dotted key, with its depth: a name may have dots itself."""
    if key in value:
        yield value[key], depth + 1
    place = key.find(".")
    while place > 0:
        if key[:place] in value:
            yield from _descend(value[key[:place]], key[place + 1 :], depth + 1)
        place = key.find(".", place + 1)


def _descend(value: Any, key: str, depth: int) -> Iterator[tuple[Any, int]]:
    if depth > MAX_DEPTH:
        return
    if isinstance(value, Mapping):
        yield from _members(value, key, depth)
    elif isinstance(value, list):
        for item in value:
            yield from _descend(item, key, depth + 1)
