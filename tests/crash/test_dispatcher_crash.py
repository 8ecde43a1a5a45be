"""The dispatcher killed at each of its borders: the next one goes on, and nothing is lost or done twice.

A kill is an exception at that border, after which the dispatcher's objects are given up; what is committed to
the SQLite file is all that the next one has.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.config.settings import DispatcherSettings
from lustre_events.errors import LeaseLost
from lustre_events.index.sqlite.writer import SqliteTransaction, SqliteWriter
from lustre_events.jobs.messages import STAT, Job
from lustre_events.streams.interface import Block
from lustre_events.streams.memory import MemoryRecordStreams, MemoryResults
from tests.support.index.places import open_writer
from tests.support.model.dispatcher import MDT0, MDT1, MemoryQueue, Rig, append, csv_rig, cut, number
from tests.support.profiles import examples
from tests.support.records import builders as b
from tests.support.records import captures


class Killed(Exception):
    """The process ends here."""


def kill(*_: object) -> NoReturn:
    raise Killed


class KilledAtAcknowledge(MemoryRecordStreams):
    """Streams whose first acknowledge is the end."""

    acknowledge = kill  # type: ignore[assignment]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = csv_rig(tmp_path / "index.db")
    yield made
    made.close()


def work_through(rig: Rig) -> None:
    """Be the workers until nothing is left to do."""
    while True:
        jobs = rig.play()
        if not jobs and not rig.pending():
            return
        rig.answer(jobs)
        rig.pass_seconds(130)


def state(rig: Rig) -> list[object]:
    """Return all of the index that matters in the end."""
    return [
        rig.select("SELECT parent, name, fid, stamp FROM link WHERE fid IS NOT NULL ORDER BY parent, name"),
        rig.select("SELECT fid, generation, content, type FROM object ORDER BY fid"),
        rig.select("SELECT object.fid, extractor, body FROM document JOIN object ON object = object.id"),
        rig.select("SELECT mdt, epoch, position, eff_time FROM cursor ORDER BY mdt, epoch"),
    ]


HISTORY = number(
    [
        b.mkdir(fid=9, name=b"d"),
        b.create(fid=1, parent=9, name=b"a.csv"),
        b.close(fid=1),
        b.create(fid=2, parent=9, name=b"b.csv"),
        b.rename(fid=1, parent=9, name=b"a.csv", to=b"c.csv"),
        b.unlink(fid=2, parent=9, name=b"b.csv"),
    ],
    0,
)


def expected(path: Path) -> list[object]:
    """Return the state of an index whose dispatcher was never killed."""
    rig = csv_rig(path)
    rig.feed(*HISTORY)
    work_through(rig)
    found = state(rig)
    rig.close()
    return found


def test_killed_between_commit_and_acknowledge(rig: Rig, tmp_path: Path) -> None:
    """The block is read again, the cursor says that it is done, and it is acknowledged then."""
    rig.feed(*HISTORY)
    dispatcher = rig.make(rig.writer, KilledAtAcknowledge(rig.store))
    with pytest.raises(Killed):
        dispatcher.step()
    assert rig.store.streams[MDT0, 1].blocks
    rig.restart()
    rig.dispatcher.step()
    assert rig.store.streams[MDT0, 1].blocks == []
    assert rig.store.committed == {(MDT0, 1): 6}
    assert rig.writer.counters()["records"] == 6
    work_through(rig)
    assert state(rig) == expected(tmp_path / "other.db")


def test_killed_before_the_commit(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written, nothing is acknowledged, no job goes out, and the block is read again."""
    rig.feed(*HISTORY)
    with monkeypatch.context() as patch:
        patch.setattr("lustre_events.index.sqlite.writer.SqliteTransaction.count", kill)
        with pytest.raises(Killed):
            rig.dispatcher.step()
    assert rig.select("SELECT count(*) FROM link") == [0]
    assert rig.writer.cursors() == {}
    assert rig.store.committed == {}
    assert rig.queue.jobs == {}
    rig.restart()
    work_through(rig)
    assert state(rig) == expected(tmp_path / "other.db")


class KilledAtCommit(SqliteWriter):
    """An index where the commit of one transaction is the end."""

    left = 0

    @contextlib.contextmanager
    def transaction(self) -> Iterator[SqliteTransaction]:
        """Begin; be killed in the last one."""
        with super().transaction() as transaction:
            yield transaction
            self.left -= 1
            if self.left == 0:
                raise Killed


