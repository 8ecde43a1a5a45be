"""Pools: names that part them, jobs that are sealed for one of them, and files that are given back."""

from __future__ import annotations

import base64
import errno
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from lustre_events.actions.seal import Seal
from lustre_events.actions.sealed_jobs import HOLDS_SECONDS, JobExpired, PoolSeal
from lustre_events.config.settings import Settings, WorkerSettings
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import ConfigError
from lustre_events.jobs import pools
from lustre_events.jobs.messages import STAT, Job, JobItem, encode_job
from lustre_events.node.pool_files import rights
from lustre_events.sources.local_fid import fid_of_fd
from lustre_events.streams.memory import MemoryResults, MemoryStore
from tests.support.records.builders import fid_of
from tests.support.rows import each_row
from workers import jobs
from workers.context import CURRENT, WorkerContext
from workers.files import Files, OpenFile
from workers.runs import Runtime
from workers.wiring import for_builtin, seal_of

JOB = Job("pool-lab_1", "text", 1, 9, (JobItem(fid_of(1), 1, b"a"),))
LAB = PoolSeal("lab", Seal(b"l" * 32))
NOW = 5 * SECOND_NS


def test_a_job_tells_its_pool_and_no_other() -> None:
    """The id of a job tells the pool of its queue, and of a queue of the site none."""
    for queue, pool in {"pool-lab": "lab", "pool-a-b": "a-b", "default": "", "pool-": "", "pool-A": ""}.items():
        assert pools.pool_of(queue) == pool
        assert pools.pool_of_job(pools.new_job_id(queue)) == pool


@each_row("name", ["", "A", "a.b", "a*", "a:b", "-a", "a-", "a b", "a/b", "a\n", "ä", "a" * 33])
def test_what_is_no_name_of_a_pool_reaches_no_key(name: str) -> None:
    """A name stands in patterns of keys, names of files and logins: only what is plain in all of them is one."""
    assert not pools.is_name(name)
    assert pools.pool_of(f"pool-{name}") == ""


def test_the_login_of_a_pool_reaches_its_own_keys_only() -> None:
    """All patterns of keys and channels in a pool's rights begin with what is the pool's own."""
    words = rights("lab").replace("(", " ").replace(")", " ").split()
    assert [word for word in words if word[0] in "~&%" and not word[1:].startswith("le:pool:lab:")] == []
    assert not any("eval" in word or "script" in word for word in words if word.startswith("+"))


def test_a_sealed_job_is_opened_by_its_pool() -> None:
    """What the dispatcher seals for a pool is the same job there."""
    assert LAB.opened(LAB.sealed(JOB, NOW), NOW) == JOB


ELSEWHERE = {"pool": "lab", "until_ns": NOW + SECOND_NS, "job": encode_job(JOB)}
REFUSED: dict[str, Any] = {
    "not sealed": encode_job(JOB),
    "made up": {"sealed": base64.b64encode(b"x" * 100).decode()},
    "of another key": PoolSeal("lab", Seal(b"o" * 32)).sealed(JOB, NOW),
    "of another pool with the same key": PoolSeal("clinic", Seal(b"l" * 32)).sealed(JOB, NOW),
    "something else that the key has sealed": {"sealed": base64.b64encode(Seal(b"l" * 32).sealed(b"{}")).decode()},
    "the same words that the key has sealed for another end": {
        "sealed": base64.b64encode(Seal(b"l" * 32).sealed(msgspec.json.encode(ELSEWHERE))).decode()
    },
    "no text": {"sealed": 5},
    "no object": [1],
    "nothing": None,
}


@each_row("what", REFUSED)
def test_no_other_job_is_opened(what: str) -> None:
    """A job that was made up, changed, or taken from another pool is refused with a sentence."""
    with pytest.raises(ConfigError, match=r"pool lab|not for lab"):
        LAB.opened(REFUSED[what], NOW)


