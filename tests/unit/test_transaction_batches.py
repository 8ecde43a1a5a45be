"""The dispatcher's work in parts: blocks in portions, parts in transactions, sizes that follow time."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.changelog.fid import FID
from lustre_events.changelog.record import iter_records
from lustre_events.dispatcher.transactions import (
    ENOUGH_SECONDS,
    NAMES,
    RESULTS,
    WRITE_SECONDS,
    BatchSize,
    TransactionBatches,
    Write,
    cut,
    record_batches,
    result_batches,
)
from lustre_events.dispatcher.turn import Turn
from lustre_events.index.interface import IndexWriter
from lustre_events.jobs.messages import SCAN, STAT, Result
from lustre_events.streams.interface import Block
from tests.support.model.dispatcher import MDT0, number
from tests.support.records import builders as b
from tests.support.rows import each_row


def block(count: int, first: int = 1) -> Block:
    """Return a block of this number of records."""
    records = number([b.create(fid=each + 1, name=b"n%d" % each) for each in range(count)], first - 1)
    return Block(MDT0, 1, first, first + count - 1, count, b"".join(map(b.raw, records)))


def indexes(of: Block) -> list[int]:
    return [record.index for record in iter_records(of.data)]


@given(st.lists(st.integers(1, 20), max_size=5), st.integers(1, 30))
def test_portions_are_the_same_records_in_the_same_order(counts: list[int], most: int) -> None:
    """However blocks are cut, each record is in one portion, none is too large, and each says what it holds."""
    firsts = [1 + sum(counts[:each]) for each in range(len(counts))]
    blocks = [block(count, first) for count, first in zip(counts, firsts, strict=True)]
    found = list(record_batches(blocks, lambda: most))
    assert [sum(each.count for each in portion) for portion in found[:-1]] == [most] * (len(found) - 1)
    pieces = [each for portion in found for each in portion]
    assert b"".join(each.data for each in pieces) == b"".join(each.data for each in blocks)
    for each in pieces:
        assert indexes(each) == list(range(each.first_index, each.last_index + 1))
        assert each.count == len(indexes(each))


def test_the_size_is_asked_for_before_each_portion() -> None:
    """A portion may be larger or smaller than the one before."""
    sizes = iter([1, 3, 2, 9])
    found = list(record_batches([block(7)], lambda: next(sizes)))
    assert [[each.count for each in portion] for portion in found] == [[1], [3], [2], [1]]


WHOLE = block(5)


@pytest.mark.parametrize(
    "damaged",
    [
        msgspec.structs.replace(WHOLE, data=WHOLE.data[:100]),
        msgspec.structs.replace(WHOLE, data=b"\xff" * len(WHOLE.data)),
        msgspec.structs.replace(WHOLE, last_index=2),
        msgspec.structs.replace(WHOLE, first_index=4),
        msgspec.structs.replace(WHOLE, data=WHOLE.data[:0]),
    ],
    ids=["half", "garbage", "an index behind its end", "an index before its beginning", "empty"],
)
def test_a_damaged_block_stays_whole(damaged: Block) -> None:
    """No cursor is ever set by an index that stands in damaged data: who reads the block says what is lost."""
    assert cut(damaged, 3) == (damaged, None)
    assert list(record_batches([damaged], lambda: 3)) == [[damaged]]


def test_damage_behind_a_cut_is_in_the_rest() -> None:
    """What comes before the damage is taken as if there were none; what is missing is missing in the rest."""
    torn = msgspec.structs.replace(WHOLE, data=WHOLE.data[:-1])
    head, rest = cut(torn, 3)
    assert indexes(head) == [1, 2, 3]
    assert rest == Block(MDT0, 1, 4, 5, 2, torn.data[len(head.data) :])


def result(extractor: str = STAT, names: int = 0) -> Result:
    found: dict[str, Any] = {"entries": [["n", None, None]] * names} if names else {}
    return Result(fid=FID(1, 1), extractor=extractor, serial=1, generation=1, status="ok", document=found)


def test_small_entries_of_results_go_together() -> None:
    """A batch ends with the entry with which it is large: by results, or by names in listings."""
    small, listing = [result()] * (RESULTS // 2 - 1), [result(SCAN, NAMES)]
    entries = [(str(each), found) for each, found in enumerate([small, small, small, listing, listing, small, []])]
    assert [len(batch) for batch in result_batches(entries)] == [3 * len(small), 1, 1, len(small)]


def test_a_listing_that_is_none_counts_no_names() -> None:
    """Whatever a worker says, it can be counted; what is wrong with it is said where it is taken."""
    odd = [Result(fid=FID(1, 1), extractor=SCAN, serial=1, generation=1, status="ok", document={"entries": 7})]
    assert list(result_batches([("1", odd)])) == [odd]


class Timer:
    """Time that passes only where somebody says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Index:
    """An index that keeps what each transaction held; `fail` is the one that cannot be committed."""

    def __init__(self, fail: int = 0) -> None:
        self.committed: list[list[str]] = []
        self.counted: Counter[str] = Counter()
        self.inside = False
        self._fail = fail

    @contextmanager
    def transaction(self) -> Iterator[Index]:
        """Begin; keep what was written."""
        self.written: list[str] = []
        self.new: Counter[str] = Counter()
        self.inside = True
        yield self
        self.inside = False
        if len(self.committed) + 1 == self._fail:
            raise OSError("no room")
        self.committed.append(self.written)
        self.counted += self.new

    def count(self, counters: Counter[str]) -> None:
        """Count."""
        assert all(counters.values())
        self.new += counters


