"""Where documents come from, in SQLite: what all documents of one job share is stored once (table `origin`).

The provenance of a document (its job, host, version, image, ...) is longer than many a document, and all files of
a job have the same but for the record that was their cause. Each row counts its documents and goes with the last.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from lustre_events.index.documents import TRUNCATED
from lustre_events.index.values import canonical

_RECORD = "record"
OWN = frozenset({_RECORD, TRUNCATED})
"""Members that stay with the document; as JSON, where the record is all of them only its number."""


class Origins:
    """Counts documents of origins, for one set of documents; `write` writes what has changed.

    Documents of a job come together, so few origins are asked for, each once.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._ids: dict[bytes, int] = {}
        self._more: Counter[int] = Counter()
        self._released: set[int] = set()

    def keep(self, provenance: Mapping[str, Any]) -> tuple[int, str]:
        """Count one document more of what is shared; return its id and what is the document's own, as JSON."""
        shared = {name: value for name, value in provenance.items() if name not in OWN}
        own = {name: value for name, value in provenance.items() if name in OWN}
        record = own.get(_RECORD)
        short = len(own) == 1 and isinstance(record, int) and not isinstance(record, bool)
        origin = self._origin(shared)
        self._more[origin] += 1
        return origin, str(record) if short else canonical(own)

    def release(self, origin: int | None) -> None:
        """Count one document less; None: a document of the first version has all of its provenance itself."""
        if origin is not None:
            self._more[origin] -= 1
            self._released.add(origin)

    def write(self) -> None:
        """Write the counts, and remove origins of which no document is left."""
        self._connection.executemany(
            "UPDATE origin SET documents = documents + ? WHERE id = ?",
            [(more, origin) for origin, more in self._more.items() if more],
        )
        self._connection.executemany(
            "DELETE FROM origin WHERE id = ? AND documents = 0", [(origin,) for origin in self._released]
        )

    def _origin(self, shared: Mapping[str, Any]) -> int:
        """Return the id of what is shared, which is made a text once for all documents that share it."""
        try:
            sign = msgspec.json.encode(shared)
        except (msgspec.MsgspecError, OverflowError, UnicodeError, RecursionError):  # a text that JSON has not
            return self._stored(canonical(shared))
        origin = self._ids.get(sign)
        if origin is None:
            origin = self._ids[sign] = self._stored(canonical(shared))
        return origin

    def _stored(self, shared: str) -> int:
        digest = hashlib.blake2b(shared.encode(), digest_size=16).digest()
        row = self._connection.execute("SELECT id FROM origin WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            made = self._connection.execute(
                "INSERT INTO origin (digest, body, documents) VALUES (?, ?, 0)", (digest, shared)
            )
            return int(made.lastrowid or 0)
        return int(row[0])


def whole(shared: str | None, own: str | None) -> dict[str, Any]:
    """Return a provenance from both its parts."""
    return {**json.loads(shared or "{}"), **own_members(own)}


def own_members(own: str | None) -> dict[str, Any]:
    """Return the members that a document keeps itself."""
    loaded = json.loads(own or "{}")
    return loaded if isinstance(loaded, dict) else {_RECORD: loaded}
