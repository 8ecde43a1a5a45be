"""What systemd is told."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lustre_events.node.systemd import Notifier


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
