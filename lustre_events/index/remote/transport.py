"""Requests to a server over HTTPS: the server's certificate is checked, and a token travels to no other place."""

from __future__ import annotations

import http.client
import ipaddress
import json
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import SplitResult, quote_from_bytes, urlsplit

from lustre_events.errors import ConfigError, IndexUnavailable

MOST_BYTES = 1 << 29
"""The most bytes of one answer; a page of hits with all documents is far smaller."""

Pairs = Iterable[tuple[str, str]]


class HttpReply(NamedTuple):
    """What a server says: the status, and the body as JSON."""

    status: int
    body: Any


class Transport(Protocol):
    """Sends a request and gives the reply. Raises IndexUnavailable: there is none."""

    def __call__(  # noqa: D102
        self, method: str, path: str, query: Pairs = (), body: Mapping[str, Any] | None = None
    ) -> HttpReply: ...

    def close(self) -> None: ...  # noqa: D102


def target(path: str, query: Pairs) -> str:
    """Return the path and the query of a URL; bytes of names that are not UTF-8 stay what they are."""
    pairs = [f"{_quoted(name)}={_quoted(value)}" for name, value in query]
    return path + ("?" + "&".join(pairs) if pairs else "")


def _quoted(text: str) -> str:
    return quote_from_bytes(text.encode("utf-8", "surrogateescape"), safe="")


class HttpsTransport:
    """One connection to a server, opened when it is needed and again where it was closed. For one thread.

    Args:
        server: `https://HOST[:PORT][/PATH]`; `http://` only to this machine itself.
        authorization: the header that says who asks; empty: nobody.
        ca: a file of certificates that are trusted instead of the system's; empty: the system's.
        seconds: how long an answer may take.
        sleep: waits that many seconds, where the server has too many requests of this user.

    Raises:
        ConfigError: the address or the file of certificates is wrong.
    """

    def __init__(
        self, server: str, authorization: str = "", *, ca: str = "", seconds: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self._parts = _address(server)
        self._shown = f"{self._parts.scheme}://{self._parts.netloc}"
        self._headers = {"Accept": "application/json", "User-Agent": "lustre-events"}
        if authorization:
            self._headers["Authorization"] = authorization
        self._seconds = seconds
        self._sleep = sleep
        self._context = _context(ca) if self._parts.scheme == "https" else None
        self._connection: http.client.HTTPConnection | None = None

    def __call__(
        self, method: str, path: str, query: Pairs = (), body: Mapping[str, Any] | None = None
    ) -> HttpReply:
        """Send a request; one that only asks again and again while too many of its user are at work there."""
        left = self._seconds
        while True:
            reply, again = self._asked(method, path, query, body)
            if reply.status != 429 or method != "GET" or not 0 < again <= left:
                return reply
            self._sleep(again)
            left -= again

    def _asked(
        self, method: str, path: str, query: Pairs, body: Mapping[str, Any] | None
    ) -> tuple[HttpReply, float]:
        """Return the reply to one request, and when to ask again: in how many seconds; 0: that is not said."""
        data = None if body is None else json.dumps(body).encode("ascii")
        headers = self._headers | ({} if data is None else {"Content-Type": "application/json"})
        where = target(self._parts.path.rstrip("/") + path, query)
        again = self._connection is not None and method == "GET"
        try:
            response = self._sent(method, where, data, headers, again=again)
            status, kind, text = response.status, response.headers.get_content_type(), response.read(MOST_BYTES + 1)
        except ssl.SSLCertVerificationError as exc:
            raise IndexUnavailable(
                f"{self._shown}: its certificate is not trusted here ({exc.verify_message}); name those of "
                "your site in [client] ca"
            ) from exc
        except (OSError, http.client.HTTPException) as exc:
            self.close()
            raise IndexUnavailable(
                f"{self._shown}: no answer ({exc or type(exc).__name__}); is it the address of `lustre-events web`?"
            ) from exc
        if response.will_close or len(text) > MOST_BYTES:
            self.close()
        told = response.headers.get("Retry-After", "")
        seconds = float(told) if told.isascii() and told.isdigit() and len(told) < 9 else 0.0
        return self._reply(status, kind, text, response.headers.get("Location", "")), seconds

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _sent(
        self, method: str, where: str, data: bytes | None, headers: Mapping[str, str], *, again: bool
    ) -> http.client.HTTPResponse:
        """Send a request; one that only asks is sent again where a connection that was kept has ended meanwhile."""
        try:
            connection = self._connected()
            connection.request(method, where, data, dict(headers))
            return connection.getresponse()
        except (ConnectionError, http.client.BadStatusLine):
            self.close()
            if not again:
                raise
        return self._sent(method, where, data, headers, again=False)

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            host, port = self._parts.hostname or "", self._parts.port
            if self._context is None:
                self._connection = http.client.HTTPConnection(host, port, timeout=self._seconds)
            else:
                self._connection = http.client.HTTPSConnection(
                    host, port, timeout=self._seconds, context=self._context
                )
        return self._connection

    def _reply(self, status: int, kind: str, text: bytes, location: str) -> HttpReply:
        if 300 <= status < 400:
            raise IndexUnavailable(
                f"{self._shown}: it redirects to {location[:200]!r}, but the token is sent nowhere else; name the "
                "right address in [client] server, and let the site's proxy pass /api/ without a login of its own"
            )
        if len(text) > MOST_BYTES:
            raise IndexUnavailable(f"{self._shown}: an answer of more than {MOST_BYTES} bytes; ask for fewer hits")
        try:
            if kind != "application/json":
                raise ValueError(kind)
            return HttpReply(status, json.loads(text))
        except (ValueError, RecursionError) as exc:
            raise IndexUnavailable(
                f"{self._shown}: answered with status {status} and no JSON; is `lustre-events web` there?"
            ) from exc


def _address(server: str) -> SplitResult:
    """Return the parts of a server's address. Raises ConfigError: it is none, or others could read the token."""
    try:
        parts = urlsplit(server)
        whole = parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = None
    if not whole or parts.username or parts.query or parts.fragment:
        raise ConfigError(
            "the address of a server is https://HOST or https://HOST:PORT, without a user or a password"
        )
    if parts.scheme == "http" and not _is_here(parts.hostname or ""):
        raise ConfigError(
            f"http://{parts.hostname}: anybody on the way could read the token; write https:// (the site's "
            "proxy has TLS, see deploy/README.md)"
        )
    return parts


def _is_here(host: str) -> bool:
    """Return whether a host is this machine, whatever a name server says."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _context(ca: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca or None)
    except OSError as exc:
        raise ConfigError(f"{ca}: no certificates can be read from it ({exc}); correct [client] ca") from exc
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
