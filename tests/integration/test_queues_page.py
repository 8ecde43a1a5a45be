"""The console's page of the queues, over a Redis in which somebody with a worker's login has left what he could."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import msgspec
import pytest
import redis
from flask.testing import FlaskClient

from lustre_events.changelog.fid import FID
from lustre_events.config.settings import WebSettings
from lustre_events.jobs.messages import JOB_FUNCTION, Job, JobItem, encode_job
from lustre_events.jobs.pool_states import PoolState, published
from lustre_events.jobs.queue_view import ALL_BYTES, look
from lustre_events.jobs.queues import RqQueues
from lustre_events.node.redis_server import RedisServer
from tests.support.service.hostile_queues import QUEUE, WORKER, everything, plant
from tests.support.service.web import OTHER, READER, Console, enter, make_console

JOB = Job("j1", "tabular", 1, 0, (JobItem(FID(1, 2, 3), 1, b"run/<b>\x1b.csv"), JobItem(FID(1, 2, 4), 1, b"b")))


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """The Redis of the queues."""
    with redis.Redis.from_url(redis_server.url) as made:
        made.flushall()
        yield made


@pytest.fixture
def console(tmp_path: Path, redis_server: RedisServer) -> Console:
    """A console over that Redis, with one admin."""
    made = make_console(tmp_path)
    made.redis_url, made.settings = redis_server.url, WebSettings(admins=(READER,), dashboard="https://site/rq/")
    return made


@pytest.fixture
def admin(console: Console) -> FlaskClient:
    """The admin's browser."""
    return enter(console.app(), READER)


def test_the_queues_are_for_admins(console: Console, client: redis.Redis) -> None:
    """The users that [web] admins names see queues, jobs and the way to the dashboard; others get a sentence."""
    RqQueues(client, 60).enqueue("default", [JOB])
    app = console.app()

    page = unescape(enter(app, READER).get("/queues").text)

    for part in ("default", "waiting", "tabular", "2: /mnt/lustre/run/<b>\\x1b.csv …", 'href="https://site/rq/"'):
        assert part in page
    refused = enter(app, OTHER).get("/queues")
    assert (refused.status_code, "for admins" in refused.text) == (403, True)
    assert "/queues" not in enter(app, OTHER).get("/").text


def test_pools_are_told_of(admin: FlaskClient, client: redis.Redis) -> None:
    """The page says of each pool what the dispatcher saw of it last: its jobs and workers, or why it waits."""
    states = {"far": PoolState(own=True, trouble="<b>away", waiting=17), "lab": PoolState(workers=23, refused=29)}
    client.hset("le:dispatcher:state", "pools", published(states))

    page = unescape(admin.get("/queues").text)

    for part in ("its jobs wait: <b>away", ">17</td>", ">23</td>", ">29</td>"):
        assert part in page
    client.hset("le:dispatcher:state", "pools", "[")
    assert admin.get("/queues").status_code == 200


def test_nothing_that_workers_write_is_run_or_markup(
    admin: FlaskClient, client: redis.Redis, tmp_path: Path
) -> None:
    """Pickles stay bytes, names stay text, keys of the wrong type cost only themselves, and nothing is changed."""
    plant(client, tmp_path / "owned")
    RqQueues(client, 60).enqueue("second", [JOB])
    before = everything(client)

    answer = admin.get("/queues")

    assert answer.status_code == 200, answer.text
    assert not (tmp_path / "owned").exists()
    assert not re.search(r"<(img|script(?![^>]*\bsrc=))", answer.text)
    for part in (WORKER, QUEUE, "not a lustre-events job", "tabular", "odd"):
        assert part in unescape(answer.text)
    assert everything(client) == before


def test_looking_is_bounded(client: redis.Redis) -> None:
    """However many members and bytes somebody stores, a page takes a bounded part of them."""
    for start in range(0, 20_000, 1_000):
        client.sadd("rq:queues", *(f"rq:queue:{number}" for number in range(start, start + 1_000)))
        client.rpush("rq:queue:1", *range(start, start + 1_000))
    client.hset("rq:job:0", mapping={"data": b"[" * (17 << 20), "status": "x" * 10_000})

    view = look(client)

    assert len(view.queues) <= 100
    assert len(view.jobs) <= 10 * 3 * len(view.queues)
    assert all(len(line.worker) <= 200 and line.job is None for line in view.jobs)


def test_jobs_are_bounded_together(admin: FlaskClient, client: redis.Redis) -> None:
    """However many jobs unpack to MBs each, a page reads some tens of MB of them, keeps little, and says so."""
    job = encode_job(msgspec.structs.replace(JOB, extractor="x" * (8 << 20)))
    long = zlib.compress(json.dumps([JOB_FUNCTION, None, [job], {}]).encode())
    for number in range(40):
        RqQueues(client, 60).enqueue(f"q{number // 8}", [msgspec.structs.replace(JOB, id=f"j{number}")])
        client.hset(f"rq:job:j{number}", "data", long)

    view = look(client)

    assert [line.unread for line in view.jobs] == [False] * (ALL_BYTES // (8 << 20) - 1) + [True] * 33
    assert "not read: the jobs hold more than a page reads" in admin.get("/queues").text


def test_nothing_but_a_form_of_ours_changes_anything(admin: FlaskClient, console: Console) -> None:
    """Each page that takes more than GET takes POST alone, and refuses it without this session's token.

    The API has no sessions: test_api.py.
    """
    changing = [
        rule
        for rule in console.app().url_map.iter_rules()
        if (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"} and not str(rule).startswith("/api/")
    ]

    assert {str(rule) for rule in changing} >= {"/failures", "/logout", "/login"}
    for rule in changing:
        assert (rule.methods or set()) - {"OPTIONS"} <= {"GET", "HEAD", "POST"}
        path = re.sub(r"<[^>]*>", "x", str(rule))
        assert admin.post(path, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 400
    assert admin.get("/rq/requeue/default").status_code == 404
