"""Pools of workers over a real Redis: each has its own login, queue and key, and answers for its own jobs."""

from __future__ import annotations

import os
import pwd
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from prometheus_client import CollectorRegistry, generate_latest

from lustre_events.actions.seal import make_key, read_seal
from lustre_events.actions.sealed_jobs import PoolSeal
from lustre_events.config.settings import DispatcherSettings, Settings
from lustre_events.index import open_search
from lustre_events.inspect.metrics import ServiceCollector
from lustre_events.inspect.status import Status, collect, lines
from lustre_events.jobs import pools
from lustre_events.jobs.messages import Job, JobItem, Result
from lustre_events.jobs.pool_states import SITE, PoolState
from lustre_events.jobs.queues import NO_ROOM, QueueCounts, RqQueues
from lustre_events.node import pool_queues
from lustre_events.node.doctor import service
from lustre_events.node.pool_files import there
from lustre_events.node.pool_queues import Pool, PooledQueues, PooledResults
from lustre_events.node.pool_watch import PoolWatch
from lustre_events.sources.local_fid import fid_of_path
from lustre_events.streams.connection import connect
from lustre_events.streams.records import RedisRecordStreams
from lustre_events.streams.results import RedisResults
from tests.support.records.builders import fid_of
from tests.support.servers.redis import RolesServer, make_users, start_redis
from tests.support.servers.roles import found
from tests.support.service.command import lustre_events
from tests.support.service.logins import Place, place, pool
from tests.support.service.service import PARTS, Service
from tests.support.waiting import wait_for

__all__ = ["place"]
LAB, CLINIC = "pool-lab", "pool-clinic"
FINE = Result(fid=fid_of(1), extractor="text", serial=1, generation=1, status="ok", document={"a": 1})


def answer(job: str, **fields: object) -> Result:
    return Result(**{**{name: getattr(FINE, name) for name in FINE.__struct_fields__},
                     "provenance": {"job": job}, **fields})  # fmt: skip


def test_a_pool_answers_for_its_own_jobs_only(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Of what comes with a pool's login only answers to its jobs count, and nothing suspends an extractor."""
    with connect(place.url("pool"), 5) as lab, connect(place.url("dispatcher"), 5) as own:
        results = PooledResults(RedisResults(own), {"lab": pool("lab", own), "clinic": pool("clinic", own)})
        mine = answer(f"{LAB}_1")
        foreign = [answer(job) for job in ("0123abcd", f"{CLINIC}_1", f"{LAB}2_1", f"{LAB}", "", "le-pool-lab_1")]
        RedisResults(lab, pools.results_key("lab")).put([mine, *foreign, answer(f"{LAB}_2", blame="extractor")])
        RedisResults(own).put([mine, answer("0123abcd")])

        entries = results.read(10)
        jobs = [[(each.provenance.get("job"), each.blame) for each in found] for _, found in entries]
        assert jobs[0] == [(None, "file"), ("0123abcd", "file")], "nor does a worker of the site answer for a pool"
        assert jobs[1] == [(f"{LAB}_1", "file"), *[(None, "file")] * 6, (f"{LAB}_2", "worker")]
        assert "the pool lab answered for 6 files of jobs that were not given there" in caplog.text

        results.acknowledge([entry_id for entry_id, _ in entries])
        assert results.read(10) == []


def test_an_answer_of_the_site_that_pretends_to_be_a_pools_holds_up_nobody(place: Place) -> None:
    """Whoever writes an entry chooses its id: one that names a pool is forgotten as any other."""
    with connect(place.url("worker"), 5) as worker, connect(place.url("dispatcher"), 5) as own:
        results = PooledResults(RedisResults(own), {"lab": pool("lab", own)})
        for number in range(3):
            worker.rpush("le:result:waiting", f"lab\0{number:028}".encode() + b"no answer")
        RedisResults(worker).put([answer("1")])

        entries = results.read(100)
        results.acknowledge([entry_id for entry_id, _ in entries])

        assert [found for _, found in entries] == [[], [], [], [answer("1")]]
        assert results.read(100) == []


def test_a_pool_that_writes_without_end_holds_up_nobody(place: Place) -> None:
    """However many answers a pool has waiting, those of the site are all read, and known to be all."""
    with connect(place.url("pool"), 5) as lab, connect(place.url("dispatcher"), 5) as own:
        results = PooledResults(RedisResults(own), {"lab": pool("lab", own)})
        RedisResults(own).put([answer("1")])
        for _ in range(100):
            RedisResults(lab, pools.results_key("lab")).put([answer(f"{LAB}_1")])
        assert results.read(10)[0][1] == [answer("1")]
        assert not results.more


def test_nothing_of_a_pool_reaches_the_answers_of_the_index_unasked(place: Place) -> None:
    """The dispatcher takes forged answers of a pool as dropped, counts them, and goes on."""
    with connect(place.url("pool"), 5) as lab:
        RedisResults(lab, pools.results_key("lab")).put([answer("j"), answer(f"{CLINIC}_j"), answer(f"{LAB}_x")])
        lab.rpush(pools.results_key("lab"), b"no answer")
    assert place.step() == ""
    with open_search(place.index) as search:
        status = collect(search.stats(), RedisRecordStreams(place.console), None, None)
    assert status.pools is not None
    assert status.pools["lab"].refused == 3, "two that it did not owe, and one that is none"
    assert b'pool_answers_refused_total{pool="lab"} 3.0' in scraped(status)
    assert any("pool lab: waiting 1," in line and "3 answers refused" in line for line in lines(status))
    counters = place.dispatcher._counters
    assert counters["results"] == counters["results_dropped"] == 3
    assert counters["results_damaged"] == 1


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, RolesServer]]:
    """The settings of a site with the pools `lab` and `clinic` by the command line, and its Redis."""
    etc = tmp_path / "root" / "etc" / "lustre-events"
    make_users(etc)
    for name in ("lab", "clinic"):
        assert b"next: send work there" in said("add", name, root=tmp_path / "root")
    with RolesServer(tmp_path / "redis", users=etc) as server:
        (etc / "admin.env").write_text(f"LUSTRE_EVENTS_REDIS_URL={server.url}\n")
        yield etc, server


