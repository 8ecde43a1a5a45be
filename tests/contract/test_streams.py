"""What every record stream promises: the same tests on the fake, on Redis and on Valkey."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import redis

from lustre_events.changelog.fid import FID
from lustre_events.errors import LeaseLost, StreamError, StreamFull, StreamMoved
from lustre_events.jobs.messages import Result
from lustre_events.streams.connection import connect
from lustre_events.streams.interface import Loss, ReaderStream, RecordStreams, Results, Standing, Start, Tail
from lustre_events.streams.memory import MemoryReaderStream, MemoryRecordStreams, MemoryResults, MemoryStore
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.records import RedisRecordStreams
from lustre_events.streams.results import RedisResults
from tests.support.model.fakes import MDT, FakeClock, block, indexes_of
from tests.support.servers.redis import emptied

NOTHING = Tail(0, 0)
E1, E2 = 1_700_000_000_000_000_001, 1_700_000_000_000_000_002
"""Epochs of real size: they do not fit a double, and differ in the last digit only."""


@dataclass
class Streams:
    """One implementation, and how to make things happen in it."""

    reader: Callable[..., ReaderStream]
    records: RecordStreams
    results: Results
    fill: Callable[[], object]
    lose_stream: Callable[[int], object]
    clock: FakeClock


def memory() -> Streams:
    clock = FakeClock()
    store = MemoryStore(clock=time.monotonic)
    return Streams(
        reader=lambda mdt=MDT: MemoryReaderStream(store, mdt),
        records=MemoryRecordStreams(store),
        results=MemoryResults(store),
        fill=lambda: setattr(store, "full", True),
        lose_stream=lambda epoch: store.streams.pop((MDT, epoch)),
        clock=clock,
    )


def real(client: redis.Redis) -> Streams:
    clock = FakeClock()
    return Streams(
        reader=lambda mdt=MDT: RedisReaderStream(client, mdt, clock=clock),
        records=RedisRecordStreams(client),
        results=RedisResults(client),
        fill=lambda: client.config_set("maxmemory", "1mb"),
        lose_stream=lambda epoch: client.delete(f"le:stream:{MDT}:{epoch}"),
        clock=clock,
    )


@pytest.fixture(params=["memory", "redis", "valkey"])
def streams(request: pytest.FixtureRequest) -> Iterator[Streams]:
    if request.param == "memory":
        yield memory()
        return
    server = request.getfixturevalue("shared_redis_server" if request.param == "redis" else "shared_valkey_server")
    with connect(emptied(server), 5.0) as client:
        yield real(client)
        client.config_set("maxmemory", 0)


@pytest.fixture
def reader(streams: Streams) -> ReaderStream:
    stream = streams.reader()
    assert stream.lease(10.0)
    return stream


class TestLease:
    """One reader per MDT."""

    def test_one_reader_at_a_time(self, streams: Streams) -> None:
        """While a reader holds the lease, another does not get it, and it can be renewed and given back."""
        first, second = streams.reader(), streams.reader()

        assert first.lease(10.0)
        assert not second.lease(10.0)
        assert first.lease(10.0)
        first.release()
        assert second.lease(10.0)
        first.release()
        assert not first.lease(10.0)

    def test_leases_end(self, streams: Streams) -> None:
        """A lease that is not renewed ends, and then another reader gets it."""
        first, second = streams.reader(), streams.reader()
        assert first.lease(0.05)

        deadline = time.monotonic() + 60
        while not second.lease(10.0):
            assert time.monotonic() < deadline
            time.sleep(0.01)

        with pytest.raises(LeaseLost):
            first.append(block(E1, 1), NOTHING)

    def test_leases_of_mdts_are_separate(self, streams: Streams) -> None:
        """Each MDT has a lease of its own."""
        assert streams.reader().lease(10.0)
        assert streams.reader("lustre-MDT0001").lease(10.0)

    def test_without_a_lease_nothing_is_written(self, streams: Streams) -> None:
        """A reader that never had the lease can neither append nor keep a mark."""
        stream = streams.reader()

        with pytest.raises(LeaseLost):
            stream.append(block(E1, 1), NOTHING)
        with pytest.raises(LeaseLost):
            stream.set_mark(1)
        assert stream.tail() == NOTHING
        assert stream.mark() == 0
        assert streams.records.mdts() == []


class TestAppend:
    """Compare-and-append."""

    def test_an_absent_key_is_no_epoch(self, reader: ReaderStream) -> None:
        """Where there is no stream, the tail says so."""
        assert reader.tail() == NOTHING

    def test_the_tail_follows(self, reader: ReaderStream) -> None:
        """Each append gives the new tail, which `tail` then confirms; gaps in the index are legal."""
        tail = reader.append(block(E1, 1, 2), NOTHING)
        assert tail == Tail(E1, 2)
        tail = reader.append(block(E1, 7, 9), tail)

        assert tail == Tail(E1, 9) == reader.tail()

    def test_sent_twice_is_stored_once(self, streams: Streams, reader: ReaderStream) -> None:
        """A block that is sent again after a lost answer is stored once, be it the first or a later one."""
        first, second = block(E1, 1, 2), block(E1, 3)
        for _ in range(2):
            assert reader.append(first, NOTHING) == Tail(E1, 2)
        for _ in range(2):
            assert reader.append(second, Tail(E1, 2)) == Tail(E1, 3)

        assert indexes_of(streams.records.read({(MDT, E1): 0}, 1 << 20, 0)) == [1, 2, 3]
        assert streams.records.epochs(MDT) == [E1]

    @pytest.mark.parametrize(
        ("expected", "epoch"),
        [(Tail(E1, 1), E1), (Tail(E2, 2), E2), (NOTHING, E2), (Tail(E1, 1), E2), (Tail(E2, 2), E1)],
    )
    def test_a_stream_that_moved_is_left_alone(
        self, streams: Streams, reader: ReaderStream, expected: Tail, epoch: int
    ) -> None:
        """With any other tail than the expected one nothing is stored, neither a block nor an epoch."""
        reader.append(block(E1, 1, 2), NOTHING)

        with pytest.raises(StreamMoved):
            reader.append(block(epoch, 3, 4), expected)
        assert reader.tail() == Tail(E1, 2)
        assert streams.records.epochs(MDT) == [E1]

    def test_a_late_block_changes_nothing(self, streams: Streams, reader: ReaderStream) -> None:
        """A block that arrives once more behind its successor (an old connection) is not stored again."""
        tail = reader.append(block(E1, 1), NOTHING)
        reader.append(block(E1, 2), tail)

        with pytest.raises(StreamMoved):
            reader.append(block(E1, 1), NOTHING)
        assert indexes_of(streams.records.read({(MDT, E1): 0}, 1 << 20, 0)) == [1, 2]

    def test_a_vanished_stream_is_a_new_epoch(self, streams: Streams, reader: ReaderStream) -> None:
        """Whoever deleted the newest key: nothing can be appended behind its end, only a new epoch can begin."""
        old = reader.append(block(E1, 1, 2), NOTHING)
        streams.lose_stream(E1)

        assert reader.tail() == NOTHING
        with pytest.raises(StreamMoved):
            reader.append(block(E1, 3), old)
        assert reader.append(block(E2, 3), NOTHING) == Tail(E2, 3)
        assert streams.records.epochs(MDT) == [E1, E2]
        assert streams.records.tail(MDT, E1) == 0

    def test_a_new_epoch_may_begin_lower(self, streams: Streams, reader: ReaderStream) -> None:
        """An index that starts again goes into a new epoch behind the old one, whose blocks stay."""
        old = reader.append(block(E1, 100, 101), NOTHING)

        assert reader.append(block(E2, 1, 2), old) == Tail(E2, 2) == reader.tail()
        assert streams.records.epochs(MDT) == [E1, E2]
        assert streams.records.tail(MDT, E1) == 101

    def test_the_tail_of_a_trimmed_stream_remains(self, streams: Streams, reader: ReaderStream) -> None:
        """A stream whose blocks are all acknowledged still knows its last index."""
        tail = reader.append(block(E1, 1, 2), NOTHING)
        streams.records.acknowledge(MDT, E1, 2)

        assert reader.tail() == tail
        assert streams.records.tail(MDT, E1) == 2
        assert reader.append(block(E1, 1, 2), NOTHING) == tail
        assert reader.append(block(E1, 3), tail) == Tail(E1, 3)

    @pytest.mark.parametrize("indexes", [(0,), (0, 1), (2, 3), (5, 4)])
    def test_impossible_blocks_are_refused(self, reader: ReaderStream, indexes: tuple[int, ...]) -> None:
        """Index 0 (it means: none), an index not above the tail and a block that runs backwards are errors."""
        reader.append(block(E1, 1, 2), NOTHING)

        with pytest.raises(StreamError, match="cannot be stored"):
            reader.append(block(E1, *indexes), Tail(E1, 2))
        assert reader.tail() == Tail(E1, 2)

    def test_the_largest_index_fits(self, streams: Streams, reader: ReaderStream) -> None:
        """Indexes have 64 bits and are never rounded."""
        high = (1 << 64) - 2
        tail = reader.append(block(E1, high - 1, high), NOTHING)
        assert reader.append(block(E1, high + 1), tail) == Tail(E1, high + 1)

        assert indexes_of(streams.records.read({(MDT, E1): high}, 1 << 20, 0)) == [high + 1]

    def test_full_means_nothing_was_stored(self, streams: Streams, reader: ReaderStream) -> None:
        """Without memory an append fails as a whole, while the lease, the mark and the state go on."""
        tail = reader.append(block(E1, 1), NOTHING)
        streams.fill()

        with pytest.raises(StreamFull):
            reader.append(block(E1, 2), tail)
        with pytest.raises(StreamFull):
            reader.append(block(E2, 1), tail)
        with pytest.raises(StreamFull):
            streams.results.put([result(1)])
        assert reader.tail() == tail
        assert streams.records.epochs(MDT) == [E1]
        assert reader.lease(10.0)
        reader.set_mark(1)
        assert reader.mark() == 1
        reader.publish({"waiting": "full"})
        streams.records.publish({"heartbeat": 1})
        assert streams.records.reader_state(MDT)["waiting"] == "full"
        streams.records.acknowledge(MDT, E1, 1)
        assert reader.committed() == 1
        assert streams.records.read({(MDT, E1): 0}, 1 << 20, 0) == []
        reader.release()
        assert streams.reader().lease(10.0)


class TestStanding:
    """What a reader that begins, or is in doubt, is told."""

    def test_of_nothing(self, reader: ReaderStream) -> None:
        """Where nothing is, everything is 0."""
        assert reader.standing() == Standing(NOTHING, 0, 0, 0, 0, 0, "")

    def test_of_a_stream(self, streams: Streams, reader: ReaderStream) -> None:
        """Tail, mark, commits, what left the stream, and the anchor are all of one moment."""
        tail = reader.append(block(E1, 1, 2), NOTHING, "aa")
        reader.append(block(E1, 3, 4), tail, "bb")
        reader.set_mark(1)

        assert reader.standing() == Standing(Tail(E1, 4), 1, E1, 0, 0, 4, "bb")

        streams.records.acknowledge(MDT, E1, 2)

        assert reader.standing() == Standing(Tail(E1, 4), 1, E1, 2, 2, 4, "bb")

        streams.records.acknowledge(MDT, E1, 4)

        assert reader.standing() == Standing(Tail(E1, 4), 1, E1, 4, 4, 4, "bb")

    def test_of_a_vanished_stream(self, streams: Streams, reader: ReaderStream) -> None:
        """The epoch, what was committed, the mark and the anchor outlive the key."""
        tail = reader.append(block(E1, 1, 2), NOTHING, "aa")
        reader.append(block(E1, 3, 4), tail, "bb")
        reader.set_mark(3)
        streams.records.acknowledge(MDT, E1, 2)
        streams.lose_stream(E1)

        assert reader.standing() == Standing(NOTHING, 3, E1, 2, 0, 4, "bb")

    def test_a_new_epoch_begins_behind_nothing(self, reader: ReaderStream) -> None:
        """The first block of an epoch has nothing before it that could have left."""
        tail = reader.append(block(E1, 100), NOTHING, "aa")
        reader.append(block(E2, 1, 2), tail, "bb")

        assert reader.standing() == Standing(Tail(E2, 2), 0, E2, 0, 0, 2, "bb")

    def test_memory_has_a_limit_or_none(self, streams: Streams, reader: ReaderStream) -> None:
        """Without a limit the share is 0."""
        assert reader.memory_share() == 0


class TestStart:
    """Where an epoch's stream begins, for an index that may be behind it."""

    def test_of_what_is_not_there(self, streams: Streams) -> None:
        """No stream begins nowhere."""
        assert streams.records.start(MDT, E1) == Start()

    def test_it_moves_with_what_is_committed(self, streams: Streams, reader: ReaderStream) -> None:
        """A stream is whole until it is trimmed; a legal gap in the index is nothing that left it."""
        tail = reader.append(block(E1, 50, 51), NOTHING)
        reader.append(block(E1, 90, 91), tail)

        assert streams.records.start(MDT, E1) == Start(0, 50)

        streams.records.acknowledge(MDT, E1, 51)

        assert streams.records.start(MDT, E1) == Start(51, 90)

        streams.records.acknowledge(MDT, E1, 91)

        assert streams.records.start(MDT, E1) == Start(91, 0)

    def test_a_dropped_epoch_is_remembered(self, streams: Streams, reader: ReaderStream) -> None:
        """The newest epoch that was drained and forgotten, and how far it was committed."""
        tail = reader.append(block(E1, 1, 2), NOTHING)
        reader.append(block(E2, 1, 2), tail)
        streams.records.acknowledge(MDT, E1, 2)

        assert streams.records.drop(MDT, E1)
        assert streams.records.start(MDT, E2) == Start(0, 1, Tail(E1, 2))


