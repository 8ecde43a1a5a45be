"""An index that is behind the stream's start: what is missing is said, and the dispatcher goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from lustre_events.dispatcher.continuity import INDEX_BEHIND, NEITHER_HAS, missing
from lustre_events.errors import LeaseLost
from lustre_events.index.interface import Cursor
from lustre_events.index.postgresql.writer import PostgresqlTransaction
from lustre_events.index.sqlite.writer import SqliteTransaction
from lustre_events.streams.continuity import STREAM_GONE
from lustre_events.streams.interface import Loss, Start, Tail
from tests.support.index.places import IndexPlace
from tests.support.model.dispatcher import MDT0, Rig, csv_rig, number
from tests.support.model.world import Unacknowledged
from tests.support.records import builders as b

LOG = number(
    [
        b.create(fid=1, name=b"a"),
        b.create(fid=2, name=b"b"),
        b.rename(fid=1, name=b"a", to=b"c"),
        b.create(fid=3, name=b"d"),
        b.rename(fid=2, name=b"b", to=b"e"),
        b.create(fid=4, name=b"f"),
    ],
    0,
)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = csv_rig(tmp_path / "first.db")
    yield made
    made.close()


@pytest.fixture
def older(rig: Rig, index_place: IndexPlace) -> Iterator[Rig]:
    """Another index behind the same streams, on either database, which has the first two records only."""
    made = csv_rig(index_place, store=rig.store)
    rig.feed(*LOG[:2])
    made.make(made.writer, Unacknowledged(made.store)).step()
    made.dispatcher = made.make(made.writer)
    yield made
    made.close()


def losses(rig: Rig) -> list[tuple[int, int, int, str]]:
    """Return what was marked: epoch, first and last index, and why."""
    return [(each.epoch, each.first_index, each.last_index, each.reason) for each in rig.streams.continuity(MDT0)]


def test_a_first_start_has_lost_nothing(rig: Rig) -> None:
    """An empty index behind a stream that is whole is at its beginning, at whatever index; gaps are legal."""
    rig.feed(*number([b.create(fid=9, name=b"z")], 700), *number([b.close(fid=9)], 800))
    rig.feed(*number([b.close(fid=9)], 900))
    rig.settle()
    rig.restart()
    rig.settle()
    assert rig.paths(9) == [[b"z"]]
    assert losses(rig) == []


def test_an_older_index_says_what_it_missed(rig: Rig, older: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Records that another index had taken from the stream are marked with their range, once; later ones count."""
    rig.feed(*LOG[2:4])
    rig.feed(*LOG[4:5])
    rig.settle()
    rig.feed(*LOG[5:])
    with caplog.at_level(logging.ERROR):
        older.settle()
    assert losses(older) == [(1, 3, 5, INDEX_BEHIND)]
    assert "records from 3 to 5 are or may be missing" in caplog.text
    assert older.paths(1, 4) == [[b"a"], [b"f"]]
    older.restart()
    older.settle()
    assert len(losses(older)) == 1
    assert older.writer.cursors()[MDT0, 1].position == 6


def test_a_dispatcher_that_was_paused_marks_nothing(index_place: IndexPlace) -> None:
    """Another one took over and let records leave the stream meanwhile: this one only learns that it must stop."""
    paused = csv_rig(index_place)
    paused.feed(*LOG[:2])
    paused.settle()
    active = csv_rig(index_place, store=paused.store)
    active.feed(*LOG[2:4])
    active.settle()

    active.feed(*LOG[4:])
    with pytest.raises(LeaseLost):
        paused.settle()
    assert losses(paused) == []
    active.settle()
    assert active.writer.cursors()[MDT0, 1].position == 6
    for rig in (paused, active):
        rig.close()


def test_an_older_index_behind_an_empty_stream_says_so_at_once(rig: Rig, older: Rig) -> None:
    """It does not wait for the next record to come."""
    rig.feed(*LOG[2:5])
    rig.settle()
    older.dispatcher.step()
    assert losses(older) == [(1, 3, 5, INDEX_BEHIND)]
    assert older.store.committed == {(MDT0, 1): 5}


def test_a_new_index_behind_a_trimmed_stream_says_so(rig: Rig, index_place: IndexPlace) -> None:
    """An empty index has missed all that is no longer in the stream."""
    rig.feed(*LOG[:4])
    rig.settle()
    rig.feed(*LOG[4:])
    new = csv_rig(index_place, store=rig.store)
    new.settle()
    assert losses(new) == [(1, 1, 4, INDEX_BEHIND)]
    assert new.paths(4) == [[b"f"]]
    new.close()


