"""The roles of PostgreSQL, as roles.sql makes them: each tries what it must not."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bench.postgresql_server import PostgreSQLServer
from lustre_events.errors import IndexUnavailable
from lustre_events.index import open_search
from lustre_events.index.postgresql.document_writer import PostgresqlDocumentWriter
from lustre_events.index.postgresql.writer import PostgresqlWriter
from lustre_events.jobs.messages import DocumentPortion
from tests.support.index.written import found, jobs_for
from tests.support.model.dispatcher import Backlog, csv_rig
from tests.support.need import need
from tests.support.servers.postgresql import start_postgresql
from tests.support.waiting import wait_for

ROLES = Path(__file__).parents[2] / "deploy" / "postgresql" / "roles.sql"
DATABASE = "lustre_events"
MOST_SESSIONS = 30


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQLServer]:
    """A server whose superuser is another than the dispatcher's role, as a site has it."""
    with start_postgresql("fsync=off", f"max_connections={MOST_SESSIONS}") as started:
        with psycopg.connect(started.url(), autocommit=True) as connection:
            connection.execute("CREATE ROLE helper SUPERUSER LOGIN")
        with psycopg.connect(started.url().replace("lustre_events@", "helper@"), autocommit=True) as connection:
            connection.execute("ALTER ROLE lustre_events RENAME TO postgres")
            connection.execute("CREATE ROLE stranger LOGIN")
        for _ in range(2):  # run again, it changes nothing
            make_roles(started, DATABASE)
        PostgresqlWriter(url_of(started, "lustre_events")).close()
        with connect(started, "postgres") as connection:  # as where PostgreSQL 14 made the database
            connection.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
        make_roles(started, DATABASE)  # again, now that there are tables
        yield started


def make_roles(server: PostgreSQLServer, database: str) -> None:
    command = [need("psql"), "-v", "ON_ERROR_STOP=1", "-v", f"dbname={database}", "-f", str(ROLES)]
    subprocess.run([*command, url_of(server, "postgres", "postgres")], check=True, capture_output=True, timeout=60)


def url_of(server: PostgreSQLServer, role: str, database: str = DATABASE) -> str:
    return server.url(database).replace("lustre_events@", f"{role}@")


def connect(server: PostgreSQLServer, role: str, database: str = DATABASE) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(url_of(server, role, database), autocommit=True)


FILES_AND_PROGRAMS = (
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "COPY (SELECT 1) TO '/tmp/le'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT lo_import('/etc/passwd')",
    "ALTER SYSTEM SET fsync = off",
    "CREATE EXTENSION file_fdw",
    "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'x.so', 'f'",
    "SELECT rolpassword FROM pg_authid",
    "SELECT * FROM pg_shadow",
    "SELECT query_to_xml('SELECT * FROM pg_authid', true, true, '')",
    "SELECT pg_stat_file('/etc/passwd')",
    "SELECT current_setting('hba_file')",
    "SELECT pg_switch_wal()",
    "CHECKPOINT",
    "SET SESSION AUTHORIZATION postgres",
    "CREATE ROLE mine",
    "CREATE ROLE mine SUPERUSER",
    "CREATE DATABASE mine",
    "SET ROLE postgres",
)
OF_THE_SEARCH_ROLE = (
    *FILES_AND_PROGRAMS,
    "SET ROLE lustre_events",
    "DELETE FROM object",
    "UPDATE object SET uid = 0",
    "TRUNCATE object",
    "DROP TABLE object",
    "CREATE TABLE mine (x int)",
    "CREATE TEMP TABLE mine (x int)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "SELECT lo_create(0)",
    "SELECT lo_creat(-1)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT setval(pg_get_serial_sequence('object', 'id'), 1)",
    "SELECT * FROM writer FOR UPDATE",
    "BEGIN; LOCK TABLE writer IN ROW EXCLUSIVE MODE",
    "BEGIN; LOCK TABLE meta IN SHARE MODE",
    "SET temp_file_limit = -1",
    "SELECT pg_logical_emit_message(false, 'x', repeat('y', 100))",
    "SELECT pg_logical_emit_message(true, 'x', 'y'::bytea)",
    "COMMENT ON TABLE object IS 'mine'",
    "CREATE RULE mine AS ON SELECT TO object DO INSTEAD SELECT 1",
    "CREATE VIEW mine AS SELECT 1",
    "SELECT 1 AS x INTO mine",
    "GRANT lustre_events_search TO stranger",
    "ALTER ROLE lustre_events_search SET session_preload_libraries = 'mine'",
    "SELECT nextval(pg_get_serial_sequence('object', 'id'))",
    "ALTER ROLE lustre_events_search CONNECTION LIMIT -1",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'lustre_events'",
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename = 'lustre_events'",
)


