"""Documents in SQLite: one per (object, extractor), with the rows that search finds them by.

Search rows are never found by object (there is no index for that, it would cost as much as the rows): the
old ones are known by flattening the stored body again. The full text is contentless FTS5, which removes a
row only when told its old text.

Every function works in the caller's transaction and commits nothing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from lustre_events.index.documents import COLUMNS, MAX_KEYS_OF_EXTRACTOR, TRUNCATED, DocumentRow
from lustre_events.index.sqlite.origin import keep, own_members, release, whole
from lustre_events.index.values import TABLES, Flat, canonical, flatten

SLOT_BITS = 12
"""A document's id is its object's id, shifted by so many bits, and a number: so the full text, which knows
documents by their ids, finds in the order of the objects, and tells the object without another look."""

_COLUMNS = f"{COLUMNS}, origin"


def put_document(  # noqa: PLR0917 - a document's row
    connection: sqlite3.Connection,
    object_id: int,
    extractor: str,
    generation: int,
    serial: int,
    body: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> bool:
    """Write what an extractor found in an object; False when a newer (generation, serial) is stored.

    A failed attempt of the same or an older (generation, serial) is forgotten. A document that is too large to
    be searched as a whole says so in its provenance. Putting the same document again changes nothing.
    """
    row = _row(connection, object_id, extractor)
    version = (generation, serial)
    if row is not None and row.version > version:
        return False
    text = canonical(body)
    row_id = row.id if row is not None else _new_row(connection, object_id, extractor)
    provenance = {**provenance}
    if row is not None and row.body == text:
        before = own_members(row.provenance)
        provenance |= {TRUNCATED: before[TRUNCATED]} if TRUNCATED in before else {}
    else:
        # Flattened from the stored text, as it will be when these rows are to be removed.
        flat = flatten(json.loads(text))
        if row is not None:
            _remove_search_rows(connection, object_id, row)
        _add_search_rows(connection, object_id, row_id, extractor, flat)
        provenance |= {TRUNCATED: True} if flat.truncated else {}
    origin, own = keep(connection, provenance)
    connection.execute(
        "UPDATE document SET generation = ?, serial = ?, body = ?, provenance = ?, origin = ? WHERE id = ?",
        (generation, serial, text, own, origin, row_id),
    )
    if row is not None:
        release(connection, row.origin)
        _forget_failure(connection, row, version)
    return True


def _forget_failure(connection: sqlite3.Connection, row: DocumentRow, version: tuple[int, int]) -> None:
    if row.failure is not None and row.failure_version <= version:
        connection.execute(
            "UPDATE document SET failure = NULL, failure_generation = NULL, failure_serial = NULL WHERE id = ?",
            (row.id,),
        )


def put_failure(  # noqa: PLR0917 - a document's row
    connection: sqlite3.Connection,
    object_id: int,
    extractor: str,
    generation: int,
    serial: int,
    failure: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> bool:
    """Keep a failed attempt beside the last good document; False when a newer attempt or document is stored.

    `provenance` becomes a member of the kept failure. The good document and its search rows stay as they are.
    """
    row = _row(connection, object_id, extractor)
    version = (generation, serial)
    if row is not None and (row.version >= version or row.failure_version > version):
        return False
    row_id = row.id if row is not None else _new_row(connection, object_id, extractor)
    connection.execute(
        "UPDATE document SET failure = ?, failure_generation = ?, failure_serial = ? WHERE id = ?",
        (canonical({**failure, "provenance": provenance}), generation, serial, row_id),
    )
    return True


def remove_documents(connection: sqlite3.Connection, object_ids: Iterable[int]) -> None:
    """Remove all documents and failures of these objects, with their search rows.

    To be called before the objects' own rows go: what a cascade removes leaves its search rows behind.
    """
    for object_id in object_ids:
        for row in _rows(connection, object_id):
            _remove(connection, object_id, row)


def remove_document(connection: sqlite3.Connection, object_id: int, extractor: str) -> None:
    """Remove what one extractor said of an object, with its search rows."""
    row = _row(connection, object_id, extractor)
    if row is not None:
        _remove(connection, object_id, row)


def move_documents(connection: sqlite3.Connection, source_id: int, target_id: int) -> None:
    """Give the documents and failures of one object to another (MIGRT: an object gets a new FID).

    Per extractor the newer of both stays, the target's where they are equal. The caller raises the target's
    generation to at least the source's, or the next extraction would count as older than the moved document.
    """
    if source_id == target_id:
        return
    for row in _rows(connection, source_id):
        provenance = _provenance(connection, row)
        _remove(connection, source_id, row)
        present = _row(connection, target_id, row.extractor)
        if row.body is not None and (present is None or row.version > present.version):
            put_document(connection, target_id, row.extractor, *row.version, json.loads(row.body), provenance)
        if row.failure is not None and (present is None or row.failure_version > present.failure_version):
            failure = json.loads(row.failure)
            provenance = failure.pop("provenance", {})
            put_failure(connection, target_id, row.extractor, *row.failure_version, failure, provenance)


def rebuild(connection: sqlite3.Connection) -> None:
    """Make all search rows anew from the stored documents (a later version searches more or otherwise)."""
    for table in (*TABLES, "key"):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names from the line above
    connection.execute("INSERT INTO fulltext (fulltext) VALUES ('delete-all')")
    for document_id, object_id, extractor, body in connection.execute(
        "SELECT id, object, extractor, body FROM document WHERE body IS NOT NULL ORDER BY id"
    ):
        _add_search_rows(connection, object_id, document_id, extractor, flatten(json.loads(body)))


def remove_failures(connection: sqlite3.Connection, works: Iterable[tuple[bytes, str]]) -> int:
    """Forget the failed attempts of (packed FID, extractor); return how many there were."""
    wanted = list(works)
    which = "extractor = ? AND failure IS NOT NULL AND object = (SELECT id FROM object WHERE fid = ?)"
    found = connection.executemany(
        "UPDATE document SET failure = NULL, failure_generation = NULL, failure_serial = NULL"  # noqa: S608
        f" WHERE {which}",
        [(name, fid) for fid, name in wanted],
    ).rowcount
    # A document that never was good was only there for its failure.
    connection.executemany(
        "DELETE FROM document WHERE body IS NULL AND failure IS NULL AND extractor = ?"
        " AND object = (SELECT id FROM object WHERE fid = ?)",
        [(name, fid) for fid, name in wanted],
    )
    return found


def text_of(body: str) -> str | None:
    """Return what the full text has of a stored document; None: nothing (for migrations)."""
    return flatten(json.loads(body)).text or None


def _provenance(connection: sqlite3.Connection, row: DocumentRow) -> dict[str, Any]:
    """Return all of a document's provenance."""
    shared = connection.execute("SELECT body FROM origin WHERE id = ?", (row.origin,)).fetchone()
    return whole(shared[0] if shared else None, row.provenance)


