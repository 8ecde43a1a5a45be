"""A job's results on their way into a Redis that has no room: they wait, and none is lost or found twice."""

from __future__ import annotations

import os
import tracemalloc
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest
import redis

from lustre_events.errors import StreamFull
from lustre_events.jobs.messages import STAT, Job, JobItem, Result, encode_job
from lustre_events.sources.local_fid import fid_of_fd, fid_of_path
from lustre_events.streams.memory import MemoryResults, MemoryStore
from workers import jobs
from workers.context import CURRENT, WorkerContext
from workers.files import Files
from workers.runs import Runtime
from workers.worker import WorkerJob


@pytest.mark.long
def test_a_job_that_unpacks_to_gigabytes_is_refused() -> None:
    """What is packed in Redis may stand for any size: a worker unpacks as much as a job of ours can have."""
    packing = zlib.compressobj()
    bomb = b"".join(packing.compress(bytes(16 << 20)) for _ in range(16)) + packing.flush()
    job = WorkerJob("j", connection=redis.Redis())

    tracemalloc.start()
    try:
        job.restore({b"data": bomb, b"exc_info": bomb, b"created_at": b"2026-01-01T00:00:00.000000Z"})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert "not JSON" in job.refusal()
    assert peak < 400 << 20


class Tight(MemoryResults):
    """Takes few results at once, of very many the first one, and none while the store is full."""

    def put(self, results: Sequence[Result]) -> None:
        """Store results."""
        full = StreamFull("no room for this many")
        if len(results) > 4:
            super().put(results[:1])
            full.left = results[1:]
        if len(results) > 2:
            raise full
        super().put(results)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job of seven files."""
    items = []
    for number in range(7):
        (tmp_path / f"{number}").write_text("x")
        items.append(JobItem(fid_of_path(os.fsencode(tmp_path / f"{number}")), 1, b"%d" % number))
    return Job("j", STAT, 1, -1, tuple(items))


@pytest.fixture
def waits(store: MemoryStore, tmp_path: Path) -> Iterator[list[float]]:
    """The waits of the job that runs; with the third one there is room."""
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        store.full = len(waits) < 3

    context = WorkerContext(
        {}, cast("Runtime", None), Files(os.fsencode(tmp_path), fid_of_fd), Tight(store), "here", 60, sleep=sleep
    )
    token = CURRENT.set(context)
    yield waits
    CURRENT.reset(token)


def test_what_was_found_waits_for_room(store: MemoryStore, job: Job, waits: list[float]) -> None:
    """While Redis is full a job waits with its results and stores each once, in portions that find room."""
    store.full = True
    jobs.run(encode_job(job))

    stored = [result.fid for _, results in MemoryResults(store).read(100) for result in results]
    assert sorted(stored) == sorted(item.fid for item in job.items)
    assert len(waits) == 3


@pytest.mark.usefixtures("waits")
def test_what_has_found_room_is_not_stored_again(store: MemoryStore, job: Job) -> None:
    """Where there was room for a part of what was found, only the rest is tried again."""
    jobs.run(encode_job(job))

    stored = [result.fid for _, results in MemoryResults(store).read(100) for result in results]
    assert sorted(stored) == sorted(item.fid for item in job.items)


def test_it_waits_no_longer_than_a_job_may_take(
    store: MemoryStore, job: Job, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Redis that stays full fails the job in the end: its files come again, elsewhere or later."""
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr("workers.jobs.time.monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(type(store), "check_room", lambda _: (_ for _ in ()).throw(StreamFull("still full")))
    with pytest.raises(StreamFull, match="still full"):
        jobs.run(encode_job(job))
    assert len(waits) < 10
