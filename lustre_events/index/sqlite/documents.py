"""Documents in SQLite: one per (object, extractor), with the rows that search finds them by.

Search rows are never found by object (there is no index for that, it would cost as much as the rows): the
old ones are known by flattening the stored body again. The full text is contentless FTS5, which removes a
row only when told its old text.

Documents are written as sets: what is there is read once, then each table gets one call for all of them.
Every function works in the caller's transaction and commits nothing.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from lustre_events.index.documents import (
    COLUMNS,
    TRUNCATED,
    DocumentKey,
    DocumentRow,
    FoundDocument,
    NewDocument,
    is_newer_failure,
    new_document,
    with_keys,
)
from lustre_events.index.sqlite.among import select_among
from lustre_events.index.sqlite.keys import Keys
from lustre_events.index.sqlite.origin import Origins, own_members, whole
from lustre_events.index.sqlite.search_rows import SearchRows
from lustre_events.index.values import TABLES, canonical, flatten
from lustre_events.index.words import has_words

SLOT_BITS = 12
"""A document's id is its object's id, shifted by this number of bits, and a number: so the full text, which knows
documents by their ids, finds in the order of the objects, and tells the object without another look."""

_COLUMNS = f"{COLUMNS}, origin"


def put_documents(connection: sqlite3.Connection, keys: Keys, found: Sequence[FoundDocument]) -> list[bool]:
    """Write what extractors found in objects; False where a newer (generation, serial) is stored.

    A failed attempt of the same or an older (generation, serial) is forgotten. A document that is too large to
    be searched as a whole says so in its provenance. Putting the same document again changes nothing.
    """
    if len({each.key for each in found}) < len(found):  # one after the other, as they are meant
        return [written for each in found for written in put_documents(connection, keys, [each])]
    rows, free = _stored(connection, {each.object for each in found})
    new = [new_document(each, rows.get(each.key), own_members) for each in found]
    made = partial(keys.made, connection)
    _write(connection, keys, with_keys([each for each in new if each is not None], made), free)
    return [each is not None for each in new]


def _write(connection: sqlite3.Connection, keys: Keys, new: Sequence[NewDocument], free: dict[int, int]) -> None:
    origins, search = Origins(connection), SearchRows(connection, keys)
    made, changed = [], []
    for found, row, text, provenance, flat in new:
        row_id = row.id if row is not None else _next(free, found.object)
        if row is not None and row.body is not None and flat is not None:
            whole = TRUNCATED not in own_members(row.provenance)
            search.remove(found.object, row_id, found.extractor, flatten(json.loads(row.body)), whole=whole)
        if flat is not None:
            search.add(found.object, row_id, found.extractor, flat)
        origin, own = origins.keep(provenance)
        if row is None:
            made.append((row_id, found.object, found.extractor, *found.version, text, own, origin))
        else:
            changed.append((*found.version, text, own, origin, row_id))
            origins.release(row.origin)
    connection.executemany(
        "INSERT INTO document (id, object, extractor, generation, serial, body, provenance, origin)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        sorted(made),
    )
    connection.executemany(
        "UPDATE document SET generation = ?, serial = ?, body = ?, provenance = ?, origin = ? WHERE id = ?", changed
    )
    connection.executemany(
        "UPDATE document SET failure = NULL, failure_generation = NULL, failure_serial = NULL WHERE id = ?",
        [(row.id,) for each in new if (row := each.heals) is not None],
    )
    origins.write()
    search.write()


def put_failures(connection: sqlite3.Connection, failures: Sequence[FoundDocument]) -> list[bool]:
    """Keep failed attempts beside the last good documents; False where a newer attempt or document is stored.

    `provenance` becomes a member of the kept failure. The good document and its search rows stay as they are.
    """
    if len({each.key for each in failures}) < len(failures):
        return [written for each in failures for written in put_failures(connection, [each])]
    rows, free = _stored(connection, {each.object for each in failures})
    written = [is_newer_failure(each, rows.get(each.key)) for each in failures]
    made, changed = [], []
    for each in itertools.compress(failures, written):
        row = rows.get(each.key)
        row_id = row.id if row is not None else _next(free, each.object)
        if row is None:
            made.append((row_id, each.object, each.extractor))
        changed.append((canonical({**each.body, "provenance": each.provenance}), *each.version, row_id))
    connection.executemany("INSERT INTO document (id, object, extractor) VALUES (?, ?, ?)", made)
    connection.executemany(
        "UPDATE document SET failure = ?, failure_generation = ?, failure_serial = ? WHERE id = ?", changed
    )
    return written


def put_document(  # noqa: PLR0917 - a document's row
    connection: sqlite3.Connection,
    object_id: int,
    extractor: str,
    generation: int,
    serial: int,
    body: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> bool:
    """Write one document, as `put_documents` does."""
    document = FoundDocument(object_id, extractor, (generation, serial), body, provenance)
    return put_documents(connection, Keys(), [document])[0]


def put_failure(  # noqa: PLR0917 - a document's row
    connection: sqlite3.Connection,
    object_id: int,
    extractor: str,
    generation: int,
    serial: int,
    failure: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> bool:
    """Keep one failed attempt, as `put_failures` does."""
    return put_failures(
        connection, [FoundDocument(object_id, extractor, (generation, serial), failure, provenance)]
    )[0]


def remove_documents(connection: sqlite3.Connection, object_ids: Collection[int], keys: Keys | None = None) -> None:
    """Remove all documents and failures of these objects, with their search rows.

    To be called before the objects' own rows go: what a cascade removes leaves its search rows behind.
    """
    rows, _ = _stored(connection, object_ids)
    _remove(connection, keys or Keys(), rows)


def remove_some(connection: sqlite3.Connection, keys: Keys, documents: Collection[tuple[int, str]]) -> None:
    """Remove what extractors said of objects, with their search rows: (object's id, extractor)."""
    rows, _ = _stored(connection, {object_id for object_id, _ in documents})
    _remove(connection, keys, {key: rows[key] for key in documents if key in rows})


def move_documents(connection: sqlite3.Connection, source_id: int, target_id: int) -> None:
    """Give the documents and failures of one object to another (MIGRT: an object gets a new FID).

    Per extractor the newer of both stays, the target's where they are equal. The caller raises the target's
    generation to at least the source's, or the next extraction would count as older than the moved document.
    """
    if source_id == target_id:
        return
    rows, _ = _stored(connection, [source_id, target_id])
    for (object_id, extractor), row in rows.items():
        if object_id == source_id:
            _move(connection, row, target_id, rows.get((target_id, extractor)))


def _move(connection: sqlite3.Connection, row: DocumentRow, target_id: int, present: DocumentRow | None) -> None:
    provenance = _provenance(connection, row)
    _remove(connection, Keys(), {(row.id >> SLOT_BITS, row.extractor): row})
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
    keys = Keys()
    for document_id, object_id, owner, extractor, body in connection.execute(
        "SELECT document.id, object, coalesce(uid, -1), extractor, body FROM document JOIN object"
        " ON object.id = object WHERE body IS NOT NULL ORDER BY document.id"
    ):
        search, flat = SearchRows(connection, keys), flatten(json.loads(body))
        keys.made(connection, extractor, owner, flat.names)
        search.add(object_id, document_id, extractor, flat)
        search.write()


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


def body_has_words(body: str | None, wanted: Sequence[str], *, prefix: bool) -> bool:
    """Return whether the full text of a stored document has these words, one behind the other; see `has_words`."""
    return body is not None and has_words(flatten(json.loads(body)).text, wanted, prefix=prefix)


def _provenance(connection: sqlite3.Connection, row: DocumentRow) -> dict[str, Any]:
    """Return all of a document's provenance."""
    shared = connection.execute("SELECT body FROM origin WHERE id = ?", (row.origin,)).fetchone()
    return whole(shared[0] if shared else None, row.provenance)


def _stored(
    connection: sqlite3.Connection, object_ids: Iterable[int]
) -> tuple[dict[DocumentKey, DocumentRow], dict[int, int]]:
    """Return the rows of objects, and the next free id of each object's documents."""
    free = {object_id: object_id << SLOT_BITS for object_id in object_ids}
    rows: dict[DocumentKey, DocumentRow] = {}
    statement = f"SELECT object, {_COLUMNS} FROM document WHERE object IN ({{}})"  # noqa: S608 - constants
    for object_id, *values in select_among(connection, statement, free):
        row = DocumentRow(*values)
        rows[object_id, row.extractor] = row
        free[object_id] = max(free[object_id], row.id + 1)
    return rows, free


def _next(free: dict[int, int], object_id: int) -> int:
    """Return the id of a new document of an object, and count it."""
    free[object_id] += 1
    return free[object_id] - 1


def _remove(connection: sqlite3.Connection, keys: Keys, rows: Mapping[DocumentKey, DocumentRow]) -> None:
    if not rows:
        return
    search, origins = SearchRows(connection, keys), Origins(connection)
    for (object_id, extractor), row in rows.items():
        if row.body is not None:
            search.remove(object_id, row.id, extractor, flatten(json.loads(row.body)), whole=True)
        origins.release(row.origin)
    search.write()
    connection.executemany("DELETE FROM document WHERE id = ?", [(row.id,) for row in rows.values()])
    origins.write()
