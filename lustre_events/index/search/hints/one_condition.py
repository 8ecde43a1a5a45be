"""Why one condition of a query matches nothing: what is there instead. See known.py for what may be told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from lustre_events.index.query.key_values import KeyNode
from lustre_events.index.query.slips import Part, field_text, literal, replaced, with_part
from lustre_events.index.query.tree import (
    Extension,
    Fact,
    Failed,
    HasDocument,
    KeyEquals,
    KeyExists,
    KeyGlob,
    KeyRange,
    Mime,
    Name,
    NameWords,
    Node,
    Or,
    Path,
    Text,
)
from lustre_events.index.query.wildcards import escape, literal_of
from lustre_events.index.search.hints.facts_and_paths import of_fact, of_path
from lustre_events.index.search.hints.hint import Hint, counted, meant, near, shown
from lustre_events.index.search.hints.known import Known
from lustre_events.index.search.hints.near_words import words_near
from lustre_events.index.values import clean, fold

MOST_VALUES = 3
"""How many frequent values of a key are shown."""
MOST_EXTRACTORS = 100


def of_leaf(known: Known, query: str, part: Part, leaf: Node) -> Iterator[Hint]:
    """Yield why a condition matches nothing, which stands in a part of a query."""

    def with_term(new: str, is_meant: Callable[[str], bool] = lambda _: True) -> str:
        return replaced(query, part, "t", is_meant, new)

    match leaf:
        case KeyEquals() | KeyRange() | KeyGlob() | KeyExists():
            yield _of_key(known, query, part, leaf)
        case Text(words):
            yield from _of_words(known, leaf, lambda new: with_term(new, lambda text: clean(text) == words))
        case HasDocument() | Failed() if literal_of(leaf.glob) is not None:
            yield _of_extractor(known, leaf, with_term)
        case Extension(text):
            yield _of_value(known, f"no file{known.you_may('see')} has the extension", text, "ext", with_term)
        case Mime(glob) if literal_of(glob) is not None:
            yield _of_value(known, f"no file{known.you_may('read')} has the MIME type", glob, "mime", with_term)
        case Name(glob) if (name := literal_of(glob)) is not None:
            yield _of_name(known, name, with_term)
        case Path(glob) if glob.startswith("/"):
            yield of_path(known, query, part, glob)
        case Fact() if (hint := of_fact(known, query, part, leaf)) is not None:
            yield hint


def _try(known: Known, text: str, query: str) -> Hint:
    """Return a sentence, with a query where that finds something."""
    files = known.found_by(query)
    return Hint(text, query, files) if files else Hint(text)


def _of_key(known: Known, query: str, part: Part, node: KeyNode) -> Hint:
    key = shown(node.key)
    holders = known.files(KeyExists(node.key, node.wild))
    if not holders and node.wild:
        return Hint(f"no file{known.you_may('read')} has a key that matches {key}")
    if not holders:
        return known.no_key(
            node.key, lambda new: replaced(query, part, "f", lambda text: clean(text) == node.key, new)
        )
    have = f"{counted(holders)} {'has' if holders == 1 else 'have'}"
    if node.wild:
        return Hint(f"{have} keys that match {key}, but none with {shown(part.text)}")
    have = f"{have} the key {key}"
    return _of_kind(known, query, part, node, have) or _of_value_of_key(known, query, part, node, have)


def _of_kind(known: Known, query: str, part: Part, node: KeyNode, have: str) -> Hint | None:
    """Return what is said where a key has values of another kind than those that are asked for."""
    key, better = shown(node.key), with_part(query, part, f"{field_text(node.key)}*")

    def any_of(low: float | str, time: tuple[None, None] | None = None) -> bool:
        return known.some(KeyRange(node.key, low, None, include_low=True, include_high=True, time=time))

    if isinstance(node, KeyRange) and node.time is not None:
        if any_of("", (None, None)):
            return None
        if node.textual:
            return _try(known, f"{have}, but none of its values is a time", better)
    if isinstance(node, KeyRange) and not node.textual:
        other = "with text, not numbers; write words, {0}:word or {0}:wor*"
        return None if any_of(-sys.float_info.max) else _try(known, f"{have}, but {other.format(key)}", better)
    if isinstance(node, KeyEquals) and node.number is not None:
        return None
    other = "with numbers, not text; write {0}:3, {0}:>3 or {0}:[1 TO 5]"
    return None if any_of("") else _try(known, f"{have}, but {other.format(key)}", better)


def _of_value_of_key(known: Known, query: str, part: Part, node: KeyNode, have: str) -> Hint:
    if isinstance(node, KeyEquals) and node.number is None and " " not in node.word:
        longer = known.files(KeyGlob(node.key, "".join(map(escape, node.word)) + "*"))
        if longer:
            better = replaced(query, part, "t", lambda text: fold(text) == node.word, f"{literal(node.word)}*")
            text = f"{have}, none with {shown(node.word)}, but {counted(longer)} with words that begin like it"
            return _try(known, text, better)
    values = known.values_of_key(node.key, MOST_VALUES)
    frequent = ", ".join(shown(value) for value in values)
    text = f"{have}, but none matches {shown(part.text)}{frequent and f'; some values are {frequent}'}"
    close = near(node.word, values, 1) if isinstance(node, KeyEquals) else []
    return _try(known, text, with_part(query, part, field_text(node.key) + (literal(close[0]) if close else "*")))


def _of_words(known: Known, node: Text, with_term: Callable[[str], str]) -> Iterator[Hint]:
    words = shown(node.words)
    has = f"has the word{'s' if ' ' in node.words else ''} {words}"
    text = f"no document{known.you_may('read')} and no name{known.you_may('see')} {has}"
    found = False
    try:
        for hint in _other_words(known, node, text, with_term):
            found = True
            yield hint
    except Exception:  # the database's own where time is over: the sentence itself is true
        if not found:
            yield Hint(text)
        raise
    if not found:
        yield Hint(text)


def _other_words(known: Known, node: Text, text: str, with_term: Callable[[str], str]) -> Iterator[Hint]:
    """Yield words that go on, words that are like one, and names with it inside: these take longest to find."""
    longer, glob = 0, f"*{_glob(node.words)}*"
    if not node.prefix and " " not in node.words:
        longer = known.files(Or((Text(node.words, prefix=True), NameWords(node.words, prefix=True))))
        better = with_term(f"{literal(node.words)}*")
        if longer:
            yield _try(known, f"{text}, but {counted(longer)} with words that begin like it", better)
        elif close := words_near(known, fold(node.words)):
            yield _try(known, text + meant(close), with_term(literal(close[0][0])))
    named = known.files(Name(glob)) if node.words.strip() and "/" not in node.words else 0
    if named:
        better = with_term(f"name:*{literal(node.words)}*")
        yield _try(known, f"{text}, but {counted(named)} with it in the name", better)


def _of_extractor(known: Known, node: HasDocument | Failed, with_term: Callable[[str], str]) -> Hint:
    name = literal_of(node.glob) or ""
    kind = type(node)
    if known.some(HasDocument(node.glob)) or known.some(Failed(node.glob)):
        did = "has failed on" if kind is Failed else "has a document of"
        return Hint(f"the extractor {shown(name)} {did} no file{known.you_may('read')}")
    text = f"no extractor {shown(name)} has looked at a file{known.you_may('read')}"
    names = known.reading.extractors(MOST_EXTRACTORS)
    close = known.near(
        name, names, lambda each: known.files(kind(_glob(each))) or known.files(HasDocument(_glob(each)))
    )
    if not close:
        return _with_others(known, text, names, lambda each: known.files(kind(_glob(each))), with_term)
    return _try(known, text + meant(close), with_term(literal(close[0][0])))


def _with_others(
    known: Known, text: str, names: Iterable[str], files: Callable[[str], int], with_term: Callable[[str], str]
) -> Hint:
    """Say which values there are, where none is like the one that was asked for."""
    there = list(islice(((each, count) for each in names if (count := files(each))), MOST_VALUES))
    if not there:
        return Hint(text)
    others = ", ".join(f"{shown(each)} ({counted(count)})" for each, count in there)
    return _try(known, f"{text}; there are {others}", with_term(literal(there[0][0])))


def _glob(text: str) -> str:
    return "".join(map(escape, text))


def _of_value(known: Known, text: str, value: str, by: str, with_term: Callable[[str], str]) -> Hint:
    def files(each: str) -> int:
        return known.files(Extension(each) if by == "ext" else Mime(_glob(each)))

    values = known.values(by)
    close = known.near(value, values, files)
    if close:
        return _try(known, f"{text} {shown(value)}{meant(close)}", with_term(literal(close[0][0])))
    return _with_others(known, f"{text} {shown(value)}", values, files, with_term)


def _of_name(known: Known, name: str, with_term: Callable[[str], str]) -> Hint:
    inside = known.files(Name(f"*{_glob(name)}*"))
    text = f"no file{known.you_may('see')} has exactly the name {shown(name)}"
    if not inside:
        return Hint(text)
    return _try(known, f"{text}, but {counted(inside)} with it in the name", with_term(f"*{literal(name)}*"))
