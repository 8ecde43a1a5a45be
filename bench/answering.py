"""Queues whose jobs are answered at once, with made-up facts, documents and listings: workers that cost nothing."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence

import msgspec

from bench.synthetic import FILES_OF_JOB, document, facts
from lustre_events.changelog.fid import FID
from lustre_events.jobs.messages import SCAN, STAT, Job, JobItem, Result
from lustre_events.streams.results import RedisResults

LISTED = 1_000
"""Names in each listing, as a worker's portions have."""
FOUND = 0x200000406
_PUT = 100
_FACTS = msgspec.to_builtins(facts(1))


class Answering:
    """See `dispatcher.JobQueue`.

    `answered` counts files; `cpu` and `seconds` are the CPU time and the time (s) that answering took.
    """

    def __init__(self, results: RedisResults, documents: RedisResults | None = None) -> None:
        """Take where answers go, and where those for indexers do; None: there are none."""
        self._results = results
        self._documents = documents or results
        self.answered = 0
        self.cpu = 0.0
        self.seconds = 0.0

    def length(self, _queue: str) -> int:
        """Return that there is room."""
        return 0

    def still_waiting(self, _queue: str, _job_ids: Collection[str]) -> set[str]:
        """Return that all are taken."""
        return set()

    def enqueue(self, _queue: str, jobs: Sequence[Job]) -> None:
        """Answer every file."""
        began, cpu = time.perf_counter(), time.process_time()
        for job in jobs:
            results = [_result(job, item) for item in job.items]
            put = 1 if job.extractor == SCAN else _PUT
            where = self._documents if job.to_indexers else self._results
            for start in range(0, len(results), put):
                where.put(results[start : start + put])
            self.answered += len(results)
        self.cpu += time.process_time() - cpu
        self.seconds += time.perf_counter() - began

    def unfinished(self, _job_ids: Collection[str]) -> set[str]:
        """Return that all are done."""
        return set()

    def was_full(self, _queue: str, _since_ns: int) -> bool:
        """Return that it was not."""
        return False


def _result(job: Job, item: JobItem) -> Result:
    told = {"duration_ms": 400, "files": FILES_OF_JOB, "job": job.id}
    if job.extractor == SCAN:
        found = {"entries": list(_listed(item.fid))}
    else:
        found = _FACTS if job.extractor == STAT else document(item.fid.oid)
    return Result(fid=item.fid, extractor=job.extractor, serial=job.serial, generation=item.generation,
                  status="ok", document=found, provenance=told)  # fmt: skip


def _listed(directory: FID) -> Iterator[tuple[str, str, object]]:
    for number in range(LISTED):
        yield f"file_{number:08}.h5", str(FID(FOUND, directory.oid * LISTED + number)), _FACTS
