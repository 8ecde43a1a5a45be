"""Where documents come from, in SQLite: what all documents of one job share is stored once (table `origin`).

The provenance of a document (its job, host, version, image, ...) is longer than many a document, and all files of
a job have the same but for the record that was their cause. Each row counts its documents and goes with the last.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from lustre_events.index.documents import TRUNCATED
from lustre_events.index.values import canonical

_RECORD = "record"
OWN = frozenset({_RECORD, TRUNCATED})
"""Members that stay with the document; as JSON, where the record is all of them only its number."""


def keep(connection: sqlite3.Connection, provenance: Mapping[str, Any]) -> tuple[int, str]:
    """Store what is shared, counted once more; return its id and what is the document's own, as JSON."""
    shared = canonical({name: value for name, value in provenance.items() if name not in OWN})
    own = {name: value for name, value in provenance.items() if name in OWN}
    record = own.get(_RECORD)
    short = len(own) == 1 and isinstance(record, int) and not isinstance(record, bool)
    digest = hashlib.blake2b(shared.encode(), digest_size=16).digest()
    row = connection.execute(
        "INSERT INTO origin (digest, body, documents) VALUES (?, ?, 1)"
        " ON CONFLICT (digest) DO UPDATE SET documents = documents + 1 RETURNING id",
        (digest, shared),
    ).fetchone()
    return int(row[0]), str(record) if short else canonical(own)


def release(connection: sqlite3.Connection, origin: int | None) -> None:
    """Count one document less; None: a document of the first version has all of its provenance itself."""
    if origin is not None:
        connection.execute("UPDATE origin SET documents = documents - 1 WHERE id = ?", (origin,))
        connection.execute("DELETE FROM origin WHERE id = ? AND documents = 0", (origin,))


def whole(shared: str | None, own: str | None) -> dict[str, Any]:
    """Return a provenance from both its parts."""
    return {**json.loads(shared or "{}"), **own_members(own)}


def own_members(own: str | None) -> dict[str, Any]:
    """Return the members that a document keeps itself."""
    loaded = json.loads(own or "{}")
    return loaded if isinstance(loaded, dict) else {_RECORD: loaded}
