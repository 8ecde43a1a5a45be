"""The question and the answer of a login by PAM."""

from __future__ import annotations

import io

from lustre_events.web import pam
from tests.support.rows import each_row


@each_row(
    "question",
    [
        b"",
        b"yes\n",
        b"[" * 5_000,
        b'{"user": 1, "password": "p"}',
        b'{"user": "", "password": "p"}',
        b'{"user": "a", "password": ""}',
        b'{"user": "a\\u0000", "password": "p"}',
        b'{"user": "a", "password": "\\ud800"}',
        b'{"user": "\xff", "password": "p"}',
        b'{"user": "' + b"a" * pam.MOST_BYTES + b'", "password": "p"}',
    ],
)
def test_what_is_no_question_is_asked_of_nobody(question: bytes) -> None:
    """A stolen login of the console can write anything to the socket: it is a no, and PAM never sees it."""
    asked: list[tuple[str, str]] = []
    assert pam.answer(io.BytesIO(question), lambda *words: asked.append(words) is None) == pam.NO
    assert asked == []


def test_half_a_character_is_nobodys_password() -> None:
    """What no encoding takes is refused before anybody is asked."""
    assert pam.by_socket("/nonexistent/login.sock")("ada", "\ud800") is False
