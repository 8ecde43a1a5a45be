"""Full text for PostgreSQL: words as SQLite's `unicode61` finds them, so that both backends find the same.

PostgreSQL's own parser takes `a.b/c-d` for a host, a path and a compound, and a number for what it is worth;
index/words.py says what a word is here. The statements that match are in dialect.py.

A tsvector keeps 255 places of one word, and places up to 16,383 (PostgreSQL's documentation, "Limitations" of
text search), so a long text is cut into pieces, each with the last words of the one before it.
"""

from __future__ import annotations

from collections.abc import Iterator

from lustre_events.index.values import VALUE_GAP
from lustre_events.index.words import words_of

_PLACES = 16_000
_PLACES_OF_WORD = 250
_OVERLAP = 100
"""Words: a longer phrase can be missed where a text is cut."""
_GAP = 2
"""Places between two values, so that no phrase reaches from one into the next."""


def pieces(text: str) -> list[str]:
    """Return the tsvectors of a document's text, in the form that a cast from text takes."""
    found: list[str] = []
    positions: dict[str, list[int]] = {}
    recent: list[tuple[str, int]] = []
    shift = 0
    for word, position in _placed(text):
        if position - shift > _PLACES or len(positions.get(word, ())) >= _PLACES_OF_WORD:
            found.append(_vector(positions))
            recent = recent[-_OVERLAP:]
            shift = recent[0][1] - 1
            positions = {}
            for earlier, at in recent:
                positions.setdefault(earlier, []).append(at - shift)
            if len(positions.get(word, ())) >= _PLACES_OF_WORD:  # cannot be: the overlap is shorter
                continue
        positions.setdefault(word, []).append(position - shift)
        recent.append((word, position))
    return [*found, _vector(positions)] if positions else found


def phrase(words: str, *, prefix: bool) -> str | None:
    """Return the tsquery of words that follow each other, in the form that a cast takes; None: there is none."""
    found = list(words_of(words))
    if not found:
        return None
    return " <-> ".join(_quoted(word) for word in found) + (":*" if prefix else "")


def _placed(text: str) -> Iterator[tuple[str, int]]:
    position = 0
    for value in text.split(VALUE_GAP):
        for word in words_of(value):
            position += 1
            yield word, position
        position += _GAP


def _vector(positions: dict[str, list[int]]) -> str:
    return " ".join(f"{_quoted(word)}:{','.join(map(str, at))}" for word, at in positions.items())


def _quoted(word: str) -> str:
    # Words hold neither quotes nor backslashes: those are no letters.
    return f"'{word}'"
