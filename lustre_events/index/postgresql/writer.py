"""The index in PostgreSQL, for the dispatcher. interface.py says what each call means.

Every call is one statement for all of its objects, with arrays as parameters: what counts is the number of round
trips. Who may write is decided by a lock on the row of `writer`: while one dispatcher is in a transaction no
other can take over, and afterwards the first one's token is found to be gone.

Nobody else writes but indexers (document_writer.py). The pending rows are in pending.py, extractors in
extractor_table.py; migrations, sweeping and walks in upkeep.py.
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from lustre_events.changelog.fid import FID
from lustre_events.domain.namespace import Link
from lustre_events.errors import ConfigError, IndexUnavailable, LeaseLost
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
from lustre_events.index.names import kept, text_of
from lustre_events.index.paths import paths_of, places_of
from lustre_events.index.postgresql.database import (
    WRITE_SECONDS,
    WRITER_SETTINGS,
    Database,
    packed,
    pipeline,
    unpacked_links,
)
from lustre_events.index.postgresql.document_writer import end_stopped
from lustre_events.index.postgresql.extractor_table import ExtractorTable
from lustre_events.index.postgresql.fulltext import pieces
from lustre_events.index.postgresql.keys import Keys
from lustre_events.index.postgresql.pending import PendingTable
from lustre_events.index.postgresql.run_table import RunTable
from lustre_events.index.postgresql.scans import Scans
from lustre_events.index.postgresql.session import FACTS, columns
from lustre_events.index.postgresql.statistics import Statistics
from lustre_events.index.postgresql.upkeep import Upkeep
from lustre_events.index.writer_cache import Remembered
from lustre_events.jobs.messages import MOST_OF_PORTION, TAGS, Result, decode_results

log = logging.getLogger(__name__)

OUTCOME_BYTES = 1 << 20
"""An outcome of a thousand results, without their documents, is shorter; a longer one is none of an indexer."""


class PostgresqlWriter:
    """See `interface.IndexWriter`. Not for two threads at once. A lost session is replaced by the next call."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Open the index, or make it; raises as `Database` and its `migrate` do. The clock is in seconds."""
        self._url = url
        self._token = uuid.uuid4().hex
        self._closed = False
        self._keys = Keys()
        self._remembered = Remembered()
        self._statistics = Statistics(clock)
        self._database = self._connect()
        try:
            with self._database.errors():
                (fsync,) = self._database.connection.execute("SHOW fsync").fetchone() or ("on",)
        except BaseException:
            self._database.close()
            raise
        if fsync == "off":
            log.warning(
                "%s: the server runs with fsync off; a loss of power can damage the index", self._database.name
            )

    def take_over(self) -> None:
        """Become the index's one writer; whoever was it before gets LeaseLost."""
        self._undone()
        with self._open().transaction() as connection:
            connection.execute(
                "INSERT INTO writer (one, token, since_ns) VALUES (1, %s, %s)"
                " ON CONFLICT (one) DO UPDATE SET token = excluded.token, since_ns = excluded.since_ns",
                (self._token, time.time_ns()),
            )

    @contextlib.contextmanager
    def transaction(self) -> Iterator[PostgresqlTransaction]:
        """Begin; commit durably at the end, or undo everything if an exception comes."""
        database = self._open()
        try:
            with database.transaction() as connection, pipeline(connection):
                holder = connection.execute("SELECT token FROM writer FOR UPDATE").fetchone()
                if holder is None or holder[0] != self._token:
                    raise LeaseLost(f"{database.name}: another dispatcher has taken over; this one stops")
                self._remembered.bound()
                yield PostgresqlTransaction(connection, database.name, self._keys, self._remembered)
        except BaseException as exc:
            self._undone()
            if isinstance(exc, IndexUnavailable) and not database.connection.closed:
                with contextlib.suppress(IndexUnavailable):
                    end_stopped(database)  # it may be what this transaction has waited for
            raise
        self._statistics.follow(database)

    def _undone(self) -> None:
        """Forget what was remembered of a transaction that is undone, or before another writer's turn."""
        self._keys.undone()
        self._remembered.clear()

    def cursors(self) -> dict[tuple[str, int], Cursor]:
        """Return all cursors by (MDT, epoch)."""
        database = self._open()
        with database.errors():
            rows = database.connection.execute(
                "SELECT mdt, epoch, position, eff_time, first_index, first_ns FROM cursor"
            ).fetchall()
        return {(row[0], row[1]): Cursor(*row) for row in rows}

    def register(self, extractors: Sequence[Identity]) -> dict[str, ExtractorState]:
        """Make extractors known and return them by name; a new version or digest raises the serial."""
        with self.transaction() as transaction:
            return transaction.register(extractors)

    def counters(self) -> dict[str, int]:
        """Return the sums of all counts so far."""
        database = self._open()
        with database.errors():
            rows = database.connection.execute("SELECT name, value FROM counter").fetchall()
        return {row[0]: row[1] for row in rows}

    def count_runs(
        self, states: Collection[str], most: int, rules: Collection[str] | None = None
    ) -> dict[str, dict[str, int]]:
        """Return how many runs of actions are committed, by rule and state; see `interface.IndexWriter`."""
        database = self._open()
        with database.errors():
            look = PostgresqlTransaction(database.connection, database.name, self._keys, self._remembered)
            return look.counts(states, most, rules)

    def outcomes(self, limit: int) -> list[DocumentOutcome]:
        """Return up to `limit` of the oldest outcomes that the dispatcher has not taken."""
        database = self._open()
        with database.errors():
            rows = database.connection.execute(
                "SELECT id, CASE WHEN octet_length(results) <= %s THEN results END, dropped FROM outcome"
                " ORDER BY id LIMIT %s",
                (OUTCOME_BYTES, limit),
                binary=True,
            ).fetchall()
        return [DocumentOutcome(id_, _results(data), max(0, dropped)) for id_, data, dropped in rows]

    def close(self) -> None:
        """Close; closing twice is fine."""
        self._closed = True
        self._database.close()

    def _connect(self) -> Database:
        database = Database(self._url, statement_seconds=WRITE_SECONDS, settings=WRITER_SETTINGS)
        try:
            end_stopped(database)  # a migration would wait for it
            database.migrate(
                lambda connection, name: PostgresqlTransaction(connection, name, Keys(), Remembered()).rebuild(),
                lambda connection, name: PostgresqlTransaction(connection, name, Keys(), Remembered()).rename_all(),
            )
        except BaseException:
            database.close()
            raise
        return database

    def _open(self) -> Database:
        """Return the session, a new one where the last was lost: the token decides whether it may write."""
        if self._database.connection.closed and not self._closed:
            self._database = self._connect()
        return self._database


