"""What epochs of one MDT have brought, and how one more record stands to that."""

from __future__ import annotations

from lustre_events.domain.namespace import LATEST_TIME_NS
from lustre_events.domain.spans import Span, floor_of
from tests.support.rows import each_row

S = 10**9
TAKEN = Span(first_index=101, last_index=200, first_ns=1_000 * S, last_ns=2_000 * S)


@each_row(
    ("index", "time_ns", "holds"),
    [
        (101, 1_000 * S, True),
        (200, 2_000 * S, True),
        (150, LATEST_TIME_NS + 1, True),  # a time that cannot be says nothing
        (100, 1_000 * S, False),
        (201, 2_000 * S, False),
        (150, 1_000 * S - 1, False),  # before the MDT's index started again
        (150, 2_000 * S + 1, False),  # it has started again since then
    ],
)
def test_index_and_time_tell_a_record(index: int, time_ns: int, *, holds: bool) -> None:
    """A record was taken if both its index and its time lie within."""
    assert TAKEN.holds(index, time_ns) is holds


@each_row(
    ("index", "time_ns", "floor", "late"),
    [
        (201, 2_500 * S, 2_000 * S, False),
        (201, 1_999 * S, 2_000 * S, False),  # the time ran backwards
        (201, 999 * S, 2_000 * S, True),  # by so much that nobody knows: its index says that it is behind
        (900, 900 * S, 0, True),  # of an index that was there before
        (100, 1_500 * S, 0, True),
        (100, 2_001 * S, 2_000 * S, True),  # a new index, or a time that ran backwards later on
        (5, 2_500 * S, 2_000 * S, False),  # of an index that has started again
    ],
)
def test_a_record_is_put_behind_what_it_follows(index: int, time_ns: int, floor: int, *, late: bool) -> None:
    """Where a record belongs before what was taken, or perhaps does, it is late; else it comes behind that."""
    assert floor_of([TAKEN], index, time_ns) == (floor, late)
    earlier = Span(1, 50, 1 * S, 800 * S)
    assert floor_of([TAKEN, earlier], index, time_ns) == (floor or 800 * S, late)


def test_nothing_is_before_a_span_without_records() -> None:
    """An epoch of which nothing was taken, be it behind a gap, holds no record and makes none late."""
    for span in (Span(), Span(last_ns=7), Span(first_index=201, last_index=200, last_ns=7)):
        assert not span.holds(5, 5)
        assert floor_of([span], 5, 5) == (span.last_ns, False)
