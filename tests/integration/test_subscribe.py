"""Subscribers beside a dispatcher on a real Redis: nothing is missing, nothing is kept, nobody waits."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from lustre_events import subscribe
from lustre_events.changelog.record import iter_records
from lustre_events.config.settings import DispatcherSettings
from lustre_events.dispatcher import Dispatcher
from lustre_events.domain.rules.rules import Rules
from lustre_events.index.sqlite.writer import SqliteWriter
from lustre_events.repair.replay import NoJobs
from lustre_events.streams.connection import connect
from lustre_events.streams.groups import RedisGroups
from lustre_events.streams.interface import Block, Tail
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.records import RedisRecordStreams
from lustre_events.streams.results import RedisResults
from tests.support.model.dispatcher import cut
from tests.support.records import captures
from tests.support.service.command import REPOSITORY

FOLDER = "11-random-defmask"
SUBSCRIBER = """\
import sys
from lustre_events import subscribe

with subscribe("audit", sys.argv[1], consumer="one") as subscription, open(sys.argv[2], "a") as out:
    for event in subscription.records():
        print(event.mdt, event.epoch, event.record.index, file=out, flush=True)
        subscription.ack()
"""


class Site:
    """Streams, a dispatcher with its index, and readers that store one capture block by block."""

    def __init__(self, client: redis.Redis, folder: Path, limit: int) -> None:
        self.client = client
        self.streams = RedisRecordStreams(client, limit)
        self.groups = RedisGroups(client)
        self.index = SqliteWriter(folder / "index.db")
        self.dispatcher = Dispatcher(
            self.streams, RedisResults(client), self.index, Rules(), NoJobs(), [], DispatcherSettings(idle_ms=1)
        )
        self.tails: dict[str, Tail] = {}
        self.stored: list[tuple[str, int, int]] = []
        self.waiting = {mdt: cut(captures.read(FOLDER, f"{mdt}.raw"), [40]) for mdt in captures.mdts(FOLDER)}

    def store(self, mdt: str, epoch: int = 1) -> None:
        """Store the next block of an MDT."""
        reader = RedisReaderStream(self.client, mdt, token="reader")  # noqa: S106
        assert reader.lease(60)
        data, first, last, count = self.waiting[mdt].pop(0)
        tail = self.tails.get(mdt, Tail(0, 0))
        self.tails[mdt] = reader.append(Block(mdt, epoch, first, last, count, data), tail)
        self.stored += [(mdt, epoch, record.index) for record in iter_records(data)]

    def settle(self) -> None:
        """Let the dispatcher do all that there is to do."""
        while self.dispatcher.step():
            pass

    def blocks(self) -> int:
        """Return how many blocks are in Redis."""
        return sum(
            self.streams.facts(mdt, epoch).blocks
            for mdt in self.streams.mdts()
            for epoch in self.streams.epochs(mdt)
        )


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with connect(redis_url, 5.0) as client:
        yield client


@pytest.fixture
def site(client: redis.Redis, tmp_path: Path) -> Iterator[Site]:
    site = Site(client, tmp_path, 10_000_000)
    yield site
    site.index.close()


def test_a_subscriber_that_is_killed_again_and_again_misses_nothing(
    site: Site, redis_url: str, tmp_path: Path
) -> None:
    """Every record of two MDTs and two epochs arrives, in order per MDT, though the subscriber is killed at random.

    Meanwhile the dispatcher commits at its own pace; in the end nothing is left in Redis.
    """
    site.groups.join("audit", from_start=True)
    out = tmp_path / "seen"
    out.touch()
    dice = random.Random(3)
    child: subprocess.Popen[bytes] | None = None
    kills, deadline, kill_at = 0, time.monotonic() + 180, 0.0
    mdts = list(site.waiting)
    while any(site.waiting.values()) or site.blocks():
        assert time.monotonic() < deadline, (kills, len(out.read_text().splitlines()), len(site.stored))
        if child is None:
            child = start(redis_url, out)
            kill_at = time.monotonic() + dice.uniform(0.5, 1.2)
        elif time.monotonic() > kill_at and kills < 6:
            child.kill()
            child.wait()
            child, kills = None, kills + 1
        mdt = dice.choice(mdts)
        if site.waiting[mdt]:
            half = len(site.waiting[mdt]) < 20
            site.store(mdt, epoch=2 if half else 1)
        if dice.random() < 0.3 or not any(site.waiting.values()):
            site.dispatcher.step()
        time.sleep(0.02)
    if child is not None:
        child.kill()
        child.wait()

    seen = [(m, int(e), int(i)) for m, e, i in (line.split() for line in out.read_text().splitlines())]
    first_seen = list(dict.fromkeys(seen))
    assert kills >= 2
    assert set(seen) == set(site.stored)
    for mdt in mdts:
        assert [each for each in first_seen if each[0] == mdt] == [each for each in site.stored if each[0] == mdt]
    assert all(len(site.streams.epochs(mdt)) == 1 for mdt in mdts)
    assert site.groups.lost("audit") == []


def start(url: str, out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-P", "-c", SUBSCRIBER, url, str(out)], cwd=REPOSITORY)


def test_the_dispatcher_never_waits_for_a_group(client: redis.Redis, tmp_path: Path) -> None:
    """A dead group is cut off at the limit while the dispatcher goes on; it can then go on behind the loss."""
    site = Site(client, tmp_path, limit=100)
    site.groups.join("dead", from_start=True)
    (mdt,) = list(site.waiting)[:1]
    most = 0
    while site.waiting[mdt]:
        site.store(mdt)
        site.settle()
        most = max(most, site.streams.facts(mdt, 1).blocks)
    with subscribe("dead", client_url(client)) as subscription:
        lost = subscription.lost()
        subscription.accept_loss()
        left = [
            index for event in subscription.read(0.0) for index in range(event.first_index, event.last_index + 1)
        ]
    site.index.close()

    assert most <= 100 // 40 + 1
    assert [(each.mdt, each.first_index) for each in lost] == [(mdt, site.stored[0][2])]
    assert lost[0].last_index + len(left) == site.stored[-1][2]


def client_url(client: redis.Redis) -> str:
    return f"unix://{client.get_connection_kwargs()['path']}"
