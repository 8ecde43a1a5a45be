"""What RQ calls: one extractor over a batch of files, its results put on their way to the index.

A job may run twice, or half and then again: results carry the generation that they belong to, and the index
takes each once. When `run` returns, the results are stored.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from lustre_events.actions.sealed_jobs import JobExpired
from lustre_events.errors import ConfigError, LustreEventsError, StreamFull
from lustre_events.jobs.messages import ACTION, HEAL, SCAN, STAT, STATUSES, Job, JobItem, Result, decode_job
from lustre_events.streams.interface import ResultSink
from workers import extraction, heal, scan
from workers.context import CURRENT, WorkerContext
from workers.contract import readable
from workers.file_tags import tags_of_fd
from workers.mime import mime_of_fd
from workers.runs import GONE, RunOutcome

log = logging.getLogger(__name__)

Maker = Callable[[Job, WorkerContext, float], Iterator[Result]]
"""Makes the results of a job, from the time when it began by the monotonic clock."""
PUT_RESULTS = 100
ROOM_SECONDS = 1.0
"""So often a job whose results Redis has no room for tries again."""


def run(payload: dict[str, Any]) -> None:
    """Run one job.

    Raises:
        ConfigError: it is not a job of ours.
        StreamUnavailable, StreamFull: the results could not be stored, the latter for as long as a job may take; RQ
            gives the job out again.
    """
    context = CURRENT.get()
    if isinstance(payload, dict) and ACTION in payload:
        _act(payload[ACTION], context)
        return
    job, maker = _opened(payload, context)
    begun = time.monotonic()
    count = dict.fromkeys(STATUSES, 0)
    results = context.documents if job.to_indexers and context.documents else context.results
    for batch in _batches(maker(job, context, begun)):
        _put(batch, results, context, begun + context.job_seconds)
        for result in batch:
            count[result.status] += 1
    log.info(
        "%s: %d files in %.3f s: %s",
        job.extractor, len(job.items), time.monotonic() - begun,
        ", ".join(f"{number} {status}" for status, number in count.items()),
        extra={
            "action": "job", "job": job.id, "extractor": job.extractor, **count,
            "cpu_ms": round(time.process_time() * 1000),  # of this process, which RQ has made for this job
        },
    )  # fmt: skip


def _opened(payload: Any, context: WorkerContext) -> tuple[Job, Maker]:
    """Return the job and who makes its results. Raises ConfigError: it is none, or not for this worker's pool."""
    if context.seal is None:
        job = decode_job(payload)
    else:
        try:
            job = context.seal.opened(payload, time.time_ns())
        except JobExpired as exc:
            return exc.job, _give_back
    return job, _MAKERS.get(job.extractor, _extract)


def _give_back(job: Job, context: WorkerContext, begun: float) -> Iterator[Result]:  # noqa: ARG001 - one signature
    finding = RunOutcome("failed", error="its job waited for a day, so it was given back", blame="worker")
    for item in job.items:
        yield _result(job, item, finding, _provenance(job, context))


def _act(sealed: object, context: WorkerContext) -> None:
    """Run an action for a file, where this worker is one for actions."""
    if context.actions is None or not isinstance(sealed, str):
        raise ConfigError("this worker runs no actions; find out who put one into its queue")
    context.actions.run(sealed)


def _put(batch: list[Result], results: ResultSink, context: WorkerContext, until: float) -> None:
    """Store results; where Redis is full, one by one, and wait for room: what was found is not to be found again.

    Raises:
        StreamUnavailable: Redis does not answer.
        StreamFull: there was no room until `until`.
    """
    try:
        results.put(batch)
    except StreamFull as exc:
        left = [*exc.left] or batch
        if len(left) == 1:
            _wait_for_room(left, results, context, until, str(exc))
            return
        half = len(left) // 2
        _put(left[:half], results, context, until)
        _put(left[half:], results, context, until)


def _wait_for_room(
    batch: list[Result], results: ResultSink, context: WorkerContext, until: float, reason: str
) -> None:
    log.warning("waiting with what was found: %s", reason, extra={"action": "wait"})
    while True:
        context.sleep(ROOM_SECONDS)
        try:
            return results.put(batch)
        except StreamFull:
            if time.monotonic() >= until:
                raise


def _batches(results: Iterator[Result]) -> Iterator[list[Result]]:
    """Yield results in portions to be stored: of a number of results, or of a number of names of directories."""
    batch: list[Result] = []
    names = 0
    for result in results:
        batch.append(result)
        names += len(result.document.get("entries", ())) if result.extractor == SCAN else 0
        if len(batch) == PUT_RESULTS or names >= scan.PORTION_NAMES:
            yield batch
            batch, names = [], 0
    if batch:
        yield batch


def _stat(job: Job, context: WorkerContext, begun: float) -> Iterator[Result]:  # noqa: ARG001 - one signature
    """Yield the facts of each file, and what its first bytes say that it is; no link is followed."""
    provenance = _provenance(job, context)
    for item in job.items:
        try:
            file = context.files.open(item)
        except OSError as exc:
            yield _result(job, item, extraction.unopened(exc, context), provenance)
            continue
        if file is None:
            yield _result(job, item, GONE, provenance)
            continue
        with file:
            facts = file.facts() | context.files.lustre_facts(file.fd)
            facts |= tags_of_fd(file.fd) if context.xattrs else {}
            if context.mime:
                facts["mime"] = mime_of_fd(file.fd, name=item.path, released=file.released)
            found = _result(job, item, RunOutcome("ok", document=facts), provenance)
            yield msgspec.structs.replace(found, elsewhere=True) if file.elsewhere else found


def _heal(job: Job, context: WorkerContext, begun: float) -> Iterator[Result]:  # noqa: ARG001 - as above
    provenance = _provenance(job, context)
    for item in job.items:
        try:
            finding = RunOutcome("ok", document=heal.names(item.fid, context.files))
        except (OSError, LustreEventsError) as exc:
            finding = RunOutcome("failed", error=f"its names cannot be found: {readable(exc)}")
        yield _result(job, item, finding, provenance)


def _scan(job: Job, context: WorkerContext, begun: float) -> Iterator[Result]:
    provenance = _provenance(job, context)
    until = begun + context.job_seconds
    for item in job.items:
        for document in scan.listing(item, context.files, until, mime=context.mime, tags=context.xattrs):
            finding = GONE if document is None else RunOutcome("ok", document=document)
            yield _result(job, item, finding, provenance)


def _extract(job: Job, context: WorkerContext, begun: float) -> Iterator[Result]:
    provenance = _provenance(job, context)
    for item, finding, more in extraction.extract(job, context, begun):
        yield _result(job, item, finding, provenance | more)


def _provenance(job: Job, context: WorkerContext) -> dict[str, Any]:
    return {"extractor": job.extractor, "job": job.id, "host": context.host, "time_ns": time.time_ns()}


def _result(job: Job, item: JobItem, finding: RunOutcome, provenance: dict[str, Any]) -> Result:
    return Result(
        fid=item.fid,
        extractor=job.extractor,
        serial=job.serial,
        generation=item.generation,
        status=finding.status,
        document=finding.document,
        provenance=provenance | (item.cause.provenance() if item.cause else {}),
        error=finding.error,
        stderr=finding.stderr,
        blame=finding.blame,
        final=finding.final,
    )


_MAKERS: dict[str, Maker] = {STAT: _stat, HEAL: _heal, SCAN: _scan}
"""What is built in; everything else runs in a container."""
