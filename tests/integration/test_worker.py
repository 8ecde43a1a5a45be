"""The worker: real RQ, real Redis, real containers, as the process that a site runs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest
import redis
from rq import Queue, Retry
from rq.job import Job as RqJob
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from lustre_events.changelog.fid import FID
from lustre_events.jobs.messages import STAT, Job, JobItem, Result
from lustre_events.jobs.queues import DONE_TTL_SECONDS, QueueCounts, RqQueues
from lustre_events.sources.local_fid import fid_of_path
from lustre_events.streams.results import RedisResults
from tests.support.service.contents import CSV
from tests.support.service.images import EXTRACTORS, REPOSITORY, write_extractor, write_file
from tests.support.service.leftovers import adopting, left_behind
from tests.support.waiting import wait_for
from workers.context import WorkerContext
from workers.image_upkeep import ImageUpkeep
from workers.worker import Worker

pytestmark = pytest.mark.apptainer

END_SECONDS = 30
"""By then everything has ended that ends; a job that nobody ends goes on until its deadline, 50 s."""


class Site:
    """One Redis, one folder of files and of extractors, and a worker process."""

    def __init__(self, url: str, folder: Path, images: Path) -> None:
        self.client = redis.Redis.from_url(url)
        self.queues = RqQueues(self.client, 60)
        self.results = RedisResults(self.client)
        self.files = folder / "files"
        self.files.mkdir()
        self.extractors = folder / "extractors"
        self.extractors.mkdir()
        self.url = url
        self.images = images
        self.staging = folder / "staging"
        self.staging.mkdir(mode=0o755)
        self.log = folder / "worker.log"
        self.config = folder / "config.toml"
        self.process: subprocess.Popen[bytes] | None = None

    def start(
        self, runtime: str = "apptainer", more: str = "", module: Sequence[str] = ("workers",)
    ) -> subprocess.Popen[bytes]:
        """Start the worker and wait until it is registered."""
        self.config.write_text(
            f'[filesystem]\nsource = "directory"\nmount = "{self.files}"\n[redis]\nurl = "{self.url}"\n'
            f'[worker]\nunpack_images = false\nruntime = "{runtime}"\nimages = "{self.images}"\n'
            f'extractors = ["{EXTRACTORS}", "{self.extractors}"]\n{more}'
        )
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", *module, "--config", self.config],
                stdout=log, stderr=log, cwd=REPOSITORY, start_new_session=True,
                env={**os.environ, "TMPDIR": str(self.staging), "PYTHONPATH": str(REPOSITORY)},
            )  # fmt: skip
        wait_for(lambda: self.queues.stats().workers or self.process is None or self.process.poll() is not None)
        return self.process

    def left(self) -> list[str]:
        """Return what the worker's runs have left, or have now."""
        return left_behind(self.staging)

    def stop(self) -> None:
        """End the worker, if it still runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(END_SECONDS)
        self.client.close()

    def write(self, name: bytes, content: bytes = CSV) -> JobItem:
        """Write a file that is watched."""
        return write_file(self.files, name, content)

    def enqueue(self, extractor: str, *items: JobItem, job: str = "job1") -> None:
        """Hand out a job as the dispatcher does."""
        self.queues.enqueue("default", [Job(job, extractor, 3, -1, items)])

    def wait(self, count: int = 1) -> list[Result]:
        """Return `count` results when they are there."""
        wait_for(lambda: len(self.found()) >= count)
        return self.found()

    def found(self) -> list[Result]:
        """Return the results so far."""
        return [result for _, results in self.results.read(1000) for result in results]


@pytest.fixture
def site(redis_url: str, open_folder: Path, base_image: Path) -> Iterator[Site]:
    """A site with an empty Redis."""
    made = Site(redis_url, open_folder, base_image)
    with adopting():
        yield made
        made.stop()
    if made.log.exists():
        sys.stdout.write(made.log.read_text())


def test_batch_becomes_results(site: Site) -> None:
    """A job's files become one result each, with provenance; RQ keeps the job for a while, for who looks."""
    items = [site.write(b"a.csv"), site.write(b"\xff,new\nline:x.csv"), site.write(b"bad.csv", b"\0\1\2")]
    gone = JobItem(FID(1, 2, 3), 7, b"gone.csv")
    site.enqueue("tabular", *items, gone)
    site.start()

    found = {result.fid: result for result in site.wait(4)}

    assert [found[item.fid].status for item in (*items, gone)] == ["ok", "ok", "failed", "gone"]
    good = found[items[0].fid]
    assert (good.extractor, good.serial, good.generation) == ("tabular", 3, 1)
    assert good.provenance.keys() >= {
        "extractor",
        "version",
        "image_digest",
        "runtime",
        "job",
        "host",
        "duration_ms",
    }
    assert found[items[2].fid].error == "ValueError: it is a binary file, not a table"
    wait_for(lambda: site.client.hget("rq:job:job1", "status") == b"finished")
    assert 0 < site.client.ttl("rq:job:job1") <= DONE_TTL_SECONDS
    assert site.queues.stats().queues["default"] == QueueCounts()


