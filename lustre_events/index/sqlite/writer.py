"""The index in SQLite, for its one writer, the dispatcher. interface.py says what each call means.

The pending rows are in pending.py; what migrations, sweeping and walks need in upkeep.py.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter, itemgetter
from pathlib import Path

from lustre_events.changelog.fid import FID
from lustre_events.domain.namespace import Link
from lustre_events.errors import LeaseLost
from lustre_events.index.documents import NOBODY, FoundDocument, oldest
from lustre_events.index.interface import (
    Cursor,
    DocumentOutcome,
    ExtractorState,
    Facts,
    Identity,
    ObjectRow,
    WorkKey,
)
from lustre_events.index.names import kept
from lustre_events.index.paths import places_of
from lustre_events.index.sqlite.among import select
from lustre_events.index.sqlite.database import open_database, sqlite_errors
from lustre_events.index.sqlite.documents import (
    put_documents,
    put_failures,
    remove_documents,
    remove_failures,
    remove_some,
)
from lustre_events.index.sqlite.keys import Keys
from lustre_events.index.sqlite.names import follow
from lustre_events.index.sqlite.paths import links_of, paths_of
from lustre_events.index.sqlite.pending import PendingTable
from lustre_events.index.sqlite.run_table import RunTable
from lustre_events.index.sqlite.scans import Scans
from lustre_events.index.sqlite.upkeep import Upkeep
from lustre_events.index.writer_cache import Remembered
from lustre_events.jobs.messages import TAGS, Result

CHECKPOINT_ROWS = 12_000
"""A checkpoint comes after this number of rows, also of triggers and full text: some 1,000 files.

