"""What is said of a search that finds nothing, as pure values, without an index."""

from __future__ import annotations

import contextlib

import pytest

from lustre_events.index.query.slips import (
    alternatives,
    field_text,
    literal,
    replaced,
    with_colons,
    with_operators,
)
from lustre_events.index.query.tokens import tokenise
from lustre_events.index.search.hints import best_without, counted, meant, near
from lustre_events.index.search.known import Known
from lustre_events.index.search.reasons import why
from tests.support.index.tables import MemoryBackend, add_file, make_index


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
    ("query", "better"),
    [
        ("k:1 or k:2", "k:1 OR k:2"), ("not k:1", "NOT k:1"), ("k:1 and ext:j", "k:1 AND ext:j"),
        ('k:or "and"', None), ("sand OR k:2", None),
    ],
)  # fmt: skip
def test_operators_in_lower_case(query: str, better: str | None) -> None:
    """Only words that could be operators are written in capitals: no values, no phrases."""
    assert with_operators(query) == better


@pytest.mark.parametrize(
    ("query", "better"),
    [
        ("k=1", "k:1"), ("size>0", "size:>0"), ("size>=1k ext=h5", "size:>=1k ext:h5"), ("size = 3", "size:3"),
        ("path:a=b", None), ('"k=1"', None), ("=3", None), ("k=", None),
    ],
)  # fmt: skip
def test_signs_in_place_of_a_colon(query: str, better: str | None) -> None:
    """What looks like field=value is written with a colon; values and phrases stay as they are."""
    assert with_colons(query) == better


def test_names_that_somebody_may_have_meant() -> None:
    """Other case comes first, then a longer key that ends or begins so, then few other letters; nothing else."""
    known = ["EXPTIME", "header.exptime", "exptime.unit", "exptimes", "instrument"]
    assert near("exptime", known, 5) == ["EXPTIME", "header.exptime", "exptime.unit", "exptimes"]
    assert near("colunms", ["columns", "rows"], 5) == ["columns"]
    assert near("cvs", ["csv", "h5"], 5) == ["csv"]
    assert near("zzz", known, 5) == []


@pytest.mark.parametrize("name", ["a b", "AND", "-a", 'q"\\', "columns", "a:b", "x*"])
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
            return [hint.text for hint in why(contextlib.nullcontext(known), "x=1 AND blue", [])]

    assert told(0) == ["nothing matches, and there was no time to look for the reason"]
    assert told(3) == ["a field and its value are joined by a colon, as in size:3 or size:>3"]
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
