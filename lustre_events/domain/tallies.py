"""Per extractor: how many results of which status, and how long a file took. Kept as counters of the index.

    counter                      meaning
    extractor:<name>:<status>    results of a status: ok, failed, gone, released
    extractor:<name>:le:<bound>  results that took this many seconds or less, and more than the next smaller bound
    extractor:<name>:us          microseconds that all of these took

A run of a container is over many files at once, so a file's time is the run's, divided by their number.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

PREFIX = "extractor:"
STATUSES = ("ok", "failed", "gone", "released")
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Seconds a file; what took longer is in the bucket `+Inf`."""
LABELS = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")

LONGEST_MS = 86_400_000
"""What a worker says is not believed beyond a day: a sum must stay a number that a database can hold."""


class Tallies:
    """Counts results, cheaply: those of one run are alike, and are put into words only once."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, str, int]] = Counter()

    def add(self, extractor: str, status: str, provenance: Mapping[str, Any]) -> None:
        """Count a result; `provenance` is what a worker says, and may be anything."""
        run_ms, files = provenance.get("duration_ms"), provenance.get("files")
        took_us = -1
        if type(run_ms) is int and type(files) is int and run_ms >= 0 and files > 0:
            took_us = min(run_ms, LONGEST_MS) * 1000 // files
        self._seen[extractor, status, took_us] += 1

    def counters(self) -> Counter[str]:
        """Return what was counted, by the names of counters."""
        found: Counter[str] = Counter()
        for (extractor, status, took_us), count in self._seen.items():
            name = f"{PREFIX}{extractor}"
            if status in STATUSES:
                found[f"{name}:{status}"] += count
            if took_us >= 0:
                found[f"{name}:le:{LABELS[bisect.bisect_left(BOUNDS, took_us / 1e6)]}"] += count
                found[f"{name}:us"] += took_us * count
        return found


@dataclass(slots=True)
class Tally:
    """What one extractor did: results by status, results by bucket of duration (LABELS), seconds of all of them."""

    statuses: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATUSES, 0))
    buckets: list[int] = field(default_factory=lambda: [0] * len(LABELS))
    seconds: float = 0.0

    @property
    def results(self) -> int:
        """How many results there were."""
        return sum(self.statuses.values())

    @property
    def failure_rate(self) -> float | None:
        """Which part of those that were tried failed; None: none was tried."""
        tried = self.statuses["ok"] + self.statuses["failed"]
        return self.statuses["failed"] / tried if tried else None

    def cumulated(self) -> list[tuple[str, int]]:
        """Return per label how many results took as long or less, as Prometheus wants it."""
        return list(zip(LABELS, accumulate(self.buckets), strict=True))

    def quantile_seconds(self, share: float) -> float | None:
        """Return how long a file took at most for this share of the files; None: none was timed.

        Within a bucket it is interpolated; beyond the greatest bound nothing better than that bound is known.
        """
        wanted = share * sum(self.buckets)
        below = 0
        for bucket, count in enumerate(self.buckets):
            if count and below + count >= wanted:
                if bucket == len(BOUNDS):
                    return BOUNDS[-1]
                low = BOUNDS[bucket - 1] if bucket else 0.0
                return low + (BOUNDS[bucket] - low) * (wanted - below) / count
            below += count
        return None


def by_extractor(counters: Mapping[str, int]) -> dict[str, Tally]:
    """Return the tallies that are among an index's counters, by extractor."""
    found: dict[str, Tally] = {}
    for name, value in counters.items():
        if not name.startswith(PREFIX):
            continue
        extractor, *rest = name.removeprefix(PREFIX).split(":")
        tally = found.setdefault(extractor, Tally())
        match rest:
            case ["le", label] if label in LABELS:
                tally.buckets[LABELS.index(label)] = value
            case ["us"]:
                tally.seconds = value / 1e6
            case [status] if status in STATUSES:
                tally.statuses[status] = value
    return dict(sorted(found.items()))
