"""From rows to what a search gives: hits, and views of single objects, limited to what a viewer sees."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lustre_events.changelog.fid import FID
from lustre_events.domain import acl
from lustre_events.domain.action_run import Maker, maker_of
from lustre_events.index.backend import Reading, Row, StoredDocument
from lustre_events.index.paths import paths_of
from lustre_events.index.search.hits import Document, Failure, Hit, ObjectFacts, ObjectView, PendingWork
from lustre_events.index.search.left_out import globs_over_any
from lustre_events.index.search.stored_documents import StoredDocuments
from lustre_events.index.visibility import DirectoryAccess, Viewer, may


def hits_of(
    reading: Reading,
    rows: Sequence[Row],
    viewer: Viewer | None,
    access: DirectoryAccess | None,
    *,
    parsed: bool = True,
) -> list[Hit]:
    """Return a hit for each row, with all paths and documents that the viewer sees; none without a path.

    Not `parsed`: each document is parsed when it is first used.
    """
    paths = paths_of(reading.links, [row.fid for row in rows], access)
    readable = {row.id for row in rows if is_readable(row, viewer)}
    texts: dict[int, dict[str, str]] = defaultdict(dict)
    for id_, extractor, body in reading.bodies(readable):
        texts[id_][extractor] = body
    return [
        Hit(
            fid=row.fid, paths=tuple(paths[row.fid]), type=row.type, size=row.size, mtime_ns=row.mtime_ns,
            uid=row.uid, gid=row.gid, mode=row.mode, mime=row.mime if row.id in readable else None,
            documents=_parsed(texts[row.id]) if parsed else StoredDocuments(texts[row.id]),
        )
        for row in rows
        if viewer is None or paths[row.fid]
    ]  # fmt: skip


def _parsed(texts: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    return {extractor: json.loads(text) for extractor, text in texts.items()}


def is_readable(row: Row, viewer: Viewer | None) -> bool:
    """Return whether a viewer may know what is in an object."""
    return viewer is None or may(viewer, row, acl.READ)


def views_of(
    reading: Reading, fids: list[FID], viewer: Viewer | None, access: DirectoryAccess | None
) -> list[ObjectView]:
    """Return all that the viewer may know of each object, in the order asked for."""
    paths = paths_of(reading.links, fids, access)
    seen = [fid for fid in fids if viewer is None or paths[fid]]
    rows = reading.objects(seen)
    stored: dict[int, list[StoredDocument]] = defaultdict(list)
    readable = {fid: row for fid, row in rows.items() if is_readable(row, viewer)}
    for document in reading.documents([row.id for row in readable.values()]):
        stored[document.object].append(document)
    told: Collection[FID] = seen if viewer is None else readable
    pending, makers = _pending(reading, told), _makers(reading, told)
    views, left_out = [], reading.left_out()
    for fid in fids:
        row = rows.get(fid)
        facts = None if row is None else _facts(row, readable=fid in readable)
        found = stored[row.id] if row is not None else []
        globs = globs_over_any(paths[fid], left_out)
        views.append(
            ObjectView(
                fid, tuple(paths[fid]), facts, *_stored(found), tuple(pending[fid]), globs, makers.get(fid)
            )
        )  # fmt: skip
    return views


def _makers(reading: Reading, fids: Collection[FID]) -> dict[FID, Maker]:
    """Return which runs have made objects, the last one of each."""
    marks = reading.fired(fids)
    found = [(fid, made) for fid, mark, content in marks if (made := maker_of(mark, content)) is not None]
    return dict(sorted(found, key=lambda each: each[1].generation))


def _stored(found: Collection[StoredDocument]) -> tuple[tuple[Document, ...], tuple[Failure, ...]]:
    return (
        tuple(_document(each) for each in found if each.body is not None),
        tuple(_failure(each) for each in found if each.failure is not None),
    )


def _pending(reading: Reading, fids: Collection[FID]) -> dict[FID, list[PendingWork]]:
    pending: dict[FID, list[PendingWork]] = defaultdict(list)
    for work in reading.pending(fids):
        pending[work.fid].append(PendingWork(**{name: getattr(work, name) for name in PendingWork.__slots__}))
    return pending


def _facts(row: Row, *, readable: bool) -> ObjectFacts:
    facts = {name: getattr(row, name) for name in ObjectFacts.__slots__}
    return ObjectFacts(**facts if readable else facts | {"mime": None, "jobid": None})


def _document(stored: StoredDocument) -> Document:
    body, provenance = json.loads(stored.body or "{}"), json.loads(stored.provenance or "{}")
    return Document(stored.extractor, stored.generation, stored.serial, body, provenance)


def _failure(stored: StoredDocument) -> Failure:
    generation, serial = stored.failure_generation or 0, stored.failure_serial or 0
    return Failure(stored.extractor, generation, serial, json.loads(stored.failure or "{}"))