class TestContinuity:
    """Losses."""

    def test_a_dispatcher_keeps_them_too(self, streams: Streams, reader: ReaderStream) -> None:
        """Said twice, by whoever, it is one loss."""
        reader.lose(Loss(MDT, E1, 5, 0, E1, "gone"))
        streams.records.lose(Loss(MDT, E1, 5, 9, E2, "gone"))

        assert streams.records.continuity(MDT) == [Loss(MDT, E1, 5, 9, E1, "gone")]

    def test_none_at_first(self, streams: Streams) -> None:
        """An MDT that nobody said anything about has lost nothing, and there is nothing to accept."""
        assert streams.records.continuity(MDT) == []
        assert streams.records.accept(MDT) == 0

    def test_losses_are_kept_in_order(self, streams: Streams, reader: ReaderStream) -> None:
        """Each loss stays as it was said, per MDT, oldest first."""
        losses = [Loss(MDT, E1, 5, 9, E2, "second: later"), Loss(MDT, E1, 1, 0, E1, "first")]
        for loss in losses:
            reader.lose(loss)

        assert streams.records.continuity(MDT) == losses[::-1]
        assert streams.records.continuity("lustre-MDT0001") == []

    def test_said_again_it_gets_its_end(self, streams: Streams, reader: ReaderStream) -> None:
        """A loss that was open is closed; its time stays."""
        reader.lose(Loss(MDT, E1, 5, 0, E1, "gone"))
        reader.lose(Loss(MDT, E1, 5, 8, E2, "gone"))

        assert streams.records.continuity(MDT) == [Loss(MDT, E1, 5, 8, E1, "gone")]

    def test_one_that_was_none_is_forgotten(self, streams: Streams, reader: ReaderStream) -> None:
        """The others stay."""
        false, true = Loss(MDT, E1, 5, 8, E1, "gone"), Loss(MDT, E1, 6, 8, E2, "gone")
        reader.lose(false)
        reader.lose(true)
        streams.records.withdraw(false)

        assert streams.records.continuity(MDT) == [true]

    def test_accepted_is_what_there_was(self, streams: Streams, reader: ReaderStream) -> None:
        """What is lost after an acceptance is new."""
        reader.lose(Loss(MDT, E1, 5, 8, E1, "gone"))

        assert streams.records.accept(MDT) == 1
        assert streams.records.accept(MDT) == 0

        reader.lose(Loss(MDT, E1, 9, 9, E2, "gone"))

        assert [loss.accepted for loss in streams.records.continuity(MDT)] == [True, False]

    def test_it_is_said_though_memory_is_full(self, streams: Streams, reader: ReaderStream) -> None:
        """Just then it must be."""
        streams.fill()
        reader.lose(Loss(MDT, E1, 5, 8, E1, "gone"))

        assert len(streams.records.continuity(MDT)) == 1