LOCKS = (
    "SELECT pg_advisory_lock(1282763636)",  # that of an earlier version
    # All sessions of a server share one table of locks: who fills it keeps out whoever needs many.
    "SELECT pg_advisory_lock(n) FROM generate_series(1, 20000) AS n",
    "SELECT pg_advisory_lock_shared(1, n) FROM generate_series(1, 20000) AS n",
    "SELECT pg_try_advisory_lock(2, n) FROM generate_series(1, 20000) AS n",
)


@pytest.mark.parametrize(
    ("role", "statements"), [("lustre_events_search", OF_THE_SEARCH_ROLE), ("lustre_events", FILES_AND_PROGRAMS)]
)
def test_no_role_does_what_it_must_not(server: PostgreSQLServer, role: str, statements: tuple[str, ...]) -> None:
    """The search role reads and changes nothing, the dispatcher's has its database and no more of the server."""
    done = []
    with connect(server, "lustre_events"):
        for statement in statements:
            with connect(server, role) as connection:
                connection.execute("SET default_transaction_read_only = off")
                try:
                    connection.execute(statement)
                    done.append(statement)
                except psycopg.errors.InsufficientPrivilege:
                    pass
                except psycopg.Error as exc:  # it was about to
                    done.append(f"{statement}: {exc}")
    assert done == []


OF_AN_INDEXER = (
    *FILES_AND_PROGRAMS,
    "SET ROLE lustre_events",
    "UPDATE object SET uid = 0",
    "DELETE FROM object",
    "DELETE FROM pending",
    "UPDATE pending SET job = NULL",
    "DELETE FROM document",
    "DELETE FROM key",
    "UPDATE outcome SET dropped = 1",
    "DELETE FROM outcome",
    "BEGIN; LOCK TABLE outcome IN ACCESS EXCLUSIVE MODE",
    "BEGIN; LOCK TABLE object IN SHARE MODE",
    "INSERT INTO meta VALUES ('x', 'y')",
    "SELECT * FROM link",
    "SELECT * FROM run",
    "SELECT * FROM writer",
    "UPDATE extractor SET serial = 9",
    "CREATE TABLE mine (x int)",
)


def test_an_indexer_writes_documents_and_nothing_else(server: PostgreSQLServer) -> None:
    """Once roles.sql has seen the tables an indexer's role suffices to write documents, and for nothing beside."""
    make_roles(server, "indexed")
    rig = csv_rig(url_of(server, "lustre_events", "indexed"), backlog=Backlog())
    make_roles(server, "indexed")
    [job] = jobs_for(rig)
    writer = PostgresqlDocumentWriter(url_of(server, "lustre_events_indexer", "indexed"))
    for name in ("p", "p", "q"):  # new, done, and written over
        writer.write([DocumentPortion(name, found(job))])
    writer.close()
    rig.settle()
    assert not rig.pending()
    assert rig.select("SELECT count(*) FROM document") == [1]
    rig.close()
    done = []
    for statement in OF_AN_INDEXER:
        with connect(server, "lustre_events_indexer", "indexed") as connection:
            try:
                connection.execute(statement)
                done.append(statement)
            except psycopg.errors.InsufficientPrivilege:
                pass
    assert done == []


def test_the_dispatcher_ends_sessions_of_indexers(server: PostgreSQLServer) -> None:
    """It sees for what they wait, and may end one that keeps locks."""
    with connect(server, "lustre_events_indexer") as indexer, connect(server, "lustre_events") as connection:
        told = connection.execute(
            "SELECT wait_event, pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s",
            (indexer.info.backend_pid,),
        ).fetchone()
        assert told == ("ClientRead", True)


