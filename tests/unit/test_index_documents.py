"""Documents: the newest wins, and no search row of an old one is ever left."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lustre_events.index import sqlite_documents
from lustre_events.index.sqlite_documents import (
    move_documents,
    put_document,
    put_failure,
    rebuild,
    remove_documents,
)
from lustre_events.index.values import MAX_ROWS
from tests.index_tables import add_object, make_index, search_rows
from tests.unit.test_index_values import documents


@pytest.fixture
def index() -> Iterator[sqlite3.Connection]:
    connection = make_index()
    yield connection
    connection.close()


def body_of(index: sqlite3.Connection, object_id: int, extractor: str = "x") -> Any:
    row = index.execute(
        "SELECT body FROM document WHERE object = ? AND extractor = ?", (object_id, extractor)
    ).fetchone()
    return row and row[0] and json.loads(row[0])


def failure_of(index: sqlite3.Connection, object_id: int) -> Any:
    row = index.execute("SELECT failure FROM document WHERE object = ?", (object_id,)).fetchone()
    return row and row[0] and json.loads(row[0])


@pytest.mark.parametrize(
    ("version", "written"), [((2, 1), False), ((3, 4), False), ((3, 5), True), ((3, 6), True), ((4, 1), True)]
)
def test_the_newest_document_wins(index: sqlite3.Connection, version: tuple[int, int], written: bool) -> None:
    """A document is written if its (generation, serial) is not below the stored one."""
    one = add_object(index, 1)
    put_document(index, one, "x", 3, 5, {"v": "old"}, {})

    assert put_document(index, one, "x", *version, {"v": "new"}, {}) is written

    assert body_of(index, one) == {"v": "new" if written else "old"}


def test_a_failure_is_kept_beside_the_good_document(index: sqlite3.Connection) -> None:
    """A failed attempt never replaces a document; the next good document clears it."""
    one = add_object(index, 1)
    put_document(index, one, "x", 1, 1, {"v": 1}, {"host": "n1"})

    assert put_failure(index, one, "x", 2, 1, {"error": "bad"}, {"host": "n2"})
    assert body_of(index, one) == {"v": 1}
    assert failure_of(index, one) == {"error": "bad", "provenance": {"host": "n2"}}

    assert put_document(index, one, "x", 2, 1, {"v": 2}, {})
    assert failure_of(index, one) is None


def test_a_late_failure_says_nothing_about_a_newer_document(index: sqlite3.Connection) -> None:
    """A failure of the stored document's generation or an older one is dropped, as is one older than the last."""
    one, two = add_object(index, 1), add_object(index, 2)
    put_document(index, one, "x", 2, 1, {"v": 1}, {})
    put_failure(index, two, "x", 5, 1, {"error": "new"}, {})

    assert not put_failure(index, one, "x", 2, 1, {"error": "late"}, {})
    assert not put_failure(index, two, "x", 4, 9, {"error": "late"}, {})

    assert failure_of(index, one) is None
    assert failure_of(index, two)["error"] == "new"


def test_a_newer_failure_outlives_an_older_document(index: sqlite3.Connection) -> None:
    """A document that arrives late does not hide that a newer generation failed."""
    one = add_object(index, 1)
    put_failure(index, one, "x", 5, 1, {"error": "bad"}, {})

    assert put_document(index, one, "x", 4, 1, {"v": 1}, {})

    assert body_of(index, one) == {"v": 1}
    assert failure_of(index, one)["error"] == "bad"


results = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2), st.booleans()), min_size=1, max_size=6, unique=True
)


