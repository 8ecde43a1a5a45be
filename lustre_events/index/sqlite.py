"""The index in SQLite, for its one writer, the dispatcher. interface.py says what each call means.

Lists of FIDs go into IN lists of a fixed length, filled up with NULL, so that each statement is prepared once.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lustre_events.errors import LeaseLost
from lustre_events.fid import FID
from lustre_events.index.interface import Cursor, ExtractorState, Facts, Identity, Lane, ObjectRow, Work
from lustre_events.index.sqlite_database import open_database, sqlite_errors
from lustre_events.index.sqlite_documents import move_documents, put_document, put_failure, remove_documents
from lustre_events.index.sqlite_paths import paths_of
from lustre_events.names import Link
from lustre_events.pending import PendingRow
from lustre_events.work import Result

_CHUNK = 500
_MARKS = ",".join("?" * _CHUNK)
_OBJECT = "fid, id, generation, content, type, uid, jobid"
_PENDING = "fid, extractor, generation, due_ns, first_ns, attempts, reason, rule, queue, priority, job"
_FACTS = Facts.__struct_fields__


class SQLiteWriter:
    """See `interface.IndexWriter`. Not for two threads at a time."""

    def __init__(self, path: Path) -> None:
        """Open the index at `path`, or make it; raises as `open_database` does."""
        self._path = path
        self._connection = open_database(path)
        self._token = uuid.uuid4().hex

    def take_over(self) -> None:
        """Become the index's one writer; whoever was it before gets LeaseLost."""
        with sqlite_errors(self._path):
            self._connection.execute(
                "INSERT OR REPLACE INTO writer (one, token, since_ns) VALUES (1, ?, ?)",
                (self._token, time.time_ns()),
            )

    @contextlib.contextmanager
    def transaction(self) -> Iterator[SQLiteTransaction]:
        """Begin; commit durably at the end, or undo everything if an exception comes."""
        with sqlite_errors(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                holder = self._connection.execute("SELECT token FROM writer").fetchone()
                if holder is None or holder[0] != self._token:
                    raise LeaseLost(f"{self._path}: another dispatcher has taken over; this one stops")
                yield SQLiteTransaction(self._connection, self._path)
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # some errors have rolled back already
                    self._connection.execute("ROLLBACK")
                raise

    def cursors(self) -> dict[tuple[str, int], Cursor]:
        """Return all cursors by (MDT, epoch)."""
        with sqlite_errors(self._path):
            rows = self._connection.execute("SELECT mdt, epoch, position, eff_time FROM cursor").fetchall()
        return {(mdt, epoch): Cursor(mdt, epoch, position, eff_time) for mdt, epoch, position, eff_time in rows}

    def register(self, extractors: Sequence[Identity]) -> dict[str, ExtractorState]:
        """Make extractors known and return them by name; a new version or digest raises the serial."""
        with self.transaction(), sqlite_errors(self._path):
            self._connection.executemany(
                "INSERT INTO extractor (name, version, digest, serial) VALUES (?, ?, ?, 1)"
                " ON CONFLICT (name) DO UPDATE"
                " SET version = excluded.version, digest = excluded.digest, serial = serial + 1"
                " WHERE version != excluded.version OR digest != excluded.digest",
                [(each.name, each.version, each.digest) for each in extractors],
            )
            rows = self._connection.execute(
                "SELECT name, version, digest, serial, suspended FROM extractor"
            ).fetchall()
        wanted = {each.name for each in extractors}
        return {row[0]: ExtractorState(*row) for row in rows if row[0] in wanted}

    def counters(self) -> dict[str, int]:
        """Return the sums of all counts so far."""
        with sqlite_errors(self._path):
            return dict(self._connection.execute("SELECT name, value FROM counter").fetchall())

    def close(self) -> None:
        """Close; closing twice is fine."""
        self._connection.close()


class SQLiteTransaction:
    """See `interface.Transaction`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def advance(self, before: Cursor, after: Cursor) -> None:
        """Move a cursor. Raises LeaseLost if it does not stand at `before`."""
        if before.position == 0:
            self._connection.execute(
                "INSERT OR IGNORE INTO cursor (mdt, epoch, position, eff_time) VALUES (?, ?, 0, 0)",
                (before.mdt, before.epoch),
            )
        moved = self._connection.execute(
            "UPDATE cursor SET position = ?, eff_time = ? WHERE mdt = ? AND epoch = ? AND position = ?",
            (after.position, after.eff_time, before.mdt, before.epoch, before.position),
        )
        if moved.rowcount != 1:
            raise LeaseLost(
                f"{self._path}: the cursor of {before.mdt} is no longer at {before.position}; "
                "another dispatcher has moved it, this one stops"
            )

    def set_links(self, links: Iterable[Link]) -> None:
        """Write links; one that has a higher stamp already stays."""
        self._connection.executemany(
            "INSERT INTO link (parent, name, fid, stamp) VALUES (?, ?, ?, ?) ON CONFLICT (parent, name)"
            " DO UPDATE SET fid = excluded.fid, stamp = excluded.stamp WHERE excluded.stamp > stamp",
            # In the order of the key, which is quicker for large tables.
            sorted(
                (link.parent.pack(), link.name, None if link.fid is None else link.fid.pack(), link.stamp)
                for link in links
            ),
        )

    def linked(self, fids: Collection[FID]) -> set[FID]:
        """Return those of `fids` that have a name."""
        return {FID.unpack(row[0]) for row in self._select("SELECT DISTINCT fid FROM link WHERE fid IN ({})", fids)}

    def names(self, fids: Collection[FID]) -> dict[FID, list[bytes]]:
        """Return the last parts of all paths of `fids`, also where the directories above are not known."""
        found: dict[FID, list[bytes]] = defaultdict(list)
        for fid, name in self._select("SELECT fid, name FROM link WHERE fid IN ({})", fids):
            found[FID.unpack(fid)].append(name)
        return dict(found)

    def paths(self, fids: Collection[FID]) -> dict[FID, list[bytes]]:
        """Return all paths of each of `fids`, relative to the root; [] where none is known."""
        return paths_of(self._connection, fids)

    def objects(self, fids: Collection[FID]) -> dict[FID, ObjectRow]:
        """Return those of `fids` that are stored."""
        rows = (
            ObjectRow(
                fid=FID.unpack(fid), id=id_, generation=generation, content=content, type=type_, uid=uid, jobid=job
            )
            for fid, id_, generation, content, type_, uid, job in self._select(
                f"SELECT {_OBJECT} FROM object WHERE fid IN ({{}})",  # noqa: S608 - constants
                fids,
            )
        )
        return {row.fid: row for row in rows}

    def put_objects(self, rows: Iterable[ObjectRow]) -> None:
        """Write generation, content, type and jobid; rows with id 0 are new."""
        new, known = [], []
        for row in rows:
            values = (row.generation, row.content, row.type, row.jobid)
            known.append((*values, row.id)) if row.id else new.append((*values, row.fid.pack()))
        self._connection.executemany(
            "INSERT INTO object (generation, content, type, jobid, fid) VALUES (?, ?, ?, ?, ?)", new
        )
        self._connection.executemany(
            "UPDATE object SET generation = ?, content = ?, type = ?, jobid = ? WHERE id = ?", known
        )

    def move_object(self, source: FID, target: FID) -> None:
        """Give all of `source` (documents, facts, generation, pending rows) to `target`."""
        old, new = source.pack(), target.pack()
        present = self.objects([source, target])
        if source in present and target not in present:
            self._connection.execute("UPDATE object SET fid = ? WHERE fid = ?", (new, old))
        elif source in present:
            # Records of the new FID came first: both were counted up on their own, and all documents must stay
            # below the generation that comes next.
            was, is_ = present[source], present[target]
            move_documents(self._connection, was.id, is_.id)
            self._connection.execute(
                "UPDATE object SET generation = ?, content = ?, type = ? WHERE id = ?",
                (max(was.generation, is_.generation), max(was.content, is_.content), is_.type or was.type, is_.id),
            )
            self._connection.execute("DELETE FROM object WHERE id = ?", (was.id,))
        # What a job finds under the old FID will not be taken: the rows that it holds are due again.
        self._connection.execute(
            "UPDATE OR REPLACE pending SET fid = ?, job = NULL,"
            " due_ns = CASE WHEN job IS NULL THEN due_ns ELSE first_ns END WHERE fid = ?",
            (new, old),
        )

    def remove_objects(self, fids: Collection[FID]) -> int:
        """Remove objects with their documents and pending rows; return how many objects were stored."""
        present = self.objects(fids)
        remove_documents(self._connection, [row.id for row in present.values()])
        self._connection.executemany("DELETE FROM object WHERE id = ?", [(row.id,) for row in present.values()])
        self._connection.executemany("DELETE FROM pending WHERE fid = ?", [(fid.pack(),) for fid in fids])
        return len(present)

    def pending(self, works: Collection[Work]) -> dict[Work, PendingRow]:
        """Return those rows that are pending."""
        wanted = set(works)
        rows = self._select(
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

    def documents(self, fids: Collection[FID]) -> dict[Work, int]:
        """Return the generation of each good document of `fids`."""
        rows = self._select(
            "SELECT object.fid, document.extractor, document.generation FROM object JOIN document"
            " ON document.object = object.id WHERE document.body IS NOT NULL AND object.fid IN ({})",
            fids,
        )
        return {(FID.unpack(fid), extractor): generation for fid, extractor, generation in rows}

    def put_facts(self, row: ObjectRow, generation: int, facts: Facts) -> bool:
        """Write the facts of a stored object; False: newer ones are stored."""
        columns = ", ".join(f"{name} = ?" for name in _FACTS)
        done = self._connection.execute(
            f"UPDATE object SET {columns}, facts_generation = ?"  # noqa: S608 - names of our own
            " WHERE id = ? AND facts_generation <= ?",
            (*(getattr(facts, name) for name in _FACTS), generation, row.id, generation),
        )
        return done.rowcount == 1

    def put_document(self, row: ObjectRow, result: Result) -> bool:
        """Write the document that was found in a stored object; False: a newer one is stored."""
        version = (result.generation, result.serial)
        return put_document(
            self._connection, row.id, result.extractor, *version, result.document, result.provenance
        )

    def put_failure(self, row: ObjectRow, result: Result, attempts: int) -> None:
        """Keep a failed attempt, the last of so many, beside the last good document."""
        failure = {"error": result.error, "stderr": result.stderr, "attempts": attempts}
        version = (result.generation, result.serial)
        put_failure(self._connection, row.id, result.extractor, *version, failure, result.provenance)

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

    def count(self, counters: Mapping[str, int]) -> None:
        """Add to the counters."""
        self._connection.executemany(
            "INSERT INTO counter (name, value) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
            sorted(counters.items()),
        )

    def _select(self, statement: str, fids: Collection[FID]) -> Iterator[tuple[Any, ...]]:
        packed = sorted(fid.pack() for fid in fids)
        statement = statement.format(_MARKS)
        for start in range(0, len(packed), _CHUNK):
            chunk: list[bytes | None] = [*packed[start : start + _CHUNK]]
            chunk += [None] * (_CHUNK - len(chunk))
            yield from self._connection.execute(statement, chunk).fetchall()


def _pending_row(row: tuple[Any, ...]) -> PendingRow:
    fid, extractor, generation, due_ns, first_ns, attempts, reason, rule, queue, priority, job = row
    return PendingRow(
        fid=FID.unpack(fid), extractor=extractor, generation=generation, due_ns=due_ns, first_ns=first_ns,
        attempts=attempts, reason=reason, rule=rule, queue=queue, priority=priority, job=job,
    )  # fmt: skip
