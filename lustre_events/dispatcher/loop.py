"""The dispatcher's loop: records and results in, names, documents and pending work into the index, jobs out.

One step takes the records behind each cursor, the results that wait, and what is asked for, and leases the rows
that go out, in transactions of a bounded length (transactions.py); a cursor moves together with what its records
change.
Only when all is committed are jobs enqueued and stream entries acknowledged; both may be repeated. What is not
acknowledged is read again, and the cursor says that it is done.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec

from lustre_events.actions.delivery_links import CourierLink, NoLink
from lustre_events.catalog.catalog import Found
from lustre_events.changelog.fid import ROOT_FID
from lustre_events.config.nearest import nearest
from lustre_events.config.settings import DispatcherSettings
from lustre_events.dispatcher import migrated_fids
from lustre_events.dispatcher.actions import Actions
from lustre_events.dispatcher.continuity import Advance
from lustre_events.dispatcher.directory_walks import DirectoryWalks
from lustre_events.dispatcher.extractor_registry import ExtractorRegistry
from lustre_events.dispatcher.heal import Healing
from lustre_events.dispatcher.indexer_outcomes import NoIndexers, WrittenDocuments
from lustre_events.dispatcher.installed import BUILT_IN, Installed
from lustre_events.dispatcher.jobs import ROWS, JobQueue, Jobs, Leased, Plan
from lustre_events.dispatcher.journal import status_sentence, step_sentence
from lustre_events.dispatcher.markers import Markers
from lustre_events.dispatcher.pauses import Pauses
from lustre_events.dispatcher.rates import Rates
from lustre_events.dispatcher.records import Gathered, RecordWriter
from lustre_events.dispatcher.reprocess_requests import ReprocessRequests
from lustre_events.dispatcher.requests import Handler, RequestHandler
from lustre_events.dispatcher.result_outcome import Follow, nobody
from lustre_events.dispatcher.results import FileSystemQuestion, ResultWriter
from lustre_events.dispatcher.run_settling import NOTHING_TO_READ, ReadIndex
from lustre_events.dispatcher.scan import Scanning
from lustre_events.dispatcher.scan_requests import ScanRequests
from lustre_events.dispatcher.stream_input import Incoming
from lustre_events.dispatcher.sweep import Sweeper
from lustre_events.dispatcher.transactions import (
    MOST_RESULTS,
    RESULTS,
    BatchSize,
    TransactionBatches,
    Write,
    has_listing,
    names_in,
    record_batches,
    result_batches,
)
from lustre_events.dispatcher.turn import Turn
from lustre_events.dispatcher.unrecorded import Unrecorded
from lustre_events.dispatcher.work_planner import WorkPlanner
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.rules.rules import Rules
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import LustreEventsError, UnknownExtractor
from lustre_events.index.interface import Identity, IndexWriter, Lane, ObjectRow
from lustre_events.jobs.messages import HEAL, SCAN, Result
from lustre_events.jobs.requests import Reply, Request
from lustre_events.streams.interface import Block, DocumentBacklog, EpochKey, RecordStreams, Requests, Results

log = logging.getLogger(__name__)

LEAST_RECORDS = 300
LEAST_ROWS = 200
"""One write takes at least this many, however long that takes."""

NO_LINK = NoLink()
NO_ENDPOINTS: Mapping[str, Endpoint] = {}
NO_HANDLERS: Mapping[str, Handler] = {}

PUBLISH_NS = SECOND_NS
RETRY_WAIT_SECONDS = 1.0


@dataclass(slots=True)
class _Step:
    """What one step has read, and what it must acknowledge and answer when all is written."""

    now_ns: int
    passed_ns: int
    behind: Sequence[Advance]
    """How cursors continue after what is lost."""
    blocks: Sequence[Block]
    entries: Sequence[tuple[str, list[Result]]]
    asked: Sequence[Request]
    waiting: Mapping[str, int]
    moved: set[EpochKey] = field(default_factory=set)
    """Where records were taken."""
    replies: list[Reply] = field(default_factory=list)
    plan: Plan = field(default_factory=Plan)
    leased: Leased = field(default_factory=Leased)
    links: int = 0
    """How many were written."""
    swept: int = 0
    brought: int = 0
    """Names that came under the present FID of their directory."""

    def has_done(self, counters: Mapping[str, int]) -> bool:
        """Whether there was anything to do but actions, by what was counted too."""
        under_way = counters.get("walked") or counters.get("swept") or self.brought
        return bool(self.blocks or self.entries or self.asked or self.plan.jobs or under_way)


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
        beat: called after every step with what was done so far, for systemd's watchdog.
        link: the way to the courier, which sends what actions say; it is told of `endpoints`.
        reading: reads what is committed of objects, for the bodies and queries of actions.
        timer: seconds from any beginning, to tell how long a transaction lasts.
        more: carries out requests of which the dispatcher knows nothing, by their names.
        follow: called with what results came to, in the transaction that writes it (result_outcome.py).
        backlog: results that wait for indexers, which write documents (indexer_outcomes.py); None: no indexers.

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
        beat: Callable[[str], None] = lambda _status: None,
        timer: Callable[[], float] = time.monotonic,
        link: CourierLink = NO_LINK,
        reading: ReadIndex = NOTHING_TO_READ,
        endpoints: Mapping[str, Endpoint] = NO_ENDPOINTS,
        follow: Follow = nobody,
        more: Mapping[str, Handler] = NO_HANDLERS,
        backlog: DocumentBacklog | None = None,
    ) -> None:
        installed = {each.name: each for each in (*extractors, *BUILT_IN)}
        for name in sorted(rules.extractors - installed.keys()):
            raise UnknownExtractor(f"a rule names the extractor {name!r}, which is not installed"
                                   f"{nearest(name, tuple(installed))}")  # fmt: skip
        self._streams = streams
        self._incoming = Incoming(streams, results, clock, self._confirm)
        self._index = index
        self._settings = settings
        self._clock = clock
        self._stop = threading.Event()
        self._beat = beat
        self._tend = tend
        index.take_over()
        self._timer = timer
        self._batches = TransactionBatches(index, timer)
        self._records_size = BatchSize(LEAST_RECORDS, settings.batch_records)
        self._rows_size = BatchSize(LEAST_ROWS, ROWS)
        self._results_size = BatchSize(RESULTS, MOST_RESULTS)
        self._registry = ExtractorRegistry(index, list(installed.values()), settings)
        self._planner = planner = WorkPlanner(rules, settings, self._registry.disabled)
        self._actions = Actions(link, settings, reading, index.count_runs)
        self._actions.follow(rules, endpoints)
        self._installed = Installed(look, self._registry, planner, self._actions, endpoints, now_ns=clock())
        self._markers = Markers(rules, self._installed.leave_out)
        with index.transaction() as transaction:
            self._markers.look(Turn(transaction, Counter(), clock()))
        self._markers.committed(clock())
        self._walks = DirectoryWalks(planner)
        healing = Healing(planner, self._walks, settings.skew_seconds)
        self._unrecorded = Unrecorded(self._actions.triggers)
        asks: dict[str, FileSystemQuestion] = {
            HEAL: healing,
            SCAN: Scanning(planner, self._walks, healing, self._unrecorded),
        }
        self._records = RecordWriter(planner, self._walks, healing, self._actions.triggers)
        follow = partial(self._actions.follow_results, others=follow)
        backlog = backlog or NoIndexers()
        self._jobs = Jobs(queue, self._registry, planner, settings, backlog.takes)
        self._results = ResultWriter(
            self._registry, planner, asks, healing.doubt, settings, learn=self._jobs.sizes.learn, follow=follow
        )
        self._written = WrittenDocuments(index, backlog, self._results, timer)
        self._sweeper = Sweeper(streams, planner, mdts, clock(), healing.skew_ns)
        self._requests = RequestHandler(requests, {
            **self._registry.handlers(),
            **ReprocessRequests(self._registry, planner, settings).handlers(),
            **ScanRequests(planner, healing.skew_ns).handlers(),
            **self._actions.handlers(),
            **more,
        })  # fmt: skip
        self._published_ns = 0
        self._rates = Rates()
        self._whole = True
        self._reload()

    def run(self) -> None:
        """Step until `stop` is called. Raises LeaseLost when another dispatcher takes over."""
        pauses = Pauses(self._settings.idle_ms / 1000)
        pause_seconds = pauses.after(self._clock(), done=False)
        rooted = False
        while not self._stop.is_set():
            try:
                rooted = rooted or self._look_at_root()
                done = self.step(pause_seconds)
                pause_seconds = pauses.after(self._clock(), done=done)
            except LustreEventsError as exc:
                if not exc.retryable:
                    raise
                log.warning("%s; trying again", exc, extra={"action": "retry"})
                self._say_trouble(str(exc))
                self._stop.wait(RETRY_WAIT_SECONDS)
            self._beat(status_sentence(self._counters))

    def _say_trouble(self, trouble: str) -> None:
        """Publish for status and doctor why nothing moves, e.g. that the index's disk is full; if Redis answers."""
        with contextlib.suppress(LustreEventsError):
            self._streams.publish({"trouble": trouble, "alive_ns": self._clock()})
        self._published_ns = 0  # the next step that is done says that it is over

    def _look_at_root(self) -> bool:
        """Have `stat` look at the root directory, which no record names: its rights decide who sees anything."""
        with self._index.transaction() as transaction:
            if not transaction.objects([ROOT_FID]):
                transaction.put_objects([ObjectRow(fid=ROOT_FID, generation=1, type="d")])
            self._planner.look_at(Turn(transaction, Counter(), self._clock()), [ROOT_FID])
        return True

    def stop(self) -> None:
        """Make `run` return after its present step; to be called from another thread."""
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
        self._written.look(self._clock())
        entries = self._incoming.results()
        self._unrecorded.lost = has_listing(entries) and self._incoming.lost()
        asked = self._requests.read()
        self._actions.read(self._counters, self._clock(), asked, self._reached())
        waiting = self._written.held_up(self._jobs.waiting(self._installed.queues))
        now_ns = self._clock()
        self._installed.follow(now_ns)
        self._sweeper.look(now_ns)
        self._actions.settling.directories.read_until_ns = self._sweeper.read_until_ns(self._cursors)
        behind = self._incoming.behind
        step = _Step(now_ns, self._sweeper.passed_ns(self._cursors), behind, blocks, entries, asked, waiting)
        counters = self._batches.carry_out(self._writes(step), now_ns)
        self._counters += counters
        self._markers.committed(now_ns)
        self._incoming.committed(step.moved, [entry_id for entry_id, _ in entries])
        self._requests.answer(step.replies)
        self._jobs.enqueue(step.plan)
        acted = self._actions.committed()
        self._incoming.acknowledge(self._cursors)
        done = any((step.has_done(counters), self._written.found, acted))
        if done:
            self._say(step, counters)
        self._publish(now_ns)
        self._whole = True
        return done or step.plan.doubted

    def _reached(self) -> tuple[int, str]:
        """Return the latest time of a record that is committed, with its MDT; 0: there was none."""
        return max(((cursor.eff_time, cursor.mdt) for cursor in self._cursors.values()), default=(0, ""))

    def _confirm(self) -> None:
        """Check that the index is still this dispatcher's to write. Raises LeaseLost, IndexUnavailable."""
        with self._index.transaction():
            pass

    def _say(self, step: _Step, counters: Counter[str]) -> None:
        told = {name: count for name, count in counters.items() if ":" not in name}
        reached = [(mdt, self._cursors[mdt, epoch].position) for mdt, epoch in step.moved]
        log.info("%s", step_sentence(counters, reached), extra={"action": "commit", **told})

    def _writes(self, step: _Step) -> Iterator[Write]:
        """Yield what there is to write. Only when a write is asked for is the one before it done."""
        if self._markers.is_time(step.now_ns):
            yield self._markers.look
        yield from self._actions.activate()
        yield from self._write_records(step)
        for _ in range(migrated_fids.ROUNDS):
            yield partial(self._bring, step=step)
            if not step.brought:
                break
        for results in result_batches(step.entries, lambda: self._results_size.size):
            yield partial(self._take, results=results, passed_ns=step.passed_ns)
        yield from self._written.writes(step.passed_ns)
        yield partial(self._count, step=step)
        for request in step.asked:
            yield partial(self._answer, step=step, request=request)
        yield self._walks.step
        yield from self._sweep(step)
        yield self._sweeper.go_round
        yield from self._actions.writes()
        yield from self._lease_rows(step)

    def _write_records(self, step: _Step) -> Iterator[Write]:
        if step.behind:
            yield partial(self._skip, behind=step.behind)
            self._cursors.update({(after.mdt, after.epoch): after for _, after in step.behind})
            step.moved |= self._incoming.reading & {(after.mdt, after.epoch) for _, after in step.behind}
        for blocks in record_batches(step.blocks, lambda: self._records_size.size):
            gathered = self._records.gather(blocks, self._cursors, step.now_ns)
            yield partial(self._write, gathered=gathered)
            self._cursors.update(gathered.cursors)
            step.moved |= gathered.cursors.keys()
            step.links += len(gathered.batch.links)

    @staticmethod
    def _skip(turn: Turn, *, behind: Sequence[Advance]) -> None:
        for before, after in behind:
            turn.transaction.advance(before, after)
            turn.counters["skipped_gaps"] += 1

    def _write(self, turn: Turn, *, gathered: Gathered) -> None:
        began = self._timer()
        self._records.write(turn, gathered)
        self._records_size.took(gathered.batch.counters["records"], self._timer() - began)

    def _take(self, turn: Turn, *, results: Sequence[Result], passed_ns: int) -> None:
        began = self._timer()
        self._results.take(turn, results, passed_ns)
        if not any(map(names_in, results)):  # a listing is a result, and thousands of names
            self._results_size.took(len(results), self._timer() - began)

    def _bring(self, turn: Turn, *, step: _Step) -> None:
        step.brought = self._records.bring(turn)

    @staticmethod
    def _count(turn: Turn, *, step: _Step) -> None:
        turn.counters["blocks"] += len(step.blocks)
        turn.counters["results_damaged"] += sum(not found for _, found in step.entries)

    def _answer(self, turn: Turn, *, step: _Step, request: Request) -> None:
        turn.counters["requests"] += 1
        step.replies.append(self._requests.take(turn, request))

    def _sweep(self, step: _Step) -> Iterator[Write]:
        """Yield sweeps until nothing is left, or as much went as was written."""
        for _ in range(self._sweeper.rounds(step.links)):
            yield partial(self._sweep_some, step=step)
            if not step.swept:
                break

    def _sweep_some(self, turn: Turn, *, step: _Step) -> None:
        step.swept, moved = self._sweeper.step(turn, self._cursors)
        turn.counters["swept"] += step.swept
        self._cursors.update({(cursor.mdt, cursor.epoch): cursor for cursor in moved})

    def _lease_rows(self, step: _Step) -> Iterator[Write]:
        """Yield the writes in which due rows are leased, lane by lane."""
        yield partial(self._begin_plan, step=step)
        for lane in step.plan.lanes:
            left, step.leased = ROWS, Leased(more=True)
            while step.leased.more:
                size = min(left, self._rows_size.size)
                left -= size
                yield partial(self._lease, step=step, lane=lane, size=size, last=left == 0)

    def _begin_plan(self, turn: Turn, *, step: _Step) -> None:
        step.plan = self._jobs.begin(
            turn, step.waiting, drained=self._incoming.drained, written=self._written.drained_of
        )
        self._installed.add_queues(lane.queue for lane in step.plan.lanes)

    def _lease(self, turn: Turn, *, step: _Step, lane: Lane, size: int, last: bool) -> None:
        """Lease rows of a lane; take leases of lost jobs away once all results have been read."""
        began = self._timer()
        leased = step.leased = self._jobs.lease(turn, step.plan, lane, size, last=last)
        if leased.lost or leased.excused:
            self._results.lost(turn, leased.lost, leased.excused)
            turn.counters["files_of_lost_jobs"] += len(leased.lost) + len(leased.excused)
        self._rows_size.took(leased.looked_at, self._timer() - began)
        turn.counters["jobs"] += len(leased.jobs)
        turn.counters["job_files"] += sum(len(job.items) for job in leased.jobs)

    def _publish(self, now_ns: int) -> None:
        if not 0 <= now_ns - self._published_ns < PUBLISH_NS:
            self._published_ns = now_ns
            self._tend()
            self._incoming.review(self._cursors)
            facts: dict[str, int | str] = {
                "extractors": self._registry.published(),
                "problems": msgspec.json.encode([*self._installed.problems, *self._incoming.left_alone()]).decode(),
                "actions": self._actions.published(),
                "past": self._rates.look(now_ns, self._counters),
                "trouble": "",
                **self._written.published(),
            }
            self._streams.publish({**self._counters, "alive_ns": now_ns, **facts})

    def _reload(self) -> None:
        """Learn from the index what is committed: after a failed step nobody else knows."""
        self._registry.reload()
        self._actions.forget()
        self._cursors = self._index.cursors()
        self._counters: Counter[str] = Counter(self._index.counters())
        self._incoming.forget()
