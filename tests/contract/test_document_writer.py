"""Documents that indexers write on PostgreSQL, beside the dispatcher: the index is as if it had written them."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec
import psycopg
import pytest

from lustre_events.config.settings import DispatcherSettings
from lustre_events.errors import IndexTooNew, IndexUnavailable
from lustre_events.index.interface import ObjectRow
from lustre_events.index.postgresql.database import (
    WRITE_SECONDS,
    WRITER_SETTINGS,
    Connection,
    Database,
    known_version,
)
from lustre_events.index.postgresql.document_writer import (
    PostgresqlDocumentWriter,
    _failed,
    _Refused,
    _without_document,
    _Writing,
)
from lustre_events.index.postgresql.keys import Keys
from lustre_events.index.postgresql.writer import OUTCOME_BYTES
from lustre_events.index.values import TABLES
from lustre_events.jobs.messages import (
    HEAL,
    MOST_OF_PORTION,
    SCAN,
    STAT,
    TAGS,
    DocumentPortion,
    Job,
    Result,
    encode_results,
)
from tests.support.index.written import DOCUMENTS, contents, found, jobs_for
from tests.support.model.dispatcher import Backlog, Rig, answers, csv_rig
from tests.support.records.builders import fid_of
from tests.support.servers.postgresql import CleanIndexes
from tests.support.waiting import wait_for

NAMES = (str(number) for number in itertools.count(1))


@pytest.fixture
def rig(postgresql_index_url: str) -> Iterator[Rig]:
    made = csv_rig(postgresql_index_url, backlog=Backlog(), settings=DispatcherSettings(attempts=2))
    yield made
    made.close()


@pytest.fixture
def writer(postgresql_index_url: str, rig: Rig) -> Iterator[PostgresqlDocumentWriter]:
    made = PostgresqlDocumentWriter(postgresql_index_url)
    yield made
    made.close()


@pytest.mark.long
def test_an_indexer_leaves_the_index_that_the_dispatcher_would(clean_indexes: CleanIndexes) -> None:
    """Documents, search rows, keys, tallies and what is left to do are the same, whoever writes, and later on."""
    seen = []
    for backlog in (None, Backlog()):
        name = clean_indexes.take()
        rig = csv_rig(clean_indexes.url(name), backlog=backlog)
        writer = PostgresqlDocumentWriter(clean_indexes.url(name))
        for _ in range(2):
            for job in jobs_for(rig, len(DOCUMENTS)):
                assert job.to_indexers == (backlog is not None)
                if backlog is None:
                    rig.results.put(found(job))
                else:
                    assert writer.write([DocumentPortion(next(NAMES), found(job))]) == len(job.items)
            rig.settle()
        seen.append(contents(rig))
        writer.close()
        rig.close()
        clean_indexes.give_back(name)
    without, within = seen
    assert within == without
    assert within["document"]
    assert within["word"]
    assert not within["outcome"]


def test_a_portion_that_is_done_twice_changes_nothing(rig: Rig, writer: PostgresqlDocumentWriter) -> None:
    """Neither before the dispatcher has taken its outcome nor afterwards; then it counts as dropped."""
    [job] = jobs_for(rig, 3)
    portion = DocumentPortion("p", found(job))
    assert writer.write([portion]) == 3
    before = contents(rig)
    assert writer.write([portion]) == 0
    assert contents(rig) == before

    rig.settle()
    taken = contents(rig)
    assert not rig.pending()
    assert writer.write([portion]) == 0
    rig.settle()
    again = contents(rig)
    counted = dict(again.pop("counter"))
    assert counted["results"] == counted["results_ok"] + counted["results_dropped"]
    assert counted["results_dropped"] == 3
    taken.pop("counter", None)
    assert again == taken


def test_a_portion_that_is_there_twice_is_written_once(rig: Rig, writer: PostgresqlDocumentWriter) -> None:
    """Where a Redis was put back to an older copy; its files count once."""
    [job] = jobs_for(rig, 3)
    assert writer.write([DocumentPortion("p", found(job), entry=entry) for entry in ("1-1", "2-1")]) == 3
    assert rig.select("SELECT portion FROM outcome") == ["p"]
    rig.settle()
    assert rig.writer.counters()["results_ok"] == 3 + 3  # with the facts
    assert not rig.writer.counters().get("results_dropped")


def test_what_does_not_count_is_not_written(rig: Rig, writer: PostgresqlDocumentWriter) -> None:
    """Of another job, a removed object, an unknown content or serial, of what is built in: all are dropped."""
    [job] = jobs_for(rig, 2)
    good, other = found(job)
    wrong = [
        msgspec.structs.replace(good, provenance={"job": "other"}),
        msgspec.structs.replace(good, provenance={}),
        msgspec.structs.replace(good, provenance={"job": ["a list"]}),
        msgspec.structs.replace(good, provenance={"job": "a\0b"}),
        msgspec.structs.replace(good, extractor="tab\0ular"),
        msgspec.structs.replace(good, extractor="tab\ud800ular"),
        msgspec.structs.replace(good, generation=1 << 70),
        msgspec.structs.replace(good, generation=-1),
        msgspec.structs.replace(good, serial=-1),
        msgspec.structs.replace(good, serial=1 << 70),
        msgspec.structs.replace(good, generation=99),
        msgspec.structs.replace(good, serial=99),
        msgspec.structs.replace(good, extractor="unknown"),
        msgspec.structs.replace(good, extractor=STAT),
        msgspec.structs.replace(good, extractor=TAGS),
        msgspec.structs.replace(good, fid=fid_of(77)),
    ]
    assert writer.write([DocumentPortion("a", wrong), DocumentPortion("b", [other])]) == 1
    rig.settle()
    assert rig.select("SELECT fid FROM document JOIN object ON object.id = object") == [other.fid.pack()]
    assert rig.writer.counters()["results_dropped"] == len(wrong)
    assert rig.pending() == {(good.fid, "tabular")}


def test_failures_are_not_the_indexers(rig: Rig, writer: PostgresqlDocumentWriter) -> None:
    """What is no good document does not count, whoever has put it there: the work stays its job's."""
    [job] = jobs_for(rig)
    wrong = [answers(job, status)[0] for status in ("failed", "gone", "released")]
    assert writer.write([DocumentPortion("p", wrong)]) == 0
    rig.settle()
    assert rig.pending() == {(fid_of(1), "tabular")}
    assert rig.writer.counters()["results_dropped_indexers"] == 3


