"""One transaction's turn: what all parts of the dispatcher write into, count in, and take the time from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from lustre_events.index.interface import Transaction


@dataclass(frozen=True, slots=True)
class Turn:
    """A transaction, the counts that are committed with it, and the time of the step that it belongs to."""

    transaction: Transaction
    counters: Counter[str]
    now_ns: int
