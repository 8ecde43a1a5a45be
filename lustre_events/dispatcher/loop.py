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

import msgspec

from lustre_events.catalog import Found
from lustre_events.config import DispatcherSettings, nearest
from lustre_events.dispatcher.answers import Answers
from lustre_events.dispatcher.asking import HEAL_IDENTITY, SCAN_IDENTITY
from lustre_events.dispatcher.healing import Healing
from lustre_events.dispatcher.intake import Intake, Place
from lustre_events.dispatcher.jobs import JobQueue, Jobs, Plan
from lustre_events.dispatcher.outcomes import Outcomes
from lustre_events.dispatcher.past import Past
from lustre_events.dispatcher.repeating import Repeating
from lustre_events.dispatcher.requests import Desk, Handler
from lustre_events.dispatcher.roster import Roster
from lustre_events.dispatcher.scanning import Scanning
from lustre_events.dispatcher.surveying import Surveying
from lustre_events.dispatcher.sweeping import Sweeper
from lustre_events.dispatcher.walking import Walks
from lustre_events.dispatcher.wishes import STAT_IDENTITY, Wishes
from lustre_events.errors import LustreEventsError, UnknownExtractor
from lustre_events.fid import ROOT_FID
from lustre_events.index.interface import Cursor, Identity, IndexWriter, ObjectRow, Transaction
from lustre_events.names import mdt_number
from lustre_events.pending import SECOND_NS
from lustre_events.rules import DEFAULT_QUEUE, Rules
from lustre_events.streams.interface import Block, RecordStreams, Requests, Results
from lustre_events.work import SCAN, Result

log = logging.getLogger(__name__)

RECORD_BYTES = 160
"""A record's usual length (captures: 150), to turn a number of records into a number of bytes."""

BUILT_IN = (STAT_IDENTITY, HEAL_IDENTITY, SCAN_IDENTITY)
RESULT_ENTRIES = 100
LISTED_NAMES = 5_000
"""Names in listings that one step should take: more would hold up what is happening now."""
PUBLISH_NS = SECOND_NS
LOOK_NS = 2 * SECOND_NS
"""How often rules and extractors are looked at for changes."""

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
        requests: what people ask for; None: nobody can.
        look: returns rules and extractors where they have changed since it was called last.
        beat: called after every step, for whoever watches over this process.

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
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        installed = {each.name: each for each in (*extractors, *BUILT_IN)}
        for name in sorted(rules.extractors - installed.keys()):
            raise UnknownExtractor(f"a rule names the extractor {name!r}, which is not installed"
                                   f"{nearest(name, tuple(installed))}")  # fmt: skip
        self._streams = streams
        self._results = results
        self._index = index
        self._settings = settings
        self._clock = clock
        self._stop = threading.Event()
        self._beat = beat
        index.take_over()
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
        self._unacknowledged: set[Place] = set()
        self._unacknowledged_results: list[str] = []
        self._entries = RESULT_ENTRIES
        self._drained = True
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
        blocks = self._read(timeout_seconds)
        entries = self._read_results()
        asked = self._desk.read()
        waiting = self._jobs.waiting(self._queues)
        now_ns = self._clock()
        self._look(now_ns)
        self._sweeper.look(now_ns)
        passed_ns = self._sweeper.passed_ns(self._cursors)
        counters: Counter[str] = Counter()
        with self._index.transaction() as transaction:
            cursors = self._intake.take(transaction, blocks, self._cursors, now_ns, counters)
            found = [result for _, each in entries for result in each]
            counters += self._outcomes.take(transaction, found, now_ns, passed_ns)
            replies = self._desk.take(transaction, asked, now_ns, counters)
            moved = self._keep(transaction, cursors, now_ns, counters)
            plan = self._plan(transaction, waiting, now_ns, counters, drained=self._drained)
            counters["results_damaged"] += sum(not found for _, found in entries)
            counters = +counters
            transaction.count(counters)
        self._cursors.update(cursors)
        self._cursors.update({(cursor.mdt, cursor.epoch): cursor for cursor in moved})
        self._counters += counters
        self._unacknowledged |= cursors.keys()
        self._unacknowledged_results += [entry_id for entry_id, _ in entries]
        self._desk.answer(replies)
        self._jobs.enqueue(plan)
        self._acknowledge()
        done = bool(blocks or entries or asked or plan.jobs or counters["walked"] or counters["swept"])
        if done:
            told = {name: count for name, count in counters.items() if ":" not in name}
            log.info("step", extra={"action": "commit", **told})
        self._publish(now_ns)
        self._whole = True
        return done

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
        self._queues |= found.rules.queues
        log.info("rules and extractors are read again", extra={"action": "look", "extractors": len(own)})

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
        found = self._results.read(self._entries + len(done))
        self._drained = len(found) < self._entries + len(done) and not self._results.more
        entries = [entry for entry in found if entry[0] not in done]
        names = sum(
            len(listed)
            for _, each in entries
            for result in each
            if result.extractor == SCAN and isinstance(listed := result.document.get("entries"), list)
        )
        # So many entries the next time that their listings are about as long as they should be.
        fitting = len(entries) * LISTED_NAMES // names if names else RESULT_ENTRIES
        self._entries = max(2, min(2 * self._entries, RESULT_ENTRIES, fitting))
        return entries

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
        plan = self._jobs.plan(transaction, waiting, now_ns, drained=drained)
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
            facts = {
                "extractors": self._roster.published(),
                "problems": msgspec.json.encode(self._problems).decode(),
                "past": self._past.look(now_ns, self._counters),
            }
            self._streams.publish({**self._counters, "alive_ns": now_ns, **facts})

    def _cursor(self, place: Place) -> Cursor:
        return self._cursors.get(place) or Cursor(*place)

    def _reload(self) -> None:
        """Learn from the index what is committed: after a failed step nobody else knows."""
        self._roster.reload()
        self._cursors = self._index.cursors()
        self._counters: Counter[str] = Counter(self._index.counters())
        self._seen: set[Place] = set()
