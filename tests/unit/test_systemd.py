"""What systemd is told."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lustre_events.node.systemd import Notifier, answers_http


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """The end of NOTIFY_SOCKET that systemd would hold."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as endpoint:
        endpoint.bind(str(tmp_path / "notify"))
        endpoint.settimeout(0.2)
        yield endpoint


def said(endpoint: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(endpoint.recv(100))
        except TimeoutError:
            return found


def test_ready_once_then_alive_at_half_the_watchdogs_time(systemd: socket.socket, tmp_path: Path) -> None:
    """The first turn of a loop says ready; later ones say alive, twice in the watchdog's time."""
    now = [0.0]
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "4000000"}, lambda: now[0])
    for now[0] in (0.0, 0.5, 1.9, 2.0, 2.1, 4.0):
        notifier.beat()
    notifier.stopping()
    assert said(systemd) == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_without_a_watchdog_only_ready_is_said(systemd: socket.socket, tmp_path: Path) -> None:
    """A unit without WatchdogSec hears ready and nothing else."""
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    notifier.beat()
    notifier.beat()
    assert said(systemd) == [b"READY=1"]


def test_a_socket_that_is_away_does_no_harm(tmp_path: Path) -> None:
    """A message that cannot be sent ends nothing."""
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "1"})
    notifier.beat()
    notifier.beat()
    assert not (tmp_path / "nobody").exists()


def test_a_status_is_told_when_it_changes_once_a_second(systemd: socket.socket, tmp_path: Path) -> None:
    """What a process does is told on one line, with what it was last left out, and no flood of it."""
    now = [0.0]
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}, lambda: now[0])
    for now[0], status in (
        (10.0, "one"),
        (10.1, "two"),
        (10.2, "three"),
        (11.0, "three\nMAINPID=1"),
        (12.5, "one"),
    ):
        notifier.beat(status)
    assert said(systemd) == [b"STATUS=one", b"READY=1", b"STATUS=three MAINPID=1", b"STATUS=one"]


def test_a_server_that_does_not_answer_is_not_alive(systemd: socket.socket, tmp_path: Path) -> None:
    """Alive is said as long as the server answers, and no longer: then systemd starts it again."""
    answers = iter([True, False, False, False, False])
    asked = threading.Event()

    def answer() -> bool:
        found = next(answers, None)
        if found is None:
            asked.set()
        return bool(found)

    notifier = Notifier(
        {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000"}, itertools.count().__next__
    )
    notifier.watch("serves", answer)
    assert asked.wait(10)
    assert said(systemd) == [b"STATUS=serves", b"READY=1", b"WATCHDOG=1"]


def test_a_server_answers_where_it_listens(tmp_path: Path) -> None:
    """Any answer in HTTP is one, at an address or a Unix socket; where nobody listens there is none."""
    path = str(tmp_path / "socket")
    for listen, family, at in (
        ("127.0.0.1", socket.AF_INET, ("127.0.0.1", 0)),
        (f"unix:{path}", socket.AF_UNIX, path),
    ):
        with socket.socket(family) as server:
            server.bind(at)
            server.listen()
            where = listen if family == socket.AF_UNIX else f"{listen}:{server.getsockname()[1]}"

            def serve(server: socket.socket = server) -> None:
                with server.accept()[0] as peer:
                    peer.recv(100)
                    peer.sendall(b"HTTP/1.0 404 Not Found\r\n\r\n")

            thread = threading.Thread(target=serve)
            thread.start()
            assert answers_http(where, "/health")
            thread.join()
        assert not answers_http(where, "/health")
