"""Rows of the table `document`, as both databases have them: the last good document and the last failed attempt."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from lustre_events.changelog.fid import FID
from lustre_events.index.values import Flat, canonical, flatten

MAX_KEYS_OF_OWNER = 20_000
"""Different keys of one extractor over all documents of one owner's files; further ones are not searched there.

So a user whose files have ever new keys takes none from others. Unused keys are freed (sweep.py).
"""

MAX_KEYS_OF_EXTRACTOR = 500_000
"""The same over all owners: the limit of the table of keys."""

NOBODY = -1
"""Stands for an unknown owner of files."""

FULL = f"SELECT extractor, owner FROM key GROUP BY extractor, owner HAVING count(*) >= {MAX_KEYS_OF_OWNER}"  # noqa: S608
"""SQL: extractors, each with an owner who has all the keys that one may have."""

TRUNCATED = "search_truncated"
"""Set in the provenance of a document of which not everything is searched: the bounds of values.py, or of keys."""

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
        """The version of the good document; below every version where there is none."""
        return (self.generation, self.serial) if self.body is not None else (-1, -1)

    @property
    def failure_version(self) -> tuple[int, int]:
        """The version of the failed attempt; below every version where there is none."""
        if self.failure is None:
            return (-1, -1)
        return (self.failure_generation or 0, self.failure_serial or 0)


def oldest(rows: Iterable[tuple[bytes, str | None]]) -> dict[FID, int]:
    """Return the least `time_ns` of each object; rows are packed FIDs and provenances, of which some tell none."""
    found: dict[FID, int] = {}
    times: dict[str, Any] = {}  # documents of one job have the same
    for packed, provenance in rows:
        told = provenance or "{}"
        if told not in times:
            times[told] = json.loads(told).get("time_ns")
        time_ns = times[told]
        if type(time_ns) is int:
            fid = FID.unpack(packed)
            found[fid] = min(time_ns, found.get(fid, time_ns))
    return found


DocumentKey = tuple[int, str]
"""An object's id and the name of an extractor."""


class FoundDocument(NamedTuple):
    """A document, or a failed attempt, of (generation, serial) `version`, with where it comes from."""

    object: int
    extractor: str
    version: tuple[int, int]
    body: Mapping[str, Any]
    provenance: Mapping[str, Any]
    owner: int = NOBODY

    @property
    def key(self) -> DocumentKey:
        """Whose document it is."""
        return self.object, self.extractor


class NewDocument(NamedTuple):
    """A document that is to be written over `row`; `flat` None: it is searched as before."""

    found: FoundDocument
    row: DocumentRow | None
    text: str
    provenance: Mapping[str, Any]
    flat: Flat | None

    @property
    def replaced(self) -> DocumentRow | None:
        """The row of which the search rows go; None: nothing goes."""
        return self.row if self.flat is not None and self.row is not None and self.row.body is not None else None

    @property
    def heals(self) -> DocumentRow | None:
        """The row of which the failure is forgotten; None: there is none, or a newer one."""
        row = self.row
        return row if row is not None and row.failure and row.failure_version <= self.found.version else None


def new_document(
    found: FoundDocument, row: DocumentRow | None, members: Callable[[str | None], Mapping[str, Any]]
) -> NewDocument | None:
    """Return what is to be written; None: a newer one is stored. `members` are those of a stored provenance."""
    if row is not None and row.version > found.version:
        return None
    text = canonical(found.body)
    if row is not None and row.body == text:
        kept = {name: value for name, value in members(row.provenance).items() if name == TRUNCATED}
        return NewDocument(found, row, text, {**found.provenance, **kept}, None)
    flat = flatten(found.body)
    cut = {TRUNCATED: True} if flat.truncated else {}
    return NewDocument(found, row, text, {**found.provenance, **cut}, flat)


Make = Callable[[str, int, Sequence[str]], Mapping[str, int]]
"""Makes keys of an extractor, for an owner, as many as that owner may have; returns the ids of those there."""


def with_keys(new: Sequence[NewDocument], make: Make) -> list[NewDocument]:
    """Return documents, the keys of which are made; one that has a key for which there is no room says so."""
    names: dict[tuple[str, int], set[str]] = defaultdict(set)
    for each in new:
        if each.flat is not None:
            names[each.found.extractor, each.found.owner] |= each.flat.names
    ids = {whose: make(*whose, sorted(wanted)) for whose, wanted in sorted(names.items())}
    return [
        each
        if each.flat is None or each.flat.names <= ids[each.found.extractor, each.found.owner].keys()
        else each._replace(provenance={**each.provenance, TRUNCATED: True})
        for each in new
    ]


def is_newer_failure(failure: FoundDocument, row: DocumentRow | None) -> bool:
    """Return whether a failed attempt is kept: neither a document nor an attempt is stored that is newer."""
    return row is None or (row.version < failure.version and row.failure_version <= failure.version)


def loads(text: str | None) -> dict[str, Any]:
    """Return the object of a JSON text, {} where there is none."""
    loaded: dict[str, Any] = json.loads(text or "{}")
    return loaded