def test_stat_needs_no_container(site: Site) -> None:
    """`stat` gives the facts of every kind of object and opens no fifo; a hint that leads elsewhere is gone."""
    item = site.write(b"a/b.csv")
    os.mkfifo(site.files / "fifo")
    (site.files / "link").symlink_to("a/b.csv")
    (site.files / "dirlink").symlink_to("a")
    fifo, link = (JobItem(local_fid(site.files / name), 1, name.encode()) for name in ("fifo", "link"))
    through = JobItem(item.fid, 1, b"dirlink/b.csv")
    upwards = JobItem(item.fid, 1, b"a/../a/b.csv")
    site.enqueue(STAT, item, fifo, link, through, upwards)
    site.start()

    found = site.wait(5)

    assert [result.status for result in found] == ["ok", "ok", "ok", "gone", "gone"]
    assert [result.document.get("type") for result in found] == ["f", "p", "l", None, None]
    facts = (site.files / "a/b.csv").stat()
    assert found[0].document == {
        "type": "f", "size": len(CSV), "mtime_ns": facts.st_mtime_ns, "ctime_ns": facts.st_ctime_ns,
        "atime_ns": facts.st_atime_ns, "uid": facts.st_uid, "gid": facts.st_gid, "mode": 0o644, "nlink": 1,
        "mime": "text/csv", "xattr": {},
    }  # fmt: skip


def local_fid(path: Path) -> FID:
    """Return the local FID of what is at `path`."""
    return fid_of_path(os.fsencode(path))


def test_what_cannot_run_is_said_in_each_result(site: Site) -> None:
    """An unknown extractor, a missing image or a directory fails with one sentence, and the worker goes on."""
    write_extractor(site.extractors, "lost", "", image='"nowhere"')
    item = site.write(b"a.csv")
    (site.files / "folder").mkdir()
    folder = JobItem(local_fid(site.files / "folder"), 1, b"folder")
    site.enqueue("tabula", item, job="job1")
    site.enqueue("lost", item, job="job2")
    site.enqueue("tabular", folder, job="job3")
    site.start()

    unknown, lost, directory = site.wait(3)

    assert unknown.error.startswith("no extractor 'tabula' is installed on")
    assert unknown.error.endswith("did you mean tabular?")
    assert "the image of lost is not there" in lost.error
    assert "not a regular file" in directory.error


def test_process_runtime_says_so(site: Site) -> None:
    """Without containers trusted extractors run as processes, and their documents say so; others do not run."""
    write_extractor(site.extractors, "foreign", "", trusted="false")
    write_extractor(site.extractors, "ours", "import extractor_batch\nextractor_batch.run(lambda _: {'rows': 2})\n")
    item = site.write(b"x,\n\xff.csv")
    site.enqueue("ours", item, job="job1")
    site.enqueue("foreign", item, job="job2")
    process = site.start("process")
    if process.poll() is not None:
        assert os.geteuid() == 0
        assert "cannot be run by nobody" in site.log.read_text()
        return

    trusted, foreign = site.wait(2)

    assert trusted.document["rows"] == 2
    assert trusted.provenance["runtime"] == "process"
    assert foreign.error.startswith("not trusted, so run only in a container")
    assert (foreign.blame, trusted.blame) == ("extractor", "file")


FOREIGN = (
    "os.system",
    "subprocess.call",
    "workers.jobs.run.__call__",
    "workers.worker.Worker",
    "tests.foreign.touch",
)


@pytest.mark.parametrize("function", FOREIGN)
def test_foreign_function_is_refused(site: Site, function: str, tmp_path: Path) -> None:
    """A job that names another function is failed for good, before anything of it is imported."""
    queue = Queue("default", connection=site.client, serializer=JSONSerializer)
    queue.enqueue_call(function, (f"touch {tmp_path}/owned",), job_id="evil", retry=Retry(3))
    site.start()

    wait_for(lambda: "evil" in FailedJobRegistry(queue=queue).get_job_ids())

    assert not (tmp_path / "owned").exists()
    assert "refused" in site.log.read_text()
    assert queue.count == 0