@pytest.mark.parametrize("last", range(1, 12))
def test_killed_between_the_transactions_of_a_step(tmp_path: Path, last: int) -> None:
    """A step of many transactions, one for each record and part, may end in any of them: the next goes on there."""
    rig = csv_rig(
        tmp_path / "index.db", settings=DispatcherSettings(batch_records=1), timer=itertools.count().__next__
    )
    writer = KilledAtCommit(tmp_path / "index.db")
    dispatcher = rig.make(writer)
    dispatcher.step()  # what a dispatcher writes once, at its start
    rig.feed(*HISTORY)
    writer.left = last
    with pytest.raises(Killed):
        dispatcher.step()
    writer.close()
    committed = min(last - 1, len(HISTORY))
    assert [cursor.position for cursor in rig.writer.cursors().values()] == [committed][:committed]
    assert rig.writer.counters().get("records", 0) == committed
    rig.restart()
    work_through(rig)
    assert rig.writer.counters()["records"] == len(HISTORY)
    # Names, documents; a file's generation says how often it changed, as far as that was seen at once.
    assert state(rig)[::2] == expected(tmp_path / "other.db")[::2]
    rig.close()


@pytest.mark.parametrize("last", range(1, 12))
def test_a_step_that_failed_between_its_transactions_is_gone_on_with(tmp_path: Path, last: int) -> None:
    """The same dispatcher asks the index how far it came: nothing counts twice, and all ends as if never failed."""
    rig = csv_rig(
        tmp_path / "index.db", settings=DispatcherSettings(batch_records=1), timer=itertools.count().__next__
    )
    writer = KilledAtCommit(tmp_path / "index.db")
    rig.dispatcher = rig.make(writer)
    rig.feed(*HISTORY)
    writer.left = last
    with pytest.raises(Killed):
        rig.dispatcher.step()
    work_through(rig)
    counters = rig.writer.counters()
    assert counters["records"] == len(HISTORY)
    assert counters["results"] == sum(
        counters.get(f"results_{end}", 0) for end in ("ok", "failed", "gone", "dropped")
    )
    assert rig.store.committed == {(MDT0, 1): len(HISTORY)}
    assert state(rig)[::2] == expected(tmp_path / "other.db")[::2]
    writer.close()
    rig.close()


class KilledAtEnqueue(MemoryQueue):
    """A queue whose first job is the end."""

    def enqueue(self, queue: str, jobs: Sequence[Job]) -> None:
        """Be killed."""
        raise Killed


def test_killed_between_lease_and_enqueue(rig: Rig, tmp_path: Path) -> None:
    """The rows are leased to a job that nobody knows; the lease ends and they are due again."""
    rig.feed(*HISTORY)
    queue, rig.queue = rig.queue, KilledAtEnqueue()
    rig.restart()
    with pytest.raises(Killed):
        rig.dispatcher.step()
    assert len(rig.pending()) == 3
    rig.queue = queue
    rig.restart()
    assert rig.play() == []
    work_through(rig)
    assert state(rig) == expected(tmp_path / "other.db")


def test_all_jobs_are_lost(rig: Rig, tmp_path: Path) -> None:
    """The whole of RQ lost: every row becomes due again when its lease ends."""
    rig.feed(*HISTORY)
    rig.settle()
    rig.queue.jobs.clear()
    rig.pass_seconds(121)
    work_through(rig)
    assert state(rig) == expected(tmp_path / "other.db")


class KilledAtResults(MemoryResults):
    """Results whose first acknowledge is the end."""

    acknowledge = kill  # type: ignore[assignment]


def test_results_committed_and_not_acknowledged(rig: Rig, tmp_path: Path) -> None:
    """Results that are read again after a crash change nothing, also where they are failures."""
    jobs = rig.play(*HISTORY)
    rig.results = KilledAtResults(rig.store)
    rig.restart()
    with pytest.raises(Killed):
        rig.answer([job for job in jobs if job.extractor == STAT])
    rig.results = MemoryResults(rig.store)
    rig.restart()
    rig.settle()
    assert rig.results.read(10) == []
    rig.results = KilledAtResults(rig.store)
    rig.restart()
    with pytest.raises(Killed):
        rig.answer([job for job in jobs if job.extractor != STAT], "failed", error="x")
    rig.results = MemoryResults(rig.store)
    rig.restart()
    rig.settle()
    assert rig.select("SELECT attempts FROM pending") == [1]
    work_through(rig)
    assert state(rig) == expected(tmp_path / "other.db")


