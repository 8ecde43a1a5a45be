"""Indexers killed at each of their borders: the next one goes on, nothing is lost and nothing is there twice.

The dispatcher is in this process, on a real index; Redis, PostgreSQL and the indexers are processes of their own.
"""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from bench.postgresql_server import PostgreSQLServer
from lustre_events.errors import LustreEventsError
from lustre_events.jobs.messages import Job
from lustre_events.node.redis_server import RedisServer
from lustre_events.streams import keys
from lustre_events.streams.connection import connect
from lustre_events.streams.documents import RedisDocuments
from lustre_events.streams.results import RedisResults
from tests.support.index.written import contents, extraction, found, jobs_for
from tests.support.model.dispatcher import Rig, csv_rig
from tests.support.need import need
from tests.support.records import builders as b
from tests.support.servers.postgresql import CleanIndexes, start_postgresql
from tests.support.servers.redis import start_redis
from tests.support.service.command import REPOSITORY, clean_environment
from tests.support.waiting import wait_for

FILES = 7
PORTION = 3


@dataclass
class Site:
    """A dispatcher, and what indexers need."""

    rig: Rig
    redis: RedisServer
    index_url: str

    def put(self, jobs: list[Job]) -> None:
        """Be the workers: store what was found, in portions."""
        waiting = RedisResults(connect(self.redis.url, 5.0), keys.DOCUMENTS)
        for job in jobs:
            results = found(job)
            for start in range(0, len(results), PORTION):
                waiting.put(results[start : start + PORTION])

    def indexer(self, moment: str = "") -> subprocess.Popen[bytes]:
        """Start an indexer that dies at a moment."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.support.service.mortal_indexer", self.redis.url, self.index_url,
             moment],
            cwd=REPOSITORY, env=clean_environment({"PYTHONPATH": str(REPOSITORY)}),
        )  # fmt: skip

    def finish(self) -> None:
        """Let an indexer do what is left, and the dispatcher take it."""
        with self.working():
            self.drain()

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Have an indexer."""
        indexer = self.indexer()
        try:
            yield
        finally:
            indexer.kill()
            indexer.wait(10)

    def drain(self) -> None:
        """Wait until no portion is left, and let the dispatcher take what they came to."""
        with connect(self.redis.url, 5.0) as client:
            backlog = RedisDocuments(client)
            wait_for(lambda: not any(backlog.waiting().values()), 120)
        self.rig.settle()


@pytest.fixture
def site(tmp_path: Path, postgresql_index_url: str) -> Iterator[Site]:
    need("redis-server")
    with start_redis(tmp_path / "redis") as redis:
        rig = csv_rig(postgresql_index_url, backlog=RedisDocuments(connect(redis.url, 5.0)))
        yield Site(rig, redis, postgresql_index_url)
        rig.close()


@pytest.fixture(scope="module")
def expected(clean_indexes: CleanIndexes) -> dict[str, object]:
    """Return the contents of an index whose dispatcher writes all."""
    name = clean_indexes.take()
    rig = csv_rig(clean_indexes.url(name))
    for job in jobs_for(rig, FILES):
        rig.results.put(found(job))
    rig.settle()
    told = contents(rig)
    rig.close()
    clean_indexes.give_back(name)
    return told


def without_counts_of(told: dict[str, object], *, dropped: bool) -> dict[str, object]:
    """Return contents without what depends on how many jobs and portions there were."""
    counted = dict(told["counter"])  # type: ignore[call-overload]
    ends = ("ok", "failed", "gone", "dropped")
    assert counted["results"] == sum(counted.get(f"results_{each}", 0) for each in ends)
    assert dropped or not counted.get("results_dropped")
    left = {
        name: count
        for name, count in counted.items()
        if name != "results" and not name.startswith("results_dropped")
    }
    return {**told, "counter": left}


MOMENTS = ("portions read", "documents written", "outcomes committed", "portions acknowledged")


@pytest.mark.parametrize(("moment", "taken"), [*((each, False) for each in MOMENTS), ("outcomes committed", True)])
def test_an_indexer_killed_at_a_moment_is_followed(
    site: Site, expected: dict[str, object], moment: str, *, taken: bool
) -> None:
    """The next indexer does what the one before had not acknowledged; each document is there, and counts, once."""
    site.put(jobs_for(site.rig, FILES))
    assert site.indexer(moment).wait(60) == -signal.SIGKILL
    if taken:
        site.rig.settle()
    site.finish()
    twice = taken and moment == "outcomes committed"  # of a portion that comes again nothing counts any more
    told = contents(site.rig)
    assert without_counts_of(told, dropped=twice) == without_counts_of(expected, dropped=False)
    assert not site.rig.select("SELECT fid FROM pending")


