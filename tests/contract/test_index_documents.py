"""Documents on both databases: the newest wins, and no search row of an old one is ever left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.index.interface import ObjectRow
from lustre_events.index.opening import open_search
from lustre_events.index.values import MAX_ROWS
from lustre_events.jobs.messages import Result
from tests.support.index.contents import Contents
from tests.support.index.documents import documents
from tests.support.index.places import BACKENDS, EmptyPlace, IndexPlace
from tests.support.model.dispatcher import Rig
from tests.support.profiles import examples
from tests.support.records.builders import fid_of

both = pytest.mark.parametrize("backend", BACKENDS)


@pytest.fixture
def index(index_place: IndexPlace) -> Iterator[Contents]:
    with Contents(index_place) as contents:
        yield contents


def body_of(index: Contents, object_id: int, extractor: str = "x") -> Any:
    rows = index.execute("SELECT body FROM document WHERE object = ? AND extractor = ?", object_id, extractor)
    return json.loads(rows[0][0]) if rows and rows[0][0] else None


def failure_of(index: Contents, object_id: int) -> Any:
    rows = index.execute("SELECT failure FROM document WHERE object = ? AND failure IS NOT NULL", object_id)
    return json.loads(rows[0][0]) if rows and rows[0][0] else None


@pytest.mark.parametrize(
    ("version", "written"), [((2, 1), False), ((3, 4), False), ((3, 5), True), ((3, 6), True), ((4, 1), True)]
)
def test_the_newest_document_wins(index: Contents, version: tuple[int, int], written: bool) -> None:
    """A document is written if its (generation, serial) is not below the stored one."""
    one = index.object(1)
    index.document(one, "x", (3, 5), {"v": "old"})

    assert index.document(one, "x", version, {"v": "new"}) is written

    assert body_of(index, one) == {"v": "new" if written else "old"}


def test_a_failure_is_kept_beside_the_good_document(index: Contents) -> None:
    """A failed attempt never replaces a document; the next good document clears it."""
    one = index.object(1)
    index.document(one, "x", (1, 1), {"v": 1}, {"host": "n1"})

    assert index.failure(one, "x", (2, 1), {"error": "bad"}, {"host": "n2"})
    assert body_of(index, one) == {"v": 1}
    assert failure_of(index, one) == {"error": "bad", "provenance": {"host": "n2"}}

    assert index.document(one, "x", (2, 1), {"v": 2})
    assert failure_of(index, one) is None


def test_a_late_failure_says_nothing_about_a_newer_document(index: Contents) -> None:
    """A failure of the stored document's generation or an older one is dropped, as is one older than the last."""
    one, two = index.object(1), index.object(2)
    index.document(one, "x", (2, 1), {"v": 1})
    index.failure(two, "x", (5, 1), {"error": "new"})

    assert not index.failure(one, "x", (2, 1), {"error": "late"})
    assert not index.failure(two, "x", (4, 9), {"error": "late"})

    assert failure_of(index, one) is None
    assert failure_of(index, two)["error"] == "new"


def test_a_newer_failure_outlives_an_older_document(index: Contents) -> None:
    """A document that arrives late does not hide that a newer generation failed."""
    one = index.object(1)
    index.failure(one, "x", (5, 1), {"error": "bad"})

    assert index.document(one, "x", (4, 1), {"v": 1})

    assert body_of(index, one) == {"v": 1}
    assert failure_of(index, one)["error"] == "bad"


results = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2), st.booleans()), min_size=1, max_size=6, unique=True
)


@both
@examples(40)
@given(results, st.randoms(use_true_random=False))
def test_results_in_any_order_and_any_number_of_times(
    empty_place: EmptyPlace, backend: str, results: list[tuple[int, int, bool]], random: Any
) -> None:
    """Results of different versions lead to the same documents and failures in whatever order, however often."""
    shuffled = results * 2
    random.shuffle(shuffled)
    good = [(generation, serial) for generation, serial, ok in results if ok]
    bad = [(generation, serial) for generation, serial, ok in results if not ok]
    with Contents(empty_place(backend)) as index:
        one = index.object(1)
        for generation, serial, ok in shuffled:
            found = {"v": f"{generation}.{serial}"}
            (index.document if ok else index.failure)(one, "x", (generation, serial), found)
        body, failure = body_of(index, one), failure_of(index, one)

    assert (body or {}).get("v") == ("{}.{}".format(*max(good)) if good else None)
    failed = max(bad) if bad and (not good or max(bad) > max(good)) else None
    assert (failure or {}).get("v") == ("{}.{}".format(*failed) if failed else None)


