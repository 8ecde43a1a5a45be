"""Searching a SQLite index: the side that only reads, beside the one writer."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from lustre_events.errors import IndexUnavailable, QueryError
from lustre_events.fid import FID
from lustre_events.index.hits import Document, Facts, Failure, Hit, ObjectView, PendingRow
from lustre_events.index.query import parse
from lustre_events.index.sqlite_database import BUSY_SECONDS, check_version, sqlite_errors
from lustre_events.index.sqlite_filter import where_of
from lustre_events.index.sqlite_paths import fid_of_path, paths_of
from lustre_events.index.urls import sqlite_path

_NO_INDEX = "{}: there is no index here yet; start a dispatcher (lustre-events run), or name one with --index"
_CHUNK = 500

_SORTS = {"size": "size", "mtime": "mtime_ns", "ctime": "ctime_ns", "atime": "atime_ns", "fid": "fid"}


def search(
    connection: sqlite3.Connection,
    query: str,
    *,
    limit: int | None = 100,
    offset: int = 0,
    sort: str | None = None,
    now_ns: int | None = None,
) -> list[Hit]:
    """Return the live objects that match a query (query.py), with their paths and documents.

    Args:
        connection: an index.
        query: what to find.
        limit: most hits; None for all.
        offset: how many hits to leave out first: the next page.
        sort: `size`, `mtime`, `ctime`, `atime` or `fid`, with `-` before it from the largest down; unknown
            facts last. Without it, in the order in which the index learned of the objects.
        now_ns: what `now` means in the query; by default the time of this call.

    Raises:
        QueryError: the query or `sort` cannot be understood.
    """
    where = where_of(connection, parse(query, now_ns=time.time_ns() if now_ns is None else now_ns))
    rows = connection.execute(
        "SELECT o.id, o.fid, o.type, o.size, o.mtime_ns, o.uid, o.gid FROM object o"  # noqa: S608 - of clauses
        f" WHERE {where.sql} ORDER BY {_order(sort)} LIMIT ? OFFSET ?",
        (*where.parameters, -1 if limit is None else limit, offset),
    ).fetchall()
    fids = {row[0]: FID.unpack(row[1]) for row in rows}
    paths = paths_of(connection, fids.values())
    documents: dict[int, dict[str, dict[str, Any]]] = defaultdict(dict)
    for object_id, extractor, body in _rows_in(
        connection, "SELECT object, extractor, body FROM document WHERE body IS NOT NULL AND object", fids
    ):
        documents[object_id][extractor] = json.loads(body)
    return [
        Hit(fids[id_], tuple(paths[fids[id_]]), type_, size, mtime_ns, uid, gid, documents[id_])
        for id_, _, type_, size, mtime_ns, uid, gid in rows
    ]


def count(connection: sqlite3.Connection, query: str, *, now_ns: int | None = None) -> int:
    """Return how many live objects match a query; raises as `search` does."""
    where = where_of(connection, parse(query, now_ns=time.time_ns() if now_ns is None else now_ns))
    counted = connection.execute(
        f"SELECT count(*) FROM object o WHERE {where.sql}",  # noqa: S608 - of clauses
        where.parameters,
    )
    return int(counted.fetchone()[0])


def _order(sort: str | None) -> str:
    if sort is None:
        return "o.id"
    column = _SORTS.get(sort.removeprefix("-"))
    if column is None:
        raise QueryError(f"cannot sort by {sort!r}; use {', '.join(_SORTS)}, with - before it for descending")
    return f"o.{column} IS NULL, o.{column} {'DESC' if sort.startswith('-') else 'ASC'}, o.id"


def _rows_in(connection: sqlite3.Connection, select: str, values: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of `select IN (values)`, in portions that SQLite takes."""
    rest = list(values)
    for start in range(0, len(rest), _CHUNK):
        chunk = rest[start : start + _CHUNK]
        yield from connection.execute(f"{select} IN ({','.join('?' * len(chunk))})", chunk)


def show(connection: sqlite3.Connection, fids: Iterable[FID]) -> list[ObjectView]:
    """Return all that is known of each object, in the order asked for."""
    wanted = list(fids)
    paths = paths_of(connection, wanted)
    packed = {fid.pack(): fid for fid in wanted}
    facts: dict[FID, Facts] = {}
    ids: dict[int, FID] = {}
    for object_id, fid, *columns in _rows_in(
        connection,
        "SELECT id, fid, type, size, mtime_ns, ctime_ns, atime_ns, uid, gid, mode, nlink, jobid, generation,"
        " content, facts_generation FROM object WHERE fid",
        packed,
    ):
        ids[object_id] = packed[fid]
        facts[packed[fid]] = Facts(*columns)
    documents: dict[FID, list[Document]] = defaultdict(list)
    failures: dict[FID, list[Failure]] = defaultdict(list)
    for (
        id_,
        extractor,
        generation,
        serial,
        body,
        provenance,
        failure,
        failure_generation,
        failure_serial,
    ) in _rows_in(
        connection,
        "SELECT object, extractor, generation, serial, body, provenance, failure, failure_generation,"
        " failure_serial FROM document WHERE object",
        ids,
    ):
        if body is not None:
            found = Document(extractor, generation, serial, json.loads(body), json.loads(provenance or "{}"))
            documents[ids[id_]].append(found)
        if failure is not None:
            failed = Failure(extractor, failure_generation, failure_serial, json.loads(failure))
            failures[ids[id_]].append(failed)
    pending: dict[FID, list[PendingRow]] = defaultdict(list)
    for fid, *columns in _rows_in(
        connection,
        "SELECT fid, extractor, generation, due_ns, attempts, reason, rule, queue, job FROM pending WHERE fid",
        packed,
    ):
        pending[packed[fid]].append(PendingRow(*columns))
    return [
        ObjectView(
            fid, tuple(paths[fid]), facts.get(fid), tuple(documents[fid]), tuple(failures[fid]), tuple(pending[fid])
        )
        for fid in wanted
    ]