def test_a_newer_document_stays(rig: Rig, writer: PostgresqlDocumentWriter) -> None:
    """A document of older content than the one that is stored counts, and changes nothing."""
    [job] = jobs_for(rig)
    with rig.writer.transaction() as transaction:
        row = transaction.objects([fid_of(1)])[fid_of(1)]
        newer = msgspec.structs.replace(answers(job)[0], generation=row.generation + 1, document={"newer": 1})
        transaction.put_documents([(row, newer)])
    assert writer.write([DocumentPortion("p", answers(job))]) == 1
    rig.settle()
    assert rig.select("SELECT body FROM document") == ['{"newer":1}']
    assert not rig.pending()


def test_jobs_are_not_lost_while_no_indexer_takes_documents(rig: Rig) -> None:
    """While results wait and no indexer writes no job is lost, however long that takes: it would fail files."""
    assert len(jobs_for(rig)) == 1
    assert isinstance(rig.backlog, Backlog)
    rig.backlog.count = 1
    rig.pass_seconds(3600)
    rig.settle()
    assert rig.writer.counters().get("files_of_lost_jobs", 0) == 0
    rig.backlog.count = 0
    rig.pass_seconds(3600)
    rig.settle()
    assert rig.writer.counters()["files_of_lost_jobs"] == 1


def test_a_lost_job_is_found_although_something_always_waits(rig: Rig, writer: PostgresqlDocumentWriter) -> None:
    """It is lost when indexers have written for ten minutes since its lease ended, without a pause."""
    assert len(jobs_for(rig)) == 1
    assert isinstance(rig.backlog, Backlog)
    rig.backlog.count = 1
    lost = []
    for seconds in (0, 3600):
        rig.pass_seconds(seconds)
        for _ in range(19):
            writer.write([DocumentPortion(next(NAMES), ())])
            rig.settle()
            lost.append(rig.writer.counters().get("files_of_lost_jobs", 0))
            rig.pass_seconds(30)
    assert not any(lost), "the lease takes some of the first minutes"
    for _ in range(3):
        writer.write([DocumentPortion(next(NAMES), ())])
        rig.settle()
        rig.pass_seconds(30)
    assert rig.writer.counters()["files_of_lost_jobs"] == 1


def test_outcomes_of_indexers_that_were_switched_off_are_taken(
    rig: Rig, writer: PostgresqlDocumentWriter, postgresql_index_url: str
) -> None:
    """A dispatcher without indexers takes what they have left."""
    [job] = jobs_for(rig)
    writer.write([DocumentPortion("p", answers(job))])
    rig.backlog = None
    rig.restart()
    rig.settle()
    assert not rig.pending()
    assert rig.select("SELECT count(*) FROM outcome") == [0]


