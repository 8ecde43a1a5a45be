"""Probing a document: the same answer as the search rows would give."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from lustre_events.index.query.key_values import KeyNode
from lustre_events.index.query.matching import _values, _values_of_some, probe, value_test
from lustre_events.index.query.tree import KeyEquals, KeyExists, KeyGlob, KeyRange
from lustre_events.index.query.wildcards import matcher
from lustre_events.index.sqlite.dialect import phrase_of
from lustre_events.index.sqlite.documents import body_has_words
from lustre_events.index.typed_values import segmented
from lustre_events.index.values import MAX_ROWS, canonical, flatten
from lustre_events.index.words import words_of
from tests.support.profiles import examples

names = st.sampled_from(["a", "b", "a.b", "b.a", "x", "", "x.a", "é", "\0", "\ud800"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats()
    | st.sampled_from(["", "red", "Red Blue", "\0x", "30.0", "2026-03-01", "word " * 60, 2**60, 2**64, 10**20])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=12
)
keys = st.sampled_from(["a", "b", "a.b", "x.a", "x.a.b", "a.b.a", "x", "", "é", "?", "a..b"])


def nested(levels: int) -> Any:
    return 1 if levels == 0 else [nested(levels - 1)]


@given(st.dictionaries(names, values, max_size=4), keys)
@examples(500)
@example({"a": nested(20)}, "a")
@example({"a": {"b": 1}, "a.b": "red"}, "a.b")
@example({"a": list(range(MAX_ROWS + 5)), "b": 1}, "b")
@example({"a": "word " * 900}, "a")
def test_a_probe_sees_what_the_search_rows_are(body: dict[str, Any], key: str) -> None:
    """What stands under a key, also behind its extractor's name, is what flattening the whole document gives."""
    text = canonical(body)
    flat = flatten(json.loads(text))
    wanted = {key, key.removeprefix("x.")} if key.startswith("x.") else {key}

    found = _values("x", text, key)

    assert found == {kind: {value for name, value in pairs if name in wanted} for kind, pairs in flat.rows}
    asked: list[KeyNode] = [
        KeyExists(key), KeyEquals(key, "red", None), KeyEquals(key, "3", 3.0), KeyGlob(key, "*0*"),
        KeyRange(key, -2, 4, include_low=True, include_high=False), KeyRange(key, "b", None, True, True),
        KeyRange(key, None, 0.5, True, True, time=(None, 10**18)),
    ]  # fmt: skip
    assert [probe(node)("x", text) for node in asked] == [value_test(node)(found) for node in asked]


texts = st.text(st.sampled_from("abRé\u0301ßŁ我们 ,._-9\0"), max_size=8)


@given(
    st.dictionaries(names, texts | st.lists(texts, max_size=3) | st.integers(0, 99), max_size=3),
    texts.filter(lambda text: "\0" not in text),
)
@examples(300)
@example({"a": "Two words", "b": ["wordless"]}, "two wor")
@example({"a": ["two", "words"]}, "two wor")
def test_a_beginning_stands_in_a_document_where_sqlite_finds_it(body: dict[str, Any], words: str) -> None:
    """A look into a document for words, of which the last may go on, gives what SQLite's own full text does."""
    text = canonical(body)
    words = segmented(words).strip()
    wanted = list(words_of(words))
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE VIRTUAL TABLE fulltext USING fts5 (body, content='', tokenize='unicode61')")
        connection.execute("INSERT INTO fulltext (rowid, body) VALUES (1, ?)", (flatten(json.loads(text)).text,))
        found = connection.execute(
            "SELECT count(*) FROM fulltext WHERE fulltext MATCH ?", (phrase_of(words, prefix=True),)
        ).fetchone()

    assert body_has_words(text, wanted, prefix=True) is bool(found[0])


@given(st.dictionaries(names, values, max_size=4), st.sampled_from(["*", "a*", "*.b", "x.*", "*.a.*", "b"]))
@examples(500)
@example({"a": nested(20), "b": nested(14)}, "*")
@example({"a" * 200: {"b" * 100: 1, "b": 2}}, "*")
@example({"a": "word " * 900}, "a*")
def test_a_probe_with_a_glob_sees_what_the_search_rows_are(body: dict[str, Any], glob: str) -> None:
    """What stands under all keys that fit, alone or behind the extractor's name, is what flattening gives."""
    text, fits = canonical(body), matcher(glob)
    flat = flatten(json.loads(text))

    def is_meant(extractor: str, name: str) -> bool:
        return fits(name) or fits(f"{extractor}.{name}")

    assert _values_of_some("x", text, is_meant) == {
        kind: {value for name, value in pairs if is_meant("x", name)} for kind, pairs in flat.rows
    }
