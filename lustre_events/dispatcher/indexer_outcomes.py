"""Documents that indexers have written: what is left to do about them, by the outcomes that they leave there.

An outcome is taken like results of workers (results.py), and removed in the same transaction. While results of a
pool, or of the site's workers, wait for indexers, or outcomes for the dispatcher, no job of theirs counts as lost:
what it found may be among them. At a busy site some wait at nearly every look, so this ends after `PATIENCE_NS` in
which indexers write; a document that is written later does not count, and costs an attempt. Where very many wait,
because no indexer runs or they do not keep up, the pool, or the site's workers, get no further jobs that would add
to them.

Whoever can write outcomes can say no more by them than that a document is written, or is none that the database
takes, for a job that holds its row: no facts, no names, and nothing against an extractor.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from lustre_events.dispatcher.results import ResultWriter, dropped
from lustre_events.dispatcher.transactions import MOST_RESULTS, RESULTS, BatchSize, Write, outcome_batches
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.times import SECOND_NS
from lustre_events.index.interface import DocumentOutcome, IndexWriter
from lustre_events.jobs.messages import BUILT_IN, TAGS, Result
from lustre_events.jobs.pools import pool_of, pool_of_job
from lustre_events.streams.interface import DocumentBacklog

log = logging.getLogger(__name__)

OUTCOMES = 50
"""Outcomes that one step takes: up to 5,000 results."""
PATIENCE_NS = 600 * SECOND_NS
"""A job whose lease has ended for this long is lost, whatever waits, if indexers have written all that time."""
PAUSE_NS = 60 * SECOND_NS
"""Indexers that have left no outcome for this long do not write; then what waits for them may be of any age."""
NO_ROOM = 1 << 40
MOST_WAITING = 1_000
"""Portions of a pool, or of the site's workers, that wait for indexers; beyond it these get no further jobs."""


class NoIndexers:
    """Where the dispatcher writes documents itself."""

    wanted = False

    def takes(self, queue: str) -> bool:  # noqa: ARG002 - see DocumentBacklog
        """Whether the results of a queue's jobs are for indexers: no."""
        return False

    def waiting(self) -> Mapping[str, int]:
        """Return nothing."""
        return {}


class WrittenDocuments:
    """Takes outcomes."""

    def __init__(
        self,
        index: IndexWriter,
        backlog: DocumentBacklog,
        results: ResultWriter,
        timer: Callable[[], float],
    ) -> None:
        self._index = index
        self._backlog = backlog
        self._results = results
        self._timer = timer
        self._size = BatchSize(RESULTS, MOST_RESULTS)
        self._look_ns = self._looked_ns = 0
        self._writing_since_ns = self._outcome_ns = 0
        self._waiting: Mapping[str, int] = {}
        self.found: Sequence[DocumentOutcome] = ()
        self._whole = True

    def look(self, now_ns: int) -> None:
        """Look what there is: in the order in which things move on. Raises StreamError, IndexUnavailable."""
        self.found = ()
        if not self._backlog.wanted and 0 <= self._look_ns - now_ns <= SECOND_NS:
            return  # some may have been here a moment ago
        self._look_ns = now_ns + SECOND_NS
        self._waiting = self._backlog.waiting()
        self.found = self._index.outcomes(OUTCOMES)
        self._whole = len(self.found) < OUTCOMES
        self._looked_ns = now_ns
        if self.found:
            if not 0 <= now_ns - self._outcome_ns < PAUSE_NS:
                self._writing_since_ns = now_ns
            self._outcome_ns = now_ns

    def drained_of(self, job_id: str, lease_end_ns: int) -> bool:
        """Whether, as of the last look, nothing that a job found was on its way but what that look has found.

        Or it is on its way for too long: counted from the end of the job's lease.
        """
        there = not self._whole or self._waiting.get(pool_of_job(job_id), 0)
        return not there or self._is_overdue(lease_end_ns)

    def _is_overdue(self, since_ns: int) -> bool:
        """Whether indexers have written all the time since then, and for long."""
        writing = 0 <= self._looked_ns - self._outcome_ns < PAUSE_NS
        return writing and self._looked_ns - max(since_ns, self._writing_since_ns) > PATIENCE_NS

    def held_up(self, waiting: Mapping[str, int]) -> Mapping[str, int]:
        """Return how many jobs wait in queues; one whose results find no indexer has no room for more."""
        return {queue: NO_ROOM if self._is_flooded(queue) else count for queue, count in waiting.items()}

    def _is_flooded(self, queue: str) -> bool:
        return self._waiting.get(pool_of(queue), 0) > MOST_WAITING and self._backlog.takes(queue)

    def published(self) -> Mapping[str, int]:
        """Return what `status` shows."""
        return {"documents_waiting": sum(self._waiting.values()), "outcomes_waiting": len(self.found)}

    def writes(self, passed_ns: int) -> Iterator[Write]:
        """Yield what takes the outcomes that were found; no record to come is of a time before `passed_ns`."""
        for outcomes in outcome_batches(self.found, lambda: self._size.size):
            yield partial(self._take, outcomes=outcomes, passed_ns=passed_ns)

    def _take(self, turn: Turn, *, outcomes: Sequence[DocumentOutcome], passed_ns: int) -> None:
        began = self._timer()
        results = [result for outcome in outcomes for result in outcome.results]
        good = [result for result in results if _counts(result)]
        if len(good) < len(results):
            log.error("%d results in the table of outcomes are none that an indexer writes; they are dropped: look "
                      "who may write there", len(results) - len(good), extra={"action": "drop"})  # fmt: skip
        self._results.take(turn, good, passed_ns, written=True)
        by_indexers, forged = sum(outcome.dropped for outcome in outcomes), len(results) - len(good)
        turn.counters["results"] += by_indexers + forged
        dropped(turn, "indexers", by_indexers)
        dropped(turn, "unasked", forged)
        turn.counters["results_damaged"] += sum(not each.results and not each.dropped for each in outcomes)
        turn.transaction.remove_outcomes([outcome.id for outcome in outcomes])
        self._size.took(len(results), self._timer() - began)


def _counts(result: Result) -> bool:
    """Whether an indexer may say this: that a document is written, or is none that the database takes."""
    written = result.status == "ok" or (result.status == "failed" and result.blame == "file")
    return written and result.extractor not in BUILT_IN and result.extractor != TAGS
