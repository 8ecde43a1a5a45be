"""An index that any earlier version of this program made keeps its data when today's program opens it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.domain.pending import PendingRow
from lustre_events.index.interface import Cursor, Lane
from lustre_events.index.opening import open_search
from lustre_events.index.sqlite.database import APPLICATION_ID
from tests.support.index.old import AT_VERSION, schemas
from tests.support.index.places import IndexPlace, open_writer, place_of
from tests.support.records.builders import fid_of
from tests.support.records.strategies import TWO_OF_ONE_KIND

F1 = fid_of(1).pack()
BODY = '{"title":"silicon carbide","rows":3}'

ROWS: list[tuple[str, tuple[Any, ...]]] = [
    ("INSERT INTO cursor (mdt, epoch, position, eff_time) VALUES ('fs-MDT0000', 1, 42, 7)", ()),
    ("INSERT INTO link (parent, name, fid, stamp) VALUES (?, ?, ?, ?)", (ROOT_FID.pack(), b"a\xff", F1, b"1")),
    ("INSERT INTO link (parent, name, fid, stamp) VALUES (?, ?, NULL, ?)", (ROOT_FID.pack(), b"gone", b"2")),
    (("INSERT INTO object (id, fid, generation, content, type, size, mtime_ns, uid, jobid, facts_generation)"
     " VALUES (7, ?, 3, 2, 'f', 10, 5, 1000, ?, 3)"), (F1, b"cp.1000")),
    (("INSERT INTO pending (fid, extractor, generation, due_ns, first_ns, reason, queue)"
     " VALUES (?, 'tabular', 3, 1, 1, 'write', 'default')"), (F1,)),
    ("INSERT INTO extractor (name, version, digest, serial) VALUES ('tabular', '1', 'd', 4)", ()),
    (("INSERT INTO document (id, object, extractor, generation, serial, body, provenance, failure,"
     " failure_generation, failure_serial) VALUES (1, 7, 'tabular', 2, 4, ?, ?, ?, 3, 4)"),
     (BODY, '{"host":"n1"}', '{"error":"bad"}')),
    ("INSERT INTO key (id, extractor, name) VALUES (1, 'tabular', 'rows'), (2, 'tabular', 'title')", ()),
    ("INSERT INTO number (key, value, object) VALUES (1, 3.0, 7)", ()),
    ("INSERT INTO word (key, value, object) VALUES (2, 'silicon carbide', 7)", ()),
    ("INSERT INTO part (key, value, object) VALUES (2, 'silicon', 7), (2, 'carbide', 7)", ()),
    ("INSERT INTO counter (name, value) VALUES ('records', 9)", ()),
]  # fmt: skip


def old_sqlite(path: Path, version: int) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("PRAGMA journal_mode = WAL;" + "".join(schemas("sqlite")[:version]))
    for statement, values in ROWS:
        connection.execute(statement, values)
    connection.execute("INSERT INTO fulltext (rowid, body) VALUES (1, 'silicon carbide')")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


def old_postgresql(url: str, version: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        connection.execute("INSERT INTO meta VALUES ('lustre-events schema', %s)", (str(version),))
        for schema in schemas("postgresql")[:version]:
            connection.execute(schema)
        for statement, values in ROWS:
            connection.execute(statement.replace("?", "%s"), values)
        connection.execute("INSERT INTO fulltext VALUES (7, 1, 1, '''silicon'':1 ''carbide'':2')")


MAKERS: dict[str, Callable[[Any, int], None]] = {"sqlite": old_sqlite, "postgresql": old_postgresql}


# SQLite's first version had the documents' rows otherwise, so its rows are put into that one only.
@pytest.mark.parametrize(
    ("place", "backend", "version"),
    [(backend, backend, version) for backend, version in (("sqlite", 1), ("postgresql", 1))],
    indirect=["place"],
)
def test_an_old_index_keeps_its_data(place: IndexPlace, backend: str, version: int) -> None:
    """Names, facts, documents, what is searched, pending work and positions are those that were stored."""
    MAKERS[backend](place, version)

    writer = open_writer(place)
    writer.take_over()
    with writer.transaction() as transaction:
        row = transaction.objects([fid_of(1)])[fid_of(1)]
        due = transaction.due(Lane("default", 0), ["tabular"], 10, 10)
        documents = transaction.documents([fid_of(1)])
    cursors, counters = writer.cursors(), writer.counters()
    writer.close()
    with open_search(place if isinstance(place, str) else f"sqlite:///{place}") as search:
        found = [
            search.search(query)
            for query in (
                "rows:3",
                "title:carbide",
                '"silicon carbide"',
                "path:/a*",
                "size:10",
                "jobid:cp*",
                "failed:tabular",
                "name:A*",
                "a",
            )
        ]
        view = search.show(fid_of(1))

    assert (row.id, row.generation, row.content, row.type, row.uid, row.jobid) == (7, 3, 2, "f", 1000, b"cp.1000")
    assert [(each.fid, each.generation) for each in due] == [(fid_of(1), 3)]
    assert documents == {(fid_of(1), "tabular"): 2}
    assert cursors == {("fs-MDT0000", 1): Cursor("fs-MDT0000", 1, 42, 7)}
    assert counters == {"records": 9}
    assert [[hit.fid for hit in hits] for hits in found] == [[fid_of(1)]] * 9
    assert view.paths == (b"a\xff",)
    assert [(each.serial, each.body, each.provenance) for each in view.documents] == [
        (4, {"title": "silicon carbide", "rows": 3}, {"host": "n1"})
    ]
    assert [each.failure for each in view.failures] == [{"error": "bad"}]


@pytest.fixture
def place(request: pytest.FixtureRequest) -> IndexPlace:
    return place_of(request)


# (FID, extractor, generation, due, first, attempts, reason, rule, job), as the program before version 5 wrote them.
OLD_WORK = [
    (1, "tabular", 3, 500, 400, 2, "retry", "tables", None),  # waits: first change
    (1, "hdf5", 3, 900, 400, 0, "write", "", "job-1"),  # leased: due at the end of the lease
    (1, "stat", 3, 700, 600, 0, "gone", "", None),  # gone since
    (2, "heal", 0, 950, 620, 0, "heal", "", "job-2"),  # handed out
    (3, "heal", 0, 650, 610, 0, "heal", "", None),  # not yet
    (4, "scan", 0, 960, 630, 0, "scan", "12/caf%C3%A9%FF%2F", "job-3"),  # of a scan, up to a name, handed out
    (5, "scan", 0, 660, 640, 0, "scan", "12", None),
    (6, "scan", 0, 670, 650, 0, "heal", "/b%25", None),  # of no scan
    (7, "scan", 0, 680, 660, 1, "retry", "", None),
]
NEW_WORK = [
    PendingRow(fid=fid_of(1), extractor="tabular", generation=3, due_ns=500, changed_ns=400, attempts=2,
               reason="retry", rule="tables", queue="q", priority=1),
    PendingRow(fid=fid_of(1), extractor="hdf5", generation=3, due_ns=900, changed_ns=400, reason="write",
               queue="q", priority=1, job="job-1"),
    PendingRow(fid=fid_of(1), extractor="stat", generation=3, due_ns=700, changed_ns=600, gone_ns=600,
               reason="gone", queue="q", priority=1),
    PendingRow(fid=fid_of(2), extractor="heal", generation=0, due_ns=950, changed_ns=620, handed_out_ns=620,
               reason="heal", queue="q", priority=1, job="job-2"),
    PendingRow(fid=fid_of(3), extractor="heal", generation=0, due_ns=650, changed_ns=610, reason="heal",
               queue="q", priority=1),
    PendingRow(fid=fid_of(4), extractor="scan", generation=0, due_ns=960, changed_ns=630, handed_out_ns=630,
               reason="scan", queue="q", priority=1, job="job-3", scan=12, after="café".encode() + b"\xff/"),
    PendingRow(fid=fid_of(5), extractor="scan", generation=0, due_ns=660, changed_ns=640, reason="scan",
               queue="q", priority=1, scan=12),
    PendingRow(fid=fid_of(6), extractor="scan", generation=0, due_ns=670, changed_ns=650, reason="heal",
               queue="q", priority=1, after=b"b%"),
    PendingRow(fid=fid_of(7), extractor="scan", generation=0, due_ns=680, changed_ns=660, attempts=1,
               reason="retry", queue="q", priority=1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("place", "backend", "version"),
    [
        ("sqlite", "sqlite", 3),
        ("sqlite", "sqlite", 4),
        ("postgresql", "postgresql", 2),
        ("postgresql", "postgresql", 4),
    ],
    indirect=["place"],
)
def test_pending_work_of_every_kind_goes_on_after_an_upgrade(place: IndexPlace, backend: str, version: int) -> None:
    """What waits, is leased, is asked of the file system, is gone, or is half listed, stays what it was."""
    execute = AT_VERSION[backend](place, version)
    for number, *rest in OLD_WORK:
        execute(
            "INSERT INTO pending (fid, extractor, generation, due_ns, first_ns, attempts, reason, rule, job, queue,"
            " priority) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'q', 1)", (fid_of(number).pack(), *rest),
        )  # fmt: skip
    execute("INSERT INTO scan (id, fid, began_ns, directories) VALUES (12, ?, 5, 4)", (ROOT_FID.pack(),))

    writer = open_writer(place)
    writer.take_over()
    with writer.transaction() as transaction:
        found = transaction.pending([(row.fid, row.extractor) for row in NEW_WORK])
        oldest = transaction.oldest_ask()
        scan = transaction.scan(12, 1)
    writer.close()

    assert sorted(found.values(), key=key) == sorted(NEW_WORK, key=key)
    assert oldest == 620
    assert scan is not None
    assert (scan.directories, scan.left) == (4, 2)


def key(row: PendingRow) -> tuple[FID, str]:
    return row.fid, row.extractor


def test_an_old_index_judges_access_lists_anew(postgresql_schema_url: str) -> None:
    """A list that the kernel would not take granted something in version 2; in the upgraded index it denies."""
    ask = "SELECT permits(1, ARRAY[0::bigint], 0, 5, 55, %s, 0)"
    old_postgresql(postgresql_schema_url, 2)
    with psycopg.connect(postgresql_schema_url, autocommit=True) as connection:
        before = connection.execute(ask, (TWO_OF_ONE_KIND,)).fetchone()
        open_writer(postgresql_schema_url).close()
        after = connection.execute(ask, (TWO_OF_ONE_KIND,)).fetchone()
    assert (before, after) == ((True,), (False,))


@pytest.mark.parametrize(
    ("place", "backend"), [("sqlite", "sqlite"), ("postgresql", "postgresql")], indirect=["place"]
)
def test_objects_are_found_by_facts_that_an_old_index_knows(place: IndexPlace, backend: str) -> None:
    """Those that `stat` had seen come in the order of a fact, the others behind them; owners find theirs."""
    execute = AT_VERSION[backend](place, 16)
    for number, size in ((1, 20), (2, None), (3, 10)):
        execute(
            "INSERT INTO object (fid, generation, type, size, mtime_ns, uid, gid) VALUES (?, 1, 'f', ?, ?, ?, ?)",
            (fid_of(number).pack(), size, size, size, size),
        )
        execute(
            "INSERT INTO link (parent, name, fid, stamp) VALUES (?, ?, ?, ?)",
            (ROOT_FID.pack(), b"%d" % number, fid_of(number).pack(), b"1"),
        )
    open_writer(place).close()
    with open_search(place if isinstance(place, str) else f"sqlite:///{place}") as search:
        orders = [[hit.fid.oid for hit in search.search("type:f", sort=sort)] for sort in ("size", "mtime")]
        owned = [[hit.fid.oid for hit in search.search(query)] for query in ("owner:20", "group:10", "size:>10")]

    assert orders == [[3, 1, 2]] * 2
    assert owned == [[1], [3], [1]]
