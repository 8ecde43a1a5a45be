"""NATS: each event is published on a subject, and is done when JetStream acknowledges that a stream holds it.

The key is the header `Nats-Msg-Id`, so a stream keeps what is sent again only once within its duplicate window.

    answer                                              what becomes of the run
    an acknowledgement                                  done
    a wrong login or permission, no stream, no TLS      the endpoint is held
    too large for the server or the stream              dead, and the others are sent
    another refusal, nothing, too late                  again later

One connection is for one delivery. Other servers that the server names are not followed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lustre_events.actions.delivery import Parcel
from lustre_events.actions.endpoints.addresses import Look, resolved
from lustre_events.actions.endpoints.connecting import (
    MOST_ADDRESSES,
    library,
    login_over_tls,
    printable,
    tls_context,
)
from lustre_events.actions.endpoints.interface import Deadline
from lustre_events.actions.run_transitions import AGAIN, ENDPOINT, OK, REFUSED, Attempt
from lustre_events.domain.rules.endpoints import SCHEMES, Endpoint
from lustre_events.errors import ConfigError

if TYPE_CHECKING:
    from nats.aio.client import Client

_PORT = 4222
_CLOSE_SECONDS = 0.5
_CONTENT_TYPE = "application/cloudevents+json"
_TOO_LARGE = 10054
"""What JetStream calls a message that is larger than its stream allows."""
_LOGIN_SIGNS = ("authorization violation", "authentication", "permissions violation", "user credentials")

logging.getLogger("nats").setLevel(logging.CRITICAL)  # what goes wrong is an outcome


class JetStreamSender:
    """See `interface.Sender`."""

    def __init__(self, endpoint: Endpoint, look: Look = socket.getaddrinfo) -> None:
        self._endpoint = endpoint
        self._look = look

    def send(self, batch: Sequence[Parcel]) -> list[Attempt]:
        """Publish the events, each of them by itself."""
        try:
            return asyncio.run(self._sent(batch, Deadline(self._endpoint.timeout_seconds)))
        except Exception as exc:  # noqa: BLE001 - whatever a stranger's server does is one sentence
            return [self._failed(exc)] * len(batch)

    def check(self) -> str:
        """Connect, log in where that is set, ask for the stream, and publish nothing. Raises ConfigError."""
        try:
            return asyncio.run(self._checked(Deadline(self._endpoint.timeout_seconds)))
        except Exception as exc:
            raise ConfigError(f"endpoint {self._endpoint.name!r}: {self._failed(exc).error}") from exc

    def close(self) -> None:
        """Nothing stays open."""

    async def _sent(self, batch: Sequence[Parcel], deadline: Deadline) -> list[Attempt]:
        denied: list[Exception] = []
        async with self._connection(deadline, denied) as client:
            tasks = [asyncio.create_task(_publish(client, self._endpoint.subject, event)) for event in batch]
            await _all_until(tasks, deadline, denied)
            return [self._outcome(task, denied) for task in tasks]

    async def _checked(self, deadline: Deadline) -> str:
        async with self._connection(deadline, []) as client:
            try:
                stream = await client.jetstream(timeout=deadline.left()).find_stream_name_by_subject(
                    self._endpoint.subject
                )
            except library("nats").js.errors.NotFoundError as exc:
                raise ConfigError(self._no_stream()) from exc
        return f"{self._endpoint.where} has the stream {printable(stream)} for {self._endpoint.subject}"

    @contextlib.asynccontextmanager
    async def _connection(self, deadline: Deadline, denied: list[Exception]) -> AsyncIterator[Client]:
        """Give a connection to one of the endpoint's addresses, each of which is judged first."""
        nats = library("nats")
        login = login_over_tls(self._endpoint, SCHEMES["nats"]) or (None, None)
        context = tls_context(self._endpoint)
        parts = urlsplit(self._endpoint.url)
        host, port = parts.hostname or "", parts.port or _PORT

        async def told(exc: Exception) -> None:
            if _is_of_login(exc):
                denied.append(exc)

        client = _client(nats, needs_tls=parts.scheme == SCHEMES["nats"][0])
        problem: Exception = OSError("it has no address")
        for address in resolved(host, port, private=self._endpoint.private, look=self._look)[:MOST_ADDRESSES]:
            shown = f"[{address}]" if ":" in address else address
            try:
                await asyncio.wait_for(
                    client.connect(
                        f"{parts.scheme}://{shown}:{port}", error_cb=told, allow_reconnect=False, tls=context,
                        tls_hostname=host, user=login[0], password=login[1],
                        connect_timeout=math.ceil(deadline.left()), name="lustre-events", max_reconnect_attempts=0,
                    ),
                    deadline.left(),
                )  # fmt: skip
            except (OSError, nats.errors.NoServersError) as exc:
                problem = exc
                await _quietly(client.close())
                client = _client(nats, needs_tls=parts.scheme == SCHEMES["nats"][0])
                continue
            except BaseException:
                await _quietly(client.close())
                raise
            try:
                yield client
            finally:
                await _quietly(client.close())
            return
        raise problem

    def _outcome(self, task: asyncio.Task[None], denied: list[Exception]) -> Attempt:
        if not task.done() or task.cancelled():
            return self._failed(denied[0] if denied else TimeoutError())
        problem = task.exception()
        return Attempt(OK) if problem is None else self._failed(problem)

    def _failed(self, exc: BaseException) -> Attempt:
        where = self._endpoint.where
        if isinstance(exc, ConfigError):
            return Attempt(ENDPOINT, error=str(exc))
        nats = library("nats")
        if isinstance(exc, nats.js.errors.NoStreamResponseError):
            return Attempt(ENDPOINT, error=self._no_stream())
        if isinstance(exc, nats.errors.MaxPayloadError):
            return Attempt(REFUSED, error=f"{where}: the event is larger than the server accepts (its max_payload)")
        if isinstance(exc, nats.js.errors.APIError):
            said = f"{where}: {printable(exc.description or '')}"
            return Attempt(REFUSED if exc.err_code == _TOO_LARGE else AGAIN, exc.code or 0, said)
        if isinstance(exc, TimeoutError | nats.errors.TimeoutError):
            return Attempt(AGAIN, error=f"{where}: no answer in time")
        wrong = _is_of_login(exc) or "CERTIFICATE_VERIFY_FAILED" in str(exc)
        said = f"{where}: {printable(str(exc)) or type(exc).__name__}"
        return Attempt(ENDPOINT if wrong else AGAIN, error=said)

    def _no_stream(self) -> str:
        return f"{self._endpoint.where}: no JetStream stream accepts the subject {self._endpoint.subject}; add one"


