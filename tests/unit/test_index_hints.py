"""What is said of a search that finds nothing, as pure values, without an index."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lustre_events.errors import QueryError
from lustre_events.index.query.lexer import tokenise
from lustre_events.index.query.slips import (
    alternatives,
    field_text,
    literal,
    replaced,
    with_colons,
    with_dates,
    with_operators,
)
from lustre_events.index.search.hints.hint import best_without, counted, meant, near
from lustre_events.index.search.hints.known import Known
from lustre_events.index.search.hints.reasons import why
from lustre_events.index.search.search import Search
from lustre_events.index.visibility import Viewer
from tests.support.index.tables import MemoryBackend, add_file, make_index, searching
from tests.support.profiles import examples
from tests.support.rows import each_row


@each_row(
    ("query", "parts"),
    [
        ("a b:1", [["a", "b:1"]]),
        ("a AND (b OR c) -d", [["a", "(b OR c)", "-d"]]),
        ("a OR b c:[1 TO 5]", [["a"], ["b", "c:[1 TO 5]"]]),
        ('+x:(y z) AND NOT "p q"', [["x:(y z)", 'NOT "p q"']]),
    ],
)
def test_a_query_is_taken_apart_into_queries(query: str, parts: list[list[str]]) -> None:
    """AND and OR at the top divide a query; parts keep their places, and what stands in brackets is one part."""
    found = alternatives(query)
    assert [[part.text for part in each] for each in found] == parts
    assert all(query[part.start : part.end] == part.text for each in found for part in each)
    assert all(part.negative == part.text.startswith(("-", "NOT")) for each in found for part in each)


def test_the_inside_of_brackets_keeps_its_place() -> None:
    """Parts within parentheses are found at their places in the whole query."""
    query = "a AND (b OR c:d)"
    inside = alternatives(query, alternatives(query)[0][1])
    assert [[query[part.start : part.end] for part in each] for each in inside] == [["b"], ["c:d"]]


@each_row(
    ("query", "better"),
    [
        ("k:1 or k:2", "k:1 OR k:2"), ("not k:1", "NOT k:1"), ("k:1 and ext:j", "k:1 AND ext:j"),
        ('k:or "and"', None), ("sand OR k:2", None),
    ],
)  # fmt: skip
def test_operators_in_lower_case(query: str, better: str | None) -> None:
    """Only words that could be operators are written in capitals: no values, no phrases."""
    assert with_operators(query) == better


@each_row(
    ("query", "better"),
    [
        ("k=1", "k:1"), ("size>0", "size:>0"), ("size>=1k ext=h5", "size:>=1k ext:h5"), ("size = 3", "size:3"),
        ("path:a=b", None), ('"k=1"', None), ("=3", None), ("k=", None),
    ],
)  # fmt: skip
def test_signs_in_place_of_a_colon(query: str, better: str | None) -> None:
    """What looks like field=value is written with a colon; values and phrases stay as they are."""
    assert with_colons(query) == better


@each_row(
    ("query", "better"),
    [
        ("k:03.2026", "k:2026-03"), ("mtime:>=03.2026 ext:h5", "mtime:>=2026-03 ext:h5"), ("k:3/2026", "k:2026-03"),
        ("k:March 2026", "k:2026-03"), ('k:"March 2026" AND b', "k:2026-03 AND b"), ("k:Sept 2026", "k:2026-09"),
        ("k:1 Mar 2026", "k:2026-03-01"), ("k:01.03.2026", "k:2026-03-01"), ("k:2026.3.1", "k:2026-03-01"),
        ("k:[03.2026 TO 04.2026]", "k:[2026-03 TO 2026-04]"), ('k:"March 1st, 2026"', "k:2026-03-01"),
        ("k:2026-03", None), ("k:13.2026", None), ("k:30.02.2026", None), ("k:03/04/2026", None),
        ("k:10.2026", None), ("k:2026.5", None), ("k:march", None), ("k:March AND 2026", None),
        ("March 2026", None), ("k:20260301", None),
    ],
)  # fmt: skip
def test_dates_as_people_write_them(query: str, better: str | None) -> None:
    """A value that can only be one date is written as a query takes it; numbers and words stay as they are."""
    assert with_dates(query) == better


def test_names_that_somebody_may_have_meant() -> None:
    """Other case comes first, then a longer key that ends or begins so, then few other letters; nothing else."""
    known = ["EXPTIME", "header.exptime", "exptime.unit", "exptimes", "instrument"]
    assert near("exptime", known, 5) == ["EXPTIME", "header.exptime", "exptime.unit", "exptimes"]
    assert near("colunms", ["columns", "rows"], 5) == ["columns"]
    assert near("cvs", ["csv", "h5"], 5) == ["csv"]
    assert near("zzz", known, 5) == []


@each_row("name", ["a b", "AND", "-a", 'q"\\', "columns", "a:b", "x*"])
def test_what_is_put_into_a_query_is_taken_literally(name: str) -> None:
    """A field's name and a value of any characters come back from the tokens as they were."""
    field, term = tokenise(f"{field_text(name)}{literal(name)}")
    assert (field.kind, field.text, term.kind, term.text) == ("f", name, "t", name)
    assert not term.wild
    assert not field.wild


