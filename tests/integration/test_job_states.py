"""What RQ says of a job, for `explain`."""

from __future__ import annotations

import redis
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
