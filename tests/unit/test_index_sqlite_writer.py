"""The index in SQLite as its writer sees it: what is SQLite's own. The rest is in tests/contract."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from lustre_events.changelog.fid import ROOT_FID
from lustre_events.domain.namespace import Link
from lustre_events.errors import IndexTooNew, IndexUnavailable
from lustre_events.index.backend import Order
from lustre_events.index.interface import ObjectRow
from lustre_events.index.query.tree import All
from lustre_events.index.sqlite.run_table import OPEN_RUNS
from lustre_events.index.sqlite.search import SqliteReading
from lustre_events.index.sqlite.writer import CHECKPOINT_ROWS, SqliteWriter
from tests.support.records.builders import fid_of


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[SqliteWriter]:
    made = SqliteWriter(tmp_path / "index.db")
    made.take_over()
    yield made
    made.close()


def test_commits_are_durable_and_readers_do_not_wait(writer: SqliteWriter) -> None:
    """A clear of the changelog may depend on a commit: WAL with synchronous FULL, and foreign keys are held."""
    settings = [
        writer._connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys")
    ]
    assert settings == ["wal", 2, 1]


@pytest.mark.long
def test_what_is_written_moves_into_the_file(writer: SqliteWriter, tmp_path: Path) -> None:
    """The writer checkpoints by itself, behind a commit: the WAL does not grow to SQLite's own bound."""
    path, size = tmp_path / "index.db", 0
    for number in range(3):
        with writer.transaction() as transaction:
            transaction.set_links(
                Link(ROOT_FID, b"%d-%d" % (number, each), ROOT_FID, b"%026d" % each)
                for each in range(CHECKPOINT_ROWS)
            )
        assert path.stat().st_size > size + CHECKPOINT_ROWS * 20
        size = path.stat().st_size


@pytest.mark.long
def test_the_wal_shrinks_when_a_long_reader_has_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody reads, the WAL grows; with the next small writes afterwards it has its usual size again."""
    monkeypatch.setattr("lustre_events.index.sqlite.database.WAL_PAGES", 100)
    monkeypatch.setattr("lustre_events.index.sqlite.database.WAL_BYTES", 400_000)
    wal = tmp_path / "index.db-wal"
    writer = SqliteWriter(tmp_path / "index.db")
    writer.take_over()
    with contextlib.closing(sqlite3.connect(tmp_path / "index.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM link").fetchone()
        for number in range(20_000 // 500):
            with writer.transaction() as transaction:
                transaction.set_links(
                    Link(ROOT_FID, b"%0100d" % (500 * number + each), ROOT_FID, b"%026d" % each)
                    for each in range(500)
                )
        assert wal.stat().st_size > 4_000_000

    for number in range(3):
        with writer.transaction() as transaction:
            transaction.set_links([Link(ROOT_FID, b"later%d" % number, ROOT_FID, b"%026d" % number)])
    assert wal.stat().st_size <= 400_000
    writer.close()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """The message says which folder is missing."""
    with pytest.raises(IndexUnavailable, match=r"there is no folder .*nowhere"):
        SqliteWriter(tmp_path / "nowhere" / "index.db")


def test_another_file_is_not_touched(tmp_path: Path) -> None:
    """A file that is no database is refused, and left as it was."""
    path = tmp_path / "index.db"
    path.write_bytes(b"precious " * 1000)
    with pytest.raises(IndexUnavailable, match="not a SQLite database"):
        SqliteWriter(path)
    assert path.read_bytes() == b"precious " * 1000


def test_another_programs_database_is_not_touched(tmp_path: Path) -> None:
    """A database with tables that are not ours is refused."""
    path = tmp_path / "index.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE precious (a)")
    connection.close()
    with pytest.raises(IndexUnavailable, match="another program's database"):
        SqliteWriter(path)


def test_a_later_version_is_refused(writer: SqliteWriter, tmp_path: Path) -> None:
    """An index of a later version is not written to."""
    writer._connection.execute("PRAGMA user_version = 99")
    with pytest.raises(IndexTooNew, match="version 99"):
        SqliteWriter(tmp_path / "index.db")


def test_a_folder_in_the_files_place_is_named(tmp_path: Path) -> None:
    """A path that cannot be opened gives one sentence with what to check."""
    (tmp_path / "index.db").mkdir()
    with pytest.raises(IndexUnavailable, match="check that the file and its folder"):
        SqliteWriter(tmp_path / "index.db")


def test_open_runs_of_few_objects_are_looked_up_by_object(writer: SqliteWriter) -> None:
    """However many runs are open, those of a few objects are found without reading the others."""
    plans = [
        str(row)
        for count in (1, 500)
        for row in writer._connection.execute(
            f"EXPLAIN QUERY PLAN {OPEN_RUNS.format(','.join('?' * count))}", [b"x"] * count
        )
    ]
    assert [plan for plan in plans if "run_object" in plan and "fid=?" in plan] == plans


@pytest.mark.parametrize("column", ["size", "mtime_ns"])
def test_a_page_of_objects_that_nobody_has_seen_reads_their_index(writer: SqliteWriter, column: str) -> None:
    """A page in the order of a fact takes those that have it from its index, the others from one of their own."""
    with writer.transaction() as transaction:
        transaction.set_links([Link(ROOT_FID, b"new", fid_of(1), b"%026d" % 1)])
        transaction.put_objects([ObjectRow(fid=fid_of(1), generation=1)])
    asked: list[str] = []
    writer._connection.set_trace_callback(asked.append)
    rows = SqliteReading(writer._connection, few=0).find(All(), Order(column), None, 1)
    writer._connection.set_trace_callback(None)
    plans = [
        str(writer._connection.execute(f"EXPLAIN QUERY PLAN {each}").fetchall())
        for each in asked
        if "FROM object o" in each
    ]

    assert [row.fid for row in rows] == [fid_of(1)]
    for plan, index in zip(
        plans, [f"object_{column.removesuffix('_ns')}"] * 2 + ["object_unseen"] * 2, strict=True
    ):
        assert f"INDEX {index}" in plan


def test_a_transaction_with_an_object_that_cannot_be_stored_leaves_nothing(writer: SqliteWriter) -> None:
    """Rows before the one that fails, in the same statement, are undone with the transaction."""
    with pytest.raises(IndexUnavailable, match="UNIQUE"), writer.transaction() as transaction:  # noqa: PT012
        transaction.set_links([Link(ROOT_FID, b"new", fid_of(1), b"%026d" % 1)])
        transaction.put_objects([ObjectRow(fid=fid_of(number), generation=1) for number in (1, 2, 2)])
    with writer.transaction() as transaction:
        assert transaction.objects([fid_of(1), fid_of(2)]) == {}
        assert transaction.linked([fid_of(1)]) == set()