def test_moving_keeps_the_newer_document(index: Contents) -> None:
    """MIGRT: documents go to the new object, but never over a newer one, and failures go along."""
    one, two = index.object(1), index.object(2)
    index.document(one, "x", (3, 1), {"v": "source"}, {"host": "n1"})
    index.document(one, "y", (3, 1), {"v": "source"})
    index.document(two, "y", (3, 1), {"v": "target"})
    index.failure(one, "x", (4, 1), {"error": "bad"}, {"host": "n2"})

    index.move(one, two)

    assert body_of(index, two, "x") == {"v": "source"}
    assert body_of(index, two, "y") == {"v": "target"}
    assert failure_of(index, two) == {"error": "bad", "provenance": {"host": "n2"}}
    assert index.execute("SELECT count(*) FROM document WHERE object = ?", one) == [(0,)]


objects = st.integers(1, 4)
versions = st.integers(0, 3)
steps = st.one_of(
    st.tuples(st.just("put"), objects, st.sampled_from("xy"), versions, documents),
    st.tuples(st.just("fail"), objects, st.sampled_from("xy"), versions),
    st.tuples(st.just("remove"), objects),
    st.tuples(st.just("move"), objects, objects),
)


@both
@examples(80)
@given(st.lists(steps, max_size=12))
def test_no_search_row_is_ever_left_behind(
    empty_place: EmptyPlace, backend: str, story: list[tuple[Any, ...]]
) -> None:
    """After any story the search rows are those of an index built afresh from the stored documents."""
    with Contents(empty_place(backend)) as index:
        ids = {number: index.object(number) for number in range(1, 5)}
        for kind, one, *rest in story:
            if kind == "put":
                index.document(ids[one], rest[0], (rest[1], 1), rest[2])
            elif kind == "fail":
                index.failure(ids[one], rest[0], (rest[1], 1), {"error": "bad"})
            elif kind == "remove":
                index.remove(one)
                ids[one] = index.object(one)
            else:
                index.move(ids[one], ids[rest[0]])
        after = index.search_rows()
        index.rebuild()
        afresh = index.search_rows()

    assert after == afresh


@both
def test_no_value_of_a_removed_object_is_left(empty_place: EmptyPlace, backend: str) -> None:
    """Numbers and times that stand as text go with their object, too, so that their keys can be freed."""
    with Contents(empty_place(backend)) as index:
        written = {"n": "5", "t": "2020-01-01", "f": 2.5, "w": "red"}
        index.document(index.object(1), "x", (1, 1), written)
        before = index.search_rows()
        index.remove(1)
        after = index.search_rows()

    assert {"text_number", "text_time", "number", "word"} <= {name for name, rows in before.items() if rows}
    assert not any(after.values())


@both
@given(
    puts=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from("xy"), st.integers(1, 2), documents), min_size=2, max_size=6
    )
)
@examples(15)
def test_a_set_of_documents_is_written_as_each_on_its_own(
    empty_place: EmptyPlace, backend: str, puts: list[tuple[int, str, int, dict[str, Any]]]
) -> None:
    """Documents that are written together leave the rows that they leave one after the other."""
    found = []
    for together in (True, False):
        with Contents(empty_place(backend)) as index:
            ids = [index.object(number) for number in range(3)]
            index.document(ids[0], "x", (1, 1), {"k": "was here", "n": 1})
            rows = [(ids[number], extractor, (version, 1), body) for number, extractor, version, body in puts]
            written = index.documents(rows) if together else [index.document(*row) for row in rows]
            stored = index.execute("SELECT id, object, extractor, generation, body FROM document")
            of_document = {row[0]: (ids.index(row[1]), row[2]) for row in stored}
            rows_of = index.search_rows()
            texts = rows_of.pop("fulltext")
            if backend == "postgresql":  # which numbers documents and objects anew
                texts = {(of_document[row[0]], row[1], *row[3:]) for row in texts}
            values = {kind: {(*rest, ids.index(each)) for *rest, each in rows} for kind, rows in rows_of.items()}
            bodies = sorted((*of_document[row[0]], *row[3:]) for row in stored)
            found.append((written, bodies, values, texts))

    assert found[0] == found[1]


def test_keys_of_one_extractor_are_bounded(index: Contents, monkeypatch: pytest.MonkeyPatch) -> None:
    """An extractor that invents keys fills neither the table of keys nor leaves rows that nobody can remove."""
    for database in ("sqlite", "postgresql"):
        monkeypatch.setattr(f"lustre_events.index.{database}.keys.MAX_KEYS_OF_OWNER", 3)
    one = index.object(1)
    index.document(one, "x", (1, 1), {f"k{n}": n for n in range(10)})

    assert index.execute("SELECT count(*) FROM key") == [(3,)]
    assert index.execute("SELECT count(*) FROM number") == [(3,)]

    index.remove(1)
    assert not any(index.search_rows().values())


