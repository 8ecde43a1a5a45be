"""An indexer that stands still (SIGSTOP) with locks: what waits for it goes on, whatever it was doing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from lustre_events.errors import IndexUnavailable
from lustre_events.index.postgresql.document_writer import PAUSE_SECONDS
from lustre_events.jobs.messages import Result
from lustre_events.node.redis_server import RedisServer
from lustre_events.streams import keys
from lustre_events.streams.connection import connect
from lustre_events.streams.results import RedisResults
from tests.support.index.written import jobs_for
from tests.support.model.dispatcher import Backlog, Rig, answers, csv_rig
from tests.support.need import need
from tests.support.records.builders import fid_of
from tests.support.servers.redis import start_redis
from tests.support.service.command import REPOSITORY, clean_environment
from tests.support.waiting import wait_for

LONG = 4 << 20
"""Far more bytes than the buffers of a socket have."""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    need("redis-server")
    with start_redis(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def rig(postgresql_index_url: str) -> Iterator[Rig]:
    made = csv_rig(postgresql_index_url, backlog=Backlog())
    yield made
    made.close()


def written(rig: Rig) -> list[Result]:
    """Let the dispatcher write a long document; return what the next job finds in the same file."""
    [job] = jobs_for(rig)
    with rig.writer.transaction() as transaction:
        row = transaction.objects([fid_of(1)])[fid_of(1)]
        before = Result(fid=fid_of(1), extractor="tabular", serial=1, generation=0, status="ok",
                        document={"long": "x" * LONG}, provenance={"job": job.id})  # fmt: skip
        transaction.put_documents([(row, before)])
    return answers(job)


@pytest.mark.parametrize("table", ["document", "object"])
def test_who_waits_for_a_stopped_indexer_goes_on(
    rig: Rig, redis: RedisServer, postgresql_index_url: str, table: str
) -> None:
    """It stops while the server answers, with a long row of `document` or a short one of `object`.

    Its session ends soon, so the dispatcher's next try succeeds; the indexer, once it goes on, does no harm.
    """
    results = written(rig)
    client = connect(redis.url, 5.0)
    RedisResults(client, keys.DOCUMENTS).put(results)
    with (
        psycopg.connect(postgresql_index_url) as holding,
        psycopg.connect(postgresql_index_url, autocommit=True) as looking,
    ):
        holding.execute(f"SELECT 1 FROM {table} FOR UPDATE")  # noqa: S608 - of ours
        indexer = start_indexer(redis.url, postgresql_index_url)
        try:
            wait_for(lambda: stopped_while_it_waits(looking, indexer.pid), 60)
            holding.rollback()
            wait_for(lambda: looking.execute(_STANDS).fetchone() == (1,), 60)
            tries = removed_after(rig)
        finally:
            indexer.send_signal(signal.SIGCONT)
            indexer.kill()
            indexer.wait(10)
    assert tries <= 2
    assert rig.select("SELECT count(*) FROM document") == [0]


def start_indexer(redis_url: str, index_url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "tests.support.service.mortal_indexer", redis_url, index_url, ""],
        cwd=REPOSITORY, env=clean_environment({"PYTHONPATH": str(REPOSITORY)}),
    )  # fmt: skip


_STANDS = """
SELECT count(DISTINCT pid) FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE relation = 'outcome'::regclass
   AND wait_event IN ('ClientWrite', 'ClientRead')
"""
_WAITS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


def stopped_while_it_waits(looking: psycopg.Connection[tuple[int, ...]], pid: int) -> bool:
    """Stop an indexer; let it go on unless it waits for the lock."""
    os.kill(pid, signal.SIGSTOP)
    if looking.execute(_WAITS).fetchone() == (1,):
        return True
    os.kill(pid, signal.SIGCONT)
    return False


def removed_after(rig: Rig) -> int:
    """Remove the object as the dispatcher does, and return how many tries that took."""
    for tries in range(1, 5):
        try:
            with rig.writer.transaction() as transaction:
                transaction.remove_objects([fid_of(1)])
        except IndexUnavailable:
            continue
        return tries
    pytest.fail(f"the object is locked for more than {4 * PAUSE_SECONDS} seconds")