def said(*words: str, root: Path) -> bytes:
    done = lustre_events("pool", *words, "--root", str(root))
    assert done.returncode == 0, done.stderr
    return done.stdout


def login_of(etc: Path, server: RolesServer, name: str) -> str:
    """Return the URL in a pool's worker.env, at the socket of the server."""
    text = (etc / "pools" / name / "worker.env").read_text()
    user, password = text.split("//")[1].split("@")[0].split(":")
    return server.url.replace(server.url.split("//")[1].split("@")[0], f"{user}:{password}")


def test_work_goes_to_a_pool_and_comes_back(open_folder: Path, site: tuple[Path, RolesServer]) -> None:
    """With the login and key of `pool add` a worker makes a document; forged and stolen jobs are refused."""
    etc, server = site
    url = login_of(etc, server, "lab")
    rule = '[[rule]]\nname = "lab"\nextensions = ["csv"]\nextractor = "tabular"\nqueue = "pool-lab"\n'
    with Service(open_folder, dispatcher=f'pools = "{etc}/pools"\n') as service:
        (open_folder / "rules.toml").write_text(rule)
        own = {"LUSTRE_EVENTS_WORKER_POOL": "lab", "LUSTRE_EVENTS_WORKER_POOL_KEY": str(etc / "pools/lab/pool.key")}
        for name, argv in PARTS.items():
            login = url if name == "worker" else server.login("worker" if name == "builtin" else name)
            service.start(*argv, environment={"LUSTRE_EVENTS_REDIS_URL": login} | (own if name == "worker" else {}))
        (service.files / "a.csv").write_text("x,y\n1,2\n")
        (service.files / "b.txt").write_text("nobody has asked for this one\n")
        wait_for(lambda: found(service, "name:a.csv AND tabular.rows:1"), failure=service.log.read_text)
        with connect(url, 5) as thief, connect(server.login("dispatcher"), 5) as dispatcher:
            forged = RqQueues(thief, 60, pools.rq_prefix("lab"))
            items = (JobItem(fid_of_path(os.fsencode(service.files / "b.txt")), 1, b"b.txt"),)
            forged.enqueue(LAB, [Job(f"{LAB}_forged", "stat", 1, -1, items)])
            other = PoolSeal("clinic", read_seal(etc / "pools" / "clinic.key"))
            stolen = RqQueues(thief, 60, pools.rq_prefix("lab"), lambda job: other.sealed(job, 1 << 62))
            stolen.enqueue(LAB, [Job(f"{LAB}_stolen", "stat", 1, -1, items)])
            states = RqQueues(dispatcher, 60)
            refused = [f"{LAB}_forged", f"{LAB}_stolen"]
            wait_for(
                lambda: [each.state for each in states.states(refused).values()] == ["failed"] * 2,
                failure=service.log.read_text,
            )
            with connect(server.login("web"), 5) as web:
                looker = RqQueues(web, 60)
                wait_for(lambda: looker.stats().queues[LAB] == QueueCounts(0, 0, 2), failure=service.log.read_text)
                stats = looker.stats()
        with connect(server.login("admin"), 5) as admin:
            not_allowed = [row for row in admin.acl_log() if row["reason"] != "auth"]
    assert [worker.queues for worker in stats.workers if worker.queues != ["builtin"]] == [[LAB]]
    assert service.log.read_text().count("not sealed by this site's dispatcher for the pool lab") >= 2
    assert not_allowed == []


