"""How many jobs of an extractor read at once, where its manifest bounds that (`[limits] jobs`).

What was given out and is not done is known from this process's memory and from the queue. After a restart it is
learned again when leases end, so within one lease there may be more jobs than that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable

from lustre_events.domain.times import SECOND_NS

BETWEEN_NS = 2 * SECOND_NS
"""How long a job may be seen neither waiting nor running, while a worker is just taking it."""


class ReadLimits:
    """Counts the jobs of extractors that are bounded.

    Args:
        most: the most jobs of an extractor at once; 0: it is not bounded.
        unfinished: those of some jobs that wait or run; may raise StreamUnavailable.
    """

    def __init__(self, most: Callable[[str], int], unfinished: Callable[[Collection[str]], set[str]]) -> None:
        self._most = most
        self._unfinished = unfinished
        self._seen_ns: dict[str, dict[str, int]] = defaultdict(dict)

    def with_room(self, extractors: Iterable[str], now_ns: int) -> list[str]:
        """Return the extractors of which another job may go out."""
        for jobs in self._seen_ns.values():
            alive = self._unfinished(jobs.keys()) if jobs else ()
            jobs.update(dict.fromkeys(alive, now_ns))
            for job in [job for job, seen_ns in jobs.items() if seen_ns + BETWEEN_NS < now_ns]:
                del jobs[job]
        return [name for name in extractors if self.takes(name)]

    def takes(self, extractor: str) -> bool:
        """Whether another job of an extractor may go out now."""
        most = self._most(extractor)
        return not most or len(self._seen_ns[extractor]) < most

    def given(self, extractor: str, job: str, now_ns: int) -> None:
        """Count a job that goes out, or that is found to be out."""
        if self._most(extractor):
            self._seen_ns[extractor][job] = now_ns
