"""What a job needs, held by the worker that runs it: RQ gives a job's function its arguments and no more."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from lustre_events.actions.sealed_jobs import PoolSeal
from lustre_events.catalog.manifest import Manifest
from lustre_events.streams.interface import Results, ResultSink
from workers.action_jobs import ActionExecutor
from workers.files import Files
from workers.rights import Rights
from workers.runs import Runtime


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """Everything that jobs use. `job_seconds` bounds the extractor's part of one job.

    `results` is where what was found goes, `documents` where it goes if the job is for indexers; None: there, too.

    `mime`, `xattrs`: `stat` tells them.

    `rights` decide who an extractor runs as; None: the runtime's own account. `extractors` are the folders with the
    site's extractors, `user_extractors` the one with users' own: what comes there later is found by the job for it.

    `seal` opens the jobs of this worker's pool, and nothing else runs; None: it is a worker of the site. `actions`
    runs actions, where this worker serves their queue.
    """

    manifests: Mapping[str, Manifest]
    runtime: Runtime
    files: Files
    results: Results
    host: str
    job_seconds: float
    rights: Rights | None = None
    extractors: tuple[Path, ...] = ()
    user_extractors: Path | None = None
    mime: bool = True
    xattrs: bool = True
    actions: ActionExecutor | None = None
    sleep: Callable[[float], None] = time.sleep
    seal: PoolSeal | None = None
    documents: ResultSink | None = None


CURRENT: ContextVar[WorkerContext] = ContextVar("CURRENT")
"""Set by the worker before it works; the process that RQ forks for a job inherits it."""
