"""What a condition on a key of documents means: in which values it is looked for, and what they must be.

A document's values are kept in kinds: numbers, words (whole values, folded), parts (the words of those values that
are more than one word), and the numbers and times that whole values say which are text; see values.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from lustre_events.index.query.tree import KeyEquals, KeyExists, KeyGlob, KeyRange
from lustre_events.index.typed_values import has_unspaced

KeyNode = KeyEquals | KeyRange | KeyGlob | KeyExists
Kind = Literal["number", "word", "part", "text_number", "text_time"]


@dataclass(frozen=True, slots=True)
class Is:
    """The value itself."""

    value: float | str


@dataclass(frozen=True, slots=True)
class HasRun:
    """A whole value, or a run of whole words in one."""

    words: str


@dataclass(frozen=True, slots=True)
class Has:
    """A value with these characters inside."""

    characters: str


@dataclass(frozen=True, slots=True)
class Between:
    """A value within bounds (None: no bound)."""

    low: float | str | None
    high: float | str | None
    include_low: bool
    include_high: bool


@dataclass(frozen=True, slots=True)
class Like:
    """A value that matches a glob."""

    glob: str


@dataclass(frozen=True, slots=True)
class Anything:
    """Any value."""


ValueTest = Is | HasRun | Has | Between | Like | Anything


def lookups(node: KeyNode) -> list[tuple[Kind, ValueTest]]:
    """Return each kind of value that can match, and when one does."""
    match node:
        case KeyEquals(_, word, number, time, _):
            times = [] if time is None else [_in_time(*time)]
            return [*_equal(word, number), *times]
        case KeyRange(_, low, high, include_low, include_high, time, _):
            times = [] if time is None else [_in_time(*time)]
            if node.textual and times:
                return times
            # Of words only whole values: 22 in an old date is not after 2026-06.
            kinds: tuple[Kind, ...] = ("word",) if node.textual else ("number", "text_number")
            return [*((kind, Between(low, high, include_low, include_high)) for kind in kinds), *times]
        case KeyGlob(_, glob, _):
            return [("word", Like(glob)), ("part", Like(glob))]
        case KeyExists():
            return [("number", Anything()), ("word", Anything())]


def _equal(word: str, number: float | None) -> list[tuple[Kind, ValueTest]]:
    if has_unspaced(word):  # where words have no spaces between them, one is looked for inside of a value
        return [("word", Has(word)), ("part", Has(word))]
    if " " in word:
        return [("word", HasRun(word))]
    kinds: tuple[Kind, ...] = () if number is None else ("number", "text_number")
    return [*((kind, Is(number)) for kind in kinds if number is not None), ("word", Is(word)), ("part", Is(word))]


def _in_time(low: int | None, high: int | None) -> tuple[Kind, ValueTest]:
    return "text_time", Between(low, high, include_low=True, include_high=False)


def exact(node: KeyNode) -> bool:
    """Whether it only looks up single values of single keys."""
    if not isinstance(node, KeyEquals) or node.wild or node.time is not None:
        return False
    return " " not in node.word and not has_unspaced(node.word)


def without_times(node: KeyNode) -> KeyNode:
    """Return a node that finds the same under a key that has no times, and is quicker."""
    if isinstance(node, KeyEquals) or (isinstance(node, KeyRange) and not node.textual):
        return replace(node, time=None)
    return node
