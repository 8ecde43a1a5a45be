"""Listeners and their courier in a process of their own: as at a site, it has its own interpreter."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any

from lustre_events.actions.courier import Courier
from lustre_events.actions.endpoints import SENDERS
from lustre_events.actions.seal import Seal
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.streams.connection import connect
from lustre_events.streams.deliveries import CourierQueue

SEAL = Seal(b"k" * 32)
START_SECONDS = 60.0
END_SECONDS = 20.0


@contextmanager
def receiving(redis: str) -> Iterator[tuple[Mapping[str, Endpoint], Callable[[], int]]]:
    """Give the endpoints `here` and `hangs`, which answers nothing, and how many events `here` was told.

    A courier sends to both what it finds in the Redis at this URL. Raises TimeoutError.
    """
    os.environ["PYTHONSAFEPATH"] = "1"  # as -P: the new process looks for no module in the current directory
    context = multiprocessing.get_context("spawn")
    count = context.Value("q", 0)
    near, far = context.Pipe()
    process = context.Process(target=_receive, args=(redis, count, far), daemon=True)
    process.start()
    try:
        if not near.poll(START_SECONDS):
            raise TimeoutError("the listeners of this benchmark do not start")
        yield _endpoints(*near.recv()), lambda: count.value
        near.send("end")
    finally:
        process.join(END_SECONDS)
        process.kill()


def _receive(redis: str, count: Any, far: Connection) -> None:
    with ExitStack() as stack:
        urls = stack.enter_context(_listening(count)), stack.enter_context(_listening())
        client = stack.enter_context(connect(redis, 60))
        endpoints = _endpoints(*urls)
        courier = Courier(CourierQueue(client), SEAL, lambda: endpoints, SENDERS)
        thread = threading.Thread(target=courier.run, daemon=True)
        thread.start()
        stack.callback(thread.join, END_SECONDS)
        stack.callback(courier.stop)
        far.send(urls)
        far.recv()


def _endpoints(here: str, hangs: str) -> Mapping[str, Endpoint]:
    return {name: Endpoint(name, "webhook", url, private=True) for name, url in (("here", here), ("hangs", hangs))}


@contextmanager
def _listening(count: Any = None) -> Iterator[str]:
    """Give the address of a listener that adds to `count` what it is told; without one it hangs."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            events = self.rfile.read(int(self.headers["content-length"])).count(b'"specversion":')
            if count is None:
                over.wait(60)
            else:
                with count.get_lock():
                    count.value += events
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server uses
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        over.set()
        server.shutdown()
        server.server_close()
