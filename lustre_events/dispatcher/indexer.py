"""The loop of an indexer: portions of results out of Redis, documents and outcomes into the index.

What is acknowledged is committed. Where anything fails the same portions are tried again; whoever is killed leaves
them to the next one, and a portion may be done twice.

Each look, each transaction and each outcome costs the same, however little there is. So an indexer that has taken
all there was waits a moment for more, and the more indexers share the work, the longer each waits: together they
look as often as one would.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Protocol

from lustre_events.dispatcher.pauses import Pauses
from lustre_events.errors import LustreEventsError
from lustre_events.index.interface import DocumentWriter
from lustre_events.jobs.messages import DocumentPortion
from lustre_events.streams.documents import IndexerState
from lustre_events.streams.interface import DocumentPortions

log = logging.getLogger(__name__)

IDLE_SECONDS = 0.2
"""Between two looks of all indexers together; while something is under way it is a quarter (pauses.py)."""
LONGEST_SECONDS = 2.0
"""No indexer waits longer, however many there are."""
RETRY_SECONDS = 1.0
PUBLISH_SECONDS = 1.0


class Portions(DocumentPortions, Protocol):
    """Portions in Redis, and where an indexer says how it goes."""

    dropped: int
    """Portions that were given out too often."""

    def publish(self, state: IndexerState) -> None:
        """Say how it goes, for `status`."""


class Indexer:
    """Writes documents until it is stopped.

    Args:
        portions: results for indexers.
        index: where to.
        beat: called at each turn, and within a long one, with what was done so far, for systemd's watchdog.
        clock: the time in ns since the epoch.
        chance: a number from 0 to 1, another one each time.
    """

    def __init__(
        self,
        portions: Portions,
        index: DocumentWriter,
        beat: Callable[[str], None] = lambda _status: None,
        clock: Callable[[], int] = time.time_ns,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._pauses = Pauses(IDLE_SECONDS)
        self._chance = chance
        self._portions = portions
        self._index = index
        self._beat = beat
        self._clock = clock
        self._stop = threading.Event()
        self._held: list[DocumentPortion] = []
        self._published_ns = 0
        self.written = self.documents = 0

    def stop(self) -> None:
        """Make `run` return after its present step; from another thread."""
        self._stop.set()

    def run(self) -> None:
        """Step until `stop` is called. Raises what another try cannot help."""
        while not self._stop.is_set():
            try:
                pause_seconds = self.pause_after(done=self.step())
                self._publish()
            except LustreEventsError as exc:
                if not exc.retryable:
                    raise
                log.warning("%s; trying again", exc, extra={"action": "retry"})
                pause_seconds = RETRY_SECONDS
            self._tell()
            if pause_seconds:
                self._stop.wait(pause_seconds)

    def step(self) -> bool:
        """Write some portions; return whether there were any. Raises StreamError, IndexUnavailable, IndexTooNew."""
        self._held = self._held or self._portions.read()
        if not self._held:
            return False
        documents = self._index.write(self._held, self._tell)
        self._portions.acknowledge(self._held)
        self.written += len(self._held)
        self.documents += documents
        self._held = []
        return True

    def pause_after(self, *, done: bool) -> float:
        """Return how many seconds to wait after a step that did something, or nothing."""
        usual = self._pauses.after(self._clock(), done=done, more=self._portions.more)
        # By chance, so that indexers that were started together do not look together.
        return min(LONGEST_SECONDS, usual * self._portions.sharing * (0.5 + self._chance()))

    def _tell(self) -> None:
        self._beat(f"wrote {self.documents} documents in {self.written} portions")

    def _publish(self) -> None:
        now_ns = self._clock()
        if now_ns - self._published_ns >= PUBLISH_SECONDS * 1e9:
            self._published_ns = now_ns
            refused = self._index.refused + self._portions.dropped
            self._portions.publish(IndexerState(now_ns, self.written, self.documents, time.process_time(), refused))
