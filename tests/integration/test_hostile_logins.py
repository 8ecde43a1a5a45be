"""What a role may write can have any shape: nobody who reads it ends, and nobody says nothing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any, cast

import pytest
import redis
from rq.exceptions import StopRequested

from lustre_events import subscribe
from lustre_events.jobs.messages import Job
from lustre_events.streams import keys
from lustre_events.streams.connection import connect
from tests.support.service.logins import GARBAGE, KEYS, STREAM, Place, place
from workers.worker import Worker

__all__ = ["place"]

SHAPES: dict[str, Callable[[redis.Redis, str], object]] = {
    "string": lambda client, key: client.set(key, b"\xff"),
    "list": lambda client, key: client.rpush(key, *GARBAGE),
    "set": lambda client, key: client.sadd(key, *GARBAGE),
    "hash": lambda client, key: client.hset(
        key, mapping={"a": b"\xff", b"\xff": "a", "birth": "x", "created_at": "x", "status": "x", "updated_ns": "x",
                      "caught_up_time_ns": "x", "records_read": "x", "memory_share": "x", "mark": "x", "data": "x"}
    ),
    "sorted set": lambda client, key: client.zadd(key, cast("dict[bytes, float]", dict.fromkeys(GARBAGE, 9e18))),
    "stream": lambda client, key: client.xadd(key, {"a": b"\xff"}, id="18446744073709551615-18446744073709551615"),
    "consumer group": lambda client, key: client.xgroup_create(key, "g", "0", mkstream=True),
}  # fmt: skip


@pytest.mark.parametrize("role", KEYS)
def test_no_shape_of_a_key_stops_anybody(role: str, place: Place) -> None:
    """Each key that a role may write is made into each type: all go on or say why, and recover with the key."""
    written = 0
    with connect(place.url(role), 5) as client:
        for key in KEYS[role]:
            for shape in SHAPES.values():
                before = place.admin.dump(key)
                with contextlib.suppress(redis.ResponseError):
                    client.delete(key)
                try:
                    shape(client, key)
                except (redis.ResponseError, redis.DataError):
                    if place.admin.dump(key) == before:
                        continue
                written += 1
                place.step()
                place.look()
                place.admin.delete(key)
                if before is not None:
                    place.admin.restore(key, 0, before)
                assert place.step() == "", key
                assert place.look() == [], key
    assert written or role == "subscriber"


def test_an_index_that_no_mdt_has_reached_is_said(place: Place) -> None:
    """A block whose index the database cannot hold is a sentence, until it is taken away; then records go on."""
    [(_, fields), *_] = place.admin.xrange(STREAM) or []
    last = f"{(1 << 64) - 1}-0"
    with connect(place.url("reader"), 5) as client:
        client.xadd(STREAM, fields, id=last)
    assert place.step() == ""
    assert any("which no MDT has reached" in line for line in place.look())
    place.admin.xdel(STREAM, last)
    assert place.step() == ""


def test_requests_go_on_after_the_last_of_all_ids(place: Place) -> None:
    """Whoever may ask cannot keep others from asking: the dispatcher begins the requests anew."""
    with connect(place.url("web"), 5) as client:
        client.xadd(keys.REQUESTS, {"a": "b"}, id="18446744073709551615-18446744073709551615")
        client.xdel(keys.REQUESTS, "18446744073709551615-18446744073709551615")
        place.dispatcher._requests._requests._renew_at = 0.0
        assert place.step() == ""

        assert client.xadd(keys.REQUESTS, {"a": "b"})


def test_a_subscriber_can_change_nothing_but_what_it_asks_for(place: Place) -> None:
    """Its login makes no key of the wrong type, and neither removes a group nor lets go of what it needs."""
    with connect(place.url("subscriber"), 5) as client:
        for key in (keys.GROUPS, keys.MDTS, keys.epochs("lustre-MDT0001"), keys.stream("lustre-MDT0001", 1)):
            for shape in SHAPES.values():
                with pytest.raises(redis.exceptions.NoPermissionError):
                    shape(client, key)
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.xgroup_destroy(STREAM, "audit")
    assert [group["name"] for group in place.admin.xinfo_groups(STREAM)] == [b"audit"]
    assert place.admin.smembers(keys.GROUPS) == {b"audit"}


def test_what_a_subscriber_asks_for_is_bounded(place: Place) -> None:
    """Requests that are none, too long or too many are passed over; a good one behind them is carried out."""
    with connect(place.url("subscriber"), 5) as client:
        client.rpush(keys.ASKED, b"\xff", "{}", "[" * 5_000, '{"group":"a b"}', "x" * (1 << 20))
        client.rpush(keys.ASKED, *(json.dumps({"group": f"g{number}"}) for number in range(300)))
    for _ in range(5):
        assert place.step() == ""

    assert len(place.admin.smembers(keys.GROUPS)) == 100
    assert place.admin.llen(keys.ASKED) == 0


def test_a_subscriber_reads_with_its_role(place: Place) -> None:
    """The dispatcher makes its group and forgets what it has acknowledged; an older group's needs are kept."""
    place.admin.rpush(keys.ASKED, json.dumps({"group": "backup", "from_start": True}))
    assert place.step() == ""
    with subscribe("backup", place.url("subscriber"), from_start=True) as subscription:
        [found] = subscription.read(5.0)
        subscription.ack()
    assert place.step() == ""
    assert place.admin.xlen(STREAM) == 1
    with subscribe("audit", place.url("subscriber")) as subscription:
        assert subscription.read(5.0) == [found]
        subscription.ack()
    assert place.step() == ""
    assert place.admin.xlen(STREAM) == 0


class Waiting(Worker):
    """A worker that ends when there is no job for it."""

    def __init__(self, client: redis.Redis) -> None:
        self.looked = 0
        upkeep = type("Nothing", (), {"look": lambda _self: None})()
        super().__init__("default", None, client, 30, upkeep)  # type: ignore[arg-type]

    def heartbeat(self, *args: Any, **kwargs: Any) -> None:
        """Count, and end at last."""
        self.looked += 1
        if self.looked > 40:
            raise StopRequested
        super().heartbeat(*args, **kwargs)


@pytest.mark.parametrize("key", ["rq:queue:default", "rq:wip:default", "rq:intermediate:default", "rq:job:j"])
def test_no_member_ends_a_worker(key: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker passes over what it cannot read, and takes the good job behind it."""
    monkeypatch.setattr("workers.worker.DAMAGED_SECONDS", 0.01)
    with connect(place.url("worker"), 5) as client:
        intermediate = "rq:queue:default:intermediate"
        if key == "rq:job:j":
            client.hset(key, "created_at", "x")
        elif key == "rq:wip:default":
            client.zadd(key, {b"\xff": 1, "evil": 1})
        else:
            client.lpush(intermediate if "intermediate" in key else key, b"\xff")
        place.dispatcher._jobs._queue.enqueue("default", [Job("good", "text", 1, -1, ())])
        worker = Waiting(client)
        taken = []
        while (found := worker.dequeue_job_and_maintain_ttl(1)) is not None:
            taken.append(found[0].id)
            if "good" in taken:
                break
        assert taken[-1] == "good"
        assert b"\xff" not in client.lrange(intermediate, 0, -1)
