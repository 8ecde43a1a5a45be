"""`worker --until`: a worker on a lent node leaves by itself, in good time and with code 0."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from rq.serializers import JSONSerializer
from rq.worker import Worker as RqWorker

from lustre_events.changelog.fid import FID
from lustre_events.jobs.messages import STAT, Job, JobItem
from lustre_events.jobs.queues import RqQueues
from lustre_events.streams.results import RedisResults
from tests.support.need import need
from tests.support.servers.slurm import said, slurm
from tests.support.service.command import REPOSITORY, clean_environment, lustre_events
from tests.support.waiting import WAIT_SECONDS, wait_for
from workers.walltime import END_SECONDS

ITEM = JobItem(FID(1, 2, 3), 1, b"gone.csv")


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """An empty Redis."""
    with redis.Redis.from_url(redis_url) as made:
        yield made


def start(*words: str | Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a Python module, with its output in a file."""
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", *words],
            stdout=file,
            stderr=file,
            env=clean_environment({"PYTHONPATH": str(REPOSITORY)}),
        )


def settings(folder: Path, url: str, more: str = "") -> Path:
    """Write the settings of a worker that needs no container."""
    (folder / "files").mkdir(exist_ok=True)
    (folder / "none").mkdir(exist_ok=True)
    path = folder / "worker.toml"
    path.write_text(
        f'[filesystem]\nsource = "directory"\nmount = "{folder}/files"\n[redis]\nurl = "{url}"\n'
        f'[worker]\nextractors = ["{folder}/none"]\nunpack_images = false\n{more}'
    )
    return path


def test_a_worker_takes_jobs_until_it_is_too_late_for_one(
    tmp_path: Path, redis_url: str, client: redis.Redis
) -> None:
    """It works, stops taking jobs one job's room before the end, and leaves; too late it leaves them to others."""
    queues, results, log = RqQueues(client, 60), RedisResults(client), tmp_path / "log"
    path = settings(tmp_path, redis_url, "job_timeout_seconds = 4\n")
    queues.enqueue("default", [Job("job1", STAT, 1, -1, (ITEM,))])
    begun = time.time()
    late = start("lustre_events", "worker", "--config", path, "--until", f"{begun:.0f}", log=log)
    assert late.wait(WAIT_SECONDS) == 0
    assert queues.length("default") == 1

    start_seconds = time.time() - begun  # of this machine, as it is now
    until = time.time() + END_SECONDS + 7 + 2 * start_seconds
    process = start("lustre_events", "worker", "--config", path, "--until", f"{until:.0f}", log=log)
    wait_for(lambda: results.read(10), failure=log.read_text)
    assert process.wait(until - time.time() + WAIT_SECONDS) == 0, log.read_text()

    assert time.time() < until
    assert "leaving early" in log.read_text()
    assert RqWorker.all(connection=client, serializer=JSONSerializer) == []


def test_a_job_that_does_not_end_is_left_to_another_worker(
    tmp_path: Path, redis_url: str, client: redis.Redis
) -> None:
    """A batch that is still at work shortly before the end is ended; its job waits again; the exit code is 0."""
    queues, log = RqQueues(client, 60), tmp_path / "log"
    queues.enqueue("default", [Job("job1", STAT, 1, -1, (ITEM,))])
    process = start("tests.support.service.hanging_worker", redis_url, f"{END_SECONDS + 4}", "1", log=log)
    wait_for(lambda: "opening" in log.read_text(), failure=log.read_text)
    until = float(log.read_text().split()[1])

    assert process.wait(until - time.time() + WAIT_SECONDS) == 0, log.read_text()

    assert time.time() < until
    assert queues.length("default") == 1


@pytest.mark.parametrize("until", ["soon", "nan", "-5", "1e300"])
def test_a_moment_that_is_none_is_refused(until: str) -> None:
    """The option takes seconds since the epoch and says so."""
    done = lustre_events("worker", "--until", until)
    assert done.returncode == 2
    assert b"--until" in done.stderr


@pytest.mark.slow
def test_slurm_runs_the_workers_and_they_leave_before_its_limit(
    open_folder: Path, redis_url: str, client: redis.Redis
) -> None:
    """workers.sbatch, as a job of one minute: its workers do the work that is there, and end well."""
    queues, results = RqQueues(client, 60), RedisResults(client)
    login = open_folder / "worker.env"
    login.write_text(f"LUSTRE_EVENTS_REDIS_URL={redis_url}\n")
    path = settings(open_folder, "unix:///nowhere")
    queues.enqueue("default", [Job(f"job{number}", STAT, 1, -1, (ITEM,)) for number in range(4)])
    log, program = open_folder / "log", make(open_folder / "bin") / "lustre-events"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m lustre_events "$@"\n')
    program.chmod(0o755)
    with slurm(make(open_folder / "slurm")) as environment:
        subprocess.run(
            [need("sbatch"), "--parsable", "--ntasks=2", "--mem-per-cpu=0", "--time=1", "--no-requeue",
             f"--output={log}", f"--chdir={REPOSITORY}", REPOSITORY / "deploy" / "slurm" / "workers.sbatch"],
            env=clean_environment({
                **environment, "LUSTRE_EVENTS_CONFIG": str(path), "WORKER_ENV": str(login),
                "PATH": f"{program.parent}:{os.environ['PATH']}",
            }),
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        wait_for(lambda: "JobState=COMPLETED" in state(environment), 120, failure=lambda: state(environment))

    assert len(results.read(10)) == 4
    assert log.read_text().count("leaving early") == 3  # two tasks, and one for what is built in


def state(environment: dict[str, str]) -> str:
    """Return what Slurm knows of its first job."""
    return said([need("scontrol"), "show", "job", "1"], environment)


def make(folder: Path) -> Path:
    """Return a new folder."""
    folder.mkdir()
    return folder
