"""What is in RQ's queues, for people to look at: read with plain commands and JSON, never with RQ's own classes.

Whoever has a worker's login can write anything there. So nothing is unpickled and nothing is imported, sizes and
numbers are bounded, what cannot be understood is shown as such, and reading changes nothing (RQ's classes tidy up).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from lustre_events.errors import ConfigError, StreamUnavailable
from lustre_events.jobs.bounded_reads import bounded
from lustre_events.jobs.messages import JOB_FUNCTION, decode_job
from lustre_events.jobs.packed import unpacked
from lustre_events.jobs.pool_states import PoolState

MOST_QUEUES = 100
MOST_WORKERS = 500
MOST_JOBS = 10
"""Most jobs of each queue and state that are shown."""
SET_BYTES = 16 << 20
"""Most bytes of a set of names."""
JOB_BYTES = 16 << 20
ALL_BYTES = 64 << 20
"""Most bytes of all jobs together, packed and unpacked, that are read; of the others only their places are told."""
TEXT_BYTES = 200
_STATES = (("running", "rq:wip:"), ("failed", "rq:failed:"))
_FIELDS = ("status", "worker_name", "enqueued_at", "started_at", "ended_at")
_WORKER_FIELDS = ("hostname", "state", "queues", "current_job", "last_heartbeat")


@dataclass(frozen=True, slots=True)
class QueueLine:
    """One queue, and how many jobs are where."""

    name: bytes
    waiting: int
    running: int
    failed: int


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """One worker, in RQ's words."""

    name: bytes
    host: bytes
    state: bytes
    queues: bytes
    job: bytes
    seen: bytes


@dataclass(frozen=True, slots=True)
class ShownJob:
    """What is told of a job of ours: how many files, and the path of the first (None: it has none)."""

    extractor: str
    owner: int
    files: int
    path: bytes | None


@dataclass(frozen=True, slots=True)
class JobLine:
    """One job; `job` is None where what is stored is no job of ours, or (`unread`) too much to be read."""

    id: bytes
    queue: bytes
    state: str
    worker: bytes
    since: bytes
    job: ShownJob | None
    unread: bool = False


@dataclass(frozen=True, slots=True)
class QueueView:
    """All of it."""

    queues: Sequence[QueueLine]
    workers: Sequence[WorkerLine]
    jobs: Sequence[JobLine]
    pools: Mapping[str, PoolState] = field(default_factory=dict)
    """As the dispatcher published them last; it may not be running."""


def look(client: redis.Redis) -> QueueView:
    """Return what is in the queues. Raises StreamUnavailable: Redis does not answer.

    `client` must not decode responses.
    """
    try:
        names = _members(client, "rq:queues", b"rq:queue:", MOST_QUEUES)
        workers = _members(client, "rq:workers", b"rq:worker:", MOST_WORKERS)
        return QueueView(_queues(client, names), _workers(client, workers), _jobs(client, names))
    except redis.RedisError as exc:
        raise StreamUnavailable(f"Redis does not answer ({exc}); check [redis] url and the server") from exc


def _members(client: redis.Redis, key: str, prefix: bytes, most: int) -> list[bytes]:
    """Return names in a set of RQ's, without its prefix; what has not that prefix is left out."""
    found = _ask(client, [bounded(("SRANDMEMBER", key, most), SET_BYTES)])[0] or ()
    return sorted({name.removeprefix(prefix) for name in found if name.startswith(prefix)})


def _ask(client: redis.Redis, commands: Iterable[Sequence[Any]]) -> list[Any]:
    """Return the answers to commands, in one round trip; None for one that is refused (a key of another type)."""
    with client.pipeline(transaction=False) as pipeline:
        for words in commands:
            pipeline.execute_command(*words)  # type: ignore[no-untyped-call]
        answers = pipeline.execute(raise_on_error=False)
    return [None if isinstance(answer, redis.ResponseError) else answer for answer in answers]


def _queues(client: redis.Redis, names: Sequence[bytes]) -> list[QueueLine]:
    commands = [
        words
        for name in names
        for words in (
            ("LLEN", b"rq:queue:" + name),
            ("ZCARD", b"rq:wip:" + name),
            ("ZCARD", b"rq:failed:" + name),
        )
    ]
    counts = iter([answer or 0 for answer in _ask(client, commands)])
    return [QueueLine(name, next(counts), next(counts), next(counts)) for name in names]


def _workers(client: redis.Redis, names: Sequence[bytes]) -> list[WorkerLine]:
    rows = _hashes(client, [b"rq:worker:" + name for name in names], _WORKER_FIELDS)
    return [WorkerLine(name, *row) for name, row in zip(names, rows, strict=True) if any(row)]


def _hashes(client: redis.Redis, keys: Sequence[bytes], fields: Sequence[str]) -> list[list[bytes]]:
    """Return these fields of each hash, empty where there is none or where it is too long for a page."""
    wanted = [(key, field) for key in keys for field in fields]
    sizes = zip(wanted, _ask(client, [("HSTRLEN", *each) for each in wanted]), strict=True)
    short = [each for each, size in sizes if size is not None and size <= TEXT_BYTES]
    found = dict(zip(short, _ask(client, [("HGET", *each) for each in short]), strict=True))
    return [[found.get((key, field)) or b"" for field in fields] for key in keys]


def _jobs(client: redis.Redis, queues: Sequence[bytes]) -> list[JobLine]:
    found = _job_ids(client, queues)
    keys = [b"rq:job:" + id_ for id_, _, _ in found]
    rows = _hashes(client, keys, _FIELDS)
    sizes = _ask(client, [("HSTRLEN", key, "data") for key in keys])
    lines = []
    left = ALL_BYTES
    for (id_, queue, state), key, row, size in zip(found, keys, rows, sizes, strict=True):
        job, unread = None, bool(size) and size > min(JOB_BYTES, left)
        if size and not unread:
            data = _ask(client, [("HGET", key, "data")])[0] or b""
            text = unpacked(data, min(JOB_BYTES, left))
            left = max(0, left - len(data) - (len(text) if text is not None else JOB_BYTES))
            job, unread = _job(text or b""), text is None
        _, worker, enqueued, started, ended = row
        since = {"waiting": enqueued, "running": started, "failed": ended}[state]
        lines.append(JobLine(id_, queue, state, worker, since or enqueued, job, unread))
    return lines


def _job_ids(client: redis.Redis, queues: Sequence[bytes]) -> list[tuple[bytes, bytes, str]]:
    """Return (id, queue, state) of each job."""
    lists = [(queue, "waiting", bounded(("LRANGE", b"rq:queue:" + queue, 0, MOST_JOBS - 1))) for queue in queues]
    lists += [
        (queue, state, bounded(("ZREVRANGE", prefix.encode() + queue, 0, MOST_JOBS - 1)))
        for queue in queues
        for state, prefix in _STATES
    ]
    answers = _ask(client, [command for _, _, command in lists])
    # A running job's member is "<job>:<execution>".
    return [
        (id_.rpartition(b":")[0] if state == "running" else id_, queue, state)
        for (queue, state, _), ids in zip(lists, answers, strict=True)
        for id_ in ids or ()
        if len(id_) <= TEXT_BYTES
    ]


def _job(text: bytes) -> ShownJob | None:
    """Return the job of ours that is in what RQ has stored; None: there is none."""
    try:
        match json.loads(text):
            case [str(function), None, [argument], dict()] if function == JOB_FUNCTION:
                job = decode_job(argument)
                return ShownJob(job.extractor, job.owner, len(job.items), job.items[0].path if job.items else None)
    except (ConfigError, ValueError, RecursionError):
        pass
    return None
