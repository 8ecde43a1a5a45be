"""What somebody with a worker's login stores under RQ's names: no more of it is read than RQ would have there."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import redis

from lustre_events.jobs.messages import Job
from lustre_events.jobs.queue_view import look
from lustre_events.jobs.queues import RqQueues
from lustre_events.streams.connection import connect
from tests.support.service.logins import Place, place

__all__ = ["place"]

LONG = bytes(1 << 20)
HUGE: dict[str, Callable[[redis.Redis, str, bytes], object]] = {
    "rq:queue:default": lambda client, key, each: client.rpush(key, each),
    "rq:queue:default:intermediate": lambda client, key, each: client.rpush(key, each),
    "rq:wip:default": lambda client, key, each: client.zadd(key, {each: 9e18}),
    "rq:failed:default": lambda client, key, each: client.zadd(key, {each: 9e18}),
    "rq:queues": lambda client, key, each: client.sadd(key, b"rq:queue:" + each),
    "rq:workers": lambda client, key, each: client.sadd(key, b"rq:worker:" + each),
    "rq:worker:w": lambda client, key, each: client.hset(key, each[:9], each),
}


def test_what_is_too_long_is_not_read(place: Place) -> None:
    """70 MB as names of jobs, queues or workers: neither the dispatcher nor a page takes them into memory."""
    with (
        connect(place.url("dispatcher"), 5) as client,
        connect(place.url("web"), 5) as web,
        connect(place.url("worker"), 5) as thief,
    ):
        queues, shown = RqQueues(client, 60), RqQueues(web, 60)
        for key, put in HUGE.items():
            place.admin.flushdb()
            place.admin.sadd("rq:workers", "rq:worker:w")
            queues.enqueue("other", [Job("j7", "stat", 1, -1, ())])
            queues.enqueue("default", [Job("j8", "stat", 1, -1, ())])
            for number in range(70):
                put(thief, key, b"%09d" % number + LONG)
            tracemalloc.start()
            try:
                still = queues.unfinished(["j7"]), queues.still_waiting("other", ["j7"])
                stats, states, view = shown.stats(), shown.states(["j7"]), look(web)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert peak < 8 << 20, key
            assert still == ({"j7"} if key != "rq:queues" else set(), {"j7"}), key
            assert queues.still_waiting("default", ["j8"]) == ({"j8"} if key != "rq:queue:default" else set())
            assert states["j7"].state == "queued"
            assert stats.damaged == (1 if key in {"rq:queues", "rq:workers", "rq:worker:w"} else 0), key
            seen = {"rq:queues": set(), "rq:queue:default": {b"j7"}}.get(key, {b"j7", b"j8"})
            assert {line.id for line in view.jobs} == seen, key
