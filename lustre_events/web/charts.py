"""Samples of the status over the last hours, and the charts drawn from them (SVG, without any script)."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lustre_events.errors import IndexUnavailable, LustreEventsError
from lustre_events.inspect.status import Status

log = logging.getLogger(__name__)

SAMPLE_SECONDS = 15.0
SAMPLES = 1440
"""Six hours."""
BEHIND = 10_000
"""As soon as this many records wait to be indexed, every user is told."""


@dataclass(frozen=True, slots=True)
class StatusSample:
    """What the status was at one time. Sums are since the beginning; rates come from two samples."""

    time_ns: int
    read: int
    indexed: int
    behind: int
    pending: int
    documents: int
    lost: tuple[str, ...] = ()
    """MDTs with lost records that nobody has recovered or accepted."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A line over time: points within 0..100 by 0..30, what its top and its last point stand for, and its times.

    `first_ns` and `last_ns` 0: there are no points.
    """

    title: str
    points: str
    top: str
    last: str
    first_ns: int = 0
    last_ns: int = 0


def sample_of(status: Status) -> StatusSample:
    """Return what is kept of a status."""
    mdts = (status.mdts or {}).values()
    index = status.index
    if index is None:
        raise IndexUnavailable("the status has no index")
    return StatusSample(
        time_ns=status.time_ns,
        read=int(sum(state.number("records_read") or 0 for state in mdts)),
        indexed=index.counters.get("records", 0),
        behind=sum(state.behind for state in mdts),
        pending=sum(index.pending.values()),
        documents=sum(index.documents.values()),
        lost=tuple(sorted(name for name, state in (status.mdts or {}).items() if state.open_losses)),
    )


def warnings(sample: StatusSample | None) -> list[str]:
    """Return what somebody who searches must know: what is missing, and what is not there yet."""
    if sample is None:
        return []
    found = []
    if sample.lost:
        found.append(
            f"Records of {', '.join(sample.lost)} were lost: what changed then may be missing here until an "
            "administrator has it scanned again."
        )
    if sample.behind >= BEHIND:
        found.append(
            f"The index is {sample.behind:,} records behind: what changed last may not be found yet."
        )  # fmt: skip
    return found


class History:
    """Samples the status at intervals, in a thread of its own, until it is stopped."""

    def __init__(self, status: Callable[[], Status]) -> None:
        self._status = status
        self._samples: deque[StatusSample] = deque(maxlen=SAMPLES)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def add(self, sample: StatusSample) -> None:
        """Keep a sample."""
        self._samples.append(sample)

    def warnings(self) -> list[str]:
        """Return what somebody who searches must know, by the last sample."""
        return warnings(self._samples[-1] if self._samples else None)

    def charts(self) -> list[Chart]:
        """Return the charts of all samples."""
        samples = list(self._samples)
        times = [sample.time_ns for sample in samples]
        return [
            chart("records read per second", times[1:], rates(samples, "read")),
            chart("records indexed per second", times[1:], rates(samples, "indexed")),
            chart("records stored but not indexed", times, [sample.behind for sample in samples]),
            chart("pending work", times, [sample.pending for sample in samples]),
            chart("documents", times, [sample.documents for sample in samples]),
        ]

    def _run(self) -> None:
        while True:
            try:
                self.add(sample_of(self._status()))
            except LustreEventsError as exc:
                log.warning("no sample of the status: %s", exc, extra={"action": "sample"})
            if self._stop.wait(SAMPLE_SECONDS):
                return


def rates(samples: Sequence[StatusSample], name: str) -> list[float]:
    """Return the growth of a sum per second between samples; one that began anew counts from zero."""
    found = []
    for before, after in pairwise(samples):
        seconds = max(1e-9, (after.time_ns - before.time_ns) / 1e9)
        grown = getattr(after, name) - getattr(before, name)
        found.append((grown if grown >= 0 else getattr(after, name)) / seconds)
    return found


def chart(title: str, times: Sequence[int], values: Sequence[float]) -> Chart:
    """Return a chart of values over times in ns."""
    if not values:
        return Chart(title, "", "-", "-")
    first, span = times[0], max(1, times[-1] - times[0])
    top = max(*values, 1e-9) if len(values) > 1 else max(values[0], 1e-9)
    points = (
        f"{100 * (time - first) / span:.2f},{30 - 30 * value / top:.2f}"
        for time, value in zip(times, values, strict=True)
    )
    return Chart(title, " ".join(points), _number(max(values)), _number(values[-1]), times[0], times[-1])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"
