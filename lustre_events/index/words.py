"""The words of a text, as SQLite's `unicode61` finds them, so that both databases find the same.

A word is a run of letters, digits and private-use characters, without case, and Latin letters without their accent
(SQLite's documentation of FTS5, "Unicode61 Tokenizer", remove_diacritics 1).
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence

_ASCII_WORD = re.compile(r"[a-z0-9]+")
_WORD_BYTES = 2_000
"""A lexeme of PostgreSQL has less than 2 KB; a longer word is cut."""


def words_of(text: str) -> Iterator[str]:
    """Yield the words of a text."""
    if text.isascii():
        yield from map(_cut, _ASCII_WORD.findall(text.lower()))
        return
    start: list[str] = []
    for char in text:
        folded = _folded(char)
        if folded is None:
            if start:
                yield _cut("".join(start))
                start.clear()
        elif folded or start:
            start.append(folded)
    if start:
        yield _cut("".join(start))


def has_words(text: str, wanted: Sequence[str], *, prefix: bool) -> bool:
    """Return whether a text has these words, one behind the other; `prefix`: the last one may go on."""
    found = list(words_of(text))
    for start in range(len(found) - len(wanted) + 1):
        here = found[start : start + len(wanted)]
        if here == wanted or (prefix and here[:-1] == wanted[:-1] and here[-1].startswith(wanted[-1])):
            return bool(wanted)
    return False


@functools.lru_cache(maxsize=4096)
def _folded(char: str) -> str | None:
    """Return what a character adds to a word: "" for an accent on its own; None where it stands between words."""
    category = unicodedata.category(char)
    if category == "Mn" and "\u0300" <= char <= "\u036f":
        return ""
    if category[0] not in "LN" and category != "Co":
        return None
    low = char.casefold() if len(char.casefold()) == 1 else char.lower()
    apart = unicodedata.normalize("NFD", low)
    accented = len(apart) == 2 and apart[0].isascii() and unicodedata.category(apart[1]) == "Mn"
    return apart[0] if accented else low[0]


def _cut(word: str) -> str:
    if len(word) * 4 < _WORD_BYTES:
        return word
    return word.encode()[:_WORD_BYTES].decode(errors="ignore")
