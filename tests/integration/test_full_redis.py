"""A Redis without memory makes a worker wait: it neither ends nor loses what it has in hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import redis

from lustre_events.errors import StreamFull
from lustre_events.jobs.messages import Result
from lustre_events.node.redis_server import RedisServer
from lustre_events.streams.connection import Client, connect
from lustre_events.streams.documents import RoutedResults
from lustre_events.streams.results import PUT_BYTES, RedisResults
from tests.support.records.builders import fid_of
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


def test_what_was_stored_before_redis_was_full_is_not_stored_again(full: Client) -> None:
    """Who has no room for all that it found is told what is left: no answer comes twice."""
    full.config_set("maxmemory", int(full.info("memory")["used_memory"]) + 2 * PUT_BYTES)
    sink = RoutedResults(RedisResults(full, "documents"), RedisResults(full))
    results = [
        Result(fid=fid_of(number), extractor="text", serial=1, generation=1, status=status,
               document={"text": "x" * PUT_BYTES} if status == "ok" else {})
        for number, status in enumerate(["ok", "failed", "ok", "ok", "gone"])
    ]  # fmt: skip

    with pytest.raises(StreamFull) as told:
        sink.put(results)
    assert 0 < len(told.value.left) < len(results)
    full.config_set("maxmemory", 0)
    sink.put(told.value.left)

    lists = (RedisResults(full, "documents"), RedisResults(full))
    stored = [result.fid for sink in lists for _, found in sink.read(100) for result in found]
    assert sorted(stored) == sorted(result.fid for result in results)
