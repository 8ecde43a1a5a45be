"""An HTTP server of a test, in a thread of its own: it keeps what it was sent and answers as it is told."""

from __future__ import annotations

import contextlib
import gzip
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MANY = 1 << 31


@dataclass
class Received:
    """One request."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Listener:
    """What a server got, and what it does: `status`, `headers`, `text`, and one of the hostile ways of `manner`."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    text: str = "ok"
    manner: str = ""
    received: list[Received] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def bodies(self) -> list[bytes]:
        """Return the bodies so far."""
        return [each.body for each in self.received]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    listener: Listener

    def do_POST(self) -> None:
        """Keep the request, and answer."""
        body = self.rfile.read(int(self.headers["content-length"]))
        self.listener.received.append(Received({k.lower(): v for k, v in self.headers.items()}, body))
        with contextlib.suppress(OSError):
            getattr(self, f"_{self.listener.manner or 'answer'}")()

    def _answer(self) -> None:
        self.send_response(self.listener.status)
        for name, value in self.listener.headers.items():
            self.send_header(name, value)
        said = self.listener.text.encode()
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def _hang(self) -> None:
        self.listener.ended.wait(30)

    def _trickle(self) -> None:
        while not self.listener.ended.is_set():
            self.wfile.write(b"H")
            time.sleep(0.05)

    def _endless(self) -> None:
        self.send_response(self.listener.status)
        self.send_header("content-length", str(MANY))
        self.end_headers()
        for _ in range(MANY >> 16):
            if self.listener.ended.is_set():
                return
            self.wfile.write(b"x" * (1 << 16))

    def _short(self) -> None:
        self.send_response(self.listener.status)
        self.send_header("content-length", "1000")
        self.end_headers()
        self.wfile.write(b"not all")
        self.close_connection = True

    def _slow_body(self) -> None:
        self.send_response(self.listener.status)
        self.send_header("content-length", "1000")
        self.end_headers()
        while not self.listener.ended.wait(0.05):
            self.wfile.write(b"x")

    def _bomb(self) -> None:
        packed = gzip.compress(bytes(8 << 20))
        self.send_response(self.listener.status)
        self.send_header("content-encoding", "gzip")
        self.send_header("content-length", str(len(packed)))
        self.end_headers()
        self.wfile.write(packed)

    def _lie(self) -> None:
        self.wfile.write(b"\x00\xff not HTTP at all\r\n\r\n")
        self.close_connection = True

    def _drop(self) -> None:
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server uses
        """Say nothing."""


@contextlib.contextmanager
def listening() -> Iterator[Listener]:
    """Give a server on the loopback address."""
    listener = Listener()
    handler = type("Handler", (_Handler,), {"listener": listener})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    listener.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        listener.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
