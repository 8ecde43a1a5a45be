"""A worker that gets SIGTERM while it cleans RQ's lists, in code of RQ that takes any exception or in none.

`python -m tests.support.service.interrupted_worker [SWALLOWED] --config FILE`
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from lustre_events.config.settings import load
from workers import wiring
from workers.worker import Worker


class InterruptedWorker(Worker):
    """A worker to which the signal comes at that moment, whatever its speed."""

    swallows = False

    def clean_registries(self) -> None:
        """Get the signal."""
        with contextlib.suppress(Exception) if self.swallows else contextlib.nullcontext():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)  # the handler runs here at the latest


if __name__ == "__main__":
    made = wiring.worker(load(Path(sys.argv[-1])))
    made.__class__ = InterruptedWorker
    InterruptedWorker.swallows = "SWALLOWED" in sys.argv
    made.work(logging_level="WARNING")
