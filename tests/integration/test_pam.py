"""Logins by PAM: the console's question goes to a process behind a socket. A module stands in for python-pam."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lustre_events.web import pam
from tests.support.service.command import clean_environment

STAND_IN = """
class pam:
    def authenticate(self, user, password, service):
        return (user, password, service) == ("ada", "pa55 w\\u00f6rd\\n", "site")
"""
Serve = Callable[[str], str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Do what systemd does with `Accept=yes`: each connection is the input and output of a process of its own."""
    (tmp_path / "pam.py").write_text(STAND_IN)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def answer(settings: Path) -> None:
        environment = clean_environment({"LUSTRE_EVENTS_CONFIG": str(settings), "PYTHONPATH": str(tmp_path)})
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                subprocess.run(
                    [sys.executable, "-P", "-m", "lustre_events", "web-login"],
                    stdin=connection.fileno(), stdout=connection.fileno(),
                    stderr=subprocess.DEVNULL, env=environment, timeout=60, check=False,
                )  # fmt: skip

    def start(login: str) -> str:
        settings, path = tmp_path / "settings.toml", tmp_path / "login.sock"
        settings.write_text(f'[web]\nlogin = "{login}"\npam_service = "site"\n')
        listening.bind(str(path))
        listening.listen()
        threading.Thread(target=answer, args=(settings,), daemon=True).start()
        return str(path)

    yield start
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


def test_pam_is_asked_by_a_process_of_its_own(serve: Serve) -> None:
    """Name and password arrive as they are; only what PAM takes comes in, and a question that is none does not."""
    path = serve("pam")
    check = pam.by_socket(path)
    assert check("ada", "pa55 wörd\n") is True
    assert check("ada", "wrong") is False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(path)
        connection.sendall(b'{"user": "ada"}')
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == pam.NO


def test_where_pam_is_not_asked_nobody_comes_in(serve: Serve, tmp_path: Path) -> None:
    """A process of root answers only where [web] login is pam; without a socket the console lets nobody in."""
    assert pam.by_socket(serve("file"))("ada", "pa55 wörd\n") is False
    assert pam.by_socket(str(tmp_path / "none.sock"))("ada", "pa55 wörd\n") is False
