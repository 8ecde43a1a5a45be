"""Pending work: which records cause it, and when it is due."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lustre_events.changelog.record import ChangelogRecord, RecordType, iter_records
from lustre_events.domain.pending import PendingRow, Wanted, due, finished, held, merged
from lustre_events.domain.record_meaning import CHANGES, Kind, change_of, object_of, overwritten
from lustre_events.domain.retries import LONGEST_RETRY_NS, excused, failed
from tests.support.records import builders as b
from tests.support.records import captures
from tests.support.records.builders import fid_of
from tests.support.records.strategies import records
from tests.support.rows import each_row

SECOND = 10**9


def row(**fields: object) -> PendingRow:
    values = {"generation": 3, "due_ns": 100, "changed_ns": 50, "reason": "write", "queue": "default", **fields}
    return PendingRow(fid=fid_of(1), extractor="tabular", **values)  # type: ignore[arg-type]


def wanted(**fields: object) -> Wanted:
    values = {
        "generation": 4, "first_ns": 60, "last_ns": 80, "settle_ns": 10, "settle_max_ns": 1000, "reason": "write",
        "rule": "tables", "queue": "default", "priority": 0, **fields,
    }  # fmt: skip
    return Wanted(fid=fid_of(1), extractor="tabular", **values)  # type: ignore[arg-type]


def test_every_record_type_has_a_kind() -> None:
    """No type is left out by accident."""
    assert CHANGES.keys() == set(RecordType)


@each_row(
    ("record", "kind"),
    [
        (b.create(), Kind.CONTENT),
        (b.close(write=True), Kind.CONTENT),
        (b.close(write=False), Kind.NONE),
        (b.truncate(), Kind.CONTENT),
        (b.mtime(), Kind.CONTENT),
        (b.record(RecordType.FLRW, 1), Kind.CONTENT),
        (b.sattr(), Kind.ATTRIBUTES),
        (b.xattr(), Kind.ATTRIBUTES),
        (b.link(), Kind.ATTRIBUTES),
        (b.hsm(), Kind.ATTRIBUTES),
        (b.layout(), Kind.ATTRIBUTES),
        (b.rename(), Kind.NAME),
        (b.unlink(last=True), Kind.GONE),
        (b.unlink(last=False), Kind.ATTRIBUTES),
        (b.rmdir(), Kind.GONE),
        (b.open_(), Kind.NONE),
        (b.record(RecordType.ATIME, 1), Kind.NONE),
        (b.record(RecordType.GXATR, 1), Kind.NONE),
        (b.record(RecordType.NOPEN, 1), Kind.NONE),
        (b.mark(), Kind.NONE),
        (b.record(99, 1), None),
    ],
)
def test_what_a_record_says(record: ChangelogRecord, kind: Kind | None) -> None:
    """Only what changes content or attributes counts; reading never does; unknown types can be told."""
    assert change_of(record) == kind


def test_closes_of_a_real_lustre() -> None:
    """In real records with every type switched on, the closes that count are those after an open for writing."""
    closes = [
        record
        for record in iter_records(captures.read("01-basic-allmask", "lustre-MDT0000.raw"))
        if record.type == RecordType.CLOSE
    ]
    kinds = [change_of(record) for record in closes]
    assert kinds.count(Kind.NONE) == 4
    assert kinds.count(Kind.CONTENT) == 13


def test_a_rename_is_about_its_source() -> None:
    """The object that moved is the source; the target lost its name, or its last one."""
    assert object_of(b.rename(fid=1, over=2)) == fid_of(1)
    assert overwritten(b.rename(fid=1)) is None
    assert overwritten(b.rename(fid=1, over=2, last=True)) == (fid_of(2), Kind.GONE)
    assert overwritten(b.rename(fid=1, over=2, last=False)) == (fid_of(2), Kind.ATTRIBUTES)


@given(records())
def test_every_record_is_understood(record: ChangelogRecord) -> None:
    """No record, of whatever type and flags, makes these functions fail."""
    assert change_of(record) in {None, *Kind}
    assert overwritten(record) is None or record.type == RecordType.RENME


times = st.integers(0, 10**6)


@given(times, times, times, times)
def test_a_file_that_never_rests_is_due_in_the_end(first: int, later: int, settle: int, settle_max: int) -> None:
    """Due is after the last change, but never later than the bound behind the first change allows."""
    at = due(first, first + later, settle, settle_max)
    assert at <= first + max(settle, settle_max)
    assert at == first + later + settle or at == first + max(settle, settle_max)


def test_new_work_waits_until_the_file_has_settled() -> None:
    """A new row is due `settle` after the last change."""
    made = merged(None, wanted())
    assert (made.due_ns, made.changed_ns, made.generation, made.attempts, made.job) == (90, 60, 4, 0, None)


def test_a_change_while_waiting_moves_the_due_time() -> None:
    """A newer generation waits again, bounded by the row's first change, and has all its tries before it."""
    assert merged(row(attempts=2), wanted()).due_ns == 90
    assert merged(row(attempts=2), wanted()).attempts == 0
    assert merged(row(), wanted(last_ns=5000)).due_ns == 50 + 1000


def test_a_change_during_a_job_keeps_its_lease() -> None:
    """A row that a job holds stays leased, and wants the new generation."""
    leased = merged(row(job="j", due_ns=777), wanted())
    assert (leased.job, leased.due_ns, leased.generation) == ("j", 777, 4)


def test_work_that_is_pending_anyway_keeps_its_due_time() -> None:
    """Asking for a generation that is wanted already moves nothing."""
    same = merged(row(attempts=1, due_ns=777), wanted(generation=3))
    assert (same.due_ns, same.attempts, same.generation) == (777, 1, 3)


def test_a_good_result_ends_the_work_that_it_did() -> None:
    """A result of the wanted generation leaves nothing; an older one leaves the row, to be due again."""
    assert finished(row(job="j"), 3, 1000, 10) is None
    left = finished(row(job="j", attempts=1), 2, 1000, 10)
    assert left is not None
    assert (left.due_ns, left.changed_ns, left.attempts, left.job) == (1010, 1000, 0, None)


def test_retries_wait_longer_each_time() -> None:
    """The wait doubles up to an hour, and the last try leaves nothing."""
    waits = []
    left: PendingRow | None = row(job="j")
    while left is not None:
        left = failed(left, 0, 10 * SECOND, 15)
        if left is not None:
            waits.append(left.due_ns)
            assert left.job is None
            assert left.reason == "retry"
    assert waits[:3] == [10 * SECOND, 20 * SECOND, 40 * SECOND]
    assert waits[-1] == LONGEST_RETRY_NS
    assert len(waits) == 14


def test_why_a_try_failed_is_kept_until_other_content_is_wanted() -> None:
    """The error of the last try, at most 500 characters, stays with its row, in a job too, until newer content."""
    left = failed(row(job="j"), 0, SECOND, 9, "bad" * 1_000)
    assert left is not None
    assert (left.error[:6], len(left.error)) == ("badbad", 500)
    assert held(left, "k", 0, SECOND).error == left.error
    assert merged(left, wanted(generation=3)).error == left.error
    assert excused(left, 0, SECOND, "no image").error == "no image"
    assert merged(left, wanted()).error == ""
    again = finished(left, 2, 1000, 10)
    assert again is not None
    assert again.error == ""


def test_one_try_means_no_retry() -> None:
    """With one try the first failure is the last."""
    assert failed(row(job="j"), 0, SECOND, 1) is None
