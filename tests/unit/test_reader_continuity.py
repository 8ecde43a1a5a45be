"""Epochs, the probe and losses: what a reader does when the MDT or Redis is not as it left them."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from lustre_events.errors import ChangelogBroken, ChangelogUnavailable
from lustre_events.reader import Reader
from lustre_events.reader.continuity import (
    INDEX_BEGAN_ANEW,
    PURGED,
    STREAM_BACK,
    STREAM_TRIMMED,
    USER_GONE,
)
from lustre_events.streams.continuity import STREAM_GONE
from lustre_events.streams.memory import MemoryRecordStreams
from tests.support.model.fakes import MDT
from tests.support.model.reader import World


@pytest.fixture
def world() -> World:
    """A world whose reader has stored 1, 2, 3 and cleared nothing."""
    world = World()
    world.source.add(1, 2, 3)
    return world


def store_three(world: World, *, cleared: bool) -> None:
    """Let a first reader store everything, one record a block, and clear it or not."""
    if cleared:
        world.run(reader(world), lambda: world.source.clears == [3])
    else:
        world.run(reader(world, user=""), world.all_stored(1, 2, 3))


def reader(world: World, **settings: Any) -> Reader:
    return world.reader(**{"user": "cl1", "block_bytes": 1, "probe_seconds": 60.0, **settings})


def lost(world: World) -> list[tuple[int, int, str]]:
    """Return first, last and reason of every loss."""
    return [(loss.first_index, loss.last_index, loss.reason) for loss in world.store.losses.get(MDT, [])]


def everything(world: World) -> set[int]:
    """Return every index that is in any epoch."""
    return {index for indexes in world.stored() for index in indexes}


NEW_INDEXES = {"below": (1, 2), "at": (1, 2, 3), "beyond": (1, 2, 3, 4, 5)}


class TestIndexReset:
    """The MDT restarted without a changelog user, and counts from 1 again."""

    @pytest.mark.parametrize("indexes", NEW_INDEXES.values(), ids=NEW_INDEXES)
    @pytest.mark.parametrize("cleared", [True, False])
    def test_while_nobody_read(self, world: World, indexes: tuple[int, ...], *, cleared: bool) -> None:
        """Wherever the new index is, at the next start it is a new epoch with every one of its records."""
        store_three(world, cleared=cleared)
        world.source.restart_index(*indexes)
        world.source.clears.clear()

        world.run(reader(world), lambda: world.source.clears[-1:] == [indexes[-1]])

        assert world.stored() == [[1, 2, 3], list(indexes)]
        assert world.store.marks[MDT] == indexes[-1]
        assert lost(world) == [(4, 0, INDEX_BEGAN_ANEW)]

    @pytest.mark.parametrize("indexes", NEW_INDEXES.values(), ids=NEW_INDEXES)
    def test_while_it_follows(self, world: World, indexes: tuple[int, ...]) -> None:
        """The handle breaks, and behind it is the new index."""
        world.run(
            reader(world),
            lambda: world.stored() == [[1, 2, 3], list(indexes)],
            turn_8=lambda: world.source.restart_index(*indexes),
        )

        assert lost(world) == [(4, 0, INDEX_BEGAN_ANEW)]

    def test_without_a_word(self, world: World) -> None:
        """A handle that stays silent about it is looked behind after a quiet minute."""
        begun = world.clock.now

        def silently() -> None:
            world.source.restart_index(1, 2)
            world.source.failures["read"].clear()
            world.source._at = 2

        world.run(reader(world), lambda: world.stored() == [[1, 2, 3], [1, 2]], turn_8=silently)

        assert 60 <= world.clock.now - begun < 70

    def test_nothing_of_the_new_index_is_cleared_before_it_is_stored(self, world: World) -> None:
        """While Redis takes nothing, no safe place of the old index is used for the new one."""
        store_three(world, cleared=True)
        world.source.restart_index(1, 2, 3, 4, 5)
        world.source.clears.clear()
        world.store.full = True

        world.run(reader(world), lambda: world.clock.now > 1300)

        assert world.source.clears == []
        assert world.store.marks[MDT] == 0

    def test_nothing_is_cleared_before_the_probe(self, world: World) -> None:
        """While the probe gets no answer the reader clears nothing, though there is something to clear."""
        world.store.syncing = False
        unanswered: list[int] = []
        world.source.on_clear = lambda index: unanswered.append(len(world.source.failures["peek"]))

        def breaks() -> None:
            world.source.handle += 1  # it opened another handle by itself
            world.source.failures["peek"] = [ChangelogUnavailable("busy")] * 6
            world.store.syncing = True

        world.run(reader(world), lambda: bool(unanswered), turn_10=breaks)

        assert unanswered == [0]

    def test_an_mdt_that_restarts_during_the_probe_is_asked_again(self, world: World) -> None:
        """A broken handle is no reason to end, not even the first one."""
        world.source.failures["peek"] = [ChangelogBroken("restarted")]

        world.run(reader(world), world.all_stored(1, 2, 3))

        assert world.source.opened == [0, 0]

    def test_a_handle_that_the_source_opened_itself_is_looked_at(self, world: World) -> None:
        """The source may open again by itself; the next clear is preceded by a probe, which finds the new index."""
        store_three(world, cleared=True)

        def reopened() -> None:
            world.source.restart_index(1, 2, 3, 4, 5)
            world.source.failures["read"].clear()
            world.source._at = 3
            world.source.handle += 1

        world.source.clears.clear()
        world.run(reader(world), lambda: everything(world) >= {1, 2, 3, 4, 5}, turn_2=reopened)

        assert world.stored()[-1] == [1, 2, 3, 4, 5] or world.stored()[-2:] == [[1, 2, 3, 4, 5]]
        assert all(index <= 3 for index in world.source.clears)


class TestRedis:
    """The stream is not what it was."""

    def test_a_vanished_stream_whose_records_are_left(self, world: World) -> None:
        """Another user keeps the records on the MDT: all come again in a new epoch, nothing is lost."""
        world.source.users["cl2"] = 0
        store_three(world, cleared=True)
        world.store.streams.clear()

        world.run(reader(world), lambda: world.store.tail(MDT).last_index == 3)

        assert everything(world) == {1, 2, 3}
        assert len(world.store.epochs[MDT]) == 2
        assert lost(world) == []
        assert world.source.clears == [3, 3]

    def test_a_vanished_stream_whose_records_are_committed(self, world: World) -> None:
        """What the index has is not lost."""
        store_three(world, cleared=True)
        MemoryRecordStreams(world.store).acknowledge(MDT, world.store.epochs[MDT][0], 3)
        world.store.streams.clear()
        world.source.add(4)

        world.run(reader(world), lambda: world.store.tail(MDT).last_index == 4)

        assert lost(world) == []
        assert world.source.opened[-1] == 4

    def test_a_vanished_stream_whose_records_are_nowhere(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Cleared, not committed, gone: exactly those are said to be lost, once."""
        store_three(world, cleared=True)
        MemoryRecordStreams(world.store).acknowledge(MDT, world.store.epochs[MDT][0], 1)
        world.store.streams.clear()
        world.source.add(4)

        with caplog.at_level(logging.ERROR):
            world.run(reader(world), lambda: world.store.tail(MDT).last_index == 4)

        assert lost(world) == [(2, 3, STREAM_GONE)]
        assert caplog.text.count("continuity lost: records from 2 to 3") == 1

    @pytest.mark.parametrize("clear_after", ["stored", "committed"])
    def test_everything_wiped_under_a_reader(self, world: World, clear_after: str) -> None:
        """What the process still knows tells the loss; with `committed` nothing that was cleared can be lost."""
        committed = MemoryRecordStreams(world.store)

        def wipe() -> None:
            store = world.store
            for table in (store.streams, store.epochs, store.leases, store.marks, store.anchors, store.committed):
                table.clear()
            world.source.add(4)

        world.run(
            reader(world, clear_after=clear_after),
            lambda: world.store.tail(MDT).last_index == 4,
            turn_8=lambda: committed.acknowledge(MDT, world.store.epochs[MDT][-1], 2),
            turn_40=wipe,
        )

        assert world.stored() == ([[4]] if clear_after == "stored" else [[3, 4]])
        assert lost(world) == ([(3, 3, STREAM_GONE)] if clear_after == "stored" else [])

    @pytest.mark.parametrize("clear_after", ["stored", "committed"])
    def test_everything_wiped_while_another_reader_was_at_work(self, world: World, clear_after: str) -> None:
        """It cleared more, then all of Redis is lost: with `committed` the index has what is not there."""
        committed = MemoryRecordStreams(world.store)

        def lose() -> None:
            store = world.store
            world.source.clear("cl1", 3)
            for table in (store.streams, store.epochs, store.leases, store.marks, store.anchors, store.committed):
                table.clear()
            store.cleared_for.clear()
            world.source.add(4)

        world.run(
            reader(world, clear_after=clear_after),
            lambda: world.store.tail(MDT).last_index == 4,
            turn_8=lambda: committed.acknowledge(MDT, world.store.epochs[MDT][-1], 2),
            turn_40=lose,
        )

        assert world.stored() == [[4]]
        assert lost(world) == ([(3, 3, STREAM_GONE)] if clear_after == "stored" else [])

    @pytest.mark.parametrize("cleared", [True, False])
    def test_a_stream_that_was_trimmed(self, world: World, *, cleared: bool) -> None:
        """Entries taken away uncommitted are read again where the MDT has them, and are a loss where not."""
        store_three(world, cleared=cleared)
        (stream,) = world.store.streams.values()
        del stream.blocks[:2]

        world.run(reader(world, user=""), lambda: world.clock.now > 1060)

        assert everything(world) == ({3} if cleared else {1, 2, 3})
        assert lost(world) == ([(1, 2, STREAM_TRIMMED)] if cleared else [])
        assert len(world.store.epochs[MDT]) == (1 if cleared else 2)

    def test_a_stream_that_is_trimmed_under_a_reader(self, world: World) -> None:
        """It is noticed though nothing new comes, and said once."""

        def trim() -> None:
            (stream,) = world.store.streams.values()
            del stream.blocks[:]

        world.run(reader(world), lambda: world.clock.now > 1100, turn_20=trim)

        assert lost(world) == [(1, 3, STREAM_TRIMMED)]
        assert len(world.source.opened) == 2

    @pytest.mark.parametrize("cleared", [True, False])
    def test_a_redis_that_went_back(self, world: World, *, cleared: bool) -> None:
        """Behind the mark that is a loss; else everything is read again, in the same epoch."""
        store_three(world, cleared=cleared)
        (stream,) = world.store.streams.values()
        stream.blocks, stream.last_index = stream.blocks[:1], 1
        world.store.anchors[MDT] = (1, "")
        world.source.add(4)

        world.run(reader(world), lambda: world.store.tail(MDT).last_index == 4)

        assert world.stored() == [[1, 4] if cleared else [1, 2, 3, 4]]
        assert lost(world) == ([(2, 3, STREAM_BACK)] if cleared else [])


