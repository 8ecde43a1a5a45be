"""The reader's rows of the crash table in docs/protocol.md, on a real Redis and real records, each killed there."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from lustre_events.changelog.record import scan
from lustre_events.config.settings import ReaderSettings
from lustre_events.node.redis_server import RedisServer
from lustre_events.reader import Reader
from lustre_events.streams.connection import connect
from lustre_events.streams.interface import Tail
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.records import RedisRecordStreams
from tests.support.model.fakes import MDT, block
from tests.support.records.builders import capture
from tests.support.servers.redis import KINDS, login, start_kind
from tests.support.servers.slow_disk import slow_disk, synced_bytes
from tests.support.service.reader_driver import FileSource, start
from tests.support.service.stored import stored

__all__ = ["slow_disk"]

MANY = "09-mdtest-defmask/lustre-MDT0001.raw"
FEW = "02-deeprename-allmask/lustre-MDT0000.raw"
LIMIT_SECONDS = 60


@pytest.fixture(scope="module")
def many() -> bytes:
    """Thousands of records of a real MDT."""
    return capture(MANY)


def finish(process: subprocess.Popen[bytes]) -> int:
    """Return the exit code of a driver that ends by itself."""
    return process.wait(LIMIT_SECONDS)


@pytest.mark.parametrize("moment", ["before append", "after append"])
@pytest.mark.parametrize("die_at", [1, 4])
def test_killed_around_an_append(redis_url: str, tmp_path: Path, moment: str, die_at: int) -> None:
    """Read but not stored, or stored but not cleared: the next reader goes on, every record is there once."""
    raw = tmp_path / "raw"
    raw.write_bytes(capture(FEW))
    options = {"block_bytes": 200, "lease_seconds": 0.5}

    dead = start(redis_url, MDT, raw, tmp_path / "clears", die=moment, die_at=die_at, **options)
    assert finish(dead) == -signal.SIGKILL
    before = stored(redis_url)
    assert len(before) < raw.stat().st_size
    assert raw.read_bytes().startswith(before)
    assert finish(start(redis_url, MDT, raw, tmp_path / "clears", **options)) == 0

    assert stored(redis_url) == raw.read_bytes()


@pytest.mark.parametrize("moment", ["before mark", "after mark"])
def test_killed_around_a_clear(redis_url: str, tmp_path: Path, moment: str) -> None:
    """Killed before the MDT was told: the next reader tells it, and never more than was stored."""
    raw, clears = tmp_path / "raw", tmp_path / "clears"
    raw.write_bytes(capture(FEW))
    last = scan(raw.read_bytes()).last_index
    options = {"user": "cl1", "clear_after": "committed", "clear_interval_seconds": 0.1, "lease_seconds": 0.5}
    assert finish(start(redis_url, MDT, raw, clears)) == 0
    with connect(redis_url, 5.0) as client:
        streams = RedisRecordStreams(client)
        streams.acknowledge(MDT, streams.epochs(MDT)[-1], last)

        assert finish(start(redis_url, MDT, raw, clears, die=moment, **options)) == -signal.SIGKILL
        assert not clears.exists()
        mark = RedisReaderStream(client, MDT).mark()
        assert mark == (last if moment == "after mark" else 0)
        assert finish(start(redis_url, MDT, raw, clears, **options)) == 0

    assert clears.read_text().split() == [str(last)]


def test_killed_at_random_moments(redis_url: str, tmp_path: Path, many: bytes) -> None:
    """However often and whenever a reader is killed, the stream holds each record exactly once, in order."""
    raw = tmp_path / "raw"
    raw.write_bytes(many)
    chance, deaths = random.Random(2), 0
    while True:
        driver = start(redis_url, MDT, raw, tmp_path / "clears", block_bytes=300, lease_seconds=0.2)
        try:
            assert driver.wait(chance.uniform(0.25, 0.7)) == 0
            break
        except subprocess.TimeoutExpired:
            driver.kill()
            driver.wait(LIMIT_SECONDS)
            deaths += 1
            assert many.startswith(stored(redis_url))
            if deaths == 8:
                assert finish(start(redis_url, MDT, raw, tmp_path / "clears", lease_seconds=0.2)) == 0
                break

    assert deaths > 0
    assert stored(redis_url) == many


def test_a_paused_reader_writes_nothing(redis_url: str, tmp_path: Path, many: bytes) -> None:
    """A reader stopped past its lease is replaced, and when it goes on it stores nothing a second time."""
    raw = tmp_path / "raw"
    raw.write_bytes(many)
    paused = start(redis_url, MDT, raw, tmp_path / "clears", block_bytes=1000, lease_seconds=0.3)
    deadline = time.monotonic() + LIMIT_SECONDS
    while not stored(redis_url):
        assert time.monotonic() < deadline
    paused.send_signal(signal.SIGSTOP)
    begun = len(stored(redis_url))
    assert 0 < begun < len(many)

    assert finish(start(redis_url, MDT, raw, tmp_path / "clears", lease_seconds=0.3)) == 0
    assert stored(redis_url) == many
    paused.send_signal(signal.SIGCONT)
    assert finish(paused) == 0

    assert stored(redis_url) == many


def test_sigterm_ends_a_reader(redis_server: RedisServer, tmp_path: Path) -> None:
    """SIGTERM ends a reader at once, with exit code 0 and its lease free, even while it waits to clear."""
    raw = tmp_path / "raw"
    raw.write_bytes(capture(FEW))
    with connect(redis_server.url, 5.0) as client:
        reader = start(redis_server.url, MDT, raw, tmp_path / "clears", user="cl1", clear_after="committed")
        deadline = time.monotonic() + LIMIT_SECONDS
        while stored(redis_server.url) != raw.read_bytes():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        reader.terminate()

        assert reader.wait(20) == 0
        assert client.get(f"le:reader:lease:{MDT}") is None
        state = RedisRecordStreams(client).reader_state(MDT)
        assert state["records_stored"] == state["records_read"] == str(scan(raw.read_bytes()).count)


class Running:
    """A reader in a thread, over a recording that can be held back."""

    def __init__(self, url: str, raw: bytes, **settings: object) -> None:
        self.source = FileSource(MDT, raw)
        self.reader = Reader(
            self.source,
            RedisReaderStream(connect(url, 5.0), MDT, codec="raw"),
            ReaderSettings(linger_ms=0, **settings),  # type: ignore[arg-type]
        )
        self.thread = threading.Thread(target=self.reader.run)
        self.thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.reader.stop()
        self.thread.join(LIMIT_SECONDS)
        self.reader._stream._client.close()  # type: ignore[attr-defined]
        assert not self.thread.is_alive()


@pytest.mark.parametrize("kind", KINDS)
def test_redis_killed_while_reading(tmp_path: Path, many: bytes, kind: str) -> None:
    """Redis is killed and started again, several times: the reader goes on, nothing twice, nothing missing."""
    with (
        start_kind(tmp_path / "redis", kind) as server,
        Running(login(server, "reader"), many, block_bytes=1000) as running,
    ):
        for share in (0.1, 0.3, 0.5):
            deadline = time.monotonic() + LIMIT_SECONDS
            while len(stored(server.url)) < share * len(many):
                assert time.monotonic() < deadline
            server.kill()
            server.start()
        running.thread.join(LIMIT_SECONDS)

        assert not running.thread.is_alive()
        assert stored(server.url) == many


def test_a_full_redis_pushes_back(redis_server: RedisServer, many: bytes) -> None:
    """While Redis is full the reader waits and says so; as the dispatcher commits, everything comes through."""
    with connect(redis_server.url, 5.0) as client:
        streams = RedisRecordStreams(client)
        client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + len(many) // 3)
        with Running(redis_server.url, many, block_bytes=16384, lease_seconds=3.0) as running:
            deadline = time.monotonic() + LIMIT_SECONDS
            while "no memory left" not in streams.reader_state(MDT).get("waiting", ""):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert client.get(f"le:reader:lease:{MDT}")
            (epoch,) = streams.epochs(MDT)
            found, position = b"", 0
            while len(found) < len(many):
                assert time.monotonic() < deadline
                for each in streams.read({(MDT, epoch): position}, 1 << 18, 0.2):
                    found, position = found + each.data, each.last_index
                streams.acknowledge(MDT, epoch, position)
            running.thread.join(LIMIT_SECONDS)

        assert found == many
        assert streams.epochs(MDT) == [epoch]


@pytest.fixture(params=KINDS)
def server_on_slow_disk(
    request: pytest.FixtureRequest, tmp_path: Path, slow_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RedisServer]:
    """A server whose fsyncs take 0.7 s, and `synced` beside it."""
    monkeypatch.setenv("SLOW_DISK_US", "700000")
    monkeypatch.setenv("SLOW_DISK_LOG", str(tmp_path / "synced"))
    monkeypatch.setenv("LD_PRELOAD", str(slow_disk))
    with start_kind(tmp_path / "redis", request.param) as server:
        monkeypatch.delenv("LD_PRELOAD")
        yield server


def test_what_is_called_stored_survives_a_power_cut(server_on_slow_disk: RedisServer, tmp_path: Path) -> None:
    """Everything up to `stored()` is there after Redis is killed and its AOF cut at the size of the last fsync."""
    server = server_on_slow_disk
    (aof,) = (server.directory / "appendonlydir").glob("*.incr.aof")
    with connect(login(server, "reader"), 5.0) as client:
        reader = RedisReaderStream(client, MDT)
        reader.lease(60.0)
        tail, disk_has, safe = Tail(0, 0), 0, 0
        deadline = time.monotonic() + LIMIT_SECONDS
        while safe < 20:
            assert time.monotonic() < deadline
            tail = reader.append(block(1, tail.last_index + 1), tail)
            disk_has = synced_bytes(tmp_path / "synced", aof)
            safe = reader.stored()
            time.sleep(0.02)
        written = aof.stat().st_size
    server.kill()
    os.truncate(aof, disk_has)
    server.start()

    assert disk_has < written
    with connect(server.url, 5.0) as client:
        found = RedisReaderStream(client, MDT).tail()
    assert safe <= found.last_index < tail.last_index