HOSTILE = "a\n2030-01-01 00:00:00,000 error reader: FORGED\x1b[2J\x9b31m\u202e\r\x00"


def test_no_job_forges_a_line_of_the_log(site: Site) -> None:
    """What a stranger writes into a job, and a file's name, is one printable line where it is logged."""
    queue = Queue("default", connection=site.client, serializer=JSONSerializer)
    queue.enqueue_call(f"os.{HOSTILE}", (HOSTILE,), job_id="evil", description=HOSTILE)
    site.client.hset("rq:job:half", mapping={HOSTILE: HOSTILE, "status": HOSTILE, "origin": HOSTILE, "data": b"["})
    site.client.rpush("rq:queue:default", "half", HOSTILE)
    site.enqueue("tabular", site.write(b"\n2030-01-01 FORGED\x1b[2J.csv", b""))
    site.enqueue(HOSTILE, site.write(b"b.csv"), job="job2")
    site.start(more='queue = "default"\n')
    site.wait(2)
    wait_for(lambda: queue.count == 0)

    lines = site.log.read_bytes().decode().splitlines()

    assert any("refused" in line for line in lines)
    assert any("FORGED" in line for line in lines)
    assert [line for line in lines if not line.isprintable()] == []
    assert [line for line in lines if line.lstrip().startswith("2030")] == []


def test_stranger_in_redis_runs_nothing(site: Site, tmp_path: Path) -> None:
    """Pickles and callbacks of a stranger are not touched, and the next job of ours runs."""
    evil = b"cos\nsystem\n(S'touch " + str(tmp_path).encode() + b"/owned'\ntR."
    item = site.write(b"a.csv")
    for job in ("pickle", "callbacks"):
        site.enqueue("tabular", item, job=job)
    site.client.hset("rq:job:pickle", mapping={"data": evil, "meta": evil, "result": evil})
    for event in ("success", "failure", "stopped"):
        site.client.hset("rq:job:callbacks", f"{event}_callback_name", "this.callback")
    site.start()

    (result,) = site.wait(1)

    assert result.status == "ok"
    assert not (tmp_path / "owned").exists()
    wait_for(lambda: site.client.hget("rq:job:callbacks", "status") == b"finished")
    assert "this.callback" not in site.log.read_text()


HANG = """
import sys, time
sys.stdin.read()
time.sleep(600)
"""


def hanging(site: Site, more: str = "") -> None:
    """Start a worker with a job in a container that does not end."""
    write_extractor(site.extractors, "hang", HANG, limits="seconds = 50")
    site.enqueue("hang", site.write(b"a.csv"))
    site.start(more=more)
    wait_for(lambda: any("appinit" in line for line in site.left()))


def test_unfinished_jobs_wait_or_run_under_a_living_worker(site: Site) -> None:
    """A running and a waiting job are unfinished; one that is done, or whose worker fell silent, is not."""
    hanging(site)
    site.enqueue("tabular", site.write(b"b.csv"), job="job2")
    wait_for(lambda: site.queues.length("default") == 1)
    asked = ["job1", "job2", "never"]

    living = site.queues.unfinished(asked)
    (execution,) = site.client.zrange("rq:wip:default", 0, -1)
    site.client.zadd("rq:wip:default", {cast("bytes", execution): time.time() - 1})
    site.client.delete(b"rq:execution:" + cast("bytes", execution))
    silent = site.queues.unfinished(asked)

    assert living == {"job1", "job2"}
    assert silent == {"job2"}


def test_job_of_a_lost_node_is_unfinished_no_longer_than_promised(site: Site) -> None:
    """`worker_ttl_seconds` after its node is gone a job counts as lost; the lease of its rows does the rest."""
    hanging(site, "worker_ttl_seconds = 2\n")
    process = site.process
    assert process is not None
    assert site.queues.unfinished(["job1"]) == {"job1"}
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(END_SECONDS)

    assert site.client.zcount("rq:wip:default", time.time() + 2, "+inf") == 0
    wait_for(lambda: not site.queues.unfinished(["job1"]))
    wait_for(lambda: not site.left(), END_SECONDS)


@pytest.fixture
def fill(site: Site) -> Iterator[Callable[[], object]]:
    """What makes Redis refuse whatever takes memory; there is room again at the end."""
    yield lambda: site.client.config_set("maxmemory", 1)
    site.client.config_set("maxmemory", 0)


