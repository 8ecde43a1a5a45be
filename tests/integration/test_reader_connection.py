"""Which Redis is accepted, and how its failures are said."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import redis

from lustre_events.changelog.fid import FID
from lustre_events.errors import ConfigError, StreamError, StreamUnavailable, StreamUnsafe
from lustre_events.jobs.messages import Result
from lustre_events.node.redis_server import RedisServer
from lustre_events.streams import keys
from lustre_events.streams.codec import MAX_BLOCK_BYTES, compress, decompress
from lustre_events.streams.connection import connect
from lustre_events.streams.interface import Tail
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.records import RedisRecordStreams
from lustre_events.streams.results import ID_BYTES, RedisResults
from lustre_events.streams.safety import check_safe
from tests.support.model.fakes import MDT, block, indexes_of
from tests.support.servers.redis import start_redis

RESULT = Result(fid=FID(1, 1), extractor="x", serial=1, generation=1, status="gone")


def test_a_private_server_is_safe(redis_server: RedisServer) -> None:
    """The server that this project starts is one that it accepts, also with a limit of its memory."""
    with connect(redis_server.url, 5.0) as client:
        client.config_set("maxmemory", "100mb")
        check_safe(client)

        assert client.config_get("maxmemory")


@pytest.mark.parametrize(
    ("setting", "value", "command"),
    [
        ("maxmemory-policy", "allkeys-lru", "CONFIG SET maxmemory-policy noeviction"),
        ("maxmemory-policy", "volatile-ttl", "CONFIG SET maxmemory-policy noeviction"),
        ("appendonly", "no", "CONFIG SET appendonly yes"),
        ("appendfsync", "no", "CONFIG SET appendfsync everysec"),
        ("no-appendfsync-on-rewrite", "yes", "CONFIG SET no-appendfsync-on-rewrite no"),
    ],
)
def test_an_unsafe_redis_is_refused(redis_server: RedisServer, setting: str, value: str, command: str) -> None:
    """A Redis that could lose records is refused, with the command that makes it safe, which does."""
    with connect(redis_server.url, 5.0) as client:
        client.config_set(setting, value)

        with pytest.raises(StreamUnsafe, match=command) as caught:
            check_safe(client)
        assert setting in str(caught.value)
        client.config_set(*command.split()[2:])
        check_safe(client)
        wait_for_rewrite(client)


def wait_for_rewrite(client: redis.Redis) -> None:
    """Wait until Redis has written its first AOF; it does not end before."""
    deadline = time.monotonic() + 60
    while any(client.info("persistence")[f"aof_rewrite_{what}"] for what in ("in_progress", "scheduled")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_all_reasons_are_given_at_once(redis_server: RedisServer) -> None:
    """Two unsafe settings are named in one sentence."""
    with connect(redis_server.url, 5.0) as client:
        client.config_set("appendonly", "no")
        client.config_set("maxmemory-policy", "allkeys-random")

        with pytest.raises(StreamUnsafe, match=r"appendonly yes.*maxmemory-policy noeviction"):
            check_safe(client)


def test_a_user_without_config_is_refused(redis_server: RedisServer) -> None:
    """Whether Redis is safe must be visible; the sentence says what to allow."""
    with connect(redis_server.url, 5.0) as client:
        client.execute_command("ACL", "SETUSER", "reader", "on", ">secret", "~le:*", "+@all", "-config")
    limited = redis_server.url.replace("unix://", "unix://reader:secret@")

    with connect(limited, 5.0) as client, pytest.raises(StreamUnsafe, match=r"\+config\|get"):
        check_safe(client)


def test_nobody_answers(tmp_path: Path) -> None:
    """A missing server is one sentence with the place, in time."""
    with pytest.raises(StreamUnavailable, match=r"nowhere\.sock does not answer"):
        connect(f"unix://{tmp_path}/nowhere.sock", 5.0)
    with pytest.raises(StreamUnavailable, match=r"127\.0\.0\.1:1 does not answer"):
        connect("redis://127.0.0.1:1/0", 5.0)


def test_a_wrong_password_is_said_without_it(redis_server: RedisServer) -> None:
    """A refused login names the setting, and never prints the password."""
    with pytest.raises(StreamUnavailable, match="refuses the login") as caught:
        connect(redis_server.url.replace("unix://", "unix://me:hunter2@"), 5.0)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://localhost", "", "redis://localhost?socket_timeout=soon"])
def test_a_wrong_url_is_a_setting(url: str) -> None:
    """Text that is no Redis URL is an error of the configuration."""
    with pytest.raises(ConfigError, match="redis://HOST:PORT/DB"):
        connect(url, 5.0)


def test_nothing_is_repeated_behind_our_back(redis_server: RedisServer) -> None:
    """A command that gets no answer in time fails once and is not sent again."""
    with connect(redis_server.url, 0.3) as client, redis.Redis.from_url(redis_server.url) as other:
        streams = RedisRecordStreams(client)
        begun = time.monotonic()
        other.execute_command("CLIENT", "PAUSE", 2000, "ALL")

        with pytest.raises(StreamUnavailable, match="does not answer"):
            streams.publish({"n": 1})
        assert time.monotonic() - begun < 1.8
        other.execute_command("CLIENT", "UNPAUSE")
        assert int(other.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)) <= 1


def test_a_long_wait_is_no_timeout(redis_server: RedisServer) -> None:
    """Waiting for records longer than the connection's time limit is not an error."""
    with connect(redis_server.url, 0.3) as client:
        begun = time.monotonic()

        assert RedisRecordStreams(client).read({(MDT, 1): 0}, 1 << 20, 0.8) == []
        assert 0.75 < time.monotonic() - begun < 15


