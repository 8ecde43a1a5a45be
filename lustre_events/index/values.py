"""What of a document is searched: every scalar under its dotted key, its words, and one text.

`flatten` is pure and deterministic. The index finds a document's old search rows by flattening its stored
body again, so a change of what `flatten` returns needs a new schema version, and `SEARCH_ROWS_SINCE` of both
databases raised to it: then the rows are made anew.

Bounds keep an extractor that went wrong from filling the index: what lies beyond them stays in the stored
document, is not searched, and is flagged as `truncated`.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from lustre_events.index.typed_values import MAX_LENGTH, MOST_INTEGER, number_of, segmented, time_of, unaccented

MAX_DEPTH = 16
"""Levels of objects and lists below the document."""
MAX_KEYS = 1_000
"""Different keys of one document."""
MAX_ROWS = 10_000
"""Numbers, words and parts of one document."""
MAX_KEY_LENGTH = 256
"""Characters of a dotted key; longer ones are not searched."""
MAX_WORD_LENGTH = 256
"""Characters of a word or whole value; longer ones are cut."""
MAX_TEXT_LENGTH = 200_000
"""Characters of a document's full text."""

PREVIEW_KEYS = frozenset({"thumbnail", "table", "lines", "tree", "excerpt"})
"""What a preview has. A `preview` with anything else is an extractor's own, and searched."""

TABLES = ("number", "word", "part", "text_number", "text_time")
"""The tables of values in both databases."""

VALUE_GAP = " \uf8ff "
"""Stands between two values in the text: a private-use character, which full-text search takes for a word of
its own, so that no phrase reaches from one value into the next."""

_FIRST_OF_NUMBERS = frozenset("-0123456789")
_ALPHANUMERIC = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Flat:
    """A document's search rows: pairs with dotted keys, and the text for full-text search.

    `words` are whole values, folded. `parts` are the words of those values that are more than one word; they
    are apart because a range (`grade:[a TO c]`) must compare whole values only. `text_numbers` and `text_times`
    (nanoseconds since the epoch) are what whole values say that are text; they are apart because a value is counted
    as what it is. An integer of up to 64 bits is an int, and compared exactly. `names` are all keys that have rows.
    """

    numbers: frozenset[tuple[str, float]]
    words: frozenset[tuple[str, str]]
    parts: frozenset[tuple[str, str]]
    text_numbers: frozenset[tuple[str, float]]
    text_times: frozenset[tuple[str, int]]
    text: str
    truncated: bool
    names: frozenset[str]

    @property
    def pairs(self) -> tuple[frozenset[tuple[str, Any]], ...]:
        """The rows of each of TABLES: keys with values."""
        return self.numbers, self.words, self.parts, self.text_numbers, self.text_times

    @property
    def rows(self) -> tuple[tuple[str, frozenset[tuple[str, Any]]], ...]:
        """The table of each kind of value, and its rows."""
        return tuple(zip(TABLES, self.pairs, strict=True))


def flatten(body: Mapping[str, Any]) -> Flat:
    """Return what is searched of a document (an object of JSON values).

    `{"a": {"b": [1, "Two words"]}}` gives for the key `a.b` the number 1, the word `two words` and its parts
    `two` and `words`. A list gives one value per element; booleans are the words `true` and `false`; null, NaN and
    infinities give nothing.
    """
    collector = _Collector()
    collector.take_object("", searched(body), 0)
    return collector.flat()


