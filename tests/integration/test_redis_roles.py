"""deploy/redis: each role can do its work with its own login, and nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import redis
from rq import Queue, Retry
from rq.serializers import JSONSerializer

from lustre_events import subscribe
from lustre_events.changelog.record import iter_records
from lustre_events.domain.rules.rules import DEFAULT_QUEUE
from lustre_events.inspect.status import collect
from lustre_events.jobs.messages import JOB_FUNCTION
from lustre_events.node.redis_server import RedisServer
from lustre_events.streams import keys
from lustre_events.streams.connection import connect
from lustre_events.streams.continuity import lose
from lustre_events.streams.history_state import HistoryState
from lustre_events.streams.interface import Loss
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.records import RedisRecordStreams
from lustre_events.streams.safety import check_safe
from tests.support.need import need
from tests.support.servers.redis import make_users
from tests.support.servers.roles import found
from tests.support.service.command import REPOSITORY, clean_environment, lustre_events
from tests.support.service.service import PARTS, Service
from tests.support.waiting import wait_for

DEPLOY = REPOSITORY / "deploy" / "redis"


def test_every_role_can_do_its_work(tmp_path: Path, roles_server: RedisServer, role_urls: dict[str, str]) -> None:
    """A file becomes a document while reader, dispatcher and worker each have only their own role's login."""
    with Service(tmp_path) as service:
        for name, argv in PARTS.items():
            service.start(
                *argv, environment={"LUSTRE_EVENTS_REDIS_URL": role_urls["worker" if name == "builtin" else name]}
            )
        subscription = subscribe("others", url=role_urls["subscriber"], from_start=True)
        (service.files / "a.csv").write_text("x,y\n1,2\n")
        wait_for(lambda: found(service, "name:a.csv AND size:8"), failure=service.log.read_text)
        status = looked("status", service, role_urls["web"])
        with connect(role_urls["dispatcher"], 5) as client:  # one job that is refused, one that is tried again
            queue = Queue(DEFAULT_QUEUE, connection=client, serializer=JSONSerializer)
            queue.enqueue("os.getcwd")
            queue.enqueue(JOB_FUNCTION, {"v": 99}, retry=Retry(max=1))
            wait_for(lambda: client.zcard(queue.failed_job_registry.key) == 2, failure=service.log.read_text)
        suspended = looked("extractor", service, role_urls["web"], "suspend", "stat")
        with subscription:
            names = [record.name for block in subscription.read(30.0) for record in iter_records(block.data)]
            subscription.ack()
        with connect(role_urls["admin"], 5) as admin:
            refused = [row for row in admin.acl_log() if row["reason"] != "auth"]
    assert b"local-MDT0000: read" in status
    assert b"problem" not in status
    assert b"stat" in suspended
    assert names[:1] == [b"a.csv"]
    assert refused == []


def test_the_history_reads_losses_and_says_how_far_it_is(role_urls: dict[str, str]) -> None:
    """The keeper's login suffices for what it tells the service, and the console's to read it."""
    loss = Loss("roles-MDT0001", 1, 5, 9, 7, "a test")
    with connect(role_urls["reader"], 5) as reader:
        lose(reader, loss)
        reader.sadd(keys.MDTS, loss.mdt)
    with connect(role_urls["history"], 5) as keeper, connect(role_urls["web"], 5) as web:
        assert loss in HistoryState(keeper).losses()
        HistoryState(keeper).publish({"bytes": "5", "waiting": "no room"})
        assert HistoryState(web).published() == {"bytes": "5", "waiting": "no room"}
    with connect(role_urls["admin"], 5) as admin:
        admin.srem(keys.MDTS, loss.mdt)
        admin.delete(keys.continuity(loss.mdt), keys.HISTORY_STATE)


