"""Flattening: what of a document is searched."""

from __future__ import annotations

import functools
import json
import math
import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.errors import ConfigError
from lustre_events.index import values
from lustre_events.index.typed_values import composed, unaccented
from lustre_events.index.urls import sqlite_path
from lustre_events.index.values import canonical, flatten, fold, parts_of
from tests.support.index.documents import documents
from tests.support.profiles import examples
from tests.support.rows import each_row
from tests.support.service.command import REPOSITORY


def test_dotted_keys_lists_and_types() -> None:
    """Objects give dotted keys, lists one value per element, strings their words, booleans true and false."""
    flat = flatten({"a": {"b": [1, "Two Words"]}, "c": [{"d": True}, {"d": 2.5}], "e": None})

    assert flat.numbers == {("a.b", 1.0), ("c.d", 2.5)}
    assert flat.words == {("a.b", "two words"), ("c.d", "true")}
    assert flat.parts == {("a.b", "two"), ("a.b", "words")}
    assert flat.text == "Two Words"
    assert not flat.truncated


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.floats()
        | st.integers()
        | st.integers(2**1020, 2**1030)
        | st.text(max_size=300),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    )
)
@examples(100)
def test_a_document_is_searched_as_it_is_stored(value: Any) -> None:
    """What is searched of a document is what its stored text gives, so that it can be removed by that."""
    body = {"a": value}

    assert flatten(body) == flatten(json.loads(canonical(body)))


def test_punctuation_around_and_inside_words() -> None:
    """A word is found without the punctuation around it, and by the letters and digits inside it."""
    parts = {part for _, part in flatten({"k": "Graphene, on SiC(0001) (2026-11-22)"}).parts}

    assert {"graphene", "on", "sic", "0001", "sic(0001", "2026-11-22", "2026"} <= parts


@given(st.text(alphabet="a1_!.\u00e9\u0300\u20ac \n", max_size=40))
def test_a_word_is_what_stands_between_its_first_and_last_letter(text: str) -> None:
    """The words of a text are its pieces without what is at their edges, and the letters and digits inside."""
    pieces = [re.sub(r"\A[\W_]+|[\W_]+\Z", "", rough) for rough in text.split()]

    assert set(parts_of(text)) == {
        word for piece in pieces if piece for word in (piece, *re.findall(r"[^\W_]+", piece))
    }


@functools.cache
def marks() -> list[str]:
    """Return all combining characters, and three that are made of such."""
    return [
        chr(code) for code in range(0x110000) if unicodedata.combining(chr(code)) or code in {0xF73, 0xF75, 0xF81}
    ]


def test_every_combining_character_is_known() -> None:
    """Of none of them a long row costs time that grows with its square, so each is put into order before."""
    for mark in marks():
        row = f"{mark}\u05b0" * 20

        assert composed(f"a{row}") == unicodedata.normalize("NFC", f"a{row}")
        assert composed(row) == composed(f"{mark}" * 20 + "\u05b0" * 20), hex(ord(mark))


@given(
    st.lists(
        st.sampled_from(
            ["a", "\u00e9", " ", "\u1100", "\u1161", "\u3099", "\u034f", "\u0344", "\u0f73", "\u0316", "\u0301"]
        )
        | st.builds(str.__mul__, st.deferred(lambda: st.sampled_from(marks())), st.integers(1, 40)),
        max_size=30,
    )
)
def test_texts_with_very_many_combining_characters_are_normalized_as_others(pieces: list[str]) -> None:
    """However many there are, the text is the one that Unicode's normalization gives."""
    text = "".join(pieces)
    apart = unicodedata.normalize("NFD", text)

    assert composed(text) == unicodedata.normalize("NFC", text)
    assert unaccented(text) == unicodedata.normalize("NFC", re.sub("[\u0300-\u036f]", "", apart))


def test_numbers_that_no_index_can_order_never_get_in() -> None:
    """NaN, infinities and integers beyond a double are no numbers of the index."""
    flat = flatten({"a": [math.nan, math.inf, -math.inf, 10**400, 1e308]})

    assert flat.numbers == {("a", 1e308)}


