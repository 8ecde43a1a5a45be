"""An index that any earlier version of this program made keeps its data when today's program opens it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lustre_events.changelog.fid import ROOT_FID
from lustre_events.index.interface import Cursor, Lane
from lustre_events.index.opening import open_search
from lustre_events.index.sqlite.database import APPLICATION_ID
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


def schemas(database: str) -> list[str]:
    folder = resources.files(f"lustre_events.index.{database}") / "schema"
    return [entry.read_text() for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)]


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
            )
        ]
        view = search.show(fid_of(1))

    assert (row.id, row.generation, row.content, row.type, row.uid, row.jobid) == (7, 3, 2, "f", 1000, b"cp.1000")
    assert [(each.fid, each.generation) for each in due] == [(fid_of(1), 3)]
    assert documents == {(fid_of(1), "tabular"): 2}
    assert cursors == {("fs-MDT0000", 1): Cursor("fs-MDT0000", 1, 42, 7)}
    assert counters == {"records": 9}
    assert [[hit.fid for hit in hits] for hits in found] == [[fid_of(1)]] * 7
    assert view.paths == (b"a\xff",)
    assert [(each.serial, each.body, each.provenance) for each in view.documents] == [
        (4, {"title": "silicon carbide", "rows": 3}, {"host": "n1"})
    ]
    assert [each.failure for each in view.failures] == [{"error": "bad"}]


@pytest.fixture
def place(request: pytest.FixtureRequest) -> IndexPlace:
    return place_of(request)


def test_an_old_index_judges_access_lists_anew(postgresql_schema_url: str) -> None:
    """A list that the kernel would not take granted something in version 2; in the upgraded index it denies."""
    ask = "SELECT permits(1, ARRAY[0::bigint], 0, 5, 55, %s, 0)"
    old_postgresql(postgresql_schema_url, 2)
    with psycopg.connect(postgresql_schema_url, autocommit=True) as connection:
        before = connection.execute(ask, (TWO_OF_ONE_KIND,)).fetchone()
        open_writer(postgresql_schema_url).close()
        after = connection.execute(ask, (TWO_OF_ONE_KIND,)).fetchone()
    assert (before, after) == ((True,), (False,))
