"""Work in turns: many small parts, written in transactions that end soon.

While a transaction lasts SQLite's one write lock is held, and PostgreSQL keeps what others delete. So a step's work
comes in parts of a bounded size, and a transaction ends behind the part with which it has lasted long enough. Where
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
from lustre_events.errors import RecordDecodeError
from lustre_events.index.interface import IndexWriter, Transaction
from lustre_events.jobs.messages import SCAN, Result
from lustre_events.streams.interface import Block

ENOUGH_SECONDS = 0.01
"""A transaction that has lasted so long takes no further part."""

PART_SECONDS = 0.016
"""What one part should take, where its size can be chosen."""

RESULTS = 50
NAMES = 500
"""A part that has so many results, or names in listings, takes no more of them."""

Part = Callable[[Transaction, "Counter[str]"], None]
"""Work to be written, and counted."""


class Turns:
    """Carries parts out, each of them whole in one transaction.

    Args:
        index: where to.
        timer: seconds from any beginning.
    """

    def __init__(self, index: IndexWriter, timer: Callable[[], float]) -> None:
        self._index = index
        self._timer = timer

    def carry_out(self, parts: Iterator[Part]) -> Counter[str]:
        """Write all parts, in order, and return what they have counted; the counts are committed with the parts.

        The first part of a transaction is made before it begins: what `parts` does to make it holds no lock.
        Raises as `IndexWriter.transaction` does; the transactions before are committed.
        """
        total: Counter[str] = Counter()
        first = next(parts, None)
        while first is not None:
            counters: Counter[str] = Counter()
            with _without_collection(), self._index.transaction() as transaction:
                end = self._timer() + ENOUGH_SECONDS
                for part in itertools.chain((first,), parts):
                    part(transaction, counters)
                    if self._timer() >= end:
                        break
                transaction.count(+counters)
            total += counters
            first = next(parts, None)
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


class Pace:
    """How much of something fits into one part, by how long its last ones took: from `least` to `most`."""

    def __init__(self, least: int, most: int) -> None:
        self._least = min(least, most)
        self._most = most
        self.size = self._least

    def took(self, size: int, seconds: float) -> None:
        """Learn how long a part of this size took."""
        if seconds > PART_SECONDS or size >= self.size:
            # Else it says nothing for a large one: what each part costs anyway is in it.
            fitting = int(size * PART_SECONDS / seconds) if seconds > 0 else self._most
            self.size = max(self._least, min(fitting, self.size + self.size // 4, self._most))


def portions(blocks: Sequence[Block], most: Callable[[], int]) -> Iterator[list[Block]]:
    """Yield blocks in portions of up to `most` records, in order; a block may be cut into several.

    `most` is asked before each portion.
    """
    portion: list[Block] = []
    room = most()
    for block in blocks:
        rest: Block | None = block
        while rest is not None:
            head, rest = cut(rest, room)
            portion.append(head)
            room -= head.count
            if room <= 0:
                yield portion
                portion, room = [], most()
    if portion:
        yield portion


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


def lots(entries: Sequence[tuple[str, list[Result]]]) -> Iterator[list[Result]]:
    """Yield the results of entries, several small ones together; what one entry has stays together."""
    lot: list[Result] = []
    names = 0
    for _, results in entries:
        lot += results
        names += sum(map(names_in, results))
        if len(lot) >= RESULTS or names >= NAMES:
            yield lot
            lot, names = [], 0
    if lot:
        yield lot


def names_in(result: Result) -> int:
    """Return how many names a listing has; of any other result 0."""
    listed = result.document.get("entries") if result.extractor == SCAN else None
    return len(listed) if isinstance(listed, list) else 0
