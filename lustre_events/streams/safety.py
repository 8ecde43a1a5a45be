"""Whether a Redis is safe to use: it keeps what it is given, also over its own restart.

When Redis 7.0 starts it carries out the transactions of its append-only file with the rights of its user `default`,
also where that user is off. What `default` may not do is dropped, and its transaction with it; scripts are
transactions there too. Valkey 9 does not look at rights then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from lustre_events.errors import StreamError, StreamUnavailable, StreamUnsafe
from lustre_events.streams.connection import Client, place_of, redis_errors

OLDEST_VERSION = (6, 2)
"""XTRIM MINID came with it."""

_SAFE_SETTINGS = (
    ("appendonly", ("yes",), "keeps nothing on its disk", "appendonly yes"),
    ("appendfsync", ("everysec", "always"), "does not control when data reach its disk", "appendfsync everysec"),
    (
        "no-appendfsync-on-rewrite",
        ("no",),
        "does not write data to its disk while it rewrites its files",
        "no-appendfsync-on-rewrite no",
    ),
    (
        "maxmemory-policy",
        ("noeviction",),
        "discards data when its memory is full",
        "maxmemory-policy noeviction",
    ),
)
"""Setting, the values that lose no record, what any other value means, the safe setting."""

_GRANT = "ACL SETUSER default off resetpass '~*' '&*' +@all"
"""Gives `default` all rights, and lets nobody log in as it."""

_PROBES = (("XADD", "le:stream:probe", "*", "field", "value"), ("HSET", "rq:job:probe", "field", "value"))
"""Parts of transactions of ours and of RQ's."""

_COMMANDS = {"+@all": True, "allcommands": True, "-@all": False, "nocommands": False, "reset": False}
_KEYS = {"~*": True, "allkeys": True, "resetkeys": False, "reset": False}


def check_safe(client: Client) -> None:
    """Refuse a Redis that could lose records.

    A limit of the memory (maxmemory) is welcome: with noeviction a full Redis makes the readers wait.

    Raises:
        StreamUnsafe: the sentence contains the commands that make it safe.
    """
    where = place_of(client)
    _check_version(client, where)
    wrong = _wrong_settings(client, where)
    if replays_transactions(client) is False:
        save = "ACL SAVE" if acl_file(client) else "CONFIG REWRITE"
        wrong.append(("drops transactions when it starts (its user default lacks rights)", _GRANT, save))
    if wrong:
        commands = [command for _, command, _ in wrong] + list(dict.fromkeys(save for *_, save in wrong))
        raise StreamUnsafe(
            f"Redis at {where} {' and '.join(why for why, *_ in wrong)}, so records could be lost; "
            f"run: {'; '.join(f'redis-cli {command}' for command in commands)}"
        )


def _check_version(client: Client, where: str) -> None:
    with redis_errors(client):
        major, minor = str(client.info("server")["redis_version"]).split(".")[:2]
    version = (int(major), int(minor))
    if version < OLDEST_VERSION:
        raise StreamUnsafe(
            f"Redis at {where} is version {version[0]}.{version[1]}; upgrade it to "
            f"{OLDEST_VERSION[0]}.{OLDEST_VERSION[1]} or later"
        )


def _wrong_settings(client: Client, where: str) -> list[tuple[str, str, str]]:
    """Return what is wrong, the command that sets it right, and the one that keeps it so."""
    try:
        with redis_errors(client):
            found = {name: _setting(client, name) for name, *_ in _SAFE_SETTINGS}
    except StreamUnavailable:
        raise
    except StreamError as exc:
        raise StreamUnsafe(
            f"Redis at {where} does not let this user see whether it is safe ({exc}); "
            "run: redis-cli ACL SETUSER <user> +config|get"
        ) from exc
    return [
        (f"{why} ({name} is {found[name] or 'not set'})", f"CONFIG SET {safe}", "CONFIG REWRITE")
        for name, values, why, safe in _SAFE_SETTINGS
        if found[name] not in values
    ]


def replays_transactions(client: Client) -> bool | None:
    """Return whether `default` may do what our transactions do; None: this login may not ask.

    Raises:
        StreamUnavailable: Redis does not answer.
    """
    try:
        with redis_errors(client):
            said = [client.execute_command("ACL", "DRYRUN", "default", *probe) for probe in _PROBES]  # type: ignore[no-untyped-call]
        return all(each in {b"OK", "OK"} for each in said)
    except StreamUnavailable:
        raise
    except StreamError:  # not this login's to ask, or a Redis before 7.0
        pass
    try:
        with redis_errors(client):
            return default_may_everything(map(str, client.acl_list()))
    except StreamUnavailable:
        raise
    except StreamError:
        return None


def default_may_everything(lines: Iterable[str]) -> bool:
    """Return whether lines of an ACL file (or of ACL LIST) give `default` all rights, be it on or off."""
    rules = next((words[2:] for words in map(str.split, lines) if words[:2] == ["user", "default"]), None)
    if rules is None:
        return True  # Redis makes it itself, with all rights
    return _last(rules, _COMMANDS) and _last(rules, _KEYS)


def acl_file(client: Client) -> str:
    """Return the path of the ACL file on Redis's node; empty: there is none."""
    with redis_errors(client):
        return _setting(client, "aclfile")


def _last(rules: Iterable[str], meanings: Mapping[str, bool]) -> bool:
    found = [meanings[rule.lower()] for rule in rules if rule.lower() in meanings]
    return bool(found) and found[-1]


def _setting(client: Client, name: str) -> str:
    values = cast("dict[str, str]", client.config_get(name))
    return values.get(name, "")
