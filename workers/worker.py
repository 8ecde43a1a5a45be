"""The worker: RQ's, with everything shut that a job in Redis could use to run something else.

RQ imports and calls whatever a job names: a function, three callbacks, web hooks; with its default
serializer even reading a job runs code. Here a job is JSON, it is ours or it is failed before anything is
imported, and callbacks and web hooks do not exist.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import math
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import redis
import rq
from rq.defaults import RQ_KEY_PREFIX
from rq.exceptions import StopRequested
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer

from lustre_events.errors import StreamUnavailable
from lustre_events.jobs.messages import JOB_FUNCTION
from lustre_events.jobs.packed import unpacked
from lustre_events.jobs.queues import KEPT_JOBS, WRONG_TYPE
from workers import jobs
from workers.context import CURRENT, WorkerContext
from workers.contract import readable
from workers.image_upkeep import ImageUpkeep
from workers.walltime import Walltime

log = logging.getLogger(__name__)

GRACE_SECONDS = 4.0
"""How long a job may go on after SIGTERM; then it is killed, and its rows' lease brings its files back."""
MAINTENANCE_SECONDS = 60
DAMAGED_SECONDS = 1.0
MEMBER = re.compile(rb"[A-Za-z0-9_.:-]{1,300}\Z")
"""A job's id, or that of one of its runs."""
MOST_BYTES = 128 << 20
"""Of a job: what is sent for 500 files, 64 KiB each, has less than half of it."""
_PACKED = frozenset({b"data", b"exc_info"})