class TestUser:
    """-ENOENT, and gaps where a reader goes on."""

    def test_a_legal_gap_is_no_loss(self, world: World) -> None:
        """Failed writes use up indexes: where the mark can be cleared the user was never gone."""
        store_three(world, cleared=True)
        world.source.add(7)

        world.run(reader(world), lambda: world.source.clears[-1:] == [7])

        assert world.source.clears == [3, 3, 7]
        assert lost(world) == []

    def test_a_gap_behind_a_user_that_was_gone_is_a_loss(self, world: World) -> None:
        """The oldest record left is above the expected one, and the MDT does not know the user: both are said."""
        store_three(world, cleared=True)
        world.source.users = {"cl2": 6}
        world.source.add(4, 5, 6, 7)
        world.source.purge()

        world.run(reader(world), lambda: len(lost(world)) == 2 and world.stored() == [[1, 2, 3, 7]])

        assert lost(world) == [(4, 6, PURGED), (4, 0, USER_GONE)]

    def test_without_a_user_to_ask_a_gap_is_a_loss(self, world: World) -> None:
        """Who never clears has nobody who keeps records for him."""
        store_three(world, cleared=False)
        world.source.users = {"cl2": 5}
        world.source.add(4, 5, 6)
        world.source.purge()

        world.run(reader(world, user=""), world.all_stored(1, 2, 3, 6))

        assert lost(world) == [(4, 5, PURGED)]

    def test_a_user_ahead_of_the_mark_is_not_gone(self, world: World) -> None:
        """Where the MDT tells that it knows the user, -ENOENT means that Redis forgot the mark."""
        world.source.users["cl2"] = 0
        store_three(world, cleared=True)
        world.store.marks[MDT] = 2
        world.source.add(4)

        world.run(reader(world), lambda: world.source.clears[-1:] == [4])

        assert lost(world) == []
        assert world.store.reader_states[MDT]["user_lost"] == "0"

    def test_where_it_cannot_be_told_the_user_counts_as_gone(self, world: World) -> None:
        """An older library cannot tell the two meanings apart: better a word too much."""
        store_three(world, cleared=True)
        world.source.tells_users = False
        world.source.users = {}

        world.run(reader(world), lambda: bool(lost(world)))

        assert lost(world) == [(4, 0, USER_GONE)]

    def test_a_user_that_comes_back_ends_the_loss(self, world: World) -> None:
        """From the last clear that worked to the first one that works again, records may be missing."""
        running = reader(world, keepalive_seconds=10.0)

        def back() -> None:
            world.source.users = {"cl1": 5}
            world.source.add(6)

        world.run(
            running,
            lambda: world.source.clears[-1:] == [6],
            turn_30=world.source.users.clear,
            turn_60=back,
        )

        assert lost(world) == [(4, 6, USER_GONE)]

    def test_a_loss_is_accepted(self, world: World) -> None:
        """Who has reconciled says so; what is lost later is new again."""
        streams = MemoryRecordStreams(world.store)
        store_three(world, cleared=True)
        world.source.restart_index(1)
        world.run(reader(world), lambda: world.source.clears[-1:] == [1])

        assert [loss.accepted for loss in streams.continuity(MDT)] == [False]
        assert streams.accept(MDT) == 1
        assert streams.accept(MDT) == 0
        assert [loss.accepted for loss in streams.continuity(MDT)] == [True]


