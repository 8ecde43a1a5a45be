"""Documents in PostgreSQL: one per (object, extractor), with the rows that search finds them by.

The rules are those of documents.py. Search rows are found by object, so nothing old need be known to
remove them. Documents come one by one, many in a step: they are kept, and written together before any other
statement is run.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lustre_events.index.documents import COLUMNS, MAX_KEYS_OF_EXTRACTOR, TRUNCATED, DocumentRow, loads
from lustre_events.index.postgresql.database import Connection
from lustre_events.index.postgresql.fulltext import pieces
from lustre_events.index.postgresql.numeric import numeric
from lustre_events.index.postgresql.session import Session, columns
from lustre_events.index.values import TABLES, Flat, canonical, flatten

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
_UPDATE = (
    "UPDATE document SET generation = new.generation, serial = new.serial, body = new.body,"
    " provenance = new.provenance"
    " FROM unnest(%b::bigint[], %b::integer[], %b::text[], %b::text[], %b::bigint[])"
    " AS new (generation, serial, body, provenance, id) WHERE document.id = new.id"
)
_FORGET = (
    "UPDATE document SET failure = NULL, failure_generation = NULL, failure_serial = NULL"
    " WHERE id = ANY(%b::bigint[])"
)

_Key = tuple[int, str]
"""An object's id and the name of an extractor."""


@dataclass(frozen=True, slots=True)
class _New:
    """A document that is to be written over `row`. `flat` None: it is searched as before."""

    row: DocumentRow | None
    version: tuple[int, int]
    text: str
    provenance: str
    flat: Flat | None