@dataclass(frozen=True, slots=True)
class Stats:
    """The sums of an index, for `status`. `links` are current names, `tombstones` removed ones."""

    objects: int
    links: int
    tombstones: int
    pending: dict[str, int]  # by reason
    documents: dict[str, int]  # by extractor
    failures: dict[str, int]  # by extractor
    counters: dict[str, int]
    cursors: tuple[tuple[str, int, int], ...]  # MDT, epoch, index reached


def stats(connection: sqlite3.Connection) -> Stats:
    """Return the sums of an index."""

    def one(sql: str) -> int:
        return int(connection.execute(sql).fetchone()[0])

    def table(sql: str) -> dict[str, int]:
        return dict(connection.execute(sql).fetchall())

    links = one("SELECT count(*) FROM link WHERE fid IS NOT NULL")
    return Stats(
        objects=one("SELECT count(*) FROM object"),
        links=links,
        tombstones=one("SELECT count(*) FROM link") - links,
        pending=table("SELECT reason, count(*) FROM pending GROUP BY reason"),
        documents=table("SELECT extractor, count(*) FROM document WHERE body IS NOT NULL GROUP BY extractor"),
        failures=table("SELECT extractor, count(*) FROM document WHERE failure IS NOT NULL GROUP BY extractor"),
        counters=table("SELECT name, value FROM counter ORDER BY name"),
        cursors=tuple(connection.execute("SELECT mdt, epoch, position FROM cursor ORDER BY mdt, epoch")),
    )


class SqliteSearch:
    """An index opened for reading. Every call sees one moment of it; a `with` closes it.

    Raises:
        IndexUnavailable: from every method: there is no index at the path, or it cannot be read.
        IndexTooNew: at opening: a later version of this program wrote it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.is_file():
            raise IndexUnavailable(_NO_INDEX.format(path))
        with sqlite_errors(path):
            # An absolute path: in a URI, `//name` would be a host.
            address = f"file:{quote(str(path.absolute()))}?mode=ro"
            self._connection = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            with sqlite_errors(path):
                self._connection.execute("PRAGMA query_only = ON")
                if check_version(self._connection, path) == 0:
                    raise IndexUnavailable(_NO_INDEX.format(path))
        except BaseException:
            self._connection.close()
            raise

    def search(
        self,
        query: str,
        *,
        limit: int | None = 100,
        offset: int = 0,
        sort: str | None = None,
        now_ns: int | None = None,
    ) -> list[Hit]:
        """Return hits; see `search` of this module."""
        with self._snapshot() as connection:
            return search(connection, query, limit=limit, offset=offset, sort=sort, now_ns=now_ns)

    def count(self, query: str, *, now_ns: int | None = None) -> int:
        """Return the number of hits."""
        with self._snapshot() as connection:
            return count(connection, query, now_ns=now_ns)

    def show(self, fid: FID) -> ObjectView:
        """Return all that is known of one object."""
        return self.show_many([fid])[0]

    def show_many(self, fids: Iterable[FID]) -> list[ObjectView]:
        """Return all that is known of each object, at the cost of few statements for all."""
        with self._snapshot() as connection:
            return show(connection, fids)

    def paths(self, fids: Iterable[FID]) -> dict[FID, list[bytes]]:
        """Return all current paths of each object."""
        with self._snapshot() as connection:
            return paths_of(connection, fids)

    def fid_of_path(self, path: bytes) -> FID | None:
        """Return the object at a path relative to the file system's root, or None."""
        with self._snapshot() as connection:
            return fid_of_path(connection, path)

    def stats(self) -> Stats:
        """Return the sums of the index."""
        with self._snapshot() as connection:
            return stats(connection)

    def close(self) -> None:
        """Close the index."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        with sqlite_errors(self._path):
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                self._connection.execute("ROLLBACK")


def open_search(url: str) -> SqliteSearch:
    """Return the index of a URL, opened for reading.

    Raises:
        ConfigError: the URL is none that this version can open.
        IndexUnavailable: there is no index, or it cannot be read.
    """
    return SqliteSearch(sqlite_path(url))