def test_what_bounds_the_search_role_it_cannot_lift(server: PostgreSQLServer) -> None:
    """A role may forget its own settings; the bound on what it writes to the disk while it sorts stays."""
    with connect(server, "lustre_events_search") as connection:
        names = ("default_transaction_read_only", "statement_timeout")
        assert [next(connection.execute(f"SHOW {name}"))[0] for name in names] == ["on", "1min"]
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("ALTER ROLE lustre_events_search RESET ALL")
    with connect(server, "lustre_events_search") as connection:
        assert connection.execute("SELECT current_setting('temp_file_limit')").fetchone() == ("2GB",)
        assert connection.execute("SELECT count(*) FROM object").fetchone() == (0,)


def test_the_search_role_reads_no_words_of_others(server: PostgreSQLServer) -> None:
    """What the dispatcher asks of the database, and its parameters, are not shown to who only searches."""
    with connect(server, "lustre_events") as own, connect(server, "lustre_events_search") as connection:
        own.execute("SELECT 'a secret of the dispatcher'")
        asked = connection.execute("SELECT query FROM pg_stat_activity WHERE usename = 'lustre_events'").fetchall()
        assert {query for (query,) in asked} == {"<insufficient privilege>"}


def test_a_stranger_does_not_come_in(server: PostgreSQLServer) -> None:
    """Another login of the same server cannot connect to the index's database."""
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        connect(server, "stranger")


def test_who_only_reads_keeps_no_writer_out(server: PostgreSQLServer) -> None:
    """With all sessions and locks that the search role can have a dispatcher still makes and opens its index."""
    make_roles(server, "fresh")
    with contextlib.ExitStack() as held:
        for locks in LOCKS:
            connection = held.enter_context(connect(server, "lustre_events_search", "fresh"))
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.OutOfMemory):
                connection.execute(locks)
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):  # noqa: PT012
            while True:
                held.enter_context(connect(server, "lustre_events_search"))
        with pytest.raises(IndexUnavailable, match="raise its CONNECTION LIMIT"):
            open_search(url_of(server, "lustre_events_search")).count("*")
        writer = PostgresqlWriter(url_of(server, "lustre_events", "fresh"))
        writer.take_over()
        assert writer.counters() == {}
        writer.close()


def test_no_role_comes_into_another_database(server: PostgreSQLServer) -> None:
    """With the lines that deploy/README.md puts into pg_hba.conf the roles reach the index's database alone."""
    lines = re.findall(r"'((?:local|host) [^']+)'", (ROLES.parents[1] / "README.md").read_text())
    rules = server.directory / "data" / "pg_hba.conf"
    before = rules.read_text()
    for role in ("lustre_events", "lustre_events_search", "lustre_events_indexer"):
        connect(server, role, "template1").close()  # so it is without them
    rules.write_text("\n".join([*lines, before]).replace("scram-sha-256", "trust"))
    with connect(server, "postgres", "postgres") as connection:
        connection.execute("SELECT pg_reload_conf()")
        for role in ("lustre_events", "lustre_events_search", "lustre_events_indexer"):
            wait_for(partial(is_refused, server, role, "template1"))
            assert not is_refused(server, role, DATABASE)
        rules.write_text(before)
        connection.execute("SELECT pg_reload_conf()")
        wait_for(lambda: not is_refused(server, "lustre_events", "template1"))


def is_refused(server: PostgreSQLServer, role: str, database: str) -> bool:
    try:
        connect(server, role, database).close()
    except psycopg.OperationalError as exc:
        return "pg_hba.conf rejects" in str(exc)
    return False


def test_two_programs_make_one_index(server: PostgreSQLServer) -> None:
    """Whoever comes second waits, and finds the tables made."""
    make_roles(server, "twice")
    url = url_of(server, "lustre_events", "twice")
    with ThreadPoolExecutor(4) as pool:
        writers = [*pool.map(lambda _: PostgresqlWriter(url), range(4))]
    assert [writer.counters() for writer in writers] == [{}] * 4
    for writer in writers:
        writer.close()
