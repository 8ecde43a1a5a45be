"""What RQ calls: one extractor over a batch of files, its results put on their way to the index.

A job may run twice, or half and then again: results carry the generation that they belong to, and the index
takes each once. When `run` returns, the results are stored.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

from lustre_events.config import nearest
from lustre_events.errors import ExtractorError, UnknownExtractor
from lustre_events.manifest import Manifest
from lustre_events.work import STAT, Job, JobItem, Result, decode_job
from workers.context import CURRENT, WorkerContext
from workers.contract import readable
from workers.files import OpenFile
from workers.runs import GONE, Finding

log = logging.getLogger(__name__)

RUN_FILES = 240
"""Most files in one container: with so many mounts a start still costs little (measured), beyond nobody looked."""
PUT_RESULTS = 100


def run(payload: dict[str, Any]) -> None:
    """Run one job.

    Raises:
        ConfigError: it is no job of ours.
        StreamUnavailable, StreamFull: the results could not be stored; RQ gives the job out again.
    """
    context = CURRENT.get()
    job = decode_job(payload)
    begun = time.monotonic()
    count = {"ok": 0, "failed": 0, "gone": 0}
    results = _stat(job, context) if job.extractor == STAT else _extract(job, context, begun)
    while batch := list(itertools.islice(results, PUT_RESULTS)):
        context.results.put(batch)
        for result in batch:
            count[result.status] += 1
    log.info(
        "%s: %d files in %.3f s: %d ok, %d failed, %d gone",
        job.extractor, len(job.items), time.monotonic() - begun, count["ok"], count["failed"], count["gone"],
        extra={"action": "job", "job": job.id, "extractor": job.extractor, **count},
    )  # fmt: skip


def _stat(job: Job, context: WorkerContext) -> Iterator[Result]:
    """Yield the facts of each file: by lstat, so nothing is opened for reading and no link is followed."""
    provenance = _provenance(job, context)
    for item in job.items:
        try:
            file = context.files.open(item)
        except OSError as exc:
            yield _result(job, item, _unopened(exc), provenance)
            continue
        if file is None:
            yield _result(job, item, GONE, provenance)
            continue
        with file:
            yield _result(job, item, Finding("ok", document=file.facts()), provenance)


def _extract(job: Job, context: WorkerContext, begun: float) -> Iterator[Result]:
    for start in range(0, len(job.items), RUN_FILES):
        items = job.items[start : start + RUN_FILES]
        with contextlib.ExitStack() as stack:
            findings: dict[int, Finding] = {}
            files: dict[int, OpenFile] = {}
            for place, item in enumerate(items):
                opened = _open(item, context)
                if isinstance(opened, Finding):
                    findings[place] = opened
                else:
                    files[place] = stack.enter_context(opened)
            left = context.job_seconds - (time.monotonic() - begun)
            found, provenance = _run(job, context, list(files.values()), left)
            findings.update(zip(files, found, strict=True))
        for place, item in enumerate(items):
            yield _result(job, item, findings[place], provenance)


def _open(item: JobItem, context: WorkerContext) -> OpenFile | Finding:
    try:
        file = context.files.open(item)
    except OSError as exc:
        return _unopened(exc)
    if file is None:
        return GONE
    if not file.regular:
        with file:
            return Finding("failed", error="it is no regular file, and extractors read only those")
    return file


def _run(
    job: Job, context: WorkerContext, files: Sequence[OpenFile], seconds: float
) -> tuple[list[Finding], dict[str, Any]]:
    """Run the extractor; a failure that is nobody's file's fault is every file's finding."""
    begun = time.monotonic()
    provenance = _provenance(job, context)
    try:
        manifest = _manifest(job.extractor, context)
        provenance |= {"version": manifest.version, **context.runtime.provenance(manifest)}
        if seconds <= 0:
            late = Finding("failed", error=f"no answer: the job's {context.job_seconds:g} s were used up")
            return [late] * len(files), provenance
        found = context.runtime.run(manifest, files, seconds) if files else []
    except ExtractorError as exc:
        log.warning("%s", exc, extra={"action": "extract", "job": job.id, "extractor": job.extractor})
        found = [Finding("failed", error=readable(exc))] * len(files)
    return found, provenance | {"duration_ms": round((time.monotonic() - begun) * 1000), "files": len(files)}


def _manifest(name: str, context: WorkerContext) -> Manifest:
    manifest = context.manifests.get(name)
    if manifest is None:
        raise UnknownExtractor(
            f"no extractor {name!r} is installed on {context.host}{nearest(name, dict(context.manifests))}"
        )
    return manifest


def _provenance(job: Job, context: WorkerContext) -> dict[str, Any]:
    return {"extractor": job.extractor, "job": job.id, "host": context.host, "time_ns": time.time_ns()}


def _unopened(exc: OSError) -> Finding:
    return Finding("failed", error=f"it cannot be opened: {readable(exc.strerror)}")


def _result(job: Job, item: JobItem, finding: Finding, provenance: dict[str, Any]) -> Result:
    return Result(
        fid=item.fid,
        extractor=job.extractor,
        serial=job.serial,
        generation=item.generation,
        status=finding.status,
        document=finding.document,
        provenance=provenance,
        error=finding.error,
        stderr=finding.stderr,
    )