class TestPositions:
    """How far clearing may go."""

    def test_the_user_that_was_cleared_for_is_kept(self, streams: Streams, reader: ReaderStream) -> None:
        """Beside the mark, by the holder of the lease alone; none is an empty text."""
        assert reader.cleared_for() == ""
        reader.lease(10)
        reader.set_cleared_for("cl3-lustre-events 812")

        assert streams.reader().cleared_for() == "cl3-lustre-events 812"
        with pytest.raises(LeaseLost):
            streams.reader().set_cleared_for("cl1")

    def test_the_mark_is_kept(self, streams: Streams, reader: ReaderStream) -> None:
        """The mark is there for the next reader, beside what is published."""
        reader.publish({"mdt": MDT, "records_read": 5})
        reader.set_mark(7)
        reader.publish({"records_read": 6})

        assert streams.reader().mark() == 7
        assert streams.records.reader_state(MDT) == {"mdt": MDT, "records_read": "6", "mark": "7"}

    def test_committed_is_per_epoch(self, streams: Streams, reader: ReaderStream) -> None:
        """What the dispatcher committed of an older epoch says nothing about the newest one."""
        tail = reader.append(block(E1, 5, 6), NOTHING)
        streams.records.acknowledge(MDT, E1, 5)
        assert reader.committed() == 5

        reader.append(block(E2, 1), tail)
        assert reader.committed() == 0

    def test_stored_reaches_the_tail(self, streams: Streams, reader: ReaderStream) -> None:
        """What was appended is on the disk after a while, never more than was appended, for a new reader too."""
        assert reader.stored() == 0
        tail = reader.append(block(E1, 1, 2), NOTHING)
        self.wait_for(streams, reader, 2)
        reader.append(block(E1, 3), tail)
        assert reader.stored() <= 3
        self.wait_for(streams, reader, 3)

        successor = streams.reader()
        assert successor.tail() == Tail(E1, 3)
        self.wait_for(streams, successor, 3)

    def test_stored_is_of_the_newest_epoch(self, streams: Streams, reader: ReaderStream) -> None:
        """A new epoch begins with nothing stored, whatever the old one had."""
        tail = reader.append(block(E1, 100), NOTHING)
        self.wait_for(streams, reader, 100)

        reader.append(block(E2, 7), tail)
        assert reader.stored() in (0, 7)

    def wait_for(self, streams: Streams, reader: ReaderStream, index: int) -> None:
        """Wait until the disk has `index`."""
        deadline = time.monotonic() + 60
        while reader.stored() < index:
            assert time.monotonic() < deadline
            streams.clock.advance(3.0)
            time.sleep(0.01)
        assert reader.stored() == index


