"""A finding of the doctor: how bad it is, about what, in one sentence, and the command that fixes it."""

from __future__ import annotations

from dataclasses import dataclass

from lustre_events.errors import LustreEventsError

OK, INFO, WARNING, FAILURE = "ok", "info", "warning", "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """`fix` is a command or the change of a setting; empty where nothing is to be done, or `text` says it."""

    level: str
    subject: str
    text: str
    fix: str = ""


def ok(subject: str, text: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(OK, subject, text)


def info(subject: str, text: str, fix: str = "") -> Finding:
    """Return what is neither well nor wrong: not begun yet, or not for this login to see."""
    return Finding(INFO, subject, text, fix)


def warning(subject: str, text: str, fix: str) -> Finding:
    """Return that something will hurt later, or may be meant."""
    return Finding(WARNING, subject, text, fix)


def failure(subject: str, text: str, fix: str) -> Finding:
    """Return that something cannot work as it is."""
    return Finding(FAILURE, subject, text, fix)


def refused(subject: str, error: LustreEventsError) -> Finding:
    """Return that something could not be looked at; the error's own sentence says what to do next."""
    return Finding(FAILURE, subject, str(error))
