"""What workers say about the file system itself, `heal` and `scan`, beside the results about what is in files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from lustre_events.changelog.fid import FID
from lustre_events.dispatcher import questions
from lustre_events.dispatcher.heal import Healing
from lustre_events.dispatcher.scan import Scanning
from lustre_events.domain.pending import PendingRow
from lustre_events.index.interface import ObjectRow, Transaction
from lustre_events.jobs.messages import HEAL, SCAN, Result


class Answers:
    """Takes answers one by one, and writes what can be written together, in the caller's transaction."""

    def __init__(self, healing: Healing, scanning: Scanning) -> None:
        self._healing = healing
        self._scanning = scanning

    def take(  # noqa: PLR0917 - as `Healing.take`
        self, transaction: Transaction, result: Result, row: ObjectRow, before: PendingRow | None, now_ns: int,
        counters: Counter[str],
    ) -> tuple[str, PendingRow | None]:  # fmt: skip
        """Take a good answer; return how it counts, and what is left of its row.

        Raises:
            ConfigError: it is no answer to what was asked.
        """
        if before is None or not questions.in_time(before, result):
            return "dropped", before
        if result.extractor == HEAL:
            return "ok", self._healing.take(transaction, result, row, before, now_ns, counters)
        return "ok", self._scanning.accept(result, before, now_ns)

    def gave_up(self, before: PendingRow, error: str) -> None:
        """Take note of a row whose tries are used up."""
        if before.extractor == SCAN:
            self._scanning.gave_up(before, error)

    def write(
        self, transaction: Transaction, doubted: Collection[FID], now_ns: int, counters: Counter[str]
    ) -> None:
        """Write listings and what answers ask for, once what is left of all rows is written: it may be theirs."""
        self._healing.write(transaction, now_ns)
        self._scanning.write(transaction, now_ns, counters)
        stored = transaction.objects(doubted).keys() if doubted else set()
        counters["doubted"] += self._healing.doubt(transaction, stored, now_ns)

    def begin(self) -> None:
        """Forget what a step that failed has left."""
        self._healing.begin()
        self._scanning.begin()
