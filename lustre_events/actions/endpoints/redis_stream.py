"""Redis: each event is an entry of a stream, with its key in the field `key` and the CloudEvent in `event`.

    answer                                        what becomes of the run
    an id                                         done
    WRONGPASS NOAUTH NOPERM WRONGTYPE MOVED ASK   the endpoint is held; where MOVED leads is not followed
    any other refusal, nothing, too late          again later

Redis takes each entry or refuses it alone. One connection is for one delivery.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lustre_events.actions.delivery import Parcel
from lustre_events.actions.endpoints.connecting import Guarded, connected, login_over_tls, printable, secured
from lustre_events.actions.endpoints.interface import Deadline
from lustre_events.actions.run_transitions import AGAIN, ENDPOINT, OK, Attempt
from lustre_events.domain.rules.endpoints import SCHEMES, Endpoint
from lustre_events.errors import ConfigError

_PORT = 6379
_ENDPOINT_IS_WRONG = ("WRONGPASS", "NOAUTH", "NOPERM", "WRONGTYPE", "MOVED", "ASK", "ERR unknown command")
_WRONG_TYPES = (redis.AuthenticationError, redis.exceptions.NoPermissionError)


class _Connection(redis.Connection):
    """A connection to an address that was judged, behind TLS where the URL says so."""

    def __init__(self, endpoint: Endpoint, deadline: Deadline, guarded: Guarded) -> None:
        login = login_over_tls(endpoint, SCHEMES["redis"]) or (None, None)
        parts = urlsplit(endpoint.url)
        self._endpoint, self._deadline, self._guarded = endpoint, deadline, guarded
        self._tls = parts.scheme == SCHEMES["redis"][0]
        super().__init__(  # type: ignore[no-untyped-call]
            host=parts.hostname or "", port=parts.port or _PORT, db=int(parts.path.strip("/") or 0),
            username=login[0], password=login[1], socket_timeout=endpoint.timeout_seconds,
            retry=Retry(NoBackoff(), 0), protocol=2,
        )  # fmt: skip

    def _connect(self) -> socket.socket:
        plain = connected(self._endpoint, self.port, self._deadline)
        plain.settimeout(self._deadline.left())
        self._guarded.watch(plain)
        return secured(self._endpoint, plain) if self._tls else plain


class RedisSender:
    """See `interface.Sender`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def send(self, batch: Sequence[Parcel]) -> list[Attempt]:
        """Add the events to the stream, each of them by itself."""
        found: list[Attempt] = []
        try:
            with self._connection() as connection:
                commands = [self._command(event) for event in batch]
                connection.send_packed_command(connection.pack_commands(commands))
                found.extend(self._answer(connection) for _ in batch)
        except Exception as exc:  # noqa: BLE001 - whatever a stranger's server does is one sentence
            failed = self._failed(exc)
            found += [failed] * (len(batch) - len(found))
        return found

    def check(self) -> str:
        """Connect, log in where that is set, and add nothing. Raises ConfigError."""
        try:
            with self._connection() as connection:
                connection.send_command("PING")
                connection.read_response()
        except Exception as exc:
            raise ConfigError(f"endpoint {self._endpoint.name!r}: {self._failed(exc).error}") from exc
        return f"{self._endpoint.where} accepts connections"

    def close(self) -> None:
        """Nothing stays open."""

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Any]:
        deadline = Deadline(self._endpoint.timeout_seconds)
        guarded = Guarded(deadline)
        connection: Any = _Connection(self._endpoint, deadline, guarded)
        with guarded.until_deadline():
            try:
                connection.connect()
                yield connection
            finally:
                connection.disconnect()

    def _command(self, event: Parcel) -> tuple[Any, ...]:
        longest = ("MAXLEN", "~", self._endpoint.max_length) if self._endpoint.max_length else ()
        return ("XADD", self._endpoint.stream, *longest, "*", "key", event.key, "event", event.body)

    def _answer(self, connection: Any) -> Attempt:
        try:
            connection.read_response()
        except redis.ResponseError as exc:
            return self._failed(exc)
        return Attempt(OK)

    def _failed(self, exc: Exception) -> Attempt:
        where = self._endpoint.where
        if isinstance(exc, ConfigError):
            return Attempt(ENDPOINT, error=str(exc))
        if isinstance(exc, TimeoutError | redis.TimeoutError):
            return Attempt(AGAIN, error=f"{where}: no answer in time")
        said = f"{where}: {printable(str(exc)) or type(exc).__name__}"
        if isinstance(exc, _WRONG_TYPES) or str(exc).startswith(_ENDPOINT_IS_WRONG):
            return Attempt(ENDPOINT, error=f"{said}; check its login, and that {self._endpoint.stream} is a stream")
        return Attempt(AGAIN, error=said)
