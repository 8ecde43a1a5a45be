"""The rows that search finds documents by, in SQLite: gathered for many documents, then written table by table.

What a document had and has again is not touched. Rows go in the order of the tables' keys, which is quicker for
large ones.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict

from lustre_events.index.sqlite.keys import Keys
from lustre_events.index.values import TABLES, Flat

_Row = tuple[int, float | str, int]
"""The id of a key, a value, an object."""

_Flats = dict[str, list[tuple[int, Flat]]]
"""By extractor: objects, each with what is searched of its document."""


class SearchRows:
    """Gathers what documents of one set add and remove."""

    def __init__(self, connection: sqlite3.Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys
        self._added: _Flats = defaultdict(list)
        self._removed: _Flats = defaultdict(list)
        self._texts: list[tuple[int, str]] = []
        self._old_texts: list[tuple[int, str]] = []
        self._whole = True

    def add(self, object_id: int, document_id: int, extractor: str, flat: Flat) -> None:
        """Let a document be found by these values, as far as their keys are made."""
        self._added[extractor].append((object_id, flat))
        if flat.text:
            self._texts.append((document_id, flat.text))

    def remove(self, object_id: int, document_id: int, extractor: str, flat: Flat, *, whole: bool) -> None:
        """Let a document not be found by these values any more; what is added is added afterwards.

        Not `whole`: some of its keys may have had no id when it was written, and have one now.
        """
        self._whole = self._whole and whole
        self._removed[extractor].append((object_id, flat))
        if flat.text:
            self._old_texts.append((document_id, flat.text))

    def write(self) -> None:
        """Write all of it."""
        removed, added = self._numbered(self._removed), self._numbered(self._added)
        for table, gone, new in zip(TABLES, removed, added, strict=True):
            self._exchange(table, gone, new)
        same = set(self._old_texts).intersection(self._texts) if self._old_texts else ()
        self._connection.executemany(
            "INSERT INTO fulltext (fulltext, rowid, body) VALUES ('delete', ?, ?)",
            [each for each in self._old_texts if each not in same],
        )
        self._connection.executemany(
            "INSERT INTO fulltext (rowid, body) VALUES (?, ?)", [each for each in self._texts if each not in same]
        )

    def _exchange(self, table: str, gone: list[_Row], new: list[_Row]) -> None:
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

    def _numbered(self, flats: _Flats) -> list[list[_Row]]:
        """Return the rows of each table with the ids of their keys, in order, without those whose key has none."""
        found: list[list[_Row]] = [[] for _ in TABLES]
        for extractor, own in flats.items():
            wanted = set[str]().union(*(flat.names for _, flat in own))
            known = self._keys.known(self._connection, extractor, wanted)
            whole = wanted <= known.keys()
            for object_id, flat in own:
                for rows, pairs in zip(found, flat.pairs, strict=True):
                    rows += [(known[name], value, object_id) for name, value in pairs if whole or name in known]
        for rows in found:
            rows.sort()
        return found
