"""What an index holds, said in few words, on both databases: say what matters."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lustre_events.changelog.fid import FID
from lustre_events.domain.namespace import Link
from lustre_events.index.backend import Backend
from lustre_events.index.documents import FoundDocument
from lustre_events.index.planner.planner import FEW
from lustre_events.index.postgresql.keys import Keys
from lustre_events.index.postgresql.search import PostgresqlReading
from lustre_events.index.postgresql.writer import PostgresqlTransaction, PostgresqlWriter
from lustre_events.index.search.relevance import MOST
from lustre_events.index.search.search import Search
from lustre_events.index.sqlite import documents as sqlite_documents
from lustre_events.index.sqlite.keys import Keys as SqliteKeys
from lustre_events.index.sqlite.writer import SqliteTransaction
from lustre_events.index.values import TABLES
from lustre_events.index.visibility import Viewer
from lustre_events.index.writer_cache import Remembered
from tests.support.index.places import KEPT, IndexPlace, Writer, open_writer, rows_of
from tests.support.index.tables import STAMP, MemoryBackend, node
from tests.support.records.builders import Object

Version = tuple[int, int]


HINT_SECONDS = 60.0
"""For hints: what is told must not depend on how busy a machine is."""


class Contents:
    """An index that a test fills row by row, in one transaction that is never committed."""

    def __init__(self, place: IndexPlace) -> None:
        self._kept = KEPT.get(place) if isinstance(place, str) else None
        self.writer: Writer = self._kept or open_writer(place)
        self.execute("BEGIN")
        self._links = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._kept is None:
            self.writer.close()
        else:
            self.execute("ROLLBACK")

    def execute(self, statement: str, *values: Any) -> list[Any]:
        """Run a statement; `?` stands for a value."""
        return rows_of(self.writer, statement, values)

    def search(self, few: int = FEW, most: int = MOST) -> Search:
        """Return the search over what the index holds now; `few` and `most` decide how it searches."""
        return Search(self._backend(few), most, hint_seconds=HINT_SECONDS)

    def found(self, query: str, *, few: int = FEW, **options: Any) -> list[int]:
        """Return the numbers of the objects that a query finds."""
        return [hit.fid.oid for hit in self.search(few).search(query, **options)]

    def link(self, parent: Object, name: bytes, fid: Object | None) -> None:
        """Say what (parent, name) means; None is a tombstone."""
        self._links += 1
        stamp = STAMP + self._links.to_bytes(4, "big")
        link = Link(node(parent), name, None if fid is None else node(fid), stamp)
        if isinstance(self.writer, PostgresqlWriter):
            self._transaction().set_links([link])
        else:
            connection = self.writer._connection
            SqliteTransaction(connection, Path("test"), SqliteKeys(), Remembered()).set_links([link])

    def object(self, fid: Object, **facts: Any) -> int:
        """Add an object and return its id."""
        columns = {"fid": node(fid).pack(), **facts}
        marks = ", ".join("?" * len(columns))
        statement = f"INSERT INTO object ({', '.join(columns)}) VALUES ({marks}) RETURNING id"  # noqa: S608
        return int(self.execute(statement, *columns.values())[0][0])

    def file(
        self, fid: int, path: bytes, documents: dict[str, dict[str, Any]] | None = None, **facts: Any
    ) -> int:  # fmt: skip
        """Add a file in a directory of the root (made where needed, numbered from 1000), with its documents."""
        parent: Object = 0
        *directories, name = path.split(b"/")
        for directory in directories:
            known = self.execute(
                "SELECT fid FROM link WHERE parent = ? AND name = ?", node(parent).pack(), directory
            )
            if known:
                parent = FID.unpack(known[0][0])
                continue
            number = 1000 + self.execute("SELECT count(*) FROM link")[0][0]
            self.link(parent, directory, number)
            self.object(number, type="d")
            parent = number
        self.link(parent, name, fid)
        object_id = self.object(fid, **{"type": "f", **facts})
        for extractor, body in (documents or {}).items():
            self.document(object_id, extractor, (1, 1), body)
        return object_id

    def document(
        self,
        object_id: int,
        extractor: str,
        version: Version,
        body: dict[str, Any],
        provenance: dict[str, Any] | None = None,
    ) -> bool:
        """Put a document."""
        if isinstance(self.writer, PostgresqlWriter):
            found = FoundDocument(object_id, extractor, version, body, provenance or {})
            return self._transaction().write_documents([found])[0]
        connection = self.writer._connection
        return sqlite_documents.put_document(connection, object_id, extractor, *version, body, provenance or {})

    def documents(self, rows: list[tuple[int, str, Version, dict[str, Any]]]) -> list[bool]:
        """Put documents, all at once."""
        if isinstance(self.writer, PostgresqlWriter):
            return self._transaction().write_documents([FoundDocument(*row, {}) for row in rows])
        found = [FoundDocument(*row, {}) for row in rows]
        return sqlite_documents.put_documents(self.writer._connection, SqliteKeys(), found)

    def failure(
        self,
        object_id: int,
        extractor: str,
        version: Version,
        failure: dict[str, Any],
        provenance: dict[str, Any] | None = None,
    ) -> bool:
        """Put a failed attempt."""
        if isinstance(self.writer, PostgresqlWriter):
            found = FoundDocument(object_id, extractor, version, failure, provenance or {})
            return self._transaction().write_failures([found])[0]
        connection = self.writer._connection
        return sqlite_documents.put_failure(connection, object_id, extractor, *version, failure, provenance or {})

    def move(self, source_id: int, target_id: int) -> None:
        """Give the documents of one object to another."""
        if isinstance(self.writer, PostgresqlWriter):
            self._transaction().move_documents(source_id, target_id)
        else:
            sqlite_documents.move_documents(self.writer._connection, source_id, target_id)

    def remove(self, fid: Object) -> None:
        """Remove an object with its documents, as the dispatcher does."""
        if isinstance(self.writer, PostgresqlWriter):
            self._transaction().remove_objects([node(fid)])
            return
        (object_id,) = self.execute("SELECT id FROM object WHERE fid = ?", node(fid).pack())[0]
        sqlite_documents.remove_documents(self.writer._connection, [object_id])
        self.execute("DELETE FROM object WHERE id = ?", object_id)

    def rebuild(self) -> None:
        """Make all search rows anew."""
        if isinstance(self.writer, PostgresqlWriter):
            self._transaction().rebuild()
        else:
            sqlite_documents.rebuild(self.writer._connection)

    def search_rows(self) -> dict[str, set[tuple[Any, ...]]]:
        """Return all search rows, with keys by name, and what full-text search holds: (document, word, place)."""
        rows = {
            table: set(self.execute(
                f"SELECT extractor, name, value, object FROM {table} JOIN key ON key.id = {table}.key"  # noqa: S608
            ))
            for table in TABLES
        }  # fmt: skip
        if isinstance(self.writer, PostgresqlWriter):
            words = "SELECT document, piece, object, lexeme, positions FROM fulltext, unnest(body)"
            rows["fulltext"] = {(*row[:4], tuple(row[4])) for row in self.execute(words)}
            return rows
        self.execute("INSERT INTO fulltext (fulltext) VALUES ('integrity-check')")
        self.execute("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab (main, fulltext, instance)")
        rows["fulltext"] = set(self.execute("SELECT term, doc, offset FROM temp.vocabulary"))
        self.execute("DROP TABLE temp.vocabulary")
        return rows

    def _transaction(self) -> PostgresqlTransaction:
        assert isinstance(self.writer, PostgresqlWriter)
        return PostgresqlTransaction(self.writer._database.connection, "test", Keys(), Remembered())

    def _backend(self, few: int) -> Backend:
        if isinstance(self.writer, PostgresqlWriter):
            return _Within(self.writer, few)
        return MemoryBackend(self.writer._connection, few)


class _Within:
    """Readings within the transaction of the test."""

    def __init__(self, writer: PostgresqlWriter, few: int) -> None:
        self._writer = writer
        self._few = few

    def reading(self, viewer: Viewer | None, seconds: float | None = None) -> _Reading:
        """See `reading.Backend`."""
        return _Reading(
            PostgresqlReading(self._writer._database.connection, viewer, self._few, look=self._few // 4 + 1)
        )

    def close(self) -> None:
        """Nothing was opened."""


class _Reading:
    def __init__(self, reading: PostgresqlReading) -> None:
        self._reading = reading

    def __enter__(self) -> PostgresqlReading:
        return self._reading

    def __exit__(self, *error: object) -> None:
        pass
