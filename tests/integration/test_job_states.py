"""What RQ says of a job, for `explain`."""

from __future__ import annotations

import redis
from redis.client import Pipeline
from rq.job import Job as RqJob
from rq.job import JobStatus
from rq.serializers import JSONSerializer

from lustre_events.jobs.messages import Job
from lustre_events.jobs.queues import JobState, RqQueues


def test_a_job_has_a_state_a_place_or_a_worker(redis_url: str) -> None:
    """Jobs that wait have places in their queue, one that runs has a worker, and one that is gone is not there."""
    with redis.Redis.from_url(redis_url) as client:
        queues = RqQueues(client, 60)
        queues.enqueue("default", [Job(name, "tabular", 1, -1, ()) for name in ("a", "b", "c")])
        running = RqJob.fetch("c", connection=client, serializer=JSONSerializer)
        running.worker_name = "n1.7"
        running.set_status(JobStatus.STARTED)
        running.save()

        assert queues.states(["a", "b", "c", "gone"]) == {
            "a": JobState("queued", "", 1),
            "b": JobState("queued", "", 2),
            "c": JobState("started", "n1.7", None),
        }


def test_looking_at_many_queues_takes_few_round_trips(redis_url: str) -> None:
    """Names that somebody with a worker's login adds cost no round trip each, and hide no job that waits."""
    with Counted.from_url(redis_url) as client:
        client.sadd("rq:queues", *(f"rq:queue:q{number}" for number in range(3_000)))
        for number in range(0, 3_000, 100):
            client.rpush(f"rq:queue:q{number}", *range(7_000))
        queues = RqQueues(client, 60)
        queues.enqueue("default", [Job("a", "tabular", 1, -1, ())])
        client.trips = 0

        stats = queues.stats()

        assert len(stats.queues) == 3_001
        assert (stats.queues["default"].waiting, stats.queues["q100"].waiting) == (1, 7_000)
        assert queues.unfinished(["a", "6999", "gone"]) == {"a", "6999"}
        assert client.trips < 20


class Counted(redis.Redis):
    """A client that counts its round trips."""

    trips = 0

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Count one."""
        self.trips += 1
        return super().pipeline(transaction, shard_hint)