def test_only_the_part_is_repaired() -> None:
    """A token is replaced where it stands in its part, and nowhere else."""
    part = alternatives("x:y AND x:z")[0][1]
    assert replaced("x:y AND x:z", part, "f", lambda text: text == "x", "w:") == "x:y AND w:z"


def test_reasons_end_with_their_time() -> None:
    """Where no time is left, what was found until then is told, and a sentence in any case."""
    index = make_index()
    add_file(index, 1, b"a", {"x": {"k": "red"}})

    def told(looks: int) -> list[str]:
        clock = iter([0.0] * looks)
        with MemoryBackend(index).reading(None) as reading:
            known = Known(reading, None, lambda _: None, now_ns=0, end=1.0, clock=lambda: next(clock, 2.0))
            return [hint.text for hint in why(lambda: contextlib.nullcontext(known), "x=1 AND blue", [])]

    assert told(0) == ["nothing matches, and there was no time to look for the reason"]
    assert told(3) == ["a field and its value are joined by a colon, as in size:3 or size:>3"]
    assert all("blue" in told(looks)[-1] for looks in range(6, 20))
    assert "no document and no name has the word blue" in told(1_000)
    index.close()


def test_sentences() -> None:
    """Counts say where they end, names come with theirs, and the part that excludes most is told first."""
    assert [counted(0), counted(1), counted(45), counted(1001)] == [
        "no file", "1 file", "45 files", "more than 1,000 files",
    ]  # fmt: skip
    assert meant([("columns", 45), ("a\n", 1)]) == "; did you mean columns (45 files) or a\\n (1 file)?"
    found = best_without([("a", "b", 0), ("b:1", "a", 7)])
    assert [(each.query, each.files) for each in found] == [("a", 7)]
    assert "without b:1, 7 files" in found[0].text


KEYS = (
    "rows", "when", "n", "*.title", "x.deep", "nokey", "size", "mtime", "name", "ext", "path", "owner", "extractor",
    "failed", "mime", "title.exact", "*.exact", "exact", "name.exact", "mdt", "pool", "fid", "type",
)  # fmt: skip
VALUES = (
    "7", "12.5", ">2027", "<2020", ">=now-1d", "[1 TO 5]", "[* TO *]", "[a TO b]", "[2026-01 TO 2027]",
    "[* TO 1999]", "zeit", "Z*", "*", '"a b"', '""', "/x/**", "-3", ">1e400", "[0x1:0x2:0x0]", '"2026-01-01"', ">a",
)  # fmt: skip
conditions = st.builds("{}:{}".format, st.sampled_from(KEYS), st.sampled_from(VALUES)) | st.sampled_from(
    ["a", '"a c"']
)


@pytest.fixture(scope="module")
def values() -> Search:
    """An index with a value of each kind."""
    index = make_index()
    table = {"columns": ["Zeit"], "rows": 7, "when": "2026:03:01 12:00:00", "n": "12.50", "title": "a b c"}
    add_file(index, 1, b"x/y.csv", {"tabular": {**table, "x": [1, {"deep": "d"}]}}, size=5, uid=7, mode=0o600)
    return searching(index)


def test_several_wrong_keys_are_put_right_together(values: Search) -> None:
    """Each wrong key is named with the nearest one; the query with all of them replaced comes last."""
    *each, whole = values.hints("row:7 AND column:zeit")

    assert [hint.query for hint in each] == [None, None]
    assert whole.query == "rows:7 AND columns:zeit"
    assert whole.files == 1


@examples(400)
@given(query=st.lists(conditions, min_size=1, max_size=3).map(" AND ".join), stranger=st.booleans())
@example(query="when:>2027", stranger=False)
def test_any_query_is_answered_explained_or_refused(values: Search, query: str, *, stranger: bool) -> None:
    """No condition on any key, of any type, ends a search or its hints with an error but a refusal."""
    viewer = Viewer(9) if stranger else None
    try:
        found = values.count(query, visible_to=viewer)
        hints = values.hints(query, visible_to=viewer)
    except QueryError as error:
        assert str(error)  # noqa: PT017 - refused, with a sentence
    else:
        assert found == 0 or hints == ()