class TestRead:
    """What the dispatcher sees."""

    def test_reads_behind_positions(self, streams: Streams, reader: ReaderStream) -> None:
        """Blocks behind each position come in order; one that begins at or below it comes whole."""
        tail = reader.append(block(E1, 1, 2), NOTHING)
        tail = reader.append(block(E1, 3, 4), tail)
        reader.append(block(E1, 8), tail)
        other = streams.reader("lustre-MDT0001")
        other.lease(10.0)
        other.append(block(E2, 5, mdt="lustre-MDT0001"), NOTHING)

        assert streams.records.mdts() == [MDT, "lustre-MDT0001"]
        found = streams.records.read({(MDT, E1): 3, ("lustre-MDT0001", E2): 0}, 1 << 20, 0)
        assert found == [block(E1, 3, 4), block(E1, 8), block(E2, 5, mdt="lustre-MDT0001")]

    def test_reads_about_the_limit(self, streams: Streams, reader: ReaderStream) -> None:
        """At least one block per stream, else none that goes beyond the limit."""
        tail = NOTHING
        for index in range(1, 41):
            tail = reader.append(block(E1, index), tail)
        size = len(block(E1, 1).data)

        assert indexes_of(streams.records.read({(MDT, E1): 0}, 1, 0)) == [1]
        assert indexes_of(streams.records.read({(MDT, E1): 5}, 10 * size, 0)) == list(range(6, 16))
        assert indexes_of(streams.records.read({(MDT, E1): 0}, 1 << 20, 0)) == list(range(1, 41))

    def test_waits_for_the_timeout(self, streams: Streams, reader: ReaderStream) -> None:
        """Without anything new, nothing comes, after the timeout and not much later."""
        reader.append(block(E1, 1), NOTHING)
        begun = time.monotonic()

        assert streams.records.read({(MDT, E1): 1}, 1 << 20, 0.1) == []
        assert 0.09 < time.monotonic() - begun < 15
        assert streams.records.read({(MDT, E2): 0}, 1 << 20, 0) == []

    def test_acknowledge_forgets_whole_blocks(self, streams: Streams, reader: ReaderStream) -> None:
        """Only blocks that end at or below the acknowledged position are forgotten."""
        tail = reader.append(block(E1, 1, 2), NOTHING)
        reader.append(block(E1, 3, 4), tail)

        streams.records.acknowledge(MDT, E1, 3)
        assert indexes_of(streams.records.read({(MDT, E1): 0}, 1 << 20, 0)) == [3, 4]
        assert reader.committed() == 3

    def test_drop_forgets_an_old_epoch(self, streams: Streams, reader: ReaderStream) -> None:
        """A drained epoch goes with all that belongs to it; the newest one stays."""
        tail = reader.append(block(E1, 1), NOTHING)
        streams.records.acknowledge(MDT, E1, 1)
        streams.records.drop(MDT, E1)
        assert reader.tail() == tail

        reader.append(block(E2, 1), tail)
        streams.records.drop(MDT, E1)
        streams.records.drop(MDT, E2)
        assert streams.records.epochs(MDT) == [E2]
        assert streams.records.tail(MDT, E1) == 0
        assert reader.tail() == Tail(E2, 1)

    def test_states_are_published(self, streams: Streams) -> None:
        """What the dispatcher publishes can be read by `status`."""
        assert streams.records.state() == {}
        streams.records.publish({"records": 5, "host": "n1"})
        streams.records.publish({"records": 6})

        assert streams.records.state() == {"records": "6", "host": "n1"}


def result(oid: int) -> Result:
    return Result(
        fid=FID(1, oid), extractor="stat", serial=1, generation=2, status="ok", document={"é": [1, {"a": None}]}
    )


class TestResults:
    """What workers found."""

    def test_in_order_until_acknowledged(self, streams: Streams) -> None:
        """Entries come oldest first, again and again, until they are acknowledged."""
        streams.results.put([result(1), result(2)])
        streams.results.put([result(3)])
        streams.results.put([])

        first, second = streams.results.read(10)
        assert first[1] == [result(1), result(2)]
        assert second[1] == [result(3)]
        assert streams.results.read(1) == [first]
        streams.results.acknowledge([first[0]])
        streams.results.acknowledge([])
        assert streams.results.read(10) == [second]
        streams.results.acknowledge([first[0], second[0]])
        assert streams.results.read(10) == []
