"""Logins by PAM: the console's question goes to a process behind a socket. A module stands in for python-pam."""

from __future__ import annotations

import ast
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lustre_events.web import pam
from tests.support.need import need
from tests.support.service.command import REPOSITORY, clean_environment

STAND_IN = """
class pam:
    def authenticate(self, user, password, service):
        return (user, password, service) == ("ada", "pa55 w\\u00f6rd\\n", "site")
"""
Serve = Callable[[str], str]

RULES = "auth required pam_unix.so nodelay nullok\naccount required pam_unix.so\n"
IN_PLACE = """
set -e
for name in passwd shadow pam.d; do mount --bind "$1/$name" "/etc/$name"; done
shift
exec "$@"
"""
ASK = """
import io, json, sys
from lustre_events.web import pam
check = pam.by_pam("site")
print([pam.answer(io.BytesIO(json.dumps(dict(zip(("user", "password"), each))).encode()), check).decode().strip()
       for each in json.load(sys.stdin)])
"""
PASSWORD, LONG = "pa55 w\u00f6rd", "x" * 200
ACCOUNTS = {"ada": (PASSWORD, ""), "long": (LONG, ""), "locked": (PASSWORD, "!"), "expired": (PASSWORD, ""),
            "stale": (PASSWORD, ""), "empty": ("", ""), "star": ("", "*")}  # fmt: skip
DAYS = {"expired": "19000:0:99999:7::1:", "stale": "0:0:99999:7:::"}
REFUSED = (
    ("ada", "wrong"), ("ada", ""), ("ada", "x" * 7000), ("ada", PASSWORD + "\n"), ("ada", PASSWORD + " "),
    ("ada", "$6$"), ("ADA", PASSWORD), ("ada ", PASSWORD), ("ada\n", PASSWORD), ("../ada", PASSWORD),
    ("ada:x", PASSWORD), ("-x", PASSWORD), ("%s%n%s", "%s%n"), ("\x1b[2Jada", PASSWORD), ("ada\u202e", PASSWORD),
    ("a" * 4000, PASSWORD), ("0", ""), ("root", "root"), ("locked", PASSWORD), ("locked", "!"),
    ("expired", PASSWORD), ("stale", PASSWORD), ("empty", ""), ("star", "*"), ("star", ""), ("long", LONG[:-1]),
    ("long", LONG[:8]), ("nobody-here", PASSWORD), ("nobody-here", ""),
)  # fmt: skip


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


@pytest.fixture
def accounts(tmp_path: Path) -> Path:
    """Files for /etc: accounts of all kinds, and the rules of a service for them."""
    (tmp_path / "pam.d").mkdir()
    (tmp_path / "pam.d" / "site").write_text(RULES)
    users, hashes = ["root:x:0:0::/:/bin/sh"], ["root:*:19000::::::"]
    for number, (name, (password, lead)) in enumerate(ACCOUNTS.items(), 60_000):
        users.append(f"{name}:x:{number}:60000::/:/bin/sh")
        days = DAYS.get(name, "19000:0:99999:7:::")
        hashes.append(f"{name}:{lead}{hashed(password) if password else ''}:{days}")
    (tmp_path / "passwd").write_text("\n".join([*users, ""]))
    (tmp_path / "shadow").write_text("\n".join([*hashes, ""]))
    (tmp_path / "shadow").chmod(0o600)
    return tmp_path


def hashed(password: str) -> str:
    argv = [need("openssl"), "passwd", "-6", "-stdin"]
    return (
        subprocess.run(argv, input=password.encode(), capture_output=True, check=True, timeout=30)
        .stdout.decode()
        .strip()
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes mounts, and asks PAM about others")
def test_pam_lets_nobody_in_but_with_the_password_of_an_open_account(accounts: Path) -> None:
    """PAM itself is asked: odd names, empty, wrong and long passwords, locked and expired accounts are a no."""
    questions = [("ada", PASSWORD), ("long", LONG), *REFUSED]
    private = [need("unshare"), "--mount", "--propagation", "private", "sh", "-c", IN_PLACE, "sh", str(accounts)]
    done = subprocess.run(
        [*private, sys.executable, "-P", "-c", ASK], input=json.dumps(questions).encode(), cwd=REPOSITORY,
        capture_output=True, check=False, timeout=120, env=clean_environment({"PYTHONPATH": str(REPOSITORY)}),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = dict(zip(questions, ast.literal_eval(done.stdout.decode()), strict=True))
    assert [each for each, answer in said.items() if answer != "no"] == [("ada", PASSWORD), ("long", LONG)]
