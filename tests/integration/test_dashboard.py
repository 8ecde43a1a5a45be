"""`lustre-events dashboard`: rq-dashboard as it is shipped, over what somebody with a worker's login has left."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from werkzeug.security import generate_password_hash

from lustre_events.changelog.fid import FID
from lustre_events.jobs.messages import Job, JobItem
from lustre_events.jobs.queues import DONE_TTL_SECONDS, KEPT_JOBS, RqQueues
from lustre_events.node.redis_server import RedisServer
from lustre_events.sources.local_fid import fid_of_path
from tests.support.servers.redis import login, start_kind
from tests.support.servers.slurm import free_ports
from tests.support.service.command import clean_environment
from tests.support.service.hostile_queues import WORKER, everything, plant
from tests.support.waiting import wait_for

PAGES = (
    "/", "/0/view/workers", "/0/view/jobs", "/0/view/job/x", "/0/data/queues.json", "/0/data/workers.json",
    "/0/data/job/x.json", "/0/data/jobs/default/queued/8/asc/1.json", "/0/data/jobs/default/started/8/asc/1.json",
    "/0/data/jobs/default/failed/8/dsc/1.json",
)  # fmt: skip
CHANGES = (
    "/requeue/default", "/job/x/delete", "/job/x/requeue", "/queue/default/failed/empty", "/queue/default/compact",
)  # fmt: skip


@dataclass
class Dashboard:
    """The process's address, and the Redis that it looks at."""

    address: str
    redis: redis.Redis
    process: int = 0
    kept: set[str | None] = field(default_factory=set)
    """What its answers said of caches."""

    def peak_bytes(self) -> int:
        """Return the most memory that the process has had."""
        told = Path(f"/proc/{self.process}/status").read_text()
        return int(told.partition("VmHWM:")[2].split()[0]) << 10

    def ask(self, path: str, method: str = "GET", word: str = "right", **headers: str) -> tuple[int, str, str]:
        """Return status, body and content security policy."""
        who = base64.b64encode(f"root:{word}".encode()).decode()
        request = urllib.request.Request(  # noqa: S310 - ours
            self.address + path, method=method, headers={"Authorization": f"Basic {who}"} | headers
        )
        with contextlib.ExitStack() as stack:
            try:
                answer = stack.enter_context(urllib.request.urlopen(request, timeout=20))  # noqa: S310
            except urllib.error.HTTPError as exc:
                answer = stack.enter_context(exc)
            self.kept.add(answer.headers.get("Cache-Control"))
            return answer.status, answer.read().decode(), answer.headers.get("Content-Security-Policy", "")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis with the roles as shipped."""
    with start_kind(tmp_path_factory.mktemp("dashboard") / "redis", "redis with roles") as running:
        yield running


@pytest.fixture(scope="module", params=["its own login", "a login that can write"])
def dashboard(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, server: RedisServer
) -> Iterator[Dashboard]:
    """The command, with its own login of Redis, and with one that it should never have had."""
    folder = tmp_path_factory.mktemp("settings")
    (folder / "users").write_text(f"root:{generate_password_hash('right')}\n")
    (folder / "users").chmod(0o640)
    (folder / "web.toml").write_text(f'[web]\nusers = "{folder}/users"\nadmins = ["root"]\n')
    (port,) = free_ports(1)
    role = "dashboard" if request.param == "its own login" else "admin"
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "lustre_events", "dashboard", "--listen", f"127.0.0.1:{port}",
         "--config", str(folder / "web.toml")],
        env=clean_environment({"LUSTRE_EVENTS_REDIS_URL": login(server, role)}),
    )  # fmt: skip
    with redis.Redis.from_url(login(server, "admin")) as client:
        found = Dashboard(f"http://127.0.0.1:{port}", client, process.pid)
        ends = time.monotonic() + 30
        while time.monotonic() < ends:
            with contextlib.suppress(OSError):
                found.ask("/")
                break
            time.sleep(0.1)
        yield found
    process.terminate()
    process.wait(10)


def test_it_shows_queues_and_jobs(dashboard: Dashboard) -> None:
    """Its own pages work with our jobs: they are JSON."""
    dashboard.redis.flushall()
    job = Job("j1", "tabular", 1, 0, (JobItem(FID(1, 2, 3), 1, b"a.csv"),))
    RqQueues(dashboard.redis, 60).enqueue("default", [job])

    for path in PAGES[:3]:
        assert dashboard.ask(path)[0] == 200
    assert json.loads(dashboard.ask("/0/data/queues.json")[1])["queues"][0]["count"] == 1
    (shown,) = json.loads(dashboard.ask("/0/data/jobs/default/queued/8/asc/1.json")[1])["jobs"]
    assert "tabular, 1 file" in shown["description"] + shown.get("name", "")
    assert dashboard.ask("/0/view/job/j1")[0] == dashboard.ask("/0/data/job/j1.json")[0] == 200


def test_the_last_jobs_that_are_done_are_shown(dashboard: Dashboard, server: RedisServer, tmp_path: Path) -> None:
    """A done job is shown with extractor, owner and files; Redis holds the last ones alone, and not for long."""
    dashboard.redis.flushall()
    queues = RqQueues(dashboard.redis, 60)
    paths = [tmp_path / name for name in ("a b.csv", "c.csv")]
    items = []
    for path in paths:
        path.touch()
        items.append(JobItem(fid_of_path(os.fsencode(path)), 1, os.fsencode(path.name)))
    many = tuple(JobItem(FID(1, number, 0), 1, b"%d" % number) for number in range(1_000))
    older = [f"old{number}" for number in range(KEPT_JOBS + 50)]
    queues.enqueue("default", [Job(name, "stat", 1, 1000, many) for name in older])
    dashboard.redis.delete("rq:queue:default")
    soon = time.time() + 600
    dashboard.redis.zadd("rq:finished:default", {name: soon + number for number, name in enumerate(older)})
    queues.enqueue("default", [Job("last", "stat", 1, 1000, tuple(items))])
    config = tmp_path / "worker.toml"
    config.write_text(f'[filesystem]\nsource = "directory"\nmount = "{tmp_path}"\n[worker]\nruntime = "process"\n')

    with subprocess.Popen(
        [sys.executable, "-P", "-m", "workers", "--config", config],
        env=clean_environment({"LUSTRE_EVENTS_REDIS_URL": login(server, "worker")}),
    ) as worker:  # fmt: skip
        wait_for(lambda: dashboard.redis.zcard("rq:finished:default") == KEPT_JOBS)
        worker.terminate()

    shown = json.loads(dashboard.ask("/0/data/jobs/default/finished/8/dsc/1.json")[1])["jobs"]
    (last,) = [each for each in shown if each["id"] == "last"]
    assert last["description"] == "stat, 2 files of uid 1000: a%20b.csv, c.csv"
    assert 0 < dashboard.redis.ttl("rq:job:last") <= DONE_TTL_SECONDS
    kept = list(dashboard.redis.scan_iter("rq:job:*"))
    assert len(kept) == KEPT_JOBS
    assert sum(dashboard.redis.memory_usage(key) or 0 for key in kept) < 10_000_000


def test_nothing_is_unpickled_markup_or_changed(dashboard: Dashboard, tmp_path: Path) -> None:
    """No page runs a pickle, has markup that somebody wrote, or changes Redis; nor does any way to change it."""
    dashboard.redis.flushall()
    plant(dashboard.redis, tmp_path / "owned")
    before = everything(dashboard.redis)

    answers = {path: dashboard.ask(path) for path in PAGES}
    refused = [
        dashboard.ask(path, method, **{"Sec-Fetch-Site": site})[0]
        for path in CHANGES
        for method in ("GET", "POST")
        for site in ("same-origin", "cross-site")
    ]

    assert not (tmp_path / "owned").exists()
    for _, body, policy in answers.values():
        assert "<img src=x" not in body
        assert "<script>document" not in body
        assert "script-src 'nonce-" in policy
        assert "script-src 'self' 'unsafe-inline'" not in policy
    assert {status for status, _, _ in answers.values()} <= {200, 404, 502}
    assert set(refused) <= {404, 405}
    assert everything(dashboard.redis) == before
    assert dashboard.kept == {"no-store"}


def test_what_unpacks_to_gigabytes_costs_little(dashboard: Dashboard) -> None:
    """A job or a result of a few hundred KB that stands for much more is not unpacked, and hides no other."""
    dashboard.redis.flushall()
    packing = zlib.compressobj()
    bomb = b"".join(packing.compress(bytes(16 << 20)) for _ in range(32)) + packing.flush()
    RqQueues(dashboard.redis, 60).enqueue(
        "default", [Job(name, "tabular", 1, 0, (JobItem(FID(1, 2, 3), 1, b"a"),)) for name in ("x", "j1")]
    )
    dashboard.redis.hset("rq:job:x", mapping={"data": bomb, "exc_info": bomb, "status": "failed"})
    result: dict[Any, Any] = {"type": 2, "created_at": 1, "exc_string": base64.b64encode(bomb)}
    dashboard.redis.xadd("rq:results:x", result)
    before = dashboard.peak_bytes()

    for path in PAGES:
        assert dashboard.ask(path)[0] in {200, 404, 502}
    assert dashboard.ask("/0/data/job/j1.json")[0] == 200
    assert dashboard.peak_bytes() - before < 300 << 20


def test_names_in_its_data_are_text(dashboard: Dashboard) -> None:
    """Its scripts put what they get into the page as markup, so a job's words come escaped."""
    dashboard.redis.flushall()
    RqQueues(dashboard.redis, 60).enqueue(
        "default", [Job("j1", "tabular", 1, 0, (JobItem(FID(1, 2, 3), 1, b"a"),))]
    )
    dashboard.redis.hset("rq:job:j1", "description", WORKER)
    status, body, _ = dashboard.ask("/0/data/jobs/default/queued/8/asc/1.json")
    assert (status, "<img" in body, "&lt;img" in body) == (200, False, True)


def test_an_address_cannot_bring_a_script(dashboard: Dashboard) -> None:
    """A link of another site with a script in a queue's name gets no page."""
    for name in ("'-alert(1)-'", "%5C", "%3Cscript%3Ealert(1)%3C%2Fscript%3E"):
        assert dashboard.ask(f"/0/view/jobs/{name}/queued/8/asc/1")[0] == 404


def test_only_admins_come_in(dashboard: Dashboard) -> None:
    """Every page asks for the password of an admin, also one that is not there."""
    for path in (*PAGES, "/nowhere"):
        assert dashboard.ask(path, word="wrong")[0] in {401, 404}
    assert dashboard.ask("/", word="wrong")[0] == 401
