"""The index as its writer sees it, on both databases."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import msgspec
import pytest

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.domain.action_run import Run
from lustre_events.domain.namespace import Link
from lustre_events.domain.pending import PendingRow
from lustre_events.errors import IndexUnavailable, LeaseLost
from lustre_events.index.interface import Cursor, Facts, Identity, Lane, ObjectRow, OwnerWork, Transaction
from lustre_events.jobs.messages import Result
from tests.support.index.places import IndexPlace, Writer, open_writer, rows_of
from tests.support.records.builders import fid_of

F1, F2 = fid_of(1), fid_of(2)
FACTS = Facts(type="f", size=1, mtime_ns=2, ctime_ns=3, atime_ns=4, uid=5, gid=6, mode=7, nlink=8)


@pytest.fixture
def writer(index_place: IndexPlace) -> Iterator[Writer]:
    made = open_writer(index_place)
    made.take_over()
    yield made
    made.close()


def pending(number: int, **fields: object) -> PendingRow:
    values = {
        "extractor": "tabular", "generation": 1, "due_ns": number, "changed_ns": 0, "reason": "write",
        "queue": "default", **fields,
    }  # fmt: skip
    return PendingRow(fid=fid_of(number), **values)  # type: ignore[arg-type]


def result(generation: int, document: dict[str, int], serial: int = 1) -> Result:
    return Result(fid=F1, extractor="tabular", serial=serial, generation=generation, status="ok", document=document)


def test_a_commit_survives_and_a_failure_leaves_nothing(writer: Writer, index_place: IndexPlace) -> None:
    """All of a transaction is written, or nothing."""
    with pytest.raises(ZeroDivisionError), writer.transaction() as transaction:  # noqa: PT012
        transaction.set_links([Link(ROOT_FID, b"a", F1, b"1")])
        raise ZeroDivisionError
    with writer.transaction() as transaction:
        assert transaction.linked([F1]) == set()
        transaction.set_links([Link(ROOT_FID, b"b", F2, b"1")])
        transaction.count({"records": 2})

    other = open_writer(index_place)
    other.take_over()
    with other.transaction() as transaction:
        assert transaction.linked([F1, F2]) == {F2}
    assert other.counters() == {"records": 2}
    other.close()


def test_whoever_was_the_writer_before_stops(writer: Writer, index_place: IndexPlace) -> None:
    """After another writer has taken over, no transaction of the first one begins."""
    other = open_writer(index_place)
    other.take_over()
    with pytest.raises(LeaseLost, match="taken over"), writer.transaction():
        pass
    with other.transaction():
        pass
    other.close()


def test_a_cursor_moves_from_where_it_was(writer: Writer) -> None:
    """A cursor that is not where its writer believes means that somebody else wrote."""
    with writer.transaction() as transaction:
        transaction.advance(Cursor("fs-MDT0000", 7), Cursor("fs-MDT0000", 7, 10, 99, 3, 90))
    assert writer.cursors() == {("fs-MDT0000", 7): Cursor("fs-MDT0000", 7, 10, 99, 3, 90)}
    for before in (Cursor("fs-MDT0000", 7), Cursor("fs-MDT0000", 7, 9)):
        with pytest.raises(LeaseLost, match="no longer at"), writer.transaction() as transaction:
            transaction.advance(before, Cursor("fs-MDT0000", 7, 11, 100))


def test_the_highest_stamp_wins(writer: Writer) -> None:
    """A link or tombstone is replaced only by a higher stamp."""
    with writer.transaction() as transaction:
        transaction.set_links([Link(ROOT_FID, b"a", F1, b"5")])
        transaction.set_links([Link(ROOT_FID, b"a", F2, b"4")])
        assert transaction.linked([F1, F2]) == {F1}
        transaction.set_links([Link(ROOT_FID, b"a", None, b"6")])
        transaction.set_links([Link(ROOT_FID, b"a", F2, b"5")])
        assert transaction.linked([F1, F2]) == set()


def test_many_objects_at_once(writer: Writer) -> None:
    """Questions about more FIDs than one statement takes are answered for all of them."""
    many = [fid_of(number) for number in range(1, 1202)]
    with writer.transaction() as transaction:
        transaction.put_objects(ObjectRow(fid=fid, generation=1, content=1) for fid in many)
        assert transaction.objects(many).keys() == set(many)
        assert transaction.remove_objects(many[:1200]) == 1200
        assert transaction.objects(many).keys() == {many[1200]}


def test_names_without_their_directories(writer: Writer) -> None:
    """A name is known even where the directories above it are not."""
    with writer.transaction() as transaction:
        transaction.set_links([Link(F2, b"a\xff", F1, b"1"), Link(ROOT_FID, b"b", F1, b"1")])
        assert sorted(transaction.places([F1])[1][F1]) == [b"a\xff", b"b"]
        assert transaction.paths([F1]) == {F1: [b"b"]}


def test_facts_of_an_older_generation_do_not_win(writer: Writer) -> None:
    """Facts are written if their generation is not below that of the stored ones."""
    with writer.transaction() as transaction:
        transaction.put_objects([ObjectRow(fid=F1, generation=3, content=1)])
        row = transaction.objects([F1])[F1]
        for generation, uid in ((2, 4), (1, 6), (2, 5)):
            transaction.put_facts([(row, generation, msgspec.structs.replace(FACTS, uid=uid))])
        assert transaction.objects([F1])[F1].uid == 5
        # What the dispatcher writes afterwards leaves the facts alone.
        transaction.put_objects([row])
        assert transaction.objects([F1])[F1].uid == 5


def test_what_is_remembered_is_what_is_stored(writer: Writer) -> None:
    """After each change of objects and pending rows, and after one that is undone, a writer says what is stored."""
    works = [(fid, "tabular") for fid in (F1, F2)]
    again = msgspec.structs.replace(FACTS, uid=9)

    def put(now: Transaction) -> None:
        row = now.objects([F1]).get(F1) or ObjectRow(fid=F1)
        now.put_objects([msgspec.structs.replace(row, generation=row.generation + 1)])

    steps: list[Callable[[Transaction], object]] = [
        put,
        lambda now: now.add_objects([(ObjectRow(fid=F2, generation=1), FACTS)]),
        put,
        lambda now: now.put_facts([(now.objects([F1])[F1], 2, FACTS)]),
        lambda now: now.put_facts([(now.objects([F1])[F1], 1, again)]),
        lambda now: now.put_pending([pending(1), pending(2, attempts=2, error="café")]),
        lambda now: now.put_leases([pending(1, job="j", due_ns=9, handed_out_ns=8)]),
        lambda now: now.forgive("tabular"),
        lambda now: now.remove_pending([(F1, "tabular")]),
        lambda now: now.move_object(F2, F1),
        lambda now: now.put_pending([pending(1)]),
        lambda now: now.remove_objects([F1]),
        put,
    ]
    for step in steps:
        for undone in (True, False):
            with contextlib.suppress(ZeroDivisionError), writer.transaction() as transaction:
                step(transaction)
                assert transaction.objects([F1, F2]) == transaction._stored_objects([F1, F2])
                assert transaction.pending(works) == transaction._stored_pending(works)
                if undone:
                    raise ZeroDivisionError
            with writer.transaction() as transaction:
                assert transaction.objects([F1, F2]) == transaction._stored_objects([F1, F2])
                assert transaction.pending(works) == transaction._stored_pending(works)


def test_keys_of_a_transaction_that_was_undone_are_made_again(writer: Writer) -> None:
    """What a writer remembers of keys is what is committed."""
    with writer.transaction() as transaction:
        transaction.put_objects([ObjectRow(fid=F1, generation=1)])
        row = transaction.objects([F1])[F1]
    with pytest.raises(ZeroDivisionError), writer.transaction() as transaction:  # noqa: PT012
        transaction.put_documents([(row, result(1, {"k": 1}))])
        raise ZeroDivisionError
    with writer.transaction() as transaction:
        transaction.put_documents([(row, result(1, {"k": 1}))])

    found = rows_of(writer, "SELECT key.name FROM number JOIN key ON key.id = number.key", ())
    assert found == [("k",)]


def test_it_is_known_since_when_documents_are_made(writer: Writer) -> None:
    """The oldest document of an object counts; one that tells no time, or something else, does not."""
    times: dict[FID, tuple[object, ...]] = {F1: (7, 5), F2: ("soon", None)}
    with writer.transaction() as transaction:
        transaction.put_objects([ObjectRow(fid=fid, generation=1) for fid in times])
        rows = transaction.objects(times)
        transaction.put_documents(
            (
                rows[fid],
                msgspec.structs.replace(result(1, {}), fid=fid, extractor=name, provenance={"time_ns": time_ns}),
            )
            for fid, found in times.items()
            for name, time_ns in zip(("tabular", "text"), found, strict=True)
        )
        assert transaction.begun([F1, F2]) == {F1: 5}
        assert transaction.begun([]) == {}


def test_rows_are_found_by_their_owners(writer: Writer) -> None:
    """A row has its object's owner, whichever of the two is written first; what is built in has none."""
    lane = Lane("default", 0)
    with writer.transaction() as transaction:
        transaction.put_objects([ObjectRow(fid=fid_of(n), generation=1) for n in range(1, 5)])
        known = transaction.objects([fid_of(n) for n in range(1, 5)])
        facts = [(known[fid_of(n)], 1, msgspec.structs.replace(FACTS, uid=uid)) for n, uid in ((1, 7), (2, 9))]
        transaction.put_facts(facts[:1])
        transaction.put_pending([pending(1), pending(1, extractor="stat"), pending(2), pending(3), pending(4)])
        transaction.put_facts(facts[1:])
        assert transaction.owners(lane, ["tabular", "stat"], -1, 10) == [
            OwnerWork("tabular", 7),
            OwnerWork("tabular", 9),
        ]
        assert transaction.owners(lane, ["tabular"], 7, 10) == [OwnerWork("tabular", 9)]
        assert transaction.owners(lane, ["tabular"], -1, 1) == [OwnerWork("tabular", 7)]
        assert transaction.owners(lane, [], -1, 1) == []
        due = transaction.due_of(lane, [OwnerWork("tabular", 9), OwnerWork("tabular", 8)], 8, 10)
        assert [row.fid for row in due] == [fid_of(2)]
        assert transaction.due_of(lane, [OwnerWork("tabular", 9)], -1, 10) == []
        assert transaction.due_of(lane, [], 8, 10) == []
        transaction.put_facts([(transaction.objects([F1])[F1], 2, msgspec.structs.replace(FACTS, uid=9))])
        assert len(transaction.due_of(lane, [OwnerWork("tabular", 9)], 8, 10)) == 2
        assert len(transaction.due_of(lane, [OwnerWork("tabular", 9)], 8, 1)) == 1


