"""Pending work: which records cause it, when it is due, and how changes, results and failures alter it.

CHANGES names every record type with the reason, so that nothing is left out by accident. All times are ns
since the epoch, UTC.
"""

from __future__ import annotations

import enum
from typing import Any, Self

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.changelog.record import CLOSE_WRITE, RENME_LAST, UNLNK_LAST, ChangelogRecord, RecordType

SECOND_NS = 1_000_000_000


class Kind(enum.IntEnum):
    """What a record says about an object. A greater one includes the smaller ones' work but GONE."""

    NONE = 0
    NAME = 1
    ATTRIBUTES = 2
    CONTENT = 3
    GONE = 4


CHANGES: dict[int, Kind] = {
    RecordType.CREAT: Kind.CONTENT,  # an empty file is content too, and the first CLOSE may never come
    RecordType.CLOSE: Kind.CONTENT,  # only after an open for writing, see `change_of`
    RecordType.TRUNC: Kind.CONTENT,
    RecordType.MTIME: Kind.CONTENT,  # also logged for data written, at close
    RecordType.FLRW: Kind.CONTENT,  # the first write to a mirrored file
    RecordType.MKDIR: Kind.ATTRIBUTES,  # a new object, but nothing in it to extract
    RecordType.SLINK: Kind.ATTRIBUTES,
    RecordType.MKNOD: Kind.ATTRIBUTES,
    RecordType.HLINK: Kind.ATTRIBUTES,  # the link count; the new name asks the rules again
    RecordType.SATTR: Kind.ATTRIBUTES,
    RecordType.XATTR: Kind.ATTRIBUTES,
    RecordType.CTIME: Kind.ATTRIBUTES,
    RecordType.HSM: Kind.ATTRIBUTES,  # archived, released, restored: the content is the same; see results.py
    RecordType.LYOUT: Kind.ATTRIBUTES,
    RecordType.RESYNC: Kind.ATTRIBUTES,
    RecordType.RENME: Kind.NAME,
    RecordType.MIGRT: Kind.NAME,  # same content under a new FID
    RecordType.UNLNK: Kind.GONE,  # with the last-link flag; else the link count changed
    RecordType.RMDIR: Kind.GONE,  # a directory has one name only
    RecordType.RNMTO: Kind.NONE,  # second half of an old server's RENME, says nothing new
    RecordType.OPEN: Kind.NONE,  # changes nothing
    RecordType.ATIME: Kind.NONE,  # reading changes nothing that is extracted, and our own reading causes it
    RecordType.GXATR: Kind.NONE,  # reading
    RecordType.NOPEN: Kind.NONE,  # an open that was denied
    RecordType.MARK: Kind.NONE,  # the changelog was switched on or off: no object at all
}

TYPE_OF: dict[int, str] = {
    RecordType.CREAT: "f",
    RecordType.CLOSE: "f",
    RecordType.TRUNC: "f",
    RecordType.FLRW: "f",
    RecordType.RESYNC: "f",
    RecordType.HSM: "f",
    RecordType.MKDIR: "d",
    RecordType.RMDIR: "d",
    RecordType.SLINK: "l",
}
"""The type of an object, where the type of a record says it (captures: CLOSE of a directory is read only)."""

REASONS = {Kind.NAME: "name", Kind.ATTRIBUTES: "attributes", Kind.CONTENT: "write"}
CREATED = "create"
RETRY = "retry"
REPROCESS = "reprocess"
VANISHED = "gone"
"""The reason of a row whose object is gone, has no name, and has documents that a migration may still want."""


def change_of(record: ChangelogRecord) -> Kind | None:
    """Return what `record` says about the object that it is about (`object_of`); None: an unknown type."""
    kind = CHANGES.get(record.type)
    if record.type == RecordType.CLOSE and not record.flags & CLOSE_WRITE:
        return Kind.NONE
    if record.type == RecordType.UNLNK and not record.flags & UNLNK_LAST:
        return Kind.ATTRIBUTES
    return kind


def changes_rights(record: ChangelogRecord) -> bool:
    """Return whether an object may have another owner, mode or access list after a record.

    CTIME stands for SATTR where that is masked; access lists are attributes named `system.`, if the record says so.
    """
    if record.type == RecordType.XATTR:
        return not record.xattr or record.xattr.startswith(b"system.")
    return record.type in {RecordType.SATTR, RecordType.CTIME}


def object_of(record: ChangelogRecord) -> FID:
    """Return the object that `record` is about: for RENME the one that moved, else the target."""
    return record.source if record.type == RecordType.RENME else record.target


def overwritten(record: ChangelogRecord) -> tuple[FID, Kind] | None:
    """Return the object whose name a RENME took, and whether it is gone or only lost one of its names."""
    if record.type != RecordType.RENME or not record.target or record.target == record.source:
        return None
    return record.target, Kind.GONE if record.flags & RENME_LAST else Kind.ATTRIBUTES


class PendingRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One piece of work: an extractor over an object, in the wanted generation or a later one.

    Attributes:
        due_ns: when the work is due. While a job holds the row, the end of the lease: then it is due again.
        changed_ns: the first change that the work stands for; it bounds settling.
        job: who holds the row; None: nobody.
        handed_out_ns: when a job took the row last; 0: never.
        gone_ns: since when the object is gone, while its documents wait for a migration; 0: it is not.
        scan: the scan that a directory's listing is part of; 0: of none.
        after: the name up to which the directory is listed.
        error: why the last try failed; empty: none has, or another content is wanted since.
    """

    fid: FID
    extractor: str
    generation: int
    due_ns: int
    changed_ns: int
    attempts: int = 0
    reason: str
    rule: str = ""
    queue: str
    priority: int = 0
    job: str | None = None
    handed_out_ns: int = 0
    gone_ns: int = 0
    scan: int = 0
    after: bytes = b""
    error: str = ""

    @classmethod
    def stored(cls, row: tuple[Any, ...]) -> Self:
        """Return the row of these columns, which stand in the order of the attributes, with the FID packed."""
        (
            fid, extractor, generation, due_ns, changed_ns, attempts, reason, rule, queue, priority, job,
            handed_out_ns, gone_ns, scan, after, error,
        ) = row  # fmt: skip
        return cls(
            fid=FID.unpack(fid), extractor=extractor, generation=generation, due_ns=due_ns, changed_ns=changed_ns,
            attempts=attempts, reason=reason, rule=rule, queue=queue, priority=priority, job=job,
            handed_out_ns=handed_out_ns, gone_ns=gone_ns, scan=scan, after=after, error=error,
        )  # fmt: skip


class Wanted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Work that a change asks for. `first_ns` and `last_ns`: the first and last change of this batch."""

    fid: FID
    extractor: str
    generation: int
    first_ns: int
    last_ns: int
    settle_ns: int
    settle_max_ns: int
    reason: str
    rule: str
    queue: str
    priority: int
    not_before_ns: int = 0
    """A rule wants the file to be this old."""


def due(first_ns: int, last_ns: int, settle_ns: int, settle_max_ns: int) -> int:
    """Return when a file has settled: `settle_ns` after its last change, `settle_max_ns` after its first one."""
    return min(last_ns + settle_ns, first_ns + max(settle_ns, settle_max_ns))


def merged(row: PendingRow | None, wanted: Wanted) -> PendingRow:
    """Return the row for `wanted`, where `row` is what is pending already.

    A newer generation waits for the file to settle again, bounded by the first change, and has all its
    tries before it. A row that a job holds keeps its lease: the result will show that more is wanted. Work
    that is pending for this generation anyway keeps its due time.
    """
    if row is None:
        changed_ns, attempts, job, handed_out_ns, error = wanted.first_ns, 0, None, 0, ""
        due_ns = _due(changed_ns, wanted)
    elif wanted.generation <= row.generation:
        changed_ns, attempts, job, handed_out_ns = row.changed_ns, row.attempts, row.job, row.handed_out_ns
        due_ns, error = row.due_ns, row.error
    else:
        changed_ns, attempts, job = min(row.changed_ns, wanted.first_ns), 0, row.job
        handed_out_ns, error = row.handed_out_ns, ""
        due_ns = row.due_ns if job is not None else _due(changed_ns, wanted)
    return PendingRow(
        fid=wanted.fid,
        extractor=wanted.extractor,
        generation=max(wanted.generation, row.generation if row is not None else 0),
        due_ns=due_ns,
        changed_ns=changed_ns,
        attempts=attempts,
        reason=wanted.reason,
        rule=wanted.rule,
        queue=wanted.queue,
        priority=wanted.priority,
        job=job,
        handed_out_ns=handed_out_ns,
        error=error,
    )


def _due(first_ns: int, wanted: Wanted) -> int:
    return max(due(first_ns, wanted.last_ns, wanted.settle_ns, wanted.settle_max_ns), wanted.not_before_ns)


def finished(row: PendingRow, generation: int, now_ns: int, settle_ns: int) -> PendingRow | None:
    """Return what is left of `row` after a good result of `generation`; None: nothing, the work is done."""
    if generation >= row.generation:
        return None
    return msgspec.structs.replace(
        row, due_ns=now_ns + settle_ns, changed_ns=now_ns, gone_ns=0, attempts=0, job=None, error=""
    )


def held(row: PendingRow, job: str, now_ns: int, lease_ns: int) -> PendingRow:
    """Return `row` held by a job that goes out now."""
    return msgspec.structs.replace(row, due_ns=now_ns + lease_ns, handed_out_ns=now_ns, job=job)


def prolonged(row: PendingRow, now_ns: int, lease_ns: int) -> PendingRow:
    """Return `row` still held by its job, with a lease that ends later."""
    return msgspec.structs.replace(row, due_ns=now_ns + lease_ns)


def found_gone(row: PendingRow, since_ns: int, due_ns: int) -> PendingRow:
    """Return `row` of an object that is gone since a time, to be looked at again."""
    return msgspec.structs.replace(
        row, due_ns=due_ns, changed_ns=since_ns, gone_ns=since_ns, reason=VANISHED, job=None
    )
