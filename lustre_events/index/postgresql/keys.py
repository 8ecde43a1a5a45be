"""Keys of documents in PostgreSQL: the ids of dotted names, of which each owner of files may have a number.

Per extractor. Only the dispatcher frees keys, so what it knows of their ids stays true; only those of a transaction
which was undone are forgotten (`undone`). Indexers make keys, too, and know none for longer than a transaction, in
which they share a lock that `free` takes alone; they make them in a session of their own, so that those who make
the same ones do not wait for each other's documents. So keys are counted again once they have written
(`others_wrote`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import psycopg

from lustre_events.index.documents import MAX_KEYS_OF_EXTRACTOR, MAX_KEYS_OF_OWNER
from lustre_events.index.postgresql.database import ALONE, LOCK_SECONDS, Connection
from lustre_events.index.values import TABLES

_REMEMBERED = 200_000
"""Keys of which the ids are kept: some 30 MB."""
_KNOWN = "SELECT name, id FROM key WHERE extractor = %s AND name = ANY(%b::text[])"
_MAKE = (
    "INSERT INTO key (extractor, owner, name) SELECT %s, %s, name FROM unnest(%b::text[]) AS new (name)"
    " ON CONFLICT DO NOTHING"
)
_COUNT = "SELECT count(*), count(*) FILTER (WHERE owner = %s) FROM key WHERE extractor = %s"
_USED = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE {table}.key = key.id)" for table in TABLES)  # noqa: S608
_LOOK = f"SELECT id, extractor, owner, name, {_USED} FROM key WHERE id > %s ORDER BY id LIMIT %s"  # noqa: S608

_FREE = f"DELETE FROM key WHERE id = ANY(%b::integer[]) AND NOT ({_USED}) RETURNING id"  # noqa: S608


def _alone(connection: Connection) -> bool:
    """Begin to be alone with the keys until the transaction ends; return whether nobody was in the way for long."""
    try:
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '1s'")
            connection.execute(ALONE)
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
    except psycopg.errors.LockNotAvailable:
        return False
    return True


class Keys:
    """Knows ids of keys, by extractor and name."""

    def __init__(self, making: Callable[[], Connection] | None = None) -> None:
        """Take where keys are made; None: in the transaction that needs them.

        Else at once, in a session of its own: who makes the same ones does not wait until that transaction ends.
        It must be READ COMMITTED, and keep the lock that `free` takes alone.
        """
        self._making = making
        self._ids: dict[str, dict[str, int]] = {}
        self._count = 0
        self._sums: dict[tuple[str, int | None], int] = {}
        """How many keys there are by extractor and owner; owner None: of all."""

    def undone(self) -> None:
        """Forget all: a transaction was undone, and keys that it made with it."""
        self._ids.clear()
        self._sums.clear()
        self._count = 0

    def others_wrote(self) -> None:
        """Count keys again before more are made: indexers may have made some."""
        self._sums.clear()

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

    def made(self, connection: Connection, extractor: str, owner: int, names: Collection[str]) -> Mapping[str, int]:
        """Return the ids of an extractor's keys; those of `names` are made, as many as the owner may have."""
        ids = self.known(connection, extractor, names)
        new = sorted(name for name in names if name not in ids)
        new = new and new[: self._room(connection, extractor, owner)]
        if new:
            making = self._making() if self._making else connection
            making.execute(_MAKE, [extractor, owner, new])
            for whose in (owner, None):
                self._sums[extractor, whose] += len(new)
            ids = self.known(connection, extractor, new)
        return ids

    def free(self, connection: Connection, after: int, limit: int) -> int:
        """Remove the unused of `limit` keys behind the id `after`; return the id reached, 0: there are no more.

        Where somebody keeps the lock for longer than a second, none is removed: nothing else waits for this.
        """
        rows = connection.execute(_LOOK, [after, limit], binary=True).fetchall()
        unused = [row for row in rows if not row[4]]
        if unused and not _alone(connection):
            unused = []  # they have their turn in the next round
        if unused:
            ids = [[row[0] for row in unused]]
            gone = set(connection.execute(_FREE, ids, binary=True).fetchall())
            unused = [row for row in unused if (row[0],) in gone]
        for _, extractor, owner, name, _ in unused:
            self._ids.get(extractor, {}).pop(name, None)
            for whose in (owner, None):
                self._sums.pop((extractor, whose), None)
        return int(rows[-1][0]) if len(rows) == limit else 0

    def _room(self, connection: Connection, extractor: str, owner: int) -> int:
        """Return how many keys an owner may yet have. Counted once; then what is made is added."""
        if not {(extractor, owner), (extractor, None)} <= self._sums.keys():
            of_all, of_owner = connection.execute(_COUNT, [owner, extractor]).fetchone() or (0, 0)
            self._sums |= {(extractor, None): of_all, (extractor, owner): of_owner}
        of_owner, of_all = self._sums[extractor, owner], self._sums[extractor, None]
        return max(0, min(MAX_KEYS_OF_OWNER - of_owner, MAX_KEYS_OF_EXTRACTOR - of_all))
