"""RQ as the dispatcher sees it: put jobs into short queues, and look at them.

    key              type    meaning; lifetime (all are RQ's own; the prefix is `rq:`)
    rq:queues        set     every queue; for ever
    rq:queue:<name>  list    ids of the jobs that wait; until a worker takes them
    rq:job:<id>      hash    one job, as JSON; a done one for `DONE_TTL_SECONDS`, a failed one for
                             `FAILURE_TTL_SECONDS`, while it is among the last `KEPT_JOBS` of its queue
    rq:finished:<queue>, rq:failed:<queue>
                     zset    ids of those, oldest first
    rq:workers       set     workers at work; until they end

Workers may write to all of them, and so may whoever has their login: what is read here is taken apart with care.
A key of another type, or of more bytes than RQ's have, and a member that RQ did not write, are passed over.

A job's function is the string `messages.JOB_FUNCTION` and its one argument an encoded `messages.Job`: only JSON,
only ASCII. Redis holds nothing here that the index could not make again: every job's rows have a lease.
"""

from __future__ import annotations

import base64
import logging
import re
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_from_bytes

import msgspec
import redis
from rq import Queue, Retry
from rq.job import Job as RqJob
from rq.job import JobStatus
from rq.serializers import JSONSerializer

from lustre_events.errors import StreamDamaged, StreamFull, StreamUnavailable
from lustre_events.jobs import pools
from lustre_events.jobs.bounded_reads import HASH_BYTES, bounded
from lustre_events.jobs.messages import ACTION, JOB_FUNCTION, Job, JobItem, encode_job

log = logging.getLogger(__name__)

RQ = "rq"
"""What RQ's keys begin with, but for those of pools (jobs/pools.py)."""

RETRIES = 2
"""How often RQ hands out a job again after its worker was lost; without this RQ never does."""

DONE_TTL_SECONDS = 3_600
FAILURE_TTL_SECONDS = 86_400
KEPT_JOBS = 200
"""How many finished jobs of a queue are kept for people to look at, and how many failed ones."""

NO_ROOM = 1 << 40
"""The length that is reported for a queue that cannot be used, so that it gets no further jobs."""
MOST_MEMBERS = 10_000
"""The most queues, or workers, that are looked at."""
MOST_JOBS = 100_000
NEARLY_FULL = 0.8
"""This part of its memory is in use: a worker may find no room to begin a job that it has taken."""
MEMORY_SECONDS = 1.0
"""So often it is looked at."""
MOST_GLANCED = 500
"""Workers of a pool that are counted."""
WRONG_TYPE = "WRONGTYPE"
_QUEUE = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_WORKER = re.compile(r"[A-Za-z0-9_.:-]{1,300}\Z")
_STATES = frozenset(str(each.value) for each in JobStatus)
_MOST_BYTES = 300
_NAMED = 3
_MOST_NAME = 60


@dataclass(frozen=True, slots=True)
class JobState:
    """A job by RQ: `state` in its words (queued, started, failed, ...), its worker, and its place in the queue."""

    state: str
    worker: str
    place: int | None


class QueueCounts(msgspec.Struct, frozen=True):
    """How many jobs of a queue are where."""

    waiting: int = 0
    running: int = 0
    failed: int = 0


class RqWorker(msgspec.Struct, frozen=True):
    """A worker with a recent heartbeat, in RQ's words."""

    name: str
    host: str
    state: str
    queues: Sequence[str]


class RqStats(msgspec.Struct, frozen=True):
    """Queues by name, workers, and how many members and keys of `rq:*` are not RQ's."""

    queues: Mapping[str, QueueCounts] = {}
    workers: Sequence[RqWorker] = ()
    damaged: int = 0


