"""The reader's loop, on a fake source, the streams in memory and a clock that is told the time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.errors import (
    ChangelogBroken,
    ChangelogRefused,
    ChangelogUnavailable,
    LustreEventsError,
    RecordDecodeError,
    StreamError,
    StreamUnavailable,
)
from lustre_events.streams.memory import MemoryReaderStream, MemoryRecordStreams, MemoryStore
from tests.support.model.fakes import MDT, indexes_of, records
from tests.support.model.reader import World


@pytest.fixture
def world() -> World:
    return World()


def test_records_are_stored_in_order(world: World) -> None:
    """What the MDT has, and what it writes later, is stored once, in order, gaps included."""
    world.source.add(1, 2, 5)

    world.run(world.reader(), world.all_stored(1, 2, 5, 9), turn_4=lambda: world.source.add(9))

    assert world.source.opened == [0]
    assert world.source.log[-1][0] == 9


def test_a_new_epoch_is_named_by_the_time(world: World) -> None:
    """The first epoch's name is the time in ns when it began."""
    world.source.add(1)
    begun = world.clock.time_ns()

    world.run(world.reader(), world.all_stored(1))

    (epoch,) = world.store.epochs[MDT]
    assert begun <= epoch <= world.clock.time_ns()


def test_it_goes_on_behind_the_tail(world: World) -> None:
    """A reader that starts again opens the source behind the stream's last index, in the same epoch."""
    world.source.add(1, 2)
    world.run(world.reader(), world.all_stored(1, 2))
    world.source.add(3)

    world.run(world.reader(), world.all_stored(1, 2, 3))

    assert world.source.opened == [0, 3]


def test_blocks_are_gathered(world: World) -> None:
    """Records that come within `linger_ms` share a block, up to `block_bytes`."""
    size = len(records(1))
    world.source.add(*range(1, 8))

    world.run(
        world.reader(block_bytes=4 * size),
        world.all_stored(*range(1, 10)),
        turn_3=lambda: world.source.add(8, 9),
    )

    (stream,) = world.store.streams.values()
    assert [indexes_of([block]) for block in stream.blocks] == [[1, 2, 3, 4], [5, 6, 7, 8], [9]]
    assert stream.blocks[0].count == 4


def test_a_vanished_stream_without_a_mark_is_turn_from_the_start(world: World) -> None:
    """Nothing was cleared, so the MDT has everything."""
    world.source.add(1, 2)
    world.run(world.reader(), world.all_stored(1, 2))
    world.store.streams.clear()

    world.run(world.reader(), lambda: world.store.tail(MDT).last_index == 2)

    assert world.source.opened == [0, 0]


def test_an_index_that_starts_again_is_a_new_epoch(world: World) -> None:
    """Records not above the tail begin a new epoch, and clearing starts again with it."""
    world.source.add(1, 2, 3)
    world.run(world.reader(user="cl1"), lambda: world.source.clears == [3])
    world.source.restart_index(1, 2)
    world.source.users = {"cl1": 0}
    world.source.clears.clear()
    world.source.ignores_start = True

    world.run(world.reader(user="cl1"), lambda: world.source.clears[-1:] == [2])

    assert world.stored() == [[1, 2, 3], [1, 2]]
    assert world.store.epochs[MDT] == sorted(world.store.epochs[MDT])
    assert world.store.marks[MDT] == 2


def test_an_index_that_starts_again_while_reading(world: World) -> None:
    """Records of two lives of an index never share a block."""
    world.source.add(7, 8)

    def again() -> None:
        world.source.log += [(1, records(1)), (2, records(2))]

    world.run(world.reader(), lambda: world.stored() == [[7, 8], [1, 2]], turn_2=again)

    assert world.source.opened == [0]


def test_an_index_of_zero_is_refused(world: World) -> None:
    """No MDT writes index 0, which means "none" everywhere: it is an error, not a loop."""
    world.source.add(0)

    with pytest.raises(StreamError, match="cannot be stored"):
        world.reader().run()


@dataclass
class Asked(MemoryStore):
    """A store that is away, and remembers when it was asked."""

    times: list[float] = field(default_factory=list)

    def check(self) -> None:
        """Remember, and be away."""
        self.times.append(self.clock())
        raise StreamUnavailable("away")


def test_redis_that_is_away_is_asked_less_and_less_often(world: World) -> None:
    """The reader waits twice as long each time, for five seconds at most."""
    world.store = asked = Asked(clock=world.clock)

    world.run(world.reader(), lambda: len(set(asked.times)) >= 9)

    times = sorted(set(asked.times))
    waits = [round(later - before, 1) for before, later in pairwise(times)]
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_unavailable_redis_is_waited_for(world: World) -> None:
    """While Redis is away the one block is kept, and then stored once; waits grow up to a limit."""
    world.source.add(1, 2)

    def away() -> None:
        world.store.unavailable = True

    def back() -> None:
        world.store.unavailable = False

    world.run(world.reader(lease_seconds=60.0), world.all_stored(1, 2), turn_1=away, turn_200=back)

    assert world.source.opened == [0]
    assert world.source.reads < 5
    assert 1019 < world.clock.now < 1031


