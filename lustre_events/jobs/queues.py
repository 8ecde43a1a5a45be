"""RQ as the dispatcher sees it: put jobs into short queues, and look at them.

    key              type    meaning; lifetime (all are RQ's own; the prefix is `rq:`)
    rq:queues        set     every queue; for ever
    rq:queue:<name>  list    ids of the jobs that wait; until a worker takes them
    rq:job:<id>      hash    one job, as JSON; until it is done, a failed one for `FAILURE_TTL_SECONDS`
    rq:workers       set     workers at work; until they end

A job's function is the string `work.JOB_FUNCTION` and its one argument an encoded `work.Job`: only JSON, only
ASCII. Redis holds nothing here that the index could not make again: every job's rows have a lease.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

import redis
from rq import Queue, Retry, Worker
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer
from rq.utils import parse_composite_key

from lustre_events.errors import StreamFull, StreamUnavailable
from lustre_events.jobs.messages import JOB_FUNCTION, Job, encode_job

RETRIES = 2
"""How often RQ gives a job out again whose worker was lost: without this RQ never does."""

FAILURE_TTL_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class JobState:
    """A job by RQ: `state` in its words (queued, started, failed, ...), its worker, and its place in the queue."""

    state: str
    worker: str
    place: int | None


class RqQueues:
    """The RQ queues behind one Redis client.

    Args:
        client: a client that does not decode responses.
        timeout_seconds: the longest run of one job (`[worker] job_timeout_seconds`).
    """

    def __init__(self, client: redis.Redis, timeout_seconds: int) -> None:
        self._client = client
        self._timeout_seconds = timeout_seconds

    def length(self, queue: str) -> int:
        """Return how many jobs wait in `queue`. Raises StreamUnavailable."""
        try:
            return self._queue(queue).count
        except redis.RedisError as exc:
            raise _unavailable(exc) from exc

    def enqueue(self, queue: str, jobs: Sequence[Job]) -> None:
        """Put `jobs` into `queue`, in one round trip and all or none.

        Raises StreamUnavailable (whether they were put is then unknown; a job that runs twice does no harm)
        and StreamFull.
        """
        if not jobs:
            return
        datas = [
            Queue.prepare_data(
                JOB_FUNCTION,
                args=(encode_job(job),),
                timeout=self._timeout_seconds,
                result_ttl=0,
                failure_ttl=FAILURE_TTL_SECONDS,
                description=describe(job),
                job_id=job.id,
                retry=Retry(max=RETRIES),
            )
            for job in jobs
        ]
        try:
            self._queue(queue).enqueue_many(datas)
        except redis.OutOfMemoryError as exc:
            raise StreamFull(f"Redis has no memory left for jobs ({exc}); raise its maxmemory") from exc
        except redis.RedisError as exc:
            raise _unavailable(exc) from exc

    def unfinished(self, job_ids: Collection[str]) -> set[str]:
        """Return those of the jobs that wait, or run under a worker that still gives signs of life.

        A job between the two, or one whose worker has been silent for `[worker] worker_ttl_seconds`, is not
        among them: to give its files out again does no harm. Raises StreamUnavailable.
        """
        alive: set[str] = set()
        try:
            for queue in Queue.all(connection=self._client, serializer=JSONSerializer):
                alive.update(queue.get_job_ids())
                # Members are "<job>:<execution>", scored with the time until which the worker has promised to live.
                members = self._client.zrangebyscore(queue.started_job_registry.key, time.time(), "+inf")
                alive.update(parse_composite_key(member.decode())[0] for member in cast("list[bytes]", members))
        except redis.RedisError as exc:
            raise _unavailable(exc) from exc
        return alive.intersection(job_ids)

    def stats(self) -> dict[str, Any]:
        """Return what `status` shows: per queue the jobs that wait, run and failed; and the workers.

        Raises StreamUnavailable.
        """
        try:
            queues = {
                queue.name: {
                    "waiting": queue.count,
                    "running": queue.started_job_registry.get_job_count(cleanup=False),
                    "failed": queue.failed_job_registry.get_job_count(cleanup=False),
                }
                for queue in Queue.all(connection=self._client, serializer=JSONSerializer)
            }
            workers = [
                {
                    "name": worker.name,
                    "host": worker.hostname,
                    "state": worker.get_state(),
                    "queues": [name for name in worker.queue_names() if name],
                }
                for worker in Worker.all(connection=self._client, serializer=JSONSerializer)
            ]
        except redis.RedisError as exc:
            raise _unavailable(exc) from exc
        return {"queues": queues, "workers": workers}

    def states(self, job_ids: Collection[str]) -> dict[str, JobState]:
        """Return what RQ knows of jobs, but for those that it has forgotten. Raises StreamUnavailable."""
        found = {}
        try:
            for job in RqJob.fetch_many(list(job_ids), connection=self._client, serializer=JSONSerializer):
                if job is not None:
                    state = str(job.get_status(refresh=False).value)
                    place = job.get_position() if state == "queued" else None
                    found[job.id] = JobState(state, job.worker_name or "", None if place is None else place + 1)
        except redis.RedisError as exc:
            raise _unavailable(exc) from exc
        return found

    def _queue(self, name: str) -> Queue:
        return Queue(name, connection=self._client, serializer=JSONSerializer)


def describe(job: Job) -> str:
    """Return the job in a few words of ASCII, as rq-dashboard shows it: `tabular, 3 files, [0x1:0x2:0x0] ...`."""
    if not job.items:
        return f"{job.extractor}, 0 files"
    more = " ..." if len(job.items) > 1 else ""
    return f"{job.extractor}, {len(job.items)} file{'s' * (len(job.items) > 1)}, {job.items[0].fid}{more}"


def _unavailable(exc: redis.RedisError) -> StreamUnavailable:
    return StreamUnavailable(f"Redis does not answer ({exc}); check [redis] url and the server")