class RqQueues:
    """The RQ queues behind one Redis client.

    Args:
        client: a client that does not decode responses.
        timeout_seconds: the longest run of one job (`[worker] job_timeout_seconds`).
        prefix: what all keys begin with; a pool has one of its own.
        encode: how RQ carries a job.
    """

    def __init__(
        self, client: redis.Redis, timeout_seconds: int, prefix: str = RQ,
        encode: Callable[[Job], dict[str, Any]] = encode_job,
    ) -> None:  # fmt: skip
        self._client = client
        self._timeout_seconds = timeout_seconds
        self._encode = encode
        self._prefix = prefix
        self._queues, self._workers_set = f"{prefix}:queues", f"{prefix}:workers"
        job_class = type("_Job", (RqJob,), {"redis_job_namespace_prefix": f"{prefix}:job:"})
        self._queue_class = type("_Queue", (Queue,), {
            "redis_queue_namespace_prefix": f"{prefix}:queue:", "redis_queues_keys": self._queues,
            "job_class": job_class,
        })  # fmt: skip
        self._broken: set[str] = set()
        self._look_at = 0.0
        self._full_ns = 0

    def length(self, queue: str) -> int:
        """Return how many jobs wait in `queue`; NO_ROOM where its keys are not RQ's. Raises StreamUnavailable."""
        if time.monotonic() >= self._look_at:
            self._is_nearly_full()
        waiting, known = self._ask([("LLEN", self._queue(queue).key), ("SISMEMBER", self._queues, "")])
        broken = waiting is None or known is None
        if broken and queue not in self._broken:
            log.error("queue %s gets no jobs: its keys in Redis are not RQ's; look at %s and %s with "
                      "redis-cli TYPE, and delete what is of another type than set and list",
                      queue, self._queues, self._queue(queue).key, extra={"action": "wait"})  # fmt: skip
        (self._broken.add if broken else self._broken.discard)(queue)
        return NO_ROOM if broken else int(waiting)

    def still_waiting(self, queue: str, job_ids: Collection[str]) -> set[str]:
        """Return those of the jobs that wait in `queue`: no worker has taken them. Raises StreamUnavailable."""
        (waiting,) = self._ask([bounded(("LRANGE", self._queue(queue).key, 0, MOST_JOBS - 1))])
        found = set(waiting or ())
        return {job_id for job_id in job_ids if job_id.encode() in found}

    def enqueue(self, queue: str, jobs: Sequence[Job]) -> None:
        """Put `jobs` into `queue`, in one round trip, all or none.

        Raises StreamUnavailable (whether they were put is then unknown; a job that runs twice does no harm)
        and StreamFull.
        """
        if not jobs:
            return
        datas = [
            Queue.prepare_data(
                JOB_FUNCTION,
                args=(self._encode(job),),
                timeout=self._timeout_seconds,
                result_ttl=DONE_TTL_SECONDS,
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
            if WRONG_TYPE not in str(exc):
                raise _unavailable(exc) from exc
            log.warning("jobs of queue %s may be lost (%s); their files are given out again", queue, exc,
                        extra={"action": "lose"})  # fmt: skip

    def enqueue_actions(self, queue: str, sealed: Sequence[tuple[str, bytes, int]]) -> None:
        """Put runs of actions into a queue: of each its name, its sealed delivery, and for how many seconds.

        RQ gives none out again: the lease of a run does that. Raises StreamUnavailable, StreamFull.
        """
        datas = [
            Queue.prepare_data(
                JOB_FUNCTION,
                args=({ACTION: base64.b64encode(data).decode()},),
                timeout=seconds,
                ttl=seconds,
                result_ttl=DONE_TTL_SECONDS,
                failure_ttl=FAILURE_TTL_SECONDS,
                description=f"action {name}",
                job_id=uuid.uuid4().hex,
            )
            for name, data, seconds in sealed
        ]
        try:
            if datas:
                self._queue(queue).enqueue_many(datas)
        except redis.OutOfMemoryError as exc:
            raise StreamFull(f"Redis has no memory left for jobs ({exc}); raise its maxmemory") from exc
        except redis.RedisError as exc:
            raise _unavailable(exc) from exc

    def unfinished(self, job_ids: Collection[str]) -> set[str]:
        """Return those of the jobs that wait, or run under a worker that still gives signs of life.

        A job between the two, or one whose worker has been silent for `[worker] worker_ttl_seconds`, is not among
        them: to give its files out again does no harm. A full Redis takes one sign of life only, the time to live
        of a run's key; while it is nearly full, a worker may be waiting to begin, so a job between the two is among
        them, until RQ puts it back.

        Raises StreamUnavailable.
        """
        asked = [job_id.encode() for job_id in job_ids]
        alive: set[bytes] = set()
        names, _ = self._members(self._queues, f"{self._prefix}:queue:", _QUEUE)
        full = self._is_nearly_full()
        for portion in self._portions([*map(self._queue, names)]):
            now = time.time()
            alive |= self._there(portion, now, full=full)
            alive |= self._waiting_for_room(portion, asked, now)
        return {job_id for job_id, encoded in zip(job_ids, asked, strict=True) if encoded in alive}

    def _there(self, queues: Sequence[Queue], now: float, *, full: bool) -> set[bytes]:
        """Return the jobs that wait, or run under a living worker; of a full Redis also those that are taken."""
        lists = [queue.key for queue in queues]
        if full:
            lists += [queue.intermediate_queue_key for queue in queues]
        # Members are "<job>:<execution>", scored with the time until which the worker has promised to live.
        found = self._ask([
            *(bounded(("LRANGE", key, 0, MOST_JOBS - 1)) for key in lists),
            *(
                bounded(("ZRANGEBYSCORE", self._registry("wip", queue), now, "+inf", "LIMIT", 0, MOST_JOBS))
                for queue in queues
            ),
        ])  # fmt: skip
        return {_job_of(member) for members in found for member in members or ()}

    def was_full(self, queue: str, since_ns: int) -> bool:  # noqa: ARG002 - all are in one Redis
        """Whether Redis was seen to be nearly full since then (ns since the epoch)."""
        return self._full_ns >= since_ns

    def _is_nearly_full(self) -> bool:
        """Whether Redis has little memory left."""
        self._look_at = time.monotonic() + MEMORY_SECONDS
        (memory,) = self._ask([("INFO", "memory")])
        full = 0 < int(memory["maxmemory"]) * NEARLY_FULL <= int(memory["used_memory"])
        if full:
            self._full_ns = time.time_ns()
        return full

    def _waiting_for_room(self, queues: Sequence[Queue], asked: Collection[bytes], now: float) -> set[bytes]:
        """Return those of the jobs whose promised time is over, and whose worker renews the key of their run."""
        late = self._ask([
            bounded(("ZRANGEBYSCORE", self._registry("wip", queue), "-inf", f"({now}", "LIMIT", 0, MOST_JOBS))
            for queue in queues
        ])  # fmt: skip
        wanted = set(asked)
        runs = [member for members in late for member in members or () if _job_of(member) in wanted]
        lives = self._ask([("EXISTS", f"{self._prefix}:execution:".encode() + member) for member in runs])
        return {_job_of(member) for member, lives_on in zip(runs, lives, strict=True) if lives_on}

    def _portions(self, queues: Sequence[Queue]) -> Iterator[list[Queue]]:
        """Yield the queues that have jobs, as many of them together as hold no more than one queue may."""
        sizes = self._ask([
            words for queue in queues for words in (
                ("LLEN", queue.key),
                ("LLEN", queue.intermediate_queue_key),
                ("ZCARD", self._registry("wip", queue)),
            )
        ])  # fmt: skip
        portion: list[Queue] = []
        held = 0
        for at, queue in enumerate(queues):
            size = sum(filter(None, sizes[3 * at : 3 * at + 3]))
            if portion and held + size > MOST_JOBS:
                yield portion
                portion, held = [], 0
            if size:
                portion.append(queue)
                held += size
        if portion:
            yield portion

    def stats(self) -> RqStats:
        """Return what `status` shows: per queue the jobs that wait, run and failed; the workers; what is damaged.

        Those of pools in this Redis are among them. `damaged` counts members and keys that are not RQ's: they are
        passed over. Raises StreamUnavailable.
        """
        found = self.own_stats()
        for name in self._pools():
            queue, more = pools.queue_of(name), self._of_pool(name).own_stats()
            here = {queue: more.queues[queue]} if queue in more.queues else {}
            workers = [msgspec.structs.replace(each, queues=[queue]) for each in more.workers]
            found = RqStats({**found.queues, **here}, [*found.workers, *workers], found.damaged + more.damaged)
        return found

    def _pools(self) -> list[str]:
        """Return the pools in this Redis, as far as this login may know of them."""
        try:
            members = self._ask([bounded(("SRANDMEMBER", pools.NAMES, MOST_MEMBERS))])[0] or ()
        except StreamUnavailable as exc:
            if isinstance(exc.__cause__, redis.exceptions.NoPermissionError):
                return []
            raise
        return sorted(filter(pools.is_name, (member.decode(errors="replace") for member in members)))

    def _of_pool(self, name: str) -> RqQueues:
        return RqQueues(self._client, self._timeout_seconds, pools.rq_prefix(name))

    def own_stats(self) -> RqStats:
        """Return `stats` without those of pools. Raises StreamUnavailable."""
        names, damaged = self._members(self._queues, f"{self._prefix}:queue:", _QUEUE)
        own = [self._queue(name) for name in sorted(names)]
        counts = self._ask([
            words for queue in own for words in (
                ("LLEN", queue.key), ("ZCARD", self._registry("wip", queue)),
                ("ZCARD", self._registry("failed", queue)),
            )
        ])  # fmt: skip
        damaged += sum(count is None for count in counts)
        numbers = iter([int(count or 0) for count in counts])
        queues = {queue.name: QueueCounts(next(numbers), next(numbers), next(numbers)) for queue in own}
        workers, wrong = self._workers()
        return RqStats(queues, workers, damaged + wrong)

    def glance(self, queue: str) -> tuple[QueueCounts, int]:
        """Return how many jobs of one queue are where, and how many workers live, at a bounded cost.

        Raises StreamUnavailable, StreamDamaged: its keys are not RQ's.
        """
        own = self._queue(queue)
        counts = self._ask([
            ("LLEN", own.key), ("ZCARD", self._registry("wip", own)), ("ZCARD", self._registry("failed", own)),
        ])  # fmt: skip
        if None in counts:
            raise StreamDamaged(
                f"keys of queue {queue} in Redis are not RQ's; look at {own.key} with redis-cli TYPE"
            )
        prefix = f"{self._prefix}:worker:"
        names, _ = self._members(self._workers_set, prefix, _WORKER, MOST_GLANCED)
        lives = self._ask([("HEXISTS", f"{prefix}{name}", "birth") for name in names])
        return QueueCounts(*map(int, counts)), sum(map(bool, lives))

    def states(self, job_ids: Collection[str]) -> dict[str, JobState]:
        """Return what RQ knows of jobs, but for those that it has forgotten. Raises StreamUnavailable."""
        of = defaultdict(list)
        for job_id in job_ids:
            of[pools.pool_of_job(job_id)].append(job_id)
        found = self.own_states(of.pop("", []))
        for name, ids in of.items():
            found |= self._of_pool(name).own_states(ids)
        return found

    def own_states(self, job_ids: Collection[str]) -> dict[str, JobState]:
        """Return `states` of jobs under this prefix. Raises StreamUnavailable."""
        found = {}
        asked = [
            bounded(("HMGET", f"{self._prefix}:job:{job_id}", "status", "worker_name", "origin"))
            for job_id in job_ids
        ]
        for job_id, fields in zip(job_ids, self._ask(asked), strict=True):
            state, worker, origin = (_text(each) for each in fields or (None, None, None))
            if state not in _STATES:
                continue
            place = None
            if state == "queued" and _QUEUE.match(origin):
                place = self._ask([("LPOS", self._queue(origin).key, job_id)])[0]
            found[job_id] = JobState(state, worker, None if place is None else int(place) + 1)
        return found

    def _workers(self) -> tuple[list[RqWorker], int]:
        """Return the workers that give signs of life, and how many members are not RQ's."""
        names, damaged = self._members(self._workers_set, f"{self._prefix}:worker:", _WORKER)
        workers = []
        asked = [
            bounded(("HMGET", f"{self._prefix}:worker:{name}", "hostname", "state", "queues", "birth"), HASH_BYTES)
            for name in sorted(names)
        ]
        for name, fields in zip(sorted(names), self._ask(asked), strict=True):
            if fields is None:
                damaged += 1
            elif any(each is not None for each in fields):  # else it is gone, and did not say so
                queues = [each for each in _text(fields[2]).split(",") if _QUEUE.match(each)]
                workers.append(RqWorker(name, _text(fields[0]), _text(fields[1]), queues))
        return workers, damaged

    def _members(
        self, key: str, prefix: str, pattern: re.Pattern[str], most: int = MOST_MEMBERS
    ) -> tuple[list[str], int]:
        """Return the names in one of RQ's sets, at most `most`, and how many members are none."""
        members = self._ask([bounded(("SRANDMEMBER", key, most))])[0]
        if members is None:
            return [], 1
        texts = [member.decode(errors="replace") for member in members]
        names = [text.removeprefix(prefix) for text in texts if text.startswith(prefix)]
        good = [name for name in names if pattern.match(name)]
        return good, len(members) - len(good)

    def _ask(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return the answers in one round trip; None where a key is of another type. Raises StreamUnavailable."""
        if not commands:
            return []
        with self._client.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)  # type: ignore[no-untyped-call]
            try:
                answers = pipe.execute(raise_on_error=False)
            except redis.RedisError as exc:
                raise _unavailable(exc) from exc
        for answer in answers:
            if isinstance(answer, Exception) and WRONG_TYPE not in str(answer):
                raise _unavailable(answer) from answer
        return [None if isinstance(answer, Exception) else answer for answer in answers]

    def _queue(self, name: str) -> Queue:
        made: Queue = self._queue_class(name, connection=self._client, serializer=JSONSerializer)
        return made

    def _registry(self, kind: str, queue: Queue) -> str:
        return f"{self._prefix}:{kind}:{queue.name}"


def describe(job: Job) -> str:
    """Return the job in a few words of ASCII, as rq-dashboard shows it: `tabular, 2 files of uid 9: a, b`."""
    names = [_name(item) for item in job.items[:_NAMED]]
    more = ", ..." if len(job.items) > _NAMED else ""
    owner = f" of uid {job.owner}" if job.owner >= 0 else ""
    said = f"{job.extractor}, {len(job.items)} file{'s' * (len(job.items) != 1)}{owner}"
    return f"{said}: {', '.join(names)}{more}" if names else said


def _name(item: JobItem) -> str:
    name = item.path.rpartition(b"/")[2]
    return quote_from_bytes(name[:_MOST_NAME]) + "..." * (len(name) > _MOST_NAME) if name else str(item.fid)


def _job_of(member: bytes) -> bytes:
    """Return the job of a member of RQ's lists: "<job>" or "<job>:<execution>"."""
    return member.partition(b":")[0]


def _text(value: bytes | None) -> str:
    """Return what a worker wrote as short text that can be shown."""
    text = (value or b"")[:_MOST_BYTES].decode(errors="backslashreplace")
    return "".join(each if each.isprintable() else "?" for each in text)


def _unavailable(exc: Exception) -> StreamUnavailable:
    return StreamUnavailable(f"Redis does not answer ({exc}); check [redis] url and the server")
