"""The words of a query, where they stand in a text: so that a page can show what was found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from lustre_events.errors import QueryError
from lustre_events.index.query.parser import parse
from lustre_events.index.query.tree import Exact, KeyEquals, NameWords, Text
from lustre_events.index.search.hits import Hit, Match, ObjectView
from lustre_events.index.search.matched import asked, explained
from lustre_events.index.typed_values import has_unspaced, segmented, unaccented
from lustre_events.index.words import words_of

MOST_WORDS = 20
_WORD = re.compile(r"(?:[^\W_][\u0300-\u036f]*)+")
_CHARACTER = re.compile(r"[^\W_]")


def words_in(query: str) -> tuple[str, ...]:
    """Return the words that a query asks for, folded; those that may go on end with `*`. A wrong query has none."""
    try:
        leaves = list(asked(parse(query, now_ns=0))) if query else []
    except QueryError:
        return ()
    found: list[str] = []
    for leaf in leaves:
        match leaf:
            case Text(text, prefix) | NameWords(text, prefix):
                words = _folded(text)
                found += [*words[:-1], words[-1] + "*"] if prefix and words else words
            case Exact():
                found += _folded(leaf.text)
            case KeyEquals():
                found += _folded(leaf.word)
    return tuple(dict.fromkeys(found))[:MOST_WORDS]


def marked(text: str, words: Iterable[str]) -> list[tuple[str, bool]]:
    """Return a text in pieces, each with whether it is one of the words."""
    wanted = tuple(words)
    pieces: list[tuple[str, bool]] = []
    end = 0
    for start, stop in _places(text, wanted) if wanted else ():
        pieces += [(text[end:start], False), (text[start:stop], True)]
        end = stop
    return [piece for piece in (*pieces, (text[end:], False)) if piece[0]]


def _places(text: str, wanted: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    starts = tuple(word[:-1] for word in wanted if word.endswith("*"))
    for run in _WORD.finditer(text):
        # In a script without spaces each character is a word.
        for found in _CHARACTER.finditer(text, *run.span()) if has_unspaced(run[0]) else (run,):
            word = "".join(_folded(found[0]))
            if word in wanted or (word and word.startswith(starts)):
                yield found.span()


def _folded(text: str) -> list[str]:
    return list(words_of(segmented(unaccented(text))))


def why(view: ObjectView, query: str) -> tuple[Match, ...]:
    """Return what a query matched in what a viewer sees of an object."""
    if not query or view.facts is None:
        return ()
    facts = view.facts
    hit = Hit(
        view.fid, view.paths, facts.type, facts.size, facts.mtime_ns, facts.uid, facts.gid, facts.mode, facts.mime,
        {document.extractor: document.body for document in view.documents},
    )  # fmt: skip
    try:
        return explained(parse(query, now_ns=0), [hit])[0].matched
    except QueryError:
        return ()