def _client(nats: Any, *, needs_tls: bool) -> Client:
    """Return a client that sends no login to a server without TLS where TLS is a must."""

    class Careful(nats.aio.client.Client):  # type: ignore[misc]
        def _connect_command(self) -> Any:
            if needs_tls and not self._server_info.get("tls_required"):
                raise ConfigError(
                    f"{self._current_server.uri.hostname}: this NATS asks for no TLS, so nothing is sent to it"
                )
            return super()._connect_command()

    made: Client = Careful()
    return made


async def _publish(client: Client, subject: str, event: Parcel) -> None:
    """Publish an event and wait for its acknowledgement; the deadline is the caller's."""
    headers = {"Nats-Msg-Id": event.key, "content-type": _CONTENT_TYPE}
    await client.jetstream().publish(subject, event.body, timeout=3_600, headers=headers)


async def _all_until(tasks: Sequence[asyncio.Task[None]], deadline: Deadline, denied: Sequence[Exception]) -> None:
    """Wait for tasks until the deadline, or until the server denies what they do; then end them."""
    waiting: set[asyncio.Task[None]] = set(tasks)
    with contextlib.suppress(TimeoutError):
        while waiting and not denied:
            _, waiting = await asyncio.wait(waiting, timeout=min(0.1, deadline.left()))
    for task in waiting:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _quietly(closing: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(Exception):
        await asyncio.wait_for(closing, _CLOSE_SECONDS)


def _is_of_login(exc: BaseException) -> bool:
    return any(sign in str(exc).lower() for sign in _LOGIN_SIGNS)
