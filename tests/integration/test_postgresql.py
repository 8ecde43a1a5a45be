"""The index in PostgreSQL where the server, the network or an administrator has a say."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from urllib.parse import quote

import psycopg
import pytest

from bench.postgresql_server import PostgreSQLServer
from lustre_events.changelog.fid import ROOT_FID
from lustre_events.domain.namespace import Link
from lustre_events.errors import ConfigError, IndexTooNew, IndexUnavailable, LeaseLost, LustreEventsError
from lustre_events.index import open_search, open_writer
from lustre_events.index.postgresql import database
from lustre_events.index.postgresql.database import shown
from lustre_events.index.postgresql.search import PostgresqlBackend
from lustre_events.index.postgresql.statistics import CHECK_SECONDS
from lustre_events.index.postgresql.writer import PostgresqlWriter
from tests.support.records.builders import fid_of
from tests.support.servers.postgresql import start_postgresql

SECRET = "h%40rd@2:guess"  # noqa: S105 - of nobody


@pytest.fixture
def server() -> Iterator[PostgreSQLServer]:
    """A server of the test's own, with fsync, which it may kill."""
    with start_postgresql() as started:
        yield started


def connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url, autocommit=True)


def test_what_is_committed_survives_the_server(server: PostgreSQLServer) -> None:
    """A writer whose server dies says so, goes on when it is back, and has all that was committed, no more."""
    writer = PostgresqlWriter(server.url())
    writer.take_over()
    with writer.transaction() as transaction:
        transaction.set_links([Link(ROOT_FID, b"kept", fid_of(1), b"1")])
    with pytest.raises(IndexUnavailable) as lost, writer.transaction() as transaction:  # noqa: PT012
        transaction.set_links([Link(ROOT_FID, b"lost", fid_of(2), b"1")])
        server.kill()
        transaction.linked([fid_of(1)])
    with pytest.raises(IndexUnavailable, match="check that the server runs") as away:
        writer.cursors()
    assert (lost.value.retryable, away.value.retryable) == (True, True)

    server.start()
    with writer.transaction() as transaction:
        assert transaction.linked([fid_of(1), fid_of(2)]) == {fid_of(1)}
    writer.close()


def test_a_search_goes_on_when_the_server_is_back(server: PostgreSQLServer) -> None:
    """A long-lived reader needs no restart."""
    open_writer(server.url()).close()
    with open_search(server.url()) as search:
        assert search.count("*") == 0
        server.stop()
        with pytest.raises(IndexUnavailable):
            search.count("*")
        server.start()
        assert search.count("*") == 0


