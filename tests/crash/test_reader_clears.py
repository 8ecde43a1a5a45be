"""The promise of `clear_after`, with a real reader process and a Redis that is killed again and again."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from lustre_events.config.settings import DispatcherSettings
from lustre_events.dispatcher import Dispatcher
from lustre_events.domain.rules.rules import Rules
from lustre_events.errors import LustreEventsError
from lustre_events.index.sqlite.writer import SqliteWriter
from lustre_events.node.redis_server import RedisServer
from lustre_events.repair.replay import NoJobs
from lustre_events.streams.connection import connect
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.records import RedisRecordStreams
from lustre_events.streams.results import RedisResults
from tests.support.model.fakes import MDT
from tests.support.records.builders import capture, create
from tests.support.records.builders import raw as records
from tests.support.servers.redis import KINDS, WITH_ROLES, login, start_kind
from tests.support.servers.slow_disk import slow_disk, synced_bytes
from tests.support.service.reader_driver import start
from tests.support.service.stored import stored
from tests.support.waiting import wait_for

__all__ = ["slow_disk"]

RAW = "09-mdtest-defmask/lustre-MDT0001.raw"
LIMIT_SECONDS = 60
READER = {"user": "cl1", "block_bytes": 16384, "clear_interval_seconds": 0.2, "lease_seconds": 2.0}


def cleared(clears: Path) -> list[int]:
    """Return the indexes that the MDT was told, in order."""
    return [int(line) for line in clears.read_text().split()] if clears.exists() else []


@pytest.mark.parametrize("kind", WITH_ROLES)
def test_stored_means_on_the_disk(
    tmp_path: Path, slow_disk: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Redis dies at random moments, and its AOF ends where the last fsync did: what was cleared is there."""
    monkeypatch.setenv("SLOW_DISK_US", "300000")
    monkeypatch.setenv("SLOW_DISK_LOG", str(tmp_path / "synced"))
    monkeypatch.setenv("LD_PRELOAD", str(slow_disk))
    raw, clears, chance = tmp_path / "raw", tmp_path / "clears", random.Random(3)
    raw.write_bytes(capture(RAW))
    with start_kind(tmp_path / "redis", kind) as server:
        with monkeypatch.context() as plain:
            plain.delenv("LD_PRELOAD")
            reader = start(login(server, "reader"), MDT, raw, clears, pace_ms=20, **READER)
        cuts, told = 0, []
        for _ in range(3):
            before = len(cleared(clears))
            deadline = time.monotonic() + LIMIT_SECONDS
            while len(cleared(clears)) == before and reader.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(chance.uniform(0.0, 0.2))
            time.sleep(chance.uniform(0.0, 0.5))
            cuts += power_cut(server, tmp_path / "synced")
            told = cleared(clears)
            with connect(server.url, 5.0) as client:
                assert RedisReaderStream(client, MDT).tail().last_index >= told[-1]

        assert reader.wait(LIMIT_SECONDS) == 0
        assert cuts > 0
        assert len(told) >= 2
        assert told == sorted(told)
        assert stored(server.url) == raw.read_bytes()
        with connect(server.url, 5.0) as client:
            assert RedisRecordStreams(client).continuity(MDT) == []


def power_cut(server: RedisServer, synced: Path) -> int:
    """Kill Redis, cut its AOF to what the disk had, start it; return how many bytes were lost."""
    server.kill()
    (aof,) = (server.directory / "appendonlydir").glob("*.incr.aof")
    written, disk_has = aof.stat().st_size, synced_bytes(synced, aof)
    os.truncate(aof, disk_has)
    server.start()
    return written - disk_has


def dispatch_slowly(dispatcher: Dispatcher, disturbed: threading.Event, ended: threading.Event) -> None:
    """Step now and then while Redis is disturbed, so that there is something uncommitted; then without pauses."""
    chance = random.Random(5)
    while not ended.wait(chance.uniform(0.0, 0.6 if disturbed.is_set() else 0.02)):
        try:
            dispatcher.step()
        except LustreEventsError as exc:
            assert exc.retryable  # noqa: PT017


def names(path: Path) -> list[tuple[bytes, bytes, bytes | None]]:
    """Return what the index says of every name."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT parent, name, fid FROM link ORDER BY parent, name").fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize(("how", "kind"), list(zip(("flushed", "disk lost", "disk lost"), KINDS, strict=True)))
def test_committed_means_in_the_index(tmp_path: Path, how: str, kind: str) -> None:
    """Redis forgets everything at random moments: what was cleared is in the index, and in the end all of it."""
    raw, clears, chance, last = tmp_path / "raw", tmp_path / "clears", random.Random(4), 12_000
    raw.write_bytes(records(*(create(fid=n, name=b"f%d" % n, index=n) for n in range(1, last + 1))))
    with start_kind(tmp_path / "redis", kind) as server:
        client = connect(login(server, "dispatcher"), 5.0)
        dispatcher = Dispatcher(
            RedisRecordStreams(client), RedisResults(client), SqliteWriter(tmp_path / "index.db"), Rules(),
            NoJobs(), [], DispatcherSettings(),
        )  # fmt: skip
        disturbed, ended = threading.Event(), threading.Event()
        disturbed.set()
        thread = threading.Thread(target=dispatch_slowly, args=(dispatcher, disturbed, ended))
        thread.start()
        reader = start(login(server, "reader"), MDT, raw, clears, pace_ms=8, clear_after="committed", **READER)
        wait_for(lambda: stored(server.url))
        for _ in range(5):
            time.sleep(chance.uniform(0.3, 1.2))
            if how == "flushed":
                with connect(server.url, 5.0) as other:
                    other.flushall()
            else:
                server.kill()
                shutil.rmtree(server.directory / "appendonlydir")
                server.start()
        assert reader.poll() is None, "it had read and cleared all before Redis forgot the last time"
        disturbed.clear()
        code = reader.wait(LIMIT_SECONDS)
        with connect(server.url, 5.0) as other:
            losses = RedisRecordStreams(other).continuity(MDT)
        ended.set()
        thread.join(LIMIT_SECONDS)
        client.close()

    assert code == 0
    assert cleared(clears)[-1] == last
    assert losses == []
    assert len(names(tmp_path / "index.db")) == last