@pytest.fixture
def three_keys_each(index_place: IndexPlace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """An index in which each owner may have three keys of an extractor, and all together seven."""
    for database in ("sqlite", "postgresql"):
        monkeypatch.setattr(f"lustre_events.index.{database}.keys.MAX_KEYS_OF_OWNER", 3)
        monkeypatch.setattr(f"lustre_events.index.{database}.keys.MAX_KEYS_OF_EXTRACTOR", 7)
    rig = Rig(index_place)
    yield rig
    rig.close()


def write(rig: Rig, number: int, owner: int, document: dict[str, Any], generation: int = 1) -> None:
    """Write a document of a file of somebody's."""
    with rig.writer.transaction() as transaction:
        if fid_of(number) not in transaction.objects([fid_of(number)]):
            transaction.put_objects([ObjectRow(fid=fid_of(number), generation=1, content=1, type="f")])
        row = msgspec.structs.replace(transaction.objects([fid_of(number)])[fid_of(number)], uid=owner)
        found = Result(fid=row.fid, extractor="x", serial=1, generation=generation, status="ok", document=document)
        transaction.put_documents([(row, found)])


def cut(rig: Rig, number: int) -> bool:
    """Whether the document of a file says that not everything in it is searched."""
    with open_search(rig.path if isinstance(rig.path, str) else f"sqlite:///{rig.path}") as index:
        [document] = index.show(fid_of(number)).documents
    return bool(document.provenance.get("search_truncated"))


def test_who_invents_keys_takes_none_from_others(three_keys_each: Rig) -> None:
    """Each owner has keys of his own; a document whose keys have no room says so; all share what is there."""
    rig = three_keys_each
    for number in range(1, 5):
        write(rig, number, 1, {f"k{number}": 1, "common": number})
    write(rig, 5, 2, {"mine": 1, "k1": 1, "k4": 1})

    assert [cut(rig, number) for number in range(1, 6)] == [False, False, True, True, False]
    assert sorted(rig.select("SELECT name FROM key")) == ["common", "k1", "k2", "k4", "mine"]

    write(rig, 6, 3, {"a": 1, "b": 1, "c": 1})
    assert cut(rig, 6), "the table has room for seven"


def test_keys_that_nothing_has_are_freed(three_keys_each: Rig) -> None:
    """When the last document with a key is gone, its owner may have another; who has it is still found."""
    rig = three_keys_each
    write(rig, 1, 1, {"a": 1, "b": 2})
    write(rig, 2, 1, {"b": 3, "c": 4})
    write(rig, 3, 1, {"d": 5})
    with rig.writer.transaction() as transaction:
        transaction.remove_objects([fid_of(1)])
        at = transaction.free_keys(0, 2)
        assert (at > 0, transaction.free_keys(at, 2)) == (True, 0)
    assert sorted(rig.select("SELECT name FROM key")) == ["b", "c"]

    write(rig, 3, 1, {"d": 5, "b": 6}, generation=2)
    assert not cut(rig, 3)
    found = "SELECT key.name, value FROM number JOIN key ON key.id = number.key"
    assert sorted((name, int(value)) for name, value in rig.select(found)) == [
        ("b", 3),
        ("b", 6),
        ("c", 4),
        ("d", 5),
    ]


def test_a_key_that_was_freed_is_made_anew(three_keys_each: Rig) -> None:
    """What the writer remembers of a key ends with the key: the next document with it is found."""
    rig = three_keys_each
    write(rig, 1, 1, {"a": 1, "kept": 1})
    write(rig, 2, 1, {"kept": 1})
    with rig.writer.transaction() as transaction:
        transaction.remove_objects([fid_of(1)])
        transaction.free_keys(0, 100)
    write(rig, 3, 1, {"a": 2})
    found = "SELECT value FROM number JOIN key ON key.id = number.key WHERE name = 'a'"
    assert list(map(int, rig.select(found))) == [2]


def test_a_key_that_comes_later_finds_a_document_when_it_is_written_again(three_keys_each: Rig) -> None:
    """What had no room in one owner's document, and then was made for another, is found from the next write on."""
    rig = three_keys_each
    write(rig, 1, 1, {"a": 1, "b": 1, "c": 1, "d": 1})
    write(rig, 2, 2, {"d": 1})
    write(rig, 1, 1, {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}, generation=2)
    assert rig.select("SELECT count(*) FROM number JOIN key ON key.id = number.key WHERE name = 'd'") == [2]


def test_a_document_too_large_for_search_says_so(index: Contents) -> None:
    """The provenance says that not everything is searched, also when the same document is written again."""
    index.file(1, b"a")
    index.file(2, b"b")
    one, two = index.execute("SELECT id FROM object WHERE type = 'f' ORDER BY fid")
    for generation in (1, 2):
        index.document(one[0], "x", (generation, 1), {"a": list(range(MAX_ROWS + 1))}, {"host": "n1"})
        index.document(two[0], "x", (generation, 1), {"a": 1}, {"host": "n1"})

    hits = index.search().search("type:f")
    views = index.search().show_many([hit.fid for hit in hits])

    assert [view.documents[0].provenance for view in views] == [
        {"host": "n1", "search_truncated": True}, {"host": "n1"}
    ]  # fmt: skip
