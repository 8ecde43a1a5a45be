"""Parts of the service killed at random moments while files change: the index ends as the file system is.

And the rows of the crash table in docs/protocol.md that want an exact moment, each with a process that kills itself
there (tests/support/service/mortal.py), everything around it real.
The reader's own rows are in test_reader_crash.py.
"""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from lustre_events.index import open_search
from lustre_events.streams.connection import connect
from lustre_events.streams.records import RedisRecordStreams
from tests.support.need import need
from tests.support.servers.redis import KINDS, WITH_ROLES
from tests.support.service.images import write_extractor
from tests.support.service.service import PARTS, Churn, Service, catches_sigterm, kill
from tests.support.waiting import WAIT_SECONDS, wait_for

SEEDS = (1, 2)
TARGETS = ("reader", "dispatcher", "worker", "job", "worker and job", "redis", "redis")
MDT = "local-MDT0000"
END_SECONDS = 30
"""By then everything has ended that ends; what runs on does so for a minute and more."""


@pytest.fixture
def service(open_folder: Path) -> Iterator[Service]:
    """A service of which nothing runs yet."""
    need("redis-server")
    with Service(open_folder) as made:
        yield made


@contextmanager
def churning(service: Service, seed: int) -> Iterator[None]:
    """Change files all the time, some fifty times a second."""
    stop, failures = threading.Event(), list[BaseException]()
    churn = Churn(service.files, seed)

    def work() -> None:
        try:
            while not stop.wait(0.02):
                churn.step()
        except BaseException as exc:  # noqa: BLE001 - told below
            failures.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not failures, failures


def pause(seconds: float) -> None:
    """Let a random time pass: the moment of a kill is what these tests vary."""
    time.sleep(seconds)


def start_all(service: Service, **others: tuple[str, ...]) -> None:
    """Start Redis and every part; `others` are the words of those that are to be something else."""
    service.start_redis()
    for name in PARTS:
        service.start_part(name, *others.get(name, ()))


def jobs_of(service: Service, worker: int) -> list[int]:
    """Return the processes of jobs: children of the worker."""
    return service.find("workers", parent=worker)


def kill_part(service: Service, target: str) -> None:
    """Kill a part as the kernel does when memory ends."""
    if target == "redis":
        service.redis.kill()
        return
    name = "worker" if target in {"job", "worker and job"} else target
    process = service.parts[name]
    victims = [] if target == name else jobs_of(service, process.pid)
    if target != "job":
        process.kill()
        process.wait(END_SECONDS)
    for pid in victims:
        kill(pid)


def end(service: Service) -> None:
    """Stop every part with SIGTERM, and see that each ends well and nothing is left."""
    wait_for(lambda: all(catches_sigterm(process.pid) for process in service.parts.values()))
    for process in service.parts.values():
        process.terminate()
    codes = {name: process.wait(END_SECONDS) for name, process in service.parts.items()}
    assert codes == dict.fromkeys(service.parts, 0), service.last_words()
    service.redis.stop()
    wait_for(lambda: not service.left(), END_SECONDS, lambda: str(service.left()))


def position(service: Service) -> int:
    """Return the last index that the index's records reach, in all epochs together."""
    with open_search(service.index) as search:
        return max((position for _, _, position in search.stats().cursors), default=0)


def counters(service: Service) -> dict[str, int]:
    """Return the dispatcher's counters."""
    with open_search(service.index) as search:
        return dict(search.stats().counters)


@pytest.mark.parametrize(("seed", "kind"), list(enumerate(KINDS, 1)))
def test_killed_parts_lose_nothing(service: Service, seed: int, kind: str) -> None:
    """Whatever part is killed while files change, and started again: the index ends as the file system is."""
    chance = random.Random(seed)
    service.redis_kind = kind
    start_all(service)
    with churning(service, seed):
        for target in chance.sample(TARGETS, len(TARGETS)):
            pause(chance.uniform(0.2, 1.2))
            service.keep_running()
            kill_part(service, target)
            pause(chance.uniform(0.0, 0.3))
            if target == "redis":
                service.start_redis()
            service.keep_running()

    service.converge(f"seed {seed}", keep_running=True)
    end(service)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_killed_run_loses_nothing(service: Service, seed: int) -> None:
    """`run` brings back whatever of it is killed, Redis too; where it is killed itself, the next one goes on."""
    chance = random.Random(seed)
    run = service.run()
    wait_for(lambda: len(service.find("redis-server")) == 1 and service.find("workers"), failure=service.last_words)
    with churning(service, seed):
        for target in chance.sample(("reader", "dispatcher", "workers", "redis-server", "run", "all"), 6):
            pause(chance.uniform(0.5, 1.0))
            if target == "all":
                service.kill_all()
            else:
                kill(run.pid if target == "run" else next(iter(service.find(target, parent=run.pid)), 0) or run.pid)
            pause(chance.uniform(0.0, 0.2))
            if run.poll() is not None:
                run = service.run()

    service.converge(f"seed {seed}")
    run.send_signal(signal.SIGTERM)
    assert run.wait(END_SECONDS) == 0
    shutil.rmtree(service.temporary)  # staging folders of what was killed with its keeper
    service.temporary.mkdir()
    wait_for(lambda: not service.left(), END_SECONDS, lambda: str(service.left()))


