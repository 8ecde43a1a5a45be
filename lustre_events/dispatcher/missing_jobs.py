"""Jobs that neither wait nor run: whether that was so before, when all that they had found was not read yet.

A step reads results at its beginning, and asks at its end which jobs there still are. A job that ended in between
has put results behind those that were read. So only one that is missing in a second step is lost.
"""

from __future__ import annotations

MOST = 10_000
KEPT_STEPS = 100


class MissingJobs:
    """The jobs that were missing in the last steps. Of more than MOST, those of the last KEPT_STEPS steps stay."""

    def __init__(self) -> None:
        self._first: dict[str, int] = {}
        self._step = 0

    def __len__(self) -> int:
        """Return how many jobs are remembered."""
        return len(self._first)

    def begin(self) -> None:
        """Begin a step."""
        self._step += 1
        if len(self._first) > MOST:
            oldest = self._step - KEPT_STEPS
            self._first = {job: first for job, first in self._first.items() if first >= oldest}

    def is_there(self, job: str) -> None:
        """Take note that a job waits or runs."""
        self._first.pop(job, None)

    def was_missing(self, job: str) -> bool:
        """Take note that a job is missing in this step; return whether it was in one before."""
        return self._first.setdefault(job, self._step) < self._step
