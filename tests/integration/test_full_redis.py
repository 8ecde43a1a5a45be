"""A Redis without memory makes a worker wait: it neither ends nor loses what it has in hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import redis

from lustre_events.node.redis_server import RedisServer
from lustre_events.streams.connection import Client, connect
from tests.support.servers.redis import emptied
from tests.support.waiting import wait_for
from workers.redis_full import RoomRetry


@pytest.fixture
def full(shared_redis_server: RedisServer) -> Iterator[Client]:
    """A login of somebody who has filled Redis."""
    with connect(emptied(shared_redis_server), 5.0) as client:
        client.config_set("maxmemory", 1)
        yield client
        client.config_set("maxmemory", 0)


def test_commands_and_transactions_wait_for_room(
    full: Client, shared_redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """What could take memory is given again until there is room; all other refusals are raised."""
    with connect(shared_redis_server.url, 5.0, RoomRetry()) as client:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            full.rpush("jobs", "a")

        def work() -> None:
            client.rpush("jobs", "a")
            with client.pipeline(transaction=True) as pipeline:
                pipeline.hset("worker", "state", "busy")
                pipeline.rpush("jobs", "b")
                pipeline.execute()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        wait_for(lambda: "waiting for room in Redis" in caplog.text)
        assert full.exists("jobs") == 0

        full.config_set("maxmemory", 0)
        thread.join(20)
        assert full.lrange("jobs", 0, -1) == [b"a", b"b"]
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            client.get("jobs")
