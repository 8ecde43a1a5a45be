"""What a query matched in each hit, values as they are written, and the order of relevance, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lustre_events.changelog.fid import ROOT_FID
from lustre_events.errors import QueryError
from lustre_events.index.backend import Backend, Order, PagePosition, Reading, Row
from lustre_events.index.query.tree import Node
from lustre_events.index.search.asking import pages
from lustre_events.index.search.search import Search
from lustre_events.index.visibility import Viewer
from tests.support.index.contents import Contents
from tests.support.index.places import BACKENDS, EmptyPlace
from tests.support.rows import each_row


@pytest.fixture(params=BACKENDS)
def contents(request: pytest.FixtureRequest, empty_place: EmptyPlace) -> Iterator[Contents]:
    with Contents(empty_place(request.param)) as index:
        index.object(0, type="d")
        yield index


@pytest.fixture
def grown(contents: Contents) -> Contents:
    """A file with keys of each type."""
    contents.file(1, b"d/Graphene_run7.h5", {
        "x": {"title": "Growth of graphene", "rows": 7, "who": {"name": "Dr. Müller"}, "tags": ["a", "b"],
              "valid": True, "date": "2026-03-01"},
    })  # fmt: skip
    return contents


@each_row(
    ("query", "expected"),
    [
        ("muller", [("x", "who.name", "Dr. Müller")]),
        ("graphene", [("x", "title", "Growth of graphene"), ("", "name", "Graphene_run7.h5")]),
        ("name:GRAPH*", [("", "name", "Graphene_run7.h5")]),
        ("rows:>2", [("x", "rows", "7")]),
        ("x.rows:7 AND who.name:müller", [("x", "rows", "7"), ("x", "who.name", "Dr. Müller")]),
        ("*.name:mul*", [("x", "who.name", "Dr. Müller")]),
        ("valid:true OR rows:1", [("x", "valid", "true")]),
        ("tags:b", [("x", "tags", "b")]),
        ("date:2026-03", [("x", "date", "2026-03-01")]),
        ("type:f NOT rows:3", []),
        ("exact:Müller", [("x", "who.name", "Dr. Müller")]),
        ("title.exact:Growth", [("x", "title", "Growth of graphene")]),
    ],
)
def test_a_hit_says_which_key_or_name_matched(
    grown: Contents, query: str, expected: list[tuple[str, str, str]]
) -> None:
    """Each condition is explained by its key and value, or by the name, whichever way the query is written."""
    (hit,) = grown.search().page(query).hits if expected else grown.search().page(f"({query}) name:*.h5").hits

    found = [(each.extractor, each.key, each.text) for each in hit.matched]
    assert found == (expected or [("", "name", "Graphene_run7.h5")])
    assert grown.search().page(query, excerpts=False).hits[0].matched == ()


def test_a_long_value_is_an_excerpt_around_its_words(contents: Contents) -> None:
    """Of a long text what stands around the first word is told, on one line."""
    contents.file(1, b"a", {"x": {"abstract": "before " * 100 + "the\n\n needle  here" + " after" * 100}})

    (hit,) = contents.search().page("needle").hits

    (match,) = hit.matched
    assert "before the needle here after" in match.text
    assert len(match.text) <= 162
    assert (match.text[0], match.text[-1], "\n" in match.text) == ("…", "…", False)


@pytest.fixture
def signed(contents: Contents) -> Contents:
    """Files with a name that is written in several ways."""
    for number, who in enumerate(("Dr. Müller", "muller", "MULLER"), start=1):
        contents.file(number, b"f%d" % number, {"x": {"who": who}})
    contents.file(4, b"f4", {"x": {"by": "Müller", "n": 3}})
    return contents


@each_row(
    ("query", "expected"),
    [
        ("who:müller", {1, 2, 3}),
        ("who.exact:Müller", {1}),
        ("who.exact:MULLER", {3}),
        ("who.exact:M*", {1, 3}),
        ('who.exact:"Dr. Müller"', {1}),
        ("x.who.exact:Müller", {1}),
        ("*.exact:Müller", {1, 4}),
        ("who.exact:*", {1, 2, 3}),
        ("exact:Müller", {1, 4}),
        ('exact:"Mu\N{COMBINING DIAERESIS}ller"', {1, 4}),
        ("exact:Müll", set()),
        ("NOT exact:Müller AND type:f", {2, 3}),
        ("exact:Müller AND who:*", {1}),
        ("exact:Müller OR who.exact:MULLER", {1, 3, 4}),
    ],
)
def test_exact_values_have_case_and_accents(signed: Contents, query: str, expected: set[int]) -> None:
    """KEY.exact: and exact: find words as they are written, composed or not; others ignore case and accents."""
    assert set(signed.found(query)) == expected
    assert signed.search().count(query) == len(expected)


def test_exact_values_are_those_that_may_be_read(contents: Contents) -> None:
    """A viewer finds no exact value of a file that the viewer may not read."""
    contents.execute("UPDATE object SET uid = 0, gid = 0, mode = 493 WHERE fid = ?", ROOT_FID.pack())
    for number, mode in ((1, 0o644), (2, 0o600)):
        contents.file(number, b"f%d" % number, {"x": {"who": "Ada"}}, uid=0, gid=0, mode=mode)

    assert contents.found("who.exact:Ada", visible_to=Viewer(7)) == [1]
    assert contents.search().count("exact:Ada", visible_to=Viewer(7)) == 1


def test_too_many_files_to_look_at_are_refused(contents: Contents) -> None:
    """A sentence says that more files match without case than are looked at; another condition narrows them."""
    for number in range(1, 6):
        contents.file(number, b"f%d" % number, {"x": {"who": "Ada", "n": number}})

    with pytest.raises(QueryError, match="add a condition"):
        contents.search(most=3).page("who.exact:Ada")
    narrowed = contents.search(most=3).page("who.exact:Ada AND n:<4")
    assert {hit.fid.oid for hit in narrowed.hits} == {1, 2, 3}


def test_relevance_puts_names_first_then_how_often_words_stand(contents: Contents) -> None:
    """A word in a name counts most, then documents that have it more often, then what is newer; pages go on."""
    contents.file(1, b"one", {"x": {"title": "graphene"}}, mtime_ns=1)
    contents.file(2, b"two", {"x": {"title": "graphene", "a": "more graphene and graphene", "b": "graphene"}})
    contents.file(3, b"graphene.dat", {"x": {"n": 1}})
    contents.file(4, b"four", {"x": {"title": "graphene"}}, mtime_ns=2)
    contents.file(5, b"five", {"x": {"title": "graphite"}})
    search = contents.search()

    first = search.page("graphene", sort="relevance", limit=3)
    second = search.page("graphene", sort="relevance", limit=3, cursor=first.cursor)

    assert [hit.fid.oid for hit in (*first.hits, *second.hits)] == [3, 2, 4, 1]
    assert (first.note, second.cursor) == (None, None)
    overview, _ = search.overview("graphene", ("ext",), sort="relevance")
    assert [hit.fid.oid for hit in overview.hits] == [3, 2, 4, 1]


def test_relevance_is_among_the_first_matches_and_says_so(contents: Contents) -> None:
    """Where more files match than are put into order, the page says so; an order without words is refused."""
    for number in (1, 2, 3):
        contents.file(number, b"f%d" % number, {"x": {"title": "word " * number}})

    page = contents.search(most=2).page("word", sort="relevance")

    assert [hit.fid.oid for hit in page.hits] == [2, 1]
    assert page.note is not None
    assert "the order is that of the first" in page.note
    with pytest.raises(QueryError, match="write some"):
        contents.search().page("size:>1", sort="relevance")


def test_relevance_tells_nothing_hidden(contents: Contents) -> None:
    """What may not be read, and names that may not be listed, do not change a viewer's order."""
    contents.execute("UPDATE object SET uid = 0, gid = 0, mode = 493 WHERE fid = ?", ROOT_FID.pack())
    contents.object(10, type="d", uid=0, gid=0, mode=0o700)
    contents.link(0, b"closed", 10)
    facts = {"uid": 0, "gid": 0, "mode": 0o644}
    contents.file(1, b"word1", {"x": {"title": "word"}}, mtime_ns=2, **facts)
    contents.file(2, b"word2", {"x": {"title": "word word word"}}, mtime_ns=1, **{**facts, "mode": 0o600})
    contents.link(10, b"word.dat", 2)

    ordered = contents.search().page("word*", sort="relevance", visible_to=Viewer(7)).hits

    assert [hit.fid.oid for hit in ordered] == [1, 2]


