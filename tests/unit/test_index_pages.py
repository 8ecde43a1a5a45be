"""Pages of hits: put together they are the whole, whatever changes between two of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.errors import QueryError
from lustre_events.index.search.hits import Hit
from lustre_events.index.search.search import MAX_PAGE, Search
from tests.support.index.tables import add_file, add_link, make_index, searching
from tests.support.profiles import examples

NOW = 1_800_000_000_000_000_000


@pytest.fixture
def index() -> Iterator[sqlite3.Connection]:
    connection = make_index()
    yield connection
    connection.close()


def pages(search: Search, query: str, limit: int, **options: Any) -> list[Hit]:
    """All hits, page by page."""
    hits: list[Hit] = []
    cursor = None
    while True:
        page = search.page(query, limit=limit, cursor=cursor, **options)
        assert len(page.hits) == limit or page.cursor is None
        hits += page.hits
        cursor = page.cursor
        if cursor is None:
            return hits


files = st.lists(
    st.tuples(
        st.sampled_from([b"d", b"d/e", b"d.x", b"f", b"d/e/g"]),
        st.sampled_from([b"a", b"b", b"c c", b"\xff", b"z"]),
        st.none() | st.integers(0, 3), st.sampled_from(["red", "blue", "red blue"]),
    ),
    unique_by=lambda file: file[:2], max_size=15,
)  # fmt: skip
queries = st.sampled_from(
    ["*", "type:f", "path:/d/**", "path:/d/*", "path:/d/** k:red", "red", "k:red", "red blue", "k:r* OR size:>1",
     "-red", "path:/** red", "size:>=0", "name:a", "red k:blue", "extractor:x red"]
)  # fmt: skip


@given(
    files, queries, st.sampled_from([None, "size", "-size", "mtime", "-ctime"]), st.integers(1, 4),
    st.sampled_from([0, 3, 1000]),
)  # fmt: skip
@examples(300)
def test_all_pages_are_the_whole(
    files: list[tuple[bytes, bytes, int | None, str]], query: str, sort: str | None, limit: int, few: int
) -> None:
    """Pages repeat nothing and leave nothing out, in one order, whichever way the hits are found."""
    index = make_index()
    for number, (directory, name, fact, word) in enumerate(files, 1):
        facts = {"size": fact, "mtime_ns": fact, "ctime_ns": fact}
        add_file(index, number, directory + b"/" + name, {"x": {"k": word}, "y": {"k": "red"}}, **facts)
        if number % 3 == 0:
            add_link(index, 0, b"link%d" % number, number)
            add_link(index, 1000, b"link%d" % number, number)
    search = searching(index, few)

    hits = pages(search, query, limit, sort=sort)
    whole = search.search(query, sort=sort)
    index_size = search.count(query)
    index.close()

    assert hits == whole
    assert len({hit.fid for hit in hits}) == len(hits) == index_size
    if sort in {"size", "-size"}:
        sizes = [hit.size for hit in hits]
        known = [size for size in sizes if size is not None]
        assert known == sorted(known, reverse=sort == "-size")
        assert sizes[: len(known)] == known


@pytest.fixture(scope="module")
def nameless() -> Iterator[sqlite3.Connection]:
    """An index in which of 900 objects the first 400 have no name any more, and every other one after them."""
    connection = make_index()
    connection.execute("BEGIN")
    for number in range(1, 901):
        documents = {name: {"n": number, "k": "red"} for name in ("x", "y")}  # two values for each object
        add_file(connection, number, b"f%d" % number, documents, size=number)
        if number <= 400 or number % 2:
            add_link(connection, 0, b"f%d" % number, None)
    connection.execute("COMMIT")
    yield connection
    connection.close()


@pytest.mark.parametrize("query", ["n:>0", "n:>0 AND size:>=0", "red", "red AND k:red", "n:>0 OR blue"])
@pytest.mark.parametrize("limit", [7, pytest.param(100, marks=pytest.mark.long)])
def test_a_first_part_without_hits_ends_no_page(nameless: sqlite3.Connection, query: str, limit: int) -> None:
    """Where the first few hundred objects that match have no name any more, the ones behind them are found."""
    hits = pages(searching(nameless, 2_000), query, limit)

    assert [hit.fid.oid for hit in hits] == list(range(402, 901, 2))


@pytest.mark.parametrize(("query", "few"), [("type:f", 1000), ("type:f", 0), ("path:/d/**", 0)])
def test_a_change_between_two_pages_moves_nothing_else(index: sqlite3.Connection, query: str, few: int) -> None:
    """What is removed before the next page's place, or added there, neither repeats nor hides another file."""
    for number in range(1, 9):
        add_file(index, number, b"d/f%d" % number)
    search = searching(index, few)

    first = search.page(query, limit=4)
    add_link(index, 1000, b"f2", None)  # the second of the first page
    add_link(index, 1000, b"f4", None)  # the last one: the place itself
    add_file(index, 20, b"d/f0")
    rest = search.page(query, limit=10, cursor=first.cursor)

    assert [hit.fid.oid for hit in first.hits] == [1, 2, 3, 4]
    assert [hit.fid.oid for hit in rest.hits if hit.fid.oid != 20] == [5, 6, 7, 8]


