"""What every stage is given, and what it gives."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lustre_events.node.redis_server import RedisServer

REPOSITORY = Path(__file__).resolve().parents[1]
MDT = "bench-MDT0000"

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Options:
    """Where images are, how many records the record stages use, and of how many files an index is made."""

    images: Path
    records: int = 500_000
    files: int = 1_000_000


def percentile(values: Iterable[float], percent: int) -> float:
    """Return the value that this percentage of the values do not exceed (by the nearest rank)."""
    ordered = sorted(values)
    return ordered[-(-percent * len(ordered) // 100) - 1]


@contextlib.contextmanager
def private_redis() -> Iterator[tuple[Path, RedisServer]]:
    """Give a scratch folder and a Redis with AOF everysec in it."""
    with (
        tempfile.TemporaryDirectory(prefix="lustre-events-bench-") as name,
        RedisServer(Path(name) / "redis") as server,
    ):
        yield Path(name), server