def test_no_byte_of_a_sealed_job_can_be_changed() -> None:
    """One other bit anywhere in it, and it is refused."""
    data = base64.b64decode(LAB.sealed(JOB, NOW)["sealed"])
    for place in range(0, len(data), 7):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(ConfigError, match="not sealed"):
            LAB.opened({"sealed": base64.b64encode(changed).decode()}, NOW)


def test_a_job_of_long_ago_is_not_run() -> None:
    """Behind its time a job is refused, and says what it was, so that its files are given back."""
    sealed = LAB.sealed(JOB, NOW)
    assert LAB.opened(sealed, NOW + HOLDS_SECONDS * SECOND_NS) == JOB
    with pytest.raises(JobExpired) as refused:
        LAB.opened(sealed, NOW + HOLDS_SECONDS * SECOND_NS + 1)
    assert refused.value.job == JOB


class Unreadable(Files):
    """Files that this worker may not open."""

    def open(self, item: JobItem) -> OpenFile | None:
        """Refuse."""
        raise PermissionError(errno.EACCES, "Permission denied", str(item.fid))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryStore]:
    """What a worker of the pool `lab` stores, which may read nothing."""
    store, files = MemoryStore(), Unreadable(os.fsencode(tmp_path), fid_of_fd)
    context = WorkerContext({}, cast("Runtime", None), files, MemoryResults(store), "here", 60, seal=LAB)
    token = CURRENT.set(context)
    yield store
    CURRENT.reset(token)


STAT_JOB = msgspec.structs.replace(JOB, extractor=STAT)


@pytest.mark.parametrize("age_seconds", [0, HOLDS_SECONDS + 60], ids=["not readable", "too old"])
def test_a_worker_of_a_pool_gives_back_what_it_cannot_have(store: MemoryStore, age_seconds: int) -> None:
    """A file that the pool may not read, or whose job has waited for too long, is nobody's failure."""
    jobs.run(LAB.sealed(STAT_JOB, time.time_ns() - age_seconds * SECOND_NS))
    ((_, (result,)),) = MemoryResults(store).read(10)
    assert (result.fid, result.status, result.blame) == (fid_of(1), "failed", "worker")
    assert result.provenance["job"] == STAT_JOB.id


def test_a_worker_of_a_pool_runs_nothing_that_is_not_sealed(store: MemoryStore) -> None:
    """A job of the right form without the seal ends with a sentence, and with no result."""
    with pytest.raises(ConfigError, match="not sealed"):
        jobs.run(encode_job(STAT_JOB))
    assert MemoryResults(store).read(10) == []


def test_a_worker_of_the_site_says_whose_fault_it_is_as_before(store: MemoryStore) -> None:
    """Without a pool, a file that cannot be opened has failed."""
    CURRENT.set(replace(CURRENT.get(), seal=None))
    jobs.run(encode_job(STAT_JOB))
    ((_, (result,)),) = MemoryResults(store).read(10)
    assert (result.status, result.blame) == ("failed", "file")


def test_a_node_of_a_pool_runs_no_worker_for_what_is_built_in() -> None:
    """Its login does not reach that queue; it is told so at the start."""
    with pytest.raises(ConfigError, match="start no worker with --instance builtin here"):
        for_builtin(Settings(worker=WorkerSettings(pool="lab")))


@each_row(
    ("own", "message"),
    [
        (WorkerSettings(pool="Lab*", pool_key="x"), "not a name of a pool"),
        (WorkerSettings(pool="lab"), "needs its key"),
        (WorkerSettings(pool="lab", pool_key="x"), "needs RQ_KEY_PREFIX=le:pool:lab:rq"),
    ],
)
def test_a_worker_of_a_pool_is_whole_or_does_not_start(own: WorkerSettings, message: str) -> None:
    """Without a key, with another one's keys in Redis, or under no name, it never runs as a worker of the site."""
    with pytest.raises(ConfigError, match=message):
        seal_of(own)