def test_a_worker_that_waits_for_room_in_redis_is_not_lost(site: Site, fill: Callable[[], object]) -> None:
    """While Redis is full, a job is unfinished as long as its worker lives, however long that takes."""
    hanging(site, "worker_ttl_seconds = 2\n")
    process = site.process
    assert process is not None
    fill()

    wait_for(lambda: site.client.zcount("rq:wip:default", 0, time.time() - 4) == 1)
    assert "waiting for room in Redis" in site.log.read_text()
    assert site.queues.unfinished(["job1"]) == {"job1"}
    assert len(site.queues.stats().workers) == 1

    os.killpg(process.pid, signal.SIGKILL)
    process.wait(END_SECONDS)
    wait_for(lambda: not site.queues.unfinished(["job1"]))


def test_what_another_worker_cleans_leaves_who_waited_for_room(site: Site, fill: Callable[[], object]) -> None:
    """RQ's maintenance gives no job out again whose worker lives, though its entry in the list has ended."""
    hanging(site, "worker_ttl_seconds = 2\n")
    fill()
    wait_for(lambda: site.client.zcount("rq:wip:default", 0, time.time() - 1) == 1)
    (execution,) = cast("list[bytes]", site.client.zrange("rq:wip:default", 0, -1))
    other = Worker("default", cast("WorkerContext", None), site.client, 30, cast("ImageUpkeep", None))

    site.client.config_set("maxmemory", 0)
    site.client.zadd("rq:wip:default", {execution: time.time() - 1})
    other.clean_registries()

    assert site.client.llen("rq:queue:default") == 0
    assert site.queues.unfinished(["job1"]) == {"job1"}


def test_a_job_that_a_worker_has_taken_and_not_begun_is_lost_unless_redis_is_full(site: Site) -> None:
    """A job between its queue and its run costs its files no attempt while its worker may wait for room."""
    site.enqueue(STAT, site.write(b"a.csv"))
    site.client.lmove("rq:queue:default", "rq:queue:default:intermediate", "RIGHT", "LEFT")

    assert site.queues.unfinished(["job1", "never"]) == set()
    site.client.config_set("maxmemory", 1)
    assert site.queues.unfinished(["job1", "never"]) == {"job1"}
    site.client.config_set("maxmemory", "10gb")
    assert site.queues.unfinished(["job1", "never"]) == set()


def test_it_is_remembered_that_redis_was_full(site: Site) -> None:
    """Whoever looks at the queues knows whether there was little room since a job was given out."""
    begun = time.time_ns()
    assert site.queues.length("default") == 0
    assert not site.queues.was_full("default", begun)
    site.client.config_set("maxmemory", 1)
    wait_for(lambda: (site.queues.length("default"), site.queues.was_full("default", begun))[1])
    site.client.config_set("maxmemory", 0)
    assert not site.queues.was_full("default", time.time_ns())
    assert site.queues.was_full("default", begun)


def test_a_worker_ends_though_redis_is_full(site: Site, fill: Callable[[], object]) -> None:
    """SIGTERM ends a worker that waits for room in Redis, with a job in hand or without."""
    hanging(site, "worker_ttl_seconds = 2\n")
    process = site.process
    assert process is not None
    fill()
    wait_for(lambda: "waiting for room in Redis" in site.log.read_text())

    process.terminate()

    assert process.wait(END_SECONDS) == 0


def test_log_is_that_of_the_service(site: Site) -> None:
    """A worker logs as the other processes do: a sentence, then fields; a job's line adds up."""
    site.enqueue(STAT, site.write(b"a.csv"), JobItem(FID(1, 2, 3), 7, b"gone.csv"))
    site.start("process" if os.geteuid() else "apptainer")
    site.wait(2)
    wait_for(lambda: 'action="job"' in site.log.read_text())

    (line,) = [line for line in site.log.read_text().splitlines() if 'action="job"' in line]
    assert " info workers.jobs: stat: 2 files in " in line
    assert 'job="job1" extractor="stat" ok=1 failed=0 gone=1 released=0 cpu_ms=' in line


def test_sigterm_ends_idle_worker_at_once(site: Site) -> None:
    """An idle worker ends on SIGTERM with code 0."""
    process = site.start()
    begun = time.monotonic()
    process.terminate()

    assert process.wait(END_SECONDS) == 0
    assert time.monotonic() - begun < 20
    assert site.queues.stats().workers == []


