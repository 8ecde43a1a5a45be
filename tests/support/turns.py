"""Tests that run beside no other: those that look at times wait for a quiet machine (`@pytest.mark.alone`).

Every test of a parallel run holds a lock that all may share, and a test that is to be alone holds it for itself.
Each goes through a gate first, where the one that waits for the others keeps new ones out. The kernel frees both
locks of a process that dies.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

ALONE = "alone"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Wait for the turn of a test before its time begins to run."""
    cache = getattr(item.config, "cache", None)
    if not hasattr(item.config, "workerinput") or cache is None:
        return (yield)
    with turn(cache.mkdir("turns"), alone=item.get_closest_marker(ALONE) is not None):
        return (yield)


@contextlib.contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Hold the right to run, beside others or alone."""
    with (folder / "room").open("ab") as room:
        with (folder / "gate").open("ab") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
