"""The server under the console: where it listens, how long a connection may take, and who always gets an answer.

A connection that sends nothing, or a request that arrives byte by byte, holds a place but no thread; and while all
threads search, others wait. So slow connections are closed, the idlest first where there are many, one user has
half of the threads at most, and a health check does not wait for its turn.
"""

from __future__ import annotations

import grp
import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from wsgiref.util import FileWrapper

import waitress
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer

from lustre_events.errors import ConfigError
from lustre_events.index.remote.client import PREFIX
from lustre_events.web.long_answers import KEPT_BYTES, LongAnswer, NoRoom, Spool, TooLong
from lustre_events.web.user_turns import UserTurn, UserTurns

BODY_BYTES = 1 << 20
IDLE_SECONDS = 30.0
"""How long a connection may send nothing."""
SLOW_SECONDS = 20.0
"""How long a request may take to arrive, or a small answer to be taken."""
SLOW_BYTES = 1 << 16
"""A large answer may take a second more for each of these."""
SPOOL_BYTES = 2 << 30
"""Of all such files together, where nothing else is set."""
FULL_SECONDS = 60
"""When to ask again for what was too long."""
NO_BOUND = 1 << 62
MOST_OPEN = 100
"""With more connections than this, the idlest are closed at once."""
PLACES = 400
"""Most connections that are accepted; the others wait until one is closed."""
LOOK_SECONDS = 0.25

WAITING = 24
TURN_SECONDS = 30.0
"""Most requests that wait for their turn, and for how long; then they are told that the console is busy."""
SPARE_THREADS = 2
HEALTH = "/health"

_PLAIN = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
"""A WSGI application."""

UNIX = "unix:"


def server_of(
    app: Application, listen: str, threads: int, group: str = "", spool: Spool | None = None, *, https: bool = False
) -> BaseWSGIServer:
    """Return a server for `app` that listens, not running yet.

    Args:
        app: what it serves, `threads` requests at once.
        listen: ADDRESS:PORT, or unix:PATH.
        threads: how many requests are answered at once.
        group: who may connect to the Unix socket, besides this process's own group.
        spool: keeps long answers; None: in the system's folder for temporary files.
        https: a proxy with TLS is in front of it, so addresses that are shown begin with https.

    Raises:
        ConfigError: the address is taken, is none, or the group is not known.
    """
    sockets: dict[int, object] = {}
    where: dict[str, Any] = {"listen": listen}
    if listen.startswith(UNIX):
        where = {"unix_socket": listen.removeprefix(UNIX), "unix_socket_perms": "660"}
    try:
        server: BaseWSGIServer = waitress.create_server(
            Turns(app, threads, spool=spool), map=sockets, threads=threads + WAITING + SPARE_THREADS,
            ident="lustre-events", connection_limit=PLACES, asyncore_use_poll=True,
            outbuf_high_watermark=NO_BOUND,  # else who takes nothing of a long answer keeps a thread
            url_scheme="https" if https else "http",
            max_request_body_size=BODY_BYTES,  # else bodies of a GB are taken before anybody looks at them
            **where,
        )  # fmt: skip
        if group and "unix_socket" in where:
            os.chown(where["unix_socket"], -1, grp.getgrnam(group).gr_gid)
    except (OSError, ValueError, KeyError) as exc:
        raise ConfigError(f"{listen}: cannot listen here ({exc}); correct [web] listen or listen_group") from exc
    threading.Thread(target=Doorkeeper(sockets).watch, daemon=True, name="doorkeeper").start()
    return server


def shown(listen: str) -> str:
    """Return an address for a person."""
    return listen if listen.startswith(UNIX) else f"http://{listen}/"


