"""The dispatcher's loop: records and results in, names, documents and pending work into the index, jobs out.

One step takes the records behind each cursor, the results that wait, and what is asked for, and leases the rows
that go out, in transactions of a bounded length (transactions.py); a cursor moves together with what its records
change.
Only when all is committed are jobs enqueued and stream entries acknowledged; both may be repeated. What is not
acknowledged is read again, and the cursor says that it is done.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec

from lustre_events.catalog.catalog import Found
from lustre_events.changelog.fid import ROOT_FID
from lustre_events.config.nearest import nearest
from lustre_events.config.settings import DispatcherSettings
from lustre_events.dispatcher.answers import Answers
from lustre_events.dispatcher.continuity import Advance, Continuity
from lustre_events.dispatcher.directory_walks import Walks
from lustre_events.dispatcher.extractor_registry import Roster
from lustre_events.dispatcher.heal import Healing
from lustre_events.dispatcher.incoming import Incoming
from lustre_events.dispatcher.jobs import ROWS, JobQueue, Jobs, Leased, Plan
from lustre_events.dispatcher.questions import HEAL_IDENTITY, SCAN_IDENTITY
from lustre_events.dispatcher.rates import Past
from lustre_events.dispatcher.records import Gathered, Intake, Place
from lustre_events.dispatcher.reprocess_requests import Repeating
from lustre_events.dispatcher.requests import Desk, Handler
from lustre_events.dispatcher.results import Outcomes
from lustre_events.dispatcher.scan import Scanning
from lustre_events.dispatcher.scan_requests import Surveying
from lustre_events.dispatcher.sweep import Sweeper
from lustre_events.dispatcher.transactions import Pace, Part, Turns, lots, portions
from lustre_events.dispatcher.work_planner import STAT_IDENTITY, Wishes
from lustre_events.domain.pending import SECOND_NS
from lustre_events.errors import LustreEventsError, UnknownExtractor
from lustre_events.index.interface import Identity, IndexWriter, Lane, ObjectRow, Transaction
from lustre_events.jobs.messages import Result
from lustre_events.jobs.requests import Reply, Request
from lustre_events.rules.rules import DEFAULT_QUEUE, Rules
from lustre_events.streams.interface import Block, RecordStreams, Requests, Results

log = logging.getLogger(__name__)

BUILT_IN = (STAT_IDENTITY, HEAL_IDENTITY, SCAN_IDENTITY)
LEAST_RECORDS = 300
LEAST_ROWS = 200
"""One part takes so many at least, however long that takes."""

PUBLISH_NS = SECOND_NS
LOOK_NS = 2 * SECOND_NS
"""How often rules and extractors are looked at for changes."""

RETRY_WAIT_SECONDS = 1.0


@dataclass(slots=True)
class _Step:
    """What one step has read, and what it has to say when all is written."""

    now_ns: int
    passed_ns: int
    behind: Sequence[Advance]
    """How cursors go on behind what is lost."""
    blocks: Sequence[Block]
    entries: Sequence[tuple[str, list[Result]]]
    asked: Sequence[Request]
    waiting: Mapping[str, int]
    moved: set[Place] = field(default_factory=set)
    """Where records were taken."""
    replies: list[Reply] = field(default_factory=list)
    plan: Plan = field(default_factory=Plan)
    leased: Leased = field(default_factory=Leased)
    swept: int = 0


class Dispatcher:
    """Takes the index over from whoever wrote it before, and keeps it.

    Args:
        streams: the record streams of all MDTs.
        results: what workers found.
        index: the index, opened for writing.
        rules: which extractor runs on what.
        queue: where jobs go.
        extractors: what is installed, besides the built-in `stat`.
        settings: the section [dispatcher].
        clock: the time in ns since the epoch.
        mdts: MDTs that will have a stream, as far as this is known beforehand.
        requests: what people ask for; None: nobody can.
        look: returns rules and extractors where they have changed since it was called last.
        tend: looks after subscriber groups; called every second.
        beat: called after every step, for whoever watches over this process.
        timer: seconds from any beginning, to tell how long a transaction lasts.

    Raises UnknownExtractor (a rule names one that is not installed) and IndexUnavailable.
    """

    def __init__(  # noqa: PLR0917 - adapters arrive as arguments
        self,
        streams: RecordStreams,
        results: Results,
        index: IndexWriter,
        rules: Rules,
        queue: JobQueue,
        extractors: Sequence[Identity],
        settings: DispatcherSettings,
        clock: Callable[[], int] = time.time_ns,
        *,
        mdts: Collection[str] = (),
        requests: Requests | None = None,
        look: Callable[[], Found | None] = lambda: None,
        tend: Callable[[], None] = lambda: None,
        beat: Callable[[], None] = lambda: None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        installed = {each.name: each for each in (*extractors, *BUILT_IN)}
        for name in sorted(rules.extractors - installed.keys()):
            raise UnknownExtractor(f"a rule names the extractor {name!r}, which is not installed"
                                   f"{nearest(name, tuple(installed))}")  # fmt: skip
        self._streams = streams
        self._incoming = Incoming(streams, results)
        self._continuity = Continuity(streams)
        self._index = index
        self._settings = settings
        self._clock = clock
        self._stop = threading.Event()
        self._beat = beat
        self._tend = tend
        index.take_over()
        self._timer = timer
        self._turns = Turns(index, timer)
        self._records_pace = Pace(LEAST_RECORDS, settings.batch_records)
        self._rows_pace = Pace(LEAST_ROWS, ROWS)
        self._look_around = look
        self._looked_ns = clock()
        self._problems: tuple[str, ...] = ()
        self._roster = Roster(index, list(installed.values()), settings)
        self._wishes = Wishes(rules, settings, self._roster.disabled)
        self._walks = Walks(self._wishes)
        self._healing = Healing(self._wishes, self._walks, settings.skew_seconds)
        self._scanning = Scanning(self._wishes, self._walks, self._healing)
        self._intake = Intake(self._wishes, self._walks, self._healing)
        answers = Answers(self._healing, self._scanning)
        self._outcomes = Outcomes(self._roster, self._wishes, answers, settings)
        self._sweeper = Sweeper(streams, self._wishes, mdts, clock(), self._healing.skew_ns)
        self._jobs = Jobs(queue, self._roster, self._wishes, settings)
        self._surveying = Surveying(self._wishes, self._healing.skew_ns)
        self._repeating = Repeating(self._roster, self._wishes, settings)
        self._queues = {DEFAULT_QUEUE, *rules.queues}
        self._desk = Desk(requests, self._handlers())
        self._published_ns = 0
        self._past = Past()
        self._whole = True
        self._reload()

    def run(self) -> None:
        """Step until `stop` is called. Raises LeaseLost when another dispatcher takes over."""
        idle_seconds = self._settings.idle_ms / 1000
        busy = rooted = False
        while not self._stop.is_set():
            try:
                rooted = rooted or self._look_at_root()
                busy = self.step(0.0 if busy else idle_seconds)
            except LustreEventsError as exc:
                if not exc.retryable:
                    raise
                log.warning("%s; trying again", exc, extra={"action": "retry"})
                self._stop.wait(RETRY_WAIT_SECONDS)
            self._beat()

    def _look_at_root(self) -> bool:
        """Let `stat` see the root directory, which no record names: who may pass it decides who sees anything."""
        with self._index.transaction() as transaction:
            if not transaction.objects([ROOT_FID]):
                transaction.put_objects([ObjectRow(fid=ROOT_FID, generation=1, type="d")])
            self._wishes.look_at(transaction, [ROOT_FID], self._clock())
        return True

    def stop(self) -> None:
        """Make `run` return after its present step; to be called from a signal handler or another thread."""
        self._stop.set()

    def step(self, timeout_seconds: float = 0.0) -> bool:
        """Do what there is to do now, waiting for records up to the timeout; return whether there was anything.

        Raises LeaseLost, StreamError, IndexUnavailable. The step then counts as not done, or as done but not
        acknowledged; either way the next one asks the index and goes on rightly.
        """
        if not self._whole:
            self._reload()
        self._whole = False
        blocks = self._incoming.blocks(self._cursors, timeout_seconds)
        entries = self._incoming.results()
        behind = self._continuity.look(self._incoming.reading, self._cursors, self._clock())
        asked = self._desk.read()
        waiting = self._jobs.waiting(self._queues)
        now_ns = self._clock()
        self._look(now_ns)
        self._sweeper.look(now_ns)
        step = _Step(now_ns, self._sweeper.passed_ns(self._cursors), behind, blocks, entries, asked, waiting)
        counters = self._turns.carry_out(self._parts(step))
        self._counters += counters
        self._incoming.committed(step.moved, [entry_id for entry_id, _ in entries])
        self._desk.answer(step.replies)
        self._jobs.enqueue(step.plan)
        self._incoming.acknowledge(self._cursors)
        done = bool(blocks or entries or asked or step.plan.jobs or counters["walked"] or counters["swept"])
        if done:
            told = {name: count for name, count in counters.items() if ":" not in name}
            log.info("step", extra={"action": "commit", **told})
        self._publish(now_ns)
        self._whole = True
        return done

    def _parts(self, step: _Step) -> Iterator[Part]:
        """Yield what there is to write. Only when a part is asked for is the one before it written."""
        now_ns = step.now_ns
        written = 0
        if step.behind:
            yield partial(self._go_on, behind=step.behind)
            self._cursors.update({(after.mdt, after.epoch): after for _, after in step.behind})
            step.moved |= self._incoming.reading.keys()
        for portion in portions(step.blocks, lambda: self._records_pace.size):
            gathered = self._intake.gather(portion, self._cursors, now_ns)
            yield partial(self._write, gathered=gathered, now_ns=now_ns)
            self._cursors.update(gathered.cursors)
            step.moved |= gathered.cursors.keys()
            written += len(gathered.batch.links)
        for lot in lots(step.entries):
            yield partial(self._outcomes.take, results=lot, now_ns=now_ns, passed_ns=step.passed_ns)
        damaged = sum(not found for _, found in step.entries)
        yield lambda _, counters: counters.update(blocks=len(step.blocks), results_damaged=damaged)
        for request in step.asked:
            yield partial(self._answer, step=step, request=request)
        yield partial(self._walk, now_ns=now_ns)
        for _ in range(self._sweeper.rounds(written)):
            yield partial(self._sweep, step=step)
            if not step.swept:
                break
        yield partial(self._go_round, now_ns=now_ns)
        yield from self._plan(step)

    @staticmethod
    def _go_on(transaction: Transaction, counters: Counter[str], *, behind: Sequence[Advance]) -> None:
        for before, after in behind:
            transaction.advance(before, after)
            counters["skipped_gaps"] += 1

    def _write(self, transaction: Transaction, counters: Counter[str], *, gathered: Gathered, now_ns: int) -> None:
        began = self._timer()
        self._intake.write(transaction, counters, gathered, now_ns)
        self._records_pace.took(gathered.batch.counters["records"], self._timer() - began)

    def _answer(self, transaction: Transaction, counters: Counter[str], *, step: _Step, request: Request) -> None:
        counters["requests"] += 1
        step.replies.append(self._desk.take(transaction, request, step.now_ns))

    def _walk(self, transaction: Transaction, counters: Counter[str], *, now_ns: int) -> None:
        counters["walked"] += self._walks.step(transaction, now_ns)

    def _sweep(self, transaction: Transaction, counters: Counter[str], *, step: _Step) -> None:
        step.swept, moved = self._sweeper.step(transaction, self._cursors)
        counters["swept"] += step.swept
        self._cursors.update({(cursor.mdt, cursor.epoch): cursor for cursor in moved})

    def _go_round(self, transaction: Transaction, counters: Counter[str], *, now_ns: int) -> None:
        counters["looked_at"] += self._sweeper.go_round(transaction, now_ns)

    def _plan(self, step: _Step) -> Iterator[Part]:
        """Yield the parts in which due rows are leased, lane by lane."""
        yield partial(self._begin_plan, step=step)
        for lane in step.plan.lanes:
            left, step.leased = ROWS, Leased(more=True)
            while step.leased.more:
                size = min(left, self._rows_pace.size)
                left -= size
                yield partial(self._lease, step=step, lane=lane, size=size, last=left == 0)

    def _begin_plan(self, transaction: Transaction, _: Counter[str], *, step: _Step) -> None:
        step.plan = self._jobs.begin(transaction, step.waiting, step.now_ns, drained=self._incoming.drained)
        self._queues |= {lane.queue for lane in step.plan.lanes}

    def _lease(
        self, transaction: Transaction, counters: Counter[str], *, step: _Step, lane: Lane, size: int, last: bool
    ) -> None:
        """Lease rows of a lane; take leases of lost jobs away once all results have been read."""
        began = self._timer()
        leased = step.leased = self._jobs.lease(transaction, step.plan, lane, step.now_ns, size, last=last)
        if step.plan.drained and leased.lost:
            self._outcomes.lost(transaction, leased.lost, step.now_ns)
            counters["files_of_lost_jobs"] += len(leased.lost)
        self._rows_pace.took(leased.looked_at, self._timer() - began)
        counters["jobs"] += len(leased.jobs)
        counters["job_files"] += sum(len(job.items) for job in leased.jobs)

    def _handlers(self) -> dict[str, Handler]:
        """Return what can be asked for, by name; each part brings its own."""
        return {**self._roster.handlers(), **self._repeating.handlers(), **self._surveying.handlers()}

    def _look(self, now_ns: int) -> None:
        """Follow rules and extractors that have changed."""
        if now_ns - self._looked_ns < LOOK_NS:
            return
        self._looked_ns = now_ns
        found = self._look_around()
        if found is None:
            return
        self._problems = found.problems
        for problem in found.problems:
            log.error("%s", problem, extra={"action": "look"})
        if found.rules is self._wishes.rules:
            return
        own = [
            Identity(name, each.version, each.digest, each.limits.jobs) for name, each in found.extractors.items()
        ]
        self._roster.install([*own, *BUILT_IN])
        self._wishes.follow(found.rules)
        self._queues = {
            DEFAULT_QUEUE,
            *found.rules.queues,
        }  # those of rows that still wait are added with their lanes
        log.info("rules and extractors are read again", extra={"action": "look", "extractors": len(own)})

    def _publish(self, now_ns: int) -> None:
        if now_ns - self._published_ns >= PUBLISH_NS:
            self._published_ns = now_ns
            self._tend()
            facts = {
                "extractors": self._roster.published(),
                "problems": msgspec.json.encode(self._problems).decode(),
                "past": self._past.look(now_ns, self._counters),
            }
            self._streams.publish({**self._counters, "alive_ns": now_ns, **facts})

    def _reload(self) -> None:
        """Learn from the index what is committed: after a failed step nobody else knows."""
        self._roster.reload()
        self._cursors = self._index.cursors()
        self._counters: Counter[str] = Counter(self._index.counters())
        self._incoming.forget()
        self._continuity.forget()
