"""Search: the SQL finds exactly what a naive filter finds, and only live objects."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any, NoReturn, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.changelog.fid import FID
from lustre_events.errors import IndexUnavailable, QueryError
from lustre_events.index.backend import Backend
from lustre_events.index.query.parser import parse
from lustre_events.index.search.hits import Hit
from lustre_events.index.search.search import Search
from lustre_events.index.sqlite.documents import put_document, put_failure, remove_documents
from lustre_events.index.visibility import Viewer
from tests.support.index.paths import Links, links, patterns
from tests.support.index.queries import (
    NOW,
    File,
    files,
    matches,
    queries,
)
from tests.support.index.tables import add_file, add_link, add_object, make_index, searching
from tests.support.profiles import examples
from tests.support.records.builders import fid_of
from tests.support.rows import each_row


@pytest.fixture
def index() -> Iterator[sqlite3.Connection]:
    connection = make_index()
    yield connection
    connection.close()


def search(index: sqlite3.Connection, query: str, few: int = 20_000, **options: Any) -> list[Hit]:
    return searching(index, few).search(query, **options)


def found(index: sqlite3.Connection, query: str, **options: Any) -> list[int]:
    return [hit.fid.oid for hit in search(index, query, now_ns=NOW, **options)]


def test_the_main_job(index: sqlite3.Connection) -> None:
    """Files are found by a column that a table has and by their size."""
    table = {"columns": ["time", "temperature"], "rows": 3}
    add_file(index, 1, b"proj/run7/a.csv", {"tabular": table}, size=2000)
    add_file(index, 2, b"proj/run7/b.csv", {"tabular": table}, size=500)
    add_file(index, 3, b"proj/c.csv", {"tabular": {"columns": ["x"]}}, size=5000)

    hits = search(index, "columns:temperature AND size:>1k", now_ns=NOW)

    assert [(hit.fid, hit.paths, hit.size, hit.documents) for hit in hits] == [
        (fid_of(1), (b"proj/run7/a.csv",), 2000, {"tabular": table})
    ]
    assert found(index, "path:/proj/run7/** rows:3") == [1, 2]
    assert found(index, "tabular.columns:(x OR time) -size:<1k") == [1, 3]


def test_only_live_objects_are_hits(index: sqlite3.Connection) -> None:
    """An object without a name is not found, whatever documents it has."""
    add_file(index, 1, b"a.csv", {"tabular": {"columns": ["x"]}})
    add_link(index, 0, b"a.csv", None)

    assert found(index, "*") == found(index, "columns:x") == found(index, "NOT columns:y") == []


def test_words_of_two_documents(index: sqlite3.Connection) -> None:
    """Words may stand in several documents of a file, which is one hit; a phrase stands in one value."""
    add_file(index, 1, b"a", {"x": {"t": ["silicon carbide", "graphene"]}, "y": {"t": "ARPES"}})

    assert found(index, "graphene arpes") == [1]
    assert found(index, '"Silicon Carbide"') == [1]
    assert found(index, '"carbide graphene"') == []
    assert found(index, "graph*") == [1]


def test_a_rewritten_document_is_found_by_its_new_words_only(index: sqlite3.Connection) -> None:
    """Search follows the documents."""
    one = add_file(index, 1, b"a", {"x": {"title": "old words", "n": 1}})
    put_document(index, one, "x", 2, 1, {"title": "new words", "n": 2}, {})

    assert found(index, "old") == found(index, "title:old") == found(index, "n:1") == []
    assert found(index, "new") == found(index, "title:new") == found(index, "n:2") == [1]

    remove_documents(index, [one])
    assert found(index, "new OR title:new OR n:2 OR extractor:x") == []


def test_a_range_of_words_compares_whole_values(index: sqlite3.Connection) -> None:
    """Parts of a value never fall into a range: 22 in an old date is not after 2026-06."""
    add_file(index, 1, b"a", {"x": {"date": "2026-01-22T10:00"}})
    add_file(index, 2, b"b", {"x": {"date": "2026-07-01T10:00"}})

    assert found(index, "date:>2026-06") == [2]
    assert found(index, "date:[2026-01-01 TO 2026-02-01]") == [1]


def test_names_that_are_not_utf8(index: sqlite3.Connection) -> None:
    """Names of any bytes are found by globs, exactly by surrogate escapes, and given back as they are."""
    add_file(index, 1, b"x\xff\n.CSV")
    add_file(index, 2, b"%_x.csv")

    assert found(index, "name:x\udcff\\\n.CSV") == [1]
    assert found(index, "name:x*") == [1]
    assert found(index, "ext:csv") == [1, 2]
    assert search(index, "ext:csv", now_ns=NOW)[0].paths == (b"x\xff\n.CSV",)


def test_order(index: sqlite3.Connection) -> None:
    """The option sort orders the hits, unknown facts last in both directions."""
    for number, size in enumerate([5, None, 7, 6], start=1):
        add_file(index, number, b"%d" % number, size=size)

    assert found(index, "type:f", limit=2) == [1, 2]
    assert found(index, "type:f", sort="size") == [1, 4, 3, 2]
    assert found(index, "type:f", sort="-size") == [3, 4, 1, 2]
    assert searching(index).count("type:f") == 4
    with pytest.raises(QueryError, match="cannot sort by 'colour'"):
        search(index, "*", sort="colour")


@pytest.fixture
def of_one_file(index: sqlite3.Connection) -> sqlite3.Connection:
    """An index with one file and its document."""
    add_file(index, 1, b"a", {"x": {"t": "a b"}})
    return index


@each_row(
    "query", ['"""', "-", "...", "'", 'a"b', "NEAR", "a^2", "{a}", "body:x", "%", "\\", "ÄÖ*", "path:/**/**/**"]
)
def test_text_that_means_something_to_the_database(of_one_file: sqlite3.Connection, query: str) -> None:
    """Nothing that is typed reaches the database as its own language."""
    try:
        hits = search(of_one_file, query, now_ns=NOW)
    except QueryError:
        hits = []
    assert len(hits) <= 1