def test_a_login_reaches_nothing_of_another_pool_or_of_the_site(site: tuple[Path, RolesServer]) -> None:
    """What is in the keys of others is neither read nor changed with a pool's login, nor by the site's worker."""
    etc, server = site
    words = ("LRANGE {} 0 -1", "DEL {}", "RPUSH {} x", "LPOP {}", "LREM {} 0 x", "PUBLISH {} x", "EXISTS {}")
    theirs = ("le:pool:clinic:rq:queue:pool-clinic", "le:pool:clinic:results", "le:pool:names", "rq:queue:default",
              "rq:job:j", "le:result:waiting", "le:stream:mdts", "le:request:waiting")  # fmt: skip
    allowed = []
    for url, keys in (
        (login_of(etc, server, "lab"), theirs),
        (server.login("worker"), ("le:pool:lab:rq:queue:pool-lab", "le:pool:lab:results", "le:pool:names")),
    ):
        with redis.Redis.from_url(url) as client:
            for words_of in [each.format(key) for each in words for key in keys] + ["EVAL return 0", "KEYS *"]:
                try:
                    client.execute_command(*words_of.split())
                    allowed.append(words_of)
                except redis.exceptions.NoPermissionError:
                    pass
    assert allowed == []


def test_a_pool_can_be_added_again_and_removed(tmp_path: Path, site: tuple[Path, RolesServer]) -> None:
    """Adding it again changes nothing; a removed one has no login and no keys; the others keep theirs."""
    etc, server = site
    root = tmp_path / "root"
    before = {path: path.read_bytes() for path in etc.rglob("*") if path.is_file()}
    assert b"everything is there" in said("add", "lab", root=root)
    assert {path: path.read_bytes() for path in etc.rglob("*") if path.is_file()} == before
    assert said("list", root=root).splitlines() == [
        b"clinic  queue pool-clinic  the Redis of the site", b"lab  queue pool-lab  the Redis of the site",
    ]  # fmt: skip
    modes = {path.name: path.stat().st_mode & 0o777 for path in (etc / "pools" / "lab").iterdir()}
    assert modes == {"worker.env": 0o600, "pool.key": 0o600, "worker.toml": 0o644}
    assert (etc / "pools" / "lab").stat().st_mode & 0o777 == 0o711
    (etc / "pools" / "lab" / "worker.env").write_text("what its user made of it\n")
    assert b"worker.env" in said("add", "lab", root=root)
    assert (etc / "redis-users.acl").read_bytes() == before[etc / "redis-users.acl"]
    assert (etc / "pools" / "lab.key").read_bytes() == (etc / "pools" / "lab" / "pool.key").read_bytes()

    logins = {name: login_of(etc, server, name) for name in ("lab", "clinic")}
    for name, url in logins.items():
        with connect(url, 5) as client:
            client.rpush(pools.results_key(name), b"x")
    said("remove", "lab", root=root)
    with connect(server.url, 5) as admin, connect(logins["clinic"], 5) as clinic:
        assert admin.keys("le:pool:*") == [pools.results_key("clinic").encode()]
        clinic.rpush(pools.results_key("clinic"), b"x")
    with redis.Redis.from_url(logins["lab"]) as lab, pytest.raises(redis.exceptions.AuthenticationError):
        lab.rpush(pools.results_key("lab"), b"x")
    assert there(etc) == ["clinic"]
    users = (etc / "redis-users.acl").read_text()
    assert "le-pool-lab" not in users
    assert "le-pool-clinic" in users
    again = lustre_events("pool", "remove", "lab", "--root", str(root))
    assert (again.returncode, b"there is no pool 'lab'" in again.stderr) == (2, True)


