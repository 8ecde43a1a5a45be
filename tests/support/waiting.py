"""Waiting for what other threads and processes do, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

WAIT_SECONDS = 60.0
_POLL_SECONDS = 0.01


def wait_for(what: Callable[[], object], seconds: float = WAIT_SECONDS, failure: Callable[[], str] = str) -> None:
    """Wait until `what` is true; else fail with what `failure` says."""
    if not came_true(what, seconds):
        pytest.fail(f"waited {seconds} s in vain: {failure()}")


def came_true(what: Callable[[], object], seconds: float = WAIT_SECONDS) -> bool:
    """Return whether `what` was true in time: for a test that has something to end before it may fail."""
    ends = time.monotonic() + seconds
    while not what():
        if time.monotonic() > ends:
            return False
        time.sleep(_POLL_SECONDS)
    return True
