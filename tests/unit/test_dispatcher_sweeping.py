"""Sweeping: the index keeps nothing for records that cannot come any more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from lustre_events.changelog.fid import ROOT_FID
from lustre_events.changelog.record import ChangelogRecord, RecordType
from lustre_events.config.settings import DispatcherSettings
from lustre_events.dispatcher.migrated_fids import NAMES
from tests.support.model.dispatcher import FACTS, MDT0, MDT1, Rig, csv_rig
from tests.support.records import builders as b
from tests.support.records.builders import START_NS, fid_of

pytestmark = pytest.mark.long

SECOND_NS = 10**9


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = csv_rig(tmp_path / "index.db", mdts=(MDT0, MDT1), settings=DispatcherSettings(skew_seconds=0))
    made.pass_seconds(61)
    yield made
    made.close()


def tombstones(rig: Rig) -> int:
    return int(rig.select("SELECT count(*) FROM link WHERE fid IS NULL")[0])


def caught_up(rig: Rig, mdt: str, time_ns: int) -> None:
    """Let a reader say that at this time it had everything, which is in its stream."""
    tail = rig.store.tail(mdt)
    state = {"caught_up_epoch": tail.epoch, "caught_up_index": tail.last_index, "caught_up_time_ns": time_ns}
    rig.store.reader_states[mdt] = {name: str(value) for name, value in state.items()}
    rig.pass_seconds(1)


def churn(first: int, count: int, time_ns: int) -> list[ChangelogRecord]:
    """Files that are made and removed, under ever new names: two records each, a millisecond apart."""
    records = []
    for number in range(first, first + count):
        name, at = b"f%d" % number, time_ns + (number - first) * 2_000_000
        records.append(b.create(fid=number, name=name, index=2 * number - 1, time_ns=at))
        records.append(b.unlink(fid=number, name=name, index=2 * number, time_ns=at + 1_000_000))
    return records


@pytest.mark.parametrize("second", ["busy", "quiet", "never heard of"])
def test_churn_leaves_the_index_as_small_as_it_was(rig: Rig, second: str) -> None:
    """However many files come and go, with a second MDT that is busy, silent or without any record yet."""
    if second != "never heard of":
        rig.feed(b.mkdir(fid=fid_of(1), name=b"d", index=1, time_ns=START_NS), mdt=MDT1)
    sizes = []
    for turn in range(12):
        begin_ns = START_NS + turn * 60 * SECOND_NS
        rig.feed(*churn(1 + turn * 1000, 1000, begin_ns))
        end_ns = begin_ns + 10 * SECOND_NS
        if second == "busy":
            rig.feed(b.sattr(fid=fid_of(1), index=turn + 2, time_ns=end_ns), mdt=MDT1)
        else:
            caught_up(rig, MDT1, end_ns)
        rig.settle()
        rig.queue.take()
        assert tombstones(rig) <= 1
        sizes.append(rig.select("PRAGMA page_count")[0] - rig.select("PRAGMA freelist_count")[0])
    assert rig.select("SELECT count(*) FROM moved") == [0]
    assert rig.select("SELECT count(*) FROM object")[0] <= 1
    assert max(sizes[1:]) <= sizes[0] + 2


def test_nothing_is_swept_that_a_late_record_may_need(rig: Rig) -> None:
    """While the second MDT has said nothing, or lags, tombstones stay, and its late record does not win."""
    rig.feed(b.create(fid=1, name=b"a", index=1), b.unlink(fid=1, name=b"a", index=2))
    rig.settle()
    assert tombstones(rig) == 1
    rig.feed(b.mkdir(fid=9, name=b"d", index=1, time_ns=START_NS), mdt=MDT1)
    rig.settle()
    assert tombstones(rig) == 1
    rig.feed(b.link(fid=1, name=b"a", index=2, time_ns=START_NS + SECOND_NS + 1), mdt=MDT1)
    rig.settle()
    assert rig.paths(1) == [[]]
    caught_up(rig, MDT1, START_NS + 3 * SECOND_NS)  # less the margin this is before the tombstone
    rig.settle()
    assert tombstones(rig) == 1
    caught_up(rig, MDT1, START_NS + 9 * SECOND_NS)
    rig.settle()
    assert tombstones(rig) == 0


def test_a_record_with_a_time_behind_the_horizon_counts_as_later(rig: Rig) -> None:
    """An MDS whose clock is wrong cannot bring a name back under a key that is lower than what was swept."""
    rig.feed(b.mkdir(fid=9, name=b"d", index=1, time_ns=START_NS), mdt=MDT1)
    rig.feed(b.create(fid=1, name=b"a", index=5), b.unlink(fid=1, name=b"a", index=6))
    rig.settle()
    caught_up(rig, MDT1, START_NS + 60 * SECOND_NS)
    rig.settle()
    assert tombstones(rig) == 0
    rig.feed(b.create(fid=2, name=b"a", index=2, time_ns=START_NS + SECOND_NS), mdt=MDT1)
    rig.settle()
    cursors = rig.writer.cursors()
    assert cursors[MDT1, 1].eff_time > cursors[MDT0, 1].eff_time
    assert rig.paths(2) == [[b"a"]]


def test_one_step_sweeps_a_bounded_number(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog of tombstones goes over many steps, not in one long transaction."""
    monkeypatch.setattr("lustre_events.dispatcher.sweep.AT_ONCE", 100)
    rig.feed(*churn(1, 1000, START_NS))
    rig.settle()
    caught_up(rig, MDT1, START_NS + 60 * SECOND_NS)
    rig.dispatcher.step()
    assert tombstones(rig) == 900
    rig.settle()
    assert tombstones(rig) == 0