class Documents(Session):
    """What a transaction does with documents.

    `_rows` are rows as they are in the table, all of the objects in `_fetched`; `_new` wait to be written.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        super().__init__(connection, name)
        self._rows: dict[_Key, DocumentRow] = {}
        self._fetched: set[int] = set()
        self._new: dict[_Key, _New] = {}

    def flush(self) -> None:
        """Write the facts and documents that are kept."""
        super().flush()
        self._rows.clear()
        self._fetched.clear()
        new, self._new = self._new, {}
        if not new:
            return
        ids = self._ids(new)
        changed = [(key, each.row, each.flat) for key, each in new.items() if each.flat is not None]
        self._remove_search_rows(
            [(row.id, *key) for key, row, _ in changed if row is not None and row.body is not None]
        )
        self._add_search_rows([(ids[key], *key, flat) for key, _, flat in changed])
        rows = [(*each.version, each.text, each.provenance, ids[key]) for key, each in new.items()]
        self._execute(_UPDATE, columns(rows))
        self._forget_failures(new.values())

    def _forget_failures(self, new: Iterable[_New]) -> None:
        rows = [(each.row, each.version) for each in new if each.row is not None]
        repaired = [row.id for row, version in rows if row.failure is not None and row.failure_version <= version]
        if repaired:
            self._execute(_FORGET, [repaired])

    def write_document(
        self,
        object_id: int,
        extractor: str,
        version: tuple[int, int],
        body: Mapping[str, Any],
        provenance: Mapping[str, Any],
    ) -> bool:
        """Write what an extractor found in an object; False when a newer version is stored.

        A version is (generation, serial). A failed attempt of the same or an older one is forgotten. A document
        that is too large to be searched as a whole says so in its provenance.
        """
        key = (object_id, extractor)
        if key in self._new:
            self.flush()
        row = self._row(key)
        if row is not None and row.version > version:
            return False
        text = canonical(body)
        provenance, flat = {**provenance}, None
        if row is not None and row.body == text:
            provenance |= {name: value for name, value in loads(row.provenance).items() if name == TRUNCATED}
        else:
            flat = flatten(json.loads(text))
            provenance |= {TRUNCATED: True} if flat.truncated else {}
        self._new[key] = _New(row, version, text, canonical(provenance), flat)
        return True

    def write_failure(
        self,
        object_id: int,
        extractor: str,
        version: tuple[int, int],
        failure: Mapping[str, Any],
        provenance: Mapping[str, Any],
    ) -> bool:
        """Keep a failed attempt beside the last good document; False when a newer attempt or document is stored."""
        row = self._document(object_id, extractor)
        if row is not None and (row.version >= version or row.failure_version > version):
            return False
        row_id = row.id if row is not None else self._new_document(object_id, extractor)
        self._run(
            "UPDATE document SET failure = %s, failure_generation = %s, failure_serial = %s WHERE id = %s",
            canonical({**failure, "provenance": provenance}), *version, row_id,
        )  # fmt: skip
        return True

    def forget_failures(self, works: Iterable[tuple[bytes, str]]) -> int:
        """Forget the failed attempts of (packed FID, extractor); return how many there were."""
        rows = list(works)
        if not rows:
            return 0
        wanted = columns(rows)
        # A document that never was good was only there for its failure.
        forgotten = self._run(
            "UPDATE document SET failure = NULL, failure_generation = NULL, failure_serial = NULL"
            " FROM unnest(%b::bytea[], %b::text[]) AS w (fid, extractor) JOIN object ON object.fid = w.fid"
            " WHERE document.object = object.id AND document.extractor = w.extractor AND failure IS NOT NULL",
            *wanted,
        ).rowcount
        self._run(
            "DELETE FROM document"
            " USING unnest(%b::bytea[], %b::text[]) AS w (fid, extractor) JOIN object ON object.fid = w.fid"
            " WHERE document.object = object.id AND document.extractor = w.extractor"
            " AND document.body IS NULL AND document.failure IS NULL",
            *wanted,
        )
        return forgotten

    def remove_document(self, object_id: int, extractor: str) -> None:
        """Remove what one extractor said of an object, with its search rows."""
        row = self._document(object_id, extractor)
        if row is not None:
            self._remove_search_rows([(row.id, object_id, extractor)])
            self._run("DELETE FROM document WHERE id = %s", row.id)
            self._rows.pop((object_id, extractor), None)

    def move_documents(self, source_id: int, target_id: int) -> None:
        """Give the documents and failures of one object to another (MIGRT: an object gets a new FID).

        Per extractor the newer of both stays, the target's where they are equal. The caller raises the target's
        generation to at least the source's.
        """
        if source_id == target_id:
            return
        rows = self._run(f"SELECT {COLUMNS} FROM document WHERE object = %s", source_id)  # noqa: S608 - a constant
        for row in [DocumentRow(*values) for values in rows]:
            self._remove_search_rows([(row.id, source_id, row.extractor)])
            self._run("DELETE FROM document WHERE id = %s", row.id)
            present = self._document(target_id, row.extractor)
            if row.body is not None and (present is None or row.version > present.version):
                body, provenance = json.loads(row.body), loads(row.provenance)
                self.write_document(target_id, row.extractor, row.version, body, provenance)
            if row.failure is not None and (present is None or row.failure_version > present.failure_version):
                failure = json.loads(row.failure)
                provenance = failure.pop("provenance", {})
                self.write_failure(target_id, row.extractor, row.failure_version, failure, provenance)

    def rebuild(self) -> None:
        """Make all search rows anew from the stored documents (a later version searches more or otherwise)."""
        self._run(f"TRUNCATE {', '.join(TABLES)}, key, fulltext")
        last = 0
        while rows := self._run(
            "SELECT id, object, extractor, body FROM document"
            " WHERE body IS NOT NULL AND id > %s ORDER BY id LIMIT 1000",
            last,
        ).fetchall():
            self._add_search_rows(
                [(id_, object_id, extractor, flatten(json.loads(body))) for id_, object_id, extractor, body in rows]
            )
            last = rows[-1][0]

    def _document(self, object_id: int, extractor: str) -> DocumentRow | None:
        row = self._run(
            f"SELECT {COLUMNS} FROM document WHERE object = %s AND extractor = %s",  # noqa: S608 - a constant
            object_id, extractor,
        ).fetchone()  # fmt: skip
        return None if row is None else DocumentRow(*row)

    def _new_document(self, object_id: int, extractor: str) -> int:
        row = self._run(
            "INSERT INTO document (object, extractor) VALUES (%s, %s) RETURNING id", object_id, extractor
        ).fetchone()
        return int(row[0]) if row else 0

    def _row(self, key: _Key) -> DocumentRow | None:
        """Return a row of the table; the first one that is asked for brings those of all objects last asked for."""
        if key[0] not in self._fetched:
            objects = {key[0], *self._recent}
            self._recent = ()
            rows = self._execute(
                f"SELECT object, {COLUMNS} FROM document WHERE object = ANY(%b::bigint[])",  # noqa: S608 - a constant
                [sorted(objects)],
            )
            self._rows |= {(row[0], row[2]): DocumentRow(*row[1:]) for row in rows}
            self._fetched |= objects
        return self._rows.get(key)

    def _ids(self, new: Mapping[_Key, _New]) -> dict[_Key, int]:
        """Return the ids of documents; new ones get theirs."""
        ids = {key: each.row.id for key, each in new.items() if each.row is not None}
        missing = [key for key in new if key not in ids]
        if missing:
            made = self._execute(
                "INSERT INTO document (object, extractor) SELECT * FROM unnest(%b::bigint[], %b::text[])"
                " RETURNING object, extractor, id",
                columns(missing),
            )
            ids |= {(object_id, extractor): id_ for object_id, extractor, id_ in made}
        return ids

    def _remove_search_rows(self, documents: Sequence[tuple[int, int, str]]) -> None:
        """Remove the rows of documents, given as (id, object, extractor)."""
        if not documents:
            return
        ids, objects, extractors = columns(documents)
        for table in TABLES:
            self._execute(_REMOVE_VALUES.format(table), [objects, extractors])
        self._execute(_REMOVE_TEXTS, [objects, ids])

    def _add_search_rows(self, documents: Sequence[tuple[int, int, str, Flat]]) -> None:
        """Add the rows of documents, given as (id, object, extractor, what is searched)."""
        keys = {extractor: self._keys(extractor, found) for extractor, found in _key_names(documents).items()}
        for table, rows in _value_rows(documents, keys).items():
            self._execute(_ADD_VALUES.format(table, _TYPES[table]), columns(rows))
        texts = [
            (object_id, id_, number, piece)
            for id_, object_id, _, flat in documents
            for number, piece in enumerate(pieces(flat.text), start=1)
        ]
        if texts:
            self._execute(_ADD_TEXTS, columns(texts))

    def _keys(self, extractor: str, names: list[str]) -> dict[str, int]:
        """Return the ids of keys; new ones are made, as many as the extractor may have."""
        known = self._known_keys(extractor, names)
        new = [name for name in names if name not in known]
        if new:
            self._execute(
                "INSERT INTO key (extractor, name) SELECT %s, name FROM unnest(%b::text[]) AS new (name)"
                " LIMIT greatest(0, %s - (SELECT count(*) FROM key WHERE extractor = %s))",
                [extractor, new, MAX_KEYS_OF_EXTRACTOR, extractor],
            )
            known |= self._known_keys(extractor, new)
        return known

    def _known_keys(self, extractor: str, names: list[str]) -> dict[str, int]:
        if not names:
            return {}
        rows = self._execute(
            "SELECT name, id FROM key WHERE extractor = %s AND name = ANY(%b::text[])", [extractor, names]
        )
        return {row[0]: row[1] for row in rows}


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
            value_of = numeric if _TYPES[table] == "numeric" else _same
            rows[table] += [(object_id, known[name], value_of(value)) for name, value in pairs if name in known]
    return {table: sorted(found) for table, found in rows.items() if found}


def _same(value: Any) -> Any:
    return value