def test_all_pages_mean_the_same_now(index: sqlite3.Connection) -> None:
    """What `now` means is in the cursor: a later page answers the question of the first one."""
    for number in range(1, 4):
        add_file(index, number, b"f%d" % number, mtime_ns=NOW - 1000)
    search = searching(index)

    first = search.page("mtime:>now-1s", limit=2, now_ns=NOW)
    rest = search.page("mtime:>now-1s", limit=2, cursor=first.cursor)

    assert [hit.fid.oid for hit in (*first.hits, *rest.hits)] == [1, 2, 3]


def test_a_cursor_belongs_to_its_search(index: sqlite3.Connection) -> None:
    """A cursor of another query or order, a damaged one, and no cursor at all are refused in a sentence."""
    for number in range(1, 4):
        add_file(index, number, b"f%d" % number, size=number)
    search = searching(index)
    cursor = search.page("type:f", limit=1, sort="size").cursor or ""

    wrong = [("type:d", "size", cursor), ("type:f", "-size", cursor), ("type:f", None, cursor)]
    other = ("B" if cursor[0] == "A" else "A") + cursor[1:]
    wrong += [("type:f", "size", text) for text in ("", "x", cursor[:-2], other, cursor + "é", "=" * 9)]
    for query, sort, text in wrong:
        with pytest.raises(QueryError, match="begin again without it"):
            search.page(query, sort=sort, cursor=text)
    assert len(search.page("type:f", sort="size", cursor=cursor).hits) == 2


@pytest.mark.parametrize("limit", [0, -1, MAX_PAGE + 1])
def test_pages_have_bounds(index: sqlite3.Connection, limit: int) -> None:
    """A page without hits, or with more than memory should hold, is refused."""
    with pytest.raises(QueryError, match="1 to 10000 hits"):
        searching(index).page("*", limit=limit)


@pytest.mark.parametrize("gone", [range(1), range(2, 9), range(1, 9), range(6, 12)])
def test_ids_with_gaps_are_all_found(index: sqlite3.Connection, gone: range) -> None:
    """Where many objects match and the ids between them are gone, pages have every object once, in order."""
    for number in range(1, 13):
        add_file(index, number, b"d/%d" % number)
    index.executemany("DELETE FROM object WHERE id IN (SELECT id FROM object WHERE type = 'f' ORDER BY id"
                      " LIMIT 1 OFFSET ?)", [(min(gone, default=0),) for _ in gone])  # fmt: skip
    stays = [oid for number, oid in enumerate(range(1, 13)) if number not in gone]

    found = pages(searching(index, few=3), "type:f", 2)
    assert [hit.fid.oid for hit in found] == stays


def test_a_walk_through_many_ways_ends(index: sqlite3.Connection) -> None:
    """Links out of order can make more ways through directories than there is time for; each is walked once."""
    for level in range(40):
        add_link(index, 1000 + level, b"a", 1001 + level)
        add_link(index, 1000 + level, b"b", 1001 + level)
    add_link(index, 0, b"d", 1000)
    add_file(index, 1, b"d/f")

    assert [hit.fid.oid for hit in searching(index, few=0).search("path:/d/** type:f")] == [1]
