"""Readers of a SQLite index: they and its writer do not wait for each other, and none of them waits for ever."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lustre_events.changelog.fid import ROOT_FID
from lustre_events.domain.namespace import Link, OrderKey
from lustre_events.errors import IndexUnavailable
from lustre_events.index.interface import ObjectRow
from lustre_events.index.search.search import Search
from lustre_events.index.sqlite.search import SqliteBackend
from lustre_events.index.sqlite.writer import SqliteWriter
from tests.support.records.builders import fid_of

PAGE_BYTES = 4096


def links(first: int, count: int) -> list[Link]:
    return [
        Link(ROOT_FID, b"f%d" % number, fid_of(number), OrderKey(number, 0, 1, number).pack())
        for number in range(first, first + count)
    ]


@contextmanager
def impatient(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a reader that fails where it would have to wait."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM link").fetchone()[0])


@pytest.mark.long
def test_a_reader_never_waits_for_a_step_of_the_dispatcher(tmp_path: Path) -> None:
    """In the middle of a long transaction, and while it is committed, readers see what was committed before."""
    path = tmp_path / "index.db"
    writer = SqliteWriter(path)
    writer.take_over()
    seen: list[int] = []
    stop = threading.Event()

    def read() -> None:
        with impatient(path) as connection:
            while not stop.is_set():
                seen.append(count(connection))

    reading = threading.Thread(target=read)
    reading.start()
    for turn in range(20):
        with writer.transaction() as transaction, impatient(path) as connection:
            transaction.set_links(links(1 + turn * 500, 500))
            assert count(connection) == turn * 500
    stop.set()
    reading.join(20)
    writer.close()

    assert seen == sorted(seen)
    assert set(seen) <= {turn * 500 for turn in range(21)}


@pytest.mark.long
def test_the_log_of_the_index_is_bounded(tmp_path: Path) -> None:
    """A checkpoint after about a thousand pages keeps the log, and what one commit can cost, small."""
    path = tmp_path / "index.db"
    writer = SqliteWriter(path)
    writer.take_over()
    largest = 0
    for turn in range(40):
        with writer.transaction() as transaction:
            transaction.set_links(links(1 + turn * 1_000, 1_000))
        largest = max(largest, Path(f"{path}-wal").stat().st_size)
    writer.close()

    assert largest < 2_500 * PAGE_BYTES


@pytest.mark.long
def test_a_search_that_takes_too_long_ends_with_a_sentence(tmp_path: Path) -> None:
    """What is asked for next has its whole time again, and a search that is quick is never late."""
    path = tmp_path / "index.db"
    writer = SqliteWriter(path)
    writer.take_over()
    with writer.transaction() as transaction:
        transaction.set_links(links(0, 20_000))
        transaction.put_objects(ObjectRow(fid=fid_of(number), generation=1) for number in range(20_000))
    writer.close()
    with Search(SqliteBackend(path, seconds=0.0)) as search:
        for _ in range(2):
            with pytest.raises(IndexUnavailable, match="took too long; ask for less"):
                search.count("name:*x*")
            assert len(search.page("name:f7").hits) == 1
    with Search(SqliteBackend(path)) as search:
        assert search.count("name:*f*") == 20_000
