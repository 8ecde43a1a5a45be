"""The history: bytes and processor time per record, and how long its answers take.

Two MDTs: recorded changelogs again and again, and a tree that many programs write. Among its records are those of
two directories of 10,000 files: one is written on 30 days, of the other each record is far from the next, which is
the worst case for a look at all of it.
"""

from __future__ import annotations

import gzip
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from bench.options import REPOSITORY, Figures, Options
from bench.records import FLAGS, repeated, shuffled_tree
from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.changelog.record import (
    CLOSE_WRITE,
    EXTRA_NID,
    EXTRA_UIDGID,
    UNLNK_LAST,
    ChangelogRecord,
    RecordType,
    encode_record,
)
from lustre_events.history.archive import Archive
from lustre_events.history.joining import Joining
from lustre_events.history.keeper import Keeper
from lustre_events.history.lookup import Present, Teller
from lustre_events.history.losses import LossBook
from lustre_events.history.segment_writer import SegmentWriter
from lustre_events.history.segments import segments_in
from lustre_events.streams.codec import compress, decompress
from lustre_events.streams.group_keeper import LostRange
from lustre_events.streams.interface import Block

RECORDED = REPOSITORY / "tests" / "data" / "captures" / "11-random-defmask"
FILES = 10_000
DAILY, SPREAD = FID(0x200000999, 1), FID(0x200000999, 2)
DAYS, SHARE = 30, 10
"""On each day some of the directory's records come, one of ten."""
_BLOCK = 7_000
_TIME_NS = 1_790_000_000_000_000_000


def history_figures(options: Options) -> Figures:
    """Return bytes and CPU per record, processor seconds of some looks."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written, cpu = _keep(folder, options.records)
        used = sum(each.path.stat().st_size for each in segments_in(folder))
        nothing = Present(lambda _fids: (), lambda _parent, _name: None, lambda _fid, _after, _limit: ())
        teller = Teller(Archive(folder), nothing)
        file_s, told = _timed(lambda: len(teller.of_objects({_file(FILES // 2)}).deeds))
        daily_s, found = _timed(lambda: len(Teller(Archive(folder), nothing).of_tree([DAILY]).deeds))
        spread_s, as_many = _timed(lambda: len(Teller(Archive(folder), nothing).of_tree([SPREAD]).deeds))
        as_of_s, there = _timed(lambda: len(teller.as_of([DAILY], 1 << 62)[0]))
        if (told, found, as_many, there) != (3, 3 * FILES + 1, 3 * FILES + 1, 0):
            raise AssertionError(f"the history of this benchmark is wrong: {told}, {found}, {as_many}, {there}")
        return {
            "history.bytes_per_record": used / written,
            "history.cpu_s_per_million": cpu / written * 1e6,
            "history.file_s": file_s,
            "history.directory_s": daily_s,
            "history.directory_spread_s": spread_s,
            "history.as_of_s": as_of_s,
        }


def _keep(folder: Path, records: int) -> tuple[int, float]:
    """Write a history; return how many records it has, and the processor time of the keeper."""
    writer, cpu, count = SegmentWriter(folder, 90, 1 << 40), 0.0, 0
    source = _Blocks()
    keeper = Keeper(source, writer, LossBook(folder), Joining(folder))
    raw = gzip.decompress((RECORDED / "lustre-MDT0000.raw.gz").read_bytes())
    logs = {
        "bench-MDT0000": _numbered(
            _with_directories(shuffled_tree(records - records // 5), records - records // 5)
        ),
        "bench-MDT0001": repeated(raw, records // 5),
    }
    for mdt, log in logs.items():
        first = 1
        while block := list(islice(log, _BLOCK)):
            source.waiting = Block(
                mdt, 1, first, first + len(block) - 1, len(block), compress("zstd", b"".join(block))
            )
            first += len(block)
            began = time.process_time()
            keeper.step(0)
            cpu += time.process_time() - began
        count += first - 1
    began = time.process_time()
    keeper.flush()
    writer.close()
    return count, cpu + time.process_time() - began


class _Blocks:
    """A subscription that gives one compressed block after the other."""

    def __init__(self) -> None:
        self.waiting: Block | None = None

    def read(self, timeout_seconds: float = 0.0) -> list[Block]:
        del timeout_seconds
        found, self.waiting = self.waiting, None
        if found is None:
            return []
        data = decompress("zstd", found.data, "a block")
        return [Block(found.mdt, found.epoch, found.first_index, found.last_index, found.count, data)]

    def ack(self, *blocks: Block) -> None:
        """Need nothing."""

    def lost(self) -> list[LostRange]:
        return []

    def accept_loss(self, ranges: Sequence[LostRange] | None = None) -> None:
        """Need nothing."""

    def stop(self) -> None:
        """Need nothing."""


def _file(number: int, directory: FID = DAILY) -> FID:
    return FID(0x200000998, number + 1, directory.oid)


def _with_directories(log: Iterator[bytes], records: int) -> Iterator[bytes]:
    """Yield records with those of the two directories among them."""
    daily, spread = _directory(DAILY), _directory(SPREAD)
    size = 3 * FILES + 1
    day, every = records // DAYS, max(1, records // size)
    session = -(-size // DAYS) * SHARE
    for number, record in enumerate(log):
        if number % every == 0:
            yield from islice(spread, 1)
        if number % day < session and number % SHARE == 0:
            yield from islice(daily, 1)
        yield record
    yield from daily
    yield from spread


def _directory(fid: FID) -> Iterator[bytes]:
    plain = ChangelogRecord(
        index=0, type=0, time_ns=_TIME_NS, flags=FLAGS, extra_flags=EXTRA_UIDGID | EXTRA_NID, jobid=b"cp.1000",
        uid=1000, gid=1000, nid=bytes(24),
    )  # fmt: skip

    def record(**fields: object) -> bytes:
        values = {name: getattr(plain, name) for name in plain.__struct_fields__}
        return encode_record(ChangelogRecord(**values | fields))

    yield record(type=RecordType.MKDIR, target=fid, parent=ROOT_FID, name=b"much %d" % fid.oid)
    for number in range(FILES):
        own = {"target": _file(number, fid), "parent": fid, "name": b"file_%05d.h5" % number}
        yield record(type=RecordType.CREAT, **own)
        yield record(type=RecordType.CLOSE, target=_file(number, fid), flags=FLAGS | CLOSE_WRITE)
        yield record(type=RecordType.UNLNK, flags=FLAGS | UNLNK_LAST, **own)


def _numbered(log: Iterator[bytes]) -> Iterator[bytes]:
    for index, record in enumerate(log, 1):
        yield record[:8] + index.to_bytes(8, "little") + record[16:]


def _timed(look: Callable[[], int]) -> tuple[float, int]:
    """Return the processor time of a look, which does not wait for anything, and what it found."""
    began = time.process_time()
    found = look()
    return time.process_time() - began, found
