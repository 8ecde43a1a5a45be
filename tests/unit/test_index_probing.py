"""Probing a document: the same answer as the search rows would give."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from lustre_events.index.query.key_values import KeyNode
from lustre_events.index.query.matching import _values, _values_of_some, probe, value_test
from lustre_events.index.query.tree import KeyEquals, KeyExists, KeyGlob, KeyRange
from lustre_events.index.query.wildcards import matcher
from lustre_events.index.values import MAX_ROWS, canonical, flatten
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
