"""What the index's one writer has read or written lately: rows of objects, and pending rows.

A file is looked at several times within seconds: when its work is handed out, and when each result comes. Nobody
else changes these rows, so what is remembered is what is stored; after a transaction that was undone, or another
writer's turn, nothing is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.domain.pending import PendingRow
from lustre_events.index.interface import Facts, ObjectRow, WorkKey

MOST = 50_000
"""Objects, and pending rows, that are remembered: some 40 MB."""


class Remembered:
    """Rows as they are stored."""

    def __init__(self) -> None:
        self.objects: dict[FID, ObjectRow] = {}
        self.pending: dict[FID, dict[str, PendingRow]] = {}

    def clear(self) -> None:
        """Forget all."""
        self.objects.clear()
        self.pending.clear()

    def bound(self) -> None:
        """Forget all of what has become too much."""
        for each in (self.objects, self.pending):
            if len(each) > MOST:
                each.clear()

    def changed(self, fids: Iterable[FID]) -> None:
        """Forget the rows of objects that change."""
        for fid in fids:
            self.objects.pop(fid, None)

    def written(self, row: ObjectRow) -> None:
        """Take what `Transaction.put_objects` writes of an object."""
        known = self.objects.get(row.fid)
        if known is not None and known.id == row.id:
            self.objects[row.fid] = msgspec.structs.replace(
                known, generation=row.generation, content=row.content, rights=row.rights, type=row.type,
                jobid=row.jobid, cause=row.cause,
            )  # fmt: skip
        else:
            self.objects.pop(row.fid, None)

    def seen(self, found: Iterable[tuple[ObjectRow, int, Facts]]) -> None:
        """Take facts that are written."""
        for row, generation, facts in found:
            known = self.objects.get(row.fid)
            if known is not None and known.known <= generation:
                self.objects[row.fid] = msgspec.structs.replace(
                    known, type=facts.type, uid=facts.uid, known=generation, size=facts.size
                )

    def put(self, rows: Iterable[PendingRow]) -> None:
        """Take pending rows that are written."""
        for row in rows:
            self.pending.setdefault(row.fid, {})[row.extractor] = row

    def done(self, works: Iterable[WorkKey]) -> None:
        """Forget pending rows that are removed."""
        for fid, extractor in works:
            self.pending.get(fid, {}).pop(extractor, None)

    def removed(self, fids: Iterable[FID]) -> None:
        """Forget objects that are removed, and what is pending for them."""
        for fid in fids:
            self.objects.pop(fid, None)
            self.pending.pop(fid, None)


class Remembering(ABC):
    """Calls of `interface.Transaction` that read only what is not remembered."""

    _remembered: Remembered

    def objects(self, fids: Collection[FID]) -> dict[FID, ObjectRow]:
        """Return those of `fids` that are stored."""
        known = self._remembered.objects
        found = {fid: known[fid] for fid in fids if fid in known}
        missing = [fid for fid in fids if fid not in found]
        if missing:
            read = self._stored_objects(missing)
            known.update(read)
            found |= read
        return found

    def pending(self, works: Collection[WorkKey]) -> dict[WorkKey, PendingRow]:
        """Return those rows that are pending."""
        known = self._remembered.pending
        found = {(fid, name): known[fid][name] for fid, name in works if name in known.get(fid, ())}
        missing = [work for work in works if work not in found]
        if missing:
            read = self._stored_pending(missing)
            self._remembered.put(read.values())
            found |= read
        return found

    @abstractmethod
    def _stored_objects(self, fids: Collection[FID]) -> dict[FID, ObjectRow]:
        """Return those of `fids` that are stored, as the database has them."""

    @abstractmethod
    def _stored_pending(self, works: Collection[WorkKey]) -> dict[WorkKey, PendingRow]:
        """Return those rows that are pending, as the database has them."""
