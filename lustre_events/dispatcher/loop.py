"""The dispatcher's loop: records and results in, names, documents and pending work into the index, jobs out.

One step is one transaction: the records behind each cursor, the results that wait, the leases of the rows that
go out, and the cursors themselves. Only when it is committed are jobs enqueued and stream entries
acknowledged; both may be repeated. What is not acknowledged is read again, and the cursor says that it is done.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from lustre_events.config import DispatcherSettings, nearest
from lustre_events.dispatcher.intake import Intake, Place
from lustre_events.dispatcher.jobs import JobQueue, Jobs, Plan
from lustre_events.dispatcher.outcomes import Outcomes
from lustre_events.dispatcher.sweeping import Sweeper
from lustre_events.dispatcher.walking import Walks
from lustre_events.dispatcher.wishes import STAT_IDENTITY, Wishes
from lustre_events.errors import LustreEventsError, UnknownExtractor
from lustre_events.index.interface import Cursor, Identity, IndexWriter, Transaction
from lustre_events.names import mdt_number
from lustre_events.pending import SECOND_NS
from lustre_events.rules import DEFAULT_QUEUE, Rules
from lustre_events.streams.interface import Block, RecordStreams, Results
from lustre_events.work import Result

log = logging.getLogger(__name__)

RECORD_BYTES = 160
"""A record's usual length (captures: 150), to turn a number of records into a number of bytes."""

