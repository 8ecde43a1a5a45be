"""An index in memory for tests, and rows for it: say what matters."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.index.names import kept
from lustre_events.index.planner.planner import FEW
from lustre_events.index.search.search import Search
from lustre_events.index.sqlite import names
from lustre_events.index.sqlite.database import add_functions
from lustre_events.index.sqlite.documents import put_document
from lustre_events.index.sqlite.search import SqliteReading
from lustre_events.index.visibility import Viewer
from tests.support.records.builders import Object, fid_of

STAMP = bytes(26)


def schema() -> str:
    """Return the present schema."""
    folder = resources.files("lustre_events.index.sqlite") / "schema"
    return "".join(entry.read_text() for entry in sorted(folder.iterdir(), key=lambda entry: entry.name))


def make_index(database: str = ":memory:") -> sqlite3.Connection:
    """Return an empty index, a copy of one that is made once; the caller closes it."""
    connection = sqlite3.connect(database, isolation_level=None)
    _empty_index().backup(connection)
    add_functions(connection)
    names.watch(connection)
    return connection


@cache
def _empty_index() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    add_functions(connection)
    connection.executescript(schema())
    return connection


@dataclass(frozen=True)
class MemoryBackend:
    """An index of a test, opened for reading; see `SqliteReading` for `few`."""

    connection: sqlite3.Connection
    few: int = FEW

    @contextmanager
    def reading(self, viewer: Viewer | None, seconds: float | None = None) -> Iterator[SqliteReading]:
        """Give the index, as `viewer` may see it."""
        names.follow(self.connection)
        # Full text that is not flushed yet is a statement under way, and keeps a function from being made anew.
        self.connection.execute("SAVEPOINT look")
        self.connection.execute("RELEASE look")
        yield SqliteReading(self.connection, viewer, self.few)

    def close(self) -> None:
        """Close the index."""
        self.connection.close()


def searching(connection: sqlite3.Connection, few: int = FEW) -> Search:
    """Return the search over an index of a test."""
    return Search(MemoryBackend(connection, few))


def node(number: Object) -> FID:
    """Return the FID of a small number; 0 is the root directory."""
    return fid_of(number) if number else ROOT_FID


def add_link(connection: sqlite3.Connection, parent: Object, name: bytes, fid: Object | None) -> None:
    """Say what (parent, name) means; None is a tombstone."""
    connection.execute(
        "INSERT INTO link (parent, name, fid, stamp, folded) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (parent, name) DO UPDATE SET fid = excluded.fid",
        (node(parent).pack(), name, None if fid is None else node(fid).pack(), STAMP, kept(name)),
    )


def add_object(connection: sqlite3.Connection, fid: Object, **facts: Any) -> int:
    """Add an object and return its id."""
    columns = {"fid": node(fid).pack(), **facts}
    made = connection.execute(
        f"INSERT INTO object ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",  # noqa: S608
        [*columns.values()],
    )
    return int(made.lastrowid or 0)


def add_file(
    connection: sqlite3.Connection, fid: int, path: bytes, documents: dict[str, dict[str, Any]] | None = None,
    **facts: Any,
) -> int:  # fmt: skip
    """Add a file in a directory of the root (made where needed, numbered from 1000), with its documents."""
    parent: Object = 0
    *directories, name = path.split(b"/")
    for directory in directories:
        packed = connection.execute(
            "SELECT fid FROM link WHERE parent = ? AND name = ?", (node(parent).pack(), directory)
        ).fetchone()
        if packed is None:
            number = 1000 + connection.execute("SELECT count(*) FROM link").fetchone()[0]
            add_link(connection, parent, directory, number)
            add_object(connection, number, type="d")
            parent = number
        else:
            parent = FID.unpack(packed[0])
    add_link(connection, parent, name, fid)
    object_id = add_object(connection, fid, **{"type": "f", **facts})
    for extractor, body in (documents or {}).items():
        put_document(connection, object_id, extractor, 1, 1, body, {})
    return object_id


def search_rows(connection: sqlite3.Connection) -> dict[str, set[tuple[Any, ...]]]:
    """Return all search rows, with keys by name, and what full-text search holds: (token, document, position)."""
    rows: dict[str, set[tuple[Any, ...]]] = {
        table: set(connection.execute(
            f"SELECT extractor, name, value, object FROM {table} JOIN key ON key.id = {table}.key"  # noqa: S608
        ))
        for table in ("number", "word", "part")
    }  # fmt: skip
    connection.execute("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab (main, fulltext, instance)")
    rows["fulltext"] = set(connection.execute("SELECT term, doc, offset FROM temp.vocabulary"))
    connection.execute("DROP TABLE temp.vocabulary")
    return rows
