"""A finding of the doctor: how bad it is, about what, in one sentence, and the command that mends it."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARNING, FAILURE = "ok", "warning", "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """`mend` is a command or the change of a setting; empty where nothing is to be done."""

    level: str
    subject: str
    text: str
    mend: str = ""


def ok(subject: str, text: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(OK, subject, text)


def warning(subject: str, text: str, mend: str) -> Finding:
    """Return that something will hurt later, or may be meant."""
    return Finding(WARNING, subject, text, mend)


def failure(subject: str, text: str, mend: str) -> Finding:
    """Return that something cannot work as it is."""
    return Finding(FAILURE, subject, text, mend)
