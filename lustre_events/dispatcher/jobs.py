"""Due rows become jobs: short-lived batches for workers, each of one extractor and one owner.

The rows are leased in the index, and the lease is committed, before the job goes out. A crash in between
loses nothing: the lease ends. When it ends while the queue still knows the job, it is prolonged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple, Protocol

from lustre_events.changelog.fid import FID
from lustre_events.config.settings import DispatcherSettings
from lustre_events.dispatcher.extractor_registry import ExtractorRegistry
from lustre_events.dispatcher.job_sizes import JobSizes
from lustre_events.dispatcher.missing_jobs import MissingJobs
from lustre_events.dispatcher.read_limits import ReadLimits
from lustre_events.dispatcher.shares import ANY_OWNER, NO_OWNER, Shares
from lustre_events.dispatcher.turn import Turn
from lustre_events.dispatcher.work_planner import WorkPlanner
from lustre_events.domain.namespace import OrderKey
from lustre_events.domain.pending import PendingRow, held, prolonged
from lustre_events.domain.times import SECOND_NS
from lustre_events.index.interface import Lane, ObjectRow, WorkKey
from lustre_events.jobs.messages import BUILT_IN, HEAL, SCAN, STAT, Cause, Job, JobItem
from lustre_events.jobs.pools import new_job_id

STAT_FILES = 1_000
"""Most files in one `stat` job, which needs no container."""

LOOK_SHARE = 4
"""A lease that has ended while its job lives is prolonged by this part of it: a lost job is noticed soon."""

ROWS = 4_000
"""Most rows of one lane that are looked at in one step; the others follow in the next one."""

LOW_SHARE = 10
"""Jobs of a priority below 0 go out only while less than this part of a queue's places is taken."""

JOB_HINT_BYTES = 1 << 20
"""A job with hints of this many bytes is full."""

_AT_ONCE = {STAT: STAT_FILES, HEAL: STAT_FILES, SCAN: 200}
"""Most files, or directories, in one job of what is built in."""

LINGER_NS = SECOND_NS // 2
"""While jobs wait in the queue anyway, a batch that is not full waits this long for more files."""


class JobQueue(Protocol):
    """The queues that workers take jobs from. Every call may raise StreamUnavailable."""

    def length(self, queue: str) -> int:
        """Return how many jobs wait in a queue."""

    def still_waiting(self, queue: str, job_ids: Collection[str]) -> set[str]:
        """Return those of the jobs that wait in a queue: no worker has taken them."""

    def enqueue(self, queue: str, jobs: Sequence[Job]) -> None:
        """Put jobs into a queue."""

    def unfinished(self, job_ids: Collection[str]) -> set[str]:
        """Return those of the jobs that wait or run; the others are done, failed, or lost."""

    def was_full(self, queue: str, since_ns: int) -> bool:
        """Whether a queue was seen to have little room since then."""


class _Group(NamedTuple):
    """What all files of one job share."""

    lane: Lane
    extractor: str
    owner: int


@dataclass(slots=True)
class Plan:
    """What one step hands out.

    `working` and `probing` are the extractors whose rows may be leased, and of which one row may be tried.
    """

    lanes: Sequence[Lane] = ()
    waiting: Mapping[str, int] = field(default_factory=dict)
    working: Sequence[str] = ()
    probing: list[str] = field(default_factory=list)
    drained: bool = True
    """All results have been read."""
    written: Callable[[str, int], bool] = lambda _job, _lease_end_ns: True
    """Whether no document that a job has found is still on its way, or for too long since its lease ended."""
    jobs: dict[str, list[Job]] = field(default_factory=lambda: defaultdict(list))
    objects: dict[FID, ObjectRow] = field(default_factory=dict)
    hints: dict[FID, bytes] = field(default_factory=dict)
    """A path of each object that a job of this step is about; no name changes while jobs are made."""
    doubted: bool = False
    """A job is missing since this step: the next one tells whether its results came meanwhile, or it is lost."""
    seen: dict[Lane, dict[WorkKey, PendingRow]] = field(default_factory=lambda: defaultdict(dict))
    """The rows of a lane that were looked at and are due as before: their job is not full, or there is no room."""

    def is_lost(self, row: PendingRow) -> bool:
        """Whether what a row's job had is known to be lost, where that job is not there any more."""
        return self.drained and (row.extractor in BUILT_IN or self.written(row.job or "", row.due_ns))


