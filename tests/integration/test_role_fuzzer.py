"""With each role's login: every command that it has, with any argument. Nobody else stops, or loses anything.

Scripts are left out: whoever may run one can keep Redis busy (docs/security.md, "What is not stopped").
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import cast

import pytest
import redis

from lustre_events.jobs.messages import Result
from lustre_events.streams import keys
from lustre_events.streams.connection import Client, connect
from lustre_events.streams.results import RedisResults
from tests.support.model.fakes import MDT
from tests.support.profiles import scaled
from tests.support.records.builders import fid_of
from tests.support.service.logins import EPOCH, GARBAGE, KEYS, Place, place

__all__ = ["place"]
COMMANDS = 1_500
WAIT_SECONDS = 0.2
STREAM = keys.stream(MDT, EPOCH)
OWN: dict[str, tuple[str, ...]] = {
    "worker": ("rq:*", keys.RESULTS, keys.DOCUMENTS, keys.RUN_ANSWERS),
    "indexer": ("le:document:*", "le:pool:*:documents"),
    "pool": ("le:pool:lab:*",),
    "subscriber": (keys.ASKED,),
    "web": ("le:request*",),
    "dashboard": (),
    "courier": ("le:courier:jobs", "le:courier:answers"),
    "reader": ("le:stream:*", "le:reader:*"),
}
"""What a role may change; of all else not a byte may be another one afterwards."""

SUBCOMMANDS = {
    "XGROUP": ("CREATE", "CREATECONSUMER", "DELCONSUMER", "DESTROY", "SETID"),
    "XINFO": ("STREAM", "GROUPS", "CONSUMERS"),
    "CLIENT": ("KILL", "PAUSE", "UNPAUSE", "LIST", "SETNAME", "GETNAME", "NO-EVICT", "TRACKING", "UNBLOCK", "INFO"),
    "CONFIG": ("SET", "GET", "REWRITE", "RESETSTAT"),
    "ACL": ("SETUSER", "DELUSER", "LIST", "LOAD", "SAVE", "WHOAMI", "DRYRUN"),
    "SCRIPT": ("FLUSH", "KILL", "EXISTS"),
    "FUNCTION": ("FLUSH", "DELETE", "RESTORE"),
    "OBJECT": ("ENCODING", "FREQ"),
    "MEMORY": ("USAGE", "PURGE"),
    "CLUSTER": ("RESET", "FLUSHSLOTS"),
    "MODULE": ("LOAD", "UNLOAD"),
}
LEFT_OUT = {"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO", "MONITOR", "SYNC", "PSYNC"}
WORDS = (
    "*", ">", "$", "0", "1", "-1", "0-0", "5-0", "18446744073709551615-18446744073709551615",
    "9223372036854775807", "1e308", "nan", "(1", "+inf", "-inf", "LEFT", "RIGHT", "COUNT",
    "LIMIT", "BLOCK", "STREAMS", "GROUP", "MAXLEN", "MINID", "MKSTREAM", "NOMKSTREAM", "NX",
    "XX", "GET", "PX", "EX", "KEEPTTL", "REPLACE", "STORE", "BY", "MATCH",
    "FORCE", "audit", "c", "field", "data", "first", "state", "busy", "~",
    "=",
)  # fmt: skip


@pytest.mark.parametrize("role", OWN)
def test_no_command_of_a_role_reaches_what_is_others(role: str, place: Place) -> None:
    """After thousands of commands all that the role may not write is as before, and everybody goes on."""
    result = Result(fid=fid_of(1), extractor="text", serial=1, generation=1, status="gone")
    RedisResults(place.admin).put([result])
    waiting = place.admin.lrange(keys.RESULTS, 0, -1)
    before = others(place.admin, OWN[role])

    carried_out = attack(place.url(role), KEYS.get(role, ()), scaled(COMMANDS))

    assert carried_out > 10
    assert others(place.admin, OWN[role]) == before
    if role != "reader":
        assert place.admin.lrange(keys.RESULTS, 0, 0) == waiting, "what is on its way is neither lost nor forged"
        assert [group["name"] for group in place.admin.xinfo_groups(STREAM)] == [b"audit"]
    place.step()
    place.look()
    with contextlib.suppress(redis.ResponseError):
        place.admin.delete(*(key for key in all_keys(place.admin) if is_own(key, OWN[role])))
    place.step()
    assert place.step() == ""


def attack(url: str, own: tuple[str, ...], count: int) -> int:
    """Give this number of commands; return how many were carried out. From a fixed seed."""
    chance = random.Random(9)
    names = [
        STREAM,
        keys.RESULTS,
        keys.GROUPS,
        keys.MDTS,
        keys.DISPATCHER_STATE,
        keys.lease(MDT),
        "rq:queues",
        *own,
        *own,
    ]
    carried_out = 0
    with connect(url, WAIT_SECONDS) as client:
        commands = known(client)
        for _ in range(count):
            command = chance.choice(commands)
            words = [*command, *arguments(chance, names)]
            try:
                client.execute_command(*words)
                carried_out += 1
            except redis.exceptions.NoPermissionError as exc:
                if "run the" in str(exc) and len(commands) > 1:
                    commands.remove(command)
            except (redis.RedisError, ValueError, TypeError, LookupError, AttributeError):
                client.connection_pool.disconnect()
    return carried_out


def known(client: Client) -> list[tuple[str, ...]]:
    """Return all commands of this server that leave a connection usable."""
    listed = {
        "APPEND", "BLMOVE", "BLPOP", "BRPOP", "COPY", "DECR", "DEL", "EXISTS", "EXPIRE",
        "FLUSHALL", "FLUSHDB", "GETDEL", "HDEL", "HGETALL", "HINCRBY", "HSET", "INCR", "KEYS",
        "LINSERT", "LLEN", "LMOVE", "LPOP", "LPUSH", "LRANGE", "LREM", "LSET", "LTRIM",
        "MIGRATE", "MOVE", "MSET", "PERSIST", "PEXPIRE", "PUBLISH", "RENAME", "RENAMENX", "RESTORE",
        "RPOP", "RPUSH", "SADD", "SAVE", "SCARD", "SET", "SETRANGE", "SHUTDOWN", "SISMEMBER",
        "SMEMBERS", "SORT", "SPOP", "SREM", "SWAPDB", "TYPE", "UNLINK", "XACK", "XADD",
        "XAUTOCLAIM", "XCLAIM", "XDEL", "XLEN", "XPENDING", "XRANGE", "XREAD", "XREADGROUP", "XREVRANGE",
        "XSETID", "XTRIM", "ZADD", "ZCARD", "ZRANGE", "ZRANGEBYSCORE", "ZREM", "ZREMRANGEBYRANK", "ZSCORE",
        "INFO", "PING", "DEBUG", "REPLICAOF", "FAILOVER", "BGREWRITEAOF", "BGSAVE", "HMGET", "HGET",
        "GET", "TTL",
    }  # fmt: skip
    connection = client.connection_pool.get_connection()
    with contextlib.suppress(redis.RedisError):  # an older server has no such list
        connection.send_command("COMMAND", "LIST")
        listed |= {name.decode().partition("|")[0].upper() for name in connection.read_response()}
    client.connection_pool.release(connection)
    plain = [(name,) for name in sorted(listed - LEFT_OUT - SUBCOMMANDS.keys()) if "SUBSCRIBE" not in name]
    return plain + [(name, sub) for name, subs in sorted(SUBCOMMANDS.items()) for sub in subs]


def arguments(chance: random.Random, names: list[str]) -> Iterator[str | bytes]:
    """Yield a key in most cases, and then anything."""
    if chance.random() < 0.9:
        yield chance.choice(names)
    words: list[str | bytes] = [*WORDS, *GARBAGE, *names]
    for _ in range(chance.randrange(6)):
        yield chance.choice(words)


def others(admin: Client, own: tuple[str, ...]) -> dict[bytes, bytes | None]:
    """Return all that a role may not change; groups have times of their own, which reading moves."""
    return {
        key: b"" if key == STREAM.encode() else content(admin, key)
        for key in all_keys(admin)
        if not is_own(key, own)
    } | {STREAM.encode(): repr(admin.xrange(STREAM) if not is_own(STREAM.encode(), own) else "").encode()}


def content(admin: Client, key: bytes) -> bytes | None:
    """Return what is in a key. Redis moves fields of hashes and members of sets about when somebody reads them."""
    kind = admin.type(key)
    if kind == b"hash":
        return repr(sorted(admin.hgetall(key).items())).encode()
    return repr(sorted(admin.smembers(key))).encode() if kind == b"set" else admin.dump(key)


def all_keys(admin: Client) -> list[bytes]:
    """Return all keys, sorted."""
    return sorted(cast("list[bytes]", admin.keys("*")))


def is_own(key: bytes, own: tuple[str, ...]) -> bool:
    """Whether a role may write a key."""
    return any(fnmatchcase(key.decode("latin-1"), pattern) for pattern in own)


def test_the_attack_reaches_all_that_its_login_lets(place: Place) -> None:
    """The same commands with a login that may do nearly all change what is others': the test above can fail."""
    before = others(place.admin, ())
    attack(place.url("dispatcher"), (), 500)
    assert others(place.admin, ()) != before
