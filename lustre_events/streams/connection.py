"""The connection to Redis: time limits on purpose, our errors, and the scripts.

redis-py repeats a command ten times by default; a plain RPUSH during a stall was then applied twice. Here
nothing is repeated behind the caller's back: each caller knows what may be sent again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.resources import files

import redis
from redis._parsers import Encoder
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.connection import PythonRespSerializer
from redis.retry import Retry

from lustre_events.errors import (
    ConfigError,
    StreamDamaged,
    StreamError,
    StreamForbidden,
    StreamFull,
    StreamUnavailable,
)

Client = redis.Redis

_TRANSIENT = ("MISCONF", "LOADING", "BUSY", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "EXECABORT")
_TRANSIENT_TYPES = (redis.exceptions.ReadOnlyError, redis.exceptions.NoScriptError, redis.exceptions.ExecAbortError)
"""Refusals that end without a change of ours: the disk of the AOF is full, a replica takes over, ..."""


_DAMAGED = ("WRONGTYPE", "user_script", "Invalid stream ID")
"""A key of another type, or a script that could not go on with what it found."""
_MOST_CHARACTERS = 300
_JOINED_BYTES = 6000
"""Arguments longer than this are sent as they are, without a copy; the figure of redis-py."""
_ENCODER = Encoder("utf-8", "strict", decode_responses=False)  # type: ignore[no-untyped-call]
_PACKER = PythonRespSerializer(_JOINED_BYTES, _ENCODER.encode)
"""Writes commands in Python: what hiredis 3.5 does it with crashes where a signal handler raises meanwhile."""


def connect(url: str, timeout_seconds: float, retry: Retry | None = None) -> Client:
    """Return a client of the Redis at `url`, which answers; see `client_of`.

    Raises:
        ConfigError: that is no Redis URL.
        StreamUnavailable: nobody answers there.
    """
    client = client_of(url, timeout_seconds, retry)
    try:
        with redis_errors(client):
            client.ping()
    except StreamError:
        client.close()
        raise
    return client


def client_of(url: str, timeout_seconds: float, retry: Retry | None = None) -> Client:
    """Return a client of the Redis at `url` that waits at most `timeout_seconds` for anything; it asks nothing yet.

    `retry` decides which commands are given again; None: none is. Raises ConfigError: that is no Redis URL.
    """
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=retry or Retry(NoBackoff(), 0),
            protocol=2,
            decode_responses=False,
            command_packer=_PACKER,
        )
    except (ValueError, TypeError):
        # Neither the URL nor what redis-py says about it is shown: both can hold the password.
        raise ConfigError(
            "[redis] url is not a URL of Redis; write redis://HOST:PORT/DB or unix:///PATH, with %40 for @ in a "
            "password"
        ) from None


def place_of(client: Client) -> str:
    """Return where a client's Redis is, for messages; without its password."""
    where = client.get_connection_kwargs()
    return str(where["path"]) if "path" in where else f"{where.get('host', 'localhost')}:{where.get('port', 6379)}"


@contextmanager
def redis_errors(client: Client) -> Iterator[None]:
    """Raise our errors for those of redis-py.

    Raises:
        StreamUnavailable: no connection, no answer in time, or Redis cannot work for the moment. Whether the
            command was carried out is then unknown.
        StreamFull: no memory left.
        StreamDamaged: a key is of another type, or what it holds cannot be understood.
        StreamError: any other refusal; repeating the command will not help.
    """
    try:
        yield
    except redis.AuthenticationError as exc:
        raise StreamUnavailable(
            f"Redis at {place_of(client)} refuses the login ({exc}); check user and password in [redis] url"
        ) from exc
    except (redis.ConnectionError, redis.TimeoutError, OSError) as exc:
        raise StreamUnavailable(
            f"Redis at {place_of(client)} does not answer ({exc}); check that it runs, and [redis] url"
        ) from exc
    except redis.RedisError as exc:
        text = str(exc)
        if isinstance(exc, redis.exceptions.OutOfMemoryError) or "OOM command not allowed" in text:
            raise StreamFull(
                f"Redis at {place_of(client)} has no memory left; start the dispatcher if it is down, "
                "or raise maxmemory"
            ) from exc
        if isinstance(exc, redis.exceptions.NoPermissionError):
            raise StreamForbidden(f"Redis at {place_of(client)} refused a command: {text}") from exc
        if any(sign in text for sign in _DAMAGED):
            raise _damaged(client, text) from exc
        if isinstance(exc, _TRANSIENT_TYPES) or text.startswith(_TRANSIENT):
            raise StreamUnavailable(f"Redis at {place_of(client)} cannot work for now: {text}") from exc
        raise StreamError(f"Redis at {place_of(client)} refused a command: {text}") from exc
    except (ValueError, TypeError, LookupError) as exc:  # of reading an answer
        raise _damaged(client, f"{type(exc).__name__}: {exc}") from exc


def _damaged(client: Client, text: str) -> StreamDamaged:
    return StreamDamaged(
        f"Redis at {place_of(client)} holds something that does not belong there ({printable_text(text)}); "
        "look with redis-cli at the type and content of its keys, and remove what is not of lustre-events"
    )


def printable_text(value: bytes | str) -> str:
    """Return what a stranger may have written as a short line that can be shown, stored and compared."""
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
    exact = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    return exact if len(exact) <= _MOST_CHARACTERS else f"{exact[:_MOST_CHARACTERS]}..."


def load_script(client: Client, name: str) -> Script:
    """Return the script `name`.lua beside this module, ready to be called with keys and arguments."""
    return client.register_script(_script_text(name))


@cache
def _script_text(name: str) -> str:
    return (files(__package__) / f"{name}.lua").read_text(encoding="utf-8")


def publish(
    client: Client, key: str, state: Mapping[str, int | str], listed: tuple[str, str] | None = None
) -> None:
    """Merge fields into a state hash, also when Redis's memory is full. Raises as `redis_errors`.

    `listed`: the key of a set, and the name that is to be in it.
    """
    if state:
        places, name = ([key, listed[0]], listed[1]) if listed else ([key], "")
        with redis_errors(client):
            load_script(client, "publish")(places, [name, *(part for field in state.items() for part in field)])