@dataclass(slots=True)
class Leased:
    """What was found in a lane at once: how many rows; `more`: there may be further ones that are due."""

    looked_at: int = 0
    more: bool = False
    jobs: list[Job] = field(default_factory=list)
    rows: list[PendingRow] = field(default_factory=list)
    """Rows that a job holds, newly leased or prolonged."""
    lost: list[PendingRow] = field(default_factory=list)
    """Rows whose job is known to be lost."""
    excused: list[PendingRow] = field(default_factory=list)
    """Those whose job was lost while Redis was full: nobody is to blame for that."""
    unknown: list[WorkKey] = field(default_factory=list)
    """Work for objects that are not stored."""


class Jobs:
    """Makes jobs, in the caller's transaction."""

    def __init__(
        self, queue: JobQueue, registry: ExtractorRegistry, planner: WorkPlanner, settings: DispatcherSettings,
        to_indexers: Callable[[str], bool] = lambda _queue: False,
    ) -> None:  # fmt: skip
        """Take also whether the results of a queue's jobs are for indexers."""
        self._queue = queue
        self._to_indexers = to_indexers
        self._registry = registry
        self._planner = planner
        self._settings = settings
        self._lease_ns = int(settings.job_lease_seconds * SECOND_NS)
        self._read_limits = ReadLimits(registry.most_jobs, queue.unfinished)
        self._small: dict[_Group, str] = {}
        self._shares = Shares(settings.job_files)
        self.sizes = JobSizes(settings.job_files)
        self._missing = MissingJobs()
        self._waiting: Mapping[str, int] = {}

    def waiting(self, queues: Collection[str]) -> dict[str, int]:
        """Return how many jobs wait in each of the queues."""
        lengths = self._waiting = {queue: self._queue.length(queue) for queue in queues}
        alive: set[str] = set()
        for queue, length in lengths.items():
            jobs = self._shares.jobs(queue)
            waiting = self._queue.still_waiting(queue, jobs) if length and jobs else set()
            self._shares.wait(queue, waiting)
            alive |= waiting
        self._small = {group: job for group, job in self._small.items() if job in alive}
        return lengths

    def begin(
        self, turn: Turn, waiting: Mapping[str, int], *, drained: bool = True,
        written: Callable[[str, int], bool] = lambda _job, _lease_end_ns: True,
    ) -> Plan:  # fmt: skip
        """Return a plan without jobs, for the queues in `waiting`; `lease` fills it.

        Directories are not scanned while results are not `drained`: that would fill Redis.
        """
        self._missing.begin()
        working = self._read_limits.with_room(self._registry.working, turn.now_ns)
        return Plan(
            tuple(turn.transaction.lanes()),
            waiting,
            [name for name in working if drained or name != SCAN],
            self._registry.probing(turn.now_ns),
            drained,
            written,
        )

    def lease(self, turn: Turn, plan: Plan, lane: Lane, limit: int, *, last: bool = True) -> Leased:
        """Look at the next `limit` rows that are due in a lane, and put jobs into the plan.

        Unless it is the `last` look, jobs wait for the rows that may follow.
        """
        leased = Leased()
        room = self._room(plan, lane)
        if room <= 0:
            return leased
        seen = plan.seen[lane]
        rows = self._due(turn, plan, lane, limit)
        leased.looked_at = len(rows)
        leased.more = len(rows) == limit and not last
        rows += () if seen else self._of_others(turn, plan, lane, rows, limit)
        rows += self._probes(turn, lane, plan.probing)
        if not rows and not seen:
            return leased
        plan.objects.update(turn.transaction.objects({row.fid for row in rows}))
        seen.update({(row.fid, row.extractor): row for row in rows})
        self._settle_leases(turn, plan, leased, rows)
        self._forget_unknown(turn, plan, leased, seen)
        self._give_out(turn, plan, leased, lane, room)
        for row in (*leased.rows, *leased.lost, *leased.excused):
            seen.pop((row.fid, row.extractor), None)
        turn.transaction.put_leases(leased.rows)
        self._shares.deep(lane, deep=leased.looked_at == limit)
        return leased

    def enqueue(self, plan: Plan) -> None:
        """Hand out the jobs of a plan that is committed."""
        for queue, jobs in plan.jobs.items():
            self._queue.enqueue(queue, jobs)

    def _room(self, plan: Plan, lane: Lane) -> int:
        """Return how many jobs a lane may still give to its queue."""
        most = self._places(lane)
        return most - plan.waiting.get(lane.queue, self._settings.queue_jobs) - len(plan.jobs.get(lane.queue, ()))

    def _places(self, lane: Lane) -> int:
        """Return how many places of its queue are for a lane: few where others go first."""
        most = self._settings.queue_jobs
        return most if lane.priority >= 0 else max(1, most // LOW_SHARE)

    @staticmethod
    def _due(turn: Turn, plan: Plan, lane: Lane, limit: int) -> list[PendingRow]:
        """Return the next rows of a lane that are due, behind those that were seen."""
        skip = sum(row.extractor in plan.working for row in plan.seen[lane].values())
        return turn.transaction.due(lane, plan.working, turn.now_ns, limit, skip)

    def _of_others(
        self, turn: Turn, plan: Plan, lane: Lane, rows: Sequence[PendingRow], limit: int
    ) -> list[PendingRow]:
        """Return rows of each owner, where `rows`, the longest due, may all be one owner's."""
        known = {(row.fid, row.extractor) for row in rows}
        found = self._shares.rows(turn, lane, plan.working, limit)
        return [row for row in found if (row.fid, row.extractor) not in known]

    def _probes(self, turn: Turn, lane: Lane, probing: list[str]) -> list[PendingRow]:
        """Return a row of each tripped extractor that has one here, and take it from `probing`."""
        found = [row for name in probing for row in turn.transaction.due(lane, [name], turn.now_ns, 1)]
        for row in found:
            probing.remove(row.extractor)
            self._registry.probed(row.extractor, turn.now_ns)
        return found

    def _settle_leases(self, turn: Turn, plan: Plan, leased: Leased, rows: Sequence[PendingRow]) -> None:
        """Prolong the leases of those rows that a job still holds, and find those whose job was lost."""
        ended = {row.job for row in rows if row.job is not None}
        alive = self._queue.unfinished(ended) if ended else set()
        for row in rows:
            if row.job in alive:
                leased.rows.append(prolonged(row, turn.now_ns, self._lease_ns // LOOK_SHARE))
                self._read_limits.given(row.extractor, str(row.job), turn.now_ns)
                self._missing.is_there(str(row.job))
            elif row.job is not None and plan.is_lost(row):
                if self._missing.was_missing(row.job):
                    full = self._queue.was_full(row.queue, row.handed_out_ns)
                    (leased.excused if full else leased.lost).append(row)
                else:
                    plan.doubted = True

    @staticmethod
    def _forget_unknown(turn: Turn, plan: Plan, leased: Leased, seen: dict[WorkKey, PendingRow]) -> None:
        """Remove the rows of objects that are not stored."""
        leased.unknown = [work for work, row in seen.items() if row.job is None and row.fid not in plan.objects]
        for work in leased.unknown:
            del seen[work]
        turn.transaction.remove_pending(leased.unknown)

    def _give_out(self, turn: Turn, plan: Plan, leased: Leased, lane: Lane, room: int) -> None:
        """Make jobs of the rows that nobody holds, as many as there is room for."""
        batches = self._next(turn, plan, leased, lane)[:room]
        hints = plan.hints
        paths = turn.transaction.paths({row.fid for batch in batches for row in batch} - hints.keys())
        hints.update((fid, some[0] if some else b"") for fid, some in paths.items())
        for whole in batches:
            if not self._read_limits.takes(whole[0].extractor):
                continue
            batch = _portion(whole, hints)
            job = self._job(batch, plan.objects, hints)
            plan.jobs[batch[0].queue].append(job)
            leased.jobs.append(job)
            if len(batch) == len(whole) and not self._is_full(batch, _bytes(batch, plan.objects)):
                self._small[_group(batch[0], plan.objects)] = job.id
            self._shares.given(lane.queue, job.id, _turn_of(batch[0], plan.objects))
            self._read_limits.given(job.extractor, job.id, turn.now_ns)
            leased.rows += [held(row, job.id, turn.now_ns, self._lease_ns) for row in batch]

    def _next(self, turn: Turn, plan: Plan, leased: Leased, lane: Lane) -> list[list[PendingRow]]:
        """Return the batches that are ready, as their owners take turns.

        Where all are of owners who have their share, no further rows are looked at in this step.
        """
        ready = self._ready(turn, plan, lane, more=leased.more)
        batches = self._in_turn(ready, plan, lane)
        if leased.more and ready and not batches:
            leased.more = False
            batches = self._in_turn(self._ready(turn, plan, lane, more=False), plan, lane)
        return batches

    def _in_turn(self, ready: Sequence[list[PendingRow]], plan: Plan, lane: Lane) -> list[list[PendingRow]]:
        owners = [_turn_of(batch[0], plan.objects) for batch in ready]
        return self._shares.in_turn(lane.queue, self._places(lane), ready, owners)

    def _ready(self, turn: Turn, plan: Plan, lane: Lane, *, more: bool) -> list[list[PendingRow]]:
        """Return the batches that are full, or need not wait for further files; `more`: the next look has some.

        While workers are slow jobs grow instead of becoming more: a batch that is not full waits as long as one
        like it is still in the queue.
        """
        patient = plan.waiting[lane.queue] > 0
        deep = self._shares.is_deep(lane)
        waiting = [row for row in plan.seen[lane].values() if row.job is None]
        return [
            batch
            for batch in self._batches(waiting, plan.objects)
            if self._is_full(batch, _bytes(batch, plan.objects))
            or (
                (not more or (deep and self._shares.has_none(lane.queue, _turn_of(batch[0], plan.objects))))
                and _group(batch[0], plan.objects) not in self._small
                and (not patient or turn.now_ns - batch[0].due_ns >= LINGER_NS)
            )
        ]

    def _job(
        self, batch: Sequence[PendingRow], objects: Mapping[FID, ObjectRow], hints: Mapping[FID, bytes]
    ) -> Job:
        first = batch[0]
        return Job(
            new_job_id(first.queue),
            first.extractor,
            self._registry.states[first.extractor].serial,
            _owner(first, objects),
            tuple(self._item(row, objects[row.fid], hints[row.fid]) for row in batch),
            first.extractor not in BUILT_IN and self._to_indexers(first.queue),
        )

    def _item(self, row: PendingRow, known: ObjectRow, hint: bytes) -> JobItem:
        work = self._planner.rules.work_of(row.rule)
        cause = None
        if known.cause:
            key = OrderKey.unpack(known.cause)
            cause = Cause(key.mdt_number, key.epoch, key.index)
        recall = work is not None and work.recall
        return JobItem(row.fid, row.generation, hint, recall, cause, row.after)

    def _batches(self, rows: Sequence[PendingRow], objects: Mapping[FID, ObjectRow]) -> list[list[PendingRow]]:
        """Return rows by extractor and owner, the longest due first; those that are tried again stand alone.

        A batch is full by its number of files or by their bytes, as far as their sizes are known.
        """
        batches: list[list[PendingRow]] = []
        filling: dict[tuple[str, int], list[PendingRow]] = {}
        sizes: dict[tuple[str, int], int] = defaultdict(int)
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
            sizes[group] += objects[row.fid].size or 0
            if self._is_full(batch, sizes[group]):
                del filling[group], sizes[group]
        return batches

    def _is_full(self, batch: Sequence[PendingRow], size: int) -> bool:
        first = batch[0]
        return len(batch) >= self._most(first) or (first.extractor != STAT and size >= self._settings.job_bytes)

    def _most(self, row: PendingRow) -> int:
        if row.attempts:
            return 1
        return _AT_ONCE.get(row.extractor) or self.sizes.most(row.extractor, self._waiting.get(row.queue, 0))


def _portion(batch: Sequence[PendingRow], hints: Mapping[FID, bytes]) -> Sequence[PendingRow]:
    """Return as many rows of a batch as have room in a job with their hints; the others have their turn later."""
    sums = accumulate(len(hints[row.fid]) for row in batch)
    return batch[: max(1, sum(size <= JOB_HINT_BYTES for size in sums))]


def _bytes(batch: Sequence[PendingRow], objects: Mapping[FID, ObjectRow]) -> int:
    return sum(objects[row.fid].size or 0 for row in batch)


def _group(row: PendingRow, objects: Mapping[FID, ObjectRow]) -> _Group:
    return _Group(Lane(row.queue, row.priority), row.extractor, _owner(row, objects))


def _owner(row: PendingRow, objects: Mapping[FID, ObjectRow]) -> int:
    uid = objects[row.fid].uid
    return ANY_OWNER if row.extractor in BUILT_IN or uid is None else uid


def _turn_of(row: PendingRow, objects: Mapping[FID, ObjectRow]) -> int:
    """Return the owner whose turn a row uses; built-in extractors use nobody's."""
    return NO_OWNER if row.extractor in BUILT_IN else _owner(row, objects)
