"""Results of workers, on their way into the index: documents, facts, failures, and what is left to do.

    status   with a row of the same generation            with a row that wants more
    ok       document or facts written; row removed        written too; row due again
    failed   one more attempt, later and alone;            row due again: what failed is not there any more
             after the last one the failure is kept.
             The extractor fails for everything: no
             attempt, only later (extractor_registry.py)
    released row removed; what was found before stays.      row due again
             Restored: the rules are asked again
    gone     row removed; `stat`, and no name is left:     row due again
             the object is removed too, but see below. With
             a name: tried again, it may have been renamed

An object that is gone and has no name may have migrated: a record that is still to come takes its documents to its
new FID. So an object with documents goes only when all MDTs have passed the time at which it was found gone.

What workers say about the file system itself (`heal`, `scan`) is taken by answers.py. An object that was found
elsewhere, or in vain as often as it is tried although it has a name, has its names asked for (heal.py).

A result counts only while its own job holds the row: one that is delivered twice counts once, one that comes when
the work was given out anew is left to that job, and whoever can write results can write none that nobody asked for.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.config.settings import DispatcherSettings
from lustre_events.dispatcher import questions as asking
from lustre_events.dispatcher.answers import Answers
from lustre_events.dispatcher.extractor_registry import Roster
from lustre_events.dispatcher.work_planner import Question, Wishes
from lustre_events.domain.bounds import converted
from lustre_events.domain.pending import (
    LONGEST_RETRY_NS,
    SECOND_NS,
    PendingRow,
    excused,
    failed,
    finished,
    found_gone,
)
from lustre_events.domain.tallies import Tallies
from lustre_events.errors import ConfigError
from lustre_events.index.interface import Facts, ObjectRow, Transaction
from lustre_events.jobs.messages import ASKS, STAT, Result

log = logging.getLogger(__name__)

_LATEST = (1 << 63) - 1
GONE_WAIT_NS = 5 * SECOND_NS


@dataclass(slots=True)
class _Taken:
    """What one lot of results changes, until it is written."""

    now_ns: int
    rows: dict[tuple[FID, str], PendingRow | None] = field(default_factory=dict)
    nameless: set[FID] = field(default_factory=set)
    released: set[FID] = field(default_factory=set)
    """Objects whose content HSM had released, as far as is known."""
    doubted: set[FID] = field(default_factory=set)
    questions: list[Question] = field(default_factory=list)


class Outcomes:
    """Takes results, in the caller's transaction."""

    def __init__(self, roster: Roster, wishes: Wishes, answers: Answers, settings: DispatcherSettings) -> None:
        self._roster = roster
        self._wishes = wishes
        self._answers = answers
        self._retry_ns = int(settings.retry_seconds * SECOND_NS)
        self._tries = settings.attempts

    def take(
        self, transaction: Transaction, counters: Counter[str], *, results: Sequence[Result], now_ns: int,
        passed_ns: int, lost: bool = False,
    ) -> None:  # fmt: skip
        """Write results and what is left to do; count them: results = ok + failed + gone + dropped.

        No record to come is of a time before `passed_ns`. `lost`: these are said of jobs that were lost.
        """
        counters["results"] += len(results)
        tallies = Tallies()
        self._answers.begin()
        known = [result for result in results if self._is_known(result)]
        counters["results_dropped"] += len(results) - len(known)
        objects = transaction.objects({result.fid for result in known})
        pending = transaction.pending([(result.fid, result.extractor) for result in known])
        linked = transaction.linked({result.fid for result in known if result.status == "gone"})
        taken = _Taken(now_ns)
        asked = []
        taken.released = _released(transaction, objects.values())
        for result in known:
            work = (result.fid, result.extractor)
            row = objects.get(result.fid)
            before = taken.rows.get(work, pending.get(work))
            in_time = lost or asking.in_time(before, result)
            if row is None or result.generation > row.generation or not in_time:
                # The object was removed meanwhile, the result is of an index before this one, or nobody asked.
                counters["results_dropped"] += 1
                if row is None:
                    taken.rows[work] = None
                continue
            asked.append(result)
            status, after = self._take(transaction, result, row, before, taken, counters)
            if status == "gone" and result.fid in linked:
                after = self._again(result, before, now_ns)
            elif status == "gone" and after is None and result.extractor == STAT:
                taken.nameless.add(result.fid)
            if result.elsewhere or (result.fid in linked and _in_vain(result, before, after)):
                taken.doubted.add(result.fid)
            counters[f"results_{status}"] += 1
            tallies.add(result.extractor, status, result.provenance)
            if after is not before:
                taken.rows[work] = after
        for fid, _ in transaction.documents(taken.nameless):
            before = pending.get((fid, STAT))
            since_ns = before.gone_ns if before is not None and before.gone_ns else now_ns
            if since_ns > passed_ns:
                taken.nameless.discard(fid)
                taken.rows[fid, STAT] = _kept(before, since_ns, now_ns)
        transaction.put_pending(row for row in taken.rows.values() if row is not None)
        transaction.remove_pending(work for work, row in taken.rows.items() if row is None)
        counters["removed"] += transaction.remove_objects(taken.nameless)
        self._answers.write(transaction, taken.doubted - taken.nameless, now_ns, counters)
        self._roster.judge(transaction, asked, now_ns)
        self._wishes.ask(transaction, [each for each in taken.questions if each.row.fid not in taken.nameless])
        counters.update(tallies.counters())

    def lost(self, transaction: Transaction, rows: Sequence[PendingRow], now_ns: int) -> None:
        """Take rows whose job was lost as failed attempts, so that no file can end workers for ever."""
        results = [
            Result(
                fid=row.fid,
                extractor=row.extractor,
                serial=self._roster.states[row.extractor].serial,
                generation=row.generation,
                status="failed",
                error="the worker was lost while it had this file",
            )
            for row in rows
        ]
        self.take(transaction, Counter(), results=results, now_ns=now_ns, passed_ns=0, lost=True)

    def _is_known(self, result: Result) -> bool:
        known = (
            result.extractor in self._roster.states
            and 0 <= result.generation <= _LATEST
            and 0 <= result.serial <= self._roster.states[result.extractor].serial
        )
        if not known:
            log.error(
                "a result of extractor %r, serial %d, for %s is none that this dispatcher asked for; it is dropped",
                result.extractor, result.serial, result.fid, extra={"action": "drop"},
            )  # fmt: skip
        return known

    def _take(  # noqa: PLR0917 - all that one result is about
        self,
        transaction: Transaction,
        result: Result,
        row: ObjectRow,
        before: PendingRow | None,
        taken: _Taken,
        counters: Counter[str],
    ) -> tuple[str, PendingRow | None]:
        """Write one result; return how it counts and what is left of its pending row."""
        if result.status == "ok":
            if result.extractor in ASKS:
                try:
                    return self._answers.take(transaction, result, row, before, taken.now_ns, counters)
                except ConfigError as exc:
                    error = str(exc)
            else:
                error = self._write(transaction, result, row, taken)
            if not error:
                return "ok", self._left(result, before, taken.now_ns)
            result = msgspec.structs.replace(result, status="failed", error=error)
        if result.status in {"gone", "released"}:
            return result.status, self._left(result, before, taken.now_ns)
        after = self._again(result, before, taken.now_ns)
        if after is None and before is not None:
            transaction.put_failure(row, result, before.attempts + 1)
            self._answers.gave_up(before, result.error)
        return "failed", after

    def _write(self, transaction: Transaction, result: Result, row: ObjectRow, taken: _Taken) -> str:
        """Write a good result; return what is wrong with it, or nothing."""
        if result.extractor != STAT:
            transaction.put_document(row, result)
            return ""
        try:
            facts = converted(result.document, Facts)
        except msgspec.ValidationError as exc:
            return f"these are no facts of a file: {exc}"
        if transaction.put_facts(row, result.generation, facts):
            restored = row.fid in taken.released and not facts.released
            question = self._wishes.facts_came(row, result.generation, facts, taken.now_ns, restored=restored)
            if question is not None:
                taken.questions.append(question)
        return ""

    def _left(self, result: Result, before: PendingRow | None, now_ns: int) -> PendingRow | None:
        if before is None:
            return None
        settle_ns = self._wishes.settle_ns(before.extractor, before.rule)
        outdated = result.serial < self._roster.states[result.extractor].serial
        return finished(before, -1 if outdated else result.generation, now_ns, settle_ns)

    def _again(self, result: Result, before: PendingRow | None, now_ns: int) -> PendingRow | None:
        """Return what is left after an attempt in vain; a row that no job holds has been counted already."""
        if before is None or before.job is None:
            return before
        if result.generation < before.generation:
            return self._left(result, before, now_ns)
        if self._roster.excuses(result):
            return excused(before, now_ns, self._retry_ns)
        return failed(before, now_ns, self._retry_ns, self._tries)


def _released(transaction: Transaction, rows: Iterable[ObjectRow]) -> set[FID]:
    """Return which objects HSM had released when `stat` saw them last; those with newer content do not matter."""
    seen = [row.fid for row in rows if row.known and row.generation > row.content]
    return {fid for fid, (_, facts) in transaction.facts(seen).items() if facts.released} if seen else set()


def _kept(row: PendingRow | None, since_ns: int, now_ns: int) -> PendingRow | None:
    """Return the row of an object that is gone, to be looked at again when it has been so for twice as long."""
    if row is None:
        return None  # a result that came twice; the row that it had is due anyway, or the sweeper finds the object
    wait_ns = min(GONE_WAIT_NS + now_ns - since_ns, LONGEST_RETRY_NS)
    return found_gone(row, since_ns, now_ns + wait_ns)


def _in_vain(result: Result, before: PendingRow | None, after: PendingRow | None) -> bool:
    """Whether an object was not found in the last of its tries."""
    return result.status == "gone" and before is not None and before.job is not None and after is None