def test_an_epoch_that_is_forgotten_was_drained_by_another_index(rig: Rig, older: Rig) -> None:
    """What an older index missed of an epoch that is gone is marked, though the newer epoch is whole; once."""
    rig.feed(*LOG[2:4])
    rig.settle()
    rig.feed(*number([b.create(fid=7, name=b"n", time_ns=LOG[-1].time_ns)], 0), epoch=2)  # its index started again
    rig.make(rig.writer, Unacknowledged(rig.store)).step()
    assert rig.streams.epochs(MDT0) == [2]
    older.settle()
    assert losses(older) == [(1, 3, 4, INDEX_BEHIND)]
    assert older.paths(7) == [[b"n"]]
    older.restart()
    older.settle()
    assert len(losses(older)) == 1


def test_what_a_lost_redis_had_alone_is_marked(rig: Rig) -> None:
    """Redis was lost with records that are neither in the index nor on the MDT; what overlaps is no loss."""
    rig.feed(*LOG[:2])
    rig.settle()
    rig.store.epochs.clear()
    rig.store.streams.clear()
    rig.feed(*LOG[3:4], epoch=2)
    rig.settle()
    assert losses(rig) == [(2, 3, 3, NEITHER_HAS)]
    rig.store.epochs.clear()
    rig.store.streams.clear()
    rig.store.losses.clear()
    rig.feed(*LOG[4:], epoch=3)
    rig.settle()
    assert losses(rig) == []


def test_killed_between_the_mark_and_the_commit(rig: Rig, older: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark is there before the index moves on; the next dispatcher finds the same one."""

    class Killed(Exception):
        """The process ends here."""

    def kill(*_: object) -> None:
        raise Killed

    rig.feed(*LOG[2:5])
    rig.settle()
    with monkeypatch.context() as patch:
        patch.setattr(SqliteTransaction, "advance", kill)
        patch.setattr(PostgresqlTransaction, "advance", kill)
        with pytest.raises(Killed):
            older.dispatcher.step()
    assert losses(older) == [(1, 3, 5, INDEX_BEHIND)]
    assert older.writer.cursors()[MDT0, 1].position == 2
    older.restart()
    older.settle()
    assert losses(older) == [(1, 3, 5, INDEX_BEHIND)]
    assert older.writer.cursors()[MDT0, 1].position == 5


def test_a_mark_that_the_index_refutes_is_taken_back(rig: Rig) -> None:
    """Redis was lost, and its reader did not know what was committed: only what the index has not stays marked."""
    rig.feed(*LOG[:4])
    rig.settle()
    for first, last, reason in ((1, 4, STREAM_GONE), (3, 6, STREAM_GONE), (2, 4, "another reason")):
        rig.store.lose(Loss(MDT0, 1, first, last, first, reason))
    rig.store.lose(Loss(MDT0, 9, 1, 4, 9, STREAM_GONE))  # of an epoch that never came here
    rig.pass_seconds(2)
    rig.dispatcher.step()
    assert losses(rig) == [(1, 2, 4, "another reason"), (1, 5, 6, STREAM_GONE), (9, 1, 4, STREAM_GONE)]


def test_what_other_epochs_have_brought_is_no_loss() -> None:
    """An older copy of Redis whose first records are in the index under a newer epoch has lost nothing."""
    cursors = {
        (MDT0, 1): Cursor(MDT0, 1, position=100, eff_time=1_000, first_index=1, first_ns=1),
        (MDT0, 2): Cursor(MDT0, 2, position=200, eff_time=2_000, first_index=90, first_ns=900),
    }
    ((before, after, loss),) = missing((MDT0, 1), cursors, Start(150, 151))
    assert (before, after.position, loss) == (cursors[MDT0, 1], 150, None)
    ((_, after, loss),) = missing((MDT0, 1), cursors, Start(250, 251, Tail(0, 0)))
    assert loss is not None
    assert (loss.first_index, loss.last_index, after.first_index) == (201, 250, 251)
    # An index that began anew counts the same numbers again, and they are others.
    cursors[MDT0, 2] = Cursor(MDT0, 2, position=200, eff_time=2_000, first_index=90, first_ns=1_001)
    ((_, _, loss),) = missing((MDT0, 1), cursors, Start(150, 151))
    assert loss is not None
    assert (loss.first_index, loss.last_index) == (101, 150)