def writing(timer: Timer, name: str, seconds: float = 0.0) -> Write:
    def write(turn: Turn) -> None:
        cast("Index", turn.transaction).written.append(name)
        turn.counters[name] += 1
        turn.counters["nothing"] += 0
        timer.now += seconds

    return write


def carry_out(index: Index, timer: Timer, writes: Iterator[Write]) -> Counter[str]:
    return TransactionBatches(cast("IndexWriter", index), timer).carry_out(writes, 7)


def test_quick_writes_share_a_transaction_and_slow_ones_end_it() -> None:
    """A transaction takes no further write once it has lasted long enough; what is counted is counted with it."""
    index, timer = Index(), Timer()
    seconds = {"a": 0.0, "b": ENOUGH_SECONDS, "c": 5.0, "d": 0.0, "e": 0.0}
    counters = carry_out(index, timer, (writing(timer, *each) for each in seconds.items()))
    assert index.committed == [["a", "b"], ["c"], ["d", "e"]]
    assert index.counted == counters == Counter(seconds.keys())


def test_without_writes_there_is_no_transaction() -> None:
    """Nothing to do takes no lock."""
    index = Index()
    assert carry_out(index, Timer(), iter(())) == Counter()
    assert index.committed == []


def test_a_write_is_asked_for_when_the_one_before_is_written() -> None:
    """The first write of a transaction is made while no lock is held, and knows what the others have written."""
    index, timer = Index(), Timer()
    seen = []

    def writes() -> Iterator[Write]:
        for each in "abc":
            seen.append((index.inside, sum(map(len, index.committed))))
            yield writing(timer, each, ENOUGH_SECONDS)

    carry_out(index, timer, writes())
    assert seen == [(False, 0), (False, 1), (False, 2)]


def test_what_was_committed_before_a_failure_stays() -> None:
    """A failing transaction ends the step: later writes are not begun, earlier ones are written."""
    index, timer = Index(fail=2), Timer()
    with pytest.raises(OSError, match="no room"):
        carry_out(index, timer, (writing(timer, each, ENOUGH_SECONDS) for each in "abc"))
    assert index.committed == [["a"]]
    assert index.counted == {"a": 1}
    assert gc.isenabled()


def test_garbage_is_collected_outside_transactions() -> None:
    """Python's collector, which takes its time, does not run while the lock is held."""
    enabled = []

    def look(_turn: Turn) -> None:
        enabled.append(gc.isenabled())

    carry_out(Index(), Timer(), iter([look]))
    assert enabled == [False]
    assert gc.isenabled()


def take_writes(batch: BatchSize, each_seconds: float, writes: int) -> None:
    for _ in range(writes):
        batch.took(batch.size, batch.size * each_seconds)


@each_row("each_seconds", [1e-6, 1e-5, 1e-4, 1e-2])
def test_the_size_of_writes_follows_what_they_take(each_seconds: float) -> None:
    """After some writes they take as long as they should, within the bounds of their size."""
    batch = BatchSize(100, 20_000)
    take_writes(batch, each_seconds, 50)
    assert batch.size == pytest.approx(min(max(WRITE_SECONDS / each_seconds, 100), 20_000), rel=0.01, abs=1)


def test_a_write_that_took_too_long_makes_the_next_one_smaller_at_once() -> None:
    """Slow writes are not repeated; quick ones make the size grow by and by."""
    batch = BatchSize(100, 20_000)
    take_writes(batch, 1e-6, 50)
    large = batch.size
    take_writes(batch, 1e-5, 1)
    assert batch.size <= large / 10 + 1
    small = batch.size
    take_writes(batch, 1e-6, 1)
    assert small < batch.size <= small * 1.25


def test_a_small_write_says_nothing_about_large_ones() -> None:
    """What a write costs anyway, however small it is, makes the next ones neither larger nor smaller."""
    batch = BatchSize(100, 1_000)
    take_writes(batch, 1e-6, 5)
    size = batch.size
    batch.took(1, 1e-6)
    batch.took(1, WRITE_SECONDS / 2)
    assert 100 < batch.size == size


def test_a_timer_that_stands_still_is_no_error() -> None:
    """Time that was not measured means that there is room."""
    batch = BatchSize(100, 130)
    for size in (125, 130, 130):
        batch.took(batch.size, 0.0)
        assert batch.size == size


def test_least_is_never_more_than_most() -> None:
    """A setting below the usual least size is kept to."""
    batch = BatchSize(300, 7)
    assert batch.size == 7
    batch.took(7, 1.0)
    assert batch.size == 7