def searched(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a document without its preview (extractors/PREVIEW.md): that is for eyes, and would fill the index."""
    preview = body.get("preview")
    if isinstance(preview, Mapping) and preview and preview.keys() <= PREVIEW_KEYS:
        return {name: value for name, value in body.items() if name != "preview"}
    return body


def flatten_values(key: str, values: Iterable[tuple[Any, int]]) -> Flat:
    """Return what is searched of some values under one dotted key, each with its depth in the document."""
    collector = _Collector()
    for value, depth in values:
        collector.take(key, value, depth)
    return collector.flat()


def fold(text: str) -> str:
    """Return `text` as it is compared: without case and accents, white space as single spaces, cut to the bound."""
    return unaccented(" ".join(clean(text).casefold().split()))[:MAX_WORD_LENGTH].rstrip()


def parts_of(folded: str) -> Iterable[str]:
    """Return the words of folded text: what stands between white space, and the letters and digits of that."""
    found: dict[str, None] = {}
    for rough in folded.split():
        if rough.isalnum():
            found[rough] = None
        elif words := list(_ALPHANUMERIC.finditer(rough)):
            found[rough[words[0].start() : words[-1].end()]] = None
            found.update((word[0], None) for word in words)
    return found


def clean(text: str) -> str:
    """Return `text` as SQLite and PostgreSQL can keep it: without NUL and lone surrogates."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "replace").decode().replace("\0", " ")


def canonical(body: Mapping[str, Any]) -> str:
    """Return a document as ASCII JSON text that every JSON parser reads.

    NaN, infinities, integers beyond a double and levels below the hundredth become null; lone surrogates
    survive as escapes.
    """
    try:
        text = _encoded(body)
    except (ValueError, RecursionError):
        text = ""
    if text and text.count("{") + text.count("[") <= _MAX_STORED_DEPTH:
        return text
    return json.dumps(_storable(body, 0), separators=(",", ":"))


def _encoded(body: Mapping[str, Any]) -> str:
    """Return a document as ASCII JSON text. Raises ValueError: it has numbers that JSON has not; RecursionError."""
    with contextlib.suppress(msgspec.MsgspecError, ArithmeticError, TypeError, ValueError):
        data = _QUICK_ENCODER.encode(body)
        if data.isascii():
            return data.decode()
    return _ENCODER.encode(body)


_QUICK_ENCODER = msgspec.json.Encoder()
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
_MAX_STORED_DEPTH = 100
_MAX_INTEGER_BITS = 1024


def _storable(value: Any, depth: int) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if value.bit_length() <= _MAX_INTEGER_BITS else None
    if not isinstance(value, (Mapping, list, tuple)):
        return value
    if depth > _MAX_STORED_DEPTH:
        return None
    if isinstance(value, Mapping):
        return {str(key): _storable(item, depth + 1) for key, item in value.items()}
    return [_storable(item, depth + 1) for item in value]


_REMEMBERED = 16_384
"""Texts of which it is remembered what is found: some 10 MB."""


class _Short(NamedTuple):
    """What is found of a text that is no longer than a word may be."""

    text: str
    folded: str
    parts: tuple[str, ...]
    number: float | None
    moment: int | None


@functools.lru_cache(maxsize=_REMEMBERED)
def _short(value: str) -> _Short:
    text = clean(value)
    plain = text.isascii()  # then folding is lower case, and changes no part of what is folded
    folded = " ".join(text.lower().split()) if plain else fold(text)
    number = moment = None
    if folded[:1] in _FIRST_OF_NUMBERS and len(text) <= MAX_LENGTH:
        number = number_of(text.strip())
        moment = time_of(text.strip()) if number is None else None
    parts: Iterable[str] = () if folded.isalnum() else (part for part in parts_of(folded) if part != folded)
    return _Short(text, folded, tuple(parts if plain else map(fold, parts)), number, moment)


@dataclass(slots=True)
class _Collector:
    numbers: set[tuple[str, float]] = field(default_factory=set)
    words: set[tuple[str, str]] = field(default_factory=set)
    parts: set[tuple[str, str]] = field(default_factory=set)
    text_numbers: set[tuple[str, float]] = field(default_factory=set)
    text_times: set[tuple[str, int]] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    room: int = MAX_TEXT_LENGTH
    truncated: bool = False
    asked: int = 0
    """How often room was asked for: there are at most that many rows."""

    def flat(self) -> Flat:
        return Flat(
            frozenset(self.numbers), frozenset(self.words), frozenset(self.parts), frozenset(self.text_numbers),
            frozenset(self.text_times), VALUE_GAP.join(map(segmented, self.texts)), self.truncated,
            frozenset(self.keys),
        )  # fmt: skip

    def take_object(self, prefix: str, value: Mapping[str, Any], depth: int) -> None:
        for name, item in value.items():
            self.take(f"{prefix}.{name}" if prefix else str(name), item, depth + 1)

    def take(self, key: str, value: Any, depth: int) -> None:
        if isinstance(value, str):
            self.take_text(clean(key), value)
        elif isinstance(value, bool):
            self.add_word(clean(key), "true" if value else "false")
        elif isinstance(value, (int, float)):
            self.take_number(clean(key), value)
        elif isinstance(value, (Mapping, list, tuple)):
            if depth > MAX_DEPTH or len(key) > MAX_KEY_LENGTH:
                self.truncated = True
            elif isinstance(value, Mapping):
                self.take_object(key, value, depth)
            else:
                for item in value:
                    self.take(key, item, depth + 1)

    def take_number(self, key: str, value: float) -> None:
        if isinstance(value, int) and abs(value) >= MOST_INTEGER:
            if abs(value) < 10**MAX_WORD_LENGTH and self.has_room(key):
                self.parts.add((key, str(value)))  # its digits tell it apart
            try:
                value = float(value)
            except OverflowError:  # beyond the range of a double
                return
        if math.isfinite(value) and self.has_room(key):
            self.numbers.add((key, value))

    def take_text(self, key: str, value: str) -> None:
        if len(value) > MAX_WORD_LENGTH:
            self.take_long(key, clean(value))
            return
        found = _short(value)
        self.add_word(key, found.folded)
        if found.number is not None and self.has_room(key):
            self.text_numbers.add((key, found.number))
        if found.moment is not None and self.has_room(key):
            self.text_times.add((key, found.moment))
        for part in found.parts:
            if self.has_room(key):
                self.parts.add((key, part))
        self.add_text(found.text)

    def take_long(self, key: str, text: str) -> None:
        """Take a text that is cut, but all of its words are searched."""
        folded = fold(text)
        self.add_word(key, folded)
        self.truncated = True
        for part in parts_of(unaccented(text[: self.room].casefold())):
            if part != folded and self.has_room(key):
                self.parts.add((key, fold(part)))
        self.add_text(text)

    def add_text(self, text: str) -> None:
        if len(text) > self.room:
            self.truncated = True
            text = text[: self.room]
        if text.strip():
            self.texts.append(text)
            self.room = max(0, self.room - len(text) - len(VALUE_GAP))

    def add_word(self, key: str, word: str) -> None:
        if self.has_room(key):
            self.words.add((key, word))

    def has_room(self, key: str) -> bool:
        self.asked += 1
        if self.asked <= MAX_ROWS and key in self.keys:
            return True
        rows = len(self.numbers) + len(self.words) + len(self.parts) + len(self.text_numbers) + len(self.text_times)
        full = rows >= MAX_ROWS or (
            key not in self.keys and (len(self.keys) >= MAX_KEYS or len(key) > MAX_KEY_LENGTH)
        )
        if full:
            self.truncated = True
            return False
        self.keys.add(key)
        return True
