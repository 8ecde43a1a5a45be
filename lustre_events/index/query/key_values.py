"""What a condition on a key of documents means: in which values it is looked for, and what they must be.

A document's values are kept in three kinds: numbers, words (whole values, folded) and parts (the words of those
values that are more than one word); see values.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lustre_events.index.query.tree import KeyEquals, KeyExists, KeyGlob, KeyRange

KeyNode = KeyEquals | KeyRange | KeyGlob | KeyExists
Kind = Literal["number", "word", "part"]


@dataclass(frozen=True, slots=True)
class Is:
    """The value itself."""

    value: float | str


@dataclass(frozen=True, slots=True)
class HasRun:
    """A whole value, or a run of whole words in one."""

    words: str


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


ValueTest = Is | HasRun | Between | Like | Anything


def lookups(node: KeyNode) -> list[tuple[Kind, ValueTest]]:
    """Return each kind of value that can match, and when one does."""
    match node:
        case KeyEquals(_, word, number):
            if " " in word:
                return [("word", HasRun(word))]
            numbers: list[tuple[Kind, ValueTest]] = [] if number is None else [("number", Is(number))]
            return [*numbers, ("word", Is(word)), ("part", Is(word))]
        case KeyRange(_, low, high, include_low, include_high):
            # Of words only whole values: 22 in an old date is not after 2026-06.
            kind: Kind = "word" if isinstance(low, str) or isinstance(high, str) else "number"
            return [(kind, Between(low, high, include_low, include_high))]
        case KeyGlob(_, glob):
            return [("word", Like(glob)), ("part", Like(glob))]
        case KeyExists():
            return [("number", Anything()), ("word", Anything())]


def exact(node: KeyNode) -> bool:
    """Whether only single values are looked up."""
    return isinstance(node, KeyEquals) and " " not in node.word