# The naive model


@given(files, st.lists(queries, min_size=5, max_size=5))
@examples(150)
def test_search_finds_what_a_naive_filter_finds(files: list[File], queries: list[str]) -> None:
    """Every query over every set of files finds exactly the files that a filter in Python finds."""
    index = make_index()
    for file in files:
        object_id = add_file(index, file.number, file.path, file.documents, **file.facts)
        for extractor in file.failed:
            put_failure(index, object_id, extractor, 2, 1, {"error": "bad"}, {})

    few = len(files) % 3 * 1000  # both ways to search must find the same
    got = {query: set(found(index, f"({query}) type:f", few=few)) for query in queries}
    counted = {query: searching(index, few).count(f"({query}) type:f", now_ns=NOW) for query in queries}
    index.close()

    for query in queries:
        tree = parse(query, now_ns=NOW)
        assert got[query] == {file.number for file in files if matches(tree, file)}, query
        assert counted[query] == len(got[query])


@given(links, patterns)
@examples(200)
def test_not_is_the_complement(links: Links, pattern: str) -> None:
    """Whatever the links are, cycles included, each object matches a path pattern or NOT the same pattern."""
    index = make_index()
    for number in range(1, 10):
        add_object(index, number)
    for (parent, name), fid in links.items():
        add_link(index, parent, name, fid)
    escaped = pattern.replace("[[]", r"\[").replace("[*]", r"\*")

    everything = found(index, "*")
    inside, outside = found(index, f"path:{escaped}"), found(index, f"NOT path:{escaped}")
    index.close()

    assert sorted(inside + outside) == everything


@given(st.text(max_size=20), st.sampled_from(["", "k:", "name:", "path:", "ext:", "jobid:", "x.k:>", "extractor:"]))
@examples(300)
def test_any_query_that_parses_can_be_run(text: str, prefix: str) -> None:
    """No text reaches SQLite in a form that it refuses."""
    index = make_index()
    add_file(index, 1, b"d/a.csv", {"x": {"k": "red"}})
    try:
        hits = search(index, prefix + text, now_ns=NOW)
    except QueryError:
        hits = []
    finally:
        index.close()

    assert all(isinstance(hit.fid, FID) and json.dumps(hit.documents) for hit in hits)


class NoTime:
    """An index that answers nothing in the time that there is."""

    def reading(self, viewer: Viewer | None, seconds: float) -> NoReturn:
        """See `Backend`."""
        raise IndexUnavailable("interrupted")


def test_a_mistake_stays_one_where_there_is_no_time_for_hints() -> None:
    """A name that this machine does not know is the viewer's mistake, also where the index gives nothing better."""
    with pytest.raises(QueryError, match="no-such-user"):
        Search(cast("Backend", NoTime())).hints("owner:no-such-user")