def _row(connection: sqlite3.Connection, object_id: int, extractor: str) -> DocumentRow | None:
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM document WHERE object = ? AND extractor = ?",  # noqa: S608 - a constant
        (object_id, extractor),
    ).fetchone()
    return None if row is None else DocumentRow(*row)


def _rows(connection: sqlite3.Connection, object_id: int) -> list[DocumentRow]:
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM document WHERE object = ?",  # noqa: S608 - a constant
        (object_id,),
    )
    return [DocumentRow(*row) for row in found.fetchall()]


def _new_row(connection: sqlite3.Connection, object_id: int, extractor: str) -> int:
    first = object_id << SLOT_BITS
    made = connection.execute(
        "INSERT INTO document (id, object, extractor) SELECT coalesce(max(id), ?1 - 1) + 1, ?2, ?3 FROM document"
        " WHERE id BETWEEN ?1 AND ?4",
        (first, object_id, extractor, first + (1 << SLOT_BITS) - 1),
    )
    return int(made.lastrowid or 0)


def _remove(connection: sqlite3.Connection, object_id: int, row: DocumentRow) -> None:
    _remove_search_rows(connection, object_id, row)
    connection.execute("DELETE FROM document WHERE id = ?", (row.id,))
    release(connection, row.origin)


def _add_search_rows(
    connection: sqlite3.Connection, object_id: int, document_id: int, extractor: str, flat: Flat
) -> None:
    keys = _key_ids(connection, extractor, sorted(flat.names), add=True)
    for table, pairs in flat.rows:
        connection.executemany(
            f"INSERT INTO {table} (key, value, object) VALUES (?, ?, ?)",  # noqa: S608 - names from the line above
            sorted((keys[name], value, object_id) for name, value in pairs if name in keys),
        )
    if flat.text:
        connection.execute("INSERT INTO fulltext (rowid, body) VALUES (?, ?)", (document_id, flat.text))


def _remove_search_rows(connection: sqlite3.Connection, object_id: int, row: DocumentRow) -> None:
    if row.body is None:
        return
    flat = flatten(json.loads(row.body))
    keys = _key_ids(connection, row.extractor, sorted(flat.names), add=False)
    for table, pairs in flat.rows:
        connection.executemany(
            f"DELETE FROM {table} WHERE key = ? AND value = ? AND object = ?",  # noqa: S608 - as above
            sorted((keys[name], value, object_id) for name, value in pairs if name in keys),
        )
    if flat.text:
        connection.execute(
            "INSERT INTO fulltext (fulltext, rowid, body) VALUES ('delete', ?, ?)", (row.id, flat.text)
        )


def _key_ids(connection: sqlite3.Connection, extractor: str, names: Iterable[str], *, add: bool) -> dict[str, int]:
    found = {}
    for name in names:
        row = connection.execute(
            "SELECT id FROM key WHERE extractor = ? AND name = ?", (extractor, name)
        ).fetchone()
        if row is None and add:
            # One row, or none where the extractor has all the keys that it may have.
            row = connection.execute(
                "INSERT INTO key (extractor, name) SELECT ?1, ?2"
                " WHERE (SELECT count(*) FROM key WHERE extractor = ?1) < ?3 RETURNING id",
                (extractor, name, MAX_KEYS_OF_EXTRACTOR),
            ).fetchone()
        if row is not None:
            found[name] = row[0]
    return found
