"""One extractor over a batch of files, from their FIDs to findings.

Each file is opened here; who the extractor runs as, which files share a run, and how fast files are handed out is
decided from what was opened. Files of two owners never share a run, whatever the job says: a parser that one's file
has broken must not see the other's.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from lustre_events.catalog import manifest as manifests
from lustre_events.catalog import own_extractors
from lustre_events.catalog.manifest import Manifest
from lustre_events.config.nearest import nearest
from lustre_events.errors import ExtractorError, UnknownExtractor
from lustre_events.jobs.messages import Job, JobItem
from workers.context import WorkerContext
from workers.contract import readable
from workers.files import OpenFile
from workers.rights import OwnerRefused
from workers.runs import GONE, RELEASED, RunOutcome

log = logging.getLogger(__name__)

RUN_FILES = 240
"""Most files in one container: with this many mounts a start still costs little (measured)."""

NOT_REGULAR = RunOutcome("failed", error="it is not a regular file, and extractors read only those")

Found = tuple[JobItem, RunOutcome, dict[str, Any]]
"""What became of an item, and what its document says of the run."""


def extract(job: Job, context: WorkerContext, begun: float) -> Iterator[Found]:
    """Yield what became of each of the job's items, in their order within a run's worth of them."""
    ends = begun + context.job_seconds
    for start in range(0, len(job.items), RUN_FILES):
        items = job.items[start : start + RUN_FILES]
        with contextlib.ExitStack() as stack:
            found: dict[int, tuple[RunOutcome, dict[str, Any]]] = {}
            by_owner: dict[int, dict[int, OpenFile]] = defaultdict(dict)
            for place, item in enumerate(items):
                opened = _open(item, context)
                if isinstance(opened, RunOutcome):
                    found[place] = (opened, {})
                else:
                    file = stack.enter_context(opened)
                    by_owner[file.uid][place] = file
            for uid, files in by_owner.items():
                findings, provenance = _run(job, context, uid, list(files.values()), ends)
                found |= {place: (one, provenance) for place, one in zip(files, findings, strict=True)}
        for place, item in enumerate(items):
            yield (item, *found[place])


LONGEST_PATH = 4095
"""PATH_MAX without the final NUL: the worker opens deeper files step by step, but no program could."""


def unopened(exc: OSError, context: WorkerContext) -> RunOutcome:
    """Return the finding of a file that this worker may not reach; a worker of a pool gives it back."""
    if context.seal is not None and isinstance(exc, PermissionError):
        return RunOutcome("failed", error="the workers of its pool may not read it", blame="worker")
    return RunOutcome("failed", error=f"it cannot be opened: {readable(exc.strerror)}")


def _open(item: JobItem, context: WorkerContext) -> OpenFile | RunOutcome:
    try:
        file = context.files.open(item)
    except OSError as exc:
        return unopened(exc, context)
    if file is None:
        return GONE
    if len(file.path) > LONGEST_PATH:
        with file:
            return RunOutcome(
                "failed", error=f"its path is longer than {LONGEST_PATH} bytes: no program can open it"
            )
    if file.regular and (item.recall or not file.released):
        return file
    with file:
        return RELEASED if file.regular else NOT_REGULAR


def _run(
    job: Job, context: WorkerContext, uid: int, files: Sequence[OpenFile], ends: float
) -> tuple[list[RunOutcome], dict[str, Any]]:
    """Run the extractor over files of one owner; a failure that is no file's fault is every file's finding."""
    begun = time.monotonic()
    provenance: dict[str, Any] = {}
    try:
        manifest = _manifest(job.extractor, context)
        image = context.runtime.provenance(manifest)
        provenance = {"version": manifest.version, **image}
        runtime = context.runtime
        if context.rights is not None:
            account = context.rights.account_for(manifest, image["image_digest"], uid)
            runtime = runtime.acting_as(account)
            provenance |= {"run_as": account.name} if account else {}
        if begun >= ends:
            late = RunOutcome("failed", error=f"no answer: the job's {context.job_seconds:g} s were used up")
            return [late] * len(files), provenance
        found = runtime.run(manifest, files, ends - begun)
        _keep_pace(manifest, files, begun, ends)
    except OwnerRefused as exc:
        found = [RunOutcome("failed", error=readable(exc))] * len(files)
    except ExtractorError as exc:
        log.warning("%s", exc, extra={"action": "extract", "job": job.id, "extractor": job.extractor})
        found = [RunOutcome("failed", error=readable(exc), blame="extractor")] * len(files)
    return found, provenance | {"duration_ms": round((time.monotonic() - begun) * 1000), "files": len(files)}


def _manifest(identity: str, context: WorkerContext) -> Manifest:
    """Return an extractor as it is now: its folder may have changed since this worker began.

    Raises:
        UnknownExtractor: it is not installed on this node.
        ManifestError: it is wrong.
    """
    if "/" in identity and context.user_extractors is not None:
        return own_extractors.load_user(context.user_extractors, identity)
    known = context.manifests.get(identity)
    if known is not None:
        return manifests.load(known.folder, known.owner, known.uid)
    for folder in context.extractors if manifests.NAME.match(identity) else ():
        if (folder / identity / manifests.FILE_NAME).is_file():  # added since this worker began
            return manifests.load(folder / identity)
    raise UnknownExtractor(
        f"no extractor {identity!r} is installed on {context.host}{nearest(identity, dict(context.manifests))}"
    )


def _keep_pace(manifest: Manifest, files: Sequence[OpenFile], begun: float, ends: float) -> None:
    """Wait until this job's share of `bytes_per_second` would have sufficed for all of its files.

    The dispatcher gives out at most `jobs` at once, so shares need no bookkeeping between nodes. An extractor
    that reads only the heads of its files waits longer than it must: what a program reads is not known, only what
    it got.
    """
    rate = manifest.limits.bytes_per_second
    if rate:
        share_seconds = sum(file.bytes_to_read for file in files) * manifest.limits.jobs / rate
        time.sleep(max(0.0, min(begun + share_seconds, ends) - time.monotonic()))
