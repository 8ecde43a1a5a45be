"""Logins by PAM: the console asks a process of root behind a Unix socket, which asks PAM and ends.

PAM wants rights that the console must not have: local accounts are in /etc/shadow, some modules run programs with
other rights, or make code. systemd starts one process per login (`lustre-events-login.socket`). It reads a question
in JSON, `{"user": ..., "password": ...}`, until the end of the input, and answers `yes` or `no` and a line end.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable
from typing import BinaryIO

import msgspec

from lustre_events.errors import ConfigError

log = logging.getLogger(__name__)

Check = Callable[[str, str], bool]

YES, NO = b"yes\n", b"no\n"
MOST_BYTES = 8_192
"""Of a question."""
ANSWER_SECONDS = 45.0
"""Longer than a unit of the socket lives."""


class LoginQuestion(msgspec.Struct, frozen=True):
    """What the console asks."""

    user: str
    password: str


def by_pam(service: str) -> Check:
    """Return a check by PAM in this process, with the rules of `service` in /etc/pam.d.

    Raises:
        ConfigError: the Python module for it is missing.
    """
    try:
        import pam  # noqa: PLC0415 - optional
    except ModuleNotFoundError as exc:
        raise ConfigError("login by PAM needs python-pam: pip install 'lustre-events[web-pam]'") from exc

    def check(user: str, password: str) -> bool:
        return bool(password and pam.pam().authenticate(user, password, service=service))

    return check


def by_socket(path: str) -> Check:
    """Return a check by the processes behind a Unix socket; while nobody answers there nobody comes in."""

    def check(user: str, password: str) -> bool:
        try:
            return _ask(path, msgspec.json.encode(LoginQuestion(user, password)))
        except UnicodeEncodeError:  # half a character: nobody has such a name or password
            return False
        except OSError as exc:
            log.warning("%s: nobody can log in by PAM (%s); run: systemctl enable --now lustre-events-login.socket",
                      path, exc.strerror or exc, extra={"action": "login"})  # fmt: skip
            return False

    return check


def _ask(path: str, question: bytes) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_SECONDS)
        connection.connect(path)
        # An answer may come before all was read, e.g. to a question that is too long.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(question)
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while len(answer) < len(YES) and (part := connection.recv(len(YES) - len(answer))):
            answer += part
    return answer == YES


def answer(question: BinaryIO, check: Check) -> bytes:
    """Return the answer to one question; anything else is answered with `no`."""
    try:
        asked = msgspec.json.decode(question.read(MOST_BYTES), type=LoginQuestion)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NO
    # An empty password is no proof: LDAP's servers take it for a login as nobody, and PAM may say yes.
    if not asked.user or not asked.password or "\0" in asked.user + asked.password:
        return NO
    return YES if check(asked.user, asked.password) else NO