def test_an_acknowledge_that_fails_is_repeated(rig: Rig) -> None:
    """After an acknowledge that failed the same dispatcher commits nothing twice, and acknowledges later."""
    failures = 2

    class Flaky(MemoryRecordStreams):
        def acknowledge(self, mdt: str, epoch: int, position: int) -> None:
            nonlocal failures
            failures -= 1
            if failures >= 0:
                raise Killed
            super().acknowledge(mdt, epoch, position)

    rig.feed(*HISTORY)
    dispatcher = rig.make(rig.writer, Flaky(rig.store))
    for _ in range(2):
        with pytest.raises(Killed):
            dispatcher.step()
    dispatcher.step()
    assert rig.store.committed == {(MDT0, 1): 6}
    assert rig.writer.counters()["records"] == 6


def test_a_second_dispatcher_takes_over(rig: Rig, tmp_path: Path) -> None:
    """The first one gets LeaseLost at its next step, has written nothing since, and `run` ends with it."""
    second_writer = open_writer(rig.path)
    second = rig.make(second_writer)
    rig.feed(*HISTORY)
    with pytest.raises(LeaseLost):
        rig.dispatcher.step()
    with pytest.raises(LeaseLost):
        rig.dispatcher.run()
    assert rig.store.committed == {}
    assert second.step()
    assert rig.store.committed == {(MDT0, 1): 6}
    second_writer.close()
    assert rig.queue.waiting == 2


def test_taken_over_in_the_middle_of_a_step(rig: Rig) -> None:
    """A dispatcher that read its records before another one took over writes none of them."""
    rig.feed(*HISTORY)
    second_writer = open_writer(rig.path)

    class Slow(MemoryRecordStreams):
        def read(self, *args: Any, **kwargs: Any) -> list[Block]:
            blocks = super().read(*args, **kwargs)
            rig.make(second_writer).step()
            return blocks

    first = rig.make(rig.writer, Slow(rig.store))
    with pytest.raises(LeaseLost):
        first.step()
    assert second_writer.counters()["records"] == 6
    second_writer.close()


steps = st.lists(
    st.tuples(st.sampled_from(["step", "crash", "jobs", "lose"]), st.sampled_from([MDT0, MDT1])), max_size=40
)


@examples(25)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), steps, st.randoms(use_true_random=False))
def test_any_cut_any_order_and_any_crash_give_the_same_names(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], plan: list[tuple[str, str]], chance: object
) -> None:
    """However the logs are cut into blocks, interleaved, and interrupted, links and objects end the same."""

    def replay(sizes: list[int], plan: list[tuple[str, str]]) -> list[object]:
        rig = Rig(tmp_path_factory.mktemp("rig") / "index.db", settings=DispatcherSettings(attempts=50))
        logs = {mdt: cut(captures.read("05-lfs-defmask", f"{mdt}.raw"), sizes) for mdt in (MDT0, MDT1)}
        for mdt, blocks in logs.items():  # tombstones wait for the MDTs that are known
            append(rig.store, mdt, *blocks.pop(0))
        rest = [("step", name) for name in (MDT0, MDT1) for _ in logs[name]]
        for action, mdt in [*plan, *rest]:
            if logs[mdt]:
                append(rig.store, mdt, *logs[mdt].pop(0))
            if action == "step":
                rig.dispatcher.step()
            elif action == "crash":
                with contextlib.suppress(Killed):  # not killed where there is nothing to acknowledge
                    rig.make(rig.writer, KilledAtAcknowledge(rig.store)).step()
                rig.restart()
            elif action == "lose":
                rig.queue.jobs.clear()
            else:
                rig.queue.take()
            rig.pass_seconds(50)
        rig.settle()
        found = [
            rig.select("SELECT parent, name, fid, stamp FROM link WHERE fid IS NOT NULL ORDER BY parent, name"),
            rig.select("SELECT fid FROM object WHERE fid IN (SELECT fid FROM link) ORDER BY fid"),
            rig.select("SELECT mdt, epoch, position, eff_time FROM cursor ORDER BY mdt, epoch"),
            rig.writer.counters()["records"],
        ]
        rig.close()
        return found

    assert replay(sizes, plan) == replay([1000], [])