class PostgresqlTransaction(PendingTable, RunTable, ExtractorTable, Scans, Upkeep):
    """See `interface.Transaction`."""

    def advance(self, before: Cursor, after: Cursor) -> None:
        """Move a cursor. Raises LeaseLost if it does not stand at `before`."""
        if before.position == 0:
            self._run(
                "INSERT INTO cursor (mdt, epoch, position, eff_time, first_index, first_ns)"
                " VALUES (%s, %s, 0, 0, 0, 0) ON CONFLICT DO NOTHING",
                before.mdt, before.epoch,
            )  # fmt: skip
        moved = self._count(
            "UPDATE cursor SET position = %s, eff_time = %s, first_index = %s, first_ns = %s"
            " WHERE mdt = %s AND epoch = %s AND position = %s",
            after.position, after.eff_time, after.first_index, after.first_ns,
            before.mdt, before.epoch, before.position,
        )  # fmt: skip
        if moved != 1:
            raise LeaseLost(
                f"{self._name}: the cursor of {before.mdt} is no longer at {before.position}; "
                "another dispatcher has moved it, this one stops"
            )

    def set_links(self, links: Iterable[Link]) -> None:
        """Write links; one that has a higher stamp already stays."""
        # In the order of the key, which is quicker for large tables; of several for one place the last is left.
        ordered = sorted(
            ((link.parent.pack(), link.name, link.stamp, None, None, None)
             if link.fid is None
             else (link.parent.pack(), link.name, link.stamp, link.fid.pack(), kept(link.name), _words(link.name))
             for link in links),
            key=_by_place_and_stamp,
        )  # fmt: skip
        rows = {row[:2]: row for row in ordered}
        if rows:
            self._run(
                "INSERT INTO link (parent, name, stamp, fid, folded, words)"
                " SELECT parent, name, stamp, fid, folded, words::tsvector"
                " FROM unnest(%b::bytea[], %b::bytea[], %b::bytea[], %b::bytea[], %b::bytea[], %b::text[])"
                " AS new (parent, name, stamp, fid, folded, words)"
                " ON CONFLICT (parent, name) DO UPDATE SET fid = excluded.fid, stamp = excluded.stamp,"
                " folded = excluded.folded, words = excluded.words"
                " WHERE excluded.stamp > link.stamp"
                " OR (excluded.stamp = link.stamp AND link.fid IS NULL AND excluded.fid IS NOT NULL)",
                *columns([*rows.values()]),
            )

    def rename_all(self) -> None:
        """Fill in the folded names and the words of an index that has none (its migration)."""
        place = (b"", b"")
        while found := self._run(
            "SELECT parent, name FROM link WHERE (parent, name) > (%s, %s) ORDER BY parent, name LIMIT 10000",
            *place,
        ).fetchall():
            place = found[-1]
            self._run(
                "UPDATE link SET folded = new.folded, words = new.words::tsvector"
                " FROM unnest(%b::bytea[], %b::bytea[], %b::bytea[], %b::text[])"
                " AS new (parent, name, folded, words)"
                " WHERE link.parent = new.parent AND link.name = new.name AND link.fid IS NOT NULL",
                *columns([(*row, kept(row[1]), _words(row[1])) for row in found]),
            )

    def linked(self, fids: Collection[FID]) -> set[FID]:
        """Return those of `fids` that have a name."""
        if not fids:
            return set()
        rows = self._run("SELECT DISTINCT fid FROM link WHERE fid = ANY(%b::bytea[])", packed(fids))
        return {FID.unpack(row[0]) for row in rows}

    def paths(self, fids: Collection[FID]) -> dict[FID, list[bytes]]:
        """Return all paths of each of `fids`, relative to the root; [] where none is known."""
        return paths_of(self._links, fids, bounded=True)

    def places(self, fids: Collection[FID]) -> tuple[dict[FID, list[bytes]], dict[FID, list[bytes]]]:
        """Return `paths`, and the last parts of all paths of `fids`, also where directories above are not known."""
        return places_of(self._links, fids)

    def _links(self, fids: Collection[FID]) -> list[tuple[FID, FID, bytes]]:
        """Return (FID, parent, name) of every current name of `fids`."""
        rows = self._run("SELECT fid, parent, name FROM link WHERE fid = ANY(%b::bytea[])", packed(fids))
        return unpacked_links(rows)

    def _stored_objects(self, fids: Collection[FID]) -> dict[FID, ObjectRow]:
        """Return those of `fids` that are stored."""
        if not fids:
            return {}
        found = {}
        for packed_fid, id_, generation, content, type_, uid, jobid, cause, known, rights, size in self._run(
            "SELECT fid, id, generation, content, type, uid, jobid, cause, facts_generation, rights, size"
            " FROM object WHERE fid = ANY(%b::bytea[])",
            packed(fids),
        ).fetchall():
            fid = FID.unpack(packed_fid)
            found[fid] = ObjectRow(
                fid=fid, id=id_, generation=generation, content=content, type=type_, uid=uid, jobid=jobid,
                cause=cause, known=known, rights=rights, size=size,
            )  # fmt: skip
        return found

    def put_objects(self, rows: Iterable[ObjectRow]) -> None:
        """Write generations, type, jobid and cause; rows with id 0 are new."""
        new, known = [], []
        for row in rows:
            self._remembered.written(row)
            values = (row.generation, row.content, row.rights, row.type, row.jobid, row.cause)
            known.append((*values, row.id)) if row.id else new.append((*values, row.fid.pack()))
        if new:
            self._run(
                "INSERT INTO object (generation, content, rights, type, jobid, cause, fid) SELECT * FROM"
                " unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::text[], %b::bytea[], %b::bytea[],"
                " %b::bytea[])",
                *columns(new),
            )
        if known:
            self._run(
                "UPDATE object SET generation = new.generation, content = new.content,"
                " rights = new.rights, type = new.type, jobid = new.jobid, cause = new.cause"
                " FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::text[], %b::bytea[], %b::bytea[],"
                " %b::bigint[]) AS new (generation, content, rights, type, jobid, cause, id)"
                " WHERE object.id = new.id",
                *columns(known),
            )

    def remove_objects(self, fids: Collection[FID]) -> int:
        """Remove objects with their documents and pending rows; return how many objects were stored."""
        self._remembered.removed(fids)
        if not fids:
            return 0
        self._run(_LOCK, packed(fids))  # a statement sees what was committed before it began
        (count,) = self._run(_REMOVE, packed(fids)).fetchone() or (0,)
        self.release_moves(fids)
        return int(count)

    def documents(self, fids: Collection[FID]) -> dict[WorkKey, int]:
        """Return the generation of each good document of `fids`."""
        if not fids:
            return {}
        rows = self._run(
            "SELECT object.fid, document.extractor, document.generation FROM object JOIN document"
            " ON document.object = object.id WHERE document.body IS NOT NULL AND object.fid = ANY(%b::bytea[])",
            packed(fids),
        )
        return {(FID.unpack(fid), extractor): generation for fid, extractor, generation in rows}

    def begun(self, fids: Collection[FID]) -> dict[FID, int]:
        """Return when (ns) a worker began the oldest good document of each of `fids`, where that is known."""
        if not fids:
            return {}
        rows = self._run(
            "SELECT object.fid, document.provenance FROM object JOIN document ON document.object = object.id"
            " WHERE document.body IS NOT NULL AND document.extractor <> %s AND object.fid = ANY(%b::bytea[])",
            TAGS,
            packed(fids),
        )
        return oldest(rows)

    def facts(self, fids: Collection[FID]) -> dict[FID, tuple[int, Facts]]:
        """Return the generation and the facts of those of `fids` that `stat` has seen."""
        if not fids:
            return {}
        rows = self._run(
            f"SELECT fid, facts_generation, {', '.join(FACTS)} FROM object"  # noqa: S608 - names of our own
            " WHERE facts_generation > 0 AND fid = ANY(%b::bytea[])",
            packed(fids),
        )
        found = {}
        for fid, generation, *values in rows:
            facts = dict(zip(FACTS, values, strict=True))
            found[FID.unpack(fid)] = generation, Facts(**{**facts, "released": bool(facts["released"])})
        return found

    def put_facts(self, found: Iterable[tuple[ObjectRow, int, Facts]]) -> None:
        """Write the facts of stored objects, each with its generation; where newer ones are stored these stay."""
        found = list(found)
        super().put_facts(found)
        self._put_owners((row.fid, facts.uid) for row, _, facts in found if row.uid != facts.uid)

    def put_documents(self, found: Iterable[tuple[ObjectRow, Result]]) -> None:
        """Write the documents that were found in stored objects; where a newer one is stored it stays."""
        self.write_documents([
            FoundDocument(row.id, result.extractor, (result.generation, result.serial), result.document,
                          result.provenance, NOBODY if row.uid is None else row.uid)
            for row, result in found
        ])  # fmt: skip

    def free_keys(self, after: int, limit: int) -> int:
        """Remove the unused of `limit` keys behind the id `after`; return the id reached, 0: there are no more."""
        return self._keys.free(self._connection, after, limit)

    def remove_outcomes(self, ids: Iterable[int]) -> None:
        """Forget outcomes that are taken."""
        self._run("DELETE FROM outcome WHERE id = ANY(%b::bigint[])", list(ids))
        self._keys.others_wrote()

    def put_failures(self, failures: Iterable[tuple[ObjectRow, Result, int]]) -> None:
        """Keep failed attempts, each the last of a number of tries, beside the last good documents."""
        self.write_failures([
            FoundDocument(row.id, result.extractor, (result.generation, result.serial),
                  result.failure(attempts), result.provenance)
            for row, result, attempts in failures
        ])  # fmt: skip

    def remove_outdated(self, works: Iterable[WorkKey]) -> None:
        """Remove the documents and failures of extractors for objects."""
        wanted = list(works)
        rows = self.objects({fid for fid, _ in wanted})
        self.remove_some([(rows[fid].id, name) for fid, name in wanted if fid in rows])

    def remove_failures(self, works: Iterable[WorkKey]) -> int:
        """Forget failed attempts, not the good documents beside them; return how many there were."""
        return self.forget_failures([(fid.pack(), name) for fid, name in works])

    def marked(self, name: bytes, each: int, most: int) -> list[FID]:
        """Return directories with a file of this name that root or the directory's owner owns; see `interface`."""
        rows = self._run(
            "SELECT fid FROM (SELECT directory.fid,"
            " row_number() OVER (PARTITION BY directory.uid ORDER BY directory.fid) AS place"
            " FROM link JOIN object file ON file.fid = link.fid JOIN object directory"
            " ON directory.fid = link.parent WHERE coalesce(link.folded, link.name) = %s AND link.fid IS NOT NULL"
            " AND (file.uid = 0 OR file.uid = directory.uid)) AS found WHERE place <= %s ORDER BY fid LIMIT %s",
            name,
            each,
            most,
        )
        return [FID.unpack(fid) for (fid,) in rows]

    def put_left_out(self, globs: Iterable[str], directories: Mapping[str, FID]) -> None:
        """Set what no search finds."""
        found = {**dict.fromkeys(globs), **{glob: fid.pack() for glob, fid in directories.items()}}
        self._run("DELETE FROM left_out")
        self._run(
            "INSERT INTO left_out (glob, fid) SELECT * FROM unnest(%b::text[], %b::bytea[])",
            list(found), list(found.values()),
        )  # fmt: skip

    def count(self, counters: Mapping[str, int]) -> None:
        """Add to the counters."""
        if counters:
            self._run(
                "INSERT INTO counter (name, value) SELECT * FROM unnest(%b::text[], %b::bigint[])"
                " ON CONFLICT (name) DO UPDATE SET value = counter.value + excluded.value",
                *columns(sorted(counters.items())),
            )