class WorkerJob(RqJob):
    """A job of ours as RQ sees it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.serializer = JSONSerializer

    def restore(self, raw_data: Mapping[bytes, bytes]) -> None:
        """Read what Redis has of it. What unpacks to more than a job of ours is read as nothing, and so refused."""
        super().restore({
            name: value if name not in _PACKED or unpacked(value, MOST_BYTES) is not None else b""
            for name, value in raw_data.items()
        })  # fmt: skip

    @property
    def func(self) -> Callable[[dict[str, Any]], None]:
        """The one function that there is, whatever the job names."""
        return jobs.run

    @property
    def success_callback(self) -> None:
        """None, whatever the job names."""

    @property
    def failure_callback(self) -> None:
        """None, whatever the job names."""

    @property
    def stopped_callback(self) -> None:
        """None, whatever the job names."""

    def send_webhooks(self, status: object, *, exc_string: str | None = None) -> None:
        """Send nothing, whatever the job names."""

    @property
    def extractor(self) -> str:
        """The extractor that it names; empty: none that can be told."""
        argument = self.args[0]
        return str(argument.get("extractor", "")) if isinstance(argument, dict) else ""

    def refusal(self) -> str:
        """Return why this job must not run; empty: it is ours."""
        try:
            name, instance = self.func_name, self.instance
            shape = [len(self.args), len(self.kwargs)]
        except StopRequested:  # of a signal
            raise
        except Exception as exc:  # noqa: BLE001 - what a stranger stored may break RQ's decoding in any way
            return f"it is not JSON as this project writes it ({type(exc).__name__})"
        if name != JOB_FUNCTION or instance is not None:
            return f"its function is {str(name)[:80]!r}; this worker runs only {JOB_FUNCTION}"
        if shape != [1, 0]:
            return "it must have exactly one argument"
        return ""


class Worker(rq.Worker):
    """Runs the jobs of one queue, each in a process of its own."""

    job_class = WorkerJob
    max_connection_wait_time = 5.0  # seconds between two tries to reach Redis again; RQ would wait up to 60

    def __init__(  # noqa: PLR0917 - adapters arrive as arguments
        self,
        queue: str,
        context: WorkerContext,
        client: redis.Redis,
        ttl_seconds: int,
        upkeep: ImageUpkeep,
        walltime: Walltime | None = None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(
            [queue],
            name=f"{socket.gethostname()}.{uuid.uuid4().hex[:8]}",
            connection=client,
            worker_ttl=ttl_seconds,
            job_monitoring_interval=max(1, ttl_seconds // 3),
            maintenance_interval=MAINTENANCE_SECONDS,
            job_class=WorkerJob,
            serializer=JSONSerializer,
            log_job_description=False,
        )
        self._context = context
        self._upkeep = upkeep
        self._walltime = walltime
        self._beat = beat
        self._stopping = False
        self._life, self._held = os.pipe()

    def work(self, *args: Any, **kwargs: Any) -> bool:
        """Work until SIGTERM or SIGINT, or until the walltime is nearly up; see rq.Worker.work.

        Raises:
            StreamUnavailable: it could not go on, in most cases for want of Redis; to be started again.
        """
        CURRENT.set(self._context)
        log.info("%s", self.introduction(), extra={"action": "start", "queue": self.queue_names()[0]})
        self.log.addFilter(_one_sentence)
        reason = "the log says why"
        timer = self._walltime.end_this_process() if self._walltime else None
        try:
            worked = bool(super().work(*args, **kwargs))
        except redis.RedisError as exc:
            worked, reason = False, str(exc)
        except StopRequested:  # a signal while RQ takes leave
            worked = True
            self.register_death()
        except SystemExit:  # a signal before RQ's own handlers were there
            self.register_death()
            raise
        finally:
            if timer is not None:
                timer.cancel()
            self._upkeep.end()
        if not self._stopping:
            raise StreamUnavailable(f"this worker could not go on ({reason}) and ends; start it again")
        return worked

    def introduction(self) -> str:
        """Return in a sentence what this worker can do."""
        rights = f"user {os.geteuid()}, on what that user may read"
        if os.geteuid() == 0:
            run_as = self._context.rights
            who = run_as.account.name if run_as and run_as.account else "the owner of each file"
            rights = f"root, which opens any file and runs extractors as {who}"
        known = ", ".join(sorted(self._context.manifests)) or "none"
        return (
            f"worker of queue {self.queue_names()[0]} on {self._context.host}, as {rights}: "
            f"{self._context.runtime.describe()}; extractors: {known}"
        )

    def heartbeat(self, *args: Any, **kwargs: Any) -> None:
        """Give a sign of life to RQ, and to whoever else waits for one."""
        super().heartbeat(*args, **kwargs)
        self._beat()

    def waits_for_room(self, client: redis.Redis) -> bool:
        """Give signs of life that a full Redis takes; return whether to go on waiting for room.

        `client` is one that does not wait itself. The process of a job waits as long as its worker lives.
        """
        if os.getpid() != self.pid:
            return True
        ttl = int(self.worker_ttl)
        with contextlib.suppress(redis.RedisError), client.pipeline(transaction=False) as signs:
            signs.expire(self.key, ttl + 60)
            signs.expire(self.executions_key, ttl + 60)
            for each in self.executions.values():
                signs.expire(each.key, ttl)
                signs.expire(f"{RQ_KEY_PREFIX}:executions:{each.job_id}", ttl + 60)
            signs.execute()
        self._beat()
        return not self._stopping

    def set_shutdown_requested_date(self) -> None:
        """Tell Redis that this worker is about to end, if it has room for that."""
        with contextlib.suppress(redis.exceptions.OutOfMemoryError):
            super().set_shutdown_requested_date()  # type: ignore[no-untyped-call]

    def register_death(self) -> None:
        """Take leave of RQ, if Redis has room for that; else its name ends by itself."""
        with contextlib.suppress(redis.exceptions.OutOfMemoryError):
            super().register_death()  # type: ignore[no-untyped-call]

    def clean_registries(self) -> None:
        """Clean RQ's lists, but for jobs of workers that live and had no room to say so there."""
        now = time.time()
        for queue in self.queues:
            wip = queue.started_job_registry.key
            for each in cast("list[bytes]", self.connection.zrangebyscore(wip, "-inf", now)):
                if MEMBER.match(each) and self.connection.exists(f"{RQ_KEY_PREFIX}:execution:{each.decode()}"):
                    self.connection.zadd(wip, {each: now + self.worker_ttl}, xx=True)
        super().clean_registries()  # type: ignore[no-untyped-call]

    def get_heartbeat_ttl(self, job: RqJob, working_time: float = 0.0) -> int:  # noqa: ARG002
        """Return for how many seconds a running job counts as alive without a sign of this worker.

        RQ would say 90 s or so: for so long nobody else would get the job of a worker that was lost.
        """
        return int(self.worker_ttl)

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[RqJob, rq.Queue] | None:
        """Return the next job, or None when there is no time left for one."""
        if self._walltime is None:
            return self._dequeue(timeout, max_idle_time)
        left_seconds = self._walltime.left_seconds()
        found = None
        if left_seconds > 0:
            found = self._dequeue(timeout, math.ceil(left_seconds))
        if found is None:
            self._stopping = True
            log.info(
                "leaving early: %.0f s are left, and a job may need %.0f s",
                self._walltime.until - time.time(), self._walltime.room_seconds, extra={"action": "stop"},
            )  # fmt: skip
        return found

    def _dequeue(self, timeout: int | None, max_idle_time: int | None) -> tuple[RqJob, rq.Queue] | None:
        """Return the next job that can be read; pass over one that cannot, which somebody has put there."""
        while True:
            try:
                return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
            except (StopRequested, redis.ConnectionError, redis.TimeoutError):
                raise
            except Exception as exc:
                if isinstance(exc, redis.RedisError) and WRONG_TYPE not in str(exc):
                    raise
                log.warning("a job, or a key of RQ's, cannot be read and is passed over (%s: %s)",
                            type(exc).__name__, readable(exc), extra={"action": "refuse"})  # fmt: skip
                self._forget_unreadable(getattr(exc, "job_id", None))
                time.sleep(DAMAGED_SECONDS)

    def _forget_unreadable(self, job_id: str | None) -> None:
        """Take members that RQ did not write out of the lists that RQ goes through again and again."""
        for queue in self.queues:
            for key, members, remove in (
                (queue.intermediate_queue.key, "lrange", lambda key, each: self.connection.lrem(key, 0, each)),
                (queue.started_job_registry.key, "zrange", self.connection.zrem),
                (queue.failed_job_registry.key, "zrange", self.connection.zrem),
            ):
                with contextlib.suppress(redis.ResponseError):
                    for each in getattr(self.connection, members)(key, 0, -1):
                        if not MEMBER.match(each) or each.decode() == job_id:
                            remove(key, each)

    def execute_job(self, job: RqJob, queue: rq.Queue) -> None:
        """Run a job of ours in a process of its own; fail any other at once and for good."""
        refusal = job.refusal() if isinstance(job, WorkerJob) else "it was read by somebody else"
        if isinstance(job, WorkerJob) and not refusal:
            self._upkeep.use(job.extractor)
            begun = time.monotonic()
            super().execute_job(job, queue)
            if self._walltime is not None:
                self._walltime.took(time.monotonic() - begun)
            return
        log.error("refused job %s: %s", job.id, refusal, extra={"action": "refuse", "job": job.id})
        execution = self.prepare_execution(job)
        queue.intermediate_queue.remove(job.id)
        job.retries_left = 0
        self.handle_job_failure(job, queue, exc_string=f"refused: {refusal}", execution=execution)
        self.set_state("idle")

    def handle_job_success(self, job: RqJob, queue: rq.Queue, *args: Any, **kwargs: Any) -> None:
        """Keep the job among the last ones that are done, for who looks at them."""
        try:
            super().handle_job_success(job, queue, *args, **kwargs)
        except redis.ResponseError as exc:
            if WRONG_TYPE not in str(exc):
                raise
            log.warning("job %s is done, but RQ could not keep it: its list of done jobs is of another type; "
                        "delete %s with redis-cli", job.id, queue.finished_job_registry.key,
                        extra={"action": "forget", "job": job.id})  # fmt: skip
            job.result_ttl = 0
            super().handle_job_success(job, queue, *args, **kwargs)
        else:
            self._forget_older(queue)

    def _forget_older(self, queue: rq.Queue) -> None:
        """Remove all but the last jobs that are done, or failed, so that Redis holds few of them at any speed."""
        for registry in (queue.finished_job_registry, queue.failed_job_registry):
            with contextlib.suppress(redis.ResponseError):  # of another type: see `_forget_unreadable`
                old = cast("list[bytes]", self.connection.zrange(registry.key, 0, -KEPT_JOBS - 1))
                ids = [each.decode() for each in old if MEMBER.match(each)]
                if old:
                    self.connection.zrem(registry.key, *old)
                if ids:
                    self.connection.delete(
                        *map(RqJob.key_for, ids), *(f"{RQ_KEY_PREFIX}:results:{each}" for each in ids)
                    )

    def main_work_horse(self, job: RqJob, queue: rq.Queue) -> None:
        """Be the process of a job; it ends with its worker, which alone holds the other end of the pipe."""
        os.close(self._held)
        fcntl.fcntl(self._life, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(self._life, fcntl.F_SETFL, os.O_ASYNC)  # SIGIO, which ends a process, when it is closed
        if os.getppid() != self.pid:
            os._exit(1)
        super().main_work_horse(job, queue)

    def run_maintenance_tasks(self) -> None:
        """Also look after images, here and not in the process of each job."""
        try:
            super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        except (StopRequested, redis.ConnectionError, redis.TimeoutError):
            raise
        except Exception as exc:
            if isinstance(exc, redis.RedisError) and WRONG_TYPE not in str(exc):
                raise
            log.warning("RQ's lists cannot be cleaned (%s: %s)", type(exc).__name__, readable(exc))
            self._forget_unreadable(None)
            self.last_cleaned_at = datetime.now(UTC)  # type: ignore[assignment]
        self._upkeep.look()
        if self._context.actions is not None:
            self._context.actions.leftovers.sweep()

    def handle_warm_shutdown_request(self) -> None:
        """Let the running job finish if it does so soon; RQ would wait for ever.

        RQ goes on to raise StopRequested wherever this process is. Code that takes any exception may take that one,
        too: so the loop is told as well, and ends after its present step.
        """
        self._stopping = True
        self._stop_requested = True
        log.info("stopping", extra={"action": "stop"})
        horse = self.horse_pid
        if horse:
            timer = threading.Timer(GRACE_SECONDS, self._end_horse, (horse,))
            timer.daemon = True
            timer.start()

    def _end_horse(self, horse: int) -> None:
        if self.horse_pid == horse:
            log.warning("killing the job that did not finish", extra={"action": "kill"})
            self.kill_horse()


def _one_sentence(record: logging.LogRecord) -> bool:
    """Take away the traceback of what RQ logs about a Redis that is gone; a filter of its log."""
    if record.exc_info and isinstance(record.exc_info[1], redis.RedisError):
        record.msg, record.args, record.exc_info = f"Redis does not answer ({record.exc_info[1]})", (), None
    return True
