"""Waiting for what other threads and processes do, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

WAIT_SECONDS = 60.0
_POLL_SECONDS = 0.01
_MOST_POLL_SECONDS = 1.0
_PAUSES = 2
"""How many times as long as a look takes is waited before the next: what is waited for needs the CPU."""


def wait_for(what: Callable[[], object], seconds: float = WAIT_SECONDS, failure: Callable[[], str] = str) -> None:
    """Wait until `what` is true; else fail with what `failure` says."""
    if not came_true(what, seconds):
        pytest.fail(f"waited {seconds} s in vain: {failure()}")


def came_true(what: Callable[[], object], seconds: float = WAIT_SECONDS) -> bool:
    """Return whether `what` was true in time: for a test that has something to end before it may fail."""
    ends = time.monotonic() + seconds
    while not _looked(what):
        if time.monotonic() > ends:
            return False
    return True


def _looked(what: Callable[[], object]) -> bool:
    """Return whether `what` is true; if not, after a pause."""
    began = time.monotonic()
    if what():
        return True
    time.sleep(min(max(_POLL_SECONDS, _PAUSES * (time.monotonic() - began)), _MOST_POLL_SECONDS))
    return False