def test_little_memory_stops_the_reading(world: World) -> None:
    """Near Redis's limit nothing more is read, clearing goes on, the state says why; with room it goes on."""
    running = reader(world, memory_share=0.9)

    def nearly_full() -> None:
        world.store.memory_share = 0.95
        world.source.add(4, 5)

    def room() -> None:
        state = world.store.reader_states[MDT]
        assert "95% of its maxmemory" in state["waiting"]
        assert state["memory_share"] == "0.950"
        assert everything(world) <= {1, 2, 3, 4}
        assert world.source.clears
        assert world.store.holder(MDT)
        world.store.memory_share = 0.5

    world.run(running, world.all_stored(1, 2, 3, 4, 5), turn_12=nearly_full, turn_200=room)

    assert world.clock.now > 1005
    assert world.source.opened == [0]


def test_caught_up_allows_for_the_kernel(world: World) -> None:
    """A record can exist for a while before it is seen, so the time published lies that much earlier."""
    world.source.lag_seconds = 2.0
    begun = world.clock.time_ns()

    world.run(reader(world), lambda: "caught_up_time_ns" in world.store.reader_states.get(MDT, {}))

    assert int(world.store.reader_states[MDT]["caught_up_time_ns"]) < begun


def test_the_first_epoch_is_no_warning(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A new MDT is nothing to worry about; an epoch behind another one is."""
    with caplog.at_level(logging.INFO):
        store_three(world, cleared=False)
        world.source.restart_index(1)
        world.run(reader(world), lambda: len(world.stored()) == 2)

    levels = [record.levelno for record in caplog.records if "a new epoch of" in record.getMessage()]
    assert levels == [logging.INFO, logging.WARNING]