def test_a_lost_answer_does_not_store_twice(world: World) -> None:
    """A block that was stored although the answer was lost is sent again and stored once."""
    world.source.add(1, 2)
    world.store.lose_answers = 2

    world.run(world.reader(), lambda: world.stored() == [[1, 2, 3]], turn_8=lambda: world.source.add(3))

    assert world.source.opened == [0]


def test_a_full_redis_stops_the_reading(world: World) -> None:
    """While Redis is full nothing more is read, the state says why, and the lease is kept."""
    world.source.add(1, 2)
    world.store.full = True

    def room() -> None:
        assert "full" in world.store.reader_states[MDT]["waiting"]
        assert world.store.holder(MDT)
        world.store.full = False

    world.run(world.reader(), world.all_stored(1, 2, 3), turn_3=lambda: world.source.add(3), turn_150=room)

    assert world.clock.now > 1010
    assert world.source.opened == [0]


def test_a_stream_that_moved_is_followed(world: World) -> None:
    """When the stream is not where the reader left it, it reads on from its end and stores nothing twice."""
    world.source.add(1, 2, 3, 4)
    rival = MemoryReaderStream(world.store, MDT)
    reader = world.reader(block_bytes=1)

    def meddle() -> None:
        token = world.store.leases.pop(MDT)
        rival.lease(5)
        tail = rival.tail()
        block = world.store.streams[MDT, tail.epoch].blocks[0]
        rival.append(type(block)(MDT, tail.epoch, 2, 3, 2, records(2, 3)), tail)
        world.store.leases[MDT] = token

    world.run(reader, world.all_stored(1, 2, 3, 4), turn_2=meddle)

    assert world.source.opened == [0, 4]
    assert reader.counters.records_dropped == 1


def test_a_redis_that_went_back_in_time_is_noticed(world: World) -> None:
    """Records that Redis lost are read again, even when the MDT has nothing new."""
    world.source.add(1, 2, 3)

    def lose() -> None:
        (stream,) = world.store.streams.values()
        stream.blocks = stream.blocks[:1]
        stream.last_index = 1

    world.run(world.reader(block_bytes=1), lambda: world.source.opened == [0, 2] and world.stored() == [[1, 2, 3]],
              turn_8=lose)  # fmt: skip

    assert world.store.tail(MDT).last_index == 3


def test_a_standby_waits_for_the_lease(world: World) -> None:
    """A second reader opens nothing until the first one's lease has ended."""
    world.source.add(1)
    world.store.steal_lease(MDT, 60.0)
    begun = world.clock.now

    world.run(world.reader(), world.all_stored(1))

    assert world.clock.now - begun >= 60
    assert world.source.opened == [0]


def test_a_reader_that_lost_its_lease_writes_nothing(world: World) -> None:
    """A reader paused past its lease drops its block, becomes the standby, and goes on when it may."""
    world.source.add(1)
    reader = world.reader()

    def taken_over() -> None:
        world.source.add(2)
        world.store.steal_lease(MDT, 100.0)

    world.run(reader, world.all_stored(1, 2), turn_3=taken_over)

    assert world.clock.now > 1100
    assert reader.counters.records_dropped == 1
    assert world.source.opened == [0, 2]


def test_the_lease_is_renewed_and_given_back(world: World) -> None:
    """While it reads the lease never ends, and afterwards it is free at once."""
    ends: list[float] = []
    world.run(
        world.reader(),
        lambda: world.clock.now > 1060 or bool(ends.append(world.store.leases[MDT][1] - world.clock.now)),
    )

    assert min(ends) > 3
    assert world.store.holder(MDT) == ""


def test_a_broken_handle_is_opened_again(world: World) -> None:
    """After ChangelogBroken the source is opened behind what is stored, also when opening fails for a while."""
    world.source.add(1, 2)

    def breaks() -> None:
        world.source.failures["read"] = [ChangelogBroken("the MDT restarted")]
        world.source.failures["open"] = [ChangelogUnavailable("not yet")] * 2
        world.source.add(3)

    world.run(world.reader(), world.all_stored(1, 2, 3), turn_3=breaks)

    assert world.source.opened == [0, 3]


def test_what_cannot_be_opened_at_first_is_an_error(world: World) -> None:
    """A wrong MDT name ends the reader at once with its sentence, and the lease is given back."""
    world.source.failures["open"] = [ChangelogUnavailable("no such MDT")]

    with pytest.raises(ChangelogUnavailable, match="no such MDT"):
        world.reader().run()
    assert world.store.holder(MDT) == ""