def test_lanes_and_due_rows(writer: Writer) -> None:
    """Lanes come by queue with the greatest priority first; due rows with the longest due first."""
    rows = [
        pending(1, priority=0), pending(2, priority=5), pending(3, priority=-1), pending(4, queue="big"),
        pending(5, priority=0), pending(9, priority=0), pending(6, priority=0, extractor="hdf5"),
    ]  # fmt: skip
    with writer.transaction() as transaction:
        assert transaction.lanes() == []
        transaction.put_pending(rows)
        lanes = transaction.lanes()
        assert lanes == [Lane("big", 0), Lane("default", 5), Lane("default", 0), Lane("default", -1)]
        due = transaction.due(Lane("default", 0), ["tabular"], 8, 10)
        assert [row.fid for row in due] == [F1, fid_of(5)]
        assert transaction.due(Lane("default", 0), ["tabular"], 8, 1) == due[:1]
        assert transaction.due(Lane("default", 0), ["tabular"], 8, 10, 1) == due[1:]
        assert transaction.due(Lane("default", 0), ["tabular"], 8, 10, 2) == []
        both = transaction.due(Lane("default", 0), ["tabular", "hdf5"], 8, 10)
        assert [transaction.due(Lane("default", 0), ["tabular", "hdf5"], 8, 1, n)[0] for n in range(3)] == both
        assert transaction.due(Lane("default", 0), [], 8, 10) == []
        works = [(row.fid, row.extractor) for row in rows]
        assert transaction.pending(works) == dict(zip(works, rows, strict=True))
        transaction.remove_pending(works[1:])
        assert transaction.pending(works).keys() == {works[0]}