class Killed(Exception):
    """The process ends here."""


def test_a_dispatcher_killed_while_it_takes_outcomes_is_followed(
    site: Site, expected: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its commit all outcomes are still there; they are taken by the next dispatcher, and count once."""
    site.put(jobs_for(site.rig, FILES))
    indexer = site.indexer()
    backlog = RedisDocuments(connect(site.redis.url, 5.0))
    wait_for(lambda: not any(backlog.waiting().values()), 60)
    indexer.kill()
    indexer.wait(10)

    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("lustre_events.index.postgresql.writer.PostgresqlTransaction.count", kill)
        with pytest.raises(Killed):
            site.rig.dispatcher.step()
    assert site.rig.select("SELECT count(*) FROM outcome") != [0]
    site.rig.restart()
    site.rig.settle()
    told = without_counts_of(contents(site.rig), dropped=False)
    assert told == without_counts_of(expected, dropped=False)


SEED = 1
ROUNDS = 10


@pytest.mark.timeout(900)
def test_whatever_is_killed_while_documents_are_written(tmp_path: Path) -> None:
    """Indexers, dispatcher, Redis and PostgreSQL are killed at random; in the end each file has its document."""
    need("redis-server")
    chance = random.Random(SEED)
    with start_postgresql() as server, start_redis(tmp_path / "redis") as redis:
        rig = csv_rig(server.url(), backlog=RedisDocuments(connect(redis.url, 5.0)))
        site = Site(rig, redis, server.url())
        indexers = [site.indexer() for _ in range(2)]
        killed: Counter[str] = Counter()
        for round_ in range(ROUNDS):
            victim = chance.choice(("indexer", "indexer", "dispatcher", "redis", "postgresql"))
            first = round_ * FILES + 1
            jobs = _tried(rig, lambda first=first: _some_files(rig, first))
            site.put(jobs)
            time.sleep(chance.uniform(0.0, 0.4))
            killed[victim] += 1
            _kill(victim, indexers[round_ % 2], rig, redis, server)
            indexers = [each if each.poll() is None else site.indexer() for each in indexers]
        for each in indexers:
            each.kill()
            each.wait(10)
        _work_off(site)
        told = rig.select(
            "SELECT object.fid, count(*), max(body) FROM object"
            " LEFT JOIN document ON object = object.id GROUP BY object.fid ORDER BY object.fid"
        )
        rig.close()
    assert [count for _, count, body in told if body is not None] == [1] * (ROUNDS * FILES), killed


def _some_files(rig: Rig, first: int) -> list[Job]:
    numbers = range(first, first + FILES)
    return extraction(rig, rig.play(*(b.create(fid=number, name=b"%d.csv" % number) for number in numbers)))


def _tried(rig: Rig, deed: object) -> list[Job]:
    """Return jobs, from a dispatcher that is started again where its connection was lost."""
    with contextlib.suppress(LustreEventsError):
        return deed()  # type: ignore[operator]
    wait_for(lambda: _restarted(rig), 60)
    rig.pass_seconds(130)
    return extraction(rig, rig.play())


def _restarted(rig: Rig) -> bool:
    with contextlib.suppress(LustreEventsError, psycopg.Error):
        rig.restart()
        return True
    return False


def _kill(
    victim: str, indexer: subprocess.Popen[bytes], rig: Rig, redis: RedisServer, server: PostgreSQLServer
) -> None:
    if victim == "indexer":
        indexer.kill()
        indexer.wait(10)
    elif victim == "redis":
        redis.kill()
        redis.start()
    elif victim == "postgresql":
        server.kill()
        server.start()
    if victim in {"dispatcher", "postgresql"}:
        wait_for(lambda: _restarted(rig), 60)


def _work_off(site: Site) -> None:
    """Let all be done that is left: also what was lost with its job, once that lease has ended."""
    with site.working():
        for _ in range(20):
            site.drain()
            site.rig.pass_seconds(3600)
            jobs = extraction(site.rig, site.rig.play())
            if not jobs and not site.rig.pending():
                return
            site.put(jobs)
    pytest.fail(f"never done: {site.rig.pending()}")
