"""The to-do list in SQLite: the pending rows, as interface.py describes them."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from typing import Any

from lustre_events.changelog.fid import FID
from lustre_events.domain.pending import PendingRow
from lustre_events.index.interface import OWNERLESS, Lane, OwnerWork, WorkKey
from lustre_events.index.sqlite.among import select
from lustre_events.index.writer_cache import Remembering
from lustre_events.jobs.messages import BUILT_IN

_PENDING = (
    "fid, extractor, generation, due_ns, changed_ns, attempts, reason, rule, queue, priority, job, handed_out_ns,"
    " gone_ns, scan, after, error"
)

_MARKS = ", ".join("?" * len(_PENDING.split(",")))
_PUT = f"INSERT OR REPLACE INTO pending ({_PENDING}) VALUES ({_MARKS})"  # noqa: S608 - constants
_PUT_OWNED = (
    f"INSERT OR REPLACE INTO pending ({_PENDING}, owner) VALUES ({_MARKS},"  # noqa: S608 - constants
    " (SELECT uid FROM object WHERE fid = ?1))"
)


class PendingTable(Remembering):
    """The calls of `interface.Transaction` about pending rows."""

    _connection: sqlite3.Connection

    def _stored_pending(self, works: Collection[WorkKey]) -> dict[WorkKey, PendingRow]:
        """Return those rows that are pending."""
        wanted = set(works)
        rows = select(
            self._connection,
            f"SELECT {_PENDING} FROM pending WHERE fid IN ({{}})",  # noqa: S608 - constants
            {fid for fid, _ in wanted},
        )
        found = (PendingRow.stored(row) for row in rows)
        return {(row.fid, row.extractor): row for row in found if (row.fid, row.extractor) in wanted}

    def put_pending(self, rows: Iterable[PendingRow]) -> None:
        """Write pending rows, over those that are there."""
        rows = list(rows)
        self._remembered.put(rows)
        ownerless: list[tuple[Any, ...]] = []
        owned: list[tuple[Any, ...]] = []
        for row in rows:
            # An owner is looked up only where rows have one: most are about `stat`.
            (ownerless if row.extractor in BUILT_IN else owned).append((
                row.fid.pack(), row.extractor, row.generation, row.due_ns, row.changed_ns,
                row.attempts, row.reason, row.rule, row.queue, row.priority, row.job,
                row.handed_out_ns, row.gone_ns, row.scan, row.after, row.error,
            ))  # fmt: skip
        self._connection.executemany(_PUT, ownerless)
        self._connection.executemany(_PUT_OWNED, owned)

    def put_leases(self, rows: Iterable[PendingRow]) -> None:
        """Write `due_ns`, `job` and `handed_out_ns` of rows that are pending."""
        rows = list(rows)
        self._remembered.put(rows)
        self._connection.executemany(
            "UPDATE pending SET due_ns = ?, job = ?, handed_out_ns = ? WHERE fid = ? AND extractor = ?",
            [(row.due_ns, row.job, row.handed_out_ns, row.fid.pack(), row.extractor) for row in rows],
        )

    def remove_pending(self, works: Iterable[WorkKey]) -> None:
        """Remove pending rows."""
        works = list(works)
        self._remembered.done(works)
        self._connection.executemany(
            "DELETE FROM pending WHERE fid = ? AND extractor = ?", [(fid.pack(), name) for fid, name in works]
        )

    def lanes(self) -> list[Lane]:
        """Return the lanes that have pending rows, per queue the greatest priority first."""
        # From one lane to the next through the index: as quick for millions of rows as for ten. Two questions: for
        # `(queue, priority) > (?, ?)` SQLite uses only the first half.
        found: list[Lane] = []
        row = self._first("", ())
        while row is not None:
            found.append(Lane(*row))
            row = self._first("WHERE queue = ? AND priority > ?", row) or self._first("WHERE queue > ?", row[:1])
        return sorted(found, key=lambda lane: (lane.queue, -lane.priority))

    def _first(self, condition: str, values: tuple[Any, ...]) -> tuple[str, int] | None:
        statement = f"SELECT queue, priority FROM pending {condition} ORDER BY queue, priority LIMIT 1"  # noqa: S608
        row: tuple[str, int] | None = self._connection.execute(statement, values).fetchone()
        return row

    def due(
        self, lane: Lane, extractors: Collection[str], now_ns: int, limit: int, skip: int = 0
    ) -> list[PendingRow]:
        """Return up to `limit` rows of `extractors` that are due, the oldest first, without the `skip` oldest."""
        # One by one, so that the rows of an extractor that is suspended are never looked at, however many.
        found = [
            row
            for extractor in extractors
            for row in self._connection.execute(
                f"SELECT {_PENDING} FROM pending WHERE queue = ? AND priority = ? AND extractor = ?"  # noqa: S608
                " AND due_ns <= ? ORDER BY due_ns LIMIT ?",
                (lane.queue, lane.priority, extractor, now_ns, skip + limit),
            )
        ]
        found.sort(key=_due_ns)
        return [PendingRow.stored(row) for row in found[skip : skip + limit]]

    def owners(self, lane: Lane, extractors: Collection[str], after: int, limit: int) -> list[OwnerWork]:
        """Return whose rows a lane has: per extractor up to `limit` owners behind the uid `after`."""
        found = []
        for extractor in extractors:
            owner: int | None = after
            for _ in range(limit):
                (owner,) = self._connection.execute(
                    "SELECT min(owner) FROM pending"
                    " WHERE queue = ? AND priority = ? AND extractor = ? AND owner > ?",
                    (lane.queue, lane.priority, extractor, owner),
                ).fetchone()
                if owner is None:
                    break
                found.append(OwnerWork(extractor, owner))
        return found

    def due_of(self, lane: Lane, shares: Collection[OwnerWork], now_ns: int, limit: int) -> list[PendingRow]:
        """Return up to `limit` rows of each of these that are due, the oldest first."""
        found = [
            row
            for share in shares
            for row in self._connection.execute(
                f"SELECT {_PENDING} FROM pending WHERE queue = ? AND priority = ? AND extractor = ?"  # noqa: S608
                " AND owner = ? AND due_ns <= ? ORDER BY due_ns LIMIT ?",
                (lane.queue, lane.priority, *share, now_ns, limit),
            )
        ]
        found.sort(key=_due_ns)
        return [PendingRow.stored(row) for row in found]

    def _put_owners(self, owners: Iterable[tuple[FID, int]]) -> None:
        """Write whose files pending rows are about."""
        self._connection.executemany(
            f"UPDATE pending SET owner = ?2 WHERE fid = ?1 AND owner IS NOT ?2 AND extractor NOT IN {OWNERLESS}",  # noqa: S608 - constants
            [(fid.pack(), uid) for fid, uid in owners],
        )

    def forgive(self, extractor: str) -> None:
        """Forget the attempts of all pending rows of an extractor."""
        self._remembered.pending.clear()
        self._connection.execute(
            "UPDATE pending SET attempts = 0 WHERE extractor = ? AND attempts > 0", (extractor,)
        )

    def reprocessing(self, extractor: str, limit: int) -> int:
        """Return how many rows of an extractor are pending for the reason `reprocess`, counted up to `limit`."""
        row = self._connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM pending WHERE extractor = ? AND reason = 'reprocess' LIMIT ?)",
            (extractor, limit),
        ).fetchone()
        return int(row[0])


def _due_ns(row: tuple[Any, ...]) -> int:
    return int(row[3])
