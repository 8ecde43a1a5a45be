"""What subscriber groups promise, on Redis and on Valkey."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import redis

from lustre_events import subscribe
from lustre_events.errors import ConfigError, GroupCutOff, GroupUnknown
from lustre_events.streams import subscription as subscription_module
from lustre_events.streams.connection import connect
from lustre_events.streams.groups import RedisGroups
from lustre_events.streams.interface import Block, Tail
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.records import RedisRecordStreams
from lustre_events.streams.subscription import Subscription
from tests.support.model.fakes import MDT, block, indexes_of
from tests.support.servers.redis import emptied
from tests.support.waiting import came_true

E1, E2, E3 = 1_700_000_000_000_000_001, 1_700_000_000_000_000_002, 1_700_000_000_000_000_003
MDT1 = "lustre-MDT0001"
LIMIT = 10
HUGE = 1 << 62
"""An index that no Lua number can hold."""


@dataclass
class Place:
    """One Redis with readers of its MDTs and a dispatcher that keeps LIMIT records for each group."""

    url: str
    client: redis.Redis
    tails: dict[str, Tail] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.streams = RedisRecordStreams(self.client, LIMIT)
        self.groups = RedisGroups(self.client)

    def store(self, *indexes: int, mdt: str = MDT, epoch: int = E1) -> None:
        """Store one block of one record per index."""
        reader = RedisReaderStream(self.client, mdt, token="reader")  # noqa: S106
        assert reader.lease(60)
        self.tails[mdt] = reader.append(block(epoch, *indexes, mdt=mdt), self.tails.get(mdt, Tail(0, 0)))

    def commit(self, position: int, mdt: str = MDT, epoch: int = E1) -> None:
        """Say that the dispatcher has committed everything up to `position`."""
        self.streams.acknowledge(mdt, epoch, position)

    def kept(self, mdt: str = MDT, epoch: int = E1) -> list[int]:
        """Return the indexes that are still in a stream."""
        return indexes_of(self.streams.read({(mdt, epoch): 0}, 1 << 20, 0))

    def subscribe(self, group: str = "audit", **options: object) -> Subscription:
        """Join a group."""
        return subscribe(group, self.url, **options)  # type: ignore[arg-type]


@pytest.fixture(params=["redis", "valkey"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    server = request.getfixturevalue(f"shared_{request.param}_server")
    with connect(emptied(server), 5.0) as client:
        yield Place(server.url, client)


def everything(subscription: Subscription) -> list[int]:
    """Read until nothing comes, acknowledging, and return the indexes."""
    found: list[Block] = []
    while blocks := subscription.read(0.0):
        found += blocks
        subscription.ack()
    return indexes_of(found)


def test_a_new_group_begins_behind_the_newest_block(place: Place) -> None:
    """What was stored before the group was made is not delivered; what comes later is, of MDTs to come too."""
    place.store(1, 2)
    with place.subscribe() as subscription:
        assert everything(subscription) == []
        place.store(3)
        place.store(7, mdt=MDT1)

        assert everything(subscription) == [3, 7]


def test_from_start_begins_at_the_oldest_block(place: Place) -> None:
    """With from_start a new group gets what is still in Redis; a group that exists goes on where it was."""
    place.store(1, 2)
    place.store(3)
    with place.subscribe(from_start=True) as subscription:
        assert everything(subscription) == [1, 2, 3]
    with place.subscribe(from_start=True) as subscription:
        assert everything(subscription) == []


def test_a_group_that_was_away_misses_nothing(place: Place) -> None:
    """Blocks, epochs and MDTs that came and were committed while nobody read are kept for the group."""
    place.store(1)
    place.subscribe().close()
    place.store(2, 3)
    place.store(4)
    place.commit(4)
    place.store(1, epoch=E2)
    place.commit(1, epoch=E2)
    place.store(5, 6, mdt=MDT1)
    place.commit(6, mdt=MDT1)

    with place.subscribe() as subscription:
        assert everything(subscription) == [2, 3, 4, 5, 6, 1]


def test_older_epochs_come_first(place: Place) -> None:
    """Nothing of a newer epoch is delivered before the older one of the same MDT is."""
    for index in range(1, 11):
        place.store(index)
    place.store(1, epoch=E2)
    with place.subscribe(from_start=True) as subscription:
        epochs = []
        while blocks := subscription.read(0.0):
            epochs += [each.epoch for each in blocks]
            subscription.ack()

    assert epochs == [E1] * 10 + [E2]


def test_what_was_not_acknowledged_comes_again(place: Place) -> None:
    """A consumer that ended without acknowledging gets the same blocks first when it comes back."""
    place.subscribe().close()
    place.store(1, 2)
    place.store(3)
    with place.subscribe() as subscription:
        first, second = subscription.read()
        subscription.ack(second)
    place.store(4)

    with place.subscribe() as subscription:
        assert subscription.read() == [first]
        assert indexes_of(subscription.read()) == [4]


def test_another_consumer_takes_over_what_a_lost_one_held(place: Place) -> None:
    """A block that a consumer got and never acknowledged goes to another one after the claim time."""
    place.subscribe().close()
    place.store(1)
    with place.subscribe(consumer="lost") as lost:
        assert indexes_of(lost.read()) == [1]
        deadline = time.monotonic() + 60
        with place.subscribe(consumer="other", claim_seconds=0.01) as other:
            found: list[Block] = []
            while not found:
                assert time.monotonic() < deadline
                found = other.read(0.01)

    assert indexes_of(found) == [1]


def test_records_are_acknowledged_by_whole_blocks(place: Place) -> None:
    """`ack` after a record in the middle of a block acknowledges only the blocks before."""
    place.subscribe().close()
    place.store(1, 2)
    place.store(3, 4)
    with place.subscribe() as subscription:
        for event in subscription.records():
            subscription.ack()
            if event.record.index == 3:
                break

    with place.subscribe() as subscription:
        events = subscription.records()
        assert [(e.mdt, e.epoch, e.record.index) for e in (next(events), next(events))] == [
            (MDT, E1, 3),
            (MDT, E1, 4),
        ]


def test_what_a_group_needs_is_kept_and_then_forgotten(place: Place) -> None:
    """A committed block stays until the slowest group within the limit has acknowledged it, and then goes."""
    place.subscribe("slow").close()
    place.subscribe("quick").close()
    for index in (1, 2, 3):
        place.store(index)
    with place.subscribe("quick") as quick, place.subscribe("slow") as slow:
        assert everything(quick) == [1, 2, 3]
        place.commit(2)
        assert place.kept() == [1, 2, 3]
        held = slow.read(0.0)
        slow.ack(held[0])

        assert place.kept() == [2, 3]
        slow.ack()
        assert place.kept() == [3]


@pytest.mark.parametrize("base", [0, HUGE], ids=["small", "beyond a Lua number"])
def test_a_group_beyond_the_limit_is_cut_off_and_told(place: Place, base: int) -> None:
    """Behind by more than the limit a group loses its blocks, is told which, and goes on behind them."""
    place.store(base + 1)
    place.subscribe("dead").close()
    place.subscribe("alive").close()
    place.store(base + 2, base + 3)
    with place.subscribe("alive") as alive:
        everything(alive)
    place.store(*range(base + 4, base + 3 + LIMIT * 400))
    end = base + 2 + LIMIT * 400
    place.commit(end)
    place.store(end + 5)

    assert place.kept() == [end + 5]
    for name, first in (("dead", base + 2), ("alive", base + 4)):
        with place.subscribe(name) as subscription:
            for _ in range(2):
                with pytest.raises(GroupCutOff, match=f"{MDT}: {first} to {end}"):
                    subscription.read(0.0)
            (lost,) = subscription.lost()
            assert (lost.mdt, lost.epoch, lost.first_index, lost.last_index) == (MDT, E1, first, end)
            subscription.accept_loss()
            assert everything(subscription) == [end + 5]


def test_the_limit_itself_is_within_it(place: Place) -> None:
    """Exactly the limit behind the commit a group is kept for; one record more and it is cut off."""
    place.subscribe().close()
    for index in range(1, LIMIT + 2):
        place.store(index)
    place.commit(LIMIT)
    assert len(place.kept()) == LIMIT + 1

    place.commit(LIMIT + 1)
    assert place.kept() == []
    assert [str(lost) for lost in place.groups.lost("audit")] == [f"{MDT}: 1 to {LIMIT + 1}"]


def test_a_loss_that_grows_stays_one_range(place: Place) -> None:
    """A group that is cut off again and again is told one range per MDT and epoch, not many."""
    place.subscribe().close()
    for turn in range(3):
        place.store(*range(20 * turn + 1, 20 * turn + 21))
        place.commit(20 * turn + 20)

    ranges = place.groups.lost("audit")
    assert [str(lost) for lost in ranges] == [f"{MDT}: 1 to 60"]
    place.store(*range(61, 81))
    place.commit(80)
    place.groups.accept("audit", ranges)
    assert [str(lost) for lost in place.groups.lost("audit")] == [f"{MDT}: 1 to 80"]


def test_delivered_blocks_are_lost_too(place: Place) -> None:
    """A consumer that took blocks and never acknowledged them does not hold Redis back for ever either."""
    place.subscribe().close()
    place.store(1)
    place.store(2)
    with place.subscribe() as subscription:
        subscription.read()
        place.store(*range(3, 30))
        place.commit(29)

        assert place.kept() == []
        with pytest.raises(GroupCutOff, match="1 to 29"):
            subscription.read(0.0)
        subscription.accept_loss()
        place.store(30)
        assert everything(subscription) == [30]
        assert place.groups.places("audit")[0].unacknowledged == 0


def test_a_drained_epoch_waits_for_its_groups(place: Place) -> None:
    """An old epoch is dropped when the groups within the limit are through it."""
    place.subscribe().close()
    place.store(1)
    place.commit(1)
    place.store(1, epoch=E2)

    assert not place.streams.drop(MDT, E1)
    with place.subscribe() as subscription:
        assert everything(subscription) == [1, 1]
    assert place.streams.drop(MDT, E1)
    assert place.streams.epochs(MDT) == [E2]


def test_a_group_that_is_cut_off_holds_no_old_epoch(place: Place) -> None:
    """Beyond the limit in the newest epoch, a group loses what it had not read of older ones too."""
    place.subscribe().close()
    place.store(8, 9)
    place.commit(9)
    place.store(4, epoch=E2)
    place.commit(4, epoch=E2)
    place.store(*range(1, 30), epoch=E3)
    place.commit(29, epoch=E3)

    assert [str(lost) for lost in place.groups.lost("audit")] == [
        f"{MDT}: 8 to 9", f"{MDT}: 4 to 4", f"{MDT}: 1 to 29",
    ]  # fmt: skip
    for epoch, position in ((E1, 9), (E2, 4)):
        place.commit(position, epoch=epoch)
        assert place.streams.drop(MDT, epoch)


def test_without_groups_everything_committed_goes(place: Place) -> None:
    """A removed group holds nothing back."""
    place.subscribe().close()
    place.store(1)
    place.commit(1)
    assert place.kept() == [1]

    place.groups.remove("audit")
    place.commit(1)
    assert place.kept() == []
    assert place.groups.names() == []


def test_a_group_that_is_gone_is_said(place: Place) -> None:
    """Removing a group ends its subscriptions with a sentence; so does a Redis that lost everything."""
    place.store(1)
    with place.subscribe() as subscription:
        place.groups.remove("audit")
        with pytest.raises(GroupUnknown, match="audit"):
            subscription.read(0.0)
    with pytest.raises(GroupUnknown):
        place.groups.remove("audit")


def test_wrong_names_are_refused(place: Place) -> None:
    """A name that would not fit a key or a line is refused before anything is made."""
    for name in ("", "a b", "a:b", "x" * 65, "é"):
        with pytest.raises(ConfigError, match="is not a name for a group"):
            place.groups.join(name, from_start=False)
    assert place.groups.names() == []


def test_how_far_a_group_is(place: Place) -> None:
    """`places` says per stream what was delivered, what is behind and what waits to be acknowledged."""
    place.store(1)
    place.subscribe().close()
    place.store(5)
    with place.subscribe() as subscription:
        subscription.read()
        place.store(6, 9)

        (found,) = place.groups.places("audit")
    assert (found.mdt, found.epoch, found.delivered_index) == (MDT, E1, 5)
    assert (found.behind, found.unacknowledged, found.consumers) == (4, 1, 1)


def test_a_reader_that_waits_gets_the_block_at_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subscription that waits on several MDTs wakes with the first block; `stop` ends its iterator."""
    monkeypatch.setattr(subscription_module, "_WAIT_SECONDS", 40.0)
    place.store(1)
    place.store(1, mdt=MDT1)
    seen: list[tuple[int, float]] = []

    def listen(subscription: Subscription) -> None:
        for event in subscription.records():
            seen.append((event.record.index, time.monotonic()))
            subscription.ack()

    with place.subscribe() as subscription:
        thread = threading.Thread(target=listen, args=(subscription,))
        thread.start()
        time.sleep(0.05)
        stored = time.monotonic()
        place.store(2, mdt=MDT1)
        arrived = came_true(lambda: bool(seen))
        subscription.stop()
        place.store(3, mdt=MDT1)  # it looks whether to end when something comes
        thread.join(30)

    assert arrived
    assert seen[0][0] == 2
    assert seen[0][1] - stored < 20
    assert not thread.is_alive()


