"""The to-do list in PostgreSQL: the pending rows, as interface.py describes them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from operator import itemgetter

from lustre_events.changelog.fid import FID
from lustre_events.domain.pending import PendingRow
from lustre_events.index.interface import OWNERLESS, Lane, OwnerWork, WorkKey
from lustre_events.index.postgresql.database import packed
from lustre_events.index.postgresql.session import Session, columns
from lustre_events.index.writer_cache import Remembering

_PENDING = (
    "fid, extractor, generation, due_ns, changed_ns, attempts, reason, rule, queue, priority, job, handed_out_ns, "
    "gone_ns, scan, after, error"
)
_NAMES = _PENDING.split(", ")
_PUT = (
    f"INSERT INTO pending ({_PENDING}, owner) SELECT new.*, (SELECT uid FROM object"  # noqa: S608 - constants
    f" WHERE object.fid = new.fid AND new.extractor NOT IN {OWNERLESS})"
    " FROM unnest(%b::bytea[], %b::text[], %b::bigint[], %b::bigint[],"
    " %b::bigint[], %b::integer[], %b::text[], %b::text[], %b::text[], %b::integer[], %b::text[],"
    f" %b::bigint[], %b::bigint[], %b::bigint[], %b::bytea[], %b::text[]) AS new ({_PENDING})"
    " ON CONFLICT (fid, extractor) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in (*_NAMES[2:], "owner"))
)

# From one lane to the next through the index: as quick for millions of rows as for ten.
_LANES = """
WITH RECURSIVE lane (queue, priority) AS (
  (SELECT queue, priority FROM pending ORDER BY queue, priority LIMIT 1)
  UNION ALL
  SELECT next.queue, next.priority FROM lane CROSS JOIN LATERAL (
    SELECT queue, priority FROM pending WHERE (queue, priority) > (lane.queue, lane.priority)
    ORDER BY queue, priority LIMIT 1
  ) AS next
)
SELECT queue, priority FROM lane
"""

# Extractor by extractor, so that the rows of one that is suspended are never looked at, however many.
_DUE = f"""
SELECT {", ".join(f"p.{name}" for name in _NAMES)}
FROM unnest(%b::text[]) AS asked (extractor) CROSS JOIN LATERAL (
  SELECT * FROM pending
  WHERE queue = %s AND priority = %s AND pending.extractor = asked.extractor AND due_ns <= %s
  ORDER BY due_ns LIMIT %s
) AS p
ORDER BY p.due_ns LIMIT %s OFFSET %s
"""  # noqa: S608 - constants

_IN_LANE = "queue = %s AND priority = %s AND"

# From one owner to the next through the index, for each extractor.
_OWNERS = f"""
SELECT asked.extractor, found.owner FROM unnest(%b::text[]) AS asked (extractor) CROSS JOIN LATERAL (
  WITH RECURSIVE next (owner, place) AS (
    SELECT (SELECT min(owner) FROM pending WHERE {_IN_LANE} extractor = asked.extractor AND owner > %s), 1
    UNION ALL
    SELECT (SELECT min(pending.owner) FROM pending
            WHERE {_IN_LANE} extractor = asked.extractor AND pending.owner > next.owner), place + 1
    FROM next WHERE next.owner IS NOT NULL AND place < %s
  )
  SELECT owner FROM next WHERE owner IS NOT NULL
) AS found
"""  # noqa: S608 - constants

_DUE_OF = f"""
SELECT {", ".join(f"p.{name}" for name in _NAMES)}
FROM unnest(%b::text[], %b::bigint[]) AS asked (extractor, owner) CROSS JOIN LATERAL (
  SELECT * FROM pending
  WHERE {_IN_LANE} pending.extractor = asked.extractor AND pending.owner = asked.owner AND due_ns <= %s
  ORDER BY due_ns LIMIT %s
) AS p
ORDER BY p.due_ns
"""  # noqa: S608 - constants

_PUT_OWNERS = f"""
UPDATE pending SET owner = new.owner FROM unnest(%b::bytea[], %b::bigint[]) AS new (fid, owner)
WHERE pending.fid = new.fid AND pending.owner IS DISTINCT FROM new.owner AND pending.extractor NOT IN {OWNERLESS}
"""  # noqa: S608 - constants


class PendingTable(Remembering, Session):
    """The calls of `interface.Transaction` about pending rows."""

    def _stored_pending(self, works: Collection[WorkKey]) -> dict[WorkKey, PendingRow]:
        """Return those rows that are pending."""
        wanted = set(works)
        if not wanted:
            return {}
        rows = self._run(
            f"SELECT {_PENDING} FROM pending WHERE fid = ANY(%b::bytea[])",  # noqa: S608 - constants
            packed({fid for fid, _ in wanted}),
        ).fetchall()
        found = map(PendingRow.stored, rows)
        return {(row.fid, row.extractor): row for row in found if (row.fid, row.extractor) in wanted}

    def put_pending(self, rows: Iterable[PendingRow]) -> None:
        """Write pending rows, over those that are there."""
        rows = list(rows)
        self._remembered.put(rows)
        values = {
            (row.fid, row.extractor): (
                row.fid.pack(), row.extractor, row.generation, row.due_ns, row.changed_ns, row.attempts,
                row.reason, row.rule, row.queue, row.priority, row.job, row.handed_out_ns, row.gone_ns,
                row.scan, row.after, row.error,
            )
            for row in rows
        }  # fmt: skip
        if values:
            self._run(_PUT, *columns(sorted(values.values(), key=itemgetter(0, 1))))

    def put_leases(self, rows: Iterable[PendingRow]) -> None:
        """Write `due_ns`, `job` and `handed_out_ns` of rows that are pending."""
        rows = list(rows)
        self._remembered.put(rows)
        values = [(row.fid.pack(), row.extractor, row.due_ns, row.job, row.handed_out_ns) for row in rows]
        if values:
            self._run(
                "UPDATE pending SET due_ns = new.due_ns, job = new.job, handed_out_ns = new.handed_out_ns"
                " FROM unnest(%b::bytea[], %b::text[], %b::bigint[], %b::text[], %b::bigint[])"
                " AS new (fid, extractor, due_ns, job, handed_out_ns)"
                " WHERE pending.fid = new.fid AND pending.extractor = new.extractor",
                *columns(values),
            )

    def remove_pending(self, works: Iterable[WorkKey]) -> None:
        """Remove pending rows."""
        works = list(works)
        self._remembered.done(works)
        rows = [(fid.pack(), name) for fid, name in works]
        if rows:
            self._run(
                "DELETE FROM pending USING unnest(%b::bytea[], %b::text[]) AS gone (fid, extractor)"
                " WHERE pending.fid = gone.fid AND pending.extractor = gone.extractor",
                *columns(rows),
            )

    def lanes(self) -> list[Lane]:
        """Return the lanes that have pending rows, per queue the greatest priority first."""
        return sorted((Lane(*row) for row in self._run(_LANES)), key=lambda lane: (lane.queue, -lane.priority))

    def due(
        self, lane: Lane, extractors: Collection[str], now_ns: int, limit: int, skip: int = 0
    ) -> list[PendingRow]:
        """Return up to `limit` rows of `extractors` that are due, the oldest first, without the `skip` oldest."""
        rows = self._run(_DUE, list(extractors), lane.queue, lane.priority, now_ns, skip + limit, limit, skip)
        return [PendingRow.stored(row) for row in rows.fetchall()]

    def owners(self, lane: Lane, extractors: Collection[str], after: int, limit: int) -> list[OwnerWork]:
        """Return whose rows a lane has: per extractor up to `limit` owners behind the uid `after`."""
        place = lane.queue, lane.priority
        rows = self._run(_OWNERS, list(extractors), *place, after, *place, limit)
        return [OwnerWork(*row) for row in rows.fetchall()]

    def due_of(self, lane: Lane, shares: Collection[OwnerWork], now_ns: int, limit: int) -> list[PendingRow]:
        """Return up to `limit` rows of each of these that are due, the oldest first."""
        if not shares:
            return []
        place = lane.queue, lane.priority
        rows = self._run(_DUE_OF, *columns([*shares]), *place, now_ns, limit)
        return [PendingRow.stored(row) for row in rows.fetchall()]

    def _put_owners(self, owners: Iterable[tuple[FID, int]]) -> None:
        """Write whose files pending rows are about."""
        rows = [(fid.pack(), uid) for fid, uid in owners]
        if rows:
            self._run(_PUT_OWNERS, *columns(rows))

    def forgive(self, extractor: str) -> None:
        """Forget the attempts of all pending rows of an extractor."""
        self._remembered.pending.clear()
        self._run("UPDATE pending SET attempts = 0 WHERE extractor = %s AND attempts > 0", extractor)

    def reprocessing(self, extractor: str, limit: int) -> int:
        """Return how many rows of an extractor are pending for the reason `reprocess`, counted up to `limit`."""
        row = self._run(
            "SELECT count(*) FROM"
            " (SELECT 1 FROM pending WHERE extractor = %s AND reason = 'reprocess' LIMIT %s) AS r",
            extractor, limit,
        ).fetchone()  # fmt: skip
        return int(row[0]) if row else 0
