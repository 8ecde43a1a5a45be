"""What the counters were about a minute ago, so that one look at the state shows how fast they grow."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import msgspec

from lustre_events.domain.times import SECOND_NS

EVERY_NS = 10 * SECOND_NS
KEPT = 7


class Rates:
    """Keeps a sample every ten seconds, for a minute."""

    def __init__(self) -> None:
        self._samples: deque[tuple[int, dict[str, int]]] = deque(maxlen=KEPT)

    def look(self, now_ns: int, counters: Mapping[str, int]) -> str:
        """Return the oldest sample that is kept, as JSON: `time_ns` and `counters`."""
        if not self._samples or now_ns - self._samples[-1][0] >= EVERY_NS:
            self._samples.append((now_ns, dict(counters)))
        time_ns, before = self._samples[0]
        return msgspec.json.encode({"time_ns": time_ns, "counters": before}).decode()
