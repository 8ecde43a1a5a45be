"""Results of workers, on their way into the index: documents, facts, failures, and what is left to do.

    status   with a row of the same generation            with a row that wants more
    ok       document or facts written; row removed        written too; row due again
    failed   one more attempt, later and alone;            row due again: what failed is not there any more
             after the last one the failure is kept.
             The extractor fails for everything: no
             attempt, only later (extractor_registry.py).
             A pool's worker may not read it: no attempt,
             and an hour later
    released row removed; what was found before stays.      row due again
             Restored: the rules are asked again
    gone     row removed; `stat`, and no name is left:     row due again
             the object is removed too, but see below. With
             a name: tried again, more and more seldom: it
             may have been renamed

An object that is gone and has no name may have migrated: a record that is still to come takes its documents to its
new FID. So an object with documents goes only when all MDTs have passed the time at which it was found gone.

What workers say about the file system itself (`heal`, `scan`) is taken by heal.py and scan.py. An object that was
found elsewhere, or in vain as often as it is tried although it has a name, has its names asked for (heal.py).

A result counts only while its own job holds the row: one that is delivered twice counts once, one that comes when
the work was given out anew is left to that job, and whoever can write results can write none that nobody asked for.
No work is lost with one that is dropped: what is still to do has its row. `results_dropped` is a sum:

    done     nothing waits for it any more: the work is done, or the object was removed
    again    the work is given out again, or waits for that: its file is read twice
    unasked  nobody has asked for it: of an unknown extractor, or of content that the index has never known
    indexers an indexer has dropped it, for one of these reasons
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.config.settings import DispatcherSettings
from lustre_events.dispatcher import fs_answers, tags
from lustre_events.dispatcher.extractor_registry import ExtractorRegistry
from lustre_events.dispatcher.result_outcome import Follow, ResultOutcome, nobody
from lustre_events.dispatcher.tags import SeenFacts, Tags
from lustre_events.dispatcher.turn import Turn
from lustre_events.dispatcher.work_planner import Question, WorkPlanner
from lustre_events.domain.bounds import converted
from lustre_events.domain.pending import PendingRow, finished, found_gone
from lustre_events.domain.retries import LONGEST_RETRY_NS, excused, failed
from lustre_events.domain.tallies import Tallies
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import ConfigError
from lustre_events.index.interface import Facts, ObjectRow, WorkKey
from lustre_events.index.values import clean
from lustre_events.jobs.messages import STAT, Result

log = logging.getLogger(__name__)

_LATEST = (1 << 63) - 1
GONE_WAIT_NS = 5 * SECOND_NS
FULL_RETRY_NS = 600 * SECOND_NS
"""When a file is tried again whose worker was lost while Redis was full."""


def dropped(turn: Turn, why: str, count: int) -> None:
    """Count results that are dropped, if any are; `why` is one of the words above."""
    if count:
        turn.counters["results_dropped"] += count
        turn.counters[f"results_dropped_{why}"] += count


def _why(result: Result, row: ObjectRow | None, before: PendingRow | None) -> str:
    """Return why a result is dropped: its object was removed, it is of an index before this one, or comes late."""
    if row is not None and result.generation > row.generation:
        return "unasked"
    return "done" if row is None or before is None else "again"


@dataclass(slots=True)
class _Taken:
    """A batch of results: what the index knows of their objects, and their changes until these are written."""

    objects: Mapping[FID, ObjectRow]
    pending: Mapping[WorkKey, PendingRow]
    linked: Collection[FID]
    """Objects that were not found, and have a name."""
    released: Collection[FID]
    """Objects whose content HSM had released, as far as is known."""
    rows: dict[WorkKey, PendingRow | None] = field(default_factory=dict)
    """What is left of pending rows that change."""
    nameless: set[FID] = field(default_factory=set)
    """Objects that are gone, and have no name."""
    doubted: set[FID] = field(default_factory=set)
    """Objects whose names are to be asked for."""
    outdated: dict[FID, ObjectRow] = field(default_factory=dict)
    """Objects that may have documents of older content."""
    questions: list[Question] = field(default_factory=list)
    facts: list[tuple[ObjectRow, int, Facts]] = field(default_factory=list)
    documents: list[tuple[ObjectRow, Result]] = field(default_factory=list)
    tags: list[tuple[ObjectRow, Result, Tags]] = field(default_factory=list)
    failures: list[tuple[ObjectRow, Result, int]] = field(default_factory=list)
    outcomes: list[ResultOutcome] = field(default_factory=list)
    judged: list[Result] = field(default_factory=list)
    tallies: Tallies = field(default_factory=Tallies)
    written: bool = False
    """Documents are in the index already; these results have none."""


class FileSystemQuestion(Protocol):
    """What is asked of the file system itself: `heal` (heal.py) and `scan` (scan.py)."""

    def begin(self) -> None:
        """Forget what a step that failed has left."""

    def take(self, turn: Turn, result: Result, row: ObjectRow, before: PendingRow) -> PendingRow | None:
        """Take a good answer; return what is left of its row. Raises ConfigError: it answers something else."""

    def gave_up(self, before: PendingRow, error: str) -> None:
        """Note a row whose tries are used up."""

    def write(self, turn: Turn) -> None:
        """Write what answers ask for, once what is left of all rows is written: it may be theirs."""


class ResultWriter:
    """Takes results, in the caller's transaction. `asks` take the answers about the file system, by extractor.

    `learn` is told where each result comes from (job_sizes.py). `follow` is called in the same transaction with the
    outcomes of results, when all that they change is written.
    """

    def __init__(
        self,
        registry: ExtractorRegistry,
        planner: WorkPlanner,
        asks: Mapping[str, FileSystemQuestion],
        doubt: Callable[[Turn, Collection[FID]], int],
        settings: DispatcherSettings,
        *,
        learn: Callable[[str, Mapping[str, Any]], None] = lambda _extractor, _provenance: None,
        follow: Follow = nobody,
    ) -> None:
        self._registry = registry
        self._learn = learn
        self._follow = follow
        self._planner = planner
        self._asks = asks
        self._doubt = doubt
        self._retry_ns = int(settings.retry_seconds * SECOND_NS)
        self._tries = settings.attempts

    def take(
        self, turn: Turn, results: Sequence[Result], passed_ns: int, *, lost: bool = False, written: bool = False
    ) -> None:
        """Write results and what is left to do; count them: results = ok + failed + gone + dropped.

        No record to come is of a time before `passed_ns`. `lost`: these are said of jobs that were lost. `written`:
        indexers have written their documents.
        """
        turn.counters["results"] += len(results)
        for ask in self._asks.values():
            ask.begin()
        known = [result for result in results if self._is_known(result)]
        dropped(turn, "unasked", len(results) - len(known))
        taken = _looked_up(turn, known, written=written)
        for result in known:
            self._take_one(turn, result, taken, lost=lost)
        _keep_for_migrations(turn, taken, passed_ns)
        self._write(turn, taken)

    def _take_one(self, turn: Turn, result: Result, taken: _Taken, *, lost: bool) -> None:
        work = (result.fid, result.extractor)
        row = taken.objects.get(result.fid)
        before = taken.rows.get(work, taken.pending.get(work))
        in_time = lost or fs_answers.in_time(before, result)
        if row is None or result.generation > row.generation or not in_time:
            dropped(turn, _why(result, row, before), 1)
            if row is None:
                taken.rows[work] = None
            return
        taken.judged.append(result)
        status, after = self._outcome(turn, result, row, before, taken)
        if status == "gone":
            after = self._not_found(turn, result, before, after, taken)
        if result.elsewhere:
            taken.doubted.add(result.fid)
        turn.counters[f"results_{status}"] += 1
        taken.tallies.add(result.extractor, status, result.provenance)
        self._learn(result.extractor, result.provenance)
        taken.outcomes.append(
            ResultOutcome(
                row,
                result.extractor,
                result.generation,
                result.serial,
                status,
                before.reason if before is not None else "",
            )
        )
        if after is None and before is not None:
            after = fs_answers.once_more(before)
        if after is not before:
            taken.rows[work] = after

    def _not_found(
        self, turn: Turn, result: Result, before: PendingRow | None, after: PendingRow | None, taken: _Taken
    ) -> PendingRow | None:
        """Return what is left of the row of an object that was not found: with a name it may have been renamed."""
        if result.fid in taken.linked:
            after = self._again(turn, result, before)
            if before is not None and before.job is not None and after is None:
                taken.doubted.add(result.fid)  # in vain as often as it is tried
                if result.extractor not in self._asks:
                    after = self._later(turn, result, before)
        elif after is None and result.extractor == STAT:
            taken.nameless.add(result.fid)
        return after

    def _write(self, turn: Turn, taken: _Taken) -> None:
        """Write what was found and what is left of rows, then what depends on that."""
        if taken.facts:
            turn.transaction.put_facts(taken.facts)
        if taken.documents:
            turn.transaction.put_documents(taken.documents)
        tags.keep(turn, taken.tags)
        if taken.failures:
            turn.transaction.put_failures(taken.failures)
        turn.transaction.put_pending(row for row in taken.rows.values() if row is not None)
        turn.transaction.remove_pending(work for work, row in taken.rows.items() if row is None)
        turn.counters["removed"] += turn.transaction.remove_objects(taken.nameless)
        for fid in taken.nameless:
            taken.outdated.pop(fid, None)
        turn.counters["outdated"] += self._planner.remove_outdated(turn, list(taken.outdated.values()))
        for ask in self._asks.values():
            ask.write(turn)
        turn.counters["doubted"] += self._doubt(turn, taken.doubted - taken.nameless)
        self._registry.judge(turn, taken.judged)
        self._planner.ask(turn, [each for each in taken.questions if each.row.fid not in taken.nameless])
        turn.counters.update(taken.tallies.counters())
        self._follow(turn, taken.outcomes)

    def lost(self, turn: Turn, rows: Sequence[PendingRow], blameless: Sequence[PendingRow] = ()) -> None:
        """Take rows whose job was lost as failed attempts, so that no file can end workers for ever.

        Those that are `blameless` keep their attempts, and wait for longer: one that ends every worker may be among
        them.
        """
        error = "the worker was lost, with Redis full"
        again = [excused(row, turn.now_ns, FULL_RETRY_NS, error) for row in blameless]
        turn.transaction.put_pending(again)
        results = [
            Result(
                fid=row.fid,
                extractor=row.extractor,
                serial=self._registry.states[row.extractor].serial,
                generation=row.generation,
                status="failed",
                error="the worker was lost while it had this file",
            )
            for row in rows
        ]
        # Their count is not that of results which came.
        self.take(replace(turn, counters=Counter()), results, 0, lost=True)

    def _is_known(self, result: Result) -> bool:
        known = (
            result.extractor in self._registry.states
            and 0 <= result.generation <= _LATEST
            and 0 <= result.serial <= self._registry.states[result.extractor].serial
        )
        if not known:
            log.error(
                "a result of extractor %r, serial %d, for %s was not asked for by this dispatcher; it is dropped",
                result.extractor, result.serial, result.fid, extra={"action": "drop"},
            )  # fmt: skip
        return known

    def _outcome(
        self, turn: Turn, result: Result, row: ObjectRow, before: PendingRow | None, taken: _Taken
    ) -> tuple[str, PendingRow | None]:
        """Write one result; return how it counts and what is left of its pending row."""
        if result.status == "ok":
            try:
                return "ok", self._good(turn, result, row, before, taken)
            except ConfigError as exc:
                result = msgspec.structs.replace(result, status="failed", error=str(exc))
        if result.status in {"gone", "released"}:
            return result.status, self._left(turn, result, before)
        after = self._again(turn, result, before)
        if after is None and before is not None:
            taken.failures.append((row, result, before.attempts + 1))
            if before.extractor in self._asks:
                self._asks[before.extractor].gave_up(before, result.error)
        return "failed", after

    def _good(
        self, turn: Turn, result: Result, row: ObjectRow, before: PendingRow | None, taken: _Taken
    ) -> PendingRow | None:
        """Write a good result; return what is left of its row. Raises ConfigError: it is not what it should be."""
        if result.extractor in self._asks:
            return None if before is None else self._asks[result.extractor].take(turn, result, row, before)
        if result.extractor == STAT:
            self._write_facts(turn, result, row, taken)
        else:
            if not taken.written:
                taken.documents.append((row, result))
            if result.generation < row.content:
                taken.outdated.setdefault(row.fid, row)
        return self._left(turn, result, before)

    def _write_facts(self, turn: Turn, result: Result, row: ObjectRow, taken: _Taken) -> None:
        try:
            facts = converted(result.document, SeenFacts)
        except msgspec.ValidationError as exc:
            raise ConfigError(f"these are not facts of a file: {exc}") from exc
        if result.generation < row.known:
            return  # newer ones are stored
        taken.facts.append((row, result.generation, facts))
        if facts.xattr is not None:
            taken.tags.append((row, result, facts.xattr))
        if 1 < row.content <= result.generation and not facts.released:
            # Of released content the last record of a change may be that of the release.
            taken.outdated[row.fid] = msgspec.structs.replace(
                row, type=facts.type, uid=facts.uid, known=result.generation
            )
        restored = row.fid in taken.released and not facts.released
        question = self._planner.facts_came(row, result.generation, facts, turn.now_ns, restored=restored)
        if question is not None:
            taken.questions.append(question)

    def _left(self, turn: Turn, result: Result, before: PendingRow | None) -> PendingRow | None:
        if before is None:
            return None
        settle_ns = self._planner.settle_ns(before.extractor, before.rule)
        outdated = result.serial < self._registry.states[result.extractor].serial
        return finished(before, -1 if outdated else result.generation, turn.now_ns, settle_ns)

    def _later(self, turn: Turn, result: Result, before: PendingRow) -> PendingRow | None:
        """Return the row of a file that has a name and is not found: it moves faster than workers look for it.

        It is tried again until it is found, more and more seldom, or until its object is known to be gone.
        """
        error = clean(result.error) or "workers do not find it by the names that the index has"
        return failed(before, turn.now_ns, self._retry_ns, before.attempts + 2, error)  # one try is left, always

    def _again(self, turn: Turn, result: Result, before: PendingRow | None) -> PendingRow | None:
        """Return what is left after a failed attempt; a row that no job holds has been counted already."""
        if before is None or before.job is None:
            return before
        if result.generation < before.generation:
            return self._left(turn, result, before)
        error = clean(result.error)
        if result.blame == "worker":
            return excused(before, turn.now_ns, LONGEST_RETRY_NS, error)
        if self._registry.excuses(result):
            return excused(before, turn.now_ns, self._retry_ns, error)
        return failed(before, turn.now_ns, self._retry_ns, 1 if result.final else self._tries, error)


def _looked_up(turn: Turn, results: Sequence[Result], *, written: bool) -> _Taken:
    """Return what the index knows of the objects of results; `written`: their documents are in the index."""
    objects = turn.transaction.objects({result.fid for result in results})
    pending = turn.transaction.pending([(result.fid, result.extractor) for result in results])
    linked = turn.transaction.linked({result.fid for result in results if result.status == "gone"})
    return _Taken(objects, pending, linked, _released(turn, objects.values()), written=written)


def _keep_for_migrations(turn: Turn, taken: _Taken, passed_ns: int) -> None:
    """Keep objects that are gone with documents, as long as a record of a migration may still come for these."""
    for fid, _ in turn.transaction.documents(taken.nameless):
        before = taken.pending.get((fid, STAT))
        since_ns = before.gone_ns if before is not None and before.gone_ns else turn.now_ns
        if since_ns > passed_ns:
            taken.nameless.discard(fid)
            taken.rows[fid, STAT] = _kept(before, since_ns, turn.now_ns)


def _released(turn: Turn, rows: Iterable[ObjectRow]) -> set[FID]:
    """Return which objects HSM had released when `stat` saw them last; those with newer content do not matter."""
    seen = [row.fid for row in rows if row.known and row.generation > row.content]
    return {fid for fid, (_, facts) in turn.transaction.facts(seen).items() if facts.released} if seen else set()


def _kept(row: PendingRow | None, since_ns: int, now_ns: int) -> PendingRow | None:
    """Return the row of an object that is gone, to be looked at again when it has been so for twice as long."""
    if row is None:
        return None  # a result that came twice; the row that it had is due anyway, or the sweeper finds the object
    wait_ns = min(GONE_WAIT_NS + now_ns - since_ns, LONGEST_RETRY_NS)
    return found_gone(row, since_ns, now_ns + wait_ns)
