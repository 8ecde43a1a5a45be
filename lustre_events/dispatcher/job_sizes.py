"""How many files one job takes: few where nothing waits, so that each is done soon; more where a queue is deep.

Starting a container costs half a second, whatever the number of its files. So where many jobs wait anyway jobs
grow, up to several times `job_files`, but never so far that one would run for long: what a file of this extractor
has taken lately decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GROWTH = 4
"""At most this many times `job_files`."""

DEEP = 10
"""Jobs that wait in a queue which is deep."""

LONG_SECONDS = 30.0
"""A job that has grown should not run longer."""

_SHARE = 0.05
"""The weight of one result in the mean."""


class JobSizes:
    """Learns how long a file takes, by extractor, from the provenance of documents."""

    def __init__(self, job_files: int) -> None:
        self._files = job_files
        self._seconds: dict[str, float] = {}

    def learn(self, extractor: str, provenance: Mapping[str, Any]) -> None:
        """Take what a result says: `duration_ms` of its run, and the `files` that it was for."""
        took_ms, files = provenance.get("duration_ms"), provenance.get("files")
        if isinstance(took_ms, int) and isinstance(files, int) and took_ms >= 0 and files > 0:
            # Whole numbers: a worker can write any.
            seconds = min(took_ms * 1000 // files, round(LONG_SECONDS * 1e6)) / 1e6
            before = self._seconds.get(extractor, seconds)
            self._seconds[extractor] = before + _SHARE * (seconds - before)

    def most(self, extractor: str, waiting: int) -> int:
        """Return the most files of a job for a queue in which this number of jobs wait."""
        seconds = self._seconds.get(extractor)
        if waiting < DEEP or seconds is None:
            return self._files
        fitting = int(LONG_SECONDS / seconds) if seconds > 0 else GROWTH * self._files
        return max(self._files, min(GROWTH * self._files, fitting))
