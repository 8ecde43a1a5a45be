"""Signals end a process whatever it does at that moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from lustre_events.cli.main import leave_on_signals, stop_on_signals
from lustre_events.node.redis_server import RedisServer
from tests.support.service.command import REPOSITORY, clean_environment

NUMBERS = (signal.SIGTERM, signal.SIGINT)
INTERRUPTED = """
import signal, sys
from lustre_events.streams.connection import connect

class Stop(Exception):
    pass

def stop(*_):
    raise Stop

signal.signal(signal.SIGALRM, stop)
connection = connect(sys.argv[1], 5.0).connection_pool.make_connection()
times = 0
while times < 1_000:
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.00005)
        while True:
            connection.pack_command("BLMOVE", "a", "b", 60.5, "LEFT", "RIGHT")
    except Stop:
        times += 1
"""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Give the handlers of this process back."""
    before = [signal.getsignal(number) for number in NUMBERS]
    yield
    for number, handler in zip(NUMBERS, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_ends_a_process_that_holds_the_lock_of_its_end(number: signal.Signals) -> None:
    """What a signal calls may need a lock that the main thread holds at that moment: neither waits for ever."""
    lock, stopped = threading.Lock(), threading.Event()

    def stop() -> None:
        if lock.acquire(timeout=10):
            stopped.set()

    stop_on_signals(stop)
    with lock:
        os.kill(os.getpid(), number)
    assert stopped.wait(10)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_ends_a_server_in_its_main_thread(number: signal.Signals) -> None:
    """A server of WSGI ends when SystemExit is raised where it runs."""
    leave_on_signals()
    with pytest.raises(SystemExit):
        signal.raise_signal(number)


def test_a_handler_that_raises_does_not_crash_a_client_of_redis(redis_server: RedisServer) -> None:
    """RQ's handler raises wherever the worker is, also while a command is written."""
    ended = subprocess.run(
        [sys.executable, "-P", "-c", INTERRUPTED, redis_server.url], env=clean_environment({}), cwd=REPOSITORY,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
