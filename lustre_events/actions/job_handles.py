"""What the ledger keeps of a run's job of Slurm: a text that file workers write, and that people are told of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import ConfigError

HELD, RELEASED, LOST = "held", "released", "gone"


@dataclass(frozen=True, slots=True)
class Handle:
    """Which job does a run, whose it is, and what is known of it.

    `since`, in seconds since the epoch: of RELEASED since when Slurm says that it is running, 0: it does not; of
    LOST since when the controller does not know it.
    """

    job: int
    uid: int
    phase: str
    since: int = 0

    def __str__(self) -> str:
        return f"{self.job} {self.uid} {self.phase} {self.since}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what `str` wrote. Raises ConfigError."""
        words = text.split(" ")
        numbers = [int(word) for word in (*words[:2], *words[3:]) if word.isdecimal()]
        if len(words) != 4 or len(numbers) != 3 or words[2] not in {HELD, RELEASED, LOST}:
            raise ConfigError(f"{text[:60]!r} names no job; dispatcher and worker may differ in version")
        return cls(numbers[0], numbers[1], words[2], numbers[2])


def job_of(handle: str) -> dict[str, Any] | None:
    """Return a job with what Slurm says of it, and since when (ns); None: there is none."""
    try:
        found = Handle.parse(handle)
    except ConfigError:
        return None
    says = {HELD: "held until its id is written down", LOST: "nothing"}.get(found.phase, "")
    running = found.phase == RELEASED and found.since
    return {"id": found.job, "says": "RUNNING" if running else says, "since_ns": found.since * SECOND_NS}
