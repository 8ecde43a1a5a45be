"""The rows that search finds documents by, in SQLite: gathered for many documents, then written table by table.

What a document had and has again is not touched. Rows go in the order of the tables' keys, which is quicker for
large ones.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Mapping

from lustre_events.index.sqlite.keys import Keys
from lustre_events.index.values import TABLES, Flat

_Rows = dict[tuple[str, str], list[tuple[str, float | str, int]]]
"""By table and extractor: (name of the key, value, object)."""


class SearchRows:
    """Gathers what documents of one set add and remove."""

    def __init__(self, connection: sqlite3.Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys
        self._added: _Rows = defaultdict(list)
        self._removed: _Rows = defaultdict(list)
        self._texts: list[tuple[int, str]] = []
        self._old_texts: list[tuple[int, str]] = []
        self._whole = True

    def add(self, object_id: int, document_id: int, extractor: str, flat: Flat) -> None:
        """Let a document be found by these values, as far as their keys are made."""
        _gather(self._added, object_id, extractor, flat)
        if flat.text:
            self._texts.append((document_id, flat.text))

    def remove(self, object_id: int, document_id: int, extractor: str, flat: Flat, *, whole: bool) -> None:
        """Let a document not be found by these values any more; what is added is added afterwards.

        Not `whole`: some of its keys may have had no id when it was written, and have one now.
        """
        self._whole = self._whole and whole
        _gather(self._removed, object_id, extractor, flat)
        if flat.text:
            self._old_texts.append((document_id, flat.text))

    def write(self) -> None:
        """Write all of it."""
        removed, added = self._ids(self._removed), self._ids(self._added)
        for table in TABLES:
            self._exchange(table, _numbered(self._removed, table, removed), _numbered(self._added, table, added))
        same = set(self._old_texts).intersection(self._texts) if self._old_texts else ()
        self._connection.executemany(
            "INSERT INTO fulltext (fulltext, rowid, body) VALUES ('delete', ?, ?)",
            [each for each in self._old_texts if each not in same],
        )
        self._connection.executemany(
            "INSERT INTO fulltext (rowid, body) VALUES (?, ?)", [each for each in self._texts if each not in same]
        )

    def _exchange(
        self, table: str, gone: list[tuple[int, float | str, int]], new: list[tuple[int, float | str, int]]
    ) -> None:
        """Remove rows of a table, then add some; what is among both is there, if all keys had ids before."""
        stays = set(gone).intersection(new) if gone and self._whole else ()
        if stays:
            gone, new = ([row for row in rows if row not in stays] for rows in (gone, new))
        self._connection.executemany(
            f"DELETE FROM {table} WHERE key = ? AND value = ? AND object = ?",  # noqa: S608 - constants
            gone,
        )
        self._connection.executemany(
            f"INSERT INTO {table} (key, value, object) VALUES (?, ?, ?)",  # noqa: S608 - constants
            new,
        )

    def _ids(self, rows: _Rows) -> dict[str, Mapping[str, int]]:
        """Return the ids of the keys of rows, by extractor."""
        names: dict[str, set[str]] = defaultdict(set)
        for (_, extractor), own in rows.items():
            names[extractor].update(name for name, _, _ in own)
        return {
            extractor: self._keys.known(self._connection, extractor, wanted) for extractor, wanted in names.items()
        }


def _numbered(rows: _Rows, table: str, ids: Mapping[str, Mapping[str, int]]) -> list[tuple[int, float | str, int]]:
    """Return rows with the ids of their keys, in order; those whose key has none are left out."""
    found: list[tuple[int, float | str, int]] = []
    for (of_table, extractor), own in rows.items():
        if of_table == table:
            known = ids[extractor]
            found += [(known[name], value, object_id) for name, value, object_id in own if name in known]
    found.sort()
    return found


def _gather(rows: _Rows, object_id: int, extractor: str, flat: Flat) -> None:
    for table, pairs in flat.rows:
        if pairs:
            rows[table, extractor] += [(name, value, object_id) for name, value in pairs]
