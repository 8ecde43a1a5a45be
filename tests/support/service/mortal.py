"""A dispatcher or a worker that kills itself at a given moment.

`python -m tests.support.service.mortal ROLE MOMENT COUNT`

Everything about it is real but the adapters, which are the real ones with a moment before or after a call.
COUNT says at which time that the moment comes it is the last one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from lustre_events.catalog import manifest
from lustre_events.changelog.fid import ROOT_FID
from lustre_events.config.settings import Settings, load
from lustre_events.dispatcher import Dispatcher
from lustre_events.index.interface import Identity
from lustre_events.index.sqlite.writer import SqliteTransaction, SqliteWriter
from lustre_events.index.urls import sqlite_path
from lustre_events.jobs.messages import Job, Result
from lustre_events.jobs.queues import RqQueues
from lustre_events.node.wiring import load_rules
from lustre_events.streams.connection import connect
from lustre_events.streams.records import RedisRecordStreams
from lustre_events.streams.results import RedisResults
from workers.wiring import worker

ROLE, MOMENT, COUNT = sys.argv[1], sys.argv[2], int(sys.argv[3])
left = COUNT


def moment(name: str, *, parent_too: bool = False) -> None:
    """Die here, if it is the time."""
    global left  # noqa: PLW0603 - one per process
    if name == MOMENT:
        left -= 1
        if left == 0:
            if parent_too:
                os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)


class MortalStreams(RedisRecordStreams):
    """Record streams with a moment between the commit and the acknowledgement."""

    def acknowledge(self, mdt: str, epoch: int, position: int) -> None:
        """Acknowledge between two moments."""
        moment("records committed")
        super().acknowledge(mdt, epoch, position)
        moment("records acknowledged")


class MortalWriter(SqliteWriter):
    """An index with a moment before the commit."""

    @contextlib.contextmanager
    def transaction(self) -> Iterator[SqliteTransaction]:
        """Give a transaction that may not live to its commit."""
        with super().transaction() as transaction:
            yield transaction
            moment("before commit")


class MortalQueues(RqQueues):
    """Queues with a moment on both sides of a job's way in."""

    def enqueue(self, queue: str, jobs: Sequence[Job]) -> None:
        """Enqueue between two moments, if it is for records: the root directory is looked at before any comes."""
        of_records = any(item.fid != ROOT_FID for job in jobs for item in job.items)
        if of_records:
            moment("rows leased")
        super().enqueue(queue, jobs)
        if of_records:
            moment("jobs enqueued")


class MortalResults(RedisResults):
    """Results with a moment after they are stored, and one between the commit and the acknowledgement."""

    _of_files: frozenset[str] = frozenset()

    def read(self, limit: int) -> list[tuple[str, list[Result]]]:
        """Read, and keep which entries are of files: the root directory is looked at before any record comes."""
        entries = super().read(limit)
        self._of_files |= {name for name, results in entries if any(item.fid != ROOT_FID for item in results)}
        return entries

    def put(self, results: Sequence[Result]) -> None:
        """Store results between moments."""
        moment("before results")
        super().put(results)
        moment("results stored")
        moment("results stored, worker too", parent_too=True)

    def acknowledge(self, entry_ids: Sequence[str]) -> None:
        """Acknowledge between two moments, if it is for files."""
        if any(name in self._of_files for name in entry_ids):
            moment("results committed")
        super().acknowledge(entry_ids)


def run_dispatcher(settings: Settings) -> None:
    """Run a dispatcher as `services.dispatcher` makes it, until its moment."""
    client = connect(settings.redis.url, settings.redis.timeout_seconds)
    installed = manifest.load_all(manifest.folders(settings.worker.extractors))
    Dispatcher(
        MortalStreams(client),
        MortalResults(client),
        MortalWriter(sqlite_path(settings.index.url)),
        load_rules(settings),
        MortalQueues(client, settings.worker.job_timeout_seconds),
        [Identity(each.name, each.version, each.digest) for each in installed.values()],
        settings.dispatcher,
    ).run()


def run_worker(settings: Settings) -> None:
    """Run a worker as `python -P -m workers` does, until its moment."""
    made = worker(settings)
    results = MortalResults(connect(settings.redis.url, settings.redis.timeout_seconds))
    made._context = replace(made._context, results=results)
    made.work(logging_level="WARNING")


if __name__ == "__main__":
    {"dispatcher": run_dispatcher, "worker": run_worker}[ROLE](load(Path(os.environ["LUSTRE_EVENTS_CONFIG"])))
