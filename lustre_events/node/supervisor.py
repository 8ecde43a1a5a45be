"""Child processes of one node, kept running: what `lustre-events run` is made of.

A child that ends is started again after a wait that doubles up to a minute and starts anew once a child has
lived for a minute. Children are added while it runs: `discover` is asked for them every few seconds (an MDT's
device appears when the client is mounted). Stopping sends SIGTERM to all, waits, then SIGKILL, so that nothing
is left behind.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lustre_events import subprocesses

log = logging.getLogger(__name__)

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 60.0
LONG_LIFE_SECONDS = 60.0
LOOK_SECONDS = 0.2
DISCOVER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Child:
    """One process to keep running. `environment` is added to the supervisor's own."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]


@dataclass(slots=True)
class _Running:
    child: Child
    process: subprocesses.Child | None = None
    started: float = 0.0
    wait_seconds: float = FIRST_WAIT_SECONDS
    start_at: float = 0.0


class Supervisor:
    """Starts children, restarts those that end, and stops them all."""

    def __init__(
        self,
        children: Iterable[Child],
        stop_seconds: float = 8.0,
        also: Callable[[], None] = lambda: None,
        discover: Callable[[], Iterable[Child]] = list,
        discover_seconds: float = DISCOVER_SECONDS,
    ) -> None:
        """Take the children, how long they may take to stop, and what else to look after at every look.

        `discover` is asked every `discover_seconds` for the children that there should be; new names are added.
        """
        self._also = also
        self._running: dict[str, _Running] = {}
        self._discover = discover
        self._discover_seconds = discover_seconds
        self._stop_seconds = stop_seconds
        self._stop = threading.Event()
        self._add(children)

    def stop(self) -> None:
        """Make `run` end; from another thread."""
        self._stop.set()

    def run(self) -> None:
        """Keep all children running until `stop` is called, then end them."""
        discover_at = time.monotonic() + self._discover_seconds
        try:
            while not self._stop.is_set():
                self._also()
                now = time.monotonic()
                if now >= discover_at:
                    self._add(self._discover())
                    discover_at = now + self._discover_seconds
                for running in self._running.values():
                    self._look_after(running, now)
                self._stop.wait(LOOK_SECONDS)
        finally:
            self._end_all()

    def _add(self, children: Iterable[Child]) -> None:
        for child in children:
            self._running.setdefault(child.name, _Running(child))

    def _look_after(self, running: _Running, now: float) -> None:
        process = running.process
        if process is None:
            if now >= running.start_at:
                running.process = _start(running.child)
                running.started = now
            return
        code = process.poll()
        if code is None:
            return
        if now - running.started > LONG_LIFE_SECONDS:
            running.wait_seconds = FIRST_WAIT_SECONDS
        log.warning(
            "%s ended with code %d and is started again in %.1f s",
            running.child.name,
            code,
            running.wait_seconds,
            extra={"action": "restart", "child": running.child.name, "code": code, "wait": running.wait_seconds},
        )
        running.process = None
        running.start_at = now + running.wait_seconds
        running.wait_seconds = min(2 * running.wait_seconds, LONGEST_WAIT_SECONDS)

    def _end_all(self) -> None:
        alive = [running.process for running in self._running.values() if running.process is not None]
        subprocesses.end(alive, self._stop_seconds)


def _start(child: Child) -> subprocesses.Child:
    log.info("starting: %s", child.name, extra={"action": "start", "child": child.name})
    return subprocesses.start(child.argv, environment={**os.environ, **child.environment}, ends_with_parent=True)