def test_damaged_and_unknown_blocks_are_named(redis_url: str) -> None:
    """A block that cannot be used is left alone, and said with its key and id."""
    with connect(redis_url, 5.0) as client:
        reader, records = RedisReaderStream(client, MDT), RedisRecordStreams(client)
        reader.lease(10.0)
        tail = reader.append(block(1, 1), Tail(0, 0))
        key = f"le:stream:{MDT}:1"
        good = client.xrange(key)[0][1]
        for index, fields in (
            (2, good | {b"codec": b"brotli9"}),
            (3, good | {b"data": good[b"data"][:-1]}),
            (4, good | {b"data": good[b"data"][:-3] + b"xyz"}),
            (5, {b"codec": b"zstd"}),
            (6, good | {b"data": b"text"}),
        ):
            client.xadd(key, fields, id=f"{index}-0")
            assert records.read({(MDT, 1): index - 1}, 1, 0) == []
            assert f"block {index}-0 of {key}" in records.damaged[MDT, 1]
        assert indexes_of(records.read({(MDT, 1): 0}, 1, 0)) == [1]
        assert tail == Tail(1, 1)


def test_results_that_cannot_be_read_block_nobody(redis_url: str) -> None:
    """An entry of nonsense comes without results, so that it can be acknowledged."""
    with connect(redis_url, 5.0) as client:
        results = RedisResults(client)
        entries = [b"", b"short", b"\xff" * ID_BYTES, b"a" * ID_BYTES + b"{nonsense", b"b" * ID_BYTES + b"\xff"]
        client.rpush(keys.RESULTS, *entries)

        found = results.read(10)
        assert [each for _, each in found] == [[]] * len(entries)
        results.acknowledge([entry_id for entry_id, _ in found])
        assert results.read(10) == []


def test_results_that_nobody_has_read_are_not_forgotten(redis_url: str) -> None:
    """Who acknowledges late, or twice, forgets nothing that came meanwhile."""
    with connect(redis_url, 5.0) as client:
        results = RedisResults(client)
        results.put([RESULT])
        [(first, _)] = results.read(10)
        results.put([RESULT])
        results.acknowledge([first])
        results.acknowledge([first])

        [(second, found)] = results.read(10)
        assert second != first
        assert found == [RESULT]
        results.put([RESULT])
        results.acknowledge([results.read(10)[1][0]])
        assert len(results.read(10)) == 2


def test_codecs() -> None:
    """Each codec gives back what it got; unknown names and too much data are refused."""
    data = block(1, *range(1, 200)).data

    for codec in ("zstd", "raw"):
        assert decompress(codec, compress(codec, data), "here") == data
    assert len(compress("zstd", data)) < len(data) // 4
    with pytest.raises(StreamError, match="lzma"):
        compress("lzma", data)
    with pytest.raises(StreamError, match="lower block_bytes"):
        compress("raw", bytes(MAX_BLOCK_BYTES + 1))


def test_the_codec_is_a_setting(redis_url: str) -> None:
    """Blocks of different codecs can follow one another in a stream."""
    with connect(redis_url, 5.0) as client:
        tail = Tail(0, 0)
        for index, codec in enumerate(("raw", "zstd", "raw"), 1):
            reader = RedisReaderStream(client, MDT, codec=codec, token="one")  # noqa: S106 - no password
            reader.lease(10.0)
            tail = reader.append(block(7, index), tail)

        assert indexes_of(RedisRecordStreams(client).read({(MDT, 7): 0}, 1 << 20, 0)) == [1, 2, 3]


def test_a_restarted_redis_knows_its_scripts_again(tmp_path: Path) -> None:
    """After a restart of Redis the same stream object goes on, with its lease and its tail."""
    with start_redis(tmp_path / "redis") as server, connect(server.url, 5.0) as client:
        reader = RedisReaderStream(client, MDT)
        reader.lease(60.0)
        tail = reader.append(block(1, 1, 2), Tail(0, 0))
        RedisRecordStreams(client).acknowledge(MDT, 1, 2)
        server.stop()

        with pytest.raises(StreamUnavailable):
            reader.append(block(1, 3), tail)
        server.start()
        assert reader.lease(60.0)
        assert reader.tail() == tail
        assert reader.append(block(1, 3), tail) == Tail(1, 3)
        assert reader.stored() == 0