def test_a_new_version_or_digest_raises_the_serial(writer: Writer) -> None:
    """An extractor's serial grows with each change of what it is, and only then."""
    serials = [
        writer.register([Identity("tabular", version, digest)])["tabular"].serial
        for version, digest in [("1", "a"), ("1", "a"), ("1", "b"), ("2", "b"), ("1", "a")]
    ]
    assert serials == [1, 1, 2, 3, 4]


def test_a_migration_takes_everything_along(writer: Writer) -> None:
    """Documents, generation, facts and pending rows belong to the new FID; a job's row is due again."""
    with writer.transaction() as transaction:
        transaction.put_objects([ObjectRow(fid=F1, generation=5, content=4, type="f")])
        row = transaction.objects([F1])[F1]
        transaction.put_documents([(row, result(4, {"a": 1}))])
        transaction.put_pending([pending(1, job="j", due_ns=10**18, changed_ns=3)])
        transaction.move_object(F1, F2)
        assert transaction.objects([F1, F2]) == {
            F2: ObjectRow(fid=F2, id=row.id, generation=5, content=4, type="f")
        }
        assert transaction.documents([F1, F2]) == {(F2, "tabular"): 4}
        (moved,) = transaction.pending([(F2, "tabular")]).values()
        assert (moved.job, moved.due_ns) == (None, 3)