SQLite's own, in COMMIT, is for large ones (database.py).
"""

_OBJECT = "fid, id, generation, content, type, uid, jobid, cause, facts_generation, rights, size"
_FACTS = Facts.__struct_fields__
_values_of = attrgetter(*_FACTS)
_PUT_FACTS = (
    f"UPDATE object SET {', '.join(f'{name} = ?{number}' for number, name in enumerate(_FACTS, start=3))},"  # noqa: S608
    " facts_generation = ?2 WHERE id = ?1 AND facts_generation <= ?2"
)


class SqliteWriter:
    """See `interface.IndexWriter`. Not for two threads at once."""

    def __init__(self, path: Path) -> None:
        """Open the index at `path`, or make it; raises as `open_database` does."""
        self._path = path
        self._connection = open_database(path)
        self._token = uuid.uuid4().hex
        self._checkpointed = 0
        self._keys = Keys()
        self._remembered = Remembered()

    def take_over(self) -> None:
        """Become the index's one writer; whoever was it before gets LeaseLost."""
        self._undone()
        with sqlite_errors(self._path):
            self._connection.execute(
                "INSERT OR REPLACE INTO writer (one, token, since_ns) VALUES (1, ?, ?)",
                (self._token, time.time_ns()),
            )

    @contextlib.contextmanager
    def transaction(self) -> Iterator[SqliteTransaction]:
        """Begin; commit durably at the end, or undo everything if an exception comes."""
        with sqlite_errors(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                holder = self._connection.execute("SELECT token FROM writer").fetchone()
                if holder is None or holder[0] != self._token:
                    raise LeaseLost(f"{self._path}: another dispatcher has taken over; this one stops")
                self._remembered.bound()
                yield SqliteTransaction(self._connection, self._path, self._keys, self._remembered)
                follow(self._connection)
                self._connection.execute("COMMIT")
            except BaseException:
                self._undone()
                with contextlib.suppress(sqlite3.Error):  # some errors have rolled back already
                    self._connection.execute("ROLLBACK")
                raise
        self.checkpoint()

    def _undone(self) -> None:
        """Forget what was remembered of a transaction that is undone, or before another writer's turn."""
        self._keys.undone()
        self._remembered.clear()

    def checkpoint(self) -> None:
        """Move what was written lately from the WAL into the file, if it is much; called when the lock is free."""
        if self._connection.total_changes - self._checkpointed < CHECKPOINT_ROWS:
            return
        self._checkpointed = self._connection.total_changes
        with contextlib.suppress(sqlite3.Error):  # the data is safe in the WAL; the next COMMIT says what is wrong
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def cursors(self) -> dict[tuple[str, int], Cursor]:
        """Return all cursors by (MDT, epoch)."""
        with sqlite_errors(self._path):
            rows = self._connection.execute(
                "SELECT mdt, epoch, position, eff_time, first_index, first_ns FROM cursor"
            ).fetchall()
        return {(row[0], row[1]): Cursor(*row) for row in rows}

    def register(self, extractors: Sequence[Identity]) -> dict[str, ExtractorState]:
        """Make extractors known and return them by name; a new version or digest raises the serial."""
        with self.transaction(), sqlite_errors(self._path):
            self._connection.executemany(
                "INSERT INTO extractor (name, version, digest, serial) VALUES (?, ?, ?, 1)"
                " ON CONFLICT (name) DO UPDATE"
                " SET version = excluded.version, digest = excluded.digest, serial = serial + 1, failing = 0,"
                " suspended = CASE WHEN failing > 0 THEN NULL ELSE suspended END"
                " WHERE version != excluded.version OR digest != excluded.digest",
                [(each.name, each.version, each.digest) for each in extractors],
            )
            rows = self._connection.execute(
                "SELECT name, version, digest, serial, suspended, disabled, failing FROM extractor"
            ).fetchall()
        wanted = {each.name for each in extractors}
        return {
            name: ExtractorState(name, version, digest, serial, suspended, bool(disabled), failing)
            for name, version, digest, serial, suspended, disabled, failing in rows
            if name in wanted
        }

    def counters(self) -> dict[str, int]:
        """Return the sums of all counts so far."""
        with sqlite_errors(self._path):
            return dict(self._connection.execute("SELECT name, value FROM counter").fetchall())

    def count_runs(
        self, states: Collection[str], most: int, rules: Collection[str] | None = None
    ) -> dict[str, dict[str, int]]:
        """Return how many runs of actions are committed, by rule and state; see `interface.IndexWriter`."""
        with sqlite_errors(self._path):
            look = SqliteTransaction(self._connection, self._path, self._keys, self._remembered)
            return look.counts(states, most, rules)

    def outcomes(self, limit: int) -> list[DocumentOutcome]:  # noqa: ARG002 - as on PostgreSQL
        """Return nothing: documents are written by the dispatcher alone."""
        return []

    def close(self) -> None:
        """Close; closing twice is fine."""
        self._connection.close()


class SqliteTransaction(PendingTable, RunTable, Scans, Upkeep):
    """See `interface.Transaction`."""

    def __init__(self, connection: sqlite3.Connection, path: Path, keys: Keys, remembered: Remembered) -> None:
        self._connection = connection
        self._path = path
        self._keys = keys
        self._remembered = remembered

    def advance(self, before: Cursor, after: Cursor) -> None:
        """Move a cursor. Raises LeaseLost if it does not stand at `before`."""
        if before.position == 0:
            self._connection.execute(
                "INSERT OR IGNORE INTO cursor (mdt, epoch, position, eff_time, first_index, first_ns)"
                " VALUES (?, ?, 0, 0, 0, 0)",
                (before.mdt, before.epoch),
            )
        moved = self._connection.execute(
            "UPDATE cursor SET position = ?, eff_time = ?, first_index = ?, first_ns = ?"
            " WHERE mdt = ? AND epoch = ? AND position = ?",
            (
                after.position, after.eff_time, after.first_index, after.first_ns,
                before.mdt, before.epoch, before.position,
            ),
        )  # fmt: skip
        if moved.rowcount != 1:
            raise LeaseLost(
                f"{self._path}: the cursor of {before.mdt} is no longer at {before.position}; "
                "another dispatcher has moved it, this one stops"
            )

    def set_links(self, links: Iterable[Link]) -> None:
        """Write links; one that has a higher stamp already stays."""
        # In the order of the key, which is quicker for large tables.
        rows = sorted(
            (link.parent.pack(), link.name, None, link.stamp, None)
            if link.fid is None
            else (link.parent.pack(), link.name, link.fid.pack(), link.stamp, kept(link.name))
            for link in links
        )
        # Most places are new. ON CONFLICT DO UPDATE, beside triggers, costs each row a journal of its own.
        made = self._connection.executemany(
            "INSERT INTO link (parent, name, fid, stamp, folded) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (parent, name) DO NOTHING",
            rows,
        )
        if made.rowcount < len(rows):
            self._connection.executemany(
                "UPDATE link SET fid = ?3, stamp = ?4, folded = ?5 WHERE parent = ?1 AND name = ?2"
                " AND (?4 > stamp OR (?4 = stamp AND fid IS NULL AND ?3 IS NOT NULL))",
                rows,
            )

    def linked(self, fids: Collection[FID]) -> set[FID]:
        """Return those of `fids` that have a name."""
        return {
            FID.unpack(row[0])
            for row in select(self._connection, "SELECT DISTINCT fid FROM link WHERE fid IN ({})", fids)
        }

    def paths(self, fids: Collection[FID]) -> dict[FID, list[bytes]]:
        """Return all paths of each of `fids`, relative to the root; [] where none is known."""
        return paths_of(self._connection, fids, bounded=True)

    def places(self, fids: Collection[FID]) -> tuple[dict[FID, list[bytes]], dict[FID, list[bytes]]]:
        """Return `paths`, and the last parts of all paths of `fids`, also where directories above are not known."""
        return places_of(partial(links_of, self._connection), fids)

    def _stored_objects(self, fids: Collection[FID]) -> dict[FID, ObjectRow]:
        """Return those of `fids` that are stored."""
        rows = (
            ObjectRow(
                fid=FID.unpack(fid),
                id=id_,
                generation=generation,
                content=content,
                type=type_,
                uid=uid,
                jobid=job,
                cause=cause,
                known=known,
                rights=rights,
                size=size,
            )
            for fid, id_, generation, content, type_, uid, job, cause, known, rights, size in select(
                self._connection,
                f"SELECT {_OBJECT} FROM object WHERE fid IN ({{}})",  # noqa: S608 - constants
                fids,
            )
        )
        return {row.fid: row for row in rows}

    def put_objects(self, rows: Iterable[ObjectRow]) -> None:
        """Write generations, type, jobid and cause; rows with id 0 are new."""
        new, known = [], []
        for row in rows:
            self._remembered.written(row)
            values = (row.generation, row.content, row.rights, row.type, row.jobid, row.cause)
            known.append((*values, row.id)) if row.id else new.append((*values, row.fid.pack()))
        # Not ABORT: it keeps a journal for each row beside a trigger, and a failure undoes the transaction anyway.
        self._connection.executemany(
            "INSERT OR FAIL INTO object (generation, content, rights, type, jobid, cause, fid)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            new,
        )
        self._connection.executemany(
            "UPDATE object SET generation = ?, content = ?, rights = ?, type = ?, jobid = ?, cause = ?"
            " WHERE id = ?",
            known,
        )

    def remove_objects(self, fids: Collection[FID]) -> int:
        """Remove objects with their documents and pending rows; return how many objects were stored."""
        present = self._stored_objects(fids)
        self._remembered.removed(fids)
        remove_documents(self._connection, [row.id for row in present.values()], self._keys)
        self._connection.executemany("DELETE FROM object WHERE id = ?", [(row.id,) for row in present.values()])
        for statement in ("DELETE FROM pending WHERE fid = ?", "DELETE FROM fired WHERE fid = ?"):
            self._connection.executemany(statement, [(fid.pack(),) for fid in fids])
        self.release_moves(fids)
        return len(present)

    def documents(self, fids: Collection[FID]) -> dict[WorkKey, int]:
        """Return the generation of each good document of `fids`."""
        rows = select(
            self._connection,
            "SELECT object.fid, document.extractor, document.generation FROM object JOIN document"
            " ON document.object = object.id WHERE document.body IS NOT NULL AND object.fid IN ({})",
            fids,
        )
        return {(FID.unpack(fid), extractor): generation for fid, extractor, generation in rows}

    def begun(self, fids: Collection[FID]) -> dict[FID, int]:
        """Return when (ns) a worker began the oldest good document of each of `fids`, where that is known."""
        rows = select(
            self._connection,
            "SELECT object.fid, origin.body FROM object JOIN document ON document.object = object.id"  # noqa: S608
            " JOIN origin ON origin.id = document.origin WHERE document.body IS NOT NULL"
            f" AND document.extractor <> '{TAGS}' AND object.fid IN ({{}})",
            fids,
        )
        return oldest(rows)

    def facts(self, fids: Collection[FID]) -> dict[FID, tuple[int, Facts]]:
        """Return the generation and the facts of those of `fids` that `stat` has seen."""
        rows = select(
            self._connection,
            f"SELECT fid, facts_generation, {', '.join(_FACTS)} FROM object"  # noqa: S608 - names of our own
            " WHERE facts_generation > 0 AND fid IN ({})",
            fids,
        )
        found = {}
        for fid, generation, *values in rows:
            facts = dict(zip(_FACTS, values, strict=True))
            found[FID.unpack(fid)] = generation, Facts(**{**facts, "released": bool(facts["released"])})
        return found

    def put_facts(self, found: Iterable[tuple[ObjectRow, int, Facts]]) -> None:
        """Write the facts of stored objects, each with its generation; where newer ones are stored these stay."""
        found = list(found)
        self._remembered.seen(found)
        self._put_owners((row.fid, facts.uid) for row, _, facts in found if row.uid != facts.uid)
        self._connection.executemany(
            _PUT_FACTS,
            sorted(
                ((row.id, generation, *_values_of(facts)) for row, generation, facts in found), key=itemgetter(0)
            ),
        )

    def put_documents(self, found: Iterable[tuple[ObjectRow, Result]]) -> None:
        """Write the documents that were found in stored objects; where a newer one is stored it stays."""
        put_documents(
            self._connection,
            self._keys,
            [
                FoundDocument(row.id, result.extractor, (result.generation, result.serial), result.document,
                      result.provenance, NOBODY if row.uid is None else row.uid)
                for row, result in found
            ],
        )  # fmt: skip

    def free_keys(self, after: int, limit: int) -> int:
        """Remove the unused of `limit` keys behind the id `after`; return the id reached, 0: there are no more."""
        return self._keys.free(self._connection, after, limit)

    def remove_outcomes(self, ids: Iterable[int]) -> None:
        """Do nothing: there are none."""

    def put_failures(self, failures: Iterable[tuple[ObjectRow, Result, int]]) -> None:
        """Keep failed attempts, each the last of a number of tries, beside the last good documents."""
        put_failures(
            self._connection,
            [
                FoundDocument(row.id, result.extractor, (result.generation, result.serial),
                      result.failure(attempts), result.provenance)
                for row, result, attempts in failures
            ],
        )  # fmt: skip

    def remove_outdated(self, works: Iterable[WorkKey]) -> None:
        """Remove the documents and failures of extractors for objects."""
        wanted = list(works)
        rows = self.objects({fid for fid, _ in wanted})
        remove_some(self._connection, self._keys, [(rows[fid].id, name) for fid, name in wanted if fid in rows])

    def remove_failures(self, works: Iterable[WorkKey]) -> int:
        """Forget failed attempts, not the good documents beside them; return how many there were."""
        return remove_failures(self._connection, [(fid.pack(), name) for fid, name in works])

    def marked(self, name: bytes, each: int, most: int) -> list[FID]:
        """Return directories with a file of this name that root or the directory's owner owns; see `interface`."""
        rows = self._connection.execute(
            "SELECT fid FROM (SELECT directory.fid,"
            " row_number() OVER (PARTITION BY directory.uid ORDER BY directory.fid) AS place"
            " FROM link JOIN object file ON file.fid = link.fid JOIN object directory"
            " ON directory.fid = link.parent WHERE coalesce(link.folded, link.name) = ? AND link.fid IS NOT NULL"
            " AND (file.uid = 0 OR file.uid = directory.uid)) AS found WHERE place <= ? ORDER BY fid LIMIT ?",
            (name, each, most),
        )
        return [FID.unpack(fid) for (fid,) in rows]

    def put_left_out(self, globs: Iterable[str], directories: Mapping[str, FID]) -> None:
        """Set what no search finds."""
        found = {**dict.fromkeys(globs), **{glob: fid.pack() for glob, fid in directories.items()}}
        self._connection.execute("DELETE FROM left_out")
        self._connection.executemany("INSERT INTO left_out (glob, fid) VALUES (?, ?)", found.items())

    def put_states(self, states: Iterable[ExtractorState]) -> None:
        """Write `suspended`, `disabled` and `failing` of registered extractors."""
        self._connection.executemany(
            "UPDATE extractor SET suspended = ?, disabled = ?, failing = ? WHERE name = ?",
            [(each.suspended, each.disabled, each.failing, each.name) for each in states],
        )

    def count(self, counters: Mapping[str, int]) -> None:
        """Add to the counters."""
        self._connection.executemany(
            "INSERT INTO counter (name, value) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
            sorted(counters.items()),
        )