@contextlib.contextmanager
def held_open(url: str, portions: list[DocumentPortion]) -> Iterator[None]:
    """Be an indexer that has written portions, and has not yet committed."""
    database = Database(url, statement_seconds=WRITE_SECONDS, settings=WRITER_SETTINGS)
    with database.transaction() as connection:
        _Writing(connection, "test").write(portions)
        yield
    database.close()


def waits(url: str, deed: Callable[[], object], portions: list[DocumentPortion]) -> None:
    """Check that a deed waits for an indexer to commit, and let it be done."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            deed()
        except BaseException as exc:  # noqa: BLE001 - of another thread
            failed.append(exc)

    thread = threading.Thread(target=run)
    with held_open(url, portions), psycopg.connect(url, autocommit=True) as looking:
        thread.start()
        wait_for(lambda: looking.execute(_WAITING).fetchone() != (0,) or not thread.is_alive())
        assert thread.is_alive()
    thread.join(60)
    assert not thread.is_alive()
    assert not failed, failed


_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
LEFT = [*TABLES, "fulltext", "document"]


def test_an_object_that_is_removed_while_a_document_is_written_leaves_nothing(
    rig: Rig, postgresql_index_url: str
) -> None:
    """The removal waits for the indexer, and then sees what it has written."""
    [job] = jobs_for(rig)

    def remove() -> None:
        with rig.writer.transaction() as transaction:
            assert transaction.remove_objects([fid_of(1)]) == 1

    waits(postgresql_index_url, remove, [DocumentPortion("p", _rich(job))])
    left = {table: rig.select(f"SELECT count(*) FROM {table}") for table in LEFT}  # noqa: S608 - of our tables
    assert left == {table: [0] for table in LEFT}


def _rich(job: Job) -> list[Result]:
    """Return a document with values in every table."""
    document = {"n": 1, "title": "silicon carbide", "number": "12.5", "when": "2026-11-27T10:00:00Z"}
    return [msgspec.structs.replace(answers(job)[0], document=document)]


def test_a_document_follows_an_object_that_migrates_while_it_is_written(
    rig: Rig, postgresql_index_url: str
) -> None:
    """The migration waits for the indexer, and takes along what it has written."""
    [job] = jobs_for(rig)

    def move() -> None:
        with rig.writer.transaction() as transaction:
            transaction.put_objects([ObjectRow(fid=fid_of(9), generation=1, content=1, type="f")])
            transaction.move_object(fid_of(1), fid_of(9))

    waits(postgresql_index_url, move, [DocumentPortion("p", _rich(job))])
    assert rig.select("SELECT object.fid FROM document JOIN object ON object.id = object") == [fid_of(9).pack()]
    assert rig.select("SELECT DISTINCT object.fid FROM word JOIN object ON object.id = object") == [
        fid_of(9).pack()
    ]


def test_indexers_that_make_the_same_keys_do_not_wait_for_each_other(rig: Rig, postgresql_index_url: str) -> None:
    """One writes its documents while another, with the same new keys, is not done."""
    job, *_ = jobs_for(rig, 2)
    one, other = [msgspec.structs.replace(each, document={"new": 1}) for each in answers(job)]
    first, second = PostgresqlDocumentWriter(postgresql_index_url), PostgresqlDocumentWriter(postgresql_index_url)
    with first._begun() as writing:
        assert writing.write([DocumentPortion("p", [one])]) == 1
        assert second.write([DocumentPortion("q", [other])]) == 1
    first.close()
    second.close()
    assert rig.select("SELECT name FROM key") == ["new"]
    assert rig.select("SELECT count(*) FROM number") == [2]


def test_a_key_that_an_indexer_uses_is_not_freed(rig: Rig, postgresql_index_url: str) -> None:
    """Freeing waits for indexers, and then looks again."""
    [job] = jobs_for(rig)
    rig.select(
        "INSERT INTO key (extractor, owner, name) VALUES ('tabular', 1000, 'n'), ('tabular', 1000, 'unused')"
    )

    def free() -> None:
        with rig.writer.transaction() as transaction:
            transaction.free_keys(0, 100)

    waits(postgresql_index_url, free, [DocumentPortion("p", _rich(job))])
    assert sorted(rig.select("SELECT name FROM key")) == ["n", "number", "title", "when"]
    assert rig.select("SELECT count(*) FROM number JOIN key ON key.id = number.key WHERE name = 'n'") == [1]


def test_keys_that_cannot_be_freed_hold_up_nothing_else(rig: Rig, postgresql_index_url: str) -> None:
    """While somebody keeps the lock unused keys stay, and what else the dispatcher writes is committed."""
    rig.settle()
    rig.select("INSERT INTO key (extractor, owner, name) VALUES ('tabular', 1000, 'unused')")

    def free() -> str:
        with rig.writer.transaction() as transaction:
            assert transaction.free_keys(0, 100) == 0
            transaction.count({"beside": 1})
            return str(transaction._connection.execute("SHOW lock_timeout").fetchone())

    with held_open(postgresql_index_url, []):
        kept = free()
    assert rig.select("SELECT name FROM key") == ["unused"]
    assert free() == kept
    assert rig.select("SELECT name FROM key") == []
    assert rig.writer.counters()["beside"] == 2


def test_a_migration_of_the_schema_waits_for_indexers(
    rig: Rig, writer: PostgresqlDocumentWriter, postgresql_index_url: str
) -> None:
    """It begins when none is in a transaction; afterwards an indexer of the version before writes nothing."""
    [job] = jobs_for(rig)
    database = Database(postgresql_index_url, statement_seconds=WRITE_SECONDS)

    def migrate() -> None:
        with contextlib.suppress(IndexTooNew):  # its own look, behind the change
            database._bring_to(known_version() + 1, "SELECT 1", _nothing, _nothing)

    waits(postgresql_index_url, migrate, [DocumentPortion("p", _rich(job))])
    with pytest.raises(IndexTooNew):
        writer.write([DocumentPortion("q", answers(job))])
    database.close()
    assert rig.select("SELECT portion FROM outcome") == ["p"]


def _nothing(*_: object) -> None:
    pass


def test_without_an_index_the_dispatcher_is_to_make_it(postgresql_schema_url: str) -> None:
    """An indexer makes no index."""
    with pytest.raises(IndexUnavailable, match="start the dispatcher"):
        PostgresqlDocumentWriter(postgresql_schema_url)


@contextlib.contextmanager
def refusing(rig: Rig) -> Iterator[None]:
    """Let the database take no document with the word poison."""
    rig.select("ALTER TABLE document ADD CONSTRAINT no_poison CHECK (strpos(body, 'poison') = 0)")
    try:
        yield
    finally:
        rig.select("ALTER TABLE document DROP CONSTRAINT no_poison")


def test_a_document_that_the_database_does_not_take_is_a_failure(
    rig: Rig, writer: PostgresqlDocumentWriter
) -> None:
    """It alone: all others are written, and the dispatcher counts an attempt that says why."""
    [job] = jobs_for(rig, 3)
    good, bad, other = found(job)
    bad = msgspec.structs.replace(bad, document={"n": "poison"})
    portions = [DocumentPortion("a", [good, bad]), DocumentPortion("b", [other])]
    beats: list[None] = []
    with refusing(rig):
        assert writer.write(portions, lambda: beats.append(None)) == 2
        assert len(beats) >= len(portions[0].results), "each alone may take long, and the watchdog waits"
        assert writer.write(portions) == 0
    assert writer.refused == 1
    assert rig.select("SELECT portion FROM outcome ORDER BY portion") == ["a", "b"]
    rig.settle()
    counted = rig.writer.counters()
    assert (counted["results_ok"], counted["results_failed"]) == (3 + 2, 1)  # with the facts of the three
    [error] = rig.select("SELECT error FROM pending")
    assert "the index cannot keep this document" in error


def test_an_outcome_of_refused_documents_is_not_too_long() -> None:
    """Also where all of the longest portion are refused, each for a long reason."""
    result = Result(fid=fid_of(1), extractor="x", serial=1, generation=1, status="ok", provenance={"job": "j" * 40})
    failed = _without_document(_failed(result, _Refused("\u00e9" * 5_000)))
    assert len(encode_results([failed] * MOST_OF_PORTION)) < OUTCOME_BYTES


def test_an_outcome_is_short_whatever_a_worker_has_written(rig: Rig, writer: PostgresqlDocumentWriter) -> None:
    """It keeps of a result what the dispatcher needs, and of one that does not count nothing."""
    [job] = jobs_for(rig, 2)
    long = "x" * 100_000
    good, other = (
        msgspec.structs.replace(
            each, error=long, stderr=long, document={"long": long},
            provenance={"job": job.id, "files": long, "duration_ms": 1 << 200, "host": long},
        )
        for each in found(job)
    )  # fmt: skip
    foreign = msgspec.structs.replace(other, provenance={"job": long})
    failed = msgspec.structs.replace(other, status="failed")
    assert writer.write([DocumentPortion("p", [good, foreign, failed, msgspec.structs.replace(good)])]) == 1
    [size] = rig.select("SELECT octet_length(results) FROM outcome")
    assert size < 1_000
    assert rig.select("SELECT dropped FROM outcome") == [3]


def test_an_outcome_that_no_indexer_has_written_changes_nothing(rig: Rig) -> None:
    """The dispatcher takes from outcomes that documents are written, and no facts, failures, or losses of files."""
    [job] = jobs_for(rig)
    [answer] = answers(job)
    forged = [
        msgspec.structs.replace(answer, status=status, extractor=extractor, blame="extractor")
        for status in ("ok", "failed", "gone", "released")
        for extractor in ("tabular", STAT, SCAN, HEAL, TAGS)
        if (status, extractor) != ("ok", "tabular")
    ]
    too_long = msgspec.structs.replace(answer, error="x" * OUTCOME_BYTES)
    for name, results in (("a", forged), ("b", [too_long]), ("c", [answer] * 2_000)):
        rig.select(
            "INSERT INTO outcome (portion, results, dropped) VALUES (%s, %s, -5)", name, encode_results(results)
        )
    before = contents(rig)
    rig.settle()
    after = contents(rig)
    assert not after.pop("outcome")
    before.pop("outcome")
    counted = dict(after.pop("counter"))
    before.pop("counter")
    assert after == before
    assert (counted["results_dropped"], counted["results_damaged"]) == (len(forged), 2)


class Hanging(PostgresqlDocumentWriter):
    """An indexer that hangs before it commits, until something is so."""

    until: Callable[[], object]

    @contextlib.contextmanager
    def _begun(self) -> Iterator[_Writing]:
        with super()._begun() as writing:
            yield writing
            wait_for(self.until)


def test_an_indexer_that_hangs_gives_its_locks_back(rig: Rig, postgresql_index_url: str) -> None:
    """The server ends its session; what it had written is undone, and its next try begins anew."""
    [job] = jobs_for(rig)
    with psycopg.connect(postgresql_index_url, autocommit=True) as looking:

        def is_free() -> bool:
            with contextlib.suppress(psycopg.errors.LockNotAvailable):
                return looking.execute("SELECT id FROM object FOR UPDATE NOWAIT").rowcount > 0
            return False

        hanging = Hanging(postgresql_index_url, pause_seconds=1.0)
        hanging.until = is_free
        with pytest.raises(IndexUnavailable):
            hanging.write([DocumentPortion("p", found(job))])
        assert rig.select("SELECT count(*) FROM outcome") == [0]
        hanging.until = lambda: True
        assert hanging.write([DocumentPortion("p", found(job))]) == 1
        hanging.close()


def test_an_indexer_waits_shortly_for_locks(writer: PostgresqlDocumentWriter) -> None:
    """For a shorter time than passes before the server looks for deadlocks, so it mostly is who gives way."""
    [[wait_ms, deadlock_ms]] = writer._database.connection.execute(
        "SELECT (SELECT setting::integer FROM pg_settings WHERE name = 'lock_timeout'),"
        " (SELECT setting::integer FROM pg_settings WHERE name = 'deadlock_timeout')"
    ).fetchall()
    assert 0 < wait_ms < deadlock_ms


class Recorded:
    """A connection that remembers the statements that it was given."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.statements: list[str] = []

    def execute(self, statement: str, *rest: Any, **named: Any) -> Any:
        """Execute a statement."""
        self.statements.append(statement)
        return self._connection.execute(statement, *rest, **named)


def test_keys_are_counted_only_where_one_is_new(postgresql_index_url: str, rig: Rig) -> None:
    """Counting reads all keys of an extractor; that costs nothing where all are known."""
    rig.settle()
    with psycopg.connect(postgresql_index_url, autocommit=True) as connection:
        first = Recorded(connection)
        Keys().made(cast("Connection", first), "tabular", 1, ["a", "b"])
        assert sum("count(*)" in each for each in first.statements) == 1
        second = Recorded(connection)
        assert Keys().made(cast("Connection", second), "tabular", 1, ["a", "b"]).keys() == {"a", "b"}
        assert not any("count(*)" in each for each in second.statements)