def _results(data: bytes | None) -> list[Result]:
    try:
        if data is None:
            raise ConfigError(f"it is longer than {OUTCOME_BYTES} bytes")
        results = decode_results(data)
        if len(results) > MOST_OF_PORTION:
            raise ConfigError(f"it has more than {MOST_OF_PORTION} results")
    except ConfigError as exc:
        log.warning("an outcome is dropped, and its files are extracted again: %s", exc, extra={"action": "drop"})
        return []
    return results


def _by_place_and_stamp(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return row[:3]


def _words(name: bytes) -> str:
    """Return the words of a name as a tsvector; of a name that is too long for one, those of its beginning."""
    return next(iter(pieces(text_of([name]))), "")


_LOCK = "SELECT id FROM object WHERE fid = ANY(%b::bytea[]) ORDER BY id FOR UPDATE"
"""No document is written into these objects until the transaction ends, or is being written now."""

_REMOVE = """
WITH fids AS (SELECT unnest(%b::bytea[]) AS fid),
rows AS (DELETE FROM pending USING fids WHERE pending.fid = fids.fid),
fires AS (DELETE FROM fired USING fids WHERE fired.fid = fids.fid),
gone AS (DELETE FROM object USING fids WHERE object.fid = fids.fid RETURNING object.id),
documents AS (DELETE FROM document USING gone WHERE document.object = gone.id RETURNING document.id),
texts AS (DELETE FROM fulltext USING documents WHERE fulltext.document = documents.id),
numbers AS (DELETE FROM number USING gone WHERE number.object = gone.id),
words AS (DELETE FROM word USING gone WHERE word.object = gone.id),
parts AS (DELETE FROM part USING gone WHERE part.object = gone.id),
text_numbers AS (DELETE FROM text_number USING gone WHERE text_number.object = gone.id),
text_times AS (DELETE FROM text_time USING gone WHERE text_time.object = gone.id)
SELECT count(*) FROM gone
"""
