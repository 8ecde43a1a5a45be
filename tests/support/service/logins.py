"""A service over one Redis, each of its parts with the login of its role: what hostile logins are tried on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
import redis

from lustre_events.actions.seal import Seal
from lustre_events.actions.sealed_jobs import PoolSeal
from lustre_events.config.settings import DispatcherSettings
from lustre_events.dispatcher.loop import Dispatcher
from lustre_events.domain.rules.rules import Rules
from lustre_events.errors import LustreEventsError
from lustre_events.index import open_search
from lustre_events.index.sqlite.writer import SqliteWriter
from lustre_events.inspect.metrics import families
from lustre_events.inspect.status import collect, lines
from lustre_events.jobs import pools
from lustre_events.jobs.messages import Job
from lustre_events.jobs.queues import RqQueues
from lustre_events.node.doctor import service
from lustre_events.node.pool_queues import Pool, PooledQueues, PooledResults, announce
from lustre_events.node.pool_watch import PoolWatch
from lustre_events.node.redis_server import RedisServer
from lustre_events.streams import keys
from lustre_events.streams.connection import connect
from lustre_events.streams.group_keeper import GroupKeeper
from lustre_events.streams.groups import RedisGroups
from lustre_events.streams.interface import Tail
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.records import RedisRecordStreams
from lustre_events.streams.requests import RedisRequests
from lustre_events.streams.results import RedisResults
from tests.support.model.fakes import MDT, block

EPOCH = 1_700_000_000_000_000_001
GARBAGE = ("evil", "rq:queue:\x1b[2J", "rq:worker:w", b"\xff", "1", "")
STREAM = keys.stream(MDT, EPOCH)
OF_STREAMS = (keys.MDTS, keys.epochs(MDT), STREAM, keys.epochs("lustre-MDT0009"))
KEYS = {
    "worker": ("rq:queues", "rq:workers", "rq:queue:default", "rq:wip:default", "rq:failed:default", "rq:job:j",
               "rq:worker:w", "rq:clean_registries:default", keys.RESULTS),
    "pool": ("le:pool:lab:rq:queues", "le:pool:lab:rq:workers", "le:pool:lab:rq:queue:pool-lab",
             "le:pool:lab:rq:wip:pool-lab", "le:pool:lab:rq:job:pool-lab_j", "le:pool:lab:results",
             "le:pool:clinic:rq:queue:pool-clinic", "le:pool:clinic:results", "le:pool:names", "rq:queue:default"),
    "subscriber": (keys.GROUPS, keys.ASKED, keys.lost("audit"), *OF_STREAMS),
    "reader": (*OF_STREAMS, keys.reader_state(MDT), keys.lease(MDT), keys.continuity(MDT)),
    "web": (keys.REQUESTS, keys.RESULTS, keys.DISPATCHER_STATE, "rq:queues"),
}  # fmt: skip


@dataclass
class Place:
    """A Redis with everything in it that the service has, and who reads it, each with the login of its role."""

    url: Callable[[str], str]
    admin: redis.Redis
    dispatcher: Dispatcher
    console: redis.Redis
    index: str

    def look(self) -> list[str]:
        """Do what status, metrics, console and doctor do, and return what they say is wrong."""
        with open_search(self.index) as search:
            stats = search.stats()
        streams, groups = RedisRecordStreams(self.console), RedisGroups(self.console)
        status = collect(stats, streams, groups, RqQueues(self.console, 60))
        said = list(lines(status))
        assert all(line.isprintable() for line in said)
        assert families(status)
        json.dumps(status.json())
        for part in (service.readers(status, [MDT]), service.queues(status, ["default"]), service.groups(status)):
            list(part)
        RqQueues(self.console, 60).states(["j"])
        return [line for line in said if line.startswith("problem:") or "are not RQ's" in line]

    def step(self) -> str:
        """Let the dispatcher take a step as its loop does; return what it says, after which it tries again."""
        try:
            self.dispatcher._published_ns = 0
            self.dispatcher.step()
            self.dispatcher._jobs._queue.unfinished(["j"])
        except LustreEventsError as exc:
            if not exc.retryable:
                raise
            return str(exc)
        return ""


def pool(name: str, client: redis.Redis) -> Pool:
    """Return a pool, with a key that is its name."""
    seal = PoolSeal(name, Seal(name.encode()))
    queue = RqQueues(client, 60, pools.rq_prefix(name), lambda job: seal.sealed(job, time.time_ns()))
    return Pool(name, queue, RedisResults(client, pools.results_key(name)))


@pytest.fixture
def place(tmp_path: Path, roles_server: RedisServer, role_urls: dict[str, str]) -> Iterator[Place]:
    """Make one; nothing is wrong in it."""
    admin, own, console = (connect(role_urls[role], 5) for role in ("admin", "dispatcher", "web"))
    admin.flushall()
    reader = RedisReaderStream(admin, MDT, token="reader")  # noqa: S106
    assert reader.lease(600)
    reader.append(block(EPOCH, 1, 2), Tail(0, 0))
    reader.publish({"updated_ns": 5, "records_read": 2, "memory_share": "0.1"})
    keeper = GroupKeeper(own)
    keeper.join("audit", from_start=True)
    known = {name: pool(name, own) for name in ("lab", "clinic")}
    announce(own, known)
    queues = PooledQueues(RqQueues(own, 60), known)
    for queue, job in (("default", "j"), ("pool-lab", "pool-lab_j"), ("pool-clinic", "pool-clinic_j")):
        queues.enqueue(queue, [Job(job, "text", 1, -1, ())])
    admin.sadd("rq:workers", "rq:worker:w")
    admin.hset("rq:worker:w", mapping={"hostname": "n1", "state": "idle", "queues": "default", "birth": "x"})
    streams, results = RedisRecordStreams(own, 1000), PooledResults(RedisResults(own), known)
    watch = PoolWatch(known, results.refused, streams.publish, clock=count(1, 60).__next__)
    dispatcher = Dispatcher(
        streams, results, SqliteWriter(tmp_path / "index.db"), Rules(), queues, [], DispatcherSettings(idle_ms=1),
        requests=RedisRequests(own), tend=lambda: (keeper.tend(), watch.tend())[0],
    )  # fmt: skip
    found = Place(role_urls.__getitem__, admin, dispatcher, console, f"sqlite:///{tmp_path / 'index.db'}")
    assert found.step() == ""
    assert found.look() == []
    yield found
    for client in (admin, own, console):
        client.close()