DISPATCHER_MOMENTS = (
    ("before commit", 2),
    ("records committed", 1),
    ("records acknowledged", 1),
    ("rows leased", 1),
    ("jobs enqueued", 1),
    ("results committed", 1),
)


@pytest.mark.parametrize(("moment", "count"), DISPATCHER_MOMENTS)
def test_a_dispatcher_killed_at_a_moment_is_followed(service: Service, moment: str, count: int) -> None:
    """The next dispatcher goes on from the index: no record counts twice, no row is forgotten, nothing differs."""
    write_files(service)
    start_all(service, dispatcher=("tests.support.service.mortal", "dispatcher", moment, str(count)))

    assert service.parts["dispatcher"].wait(WAIT_SECONDS) == -signal.SIGKILL
    committed = position(service)
    assert (committed > 0) == (moment != "before commit")
    service.keep_running()

    service.converge(moment)
    assert counters(service)["records"] == position(service)
    with closing(connect(service.redis.url, 5.0)) as client:
        streams = RedisRecordStreams(client)
        wait_for(lambda: not streams.read({(MDT, streams.epochs(MDT)[-1]): 0}, 1 << 20, 0.0))
    end(service)


WORKER_MOMENTS = ("before results", "results stored", "results stored, worker too")


@pytest.mark.parametrize("moment", WORKER_MOMENTS)
def test_a_worker_killed_at_a_moment_is_followed(service: Service, moment: str) -> None:
    """Results that were stored by a job that never finished are stored again at worst, and nothing changes."""
    write_files(service)
    start_all(service, worker=("tests.support.service.mortal", "worker", moment, "1"))
    if moment != WORKER_MOMENTS[-1]:
        wait_for(lambda: "terminated unexpectedly" in service.last_words(), failure=service.last_words)
        service.parts["worker"].terminate()
    assert service.parts["worker"].wait(WAIT_SECONDS) in {0, -signal.SIGKILL}
    service.keep_running()

    service.converge(moment)
    end(service)


def test_a_lost_job_is_done_again_after_its_lease(service: Service) -> None:
    """Worker and job are killed together: soon after lease and heartbeat ended, another worker does the row."""
    write_extractor(service.extractors, "slow", SLOW)
    (service.config.parent / "rules.toml").write_text('[[rule]]\nextensions = ["csv"]\nextractor = "slow"\n')
    start_all(service)
    flag = service.files.parent / "flag"
    (service.files / "a.csv").write_text("a\n1\n")
    wait_for(lambda: service.find("extractor/program.py"), failure=service.last_words)
    worker = service.parts["worker"].pid
    (job,) = jobs_of(service, worker)
    kill_part(service, "worker and job")
    assert not flag.exists()
    wait_for(
        lambda: not service.find("extractor/program.py") and not list(service.temporary.iterdir()), END_SECONDS
    )
    service.keep_running()
    wait_for(lambda: catches_sigterm(service.parts["worker"].pid))
    began = time.monotonic()

    wait_for(lambda: service.find("extractor/program.py"), failure=service.last_words)
    assert time.monotonic() - began < 10
    assert job not in jobs_of(service, service.parts["worker"].pid)
    assert counters(service)["files_of_lost_jobs"] >= 1
    end(service)


SLOW = "import sys, time\nsys.stdin.read()\ntime.sleep(60)\n"


@pytest.mark.parametrize("kind", WITH_ROLES)
def test_all_of_redis_lost(open_folder: Path, kind: str) -> None:
    """With `clear_after = committed` the whole Redis may be lost: the source still has what the index has not."""
    with Service(open_folder, reader='clear_after = "committed"\n') as service:
        service.redis_kind = kind
        start_all(service)
        with churning(service, 3):
            for _ in range(2):
                pause(1.0)
                service.redis.kill()
                shutil.rmtree(service.redis.directory)
                service.start_redis()
                service.keep_running()

        service.converge("Redis lost", keep_running=True)
        end(service)


def test_the_index_file_survives_every_kill(service: Service) -> None:
    """The SQLite file of a dispatcher that was killed while it wrote is whole."""
    start_all(service)
    with churning(service, 4):
        for _ in range(3):
            pause(0.5)
            kill_part(service, "dispatcher")
            with closing(sqlite3.connect(service.index.removeprefix("sqlite:///"))) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            service.keep_running()

    service.converge("killed dispatchers")
    end(service)


def write_files(service: Service) -> None:
    """Write some tables, a link and folders."""
    churn = Churn(service.files, 0)
    for name in ("a.csv", "b.json", "c.md"):
        churn.write(service.files / name)
    for _ in range(20):
        churn.step()
