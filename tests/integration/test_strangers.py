"""What is no MDT's stream among those of MDTs: it is left alone and said, and stops nobody."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import redis

from lustre_events import subscribe
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError
from lustre_events.index import open_search
from lustre_events.inspect.metrics import families
from lustre_events.inspect.status import collect, lines
from lustre_events.inspect.tail import RecordTail, View
from lustre_events.jobs import pools
from lustre_events.node import status_report, wiring
from lustre_events.node.doctor import FAILURE, examine
from lustre_events.streams import keys
from lustre_events.streams.connection import connect
from lustre_events.streams.documents import IndexerState
from lustre_events.streams.groups import RedisGroups
from lustre_events.streams.interface import Block
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.records import RedisRecordStreams
from tests.support.model.dispatcher import MDT0, Rig, csv_rig, number
from tests.support.records import builders as b
from tests.support.records.builders import raw

LOG = number([b.create(fid=1, name=b"a"), b.rename(fid=1, name=b"a", to=b"b")], 0)


def store(client: redis.Redis, first: int, name: str = MDT0) -> None:
    """Be a reader: store one record."""
    reader = RedisReaderStream(client, name)
    reader.lease(60.0)
    reader.append(Block(name, 5, first, first, 1, raw(LOG[first - 1])), reader.tail())
    reader.release()


def no_mdt(client: redis.Redis) -> str:
    """A reader was started for something else."""
    store(client, 1, "scratch")
    return "'scratch' is not an MDT's name"


def other_type(client: redis.Redis) -> str:
    """Where a stream should be there is something else."""
    client.sadd(keys.MDTS, "fs-MDT0001")
    client.rpush(keys.epochs("fs-MDT0001"), 5)
    client.set(keys.stream("fs-MDT0001", 5), "text")
    return "fs-MDT0001 is left alone"


def other_entries(client: redis.Redis) -> str:
    """A stream of somebody else's."""
    client.sadd(keys.MDTS, "fs-MDT0001")
    client.rpush(keys.epochs("fs-MDT0001"), 5)
    client.xadd(keys.stream("fs-MDT0001", 5), {"temperature": "20"}, id="7-0")
    return "fs-MDT0001 is left alone"


def no_epochs(client: redis.Redis) -> str:
    """Where the list of epochs should be there is something else."""
    client.sadd(keys.MDTS, "fs-MDT0001")
    client.set(keys.epochs("fs-MDT0001"), "text")
    return "fs-MDT0001 is left alone"


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with connect(redis_url, 5.0) as made:
        yield made


@pytest.fixture
def rig(tmp_path: Path, client: redis.Redis) -> Iterator[Rig]:
    made = csv_rig(tmp_path / "index.db")
    made.dispatcher = made.make(made.writer, RedisRecordStreams(client, subscriber_max_lag=1_000))
    yield made
    made.close()


@pytest.mark.parametrize("stranger", [no_mdt, other_type, other_entries, no_epochs])
def test_a_stranger_stops_nobody(
    stranger: Callable[[redis.Redis], str],
    client: redis.Redis,
    redis_url: str,
    rig: Rig,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The dispatcher, status, metrics, `tail` and subscribers go on with the others, and it is said once."""
    store(client, 1)
    groups = RedisGroups(client)
    groups.join("audit", from_start=True)
    sentence = stranger(client)
    with caplog.at_level(logging.WARNING):
        rig.settle()
        store(client, 2)
        rig.pass_seconds(2)
        rig.settle()
        rig.dispatcher.step()
    assert rig.paths(1) == [[b"b"]]
    said = [record.message for record in caplog.records if sentence in record.message]
    assert len(said) == 1

    with open_search(f"sqlite:///{rig.path}") as search:
        status = collect(search.stats(), RedisRecordStreams(client), groups, None, ["x-MDT0007"])
    assert "x-MDT0007" in (status.mdts or {}), "it is named in the settings, and has no record yet"
    assert status.mdts is not None
    assert status.mdts[MDT0].committed_index == 2
    assert any(sentence in line for line in lines(status))
    assert families(status)

    shown: list[int] = []
    tail = RecordTail(
        RedisRecordStreams(client), View(newest=None), lambda _, record: shown.append(record.index), lambda *_: None
    )
    store_more = Block(MDT0, 5, 3, 3, 1, raw(*number([b.close(fid=1)], 2)))
    reader = RedisReaderStream(client, MDT0)
    reader.lease(60.0)
    reader.append(store_more, reader.tail())
    tail.so_far()
    assert shown[-1] == 3
    with subscribe("audit", redis_url) as subscription:
        assert [block.last_index for block in subscription.read(0.1) if block.mdt == MDT0] == [1, 2, 3]


def test_a_stranger_that_goes_is_forgotten(client: redis.Redis, rig: Rig) -> None:
    """Once the key is of the right kind again its records are read."""
    other_type(client)
    rig.settle()
    client.delete(keys.stream("fs-MDT0001", 5), keys.epochs("fs-MDT0001"))
    store(client, 1, "fs-MDT0001")
    rig.settle()
    assert rig.paths(1) == [[b"a"]]


@pytest.mark.parametrize("name", ["scratch", "", "lustre-MDT0000_UUID", "a b-MDT0000"])
def test_a_reader_refuses_what_is_no_mdt(name: str) -> None:
    """It says the form of a name in one sentence, before it has touched Redis."""
    with pytest.raises(ConfigError, match="is not an MDT's name; write it as FSNAME-MDT"):
        wiring.reader(Settings(), name)


def test_the_doctor_looks_at_the_other_clocks(client: redis.Redis, redis_url: str, tmp_path: Path) -> None:
    """What stands where one reader's state should be is said of that MDT; the clock of the others is compared."""
    store(client, 1)
    store(client, 1, "fs-MDT0001")
    client.delete(keys.reader_state("fs-MDT0001"))
    client.rpush(keys.reader_state("fs-MDT0001"), "text")
    settings = replace(Settings(), redis=replace(Settings().redis, url=redis_url))

    found = [
        each for each in examine(settings, f"sqlite:///{tmp_path}/none.db", ["reader"]) if "clock" in each.subject
    ]

    assert [(each.level, each.subject) for each in found if "MDT0001" in each.subject] == [
        (FAILURE, "clocks fs-MDT0001")
    ]
    assert any("fs-MDT0001" not in each.subject for each in found)


@pytest.mark.parametrize("indexers", [False, True])
def test_odd_names_of_pools_leave_the_rest_of_the_status(
    client: redis.Redis, redis_url: str, *, indexers: bool
) -> None:
    """They are one problem of the status, whether there are indexers or not, and the rest of it is there."""
    store(client, 1)
    client.set(pools.NAMES, "text")
    if indexers:
        client.hset(keys.INDEXERS, "a.1", msgspec.json.encode(IndexerState(time.time_ns())))
    settings = replace(Settings(), redis=replace(Settings().redis, url=redis_url))

    found, _ = status_report.standing(settings, ())

    assert MDT0 in (found.mdts or {})
    assert found.indexers is None
    assert [each for each in found.problems if "WRONGTYPE" in each] == found.problems
    assert len(found.problems) == 1
