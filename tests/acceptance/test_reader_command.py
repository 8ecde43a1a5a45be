"""`lustre-events reader` on an MDT: the C stand-in for liblustreapi serves records to the real process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from lustre_events.changelog.record import boundaries, iter_records, scan
from lustre_events.node.redis_server import RedisServer
from lustre_events.streams.connection import connect
from lustre_events.streams.records import RedisRecordStreams
from tests.support.need import need
from tests.support.records import captures
from tests.support.servers import standin
from tests.support.service.command import REPOSITORY, clean_environment, lustre_events
from tests.support.waiting import came_true, wait_for

MDT = "lustre-MDT0000"
DEADLINE_SECONDS = 30


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the stand-in."""
    need("gcc")
    return standin.build(tmp_path_factory.mktemp("library"))


class Place:
    """A reader's surroundings: Redis, settings, an MDT with records and a changelog user."""

    def __init__(self, folder: Path, redis: RedisServer, library: Path, user: str = "cl1") -> None:
        self.records = folder / "records"
        self.state = folder / "positions"
        self.raw = captures.read("11-random-defmask", f"{MDT}.raw")
        self.records.write_bytes(self.raw)
        self.settings = folder / "settings.toml"
        self.settings.write_text(
            f'[redis]\nurl = "{redis.url}"\n[filesystem]\nlibrary = "{library}"\n'
            f'[reader]\nuser = "{user}"\nclear_interval_seconds = 0.2\nlease_seconds = 1.0\n'
        )
        self.environment = clean_environment(
            standin.environment({MDT: self.records}, users="cl1", state=self.state)
        )
        self.streams = RedisRecordStreams(connect(redis.url, 10))

    def start(self) -> subprocess.Popen[bytes]:
        """Start the reader as a process."""
        argv = [sys.executable, "-P", "-m", "lustre_events", "reader", "--mdt", MDT, "--config", str(self.settings)]
        return subprocess.Popen(argv, env=self.environment, stderr=subprocess.PIPE, cwd=REPOSITORY)

    def stored(self) -> list[int]:
        """Return the indexes of all records in the stream."""
        positions = {(MDT, epoch): 0 for epoch in self.streams.epochs(MDT)}
        found: list[int] = []
        while positions and (blocks := self.streams.read(positions, 1 << 24, 0.0)):
            for block in blocks:
                positions[block.mdt, block.epoch] = block.last_index
                found += [record.index for record in iter_records(block.data)]
        return found


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Give a private Redis."""
    with RedisServer(tmp_path / "redis", program=need("redis-server")) as server:
        yield server


def test_records_are_stored_then_cleared_and_sigterm_ends_it(
    tmp_path: Path, redis: RedisServer, library: Path
) -> None:
    """The process stores every record once, clears what is on Redis's disk, and ends cleanly within 10 s."""
    place = Place(tmp_path, redis, library)
    last = scan(place.raw).last_index

    process = place.start()
    cleared = came_true(lambda: standin.positions(place.state).get((MDT, "cl1")) == last)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)

    assert cleared, said.decode()
    assert process.returncode == 0, said.decode()
    assert time.monotonic() - began < 10
    assert place.stored() == [record.index for record in iter_records(place.raw)]


def at_least(place: Place, count: int) -> bool:
    """Whether this number of records is stored."""
    return len(place.stored()) >= count


def test_killed_at_any_time_it_stores_each_record_once(tmp_path: Path, redis: RedisServer, library: Path) -> None:
    """Killed again and again while records arrive: in the end each is in the stream, once and in order."""
    place = Place(tmp_path, redis, library)
    whole = place.raw
    expected = [record.index for record in iter_records(whole)]
    cuts = [cut(whole, part / 5) for part in range(1, 6)]
    place.records.write_bytes(b"")

    for begin, end in zip([0, *cuts], cuts, strict=False):
        with place.records.open("ab") as file:
            file.write(whole[begin:end])
        process = place.start()
        count = scan(whole[:end]).count
        wait_for(partial(at_least, place, count // 2))
        process.kill()
        process.communicate(timeout=20)
    process = place.start()
    finished = came_true(lambda: len(place.stored()) >= len(expected))
    process.terminate()
    process.communicate(timeout=20)

    assert finished
    assert place.stored() == expected


def cut(raw: bytes, part: float) -> int:
    """Return a record boundary at about `part` of `raw`."""
    return next((at for at, _ in boundaries(raw) if at >= part * len(raw)), len(raw))


def test_a_wrong_mdt_gives_one_sentence(tmp_path: Path, redis: RedisServer, library: Path) -> None:
    """An MDT that is not there is named, with what to do, exit code 4."""
    place = Place(tmp_path, redis, library)

    done = lustre_events(
        "reader", "--mdt", "lustre-MDT0009", "--config", place.settings, environment=place.environment
    )

    assert done.returncode == 4
    assert b"lustre-MDT0009" in done.stderr
    assert b"Traceback" not in done.stderr


def test_an_unregistered_user_is_said_and_reading_goes_on(
    tmp_path: Path, redis: RedisServer, library: Path
) -> None:
    """Clearing for a user that is not registered gives the command to run; no loss is marked."""
    place = Place(tmp_path, redis, library, user="cl7")

    process = place.start()
    stored = came_true(lambda: len(place.stored()) == scan(place.raw).count)
    lost = came_true(lambda: place.streams.reader_state(MDT).get("user_lost") == "1")
    process.terminate()
    _, said = process.communicate(timeout=20)

    assert stored
    assert lost
    assert f"changelog users --mdt {MDT}, register one".encode() in said
    assert b"cl7" in said
