"""Webhooks: CloudEvents over HTTP, signed as Standard Webhooks says, one event alone or several as a batch.

    answer                    what becomes of the run
    2xx                       done
    401 403 404 410           the endpoint is held: it is wrong, not the event
    3xx                       the same: a redirect is never followed
    408 425 429 5xx           again later, not before `Retry-After`
    other 4xx                 dead; of a batch first each event alone
    nothing, too late, broken again later

One deadline is over everything: connection, TLS, request, answer; what comes too late from a resolver is not used.
Of an answer only the first bytes are read. The status decides, also where what follows it is broken or cut off.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import email.utils
import hashlib
import hmac
import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC
from typing import Any

import httpcore

from lustre_events.actions.delivery import Parcel
from lustre_events.actions.endpoints.addresses import AddressRefused, Look, resolved
from lustre_events.actions.endpoints.connecting import tls_context
from lustre_events.actions.endpoints.interface import Deadline, secrets_of
from lustre_events.actions.run_transitions import AGAIN, ENDPOINT, OK, REFUSED, Attempt
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import ConfigError

ANSWER_BYTES = 4 << 10
"""So much of an answer is read."""
_SECRET_PREFIX = "whsec_"  # noqa: S105 - how secrets of the standard begin
_ENDPOINT_IS_WRONG = {
    401: "it does not accept our signature or login",
    403: "it forbids the request",
    404: "nothing answers at its URL",
    410: "it is gone for good",
}
_LATER = {408, 425, 429}

logging.getLogger("httpcore").setLevel(logging.WARNING)  # its debug lines have URLs and signatures in them


class _Stream(httpcore.NetworkStream):
    """A connection on which every step ends with the attempt."""

    def __init__(self, inner: httpcore.NetworkStream, left: Callable[[], float]) -> None:
        self._inner = inner
        self._left = left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._inner.read(max_bytes, self._left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._inner.write(buffer, self._left())

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, self._left()), self._left)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Network(httpcore.NetworkBackend):
    """Connects to an address that was judged, and to no other; TLS still proves the name."""

    def __init__(self, look: Look, *, private: bool) -> None:
        self._look = look
        self._inner = httpcore.SyncBackend()
        self._private = private
        self.deadline = Deadline(0)

    def left(self) -> float:
        try:
            return self.deadline.left()
        except TimeoutError as exc:
            raise httpcore.ReadTimeout(str(exc)) from exc

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the attempt has one of its own
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses = resolved(host, port, private=self._private, look=self._look)
        except OSError as exc:
            raise httpcore.ConnectError(f"{host}: the name cannot be resolved ({exc.strerror or exc})") from exc
        problem: Exception | None = None
        for address in addresses[:4]:
            try:
                stream = self._inner.connect_tcp(address, port, self.left(), local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                problem = exc
            else:
                return _Stream(stream, self.left)
        raise httpcore.ConnectError(f"{host}:{port}: {problem}")


class HttpSender:
    """See `interface.Sender`."""

    def __init__(
        self, endpoint: Endpoint, clock: Callable[[], float] = time.time, look: Look = socket.getaddrinfo
    ) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._network = _Network(look, private=endpoint.private)
        self._pool: httpcore.ConnectionPool | None = None

    def send(self, batch: Sequence[Parcel]) -> list[Attempt]:
        """Send events in one request."""
        attempt = self._attempt(batch)
        return [attempt] * len(batch)

    def check(self) -> str:
        """Connect, and send nothing. Raises ConfigError, OSError."""
        self._headers(b"", "check")
        url = httpcore.URL(self._endpoint.url)
        self._network.deadline = Deadline(self._endpoint.timeout_seconds)
        port = url.port or {b"https": 443}.get(url.scheme, 80)
        host = url.host.decode("ascii")
        try:
            stream = self._network.connect_tcp(host, port)
            if url.scheme == b"https":
                stream = stream.start_tls(tls_context(self._endpoint), host)
            stream.close()
        except (httpcore.NetworkError, httpcore.TimeoutException, AddressRefused) as exc:
            raise ConfigError(f"endpoint {self._endpoint.name!r} ({self._endpoint.where}): {exc}") from exc
        return f"{self._endpoint.where} accepts connections"

    def close(self) -> None:
        """End connections."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _attempt(self, batch: Sequence[Parcel]) -> Attempt:
        together = len(batch) - 1
        try:
            return self._request(batch, together)
        except (AddressRefused, ConfigError, ssl.SSLCertVerificationError) as exc:
            return Attempt(ENDPOINT, error=str(exc), together=together)
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as exc:
            self.close()
            if "CERTIFICATE_VERIFY_FAILED" in str(exc):
                return Attempt(ENDPOINT, error=f"{self._endpoint.where}: {exc}", together=together)
            return Attempt(AGAIN, error=f"{self._endpoint.where}: {_said(exc)}", together=together)
        except Exception as exc:  # noqa: BLE001 - whatever a stranger's server does to a library is one sentence
            self.close()
            return Attempt(AGAIN, error=f"{self._endpoint.where}: {type(exc).__name__}", together=together)

    def _request(self, batch: Sequence[Parcel], together: int) -> Attempt:
        single = together == 0
        body = batch[0].body if single else b"[" + b",".join(event.body for event in batch) + b"]"
        message = batch[0].key if single else _digest(batch)
        headers = self._headers(body, message)
        headers["content-type"] = f"application/cloudevents{'' if single else '-batch'}+json"
        self._network.deadline = Deadline(self._endpoint.timeout_seconds)
        if self._pool is None:
            self._pool = httpcore.ConnectionPool(
                tls_context(self._endpoint), max_connections=1, keepalive_expiry=20.0, network_backend=self._network
            )
        with self._pool.stream(
            b"POST", self._endpoint.url, content=body,
            headers=[(name.encode(), value.encode()) for name, value in headers.items()],
        ) as response:  # fmt: skip
            return self._judged(response.status, response.headers, _start_of(response), together)

    def _headers(self, body: bytes, message: str) -> dict[str, str]:
        """Return the headers of a request, signed where the endpoint has secrets. Raises ConfigError."""
        when = str(int(self._clock()))
        headers = {
            "host": _host(self._endpoint.url), "user-agent": "lustre-events",
            "content-length": str(len(body)), "webhook-id": message, "webhook-timestamp": when,
        }  # fmt: skip
        signed = [
            signature(secret, message, when, body, self._endpoint.name) for secret in secrets_of(self._endpoint)
        ]
        return {**headers, "webhook-signature": " ".join(signed)} if signed else headers

    def _judged(self, status: int, headers: Sequence[tuple[bytes, bytes]], text: str, together: int) -> Attempt:
        if 200 <= status < 300:
            return Attempt(OK, status, together=together)
        said = f"{self._endpoint.where} answered {status}{f' ({text})' if text else ''}"
        if status in _ENDPOINT_IS_WRONG:
            return Attempt(ENDPOINT, status, f"{said}: {_ENDPOINT_IS_WRONG[status]}", together=together)
        if 300 <= status < 400:
            why = "it redirects, and redirects are not followed; set the URL to where it leads"
            return Attempt(ENDPOINT, status, f"{said}: {why}", together=together)
        if 400 <= status < 500 and status not in _LATER:
            return Attempt(REFUSED, status, said, together=together)
        return Attempt(AGAIN, status, said, retry_after_ns(dict(headers), self._clock()), together)


