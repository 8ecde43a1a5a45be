"""Documents in PostgreSQL: one per (object, extractor), with the rows that search finds them by.

The rules are those of documents.py. Search rows are found by object, so nothing old need be known to
remove them. Documents are written as sets: what is there is read once, then each table gets one statement.
What is read to be replaced is locked, since there may be other writers (document_writer.py).
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from lustre_events.index.documents import (
    COLUMNS,
    DocumentKey,
    DocumentRow,
    FoundDocument,
    NewDocument,
    is_newer_failure,
    loads,
    new_document,
    with_keys,
)
from lustre_events.index.postgresql.arrays import column
from lustre_events.index.postgresql.database import Connection, Row
from lustre_events.index.postgresql.fulltext import pieces
from lustre_events.index.postgresql.keys import Keys
from lustre_events.index.postgresql.session import Session, columns
from lustre_events.index.values import TABLES, Flat, canonical, flatten
from lustre_events.index.writer_cache import Remembered

_TYPES = {"number": "numeric", "word": "text", "part": "text", "text_number": "numeric", "text_time": "bigint"}

_REMOVE_VALUES = (
    "DELETE FROM {} AS old USING unnest(%b::bigint[], %b::text[]) AS gone (object, extractor), key"
    " WHERE old.object = gone.object AND key.id = old.key AND key.extractor = gone.extractor"
)
_REMOVE_TEXTS = (
    "DELETE FROM fulltext USING unnest(%b::bigint[], %b::bigint[]) AS gone (object, document)"
    " WHERE fulltext.object = gone.object AND fulltext.document = gone.document"
)
_ADD_VALUES = "INSERT INTO {} (object, key, value) SELECT * FROM unnest(%b::bigint[], %b::integer[], %b::{}[])"
_ADD_TEXTS = (
    "INSERT INTO fulltext (object, document, piece, body)"
    " SELECT object, document, piece, body::tsvector"
    " FROM unnest(%b::bigint[], %b::bigint[], %b::integer[], %b::text[]) AS new (object, document, piece, body)"
)
_INSERT = (
    "INSERT INTO document (generation, serial, body, provenance, object, extractor) SELECT * FROM"
    " unnest(%b::bigint[], %b::integer[], %b::text[], %b::text[], %b::bigint[], %b::text[])"
    " RETURNING object, extractor, id"
)
_UPDATE = (
    "UPDATE document SET generation = new.generation, serial = new.serial, body = new.body,"
    " provenance = new.provenance"
    " FROM unnest(%b::bigint[], %b::integer[], %b::text[], %b::text[], %b::bigint[])"
    " AS new (generation, serial, body, provenance, id) WHERE document.id = new.id"
)
_STORED = (
    f"SELECT object, {COLUMNS} FROM document WHERE (object, extractor) IN"  # noqa: S608 - constants
    " (SELECT * FROM unnest(%b::bigint[], %b::text[])) ORDER BY id FOR UPDATE"
)
_STORED_OF = f"SELECT object, {COLUMNS} FROM document WHERE object = ANY(%b::bigint[])"  # noqa: S608 - a constant
_FORGET = (
    "UPDATE document SET failure = NULL, failure_generation = NULL, failure_serial = NULL"
    " WHERE id = ANY(%b::bigint[])"
)
_PUT_FAILURES = (
    "INSERT INTO document (object, extractor, failure, failure_generation, failure_serial) SELECT * FROM"
    " unnest(%b::bigint[], %b::text[], %b::text[], %b::bigint[], %b::integer[])"
    " ON CONFLICT (object, extractor) DO UPDATE SET failure = excluded.failure,"
    " failure_generation = excluded.failure_generation, failure_serial = excluded.failure_serial"
)


class Documents(Session):
    """What a transaction does with documents."""

    def __init__(self, connection: Connection, name: str, keys: Keys, remembered: Remembered) -> None:
        super().__init__(connection, name, remembered)
        self._keys = keys

    def write_documents(self, found: Sequence[FoundDocument]) -> list[bool]:
        """Write what extractors found in objects; False where a newer version is stored.

        A version is (generation, serial). A failed attempt of the same or an older one is forgotten. A document
        that is too large to be searched as a whole says so in its provenance.
        """
        if len({each.key for each in found}) < len(found):  # one after the other, as they are meant
            return [written for each in found for written in self.write_documents([each])]
        rows = self._stored([each.key for each in found])
        new = [new_document(each, rows.get(each.key), loads) for each in found]
        made = partial(self._keys.made, self._connection)
        self._write(with_keys([each for each in new if each is not None], made))
        return [each is not None for each in new]

    def _write(self, new: Sequence[NewDocument]) -> None:
        ids = self._write_rows(new)
        self._remove_search_rows([(row.id, *each.found.key) for each in new if (row := each.replaced) is not None])
        self._add_search_rows([
            (ids[each.found.key], *each.found.key, each.flat) for each in new if each.flat is not None
        ])  # fmt: skip

    def _write_rows(self, new: Sequence[NewDocument]) -> dict[DocumentKey, int]:
        """Write the rows of documents; return their ids."""
        ids = {each.found.key: each.row.id for each in new if each.row is not None}
        values = {each.found.key: (*each.found.version, each.text, canonical(each.provenance)) for each in new}
        made = [(*values[key], *key) for key in sorted(values) if key not in ids]
        changed = [(*values[key], row_id) for key, row_id in ids.items()]
        if made:
            ids |= {(object_id, extractor): id_ for object_id, extractor, id_ in self._run(_INSERT, *columns(made))}
        if changed:
            self._run(_UPDATE, *columns(changed))
            self._run(_FORGET, column([row.id for each in new if (row := each.heals) is not None]))
        return ids

    def write_failures(self, failures: Sequence[FoundDocument]) -> list[bool]:
        """Keep failed attempts beside the last good documents; False where a newer attempt or document is stored.

        Provenance becomes a member of the kept failure.
        """
        if len({each.key for each in failures}) < len(failures):
            return [written for each in failures for written in self.write_failures([each])]
        rows = self._stored([each.key for each in failures])
        written = [is_newer_failure(each, rows.get(each.key)) for each in failures]
        put = [
            (*each.key, canonical({**each.body, "provenance": each.provenance}), *each.version)
            for each in itertools.compress(failures, written)
        ]
        if put:
            self._run(_PUT_FAILURES, *columns(put))
        return written

    def forget_failures(self, works: Iterable[tuple[bytes, str]]) -> int:
        """Forget the failed attempts of (packed FID, extractor); return how many there were."""
        rows = list(works)
        if not rows:
            return 0
        wanted = columns(rows)
        # A document that never was good was only there for its failure.
        forgotten = self._count(
            "UPDATE document SET failure = NULL, failure_generation = NULL, failure_serial = NULL"
            " FROM unnest(%b::bytea[], %b::text[]) AS w (fid, extractor) JOIN object ON object.fid = w.fid"
            " WHERE document.object = object.id AND document.extractor = w.extractor AND failure IS NOT NULL",
            *wanted,
        )
        self._run(
            "DELETE FROM document"
            " USING unnest(%b::bytea[], %b::text[]) AS w (fid, extractor) JOIN object ON object.fid = w.fid"
            " WHERE document.object = object.id AND document.extractor = w.extractor"
            " AND document.body IS NULL AND document.failure IS NULL",
            *wanted,
        )
        return forgotten

    def remove_some(self, documents: Collection[DocumentKey]) -> None:
        """Remove what extractors said of objects."""
        rows = self._stored(documents)
        gone = [(rows[key].id, *key) for key in documents if key in rows]
        if gone:
            self._remove_search_rows(gone)
            self._run(
                "DELETE FROM document WHERE id = ANY(%b::bigint[])", column([row_id for row_id, _, _ in gone])
            )

    def move_documents(self, source_id: int, target_id: int) -> None:
        """Give the documents and failures of one object to another (MIGRT: an object gets a new FID).

        Per extractor the newer of both stays, the target's where they are equal. The caller raises the target's
        generation to at least the source's.
        """
        if source_id == target_id:
            return
        rows = _by_key(self._run(_STORED_OF, column([source_id, target_id])))
        self.remove_some([key for key in rows if key[0] == source_id])
        for (object_id, extractor), row in rows.items():
            if object_id == source_id:
                self._move(row, target_id, rows.get((target_id, extractor)))

    def _move(self, row: DocumentRow, target_id: int, present: DocumentRow | None) -> None:
        if row.body is not None and (present is None or row.version > present.version):
            found = FoundDocument(
                target_id, row.extractor, row.version, json.loads(row.body), loads(row.provenance)
            )
            self.write_documents([found])
        if row.failure is not None and (present is None or row.failure_version > present.failure_version):
            failure = json.loads(row.failure)
            provenance = failure.pop("provenance", {})
            found = FoundDocument(target_id, row.extractor, row.failure_version, failure, provenance)
            self.write_failures([found])

    def rebuild(self) -> None:
        """Make all search rows anew from the stored documents (a later version searches more or otherwise)."""
        self._run(f"TRUNCATE {', '.join(TABLES)}, key, fulltext")
        last = 0
        while rows := self._run(
            "SELECT document.id, object, extractor, body, coalesce(uid, -1) FROM document JOIN object"
            " ON object.id = object WHERE body IS NOT NULL AND document.id > %s ORDER BY document.id LIMIT 1000",
            last,
        ).fetchall():
            flat = [flatten(json.loads(row[3])) for row in rows]
            for row, each in zip(rows, flat, strict=True):
                self._keys.made(self._connection, row[2], row[4], each.names)
            self._add_search_rows([(*row[:3], each) for row, each in zip(rows, flat, strict=True)])
            last = rows[-1][0]

    def _stored(self, keys: Collection[DocumentKey]) -> dict[DocumentKey, DocumentRow]:
        """Return the rows of documents, which nobody else changes until this transaction ends."""
        return _by_key(self._run(_STORED, *columns(sorted(keys)))) if keys else {}

    def _remove_search_rows(self, documents: Sequence[tuple[int, int, str]]) -> None:
        """Remove the rows of documents, given as (id, object, extractor)."""
        if not documents:
            return
        ids, objects, extractors = columns(documents)
        for table in TABLES:
            self._run(_REMOVE_VALUES.format(table), objects, extractors)
        self._run(_REMOVE_TEXTS, objects, ids)

    def _add_search_rows(self, documents: Sequence[tuple[int, int, str, Flat]]) -> None:
        """Add the rows of documents, given as (id, object, extractor, what is searched)."""
        if not documents:
            return
        keys = {
            extractor: self._keys.known(self._connection, extractor, names)
            for extractor, names in _key_names(documents).items()
        }
        for table, rows in _value_rows(documents, keys).items():
            self._run(_ADD_VALUES.format(table, _TYPES[table]), *columns(rows))
        texts = [
            (object_id, id_, number, piece)
            for id_, object_id, _, flat in documents
            for number, piece in enumerate(pieces(flat.text), start=1)
        ]
        if texts:
            self._run(_ADD_TEXTS, *columns(texts))


def _by_key(rows: Iterable[Row]) -> dict[DocumentKey, DocumentRow]:
    return {(row[0], row[2]): DocumentRow(*row[1:]) for row in rows}


def _key_names(documents: Iterable[tuple[int, int, str, Flat]]) -> dict[str, list[str]]:
    """Return the names of the keys that documents have, sorted, by extractor."""
    names: dict[str, set[str]] = defaultdict(set)
    for _, _, extractor, flat in documents:
        names[extractor] |= flat.names
    return {extractor: sorted(found) for extractor, found in names.items()}


def _value_rows(
    documents: Iterable[tuple[int, int, str, Flat]], keys: Mapping[str, Mapping[str, int]]
) -> dict[str, list[tuple[int, int, Any]]]:
    """Return the rows of each table that gets some: (object, key, value), in order."""
    rows: dict[str, list[tuple[int, int, Any]]] = defaultdict(list)
    for _, object_id, extractor, flat in documents:
        known = keys[extractor]
        for table, pairs in flat.rows:
            value_of = str if _TYPES[table] == "numeric" else _same
            rows[table] += [(object_id, known[name], value_of(value)) for name, value in pairs if name in known]
    return {table: sorted(found) for table, found in rows.items() if found}


def _same(value: Any) -> Any:
    return value