def test_a_migration_to_an_object_that_is_known_already(writer: Writer) -> None:
    """Where records of the new FID came first both rows become one, and what they changed counts as later."""
    with writer.transaction() as transaction:
        transaction.put_objects(
            [ObjectRow(fid=F1, generation=5, content=4, type="f"), ObjectRow(fid=F2, generation=1, content=1)]
        )
        transaction.put_documents([(transaction.objects([F1])[F1], result(4, {"a": 1}))])
        transaction.put_pending([pending(1), pending(2, generation=9)])
        transaction.move_object(F1, F2)
        (row,) = transaction.objects([F1, F2]).values()
        assert (row.fid, row.generation, row.content, row.type) == (F2, 6, 6, "f")
        assert transaction.documents([F2]) == {(F2, "tabular"): 4}
        assert transaction.pending([(F1, "tabular")]) == {}
        transaction.move_object(fid_of(3), F2)  # never heard of: nothing happens
        assert transaction.objects([F2])[F2].generation == 6


def test_a_removed_object_leaves_nothing(writer: Writer) -> None:
    """With an object go its documents, what is searched of them, and its pending rows."""
    with writer.transaction() as transaction:
        transaction.put_objects([ObjectRow(fid=F1, generation=1, content=1)])
        transaction.put_documents([(transaction.objects([F1])[F1], result(1, {"a": 1}))])
        transaction.put_pending([pending(1)])
        assert transaction.remove_objects([F1, F2]) == 1
    for table in ("object", "document", "number", "pending"):
        assert rows_of(writer, f"SELECT count(*) FROM {table}") == [(0,)]  # noqa: S608 - names from the line above


def test_closing_twice_is_fine(index_place: IndexPlace) -> None:
    """`close` may be called again, and a closed index says that it cannot be used."""
    made = open_writer(index_place)
    made.close()
    made.close()
    with pytest.raises(IndexUnavailable):
        made.cursors()


def test_what_has_fired_is_told_of_the_rules_that_are_asked_about(writer: Writer) -> None:
    """However much an object has fired for others, it is not read; names of rules may be odd; the newest counts."""
    odd = "a', 'b\"%s"
    with writer.transaction() as transaction:
        transaction.put_fired({(fid_of(1), f"other {n}"): n for n in range(50)})
        transaction.put_fired({(fid_of(1), odd): 3, (fid_of(2), odd): 4, (fid_of(1), "r"): 5})
        transaction.put_fired({(fid_of(1), odd): 2})
        assert transaction.fired({fid_of(1), fid_of(2)}, {odd}) == {(fid_of(1), odd): 3, (fid_of(2), odd): 4}
        assert transaction.fired({fid_of(1)}, set()) == transaction.fired(set(), {odd}) == {}


def test_marks_are_forgotten_by_the_beginning_of_their_names(writer: Writer) -> None:
    """Of one object, those that begin so and have fired for early contents go; the beginning is no pattern."""
    marks = {"/m/a": 1, "/m/b": 5, "/m%": 1, "/n/a": 1}
    with writer.transaction() as transaction:
        transaction.put_fired({(fid_of(n), name): at for n in (1, 2) for name, at in marks.items()})
        transaction.forget_fired(fid_of(1), "/m/", 4)
        transaction.forget_fired(fid_of(1), "%", 4)
        assert {name for _, name in transaction.fired({fid_of(1)}, set(marks))} == {"/m/b", "/m%", "/n/a"}
        assert {name for _, name in transaction.fired({fid_of(2)}, set(marks))} == set(marks)


def test_places_where_a_rule_runs_again_and_again_are_known(writer: Writer) -> None:
    """Crowded are the places for which a rule has that many runs since a time, whatever ran before or elsewhere."""
    often, seldom, before, elsewhere = (bytes([number]) * 16 for number in range(4))
    made = [(often, "a", 10)] * 3 + [(seldom, "a", 10)] * 2 + [(before, "a", 9)] * 3 + [(elsewhere, "b", 10)] * 3
    runs = [
        Run(id=str(number), key=str(number), rule=rule, digest="", trigger="content", endpoint="", action="webhook",
            fid=F1, place=place, made_ns=made_ns)
        for number, (place, rule, made_ns) in enumerate([*made, *[(b"", "a", 10)] * 3])
    ]  # fmt: skip
    others = [number.to_bytes(16) for number in range(300, 1_300)]
    with writer.transaction() as transaction:
        transaction.put_runs(runs)
        assert transaction.crowded("a", {often, seldom, before, elsewhere, b"", *others}, 10, 3) == {often}
        assert transaction.crowded("a", {often, seldom, before}, 9, 2) == {often, seldom, before}
        assert transaction.crowded("a", set(), 0, 1) == set()
