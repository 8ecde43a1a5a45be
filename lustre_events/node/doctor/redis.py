"""Redis's side: version, what it keeps, its memory, who may do what, and its clock."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from lustre_events.errors import StreamError, StreamForbidden, StreamUnavailable, StreamUnsafe
from lustre_events.node.doctor.findings import Finding, failure, ok, warning
from lustre_events.streams.connection import Client, place_of, redis_errors
from lustre_events.streams.safety import acl_file, check_safe, default_may_everything, replays_transactions

SKEW_SECONDS = 1.0
"""The order of two MDTs' records depends on clocks; NTP keeps them within milliseconds."""
FULL = 0.75
NEARLY_FULL = 0.9
MEBIBYTE = 1 << 20


def safety(client: Client) -> Iterator[Finding]:
    """Look whether Redis keeps what it is given."""
    try:
        check_safe(client)
    except StreamUnsafe as exc:
        if isinstance(exc.__cause__, StreamForbidden):
            yield from _as_told(client)
            return
        text, _, command = str(exc).partition("; run: ")
        yield failure("Redis", text, command or "upgrade it")
        return
    with redis_errors(client):
        info = client.info()
    yield ok(
        "Redis",
        f"version {info['redis_version']} at {place_of(client)} keeps an append-only file and evicts nothing",
    )
    yield from persistence(info)
    yield from memory(info, private=_private(client))


def _as_told(client: Client) -> Iterator[Finding]:
    """Look at what INFO says, for a login that may not ask for settings; readers and dispatcher see the rest."""
    with redis_errors(client):
        info = client.info()
    wrong = []
    if not info.get("aof_enabled"):
        wrong.append("it keeps nothing on its disk")
    if info.get("maxmemory_policy", "noeviction") != "noeviction":
        wrong.append("it discards data when its memory is full")
    for text in wrong:
        yield failure("Redis", text, "on Redis's node: lustre-events setup redis")
    if not wrong:
        yield ok("Redis", f"version {info['redis_version']} at {place_of(client)} keeps an append-only file")
    yield from persistence(info)
    yield from memory(info)


def persistence(info: Mapping[str, Any]) -> Iterator[Finding]:
    """Look at what INFO says of the append-only file."""
    for field in ("aof_last_write_status", "aof_last_bgrewrite_status"):
        if info.get(field, "ok") != "ok":
            yield failure("Redis", f"its append-only file cannot be written ({field} is {info[field]})",
                          "make room on its disk, and look into its log")  # fmt: skip


def memory(info: Mapping[str, Any], *, private: bool = False) -> Iterator[Finding]:
    """Look at its memory: a limit, and room below it. `private`: it is the server that `run` has started."""
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if not limit and private:
        yield warning("Redis memory", "it has no limit, so a long outage of the dispatcher fills this node",
                      "for more than a trial: lustre-events setup redis, and name it in [redis] url")  # fmt: skip
    elif not limit:
        yield warning("Redis memory", "it has no limit, so a long outage of the dispatcher fills the node",
                      "redis-cli CONFIG SET maxmemory 4gb; redis-cli CONFIG REWRITE")  # fmt: skip
    if not limit:
        return
    share = used / limit
    text = f"{used // MEBIBYTE} MiB of {limit // MEBIBYTE} MiB are used ({share:.0%})"
    if share < FULL:
        yield ok("Redis memory", text)
    elif share < NEARLY_FULL:
        yield warning("Redis memory", f"{text}; subscriber groups are cut off",
                      "check that the dispatcher runs: lustre-events status")  # fmt: skip
    else:
        yield failure("Redis memory", f"{text}; the readers wait",
                      "start the dispatcher, or redis-cli CONFIG SET maxmemory to more")  # fmt: skip


def transactions(client: Client) -> Iterator[Finding]:
    """Look whether Redis still has the transactions after its next start; that a login sees they go, `safety` says.

    What counts then is the ACL file: it is read where it lies on this node.
    """
    running, path = replays_transactions(client), Path(acl_file(client))
    written = _file_replays(path)
    remedy = "lustre-events setup redis"
    if written is False:
        yield failure(
            "Redis transactions",
            f"{path} takes rights from the user default, so Redis drops all transactions at its next start", remedy,
        )  # fmt: skip
    elif running is False:
        return
    elif running or written:
        yield ok("Redis transactions", "they survive a restart of Redis")
    else:
        yield warning(
            "Redis transactions",
            "this login may not check whether they survive a restart of Redis; with older roles they do not",
            f"on Redis's node: {remedy}",
        )  # fmt: skip


def _file_replays(path: Path) -> bool | None:
    try:
        return default_may_everything(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError):  # there is none, or it lies on Redis's node
        return None


def folder(client: Client) -> str:
    """Return where Redis has its data, on its own node."""
    with redis_errors(client):
        return str(cast("dict[str, str]", client.config_get("dir")).get("dir", ""))


def login(client: Client) -> Iterator[Finding]:
    """Look whether the login is one of a role (deploy/redis)."""
    try:
        with redis_errors(client):
            name = str(client.acl_whoami())
    except StreamUnavailable:
        raise
    except StreamError:
        name = str(client.get_connection_kwargs().get("username") or "default")  # it may not even ask
    if name == "default" and _private(client):
        yield ok("Redis login", f"a private Redis at {place_of(client)}, which no other account reaches")
    elif name == "default":
        yield warning("Redis login", "this process is Redis's user `default`, who may do everything",
                      "lustre-events setup redis")  # fmt: skip
    else:
        yield ok("Redis login", f"this process is the user {name}")


def _private(client: Client) -> bool:
    """Return whether Redis is at a Unix socket in a folder that is closed to all other accounts."""
    path = client.get_connection_kwargs().get("path")
    try:
        return bool(path) and not Path(str(path)).parent.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    except OSError:
        return False


def clocks(
    client: Client, readers: Mapping[str, Mapping[str, str]], now_ns: int | None = None
) -> Iterator[Finding]:
    """Compare the clocks of this node, of Redis's and, as far as they can be seen, of the readers' nodes."""
    with redis_errors(client):
        seconds, micros = client.time()
    here_ns = time.time_ns() if now_ns is None else now_ns
    redis_ns = (seconds * 1_000_000 + micros) * 1_000
    skews = {"Redis's node": (redis_ns - here_ns) / 1e9}
    for mdt, state in readers.items():
        said = int(state.get("updated_ns", 0))
        if said > redis_ns:  # a reader that is silent says nothing about its clock, one of the future does
            skews[f"the node of {mdt}'s reader"] = (said - here_ns) / 1e9
    wrong = {who: skew for who, skew in skews.items() if abs(skew) > SKEW_SECONDS}
    if wrong:
        text = ", ".join(
            f"{who} is {abs(skew):.1f} s {'ahead' if skew > 0 else 'behind'}" for who, skew in wrong.items()
        )
        yield failure("clocks", f"{text} (of this node)", "chronyc tracking; start chronyd where it does not run")
    else:
        yield ok("clocks", f"no clock that can be seen from here is off by more than {SKEW_SECONDS:g} s")
