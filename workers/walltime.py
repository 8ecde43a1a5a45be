"""When a worker has to leave because its node is lent for so long only (Slurm's walltime): it stops in time.

A worker takes a job only while there is room for one before the end. How long the next one takes nobody knows, so
room is three times the longest job that this worker has had, half a minute at least, and never more than a job may
take at all. A job that is still at work `END_SECONDS` before the end is ended as by SIGTERM: it may finish within
seconds, else it is killed and its files are extracted again elsewhere.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

LEAST_SECONDS = 30.0
END_SECONDS = 10.0
"""A killed job, its container and RQ need 4 to 8 s to end."""
FACTOR = 3


class Walltime:
    """The time that one worker has.

    Args:
        until: when it must have left, in seconds since the epoch.
        job_seconds: longest time that one job may run.
        clock: the time in seconds since the epoch.
    """

    def __init__(self, until: float, job_seconds: float, clock: Callable[[], float] = time.time) -> None:
        self.until = until
        self._job_seconds = job_seconds
        self._clock = clock
        self._longest_seconds = 0.0

    def took(self, seconds: float) -> None:
        """Say how long a job took."""
        self._longest_seconds = max(self._longest_seconds, seconds)

    @property
    def room_seconds(self) -> float:
        """For how long a job that begins now may be at work before it is ended."""
        return min(self._job_seconds, max(LEAST_SECONDS, FACTOR * self._longest_seconds))

    def left_seconds(self) -> float:
        """Return for how long jobs may still be taken; 0 or below: take no more."""
        return self.until - END_SECONDS - self.room_seconds - self._clock()

    def end_this_process(self) -> threading.Timer:
        """Send this process SIGTERM `END_SECONDS` before the end, whatever it is doing then; return the timer."""
        wait_seconds = min(max(0.0, self.until - END_SECONDS - self._clock()), threading.TIMEOUT_MAX)
        timer = threading.Timer(wait_seconds, os.kill, (os.getpid(), signal.SIGTERM))
        timer.daemon = True
        timer.start()
        return timer