@dataclass(slots=True)
class Doorkeeper:
    """Closes connections that are idle, slow, or too many. `sockets` are the server's, by descriptor."""

    sockets: dict[int, object]
    clock: Callable[[], float] = time.time
    _ends: dict[HTTPChannel, tuple[float, int]] = field(default_factory=dict)
    """By when what is on the way must be through, and how many bytes that were."""

    def watch(self) -> None:
        """Look again and again."""
        while True:
            time.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Look once."""
        now = self.clock()
        channels = [each for each in list(self.sockets.values()) if isinstance(each, HTTPChannel)]
        waiting = [each for each in channels if not each.requests]
        self._ends = {each: self._end(each, now) for each in waiting if _is_half_way(each)}
        idlest = sorted(waiting, key=lambda each: each.last_activity)[: max(0, len(channels) - MOST_OPEN)]
        slow = [each for each, (ends, _) in self._ends.items() if now > ends]
        idle = [each for each in waiting if now - each.last_activity > IDLE_SECONDS]
        for channel in (*idlest, *slow, *idle):
            channel.will_close = True

    def _end(self, channel: HTTPChannel, now: float) -> tuple[float, int]:
        """Return until when a connection may take what is on the way; anew where a longer answer has come."""
        unsent: int = channel.total_outbufs_len
        ends, known = self._ends.get(channel, (0.0, -1))
        return (ends, known) if unsent <= known else (now + SLOW_SECONDS + unsent / SLOW_BYTES, unsent)


def _is_half_way(channel: HTTPChannel) -> bool:
    """Whether a part of a request has come, or a part of an answer is not taken yet."""
    return channel.request is not None or channel.total_outbufs_len > 0


class Turns:
    """Lets a number of requests at once into an application; the others wait, except health checks."""

    def __init__(
        self,
        app: Application,
        most: int,
        waiting: int = WAITING,
        seconds: float = TURN_SECONDS,
        spool: Spool | None = None,
    ) -> None:
        self._app = app
        self._spool = spool or Spool(None, SPOOL_BYTES)
        self._turns = threading.BoundedSemaphore(most)
        self._of_users = UserTurns(most)
        self._places = threading.BoundedSemaphore(most + waiting)
        self._seconds = seconds

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""
        if environ.get("PATH_INFO") == HEALTH:
            return self._app(environ, start_response)
        if not self._places.acquire(blocking=False):
            return _busy(environ, start_response)
        try:
            if not self._turns.acquire(timeout=self._seconds):
                return _busy(environ, start_response)
            turn = UserTurn(self._of_users, environ)
            try:
                return self._answered(environ, start_response, turn)
            finally:
                turn.end()
                self._turns.release()
        finally:
            self._places.release()

    def _answered(
        self, environ: dict[str, Any], start_response: Callable[..., Any], turn: UserTurn
    ) -> Iterable[bytes]:
        """Return a whole answer; only then it begins, since it may come to one that there is no room for it."""
        begun: list[Any] = []

        def begin(status: str, headers: list[tuple[str, str]], _exc_info: object = None) -> None:
            begun[:] = status, headers

        of_file = environ.get("wsgi.file_wrapper", FileWrapper)
        try:
            parts = self._app(environ, begin)
            answer = _whole(parts, of_file, lambda kept: self._spool.keep(kept, turn.uid))
        except TooLong as exc:
            return _refused(environ, start_response, str(exc))
        except NoRoom as exc:
            return _refused(environ, start_response, str(exc), FULL_SECONDS)
        start_response(*begun)
        return answer


def _whole(
    parts: Iterable[bytes],
    of_file: Callable[[LongAnswer], Iterable[bytes]],
    keep: Callable[[Iterable[bytes]], LongAnswer],
) -> Iterable[bytes]:
    """Return an answer when all of it is there: in memory if it is short, else in a file that goes with it.

    Raises NoRoom.
    """
    kept: list[bytes] = []
    size = 0
    rest = iter(parts)
    try:
        for part in rest:
            kept.append(part)
            size += len(part)
            if size > KEPT_BYTES:
                return of_file(keep(chain(kept, rest)))
        return kept
    finally:
        getattr(parts, "close", lambda: None)()


def _refused(
    environ: dict[str, Any], start_response: Callable[..., Any], sentence: str, seconds: int = 0
) -> Iterable[bytes]:
    """Refuse a request: for some seconds, or (0) as it is. The API says it in JSON, as all that it refuses."""
    status, kind = (
        ("503 Service Unavailable", "IndexUnavailable") if seconds else ("400 Bad Request", "ConfigError")
    )
    again = [*_PLAIN, *([("Retry-After", str(seconds))] if seconds else [])]
    if environ.get("PATH_INFO", "").startswith(f"{PREFIX}/"):
        start_response(status, [("Content-Type", "application/json"), *again])
        return [json.dumps({"error": sentence, "kind": kind, "hints": []}).encode()]
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), *again])
    return [f"{sentence}\n".encode()]


def _busy(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    said = "The console is busy: all of its threads are searching. Try again in a few seconds."
    return _refused(environ, start_response, said, 5)
