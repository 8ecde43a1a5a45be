"""Rows of the table `document`, as both databases have them: the last good document and the last failed attempt."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

MAX_KEYS_OF_EXTRACTOR = 50_000
"""Different keys of one extractor over all its documents; further ones are not searched. A key stays known
when no document has it any more, so that whether a document's key is searched never changes behind it."""

TRUNCATED = "search_truncated"
"""Set in the provenance of a document of which not everything is searched (the bounds of values.py)."""

COLUMNS = "id, extractor, generation, serial, body, provenance, failure, failure_generation, failure_serial"


class DocumentRow(NamedTuple):
    """The COLUMNS of one row. `origin` is SQLite's: the id of the rest of the provenance (origin.py)."""

    id: int
    extractor: str
    generation: int
    serial: int
    body: str | None
    provenance: str | None
    failure: str | None
    failure_generation: int | None
    failure_serial: int | None
    origin: int | None = None

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


def loads(text: str | None) -> dict[str, Any]:
    """Return the object of a JSON text, {} where there is none."""
    loaded: dict[str, Any] = json.loads(text or "{}")
    return loaded
