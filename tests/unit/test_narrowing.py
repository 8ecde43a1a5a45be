"""What narrows a query: values and histograms, whose queries find exactly what they count."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from lustre_events.index.query.parser import parse
from lustre_events.index.query.tree import And, Fact, Node
from lustre_events.index.search.hits import Facet
from lustre_events.web.narrowing import HEIGHT, MOST_BARS, Bar, narrow, sizes, times, values
from tests.support.profiles import examples
from tests.support.rows import each_row

DAY_NS = 86_400 * 10**9
INTEGERS = st.lists(st.integers(0, 2**63 - 1), max_size=20)


def holds(node: Node, column: str, value: int) -> bool:
    """Return whether a query that says one thing of a column finds a value."""
    if isinstance(node, And):
        return all(holds(each, column, value) for each in node.nodes)
    if not isinstance(node, Fact):
        return True
    assert node.column == column
    return (node.low is None or node.low <= value) and (node.high is None or value < node.high)


def wrong(bars: Sequence[Bar], column: str, found: Sequence[int]) -> list[Bar]:
    """Return the bars that count something else than what their query finds."""
    return [
        bar
        for bar in bars
        if (bar.query != "") != (bar.files > 0)
        or (bar.height > 0) != (bar.files > 0)
        or (bar.query and sum(holds(parse(bar.query, now_ns=0), column, value) for value in found) != bar.files)
    ]


@given(INTEGERS)
@examples(60)
def test_bars_of_sizes_count_what_their_queries_find(found: list[int]) -> None:
    """Every size lies in one bar, and the query of that bar finds it."""
    bars = sizes("type:f", found)
    assert wrong(bars, "size", found) == []
    assert not bars or sum(bar.files for bar in bars) == len(found)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20), st.sampled_from([1, 400, 10_000, 10**9]))
@examples(60)
def test_bars_of_times_count_what_their_queries_find(found: list[int], divisor: int) -> None:
    """So does every time, by days, months, years and decades."""
    near = [1_790_000_000 * 10**9 + each // divisor // 2 for each in found] if divisor > 1 else found
    near = [each for each in near if -(2**63) <= each < 2**63]
    bars = times("type:f", near)
    assert wrong(bars, "mtime_ns", near) == []
    assert not bars or sum(bar.files for bar in bars) == len(near)
    assert len(bars) <= MOST_BARS


def test_a_histogram_is_as_fine_as_it_fits() -> None:
    """Some days give days, some months months; the highest bar fills the height, and none is too low to see."""
    start = 1_790_000_000 * 10**9
    days = times("q", [start, start + DAY_NS, *[start + 2 * DAY_NS] * 100])
    assert [(bar.label, bar.files) for bar in days] == [("2026-09-21", 1), ("2026-09-22", 1), ("2026-09-23", 100)]
    assert [bar.height for bar in days] == [2, 2, HEIGHT]
    assert [bar.label for bar in times("q", [start, start + 60 * DAY_NS])] == ["2026-09", "2026-10", "2026-11"]
    assert times("q", [start, start - 700 * DAY_NS])[0].label == "2024-10"
    assert times("q", [0, start])[0].label == "1970 to 1979"


def test_what_lies_in_one_place_has_no_histogram() -> None:
    """A single bar narrows nothing."""
    assert (sizes("q", [100] * 5), times("q", [7] * 5), sizes("q", []), times("q", [])) == ((), (), (), ())


@each_row(
    ("query", "narrowed"),
    [
        ("a b", "a b AND size:0"),
        ("a AND (b OR c)", "a AND (b OR c) AND size:0"),
        ("a OR b", "(a OR b) AND size:0"),
        ('"a OR b"', '"a OR b" AND size:0'),
    ],
)
def test_a_query_is_narrowed_as_one_would_write_it(query: str, narrowed: str) -> None:
    """Parentheses stand only where the meaning needs them."""
    assert narrow(query, "size:0") == narrowed


def test_values_lead_to_queries() -> None:
    """Values are quoted where they must be; what no file has is not shown, and what cannot be asked is no link."""
    shown = values("q", "mime", [Facet("text/csv", 2, 9), Facet(None, 1, 3), Facet('a"b', 1, 1)])
    assert [each.query for each in shown] == ['q AND mime:"text/csv"', "", 'q AND mime:"a\\"b"']
    assert values("q", "mime", [Facet(None, 1, 3)]) == ()
