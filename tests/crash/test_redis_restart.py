"""Redis with the shipped roles, killed and started again: what it was given is there, and nobody else comes in."""

from __future__ import annotations

import contextlib
import re
import shlex
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from lustre_events import subscribe
from lustre_events.changelog.fid import FID
from lustre_events.errors import StreamUnsafe
from lustre_events.jobs.messages import Job, Result
from lustre_events.jobs.queues import RqQueues
from lustre_events.node.doctor import FAILURE, OK, WARNING, Finding
from lustre_events.node.doctor import redis as doctor
from lustre_events.node.redis_server import RedisServer
from lustre_events.streams import keys
from lustre_events.streams.connection import Client, connect
from lustre_events.streams.group_keeper import GroupKeeper
from lustre_events.streams.interface import Tail
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.records import RedisRecordStreams
from lustre_events.streams.results import RedisResults
from lustre_events.streams.safety import check_safe, default_may_everything, replays_transactions
from tests.support.model.fakes import MDT, block
from tests.support.servers.redis import WITH_ROLES, login, start_kind


@pytest.fixture(scope="module", params=WITH_ROLES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server with the shipped roles."""
    with start_kind(tmp_path_factory.mktemp("restart") / "redis", request.param) as running:
        yield running


@contextlib.contextmanager
def logged_in(server: RedisServer, role: str) -> Iterator[Client]:
    """Connect as a role."""
    with connect(login(server, role), 5.0) as client:
        yield client


def every_role_stores_something(server: RedisServer) -> None:
    """Let each role write what it writes, by scripts and by transactions."""
    with logged_in(server, "reader") as client:
        reader, tail = RedisReaderStream(client, MDT), Tail(0, 0)
        assert reader.lease(60.0)
        for index in range(1, 51):
            tail = reader.append(block(1, index), tail)
        reader.set_mark(7)
        reader.publish({"records_read": 50})
    with logged_in(server, "dispatcher") as client:
        GroupKeeper(client).join("others", from_start=True)  # what a subscriber asks for
    with subscribe("others", login(server, "subscriber"), from_start=True) as subscription:
        assert subscription.read(5.0)
    with logged_in(server, "dispatcher") as client:
        RedisRecordStreams(client).acknowledge(MDT, 1, 7)
        RqQueues(client, 60).enqueue("default", [Job("1", "stat", 1, -1, ())])
    with logged_in(server, "worker") as client:
        RedisResults(client).put([Result(fid=FID(1, 2), extractor="stat", serial=1, generation=1, status="ok")])
    with logged_in(server, "web") as client:
        client.xadd("le:request:waiting", {"request": b"{}", "seconds": 60})


def contents(server: RedisServer) -> dict[bytes, object]:
    """Return everything that is in Redis."""
    read: dict[Any, Callable[[redis.Redis, Any], object]] = {
        b"string": lambda client, key: client.get(key),
        b"hash": lambda client, key: client.hgetall(key),
        b"set": lambda client, key: client.smembers(key),
        b"list": lambda client, key: client.lrange(key, 0, -1),
        b"zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
        b"stream": lambda client, key: (client.xrange(key), client.xinfo_groups(key)),
    }
    with logged_in(server, "admin") as client:
        return {key: read[client.type(key)](client, key) for key in client.scan_iter()}


def test_what_every_role_stored_survives_a_restart_of_redis(server: RedisServer) -> None:
    """Streams, marks, committed positions, groups, jobs, results and requests: all of them, as they were."""
    every_role_stores_something(server)
    before = contents(server)
    server.kill()
    server.start()

    assert contents(server) == before
    families = ("stream", "reader:state", "reader:lease", "dispatcher:committed", "group", "request")
    for family in (*(f"le:{name}".encode() for name in families), keys.RESULTS.encode(), b"rq:job", b"rq:queue"):
        assert any(key.startswith(family) for key in before), family


REFUSALS = (b"-NOAUTH", b"-WRONGPASS", b"-ERR AUTH <password> called", b"-EXECABORT")
ANONYMOUS = ("PING", "SET a b", "MULTI", "AUTH default ''", "AUTH default x", "AUTH ''", "AUTH x", "HELLO 3",
             "HELLO 3 AUTH default ''", "HELLO 3 AUTH default nopass", "GET a", "EXEC", "ACL WHOAMI",
             "CONFIG GET dir", "SUBSCRIBE le", "EVAL 'return 1' 0")  # fmt: skip


def test_nobody_comes_in_without_a_role(server: RedisServer) -> None:
    """A client without a login, or with any word as the password of `default`, is refused whatever it sends."""
    allowed = []
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(5.0)
        raw.connect(login(server, "admin").rpartition("@")[2])
        answers = raw.makefile("rb")
        for words in ANONYMOUS:
            raw.sendall(f"{words}\r\n".encode())
            answer = answers.readline()
            if not answer.startswith(REFUSALS):
                allowed.append((words, answer))
        answers.close()
    assert allowed == []


def test_after_a_login_that_ended_nobody_is_anybody(server: RedisServer) -> None:
    """RESET makes a connection that of nobody, not that of the user who may replay."""
    user, password = login(server, "reader").removeprefix("unix://").partition("@")[0].split(":")
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(5.0)
        raw.connect(login(server, "admin").rpartition("@")[2])
        answers = raw.makefile("rb")
        heard = []
        for words in (f"AUTH {user} {password}", "PING", "RESET", "PING"):
            raw.sendall(f"{words}\r\n".encode())
            heard.append(answers.readline())
        answers.close()
    assert heard[:3] == [b"+OK\r\n", b"+PONG\r\n", b"+RESET\r\n"]
    assert heard[3].startswith(b"-NOAUTH")


def said(server: RedisServer, role: str) -> Finding:
    """Return what doctor says of transactions with a role's login."""
    with logged_in(server, role) as client:
        (finding,) = doctor.transactions(client)
    return finding


@pytest.mark.parametrize("role", ["reader", "dispatcher", "admin"])
def test_the_shipped_roles_are_well(server: RedisServer, role: str) -> None:
    """Doctor and the start of reader and dispatcher find nothing wrong with the shipped roles, and can see that."""
    with logged_in(server, role) as client:
        check_safe(client)
        assert replays_transactions(client)
    assert said(server, role).level == OK


def test_roles_that_lose_transactions_are_refused_until_the_command_of_the_refusal_ran(server: RedisServer) -> None:
    """Reader and dispatcher do not start on such a Redis, and the sentence has the commands that put it right."""
    with logged_in(server, "admin") as admin, logged_in(server, "reader") as reader:
        admin.execute_command("ACL", "SETUSER", "default", "reset", "off")
        with pytest.raises(StreamUnsafe, match=r"drops transactions.*ACL SETUSER.*; .*ACL SAVE") as exc:
            check_safe(reader)
        assert OK not in {finding.level for finding in doctor.transactions(reader)}
        assert [finding.level for finding in doctor.safety(reader)] == [FAILURE]
        for command in str(exc.value).partition("run: ")[2].split("; "):
            admin.execute_command(*shlex.split(command.removeprefix("redis-cli ")))
        check_safe(reader)
        assert said(server, "reader").level == OK
    test_nobody_comes_in_without_a_role(server)


def test_doctor_reads_the_acl_file_where_it_lies(server: RedisServer) -> None:
    """The file counts at the next start, whatever the running server has; a role that may not ask is told so."""
    with logged_in(server, "admin") as admin:
        path = Path(str(admin.config_get("aclfile")["aclfile"]))
        admin.execute_command("ACL", "SETUSER", "le-reader", "-acl|dryrun")  # as in roles of before
    shipped = path.read_text()
    try:
        path.write_text(re.sub("^user default .*$", "user default off", shipped, flags=re.MULTILINE))
        lost = said(server, "reader")
        path.rename(path.with_suffix(".away"))
        unseen = said(server, "reader")
    finally:
        path.with_suffix(".away").unlink(missing_ok=True)
        path.write_text(shipped)
        with logged_in(server, "admin") as admin:
            admin.acl_load()
    assert said(server, "reader").level == OK
    assert (lost.level, unseen.level) == (FAILURE, WARNING)
    for finding in (lost, unseen):
        assert "lustre-events setup redis" in finding.fix


@pytest.mark.parametrize(
    ("line", "everything"),
    [
        ("user other off", True),
        ("user default off", False),
        ("user default off ~* &* +@all", True),
        ("user default off sanitize-payload resetchannels -@all", False),
        ("user default on nopass allkeys allcommands", True),
        ("user default off +@all", False),
        ("user default off ~* &* +@all reset", False),
        ("user default off ~le:* &* +@all", False),
    ],
)
def test_the_rights_of_default_are_read_from_its_line(line: str, everything: bool) -> None:
    """The last word of a kind counts; a user `default` that the file does not name has all rights."""
    assert default_may_everything([line]) is everything