def test_a_full_redis_still_cuts_off_and_trims(place: Place) -> None:
    """With no memory left the dispatcher can still trim and cut off a group: that is what frees memory."""
    place.subscribe("dead").close()
    place.store(*range(1, 30))
    place.client.config_set("maxmemory", "1mb")

    place.commit(29)
    assert place.kept() == []
    assert [str(lost) for lost in place.groups.lost("dead")] == [f"{MDT}: 1 to 29"]


def test_short_memory_is_not_used_for_groups(place: Place) -> None:
    """With three quarters of the memory used a group within its limit is cut off too: readers would wait for it."""
    place.subscribe("slow").close()
    place.store(1, 2)
    place.commit(2)
    assert place.kept() == [1, 2]

    used = int(place.client.info("memory")["used_memory"])
    place.client.config_set("maxmemory", used * 5 // 4)
    place.commit(2)
    assert place.kept() == []
    assert [str(lost) for lost in place.groups.lost("slow")] == [f"{MDT}: 1 to 2"]


def test_many_writers_one_slow_group(place: Place) -> None:
    """Nobody waits for a group: with a dead one, append and commit take as long as without."""
    place.subscribe("dead").close()
    for index in range(1, 200):
        place.store(index)
        place.commit(index)

    assert len(place.kept()) <= LIMIT
    (lost,) = place.groups.lost("dead")
    assert lost.first_index == 1
    assert lost.last_index + LIMIT >= 199