RESULT_ENTRIES = 100
PUBLISH_NS = SECOND_NS
RETRY_WAIT_SECONDS = 1.0


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
    ) -> None:
        installed = {each.name: each for each in (*extractors, STAT_IDENTITY)}
        for name in sorted(rules.extractors - installed.keys()):
            raise UnknownExtractor(f"a rule names the extractor {name!r}, which is not installed"
                                   f"{nearest(name, tuple(installed))}")  # fmt: skip
        self._streams = streams
        self._results = results
        self._index = index
        self._settings = settings
        self._clock = clock
        self._stop = threading.Event()
        index.take_over()
        states = index.register(list(installed.values()))
        self._wishes = Wishes(rules, settings)
        self._walks = Walks(rules, self._wishes)
        self._intake = Intake(self._wishes, self._walks)
        self._outcomes = Outcomes(states, self._wishes, settings)
        self._sweeper = Sweeper(streams, self._wishes, mdts, clock())
        self._jobs = Jobs(queue, states, settings)
        self._queues = {DEFAULT_QUEUE, *rules.queues}
        self._unacknowledged: set[Place] = set()
        self._unacknowledged_results: list[str] = []
        self._published_ns = 0
        self._whole = True
        self._reload()

    def run(self) -> None:
        """Step until `stop` is called. Raises LeaseLost when another dispatcher takes over."""
        idle_seconds = self._settings.idle_ms / 1000
        busy = False
        while not self._stop.is_set():
            try:
                busy = self.step(0.0 if busy else idle_seconds)
            except LustreEventsError as exc:
                if not exc.retryable:
                    raise
                log.warning("%s; trying again", exc, extra={"action": "retry"})
                self._stop.wait(RETRY_WAIT_SECONDS)

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
        blocks = self._read(timeout_seconds)
        entries = self._read_results()
        waiting = self._jobs.waiting(self._queues)
        now_ns = self._clock()
        self._sweeper.look(now_ns)
        passed_ns = self._sweeper.passed_ns(self._cursors)
        counters: Counter[str] = Counter()
        with self._index.transaction() as transaction:
            cursors = self._intake.take(transaction, blocks, self._cursors, now_ns, counters)
            found = [result for _, each in entries for result in each]
            counters += self._outcomes.take(transaction, found, now_ns, passed_ns)
            moved = self._keep(transaction, cursors, now_ns, counters)
            plan = self._plan(transaction, waiting, now_ns, counters, drained=len(entries) < RESULT_ENTRIES)
            counters["results_damaged"] += sum(not found for _, found in entries)
            counters = +counters
            transaction.count(counters)
        self._cursors.update(cursors)
        self._cursors.update({(cursor.mdt, cursor.epoch): cursor for cursor in moved})
        self._counters += counters
        self._unacknowledged |= cursors.keys()
        self._unacknowledged_results += [entry_id for entry_id, _ in entries]
        self._jobs.enqueue(plan)
        self._acknowledge()
        done = bool(blocks or entries or plan.jobs or counters["walked"] or counters["swept"])
        if done:
            log.info("step", extra={"action": "commit", **counters})
        self._publish(now_ns)
        self._whole = True
        return done

    def _read(self, timeout_seconds: float) -> list[Block]:
        positions = {}
        for mdt in self._streams.mdts():
            mdt_number(mdt)  # a name without a number cannot be ordered: refuse it before anything is read
            place = (mdt, self._oldest_epoch(mdt))
            if place[1]:
                positions[place] = self._cursor(place).position
        limit_bytes = self._settings.batch_records * RECORD_BYTES // max(1, len(positions))
        return self._streams.read(positions, limit_bytes, timeout_seconds)

    def _oldest_epoch(self, mdt: str) -> int:
        """Return the oldest epoch that is not drained, and drop those that are; 0: there is none."""
        epochs = self._streams.epochs(mdt)
        while len(epochs) > 1:
            place = (mdt, epochs[0])
            if self._cursor(place).position < self._streams.tail(*place):
                break
            # A newer one has begun, so nothing can be appended to this one any more.
            self._streams.acknowledge(*place, self._cursor(place).position)
            self._unacknowledged.discard(place)
            if self._streams.drop(*place):
                log.info("%s: epoch %d is drained", *place, extra={"action": "drop"})
            epochs.pop(0)
        if epochs and (mdt, epochs[0]) not in self._seen:
            # Perhaps committed and not acknowledged before this dispatcher began.
            self._seen.add((mdt, epochs[0]))
            if self._cursor((mdt, epochs[0])).position:
                self._unacknowledged.add((mdt, epochs[0]))
        return epochs[0] if epochs else 0

    def _read_results(self) -> list[tuple[str, list[Result]]]:
        done = set(self._unacknowledged_results)
        return [entry for entry in self._results.read(RESULT_ENTRIES + len(done)) if entry[0] not in done]

    def _keep(
        self, transaction: Transaction, cursors: Mapping[Place, Cursor], now_ns: int, counters: Counter[str]
    ) -> list[Cursor]:
        """Walk, sweep and go round, each a little; return cursors whose times moved on."""
        counters["walked"] += self._walks.step(transaction, now_ns)
        swept, moved = self._sweeper.step(transaction, {**self._cursors, **cursors}, counters["links"])
        counters["swept"] += swept
        counters["looked_at"] += self._sweeper.go_round(transaction, now_ns)
        return moved

    def _plan(
        self,
        transaction: Transaction,
        waiting: Mapping[str, int],
        now_ns: int,
        counters: Counter[str],
        *,
        drained: bool,
    ) -> Plan:
        """Lease what is due; take leases of lost jobs away once all results have been read."""
        plan = self._jobs.plan(transaction, waiting, now_ns)
        if drained and plan.lost:
            self._outcomes.lost(transaction, plan.lost, now_ns)
            counters["files_of_lost_jobs"] += len(plan.lost)
        counters["jobs"] += sum(map(len, plan.jobs.values()))
        counters["job_files"] += sum(len(job.items) for jobs in plan.jobs.values() for job in jobs)
        self._queues |= {lane.queue for lane in transaction.lanes()}
        return plan

    def _acknowledge(self) -> None:
        for place in sorted(self._unacknowledged):
            self._streams.acknowledge(*place, self._cursor(place).position)
            self._unacknowledged.discard(place)
        if self._unacknowledged_results:
            self._results.acknowledge(self._unacknowledged_results)
            self._unacknowledged_results = []

    def _publish(self, now_ns: int) -> None:
        if now_ns - self._published_ns >= PUBLISH_NS:
            self._published_ns = now_ns
            self._streams.publish({**self._counters, "alive_ns": now_ns})

    def _cursor(self, place: Place) -> Cursor:
        return self._cursors.get(place) or Cursor(*place)

    def _reload(self) -> None:
        """Learn from the index what is committed: after a failed step nobody else knows."""
        self._cursors = self._index.cursors()
        self._counters: Counter[str] = Counter(self._index.counters())
        self._seen: set[Place] = set()