@given(results, st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_results_in_any_order_and_any_number_of_times(results: list[tuple[int, int, bool]], random: Any) -> None:
    """Results of different versions lead to the same documents and failures in whatever order, however often."""
    shuffled = results * 2
    random.shuffle(shuffled)
    good = [(generation, serial) for generation, serial, ok in results if ok]
    bad = [(generation, serial) for generation, serial, ok in results if not ok]
    index = make_index()
    one = add_object(index, 1)

    for generation, serial, ok in shuffled:
        found = {"v": f"{generation}.{serial}"}
        (put_document if ok else put_failure)(index, one, "x", generation, serial, found, {})
    body, failure = body_of(index, one), failure_of(index, one)
    index.close()

    assert (body or {}).get("v") == ("{}.{}".format(*max(good)) if good else None)
    failed = max(bad) if bad and (not good or max(bad) > max(good)) else None
    assert (failure or {}).get("v") == ("{}.{}".format(*failed) if failed else None)


def test_moving_keeps_the_newer_document(index: sqlite3.Connection) -> None:
    """MIGRT: documents go to the new object, but never over a newer one, and failures go along."""
    one, two = add_object(index, 1), add_object(index, 2)
    put_document(index, one, "x", 3, 1, {"v": "source"}, {"host": "n1"})
    put_document(index, one, "y", 3, 1, {"v": "source"}, {})
    put_document(index, two, "y", 3, 1, {"v": "target"}, {})
    put_failure(index, one, "x", 4, 1, {"error": "bad"}, {"host": "n2"})

    move_documents(index, one, two)

    assert body_of(index, two, "x") == {"v": "source"}
    assert body_of(index, two, "y") == {"v": "target"}
    assert failure_of(index, two) == {"error": "bad", "provenance": {"host": "n2"}}
    assert index.execute("SELECT count(*) FROM document WHERE object = ?", (one,)).fetchone() == (0,)


objects = st.integers(0, 3)
versions = st.integers(0, 3)
steps = st.one_of(
    st.tuples(st.just("put"), objects, st.sampled_from("xy"), versions, documents),
    st.tuples(st.just("fail"), objects, st.sampled_from("xy"), versions),
    st.tuples(st.just("remove"), objects),
    st.tuples(st.just("move"), objects, objects),
)


@given(st.lists(steps, max_size=12))
@settings(max_examples=150, deadline=None)
def test_no_search_row_is_ever_left_behind(story: list[tuple[Any, ...]]) -> None:
    """After any story the search rows are those of an index built afresh from the stored documents."""
    index = make_index()
    ids = [add_object(index, number + 1) for number in range(4)]

    for kind, one, *rest in story:
        if kind == "put":
            put_document(index, ids[one], rest[0], rest[1], 1, rest[2], {})
        elif kind == "fail":
            put_failure(index, ids[one], rest[0], rest[1], 1, {"error": "bad"}, {})
        elif kind == "remove":
            remove_documents(index, [ids[one]])
        else:
            move_documents(index, ids[one], ids[rest[0]])
    after = search_rows(index)
    index.execute("INSERT INTO fulltext (fulltext) VALUES ('integrity-check')")
    rebuild(index)
    afresh = search_rows(index)
    index.close()

    assert after == afresh


def test_keys_of_one_extractor_are_bounded(index: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """An extractor that invents keys fills neither the table of keys nor leaves rows that nobody can remove."""
    monkeypatch.setattr(sqlite_documents, "MAX_KEYS_OF_EXTRACTOR", 3)
    one = add_object(index, 1)
    put_document(index, one, "x", 1, 1, {f"k{n}": n for n in range(10)}, {})

    assert index.execute("SELECT count(*) FROM key").fetchone() == (3,)
    assert index.execute("SELECT count(*) FROM number").fetchone() == (3,)

    remove_documents(index, [one])
    assert not any(search_rows(index).values())


def test_a_document_too_large_for_search_says_so(index: sqlite3.Connection) -> None:
    """The provenance says that not everything is searched, also when the same document is written again."""
    one, two = add_object(index, 1), add_object(index, 2)
    for generation in (1, 2):
        put_document(index, one, "x", generation, 1, {"a": list(range(MAX_ROWS + 1))}, {"host": "n1"})
        put_document(index, two, "x", generation, 1, {"a": 1}, {"host": "n1"})

    found = [json.loads(row[0]) for row in index.execute("SELECT provenance FROM document ORDER BY object")]

    assert found == [{"host": "n1", "search_truncated": True}, {"host": "n1"}]
