"""Batches of writes: many small writes, put together into transactions that end soon.

While a transaction lasts SQLite's one write lock is held, and PostgreSQL keeps what others delete. So a step writes
in pieces of a bounded size, and a transaction ends behind the write with which it has lasted long enough. Where
there is little to do one transaction takes all of it.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import msgspec

from lustre_events.changelog.record import HEADER_BYTES, boundaries, index_of
from lustre_events.dispatcher.turn import Turn
from lustre_events.errors import RecordDecodeError
from lustre_events.index.interface import DocumentOutcome, IndexWriter
from lustre_events.jobs.messages import SCAN, Result
from lustre_events.streams.interface import Block

ENOUGH_SECONDS = 0.01
"""A transaction that has lasted this long takes no further write."""

WRITE_SECONDS = 0.016
"""What one write should take, where its size can be chosen."""

RESULTS = 50
MOST_RESULTS = 1_000
NAMES = 500
"""A write that has this many results (more where they are quickly written), or names in listings, takes no more."""

Write = Callable[[Turn], None]
"""Writes a piece of a step, and counts it. All of it is in one transaction."""


class TransactionBatches:
    """Carries writes out, several in one transaction.

    Args:
        index: where to.
        timer: seconds from any beginning.
    """

    def __init__(self, index: IndexWriter, timer: Callable[[], float]) -> None:
        self._index = index
        self._timer = timer

    def carry_out(self, writes: Iterator[Write], now_ns: int) -> Counter[str]:
        """Do all writes, in order, and return what they have counted; the counts are committed with them.

        The first write of a transaction is made before it begins: what `writes` does to make it holds no lock.
        Raises as `IndexWriter.transaction` does; the transactions before are committed.
        """
        total: Counter[str] = Counter()
        first = next(writes, None)
        while first is not None:
            with _without_collection(), self._index.transaction() as transaction:
                turn = Turn(transaction, Counter(), now_ns)
                end = self._timer() + ENOUGH_SECONDS
                for write in itertools.chain((first,), writes):
                    write(turn)
                    if self._timer() >= end:
                        break
                transaction.count(+turn.counters)
            total += turn.counters
            first = next(writes, None)
        return total


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Let Python look for cyclic garbage only afterwards: with a large heap that takes 40 ms (measured)."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class BatchSize:
    """How much of something fits into one write, by how long the last ones took: from `least` to `most`."""

    def __init__(self, least: int, most: int) -> None:
        self._least = min(least, most)
        self._most = most
        self.size = self._least

    def took(self, size: int, seconds: float) -> None:
        """Learn how long a write of this size took."""
        if seconds > WRITE_SECONDS or size >= self.size:
            # Else it says nothing for a large one: what each write costs anyway is in it.
            fitting = int(size * WRITE_SECONDS / seconds) if seconds > 0 else self._most
            self.size = max(self._least, min(fitting, self.size + self.size // 4, self._most))


def record_batches(blocks: Sequence[Block], most: Callable[[], int]) -> Iterator[list[Block]]:
    """Yield blocks in batches of up to `most` records, in order; a block may be cut into several.

    `most` is asked before each batch.
    """
    batch: list[Block] = []
    room = most()
    for block in blocks:
        rest: Block | None = block
        while rest is not None:
            head, rest = cut(rest, room)
            batch.append(head)
            room -= head.count
            if room <= 0:
                yield batch
                batch, room = [], most()
    if batch:
        yield batch


def cut(block: Block, most: int) -> tuple[Block, Block | None]:
    """Return the first `most` records of a block as a block, and the others; None: no others, or damage.

    A damaged one stays whole: who reads its records says what is lost.
    """
    if block.count <= most:
        return block, None
    try:
        *_, (offset, size) = itertools.islice(boundaries(block.data), most)
        end = offset + size
        last, following = index_of(block.data[offset:end]), index_of(block.data[end : end + HEADER_BYTES])
    except (RecordDecodeError, struct.error, ValueError):
        return block, None
    if not block.first_index <= last < following <= block.last_index:
        return block, None
    head = msgspec.structs.replace(block, last_index=last, count=most, data=block.data[:end])
    rest = msgspec.structs.replace(block, first_index=following, count=block.count - most, data=block.data[end:])
    return head, rest


def result_batches(
    entries: Sequence[tuple[str, list[Result]]], enough: Callable[[], int] = lambda: RESULTS
) -> Iterator[list[Result]]:
    """Yield the results of entries, several small ones together; what one entry has stays together.

    A batch that has `enough` results, which is asked each time, or NAMES names takes no more.
    """
    batch: list[Result] = []
    names = 0
    for _, results in entries:
        batch += results
        names += sum(map(names_in, results))
        if len(batch) >= enough() or names >= NAMES:
            yield batch
            batch, names = [], 0
    if batch:
        yield batch


def outcome_batches(
    outcomes: Sequence[DocumentOutcome], enough: Callable[[], int]
) -> Iterator[list[DocumentOutcome]]:
    """Yield outcomes, several small ones together; a batch that has `enough` results takes no more."""
    batch: list[DocumentOutcome] = []
    for outcome in outcomes:
        batch.append(outcome)
        if sum(len(each.results) for each in batch) >= enough():
            yield batch
            batch = []
    if batch:
        yield batch


def has_listing(entries: Sequence[tuple[str, Sequence[Result]]]) -> bool:
    """Whether a result of some entries is a listing."""
    return any(result.extractor == SCAN for _, results in entries for result in results)


def names_in(result: Result) -> int:
    """Return how many names a listing has; of any other result 0."""
    listed = result.document.get("entries") if result.extractor == SCAN else None
    return len(listed) if isinstance(listed, list) else 0
