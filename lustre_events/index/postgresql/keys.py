"""Keys of documents in PostgreSQL: the ids of dotted names, which every extractor may have so many of.

Keys are never removed, so what is known of them stays true; only those that were made in a transaction which was
undone are forgotten (`undone`). Several sessions may make the same key at once: each finds the one that is there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lustre_events.index.documents import MAX_KEYS_OF_EXTRACTOR
from lustre_events.index.postgresql.database import Connection

_REMEMBERED = 200_000
"""Keys of which the ids are kept: some 30 MB."""
_KNOWN = "SELECT name, id FROM key WHERE extractor = %s AND name = ANY(%b::text[])"
_MAKE = (
    "INSERT INTO key (extractor, name) SELECT %s, name FROM unnest(%b::text[]) AS new (name)"
    " LIMIT greatest(0, %s - (SELECT count(*) FROM key WHERE extractor = %s)) ON CONFLICT DO NOTHING"
)


class Keys:
    """Knows ids of keys, by extractor and name."""

    def __init__(self) -> None:
        self._ids: dict[str, dict[str, int]] = {}
        self._count = 0

    def undone(self) -> None:
        """Forget all: a transaction was undone, and keys that it made with it."""
        self._ids.clear()
        self._count = 0

    def known(self, connection: Connection, extractor: str, names: Collection[str]) -> Mapping[str, int]:
        """Return the ids of an extractor's keys; of those of `names` that there are, and of others."""
        if self._count > _REMEMBERED:
            self.undone()
        ids = self._ids.setdefault(extractor, {})
        missing = [name for name in names if name not in ids]
        if missing:
            found = connection.execute(_KNOWN, [extractor, missing], binary=True).fetchall()
            ids.update(found)
            self._count += len(found)
        return ids

    def made(self, connection: Connection, extractor: str, names: Collection[str]) -> Mapping[str, int]:
        """Return the ids of an extractor's keys; those of `names` are made, as many as the extractor may have."""
        ids = self.known(connection, extractor, names)
        new = sorted(name for name in names if name not in ids)
        if new:
            connection.execute(_MAKE, [extractor, new, MAX_KEYS_OF_EXTRACTOR, extractor])
            ids = self.known(connection, extractor, new)
        return ids