def test_nobody_takes_over_within_a_transaction(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who takes over waits for the step that is under way; then the one before may not begin another one."""
    first = PostgresqlWriter(postgresql_url)
    first.take_over()
    monkeypatch.setattr(database, "LOCK_SECONDS", 1.0)
    second = PostgresqlWriter(postgresql_url)
    with first.transaction() as transaction:
        with pytest.raises(IndexUnavailable, match="another session has locked it"):
            second.take_over()
        transaction.count({"records": 1})

    second.take_over()
    with pytest.raises(LeaseLost, match="taken over"), first.transaction():
        pass
    assert second.counters() == {"records": 1}
    first.close()
    second.close()


def test_commits_are_durable_whatever_the_user_has_set(postgresql_url: str) -> None:
    """A clear of the changelog may depend on a commit: synchronous_commit is on, also where a role has it off."""
    with connect(postgresql_url) as admin:
        admin.execute("CREATE ROLE careless SUPERUSER LOGIN")
        admin.execute("ALTER ROLE careless SET synchronous_commit = off")
    writer = PostgresqlWriter(postgresql_url.replace("lustre_events@", "careless@"))
    rows = writer._database.connection.execute("SELECT current_user::text, current_setting('synchronous_commit')")

    assert rows.fetchone() == ("careless", "on")
    writer.close()


def test_a_user_who_only_reads_can_search(postgresql_url: str) -> None:
    """Searching needs SELECT and nothing else; writing as that user is refused in a sentence."""
    open_writer(postgresql_url).close()
    with connect(postgresql_url) as admin:
        admin.execute("CREATE ROLE reader LOGIN")
        admin.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
        admin.execute("ALTER ROLE reader SET default_transaction_read_only = on")
    url = postgresql_url.replace("lustre_events@", "reader@")

    with open_search(url) as search:
        assert search.search("type:f OR red OR path:/a/** OR k:>1", sort="mtime") == []
        assert search.stats().counts.objects == 0
    writer = PostgresqlWriter(url)
    with pytest.raises(IndexUnavailable, match="may only read"):
        writer.take_over()
    writer.close()


def test_sentences_tell_what_to_do_and_no_password(
    server: PostgreSQLServer, caplog: pytest.LogCaptureFixture
) -> None:
    """No connection, no database, no or a wrong password: each says what to correct, and none tells a password.

    None sends a password into the settings either, which all users read.
    """
    caplog.set_level(logging.DEBUG)
    with connect(server.url()) as admin:
        admin.execute("ALTER ROLE lustre_events PASSWORD 'another'")
    rules = server.directory / "data" / "pg_hba.conf"
    rules.write_text("local nowhere all trust\nlocal postgres all scram-sha-256\nlocal all all trust\n")
    server.stop()
    server.start()
    host, password = quote(str(server.directory), safe=""), quote(SECRET, safe="")
    user = f"postgresql://lustre_events:{password}@"

    said = {
        url: _refused(url)
        for url in (
            f"{user}/postgres?host={host}",
            f"postgresql://lustre_events@/postgres?host={host}",
            f"{user}/nowhere?host={host}",
            f"{user}/nowhere?host=%2Fnonexistent",
            f"{user}localhost:1/db",
            f"postgresql://u:{SECRET}@host/db?%",
            f"postgres//u:{SECRET}@host/db",
        )
    }

    for url, part in zip(
        said,
        ["a unit's in LUSTRE_EVENTS_INDEX_URL of its ROLE.env", "where only its user reads it", "make it",
         "check that the server runs", "check that the server runs",
         "cannot be read", "is not an index that this version can open"],
        strict=True,
    ):  # fmt: skip
        assert part in str(said[url]), url
        assert "\n" not in str(said[url])
        for secret in (SECRET, password, "guess"):
            assert secret not in str(said[url]) + caplog.text
        assert isinstance(
            said[url],
            ConfigError
            if part in {"cannot be read", "is not an index that this version can open"}
            else IndexUnavailable,
        )


def _refused(url: str) -> LustreEventsError:
    with pytest.raises(LustreEventsError) as refused:
        open_search(url)
    return refused.value


def test_the_name_of_an_index() -> None:
    """What messages call an index has its host, port and database, and neither user nor password."""
    assert shown("postgresql://me:pw@db.example.org:5433/index?sslmode=require") == (
        "postgresql://db.example.org:5433/index"
    )
    assert shown("postgresql://me@/index?host=%2Frun%2Fpg") == "postgresql:///index"


def test_databases_that_are_no_index_of_ours(postgresql_url: str) -> None:
    """An empty database, another program's and a later version's are told apart, and left as they were."""
    with pytest.raises(IndexUnavailable, match="no index here yet; start a dispatcher"):
        open_search(postgresql_url)
    with connect(postgresql_url) as admin:
        admin.execute("CREATE TABLE object (precious TEXT)")
        with pytest.raises(IndexUnavailable, match="another program's tables"):
            open_writer(postgresql_url)
        admin.execute("DROP TABLE object; CREATE TABLE meta (precious TEXT)")
        with pytest.raises(IndexUnavailable, match="another program has a table named meta"):
            open_writer(postgresql_url)
        admin.execute("DROP TABLE meta")
        open_writer(postgresql_url).close()
        admin.execute("UPDATE meta SET value = '99'")
        for opened in (open_search, open_writer):
            with pytest.raises(IndexTooNew, match="version 99"):
                opened(postgresql_url)


def test_a_database_of_another_encoding(shared_postgresql: PostgreSQLServer) -> None:
    """Words need UTF-8; the message says how to make such a database."""
    with connect(shared_postgresql.url()) as admin:
        admin.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(IndexUnavailable, match="createdb --encoding UTF8"):
        open_writer(shared_postgresql.url("latin"))


def test_a_statement_that_takes_too_long_ends(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything has a deadline, and may be tried again."""
    monkeypatch.setattr("lustre_events.index.postgresql.writer.WRITE_SECONDS", 1.0)
    writer = PostgresqlWriter(postgresql_url)
    with (
        pytest.raises(IndexUnavailable, match="took too long") as late,
        writer._database.transaction() as connection,
    ):
        connection.execute("SELECT pg_sleep(60)")

    assert late.value.retryable
    assert writer.counters() == {}
    writer.close()


def test_a_search_has_the_time_that_it_is_given(postgresql_url: str) -> None:
    """Whoever opens an index for many people says how long one of them may keep the others waiting."""
    open_writer(postgresql_url).close()
    backend = PostgresqlBackend(postgresql_url, seconds=1.0)
    with (
        pytest.raises(IndexUnavailable, match="took too long"),
        backend._database.transaction() as connection,
    ):
        connection.execute("SELECT pg_sleep(60)")
    backend.close()


def test_an_index_that_grows_has_statistics(postgresql_schema_url: str) -> None:
    """Tables are analysed after the commit that made them large, and when they have doubled; not at each commit."""
    seconds = [0.0]
    writer = PostgresqlWriter(postgresql_schema_url, lambda: seconds[0])
    writer.take_over()
    with connect(postgresql_schema_url) as connection:  # the server's own must not come between
        connection.execute("ALTER TABLE link SET (autovacuum_enabled = false)")

    def add(first: int, after: int) -> tuple[float, bool]:
        """Write names; return for how many of them there are statistics, and whether these tell of values."""
        with writer.transaction() as transaction:
            transaction.set_links(Link(ROOT_FID, b"%060d" % number, fid_of(1), b"1" * 26)
                                  for number in range(first, after))  # fmt: skip
        with connect(postgresql_schema_url) as connection:
            (rows,) = connection.execute(
                "SELECT reltuples FROM pg_class WHERE oid = 'link'::regclass"
            ).fetchone() or (0,)
            told = connection.execute("SELECT 1 FROM pg_stats WHERE tablename = 'link'").fetchall()
        assert isinstance(rows, float)
        return rows, bool(told)

    assert add(0, 10) == (-1, False)
    seconds[0] += CHECK_SECONDS
    assert add(10, 5_000) == (5_000, True)
    assert add(5_000, 20_000) == (5_000, True)
    seconds[0] += CHECK_SECONDS
    assert add(20_000, 20_001) == (20_001, True)
    writer.close()
