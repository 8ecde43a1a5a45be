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
from typing import Any, NamedTuple

from lustre_events.index.values import Flat, canonical, flatten

MAX_KEYS_OF_EXTRACTOR = 50_000
"""Different keys of one extractor over all its documents; further ones are not searched. A key stays known
when no document has it any more, so that whether a document's key is searched never changes behind it."""

TRUNCATED = "search_truncated"
"""Set in the provenance of a document of which not everything is searched (the bounds of values.py)."""

_COLUMNS = "id, extractor, generation, serial, body, provenance, failure, failure_generation, failure_serial"


class _Row(NamedTuple):
    id: int
    extractor: str
    generation: int
    serial: int
    body: str | None
    provenance: str | None
    failure: str | None
    failure_generation: int | None
    failure_serial: int | None

    @property
    def version(self) -> tuple[int, int]:
        """Of the good document; below every version where there is none."""
        return (self.generation, self.serial) if self.body is not None else (-1, -1)

    @property
    def failure_version(self) -> tuple[int, int]:
        """Of the failed attempt; below every version where there is none."""
        if self.failure is None:
            return (-1, -1)
        return (self.failure_generation or 0, self.failure_serial or 0)


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
        provenance |= {key: value for key, value in _loads(row.provenance).items() if key == TRUNCATED}
    else:
        # Flattened from the stored text, as it will be when these rows are to be removed.
        flat = flatten(json.loads(text))
        if row is not None:
            _remove_search_rows(connection, object_id, row)
        _add_search_rows(connection, object_id, row_id, extractor, flat)
        provenance |= {TRUNCATED: True} if flat.truncated else {}
    connection.execute(
        "UPDATE document SET generation = ?, serial = ?, body = ?, provenance = ? WHERE id = ?",
        (generation, serial, text, canonical(provenance), row_id),
    )
    if row is not None and row.failure is not None and row.failure_version <= version:
        connection.execute(
            "UPDATE document SET failure = NULL, failure_generation = NULL, failure_serial = NULL WHERE id = ?",
            (row_id,),
        )
    return True


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


def move_documents(connection: sqlite3.Connection, source_id: int, target_id: int) -> None:
    """Give the documents and failures of one object to another (MIGRT: an object gets a new FID).

    Per extractor the newer of both stays, the target's where they are equal. The caller raises the target's
    generation to at least the source's, or the next extraction would count as older than the moved document.
    """
    if source_id == target_id:
        return
    for row in _rows(connection, source_id):
        _remove(connection, source_id, row)
        present = _row(connection, target_id, row.extractor)
        if row.body is not None and (present is None or row.version > present.version):
            put_document(
                connection, target_id, row.extractor, *row.version, json.loads(row.body), _loads(row.provenance)
            )
        if row.failure is not None and (present is None or row.failure_version > present.failure_version):
            failure = json.loads(row.failure)
            provenance = failure.pop("provenance", {})
            put_failure(connection, target_id, row.extractor, *row.failure_version, failure, provenance)


def rebuild(connection: sqlite3.Connection) -> None:
    """Make all search rows anew from the stored documents (a later version searches more or otherwise)."""
    for table in ("number", "word", "part", "key"):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names from the line above
    connection.execute("INSERT INTO fulltext (fulltext) VALUES ('delete-all')")
    for document_id, object_id, extractor, body in connection.execute(
        "SELECT id, object, extractor, body FROM document WHERE body IS NOT NULL ORDER BY id"
    ):
        _add_search_rows(connection, object_id, document_id, extractor, flatten(json.loads(body)))


def _loads(text: str | None) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(text or "{}")
    return loaded


def _row(connection: sqlite3.Connection, object_id: int, extractor: str) -> _Row | None:
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM document WHERE object = ? AND extractor = ?",  # noqa: S608 - a constant
        (object_id, extractor),
    ).fetchone()
    return None if row is None else _Row(*row)


def _rows(connection: sqlite3.Connection, object_id: int) -> list[_Row]:
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM document WHERE object = ?",  # noqa: S608 - a constant
        (object_id,),
    )
    return [_Row(*row) for row in found.fetchall()]


def _new_row(connection: sqlite3.Connection, object_id: int, extractor: str) -> int:
    made = connection.execute("INSERT INTO document (object, extractor) VALUES (?, ?)", (object_id, extractor))
    return int(made.lastrowid or 0)


def _remove(connection: sqlite3.Connection, object_id: int, row: _Row) -> None:
    _remove_search_rows(connection, object_id, row)
    connection.execute("DELETE FROM document WHERE id = ?", (row.id,))


def _add_search_rows(
    connection: sqlite3.Connection, object_id: int, document_id: int, extractor: str, flat: Flat
) -> None:
    keys = _key_ids(connection, extractor, _names(flat), add=True)
    for table, pairs in (("number", flat.numbers), ("word", flat.words), ("part", flat.parts)):
        connection.executemany(
            f"INSERT INTO {table} (key, value, object) VALUES (?, ?, ?)",  # noqa: S608 - names from the line above
            sorted((keys[name], value, object_id) for name, value in pairs if name in keys),
        )
    if flat.text:
        connection.execute("INSERT INTO fulltext (rowid, body) VALUES (?, ?)", (document_id, flat.text))


def _remove_search_rows(connection: sqlite3.Connection, object_id: int, row: _Row) -> None:
    if row.body is None:
        return
    flat = flatten(json.loads(row.body))
    keys = _key_ids(connection, row.extractor, _names(flat), add=False)
    for table, pairs in (("number", flat.numbers), ("word", flat.words), ("part", flat.parts)):
        connection.executemany(
            f"DELETE FROM {table} WHERE key = ? AND value = ? AND object = ?",  # noqa: S608 - as above
            sorted((keys[name], value, object_id) for name, value in pairs if name in keys),
        )
    if flat.text:
        connection.execute(
            "INSERT INTO fulltext (fulltext, rowid, body) VALUES ('delete', ?, ?)", (row.id, flat.text)
        )


def _names(flat: Flat) -> list[str]:
    return sorted({name for pairs in (flat.numbers, flat.words, flat.parts) for name, _ in pairs})


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