@pytest.mark.parametrize("words", [(), ("SWALLOWED",)])
def test_sigterm_ends_a_worker_that_cleans_up(site: Site, words: tuple[str, ...]) -> None:
    """A signal while RQ's lists are cleaned ends the worker, also where RQ's own code takes any exception."""
    process = site.start(module=("tests.support.service.interrupted_worker", *words))

    assert process.wait(END_SECONDS) == 0
    assert "cannot be cleaned" not in site.log.read_text()


def test_sigterm_ends_busy_worker_within_ten_seconds(site: Site) -> None:
    """A job that does not finish soon is killed with its container; RQ has it again for another worker."""
    hanging(site)
    process = site.process
    assert process is not None
    begun = time.monotonic()
    process.terminate()

    assert process.wait(10) == 0
    assert time.monotonic() - begun < 10
    wait_for(lambda: not site.left(), END_SECONDS)
    assert site.queues.length("default") == 1
    assert site.found() == []


def test_job_that_finishes_soon_after_sigterm_counts(site: Site) -> None:
    """A running job may finish after SIGTERM: its results are stored."""
    slow = "import extractor_batch, time\nextractor_batch.run(lambda path: (time.sleep(1), {'a': 1})[1])\n"
    write_extractor(site.extractors, "slow", slow)
    site.enqueue("slow", site.write(b"a.csv"))
    process = site.start()
    wait_for(lambda: any("appinit" in line for line in site.left()))
    process.terminate()

    assert process.wait(END_SECONDS) == 0
    assert [result.document for result in site.found()] == [{"a": 1}]


@pytest.mark.parametrize("child_too", [True, False])
def test_kill_9_leaves_nothing_running(site: Site, child_too: bool) -> None:
    """Worker and job killed, or the worker alone: job and container end with it, and leave nothing."""
    hanging(site)
    process = site.process
    assert process is not None
    horse = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
    process.kill()
    process.wait(END_SECONDS)
    if child_too:
        with contextlib.suppress(ProcessLookupError):  # it ends with its worker anyway
            os.kill(horse, signal.SIGKILL)
    wait_for(lambda: not site.left(), END_SECONDS)

    # The rows' lease gives the job out again, under another id, and any worker takes it.
    site.enqueue("tabular", site.write(b"b.csv"), job="job2")
    site.start()
    assert [result.status for result in site.wait(1)] == ["ok"]


def test_a_job_that_waited_through_an_upgrade_still_runs(site: Site) -> None:
    """What an earlier version, whose modules had other names, has put into Redis gives its results."""
    item = site.write(b"a b.csv")
    cause = {"mdt": 0, "epoch": 1, "record": 7}
    payload = {
        "v": 2, "id": "old1", "extractor": "stat", "serial": 1, "owner": -1,
        "items": [[str(item.fid), 4, "a%20b.csv", False, cause, ""], ["[0x1:0x2:0x0]", 1, "gone", True, None, ""]],
    }  # fmt: skip
    Queue("default", connection=site.client, serializer=JSONSerializer).enqueue(
        "workers.jobs.run", args=(payload,), job_id="old1", job_timeout=60, result_ttl=0, failure_ttl=86_400,
        description="stat, 2 files", retry=Retry(max=2),
    )  # fmt: skip
    site.start(runtime="process")

    found = {result.generation: result for result in site.wait(2)}

    assert (found[4].fid, found[4].status, found[4].document["size"]) == (item.fid, "ok", len(CSV))
    assert found[1].status == "gone"
    wait_for(lambda: not site.client.exists("rq:job:old1"))


def test_jobs_are_readable_json(redis_url: str) -> None:
    """What RQ carries is JSON and ASCII: our function, a retry, words for people."""
    with contextlib.closing(redis.Redis.from_url(redis_url)) as client:
        queues = RqQueues(client, 60)
        item = JobItem(FID(1, 2, 3), 5, b"\xff,\n\xc3\xa9")
        queues.enqueue("default", [Job("a-1", "tabular", 3, -1, (item, item)), Job("a-2", "stat", 1, 0, (item,))])

        job = RqJob.fetch("a-1", connection=client, serializer=JSONSerializer)

        assert queues.length("default") == 2
        assert job.func_name == "workers.jobs.run"
        assert job.data.isascii()
        assert (job.retries_left, job.result_ttl, job.timeout) == (2, DONE_TTL_SECONDS, 60)
        assert job.failure_ttl
        assert job.description == "tabular, 2 files: %FF%2C%0A%C3%A9, %FF%2C%0A%C3%A9"
        queues.enqueue("default", [])
        assert queues.stats().queues == {"default": QueueCounts(waiting=2)}