def signature(secret: str, message: str, when: str, body: bytes, name: str) -> str:
    """Return one signature of Standard Webhooks. Raises ConfigError: the secret is none; it is not shown."""
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise ConfigError(f"the secret of endpoint {name!r} is not one: write whsec_ and 24 to 64 bytes of base64")
    signed = hmac.digest(key, f"{message}.{when}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode()}"


def retry_after_ns(headers: Mapping[bytes, bytes], now_seconds: float) -> int:
    """Return how long an endpoint asks to be left alone; 0: it does not say so, or nonsense."""
    text = next((value for name, value in headers.items() if name.lower() == b"retry-after"), b"")[:100]
    said = text.decode("latin-1").strip()
    if said.isascii() and said.isdigit():
        return min(int(said), 10**9) * SECOND_NS
    try:
        when = email.utils.parsedate_to_datetime(said)
    except ValueError:
        return 0
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0, int(aware.timestamp() - now_seconds)) * SECOND_NS


def _start_of(response: httpcore.Response) -> str:
    """Return the first bytes of an answer, as far as they come, as text that is safe to show."""
    found = b""
    with contextlib.suppress(httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError):
        for chunk in response.iter_stream():
            found += chunk[: ANSWER_BYTES - len(found)]
            if len(found) >= ANSWER_BYTES:
                break
    text = found[:200].decode("utf-8", "replace")
    return "".join(each if each.isprintable() else " " for each in text).strip()


def _digest(batch: Sequence[Parcel]) -> str:
    return hashlib.sha256("\0".join(event.key for event in batch).encode()).hexdigest()[:40]


def _host(url: str) -> str:
    parts = httpcore.URL(url)
    host = parts.host.decode("ascii")
    host = f"[{host}]" if ":" in host else host
    return host if parts.port is None else f"{host}:{parts.port}"


def _said(exc: Exception) -> str:
    if isinstance(exc, httpcore.TimeoutException | TimeoutError):
        return "no answer in time"
    return str(exc) or type(exc).__name__