@pytest.fixture
def many_words(contents: Contents) -> Contents:
    """Files that have a word often, seldom, in the name or not at all, some of them not for all."""
    contents.execute("UPDATE object SET uid = 0, gid = 0, mode = 493 WHERE fid = ?", ROOT_FID.pack())
    for number in range(1, 13):
        mode = 0o600 if number % 4 == 0 else 0o644
        title = {"title": "word " * number, "n": number} if number % 3 else {"n": number}
        contents.file(
            number, b"d/%s%d" % (b"word" if number % 2 else b"file ", number), {"x": title}, uid=0, gid=0, mode=mode
        )
    contents.execute("UPDATE object SET uid = 0, gid = 0, mode = 493 WHERE type = 'd'")
    return contents


@pytest.mark.parametrize("viewer", [pytest.param(None, marks=pytest.mark.long), Viewer(7)])
@each_row("query", ["word", "word AND n:>0", "path:/d/** AND word", "word* NOT n:3"])
def test_relevance_finds_what_any_order_finds(many_words: Contents, query: str, viewer: Viewer | None) -> None:
    """However few objects are quickly collected, the order of relevance has all hits of a query, page by page."""
    for few in (1, 5, 50):
        search = many_words.search(few=few)
        wanted = {hit.fid for hit in search.page(query, visible_to=viewer).hits}
        found = [hit.fid for page in pages(search, query, sort="relevance", visible_to=viewer, portion=3)
                 for hit in page.hits]  # fmt: skip
        assert sorted(found) == sorted(wanted)
        assert found == [hit.fid for hit in search.page(query, sort="relevance", visible_to=viewer).hits]


def test_relevance_makes_whole_rows_of_one_page_only(contents: Contents) -> None:
    """Of all that is put into order only the hits of the page, and one more, are read as whole rows."""
    for number in range(1, 10):
        contents.file(number, b"f%d" % number, {"x": {"title": "word"}})
    backend = _Counting(contents.search()._backend)

    page = Search(backend).page("word", sort="relevance", limit=2)

    assert (len(page.hits), backend.rows) == (2, 3)


class _Counting:
    """A backend that counts the whole rows that were found."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.rows = 0

    @contextmanager
    def reading(self, viewer: Viewer | None, seconds: float | None = None) -> Iterator[Any]:
        with self._backend.reading(viewer, seconds) as reading:
            yield _CountingReading(reading, self)

    def close(self) -> None:
        """Nothing was opened."""


class _CountingReading:
    def __init__(self, reading: Reading, counting: _Counting) -> None:
        self._reading = reading
        self._counting = counting

    def find(self, node: Node, order: Order, after: PagePosition | None, limit: int) -> list[Row]:
        rows = self._reading.find(node, order, after, limit)
        self._counting.rows += len(rows)
        return rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reading, name)
