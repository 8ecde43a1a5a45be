"""Searches on a real streaming standby: they ask it while it is close behind, and the index itself otherwise."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Self

import psycopg
import pytest

from bench.postgresql_server import PostgreSQLServer
from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.domain.namespace import Link
from lustre_events.errors import ConfigError, IndexUnavailable
from lustre_events.index.interface import ObjectRow
from lustre_events.index.opening import open_searched, open_writer, search_lag
from lustre_events.node.doctor import service
from tests.support.servers.postgresql import start_postgresql
from tests.support.waiting import wait_for

MOST_SECONDS = 30.0


@pytest.fixture(scope="module")
def index() -> Iterator[PostgreSQLServer]:
    """The server to which the dispatcher writes."""
    with start_postgresql("fsync=off", "max_wal_senders=4") as server, closing(open_writer(server.url())):
        yield server


@pytest.fixture
def standby(index: PostgreSQLServer) -> Iterator[PostgreSQLServer]:
    """A server that follows it."""
    with PostgreSQLServer("fsync=off", follow=index).start() as server:
        yield server


def write(server: PostgreSQLServer, number: int) -> None:
    """Write one object more, as the dispatcher does."""
    with closing(open_writer(server.url())) as writer:
        writer.take_over()
        with writer.transaction() as transaction:
            fid = FID(0x200000401, number)
            transaction.put_objects([ObjectRow(fid=fid, generation=1, type="f", size=number)])
            transaction.set_links([Link(ROOT_FID, b"f%d" % number, fid, b"1")])


def execute(server: PostgreSQLServer, statement: str) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(statement)


def replayed(index: PostgreSQLServer, standby: PostgreSQLServer) -> bool:
    """Whether the standby has all that the index has."""
    with (
        psycopg.connect(index.url(), autocommit=True) as one,
        psycopg.connect(standby.url(), autocommit=True) as two,
    ):
        (written,) = one.execute("SELECT pg_current_wal_lsn()").fetchone() or ("",)
        return two.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (written,)).fetchone() == (True,)


def test_searches_ask_a_standby_that_follows_and_the_index_once_it_is_far_behind(
    index: PostgreSQLServer, standby: PostgreSQLServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A paused standby is old: beyond the bound the index answers, so nothing old is taken for the present."""
    write(index, 1)
    wait_for(lambda: replayed(index, standby))
    assert search_lag(standby.url()) == 0
    with closing(open_searched(index.url(), standby.url(), MOST_SECONDS)) as near:
        assert near.count("name:f1") == 1

    execute(standby, "SELECT pg_wal_replay_pause()")
    write(index, 2)
    wait_for(lambda: (search_lag(standby.url()) or 0) > 0)
    with closing(open_searched(index.url(), standby.url(), MOST_SECONDS)) as near:
        assert near.count("name:f2") == 0  # within the bound: at most that old
    with closing(open_searched(index.url(), standby.url(), 0.0)) as strict, caplog.at_level(logging.WARNING):
        assert strict.count("name:f2") == 1
    assert "s behind, more than the 0 s allowed" in caplog.text


def test_a_promoted_standby_is_not_asked_while_the_dispatcher_writes_elsewhere(
    index: PostgreSQLServer, standby: PostgreSQLServer
) -> None:
    """Promoted while the dispatcher writes on, it stays as it was: `url` knows where the dispatcher writes."""
    write(index, 3)
    wait_for(lambda: replayed(index, standby))
    with closing(open_searched(index.url(), standby.url(), MOST_SECONDS)) as search:
        assert search.count("name:f3") == 1
        execute(standby, "SELECT pg_promote()")
        write(index, 4)
        assert search.count("name:f4") == 1
        assert search_lag(standby.url()) is None
        (finding,) = service.standby(standby.url(), MOST_SECONDS, search_lag)
        assert "no standby" in finding.text

    # The dispatcher follows to the promoted server by a URL with both hosts; searches go with it.
    both = standby.url().replace("host=", f"host={index.url().partition('host=')[2]},")
    both += "&target_session_attrs=read-write"
    write(standby, 5)
    index_away = both.replace(index.url().partition("host=")[2], "%2Fnowhere")
    with closing(open_searched(index_away, standby.url(), MOST_SECONDS)) as search:
        assert search.count("name:f5") == 1


class Writing:
    """Writes one file after the other in a thread, and tries again as the dispatcher does."""

    def __init__(self, url: str) -> None:
        self.written: list[int] = []
        self._url = url
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(60)

    def wrote(self, more: int) -> None:
        """Wait until this many more files are committed."""
        before = len(self.written)
        wait_for(lambda: len(self.written) >= before + more)

    def _run(self) -> None:
        with closing(open_writer(self._url)) as writer:
            writer.take_over()
            for number in itertools.takewhile(lambda _: not self._ended.is_set(), itertools.count(1)):
                try:
                    with writer.transaction() as transaction:
                        fid = FID(0x200000401, number)
                        transaction.put_objects([ObjectRow(fid=fid, generation=1, type="f", size=number)])
                        transaction.set_links([Link(ROOT_FID, b"f%d" % number, fid, b"1")])
                except IndexUnavailable:
                    self._ended.wait(0.1)
                else:
                    self.written.append(number)


def test_the_dispatcher_goes_on_at_the_standby_that_is_promoted_while_it_writes() -> None:
    """With both hosts in its URL it loses its server, tries again, and all that it wrote is at the other one."""
    with start_postgresql("fsync=off", "max_wal_senders=4") as first:
        open_writer(first.url()).close()
        with PostgreSQLServer("fsync=off", follow=first).start() as second:
            execute(first, "ALTER SYSTEM SET synchronous_standby_names = '*'")  # what is committed is there, too
            execute(first, "SELECT pg_reload_conf()")
            hosts = ",".join(each.url().partition("host=")[2] for each in (first, second))
            both = f"{first.url().partition('host=')[0]}host={hosts}&target_session_attrs=read-write"
            with Writing(both) as writing:
                writing.wrote(20)
                first.kill()
                execute(second, "SELECT pg_promote()")
                writing.wrote(20)
            with closing(open_searched(both, second.url(), MOST_SECONDS)) as search:
                # One more may be there: its commit came, and the answer did not.
                assert len(writing.written) <= search.count("type:f") <= len(writing.written) + 1


def test_with_neither_there_the_sentence_names_both(index: PostgreSQLServer, standby: PostgreSQLServer) -> None:
    """A standby that is gone costs nothing while the index answers; with both gone, one sentence says so."""
    with closing(open_searched(index.url(), standby.url(), MOST_SECONDS)) as search:
        standby.kill()
        assert search.count("*") >= 0
    (finding,) = service.standby(standby.url(), MOST_SECONDS, search_lag)
    assert "does not answer" in finding.text
    with pytest.raises(IndexUnavailable):
        open_searched("postgresql://nobody@/x?host=/nowhere", standby.url(), MOST_SECONDS)
    with pytest.raises(ConfigError, match="search_url is for an index in PostgreSQL"):
        open_searched("sqlite:////nowhere/index.db", standby.url(), MOST_SECONDS)