@pytest.mark.parametrize(
    "body",
    [
        {f"key{number}": number for number in range(values.MAX_KEYS + 1)},
        {"a": list(range(values.MAX_ROWS + 1))},
        {"a": "x" * (values.MAX_WORD_LENGTH + 1)},
        {"k" * (values.MAX_KEY_LENGTH + 1): 1},
        {"a": [" ".join(f"w{n}" for n in range(100))] * (values.MAX_TEXT_LENGTH // 300)},
        json.loads('{"a":' * (values.MAX_DEPTH + 2) + "1" + "}" * (values.MAX_DEPTH + 2)),
    ],
    ids=["keys", "rows", "word", "key", "text", "depth"],
)
def test_bounds(body: dict[str, Any]) -> None:
    """A document beyond a bound is searched up to the bound, and flagged."""
    flat = flatten(body)

    assert flat.truncated
    assert len(flat.numbers) + len(flat.words) + len(flat.parts) <= values.MAX_ROWS
    assert len({key for key, _ in flat.numbers | flat.words}) <= values.MAX_KEYS
    assert len(flat.text) <= values.MAX_TEXT_LENGTH
    assert all(len(word) <= values.MAX_WORD_LENGTH for _, word in flat.words | flat.parts)


@given(documents)
def test_flattening_survives_storing(body: dict[str, Any]) -> None:
    """A stored document flattens as what was stored: its search rows can be found again; bounds hold."""
    stored = json.loads(canonical(body))
    flat = flatten(stored)

    assert flat == flatten(json.loads(canonical(stored)))
    assert all(math.isfinite(number) for _, number in flat.numbers)
    for _, word in flat.words | flat.parts:
        assert word.encode().decode() == word
        assert "\0" not in word


@given(st.text(max_size=300))
def test_folding_twice_is_folding_once_for_ascii(text: str) -> None:
    """What the index compares and what a query compares are folded alike, whatever case and spaces."""
    text = text.encode("ascii", "ignore").decode()

    assert fold(fold(text)) == fold(text) == fold(text.upper())


@given(documents)
def test_stored_documents_are_json_for_everybody(body: dict[str, Any]) -> None:
    """Stored text is ASCII JSON without NaN and infinities, which strict parsers refuse."""
    text = canonical(body)

    assert text.isascii()
    json.loads(text, parse_constant=pytest.fail)


def test_a_document_of_any_depth_is_stored() -> None:
    """Nesting that no JSON encoder manages is cut off, not refused."""
    body: dict[str, Any] = {}
    for _ in range(5000):
        body = {"a": body, "b": 1}

    stored = json.loads(canonical(body))

    assert stored["b"] == stored["a"]["a"]["b"] == 1


@each_row(
    ("url", "path"), [("sqlite:///a/b.db", "a/b.db"), ("sqlite:////a/b.db", "/a/b.db"), ("sqlite:///x.db", "x.db")]
)
def test_index_urls(url: str, path: str) -> None:
    """Three slashes and a relative path, or four and an absolute one."""
    assert str(sqlite_path(url)) == path


@each_row("url", ["", "a.db", "/a.db", "sqlite://a.db", "sqlite:///", "postgresql://host/db"])
def test_index_urls_of_other_kinds_are_refused(url: str) -> None:
    """Anything else is refused with what may be written."""
    with pytest.raises(ConfigError, match="sqlite:////absolute/path"):
        sqlite_path(url)


def test_a_preview_is_not_searched() -> None:
    """What a document shows to the eye is no key, no word and no text; what only has its name is."""
    shown = flatten({"rows": 2, "preview": {"excerpt": "some words", "thumbnail": {"mime": "image/png"}}})
    own = flatten({"preview": {"excerpt": "some words", "quality": 3}})

    assert (set(shown.words), shown.text, set(shown.numbers)) == (set(), "", {("rows", 2.0)})
    assert own.numbers == {("preview.quality", 3.0)}


def test_a_preview_is_what_its_schema_says() -> None:
    """The members that make a preview are those of the schema that extractors share."""
    schema = json.loads((REPOSITORY / "extractors" / "schema" / "preview.json").read_text())

    assert set(schema["properties"]) == values.PREVIEW_KEYS
