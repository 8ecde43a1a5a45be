"""Documents in PostgreSQL, written by indexers beside the dispatcher; see `interface.DocumentWriter`.

A transaction holds the table `outcome` in ROW EXCLUSIVE mode: a migration of the schema, and the freeing of keys,
wait for it, and it for them. Whoever may only read the index can take no such lock. Behind it nothing is remembered
of an earlier one. Objects are locked first, against their removal (`writer.remove_objects`, `upkeep.move_object`),
then documents, both in the order of their ids.

Whoever waits for an indexer waits for a bounded time. Statements are sent one by one: in a pipeline the server
would never see a session idle within a transaction, and so would not end that of an indexer that hangs. Where an
indexer and the dispatcher wait for each other the indexer mostly gives way: it waits for a shorter time than passes
before the server looks for deadlocks. If it began to wait later than the dispatcher, the server may end the
dispatcher's transaction first; the dispatcher then tries again. Where one stops while the server sends it a long
answer, no limit of the server ends its session, so the dispatcher does (`end_stopped`).

A login needs few rights for this: deploy/postgresql/roles.sql lists them.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import psycopg

from lustre_events.changelog.fid import FID
from lustre_events.errors import IndexTooNew, IndexUnavailable
from lustre_events.index.documents import NOBODY, FoundDocument
from lustre_events.index.interface import WorkKey
from lustre_events.index.postgresql.database import WRITER_SETTINGS, Connection, Database, known_version, packed
from lustre_events.index.postgresql.documents import Documents
from lustre_events.index.postgresql.keys import Keys
from lustre_events.index.postgresql.session import Session, columns
from lustre_events.index.writer_cache import Remembered
from lustre_events.jobs.messages import BUILT_IN, TAGS, DocumentPortion, Result, encode_results

log = logging.getLogger(__name__)

STATEMENT_SECONDS = 30
PAUSE_SECONDS = 10.0
"""An indexer that hangs within a transaction gives its locks back after this time."""
_SETTINGS = (
    *WRITER_SETTINGS,
    # Of the server's side: an indexer that reads no answer, or whose machine is gone.
    ("tcp_user_timeout", "30s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
)
LOCK_SHARE = 2
"""An indexer waits for locks for this part of the time after which the server looks for deadlocks."""

_END = """
SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active' AND wait_event = 'ClientWrite'
   AND xact_start < clock_timestamp() - %s * interval '1 second'
   AND pid IN (SELECT pid FROM pg_locks WHERE relation = to_regclass('outcome') AND mode = 'RowExclusiveLock'
                  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""

_TOGETHER = "LOCK TABLE outcome IN ROW EXCLUSIVE MODE"
_DONE = "SELECT portion FROM outcome WHERE portion = ANY(%b::text[])"
_OBJECTS = "SELECT fid, id, generation, uid FROM object WHERE fid = ANY(%b::bytea[]) ORDER BY id FOR KEY SHARE"
_HELD = (
    "SELECT pending.fid, pending.extractor, pending.job"
    " FROM unnest(%b::bytea[], %b::text[]) AS asked (fid, extractor)"
    " JOIN pending ON pending.fid = asked.fid AND pending.extractor = asked.extractor WHERE pending.job IS NOT NULL"
)
_SERIALS = "SELECT name, serial FROM extractor"
_PUT = (
    "INSERT INTO outcome (portion, results, dropped) SELECT * FROM unnest(%b::text[], %b::bytea[], %b::integer[])"
    " ON CONFLICT (portion) DO NOTHING"
)

_KEPT = ("duration_ms", "files")
"""What the dispatcher needs to know of where a document comes from, beside its job (tallies.py, job_sizes.py)."""
_LONGEST = 1 << 53

_OF_DATA = ("22", "23", "54", "57014")
"""PostgreSQL's documentation, appendix A: data, constraints, limits of the program, a statement that took long."""
_TWO_WRITERS = "23505"
"""A row that another indexer has made meanwhile."""


class PostgresqlDocumentWriter:
    """See `interface.DocumentWriter`. Not for two threads at once. A lost session is replaced by the next call."""

    def __init__(self, url: str, pause_seconds: float = PAUSE_SECONDS) -> None:
        """Connect. The server ends a session that pauses within a transaction for longer.

        Raises as `Database` and its `version` do, and IndexUnavailable: there is no index yet.
        """
        self._url = url
        self._pause = ("idle_in_transaction_session_timeout", f"{round(1000 * pause_seconds)}ms")
        self._closed = False
        self.refused = 0
        self._database = self._connect()
        self._making: Database | None = None

    def write(self, portions: Sequence[DocumentPortion], beat: Callable[[], None] = lambda: None) -> int:
        """Write documents and outcomes; see `interface.DocumentWriter`."""
        with contextlib.suppress(_Refused):
            return self._write(portions)
        return sum(self._write_alone(each, beat) for each in portions)

    def close(self) -> None:
        """Close; closing twice is fine."""
        self._closed = True
        self._database.close()
        if self._making is not None:
            self._making.close()

    def _write(self, portions: Sequence[DocumentPortion]) -> int:
        with self._begun() as writing:
            return writing.write(portions)

    def _write_alone(self, portion: DocumentPortion, beat: Callable[[], None]) -> int:
        """Write what the database takes of a portion; the rest becomes failures."""
        beat()
        with contextlib.suppress(_Refused):
            return self._write([portion])
        good: list[Result] = []
        bad: list[Result] = []
        for each in portion.results:
            beat()
            try:
                with self._begun() as writing:
                    good += writing.documents([each])
            except _Refused as exc:
                bad.append(_failed(each, exc))
        self.refused += len(bad)
        if bad:
            log.error("the database does not take %d documents (%s); their files count as failed", len(bad),
                      bad[0].error, extra={"action": "refuse"})  # fmt: skip
        with self._begun() as writing:
            writing.finish(portion, [*good, *bad])
        return len(good)

    @contextlib.contextmanager
    def _begun(self) -> Iterator[_Writing]:
        """Begin a transaction. Raises _Refused if it fails by what is to be written, and IndexUnavailable."""
        if self._database.connection.closed and not self._closed:
            self._database = self._connect()
        database = self._database
        try:
            with database.transaction() as connection:
                yield _Writing(connection, database.name, self._of_keys)
        except IndexUnavailable as exc:
            if _is_of_data(exc.__cause__):
                raise _Refused(str(exc)) from exc
            raise
        except (
            ValueError,
            TypeError,
            LookupError,
            ArithmeticError,
            RecursionError,
        ) as exc:  # of making a statement
            raise _Refused(f"{type(exc).__name__}: {exc}") from exc

    def _of_keys(self) -> Connection:
        """Return the session in which keys are made."""
        if self._making is None or self._making.connection.closed:
            self._making = self._connect()
        return self._making.connection

    def _connect(self) -> Database:
        database = Database(self._url, statement_seconds=STATEMENT_SECONDS, settings=(*_SETTINGS, self._pause))
        try:
            with database.errors():
                (wait_ms,) = database.connection.execute(
                    "SELECT setting::integer FROM pg_settings WHERE name = 'deadlock_timeout'"
                ).fetchone() or (1_000,)
                database.set("lock_timeout", f"{max(1, wait_ms // LOCK_SHARE)}ms")
            _check(database.name, database.version())
        except BaseException:
            database.close()
            raise
        return database


def end_stopped(database: Database, seconds: float = PAUSE_SECONDS) -> int:
    """End sessions of writers that have taken no answer, in a transaction of that age; return how many.

    A role sees and ends those of its own, and of roles that it is a member of. Raises IndexUnavailable.
    """
    with database.errors():
        (ended,) = database.connection.execute(_END, (seconds,)).fetchone() or (0,)
    if ended:
        log.warning("%s: %d indexers took no answer for %g seconds and kept locks; their sessions are ended",
                    database.name, ended, seconds, extra={"action": "end"})  # fmt: skip
    return int(ended)


class _Refused(Exception):
    """The database does not take what is to be written."""


class _Known(NamedTuple):
    """What the index knows of the objects of results."""

    objects: Mapping[FID, tuple[int, int, int]]
    """Id, generation, owner."""
    jobs: Mapping[WorkKey, str]

    def takes(self, result: Result) -> bool:
        """Whether a good result counts: the dispatcher's rules (results.py), of which it is asked again."""
        found = self.objects.get(result.fid)
        job = self.jobs.get((result.fid, result.extractor))
        return found is not None and 0 <= result.generation <= found[1] and job is not None and job == _job(result)


class _Writing(Session):
    """One transaction of an indexer."""

    def __init__(self, connection: Connection, name: str, making: Callable[[], Connection] | None = None) -> None:
        super().__init__(connection, name, Remembered())
        self._making = making
        self._run(_TOGETHER)
        (version,) = self._run("SELECT value FROM meta WHERE key = 'lustre-events schema'").fetchone() or ("0",)
        _check(name, int(version))

    def write(self, portions: Sequence[DocumentPortion]) -> int:
        """Write the documents and the outcomes of portions; return how many documents."""
        done = {name for (name,) in self._run(_DONE, [each.id for each in portions])}
        new = {each.id: each for each in portions if each.id not in done}
        taken = self.documents([result for portion in new.values() for result in portion.results])
        ids = set(map(id, taken))
        self._put([(each, [result for result in each.results if id(result) in ids]) for each in new.values()])
        return len(taken)

    def documents(self, results: Sequence[Result]) -> list[Result]:
        """Write the documents of those results that count, one for each work; return these results."""
        asked = self._asked(results)
        known = self._known(asked)
        taken = [each for each in asked if known.takes(each)]
        documents = Documents(self._connection, self._name, Keys(self._making), self._remembered)
        documents.write_documents([_found(each, known) for each in taken])
        return taken

    def finish(self, portion: DocumentPortion, results: Sequence[Result]) -> None:
        """Write the outcome of a portion whose documents are written already, of what counts."""
        if not self._run(_DONE, [portion.id]).fetchall():
            known = self._known(results)
            self._put([(portion, [each for each in results if known.takes(each)])])

    def _asked(self, results: Sequence[Result]) -> list[Result]:
        """Return good results of extractors that there are, one for each work of a job."""
        serials: dict[str, int] = dict(self._run(_SERIALS))
        found: dict[tuple[FID, str, str], Result] = {}
        for each in results:
            if (
                each.status == "ok"
                and each.extractor not in BUILT_IN
                and each.extractor != TAGS
                and 0 <= each.serial <= serials.get(each.extractor, -1)
            ):
                found.setdefault((each.fid, each.extractor, _job(each)), each)
        return list(found.values())

    def _known(self, results: Collection[Result]) -> _Known:
        """Return what is known of the objects of results; none of these is removed until the transaction ends."""
        if not results:
            return _Known({}, {})
        objects = {
            FID.unpack(fid): (id_, generation, NOBODY if uid is None else uid)
            for fid, id_, generation, uid in self._run(_OBJECTS, packed({result.fid for result in results}))
        }
        works = [(result.fid.pack(), result.extractor) for result in results]
        jobs = {(FID.unpack(fid), extractor): job for fid, extractor, job in self._run(_HELD, *columns(works))}
        return _Known(objects, jobs)

    def _put(self, outcomes: Sequence[tuple[DocumentPortion, Sequence[Result]]]) -> None:
        rows = [
            (
                portion.id,
                encode_results([_without_document(each) for each in taken]),
                len(portion.results) - len(taken),
            )
            for portion, taken in outcomes
        ]
        if rows:
            self._run(_PUT, *columns(rows))


def _found(result: Result, known: _Known) -> FoundDocument:
    id_, _, owner = known.objects[result.fid]
    version = (result.generation, result.serial)
    return FoundDocument(id_, result.extractor, version, result.document, result.provenance, owner)


def _without_document(result: Result) -> Result:
    """Return what the dispatcher needs of a result: few bytes, whatever a worker has put there."""
    good = result.status == "ok"
    return Result(
        fid=result.fid, extractor=result.extractor, serial=result.serial, generation=result.generation,
        status=result.status, provenance=_origin(result), error="" if good else result.error,
        elsewhere=result.elsewhere,
    )  # fmt: skip


def _failed(result: Result, exc: _Refused) -> Result:
    """Return a result whose document the database does not take, as the failure that it is."""
    error = f"the index cannot keep this document: {exc}"[:_MOST_OF_ERROR]
    return msgspec.structs.replace(result, status="failed", document={}, error=error)


_MOST_CHARACTERS = 1_000
_MOST_OF_ERROR = 200
"""So that the outcome of a portion of which all is refused is not too long to be taken."""


def _origin(result: Result) -> dict[str, Any]:
    numbers = {name: result.provenance.get(name) for name in _KEPT}
    kept = {name: value for name, value in numbers.items() if type(value) is int and 0 <= value < _LONGEST}
    return {"job": _job(result), **kept}


def _job(result: Result) -> str:
    """Return the job that a result names; empty: none."""
    job = result.provenance.get("job")
    return job if isinstance(job, str) and len(job) <= _MOST_CHARACTERS else ""


def _is_of_data(exc: BaseException | None) -> bool:
    """Whether a statement failed by what was to be written, so that it will fail again."""
    if not isinstance(exc, psycopg.Error):
        return False
    state = exc.sqlstate or ""
    if not state:
        return isinstance(exc, psycopg.DataError)  # psycopg's own look at a value
    return state.startswith(_OF_DATA) and state != _TWO_WRITERS


def _check(name: str, version: int) -> None:
    """Check the version of an index. Raises IndexUnavailable, IndexTooNew."""
    known = known_version()
    if version > known:
        raise IndexTooNew(
            f"{name}: the index has version {version}, this program knows {known}; upgrade this program"
        )
    if version < known:
        found = f"has version {version}, not {known}" if version else "does not exist"
        raise IndexUnavailable(
            f"{name}: the index {found}; start the dispatcher of this version, which makes it so"
        )
