"""Pending work: when it is due, and how changes, results and failures alter it.

Which records cause it: record_meaning.py. All times are ns since the epoch, UTC.
"""

from __future__ import annotations

from typing import Any, Self

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.domain.record_meaning import Kind

REASONS = {Kind.NAME: "name", Kind.ATTRIBUTES: "attributes", Kind.CONTENT: "write"}
CREATED = "create"
RETRY = "retry"
REPROCESS = "reprocess"
VANISHED = "gone"
"""The reason of a row whose object is gone, has no name, and has documents that a migration may still want."""


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