def test_a_reader_whose_mdt_has_no_records_yet_is_told_of(role_urls: dict[str, str]) -> None:
    """From its first words on, `status` with the console's login names an MDT, though nothing was logged there."""
    with connect(role_urls["reader"], 5) as reader, connect(role_urls["web"], 5) as web:
        RedisReaderStream(reader, "quiet-MDT0007").publish({"updated_ns": 7})
        told = collect(None, RedisRecordStreams(web), None, None).mdts
    assert told is not None
    assert told["quiet-MDT0007"].updated_ns == 7
    assert told["quiet-MDT0007"].streams == []
    with connect(role_urls["admin"], 5) as admin:
        admin.delete(keys.READERS, keys.reader_state("quiet-MDT0007"))


def looked(command: str, service: Service, url: str, *more: str) -> bytes:
    done = lustre_events(
        command, *more, "--config", str(service.config),
        environment=clean_environment({"LUSTRE_EVENTS_REDIS_URL": url}),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


FORBIDDEN = {
    "reader": (
        "GET rq:job:1", "LPUSH rq:queue:default x", "RPUSH le:result:waiting a",
        "HSET le:dispatcher:committed:m 1 2",
    ),
    "dispatcher": ("CONFIG SET maxmemory 1", "SHUTDOWN", "ACL LIST"),
    "indexer": (
        "LRANGE le:result:waiting 0 -1", "LPOP le:result:waiting", "XRANGE le:stream:m:1 - +", "GET rq:job:1",
        "HSET le:dispatcher:state a b", "LPOP le:pool:p:results", "SADD le:pool:names x", "RPUSH le:courier:jobs x",
        "RPUSH le:document:waiting x", "SCAN 0", "DEL le:result:waiting", "DEL le:pool:p:results",
        "DEL le:pool:names", "RPUSH le:result:waiting x", "XADD le:request:waiting * request {}",
    ),
    "worker": (
        "LRANGE le:document:waiting 0 -1", "DEL le:document:waiting", "XADD le:document:portions * a b",
        "XRANGE le:stream:m:1 - +", "HGETALL le:reader:state:m", "LRANGE le:result:waiting 0 -1",
        "LPOP le:result:waiting", "LRANGE le:action:answers 0 -1", "DEL le:action:answers",
        "LTRIM le:result:waiting 1 0", "DEL le:stream:mdts", "DEL le:result:waiting", "DUMP le:result:waiting",
        "LLEN le:result:waiting", "COPY le:result:waiting rq:mine", "RENAME le:result:waiting rq:mine",
        "LMOVE le:result:waiting rq:mine LEFT LEFT", "LPUSH le:result:waiting x", "XADD le:result:waiting * a b",
        "SCRIPT FLUSH", "FUNCTION FLUSH", "SCAN 0", "RANDOMKEY", "EVAL return 0",
        "XADD le:request:waiting * request {}",
        "GET le:reader:lease:m", "RPUSH le:courier:jobs x", "RPUSH le:courier:answers x", "BLPOP le:courier:jobs 1",
    ),
    "courier": (
        "RPUSH le:courier:jobs x", "LRANGE le:courier:jobs 0 -1", "LRANGE le:courier:answers 0 -1", "GET rq:job:1",
        "BLPOP le:courier:answers 1", "DEL le:courier:jobs",
        "XRANGE le:stream:m:1 - +",
        "HGETALL le:dispatcher:state", "XADD le:request:waiting * request {}", "RPUSH le:result:waiting a",
        "EVAL return 0", "SCAN 0",
    ),
    "web": (
        "LPUSH rq:queue:default x", "RPUSH le:courier:jobs x", "RPUSH le:courier:answers x",
        "HSET le:reader:state:m mark 5", "RPUSH le:result:waiting a",
        "DEL le:stream:mdts",
        "DEL rq:queue:default", "XADD le:dispatcher:reply:1-0 * reply {}", "PUBLISH rq:pubsub:worker x",
    ),
    "dashboard": (
        "SADD rq:queues x", "LREM rq:queue:default 0 x", "DEL rq:job:1", "HSET rq:job:1 a b", "EVAL return 0",
        "GET le:reader:lease:m", "XRANGE le:stream:m:1 - +", "SMEMBERS le:stream:mdts",
    ),
    "subscriber": (
        "EVAL return 0", "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0", "SCRIPT LOAD x",
        "HSET le:reader:state:m mark 5", "LPUSH rq:queue:default x", "XTRIM le:stream:m:1 MAXLEN 0",
        "XADD le:stream:m:1 9-0 a b", "DEL le:dispatcher:state", "DEL le:stream:m:1", "DEL le:stream:mdts",
        "SADD le:stream:mdts other", "XGROUP CREATE le:stream:mdts g 0 MKSTREAM",
        "XGROUP DESTROY le:stream:m:1 g",
        "DEL le:group:names", "SREM le:group:names g", "HDEL le:group:lost:g f", "LPOP le:group:asked",
        "SCAN 0", "XDEL le:stream:m:1 1-0", "LRANGE le:result:waiting 0 -1", "GET rq:job:1",
        "HGETALL le:reader:continuity:m", "HSET le:history:state waiting x",
    ),
    "history": (
        "HSET le:reader:continuity:m accepted 9", "DEL le:history:state", "HGETALL le:reader:state:m",
        "HDEL le:history:state waiting", "RENAME le:history:state le:stream:mdts", "EVAL return 0", "GET rq:job:1",
    ),
}  # fmt: skip
EVERYBODY = ["FLUSHALL", "FLUSHDB", "CONFIG SET appendonly no", "KEYS *", "SWAPDB 0 1", "REPLICAOF a 1", "MONITOR",
             "MODULE LIST", "BGREWRITEAOF", "CLIENT KILL ID 1", "ACL LIST"]  # fmt: skip


@pytest.mark.parametrize("role", FORBIDDEN)
def test_no_role_can_do_anything_else(role: str, role_urls: dict[str, str]) -> None:
    """What belongs to another role, and what would harm the server, is refused for want of permission."""
    allowed = []
    with redis.Redis.from_url(role_urls[role]) as client:
        for words in [*FORBIDDEN[role], *EVERYBODY]:
            try:
                client.execute_command(*words.split())
                allowed.append(words)
            except redis.exceptions.NoPermissionError:
                pass
            except redis.ResponseError as exc:
                allowed.append(f"{words}: {exc}")
    assert allowed == []


def test_making_the_users_again_changes_no_password(role_passwords: Path) -> None:
    """The script is idempotent: nodes that have their files stay able to log in."""
    before = {path.name: path.read_text() for path in role_passwords.iterdir()}
    make_users(role_passwords)
    assert {path.name: path.read_text() for path in role_passwords.iterdir()} == before


def test_the_configuration_is_safe_and_speaks_tls_only(tmp_path: Path, role_passwords: Path) -> None:
    """A real server takes lustre-events.conf; it loses nothing by its settings, and answers only over TLS."""
    key, certificate = tmp_path / "redis.key", tmp_path / "redis.crt"
    subprocess.run(
        [need("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    port = free_port()
    text = (DEPLOY / "lustre-events.conf").read_text()
    for old, new in {
        "/etc/lustre-events/redis-users.acl": role_passwords / "redis-users.acl",
        "/etc/lustre-events/tls/redis.crt": certificate,
        "/etc/lustre-events/tls/redis.key": key,
        "/etc/lustre-events/tls/ca.crt": certificate,
        "tls-port 6379": f"tls-port {port}",
    }.items():
        assert old in text
        text = text.replace(old, str(new))
    (tmp_path / "redis.conf").write_text(text)
    url = (
        (role_passwords / "reader.env")
        .read_text()
        .split("=", 1)[1]
        .strip()
        .replace("localhost:6379", f"localhost:{port}")
        .replace("/etc/lustre-events/tls/ca.crt", str(certificate))
    )
    server = subprocess.Popen(
        [need("redis-server"), tmp_path / "redis.conf", "--dir", tmp_path, "--daemonize", "no"],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: answers(url))
        with connect(url, 5) as client:
            check_safe(client)
        assert not answers(url.replace("rediss://", "redis://").partition("?")[0])
    finally:
        server.terminate()
        server.wait(20)


def answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=2) as client:
            return bool(client.ping())
    except (redis.ConnectionError, OSError):
        return False


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])
