"""What ways of sending have in common: connections to judged addresses, TLS, logins, and an end in time."""

from __future__ import annotations

import contextlib
import importlib
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from lustre_events.actions.endpoints.addresses import Look, resolved
from lustre_events.actions.endpoints.interface import Deadline, secrets_of
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.errors import ConfigError

MOST_ADDRESSES = 4
MOST_SAID = 200
LIBRARIES = {"nats": ("nats", "nats-py"), "kafka": ("confluent_kafka", "confluent-kafka")}
"""Kinds of endpoints that need a library of their own: its module, and its package."""


def library(kind: str) -> Any:
    """Return the module that a kind of endpoint needs. Raises ConfigError: it is not installed."""
    name, package = LIBRARIES[kind]
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise ConfigError(
            f"endpoints of the kind {kind} need {package} where the courier runs: "
            f"pip install 'lustre-events[{kind}]'"
        ) from exc


def tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    """Return what proves the endpoint's name. Raises ConfigError: its `ca` cannot be read."""
    try:
        return ssl.create_default_context(cafile=endpoint.ca or None)
    except OSError as exc:
        raise ConfigError(f"{endpoint.ca}: the certificates of endpoint {endpoint.name!r} cannot be read") from exc


def login_of(endpoint: Endpoint) -> tuple[str, str] | None:
    """Return user and password of the secret's file; None: it names none. Raises ConfigError."""
    found = secrets_of(endpoint)
    if not found:
        return None
    user, colon, password = found[0].partition(":")
    if not colon:
        raise ConfigError(f"the secret of endpoint {endpoint.name!r} is not USER:PASSWORD")
    return user, password


def login_over_tls(endpoint: Endpoint, schemes: tuple[str, ...]) -> tuple[str, str] | None:
    """Return user and password, which go over TLS only: `schemes` are with and without it. Raises ConfigError."""
    found = login_of(endpoint)
    if found and urlsplit(endpoint.url).scheme != schemes[0]:
        raise ConfigError(f"{endpoint.where} has no TLS, so the password is not sent; use {schemes[0]}://")
    return found


def connected(endpoint: Endpoint, port: int, deadline: Deadline, look: Look = socket.getaddrinfo) -> socket.socket:
    """Return a connection to one of an endpoint's addresses, each of which is judged first. `look` asks for them.

    Raises:
        OSError: none of them answers in time, or there are none.
        AddressRefused: all of them are private, and the endpoint is not.
    """
    problem: OSError = OSError("it has no address")
    host = urlsplit(endpoint.url).hostname or ""
    for address in resolved(host, port, private=endpoint.private, look=look)[:MOST_ADDRESSES]:
        try:
            return socket.create_connection((address, port), deadline.left())
        except OSError as exc:
            problem = exc
    raise problem


def secured(endpoint: Endpoint, plain: socket.socket) -> ssl.SSLSocket:
    """Return a connection behind TLS that proved the endpoint's name. Raises OSError, ConfigError: it did not."""
    context = tls_context(endpoint)
    try:
        return context.wrap_socket(plain, server_hostname=urlsplit(endpoint.url).hostname)
    except ssl.SSLCertVerificationError as exc:
        plain.close()
        raise ConfigError(f"{endpoint.where}: its certificate is not trusted ({exc.verify_message})") from exc


class Guarded:
    """A socket that is shut when an attempt is over, so that one which says a byte now and then ends, too."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._lock = threading.Lock()
        self._own: socket.socket | None = None
        self._over = False

    def watch(self, opened: socket.socket) -> None:
        """Shut this one in time, also when it is behind TLS by then."""
        with self._lock:
            self._own = opened.dup()

    @contextlib.contextmanager
    def until_deadline(self) -> Iterator[None]:
        """Be on guard within this block. Raises TimeoutError for whatever fails behind the deadline."""
        timer = threading.Timer(self._deadline.left(), self._shut)
        timer.daemon = True
        timer.start()
        try:
            yield
        except Exception as exc:
            if self._over:
                raise TimeoutError("the time for this attempt has run out") from exc
            raise
        finally:
            timer.cancel()
            with self._lock:
                if self._own is not None:
                    self._own.close()

    def _shut(self) -> None:
        with self._lock:
            self._over = True
            if self._own is not None:
                with contextlib.suppress(OSError):
                    self._own.shutdown(socket.SHUT_RDWR)


def printable(text: str) -> str:
    """Return what a stranger said as a short line that is safe to show."""
    return "".join(each if each.isprintable() else " " for each in text).strip()[:MOST_SAID]