def test_a_pool_with_a_redis_of_its_own_holds_up_only_itself(tmp_path: Path, place: Place) -> None:
    """That Redis may hang, be full or be away: the site's jobs and answers go on, and the pool's wait."""
    with start_redis(tmp_path / "own") as server, connect(place.url("dispatcher"), 5) as own:
        clock = [0.0]
        client = connect(server.url, 2)
        queue = RqQueues(client, 60, pools.rq_prefix("far"))
        far = Pool("far", queue, RedisResults(client, "le:pool:far:results"), own=True, clock=lambda: clock[0])
        queues = PooledQueues(RqQueues(own, 60), {"far": far})
        results = PooledResults(RedisResults(own), {"far": far})
        job = Job("pool-far_1", "text", 1, -1, ())
        queues.enqueue("pool-far", [job])
        assert queues.unfinished([job.id, "pool-far_2"]) == {job.id}
        RedisResults(own).put([answer("1")])

        pid = int(client.info("server")["process_id"])
        os.kill(pid, signal.SIGSTOP)
        try:
            assert results.read(10)[0][1] == [answer("1")]
            assert queues.length("pool-far") == NO_ROOM
            assert queues.unfinished(["pool-far_2", "j"]) == {"pool-far_2", "j"}, "what nobody can tell is not lost"
            assert queues.length("default") == 1
            queues.enqueue("pool-far", [job])
        finally:
            os.kill(pid, signal.SIGCONT)

        clock[0] += 60
        client.config_set("maxmemory", 1)
        queues.enqueue("pool-far", [job])
        assert queues.length("pool-far") == NO_ROOM
        client.config_set("maxmemory", 0)
        clock[0] += 60
        assert queues.length("pool-far") == 1


def test_that_the_redis_of_a_pool_was_full_is_told_of_that_pool_only(tmp_path: Path, place: Place) -> None:
    """A job that is lost while its pool's Redis is nearly full costs no attempt; jobs elsewhere cost one."""
    with start_redis(tmp_path / "own") as server, connect(place.url("dispatcher"), 5) as own:
        client = connect(server.url, 2)
        queue = RqQueues(client, 60, pools.rq_prefix("far"))
        far = Pool("far", queue, RedisResults(client, "le:pool:far:results"), own=True)
        queues = PooledQueues(RqQueues(own, 60), {"far": far, "lab": pool("lab", own)})
        begun = time.time_ns()
        names = ("pool-far", "default", LAB)
        assert [queues.was_full(name, begun) for name in names] == [False, False, False]

        client.config_set("maxmemory", 1)
        queues.unfinished(["pool-far_1", "j", f"{LAB}_1"])
        assert [queues.was_full(name, begun) for name in names] == [True, False, False]
        client.config_set("maxmemory", 0)
        assert not queues.was_full("pool-far", time.time_ns())
        assert queues.was_full("pool-far", begun)


def test_a_pool_with_a_redis_of_its_own_is_shown(tmp_path: Path, place: Place) -> None:
    """Status, metrics and doctor tell its jobs and workers; that it is away, and what was there when it was not."""
    with start_redis(tmp_path / "own") as server:
        client = connect(server.url, 2)
        clock = [60.0]
        queue = RqQueues(client, 60, pools.rq_prefix("far"))
        far = Pool("far", queue, RedisResults(client, "le:pool:far:results"), own=True, clock=lambda: clock[0])
        with connect(place.url("dispatcher"), 5) as own:
            watch = PoolWatch({"far": far}, {"": 2}, RedisRecordStreams(own).publish, lambda: clock[0], lambda: 7)
        queue.enqueue("pool-far", [Job("pool-far_1", "text", 1, -1, ())])
        client.sadd("le:pool:far:rq:workers", "le:pool:far:rq:worker:w", "le:pool:far:rq:worker:gone", "rq:other")
        client.hset("le:pool:far:rq:worker:w", "birth", "x")

        def told() -> Status:
            clock[0] += 60
            watch.tend()
            return collect(None, RedisRecordStreams(place.console), None, RqQueues(place.console, 60))

        there = told()
        assert there.pools == {"far": PoolState(True, "", 7, 1, 0, 0, 1, 0), SITE: PoolState(refused=2)}
        assert "pool far (a Redis of its own): waiting 1, running 0, failed 0; workers: 1" in lines(there)
        assert b'pool_jobs{pool="far",state="waiting"} 1.0' in scraped(there)
        assert [each.level for each in service.queues(there, ["pool-far"]) if "far" in each.subject] == ["ok"]
    away = told()
    assert away.pools is not None
    assert away.pools["far"] == PoolState(True, away.pools["far"].trouble, 7, 1, 0, 0, 1, 0)
    assert "does not answer" in away.pools["far"].trouble
    assert b'pool_away{pool="far"} 1.0' in scraped(away)
    assert [each.level for each in service.queues(away, ["pool-far"]) if "far" in each.subject] == ["failure"]