def test_a_step_sweeps_twice_what_it_writes(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under steady churn tombstones go faster than they come, a bounded number in each transaction."""
    monkeypatch.setattr("lustre_events.dispatcher.sweep.AT_ONCE", 100)
    rig.feed(*churn(1, 1000, START_NS))
    rig.settle()
    rig.feed(*churn(1001, 150, START_NS + 2 * SECOND_NS))
    caught_up(rig, MDT1, START_NS + 60 * SECOND_NS)
    swept = rig.writer.counters().get("swept", 0)
    rig.dispatcher.step()
    assert rig.writer.counters()["swept"] == swept + 300


def test_nothing_is_swept_in_the_first_hour_while_mdts_are_not_named(tmp_path: Path) -> None:
    """An MDT that nobody has named may follow later, with older records."""
    rig = csv_rig(tmp_path / "index.db")
    rig.feed(b.create(fid=1, name=b"a", index=1), b.unlink(fid=1, name=b"a", index=2))
    rig.pass_seconds(3_500)
    rig.settle()
    assert tombstones(rig) == 1
    rig.pass_seconds(3_601)
    rig.settle()
    assert tombstones(rig) == 0
    rig.close()


def test_an_object_without_a_name_is_found_by_going_round(tmp_path: Path) -> None:
    """Whose `stat` was lost too often, and has no name, is looked at again, and removed if it is gone."""
    rig = csv_rig(tmp_path / "index.db", settings=DispatcherSettings(attempts=1))
    rig.play(b.close(fid=1))
    rig.pass_seconds(121)
    rig.play()
    assert rig.pending() == set()
    rig.pass_seconds(3_600)
    rig.dispatcher.step()
    rig.pass_seconds(1)
    rig.answer(rig.play(), "gone")
    assert rig.select("SELECT count(*) FROM object") == [0]
    rig.close()


def migration(old: int, new: int, **fields: int) -> ChangelogRecord:
    return b.record(
        RecordType.MIGRT, new, ROOT_FID, b"a.csv", 0x2000,
        source=fid_of(old), source_parent=ROOT_FID, source_name=b"a.csv", **fields,
    )  # fmt: skip


def test_migrations_out_of_order_take_documents_to_the_last_fid(rig: Rig) -> None:
    """1 → 2 on one MDT and 2 → 3 on the other: the second comes first, and the document ends at 3."""
    rig.feed(b.create(fid=1, name=b"a.csv", index=1), mdt=MDT0)
    rig.settle()
    rig.answer(rig.queue.take())
    rig.feed(migration(2, 3, index=2, time_ns=START_NS + 9 * SECOND_NS), mdt=MDT0)
    rig.settle()
    rig.feed(migration(1, 2, index=1, time_ns=START_NS + 5 * SECOND_NS), mdt=MDT1)
    rig.settle()
    assert rig.select("SELECT fid FROM object JOIN document ON object = object.id") == [fid_of(3).pack()]
    assert rig.paths(3) == [[b"a.csv"]]


def test_documents_wait_for_a_migration_that_is_not_read_yet(rig: Rig) -> None:
    """The old FID is gone and its name is another's already: what it had is kept for the new one."""
    rig.feed(b.create(fid=1, name=b"a.csv", index=1), mdt=MDT0)
    rig.settle()
    rig.answer(rig.queue.take())
    rig.feed(b.close(fid=1, index=2), b.create(fid=7, name=b"a.csv", index=3), mdt=MDT0)
    rig.settle()
    for _ in range(4):
        rig.answer([job for job in rig.queue.take() if any(item.fid == fid_of(1) for item in job.items)], "gone")
        rig.pass_seconds(200)
        rig.settle()
    rig.feed(
        b.record(RecordType.MIGRT, 2, ROOT_FID, b"moved", 0x2000, source=fid_of(1), source_parent=ROOT_FID,
                 source_name=b"a.csv", index=1, time_ns=START_NS + SECOND_NS + 5), mdt=MDT1,
    )  # fmt: skip
    rig.settle()
    holders = rig.select("SELECT fid FROM object JOIN document ON object = object.id")
    assert fid_of(2).pack() in holders
    assert fid_of(1).pack() not in holders


def test_a_split_directory_is_one_under_both_fids(rig: Rig) -> None:
    """What was in it, in portions, and what records of its stripe say, is in the present one."""
    many = [b.create(fid=100 + n, parent=1, name=b"f%d" % n, index=n + 2) for n in range(2 * NAMES + 1)]
    rig.feed(b.mkdir(fid=1, name=b"a.csv", index=1), *many, mdt=MDT0)
    split_ns = START_NS + 9_000 * SECOND_NS
    rig.feed(b.create(fid=50, parent=2, name=b"later", index=1, time_ns=split_ns + 5), mdt=MDT1)
    rig.feed(b.unlink(fid=101, parent=2, name=b"f1", index=2, time_ns=split_ns + 6), mdt=MDT1)
    rig.settle()
    rig.feed(migration(1, 2, index=9_000, time_ns=split_ns), mdt=MDT0)
    rig.settle()
    rig.feed(b.rename(fid=102, parent=2, name=b"f2", to_parent=1, to=b"g", index=3, time_ns=split_ns + 9), mdt=MDT1)
    rig.settle()
    assert rig.paths(50, 101, 102, 103) == [[b"a.csv/later"], [], [b"a.csv/g"], [b"a.csv/f3"]]
    assert rig.select("SELECT count(*) FROM link WHERE parent = ?", fid_of(1).pack()) == [0]
    assert rig.select("SELECT count(*) FROM link WHERE parent = ? AND fid IS NOT NULL", fid_of(2).pack()) == [
        2 * NAMES + 1
    ]


def test_the_alias_of_a_directory_stays_while_it_is_there(rig: Rig) -> None:
    """Its stripe may be named at any later time; when it is removed the memory of its old FIDs is swept."""
    rig.feed(b.mkdir(fid=1, name=b"a.csv", index=1), migration(1, 2, index=2), migration(2, 3, index=3), mdt=MDT0)
    rig.settle()
    rig.answer(rig.queue.take(), document={**FACTS, "type": "d"})
    for turn in range(1, 4):
        caught_up(rig, MDT0, START_NS + turn * 3_600 * SECOND_NS)
        caught_up(rig, MDT1, START_NS + turn * 3_600 * SECOND_NS)
        rig.settle()
    rig.feed(b.create(fid=9, parent=1, name=b"b", index=4, time_ns=START_NS + 20_000 * SECOND_NS), mdt=MDT0)
    rig.settle()
    assert rig.paths(9) == [[b"a.csv/b"]]
    end_ns = START_NS + 30_000 * SECOND_NS
    rig.feed(
        b.unlink(fid=9, parent=3, name=b"b", index=5, time_ns=end_ns),
        b.rmdir(fid=3, name=b"a.csv", index=6, time_ns=end_ns + 1),
        mdt=MDT0,
    )
    rig.settle()
    assert rig.select("SELECT count(*) FROM moved") == [2], "a late record may name the stripe yet"
    caught_up(rig, MDT0, end_ns + 60 * SECOND_NS)
    caught_up(rig, MDT1, end_ns + 60 * SECOND_NS)
    rig.settle()
    assert rig.select("SELECT count(*) FROM moved") == [0]


def test_the_alias_of_what_turns_out_to_be_no_directory_is_swept(rig: Rig) -> None:
    """An object whose type is not known yet may be a directory; once `stat` has seen a link, the memory goes."""
    rig.feed(migration(1, 2, index=1), mdt=MDT0)  # of what was there before the records

    def hours_pass(first: int) -> None:
        for turn in range(first, first + 3):
            for mdt in (MDT0, MDT1):
                caught_up(rig, mdt, START_NS + turn * 3_600 * SECOND_NS)
            rig.settle()

    rig.settle()
    jobs = rig.queue.take()
    hours_pass(1)
    assert rig.select("SELECT count(*) FROM moved") == [1]
    rig.answer(jobs, document={**FACTS, "type": "l"})
    hours_pass(4)
    assert rig.select("SELECT count(*) FROM moved") == [0]


def test_a_directory_that_is_split_and_merged_has_its_first_fid_again(rig: Rig) -> None:
    """1 → 2, 2 → 1, in either order of the records: the later one counts."""
    split = migration(1, 2, index=2, time_ns=START_NS + 5 * SECOND_NS)
    merge = migration(2, 1, index=1, time_ns=START_NS + 9 * SECOND_NS)
    rig.feed(b.mkdir(fid=1, name=b"a.csv", index=1), b.create(fid=5, parent=1, name=b"x", index=2), mdt=MDT0)
    rig.feed(merge, b.create(fid=6, parent=2, name=b"y", index=2, time_ns=START_NS + 10 * SECOND_NS), mdt=MDT1)
    rig.settle()
    rig.feed(msgspec.structs.replace(split, index=3), mdt=MDT0)
    rig.settle()
    assert rig.paths(1, 2, 5, 6) == [[b"a.csv"], [], [b"a.csv/x"], [b"a.csv/y"]]


def test_all_names_of_a_file_migrate_with_it(rig: Rig) -> None:
    """A hard link without a record of its own leads to the new FID, and a rename by the old one, read late, too."""
    rig.feed(b.create(fid=1, name=b"a.csv", index=1), b.link(fid=1, name=b"b.csv", index=2), mdt=MDT0)
    rig.settle()
    rig.feed(migration(1, 2, index=3, time_ns=START_NS + 9 * SECOND_NS), mdt=MDT0)
    rig.settle()
    rig.feed(b.rename(fid=1, name=b"b.csv", to=b"c.csv", index=1, time_ns=START_NS + 5 * SECOND_NS), mdt=MDT1)
    rig.settle()
    assert rig.paths(1, 2) == [[], [b"a.csv", b"c.csv"]]
