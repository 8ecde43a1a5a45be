"""Due rows become jobs: short-lived batches for workers, each of one extractor and one owner.

The rows are leased in the index, and the lease is committed, before the job goes out. A crash in between
loses nothing: the lease ends. When it ends while the queue still knows the job, it is prolonged.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from lustre_events.config import DispatcherSettings
from lustre_events.fid import FID
from lustre_events.index.interface import ExtractorState, ObjectRow, Transaction
from lustre_events.pending import SECOND_NS, PendingRow
from lustre_events.work import STAT, Job, JobItem

STAT_FILES = 1_000
"""Most files in one `stat` job: it needs no container."""

ROWS = 4_000
"""Most rows of one lane that are looked at in one step; the others have their turn in the next one."""

LINGER_NS = SECOND_NS // 2
"""While jobs wait in the queue anyway, a batch that is not full waits this long for more files."""

ANY_OWNER = -1


class JobQueue(Protocol):
    """The queues that workers take jobs from. Every call may raise StreamUnavailable."""

    def length(self, queue: str) -> int:
        """Return how many jobs wait in a queue."""

    def enqueue(self, queue: str, jobs: Sequence[Job]) -> None:
        """Put jobs into a queue."""

    def unfinished(self, job_ids: Collection[str]) -> set[str]:
        """Return those of the jobs that wait or run; the others are done, failed, or lost."""


@dataclass(slots=True)
class Plan:
    """What one step hands out, and what it found to be lost."""

    jobs: dict[str, list[Job]] = field(default_factory=lambda: defaultdict(list))
    leased: list[PendingRow] = field(default_factory=list)
    lost: list[PendingRow] = field(default_factory=list)
    unknown: list[tuple[FID, str]] = field(default_factory=list)
    """Work for objects that are not stored."""


class Jobs:
    """Makes jobs, in the caller's transaction."""

    def __init__(
        self, queue: JobQueue, extractors: Mapping[str, ExtractorState], settings: DispatcherSettings
    ) -> None:
        self._queue = queue
        self._extractors = extractors
        self._active = sorted(name for name, state in extractors.items() if state.suspended is None)
        self._settings = settings
        self._lease_ns = int(settings.job_lease_seconds * SECOND_NS)

    def waiting(self, queues: Collection[str]) -> dict[str, int]:
        """Return how many jobs wait in each of the queues."""
        return {queue: self._queue.length(queue) for queue in queues}

    def plan(self, transaction: Transaction, waiting: Mapping[str, int], now_ns: int) -> Plan:
        """Lease due rows of the queues in `waiting` and return the jobs to enqueue once this is committed."""
        plan = Plan()
        for lane in transaction.lanes():
            room = self._settings.queue_jobs - waiting.get(lane.queue, self._settings.queue_jobs)
            room -= len(plan.jobs.get(lane.queue, ()))
            if room <= 0:
                continue
            rows = transaction.due(lane, self._active, now_ns, ROWS)
            if rows:
                free = self._settle_leases(plan, rows, now_ns)
                patient = waiting[lane.queue] > 0
                self._give_out(transaction, plan, free, now_ns, room=room, patient=patient)
        transaction.put_pending(plan.leased)
        transaction.remove_pending(plan.unknown)
        return plan

    def enqueue(self, plan: Plan) -> None:
        """Hand out the jobs of a plan that is committed."""
        for queue, jobs in plan.jobs.items():
            self._queue.enqueue(queue, jobs)

    def _settle_leases(self, plan: Plan, rows: Sequence[PendingRow], now_ns: int) -> list[PendingRow]:
        """Return the rows that no job holds; prolong or take away the leases of the others."""
        ended = {row.job for row in rows if row.job is not None}
        alive = self._queue.unfinished(ended) if ended else set()
        for row in rows:
            if row.job in alive:
                plan.leased.append(msgspec.structs.replace(row, due_ns=now_ns + self._lease_ns))
            elif row.job is not None:
                plan.lost.append(row)
        return [row for row in rows if row.job is None]

    def _give_out(
        self,
        transaction: Transaction,
        plan: Plan,
        rows: Sequence[PendingRow],
        now_ns: int,
        *,
        room: int,
        patient: bool,
    ) -> None:
        objects = transaction.objects({row.fid for row in rows})
        plan.unknown += [(row.fid, row.extractor) for row in rows if row.fid not in objects]
        batches = [
            batch
            for batch in self._batches([row for row in rows if row.fid in objects], objects)
            if not patient or len(batch) == self._most(batch[0]) or now_ns - batch[0].due_ns >= LINGER_NS
        ][:room]
        paths = transaction.paths({row.fid for batch in batches for row in batch})
        for batch in batches:
            first = batch[0]
            job = Job(
                uuid.uuid4().hex,
                first.extractor,
                self._extractors[first.extractor].serial,
                _owner(first, objects),
                tuple(JobItem(row.fid, row.generation, (paths[row.fid] or [b""])[0]) for row in batch),
            )
            plan.jobs[first.queue].append(job)
            plan.leased += [
                msgspec.structs.replace(row, due_ns=now_ns + self._lease_ns, job=job.id) for row in batch
            ]

    def _batches(self, rows: Sequence[PendingRow], objects: Mapping[FID, ObjectRow]) -> list[list[PendingRow]]:
        """Return rows by extractor and owner, the longest due first; those that are tried again stand alone."""
        batches: list[list[PendingRow]] = []
        filling: dict[tuple[str, int], list[PendingRow]] = {}
        for row in rows:
            if row.attempts:
                batches.append([row])
                continue
            group = (row.extractor, _owner(row, objects))
            batch = filling.get(group)
            if batch is None:
                batch = filling[group] = []
                batches.append(batch)
            batch.append(row)
            if len(batch) == self._most(row):
                del filling[group]
        return batches

    def _most(self, row: PendingRow) -> int:
        if row.attempts:
            return 1
        return STAT_FILES if row.extractor == STAT else self._settings.job_files


def _owner(row: PendingRow, objects: Mapping[FID, ObjectRow]) -> int:
    uid = objects[row.fid].uid
    return ANY_OWNER if row.extractor == STAT or uid is None else uid
