"""The to-do list in SQLite: the pending rows, as interface.py describes them."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from typing import Any

from lustre_events.fid import FID
from lustre_events.index.interface import Lane, Work
from lustre_events.index.sqlite_database import select
from lustre_events.pending import PendingRow

_PENDING = "fid, extractor, generation, due_ns, first_ns, attempts, reason, rule, queue, priority, job"


class PendingTable:
    """The calls of `interface.Transaction` about pending rows."""

    _connection: sqlite3.Connection

    def pending(self, works: Collection[Work]) -> dict[Work, PendingRow]:
        """Return those rows that are pending."""
        wanted = set(works)
        rows = select(
            self._connection,
            f"SELECT {_PENDING} FROM pending WHERE fid IN ({{}})",  # noqa: S608 - constants
            {fid for fid, _ in wanted},
        )
        found = (_pending_row(row) for row in rows)
        return {(row.fid, row.extractor): row for row in found if (row.fid, row.extractor) in wanted}

    def put_pending(self, rows: Iterable[PendingRow]) -> None:
        """Write pending rows, over those that are there."""
        self._connection.executemany(
            f"INSERT OR REPLACE INTO pending ({_PENDING}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            [
                (
                    row.fid.pack(), row.extractor, row.generation, row.due_ns, row.first_ns, row.attempts,
                    row.reason, row.rule, row.queue, row.priority, row.job,
                )
                for row in rows
            ],
        )  # fmt: skip

    def remove_pending(self, works: Iterable[Work]) -> None:
        """Remove pending rows."""
        self._connection.executemany(
            "DELETE FROM pending WHERE fid = ? AND extractor = ?", [(fid.pack(), name) for fid, name in works]
        )

    def lanes(self) -> list[Lane]:
        """Return the lanes that have pending rows, per queue the greatest priority first."""
        # From one lane to the next through the index: as quick for millions of rows as for ten.
        found: list[Lane] = []
        first = "SELECT queue, priority FROM pending {} ORDER BY queue, priority LIMIT 1"
        row = self._connection.execute(first.format("")).fetchone()
        while row is not None:
            found.append(Lane(*row))
            row = self._connection.execute(first.format("WHERE (queue, priority) > (?, ?)"), row).fetchone()
        return sorted(found, key=lambda lane: (lane.queue, -lane.priority))

    def due(self, lane: Lane, extractors: Collection[str], now_ns: int, limit: int) -> list[PendingRow]:
        """Return up to `limit` rows of `extractors` that are due, the oldest first."""
        marks = ",".join("?" * len(extractors))
        rows = self._connection.execute(
            f"SELECT {_PENDING} FROM pending WHERE queue = ? AND priority = ? AND due_ns <= ?"  # noqa: S608
            f" AND extractor IN ({marks}) ORDER BY due_ns LIMIT ?",
            (lane.queue, lane.priority, now_ns, *extractors, limit),
        )
        return [_pending_row(row) for row in rows]


def _pending_row(row: tuple[Any, ...]) -> PendingRow:
    fid, extractor, generation, due_ns, first_ns, attempts, reason, rule, queue, priority, job = row
    return PendingRow(
        fid=FID.unpack(fid), extractor=extractor, generation=generation, due_ns=due_ns, first_ns=first_ns,
        attempts=attempts, reason=reason, rule=rule, queue=queue, priority=priority, job=job,
    )  # fmt: skip