def test_torn_records_are_an_error(world: World) -> None:
    """Bytes that are no records end the reader; what came before them is stored, nothing is cleared beyond."""
    world.source.add(1)
    world.source.log.append((2, records(2)[:-1]))

    with pytest.raises(RecordDecodeError, match="torn"):
        world.run(world.reader(block_bytes=1, user="cl1"), lambda: False)
    assert world.stored() == [[1]]
    assert world.source.clears in ([], [1])


class TestClearing:
    """Which clears the MDT gets."""

    def test_only_stored_records_are_cleared(self, world: World) -> None:
        """A clear goes as far as the disk has it, and the mark is written before."""
        world.source.add(1, 2)
        marks: list[int] = []
        world.source.on_clear = lambda index: marks.append(world.store.marks[MDT])

        def stop_disk() -> None:
            world.store.syncing = False
            world.source.add(3, 4)

        world.run(
            world.reader(user="cl1"),
            lambda: world.source.clears[-1:] == [4],
            turn_30=stop_disk,
            turn_60=lambda: setattr(world.store, "syncing", True),
        )

        assert world.source.clears == [2, 4]
        assert marks == [2, 4]

    def test_committed_waits_for_the_index(self, world: World) -> None:
        """With clear_after=committed a record is cleared when the dispatcher has committed it."""
        world.source.add(1, 2, 3)
        dispatcher = MemoryRecordStreams(world.store)

        def commit(position: int) -> Callable[[], None]:
            return lambda: dispatcher.acknowledge(MDT, world.store.epochs[MDT][-1], position)

        world.run(
            world.reader(user="cl1", clear_after="committed"),
            lambda: world.source.clears == [2, 3],
            turn_20=commit(2),
            turn_40=commit(3),
        )

        assert world.source.users["cl1"] == 3

    def test_what_is_not_written_is_never_cleared(self, world: World) -> None:
        """Where Redis says that more is committed than was ever written, the tail is the bound."""
        world.source.add(1, 2, 3)
        dispatcher = MemoryRecordStreams(world.store)

        world.run(
            world.reader(user="cl1", clear_after="committed"),
            lambda: bool(world.source.clears),
            turn_20=lambda: dispatcher.acknowledge(MDT, world.store.epochs[MDT][-1], 10),
        )

        assert world.source.clears == [3]

    def test_clears_are_batched_and_repeated(self, world: World) -> None:
        """One clear per interval at most; the last one is repeated to keep a quiet user alive."""
        world.source.add(1)
        at: list[float] = []
        world.source.on_clear = lambda index: at.append(world.clock.now)
        reader = world.reader(user="cl1", clear_interval_seconds=5.0, keepalive_seconds=60.0)

        world.run(reader, lambda: len(at) == 3)

        assert world.source.clears == [1, 1, 1]
        assert all(60 <= later - earlier < 67 for earlier, later in pairwise(at))

    def test_without_a_user_nothing_is_cleared(self, world: World) -> None:
        """A reader without a changelog user only reads."""
        world.source.add(1)

        world.run(world.reader(user=""), lambda: world.clock.now > 1100)

        assert world.source.clears == []
        assert world.store.marks == {}

    def test_a_clear_that_was_interrupted_is_made_up(self, world: World) -> None:
        """A mark that was written before a crash is cleared by the next reader."""
        world.source.add(1, 2)
        world.run(world.reader(), world.all_stored(1, 2))
        world.store.marks[MDT] = 1
        world.store.syncing = False

        world.run(world.reader(user="cl1"), lambda: world.source.clears == [1])

        assert world.source.clears == [1]

    def test_a_lost_user_is_said_and_reading_goes_on(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        """Without its user the reader says what to do, publishes it, stores on, and asks once per keep-alive."""
        world.source.add(1)
        world.source.users = {}
        reader = world.reader(user="cl1", clear_interval_seconds=1.0, keepalive_seconds=60.0)
        begun = world.clock.now

        def registered_again() -> None:
            assert world.store.reader_states[MDT]["user_lost"] == "1"
            assert caplog.text.count("changelog_register") <= 1 + (world.clock.now - begun) // 60
            world.source.users = {"cl1": 0}

        world.run(
            reader,
            lambda: world.source.clears == [2] and world.store.reader_states[MDT]["user_lost"] == "0",
            turn_30=lambda: world.source.add(2),
            turn_150=registered_again,
        )

        assert world.stored() == [[1, 2]]
        assert "is registered again" in caplog.text

    @pytest.mark.parametrize("error", [ChangelogUnavailable("busy"), ChangelogRefused("past the end")])
    def test_a_clear_that_fails_is_tried_again(self, world: World, error: LustreEventsError) -> None:
        """A clear that the MDT could not or would not take does not stop the reader."""
        world.source.add(1)
        world.source.failures["clear"] = [error]

        world.run(world.reader(user="cl1"), lambda: world.source.clears == [1])

        assert world.store.marks[MDT] == 1


def test_state_is_published_and_adds_up(world: World) -> None:
    """Read is stored plus dropped plus held, and a reader that has caught up says with what and since when."""
    world.source.add(*range(1, 101))
    reader = world.reader(block_bytes=10 * len(records(1)))

    world.run(reader, lambda: world.store.reader_states.get(MDT, {}).get("caught_up_index") == "100")

    state = world.store.reader_states[MDT]
    for what in ("records", "blocks"):
        parts = sum(int(state[f"{what}_{part}"]) for part in ("stored", "dropped", "held"))
        assert int(state[f"{what}_read"]) == parts
    assert state["records_stored"] == state["stored_index"] == state["read_index"] == "100"
    assert state["blocks_stored"] == "10"
    assert state["epoch"] == state["caught_up_epoch"] == str(world.store.epochs[MDT][-1])
    assert 1000 * 10**9 <= int(state["caught_up_time_ns"]) < int(state["updated_ns"])


def test_caught_up_is_dated_before_the_look(world: World) -> None:
    """A record written while the source was being read may be missing, so the time is that before the read."""
    world.source.add(1)
    times: list[int] = []
    reader = world.reader(poll_seconds=1.0)

    def look() -> bool:
        times.append(world.clock.time_ns())
        return "caught_up_time_ns" in world.store.reader_states.get(MDT, {})

    world.run(reader, look)

    assert int(world.store.reader_states[MDT]["caught_up_time_ns"]) in times[:-1]


def test_a_recording_ends_the_reader(world: World) -> None:
    """At the end of a recording everything is stored and cleared, and `run` returns by itself."""
    world.source.ends = True
    world.source.add(1, 2, 3)
    world.store.syncing = False
    reader = world.reader(user="cl1")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        world.clock.sleep(seconds)
        slept.append(seconds)
        world.store.syncing = len(slept) > 5

    reader._sleep = sleep
    reader.run()

    assert world.stored() == [[1, 2, 3]]
    assert world.source.clears == [3]
    assert world.store.holder(MDT) == ""


def test_stop_stores_what_was_read(world: World) -> None:
    """A stop in the middle of gathering stores the block, once, and closes; `stop` wakes the source."""
    world.source.add(1, 2)
    reader = world.reader(linger_ms=3_000)

    world.run(reader, lambda: world.source.reads == 2)

    assert world.stored() == [[1, 2]]
    assert world.source.woken == 1
    assert world.source._at is None


def test_stop_ends_waits(world: World) -> None:
    """A reader that waits for Redis or as a standby stops within a fraction of a second."""
    world.source.add(1)
    world.store.unavailable = True
    reader = world.reader()
    world.run(reader, lambda: world.clock.now > 1030)
    assert world.clock.now < 1031

    world.store.unavailable = False
    world.store.steal_lease(MDT)
    world.run(world.reader(), lambda: world.clock.now > 1040)
    assert world.clock.now < 1041
    assert world.store.holder(MDT) == "another reader"


TROUBLES = st.lists(
    st.sampled_from(["none", "unavailable", "full", "lost_answer", "stolen", "broken", "back_in_time"]),
    max_size=12,
)


@given(troubles=TROUBLES, block_records=st.integers(1, 5))
def test_whatever_happens_each_record_is_stored_once(troubles: list[str], block_records: int) -> None:
    """In any order of troubles the stream holds every record exactly once, in order, in one epoch."""
    world = World()
    settings: dict[str, Any] = {"block_bytes": block_records * len(records(1)), "user": "cl1", "lease_seconds": 3.0}
    written = 0
    for trouble in [*troubles, "none"]:
        world.source.add(*range(written + 1, written + 4))
        written += 3
        store = world.store
        if trouble == "unavailable":
            store.unavailable = True
        elif trouble == "full":
            store.full = True
        elif trouble == "lost_answer":
            store.lose_answers = 1
        elif trouble == "stolen":
            store.steal_lease(MDT, 20.0)
        elif trouble == "broken":
            world.source.failures["read"] = [ChangelogBroken("restarted")]
        elif trouble == "back_in_time":
            for stream in store.streams.values():
                keep = [block for block in stream.blocks if block.last_index <= stream.synced_index]
                stream.blocks, stream.last_index = keep, stream.synced_index

        def heal() -> None:
            world.store.unavailable = world.store.full = False

        goal = list(range(1, written + 1))
        reader = world.reader(**settings)
        world.run(reader, world.all_stored(*goal), turn_7=heal)

    assert world.source.users["cl1"] <= written
    assert world.stored() == [list(range(1, written + 1))]
