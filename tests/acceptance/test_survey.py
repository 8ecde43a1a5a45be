"""`lustre-events scan`, `verify` and `continuity reconcile`, as processes on a tree that nobody watched."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lustre_events.index import open_search
from lustre_events.streams import continuity
from lustre_events.streams.connection import connect
from lustre_events.streams.interface import Loss
from lustre_events.streams.records import RedisRecordStreams
from tests.support.need import need
from tests.support.service.command import lustre_events
from tests.support.service.service import Service
from tests.support.waiting import wait_for


@pytest.fixture
def service(open_folder: Path) -> Iterator[Service]:
    """Dispatcher and worker, and no reader: what changes has no record."""
    need("redis-server")
    with Service(open_folder, dispatcher="skew_seconds = 0.2\n", rules="") as made:
        made.start_redis()
        for name in ("dispatcher", "worker", "builtin"):
            made.start_part(name)
        yield made


def command(service: Service, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command with the service's settings."""
    return lustre_events(*words, environment={
        "LUSTRE_EVENTS_CONFIG": str(service.config), "LUSTRE_EVENTS_REDIS_URL": service.redis.url,
    })  # fmt: skip


def said(done: subprocess.CompletedProcess[bytes]) -> str:
    return f"{done.stdout.decode()}\n{done.stderr.decode()}"


def make_tree(top: Path) -> None:
    for number in range(30):
        folder = top / f"run{number % 3}" / f"part{number % 5}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.csv").write_text("a,b\n1,2\n")
    os.link(top / "run0" / "part0" / "0.csv", top / "run1" / "again.csv")
    far = 10_413_792_000  # 2300-01-01, later than ns since the epoch in 64 bits can say
    os.utime(top / "run0" / "part0" / "15.csv", (far, far))


def test_a_tree_is_scanned_verified_repaired_and_reconciled(service: Service) -> None:
    """The index of a tree without records becomes right, what is wrong is repaired, losses are made good."""
    top = service.files
    make_tree(top)

    done = command(service, "scan", str(top))
    assert done.returncode == 0, said(done) + service.last_words()
    assert done.stdout.decode() == f"{top}: 31 files in 19 directories\n"
    done = command(service, "verify", str(top))
    assert (done.returncode, done.stdout) == (0, b""), said(done)
    assert b"0 differences" in done.stderr
    done = command(service, "search", "mtime:>2262")
    assert done.stdout.splitlines() == [bytes(top / "run0" / "part0" / "15.csv")], said(done)

    (top / "run0" / "part0" / "0.csv").unlink()
    (top / "run2" / "new").mkdir()
    (top / "run2" / "new" / "deep.csv").write_text("a\n1\n")
    (top / "run1" / "again.csv").chmod(0o600)
    done = command(service, "verify", str(top), "--repair")
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 1, said(done)
    assert [line.split(" (")[0] for line in lines] == [
        "facts differ: run0/part0",
        "only in the index: run0/part0/0.csv",
        "facts differ: run1/again.csv",
        "facts differ: run2",
        "missing in the index: run2/new",
        "missing in the index: run2/new/deep.csv",
    ]
    done = command(service, "verify", str(top))
    assert done.returncode == 0, said(done)

    with connect(service.redis.url, 5) as client:
        client.sadd("le:stream:mdts", "local-MDT0000")
        continuity.lose(client, Loss("local-MDT0000", 1, 5, 9, time.time_ns(), "a test", accepted=False))
    (top / "run2" / "new" / "deep.csv").rename(top / "unseen.csv")
    done = command(service, "continuity", "reconcile", "--all", "--sample", "100%")
    assert done.returncode == 0, said(done)
    assert done.stdout.decode() == "local-MDT0000: losses recovered: 1\n"
    found = command(service, "search", "name:unseen.csv")
    assert b"unseen.csv" in found.stdout
    assert command(service, "continuity", "reconcile", "--all").stdout == b"nothing was lost\n"


def positions(service: Service) -> list[int]:
    """Return how far each epoch is in the index."""
    with open_search(service.index) as search:
        return [position for _, _, position in search.stats().cursors]


def stop(service: Service, name: str) -> None:
    """End a part as systemd does."""
    service.parts[name].terminate()
    service.parts[name].wait(20)


@pytest.mark.parametrize("index", ["older", "new"])
def test_an_index_behind_the_stream_is_reconciled(service: Service, tmp_path: Path, index: str) -> None:
    """A copy of the index put back, or none, behind a stream that was trimmed: said, and made good at once."""
    service.start_part("reader")
    (service.files / "kept.csv").write_text("a\n1\n")
    (service.files / "old.csv").write_text("a\n1\n")
    service.converge("before the copy")
    database = Path(service.index.removeprefix("sqlite:///"))
    stop(service, "dispatcher")
    shutil.copy(database, tmp_path / "copy.db")
    service.start_part("dispatcher")
    (service.files / "old.csv").rename(service.files / "new.csv")
    service.converge("after the rename")
    with connect(service.redis.url, 5) as client:
        (epoch,) = RedisRecordStreams(client).epochs("local-MDT0000")
        key = f"le:stream:local-MDT0000:{epoch}"
        wait_for(lambda: not client.xlen(key), failure=service.last_words)
    stop(service, "dispatcher")
    (reached,) = positions(service)
    for path in database.parent.glob(f"{database.name}*"):
        path.unlink()
    if index == "older":
        shutil.copy(tmp_path / "copy.db", database)
    service.start_part("dispatcher")

    done = command(service, "continuity", "reconcile", "--all", "--sample", "100%")
    assert done.returncode == 0, said(done) + service.last_words()
    assert done.stdout == b"local-MDT0000: losses recovered: 1\n"
    assert b"the index is behind the stream" in command(service, "continuity", "show").stdout
    assert positions(service) == [reached]
    found = command(service, "search", "name:*.csv")
    assert sorted(found.stdout.splitlines()) == [bytes(service.files / name) for name in ("kept.csv", "new.csv")], (
        said(found)
    )


def test_wrong_places_are_refused_with_a_sentence(service: Service, tmp_path: Path) -> None:
    """A directory that is not below the mount cannot be scanned or verified."""
    top = str(service.files)
    for words in (("scan", str(tmp_path)), ("verify", str(tmp_path)), ("verify", top, "--sample", "no")):
        done = command(service, *words)
        assert done.returncode == 2
        assert b"Traceback" not in done.stderr
