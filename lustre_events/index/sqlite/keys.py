"""Keys of documents in SQLite: the ids of dotted names, which every extractor may have so many of.

Keys are never removed, so what is known of them stays true; only those that were made in a transaction which was
undone are forgotten (`undone`). So one writer asks for each key once.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Collection, Mapping

from lustre_events.index.documents import MAX_KEYS_OF_EXTRACTOR

_REMEMBERED = 200_000
"""Keys of which the ids are kept: some 30 MB."""
_CHUNK = 100
_MARKS = ",".join("?" * _CHUNK)


class Keys:
    """Knows ids of keys, by extractor and name."""

    def __init__(self) -> None:
        self._ids: dict[str, dict[str, int]] = {}
        self._count = 0

    def undone(self) -> None:
        """Forget all: a transaction was undone, and keys that it made with it."""
        self._ids.clear()
        self._count = 0

    def known(self, connection: sqlite3.Connection, extractor: str, names: Collection[str]) -> Mapping[str, int]:
        """Return the ids of an extractor's keys; of those of `names` that there are, and of others."""
        if self._count > _REMEMBERED:
            self.undone()
        ids = self._ids.setdefault(extractor, {})
        missing = iter([name for name in names if name not in ids])
        while chunk := list(itertools.islice(missing, _CHUNK)):
            found = connection.execute(
                f"SELECT name, id FROM key WHERE extractor = ? AND name IN ({_MARKS})",  # noqa: S608 - marks
                [extractor, *chunk, *[None] * (_CHUNK - len(chunk))],
            ).fetchall()
            ids.update(found)
            self._count += len(found)
        return ids

    def made(self, connection: sqlite3.Connection, extractor: str, names: Collection[str]) -> Mapping[str, int]:
        """Return the ids of an extractor's keys; those of `names` are made, as many as the extractor may have."""
        ids = self.known(connection, extractor, names)
        new = sorted(name for name in names if name not in ids)
        if new:
            (count,) = connection.execute("SELECT count(*) FROM key WHERE extractor = ?", (extractor,)).fetchone()
            room = max(0, MAX_KEYS_OF_EXTRACTOR - count)
            connection.executemany(
                "INSERT INTO key (extractor, name) VALUES (?, ?)", [(extractor, name) for name in new[:room]]
            )
            ids = self.known(connection, extractor, new[:room])
        return ids
