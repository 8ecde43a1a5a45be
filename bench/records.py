"""Synthetic records: what copying a tree of files would log."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator

import msgspec

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.changelog.record import (
    CLOSE_WRITE,
    EXTRA_NID,
    EXTRA_UIDGID,
    FLAG_EXTRA,
    FLAG_JOBID,
    FLAG_RENAME,
    FLAG_VERSION,
    ChangelogRecord,
    RecordType,
    encode_record,
    iter_records,
)
from lustre_events.errors import ChangelogRefused

FLAGS = FLAG_VERSION | FLAG_RENAME | FLAG_JOBID | FLAG_EXTRA
_PERIOD = 201
FIRST = 20_000_000


def copied_tree(records: int, first: int = 1) -> Iterator[bytes]:
    """Yield raw records: directories of 100 files, each created, then closed after writing."""
    now = time.time_ns()
    plain = ChangelogRecord(
        index=0, type=0, time_ns=0, flags=FLAGS, extra_flags=EXTRA_UIDGID | EXTRA_NID, jobid=b"cp.1000", uid=1000,
        gid=1000, nid=bytes(24),
    )  # fmt: skip
    directory = ROOT_FID
    for index in range(first, first + records):
        slot = (index - first) % _PERIOD
        if slot == 0:
            directory = FID(0x200000402, index)
            fields = {"type": RecordType.MKDIR, "target": directory, "parent": ROOT_FID, "name": b"run%d" % index}
        elif slot % 2:
            name = b"frame_%08d.h5" % index
            fields = {
                "type": RecordType.CREAT,
                "target": FID(0x200000402, index),
                "parent": directory,
                "name": name,
            }
        else:
            target = FID(0x200000402, index - 1)
            fields = {"type": RecordType.CLOSE, "target": target, "flags": FLAGS | CLOSE_WRITE}
        yield encode_record(msgspec.structs.replace(plain, index=index, time_ns=now + index * 1000, **fields))


def shuffled_tree(records: int, writers: int = 50) -> Iterator[bytes]:
    """Yield raw records as `writers` copying programs at once would log them: the next is of a random one."""
    chance = random.Random(1)  # noqa: S311 - the same records in every run
    # Behind the FIDs that a synthetic index has.
    trees = [copied_tree(records // writers, FIRST + number * records) for number in range(writers)]
    index = 0
    while trees:
        place = chance.randrange(len(trees))
        record = next(trees[place], None)
        if record is None:
            trees.pop(place)
            continue
        index += 1
        yield record[:8] + index.to_bytes(8, "little") + record[16:]  # cr_index, which stands behind 8 bytes


def repeated(raw: bytes, least: int) -> Iterator[bytes]:
    """Yield recorded records again and again, indexes and times go on, each turn has its own FIDs."""
    once = list(iter_records(raw))
    span_ns = max(record.time_ns for record in once) - min(record.time_ns for record in once) + 1
    index = 0
    for turn in range(-(-least // len(once))):
        for record in once:
            index += 1
            fids = {name: _moved(getattr(record, name), turn) for name in _FIDS}
            yield encode_record(
                msgspec.structs.replace(record, index=index, time_ns=record.time_ns + turn * span_ns, **fids)
            )


_FIDS = ("target", "parent", "source", "source_parent")


def _moved(fid: FID, turn: int) -> FID:
    return msgspec.structs.replace(fid, seq=fid.seq + (turn << 24)) if fid and fid != ROOT_FID else fid


class Endless:
    """A source that makes its records when they are read: one block again and again with growing indexes."""

    def __init__(self, mdt: str, records: int, block_records: int = 7_000) -> None:
        """`records`: how many there are, rounded up to whole blocks."""
        self.mdt = mdt
        self.handle = 1
        self.lag_seconds = 0.0
        self._blocks_left = -(-records // block_records)
        block = list(copied_tree(block_records))
        self._block = bytearray(b"".join(block))
        self._offsets = [0, *itertools.accumulate(map(len, block[:-1]))]
        self._next = 1

    def open(self, start_index: int) -> None:
        """Begin; only the beginning is there."""
        if start_index > 1:
            raise ChangelogRefused(f"{self.mdt}: a synthetic changelog begins at 1, not at {start_index}")

    def read(self, limit_bytes: int, timeout_seconds: float) -> bytes:  # noqa: ARG002 - it never waits
        """Return the next block, b"" when all records were given."""
        if self.ended:
            return b""
        self._blocks_left -= 1
        block = self._block
        for offset in self._offsets:
            block[offset + 8 : offset + 16] = self._next.to_bytes(8, "little")
            self._next += 1
        return bytes(block)

    def peek(self, start_index: int) -> bytes:  # noqa: ARG002
        """Return nothing: what was given cannot be had again."""
        return b""

    def knows(self, user: str) -> None:
        """Return None: it has no users."""

    def clear(self, user: str, index: int) -> None:
        """Take any clear."""

    def close(self) -> None:
        """Nothing is open."""

    def wake(self) -> None:
        """Nothing waits."""

    @property
    def ended(self) -> bool:
        """Whether all records were given."""
        return self._blocks_left == 0