def scraped(status: Status) -> bytes:
    """Return the metrics of a status, as Prometheus gets them."""
    registry = CollectorRegistry()
    registry.register(ServiceCollector(lambda: status))
    return generate_latest(registry)


def test_keys_of_a_pool_in_the_site_s_redis_cost_the_pool_only(place: Place) -> None:
    """Where its login leaves a key of another type, its state says so; the dispatcher's step is done."""
    with connect(place.url("pool"), 5) as lab:
        lab.delete("le:pool:lab:rq:queue:pool-lab")
        lab.set("le:pool:lab:rq:queue:pool-lab", "x")
    assert place.step() == ""
    found = collect(None, RedisRecordStreams(place.console), None, None).pools or {}
    assert "are not RQ's" in found["lab"].trouble
    assert found["clinic"].trouble == ""


def test_work_of_a_pool_is_not_lost_while_its_results_are_not_read(place: Place) -> None:
    """After a long outage of the dispatcher a pool has many results: a job that is done waits for its own."""
    with connect(place.url("dispatcher"), 5) as own:
        lab = pool("lab", own)
        queues = PooledQueues(RqQueues(own, 60), {"lab": lab})
        results = PooledResults(RedisResults(own), {"lab": lab})
        done = [f"{LAB}_{number}" for number in range(50)]
        for job in done:
            lab.results.put([answer(job)])
        while entries := [entry_id for entry_id, found in results.read(10) if found[0].provenance["job"] in done]:
            assert queues.unfinished(done) == (set(done) if lab.results.more else set())
            results.acknowledge(entries)
        assert queues.unfinished(done) == set()


def test_a_dispatcher_starts_while_the_redis_of_a_pool_is_away(tmp_path: Path, place: Place) -> None:
    """The pool waits until its Redis is there; the site's work begins."""
    make_key(tmp_path / "far.key")
    login = tmp_path / "far.redis"
    login.write_text(f"LUSTRE_EVENTS_REDIS_URL=unix://{tmp_path}/none.sock\n")
    login.chmod(0o640)
    settings = Settings(dispatcher=DispatcherSettings(pools=str(tmp_path)))
    with connect(place.url("dispatcher"), 5) as own:
        found = pool_queues.known(settings, own)
        queues = PooledQueues(RqQueues(own, 60), found)
        RedisResults(own).put([answer("1")])

        assert queues.length("pool-far") == NO_ROOM
        assert queues.length("default") < NO_ROOM
        assert answer("1") in [
            each for _, results in PooledResults(RedisResults(own), found).read(10) for each in results
        ]


def test_a_queue_of_a_pool_that_nobody_has_added_gets_no_jobs(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """A rule that names such a queue is told of once; its jobs are not put where anybody could take them."""
    with connect(place.url("dispatcher"), 5) as own:
        queues = PooledQueues(RqQueues(own, 60), {})
        assert [queues.length("pool-gone") for _ in range(3)] == [NO_ROOM] * 3
        queues.enqueue("pool-gone", [Job("pool-gone_1", "text", 1, -1, ())])
        assert queues.unfinished(["pool-gone_1"]) == set()
        assert not own.exists("rq:queue:pool-gone")
    assert caplog.text.count("there is no pool gone here") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_files_of_a_pool_are_its_user_s_and_their_folder_is_not(tmp_path: Path) -> None:
    """With --user the files for the nodes belong to that user, who can put no link beside them."""
    etc = tmp_path / "etc" / "lustre-events"
    make_users(etc)
    said("add", "lab", "--user", "nobody", root=tmp_path)
    folder, user = etc / "pools" / "lab", pwd.getpwnam("nobody").pw_uid
    assert {path.stat().st_uid for path in folder.iterdir()} == {user}
    assert [each.stat().st_uid for each in (folder, etc / "pools", etc / "pools/lab.env")] == [0, 0, 0]
