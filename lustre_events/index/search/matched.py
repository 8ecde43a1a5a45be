"""Why a hit was found: the values and names that a query matched, with excerpts of long ones. All of it is pure.

It looks at what the hit shows anyway, so it tells a viewer nothing that is hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace

from lustre_events.index.names import folded, folded_text, name_has_words
from lustre_events.index.query.matching import kinds_of, value_test
from lustre_events.index.query.tree import (
    And,
    Exact,
    KeyEquals,
    KeyExists,
    KeyGlob,
    KeyRange,
    Name,
    NameWords,
    Node,
    Not,
    Or,
    Text,
)
from lustre_events.index.query.wildcards import matcher
from lustre_events.index.search.exact import is_exact
from lustre_events.index.search.hits import Hit, Match, name_text
from lustre_events.index.typed_values import segmented, unaccented
from lustre_events.index.values import MAX_DEPTH, MAX_KEY_LENGTH, clean, searched
from lustre_events.index.words import has_words, words_of

MOST = 5
"""Most matches shown of one hit."""
LONGEST = 160
"""Most characters of an excerpt."""
_BEFORE = 60

Value = tuple[str, str, Any]
"""Extractor, dotted key, value."""
_Test = Callable[[Hit, Sequence[Value]], Match | None]
"""Gives the first match of a condition in a hit with such values."""
_SINGLE = frozenset({str, int, float, bool})


def explained(node: Node, hits: Sequence[Hit]) -> list[Hit]:
    """Return hits with what a query matched in each."""
    tests = [test for leaf in asked(node) if (test := _test(leaf)) is not None]
    return [replace(hit, matched=_matched(tests, hit)) for hit in hits] if tests else list(hits)


def asked(node: Node) -> Iterator[Node]:
    """Yield the conditions of a tree that must not be absent: all but those behind NOT."""
    match node:
        case And(nodes) | Or(nodes):
            for each in nodes:
                yield from asked(each)
        case Not():
            return
        case _:
            yield node


def _matched(tests: Sequence[_Test], hit: Hit) -> tuple[Match, ...]:
    every = [*values(hit.documents)]
    found = dict.fromkeys(match for test in tests if (match := test(hit, every)) is not None)
    return tuple(found)[:MOST]


def _test(leaf: Node) -> _Test | None:
    """Return what gives the first match of a condition in a hit; None: it asks for nothing that is shown."""
    match leaf:
        case Text(text, prefix):
            words = list(words_of(segmented(text)))
            return lambda _, every: _first(every, lambda value: _is_in(value, words, prefix=prefix), words)
        case NameWords(text, prefix):
            words = list(words_of(segmented(unaccented(text))))
            return lambda hit, _: _name(hit, lambda name: name_has_words(name, words, prefix=prefix))
        case Name(glob):
            fits = matcher(folded_text(glob))
            return lambda hit, _: _name(hit, lambda name: fits(name_text(folded(name))))
        case Exact():
            return lambda _, every: _first(every, partial(is_exact, leaf), list(words_of(leaf.text)))
        case KeyEquals() | KeyRange() | KeyGlob() | KeyExists():
            is_meant = value_test(leaf)
            of_key = _of_key(leaf)
            words = list(words_of(leaf.word)) if isinstance(leaf, KeyEquals) else []
            return lambda _, every: _first(
                every, lambda value: of_key(value) and is_meant(kinds_of(value[1], value[2])), words
            )
    return None


def _first(every: Iterable[Value], is_meant: Callable[[Value], bool], words: Sequence[str]) -> Match | None:
    for value in every:
        if is_meant(value):
            return Match(value[0], value[1], excerpt(_shown(value[2]), words))
    return None


def _name(hit: Hit, is_meant: Callable[[bytes], bool]) -> Match | None:
    for path in hit.paths:
        name = path.rpartition(b"/")[2]
        if is_meant(name):
            return Match("", "name", name_text(name))
    return None


def _is_in(value: Value, words: Sequence[str], *, prefix: bool) -> bool:
    text = value[2]
    if not isinstance(text, str) or (text.isascii() and words and words[0] not in text.lower()):
        return False
    return has_words(segmented(clean(text)), words, prefix=prefix)


def _of_key(leaf: KeyEquals | KeyRange | KeyGlob | KeyExists) -> Callable[[Value], bool]:
    key = leaf.key
    if leaf.wild:
        fits = matcher(key)
        return lambda value: fits(value[1]) or fits(f"{value[0]}.{value[1]}")
    return lambda value: value[1] == key or (key.endswith(value[1]) and f"{value[0]}.{value[1]}" == key)


def values(documents: Mapping[str, Mapping[str, Any]]) -> Iterator[Value]:
    """Yield the values of documents that are searched."""
    for extractor, body in documents.items():
        yield from _values(extractor, "", searched(body), 0)


def _values(extractor: str, key: str, value: Any, depth: int) -> Iterator[Value]:
    if depth > MAX_DEPTH or len(key) > MAX_KEY_LENGTH:
        return
    if isinstance(value, Mapping):
        for name, item in value.items():
            below = f"{key}.{name}" if key else str(name)
            if type(item) in _SINGLE and depth < MAX_DEPTH and len(below) <= MAX_KEY_LENGTH:
                yield extractor, clean(below), item  # as mostly, without a generator of its own
            else:
                yield from _values(extractor, below, item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _values(extractor, key, item, depth + 1)
    elif value is not None:
        yield extractor, clean(key), value


def _shown(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def excerpt(text: str, words: Sequence[str]) -> str:
    """Return a text on one line; of a long one what stands around the first of some words."""
    line = " ".join(text.split())
    if len(line) <= LONGEST:
        return line
    low = unaccented(line.lower())
    place = max(0, low.find(words[0]) if words else 0)
    start = max(0, min(place - _BEFORE, len(line) - LONGEST))
    end = start + LONGEST
    return f"{'…' if start else ''}{line[start:end].strip()}{'…' if end < len(line) else ''}"
