"""Writing segments: what comes is appended, synced, and removed again when it is too old or too much.

A day is that on which records came, by this node's clock. What was appended is on the disk when `flush` returns. A
write that fails leaves the segment as it was. Whole segments are removed, never the one that is written to.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from lustre_events.errors import ConfigError
from lustre_events.history.frame import RECORDS, Frame, Packer, is_whole, loss
from lustre_events.history.segments import Segment, frames_in, opened, repack, segments_in, sync
from lustre_events.streams.interface import Block, EpochKey

log = logging.getLogger(__name__)

SEGMENT_BYTES = 256 << 20
"""A segment is closed when it reaches this size."""
_DAY = "%Y-%m-%d"


class Extent(NamedTuple):
    """The extent of a history: its bytes, and the times of the first and the last record (0: none)."""

    size: int
    begins_ns: int
    ends_ns: int


class _Written:
    """The segment of one MDT that is appended to; `size` is what is whole in it."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self._fd = os.open(segment.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self.size = os.fstat(self._fd).st_size

    def append(self, data: bytes) -> None:
        """Append and sync. What a failed call has written is written over by the next one. Raises OSError.

        Nothing is cut off: somebody may have mapped the file, and would be killed by a look behind its end.
        """
        left, at = memoryview(data), self.size
        while left:
            written = os.pwrite(self._fd, left, at)
            left, at = left[written:], at + written
        os.fdatasync(self._fd)
        self.size = at

    def close(self) -> None:
        if os.fstat(self._fd).st_size > self.size:
            os.ftruncate(self._fd, self.size)
        os.close(self._fd)


class LastRecords(NamedTuple):
    """The last records of an MDT that a history has: their epoch, the last index, and the time."""

    epoch: int
    last_index: int
    last_ns: int


class SegmentWriter:
    """Appends what blocks hold. One per folder: a second one is refused. Every call may raise OSError.

    Args:
        folder: of the history; made where it is not there.
        days: how long segments are kept.
        most_bytes: most bytes of all segments.
    """

    def __init__(self, folder: Path, days: float, most_bytes: int) -> None:
        """Open the folder, and cut off what a crash left. Raises ConfigError: another writer is at work there."""
        self._folder = folder
        self._days = days
        self.most_bytes = most_bytes
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._lock = os.open(folder / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            os.close(self._lock)
            raise ConfigError(f"{folder}: another process writes the history there; end that one first") from exc
        self._open: dict[str, _Written] = {}
        self._reached: dict[EpochKey, int] = {}
        self._found: dict[str, LastRecords] = {}
        self._ends_ns = 0
        self._packers: dict[str, tuple[int, Packer]] = {}
        self._ready: dict[str, list[Frame]] = {}
        self._added: dict[EpochKey, int] = {}
        for each in folder.glob("*/*.tmp"):
            each.unlink(missing_ok=True)
        for mdt in {each.mdt for each in segments_in(folder)}:
            self._recover(mdt)

    def _recover(self, mdt: str) -> None:
        """Find how far an MDT was written, and cut off a frame that is not whole."""
        own = [each for each in segments_in(self._folder) if each.mdt == mdt]
        for segment in own[-2:]:
            with opened(segment.path) as buffer:
                whole = 0
                for offset, header in frames_in(buffer):
                    if header is not None and is_whole(header, buffer, offset):
                        whole = offset + header.size
                        key = (mdt, header.epoch)
                        self._reached[key] = max(self._reached.get(key, 0), header.last_index)
                        if header.kind == RECORDS:
                            self._found[mdt] = LastRecords(header.epoch, header.last_index, header.last_ns)
                            self._ends_ns = max(self._ends_ns, header.last_ns)
                size = len(buffer)
            if segment is own[-1]:
                self._open[mdt] = _Written(segment)
                self._open[mdt].size = whole
                if whole < size:
                    log.warning("%s: the last %d bytes are not whole, and will be written over", segment.path,
                                size - whole, extra={"action": "cut", "mdt": mdt})  # fmt: skip

    def reached(self, key: EpochKey) -> int:
        """Return the last index of an epoch that is written, or added; 0: none."""
        return max(self._reached.get(key, 0), self._added.get(key, 0))

    def found(self, mdt: str) -> LastRecords | None:
        """Return the last records of an MDT that were there at the start; None: there were none."""
        return self._found.get(mdt)

    def extent(self) -> Extent:
        """Return how much there is, and from when to when."""
        segments = segments_in(self._folder)
        oldest: dict[str, Segment] = {}
        for each in segments:
            oldest.setdefault(each.mdt, each)
        begins_ns = [each for each in map(_begins_ns, oldest.values()) if each]
        size = sum(each.path.stat().st_size for each in segments)
        return Extent(size, min(begins_ns, default=0), self._ends_ns)

    def add(self, block: Block) -> None:
        """Take the records of a block that are not written yet; they are when `flush` returns."""
        key = (block.mdt, block.epoch)
        after = self.reached(key)
        if block.last_index <= after:
            return
        packer = self._packer(block.mdt, block.epoch)
        ready = self._ready.setdefault(block.mdt, [])
        try:
            for _ in packer.add(block.data, after):
                ready += filter(None, [packer.frame(block.epoch)])
        except (struct.error, IndexError):
            log.exception("%s: records %d to %d cannot be read", block.mdt, block.first_index, block.last_index,
                          extra={"action": "skip", "mdt": block.mdt})  # fmt: skip
            self.lose(key, max(after + 1, block.first_index), block.last_index, 0)
        self._added[key] = block.last_index

    def lose(self, key: EpochKey, first_index: int, last_index: int, time_ns: int) -> None:
        """Note that records of an epoch are missing, but for those that are written."""
        first_index = max(first_index, self.reached(key) + 1)
        if first_index <= last_index:
            self._note_loss(key, first_index, last_index, time_ns)
            self._added[key] = last_index

    def lose_some(self, key: EpochKey, time_ns: int) -> None:
        """Note that records may be missing in front of what comes next, and nobody knows which."""
        self._note_loss(key, 0, 0, time_ns)

    def _note_loss(self, key: EpochKey, first_index: int, last_index: int, time_ns: int) -> None:
        mdt, epoch = key
        self._close_frame(mdt)
        self._ready.setdefault(mdt, []).append(loss(epoch, first_index, last_index, time_ns, time_ns))

    def _packer(self, mdt: str, epoch: int) -> Packer:
        known = self._packers.get(mdt)
        if known is not None and known[0] != epoch:
            self._close_frame(mdt)
        packer = known[1] if known is not None else Packer()
        self._packers[mdt] = (epoch, packer)
        return packer

    def _close_frame(self, mdt: str) -> None:
        epoch, packer = self._packers.get(mdt, (0, None))
        frame = packer.frame(epoch) if packer is not None else None
        if frame is not None:
            self._ready.setdefault(mdt, []).append(frame)

    def flush(self, now_ns: int) -> int:
        """Write what was added, and return how many records. What could not be written stays for the next call."""
        written = 0
        for mdt in [*self._packers]:
            self._close_frame(mdt)
        for mdt, frames in self._ready.items():
            if frames:
                segment = self._segment(mdt, now_ns)
                segment.append(b"".join(frame.data for frame in frames))
                written += sum(frame.header.records for frame in frames)
                times = [frame.header.last_ns for frame in frames if frame.header.kind == RECORDS]
                self._ends_ns = max([self._ends_ns, *times])
                frames.clear()
        self._reached |= self._added
        self._added.clear()
        return written

    def _segment(self, mdt: str, now_ns: int) -> _Written:
        day = datetime.fromtimestamp(now_ns / 1e9, UTC).strftime(_DAY)
        present = self._open.get(mdt)
        number = 0
        if present is not None:
            _, last, *_ = before = present.segment
            if before.day >= day and present.size < SEGMENT_BYTES:
                return present
            number = last + 1 if before.day >= day else 0
            day = max(before.day, day)
        folder = self._folder / mdt
        folder.mkdir(exist_ok=True, mode=0o750)
        self._open[mdt] = _Written(Segment(day, number, mdt, folder / f"{day}.{number}.seg"))
        sync(folder)
        if present is not None:
            present.close()
            repack(present.segment.path)
        return self._open[mdt]

    def oldest_ns(self, now_ns: int) -> int:
        """Return the time before which nothing is kept."""
        return now_ns - int(self._days * 86_400e9)

    def trim(self, now_ns: int) -> int:
        """Remove segments that are too old, or too many; return how many bytes there are."""
        oldest = datetime.fromtimestamp(self.oldest_ns(now_ns) / 1e9, UTC).strftime(_DAY)
        sizes = {each: each.path.stat().st_size for each in segments_in(self._folder)}
        total = sum(sizes.values())
        written = {each.segment.path for each in self._open.values()}
        for segment, size in sizes.items():
            if segment.path not in written and (segment.day < oldest or total > self.most_bytes):
                segment.path.unlink()
                total -= size
                log.info("removed %s, which is %s", segment.path, "too old" if segment.day < oldest else "too much",
                         extra={"action": "trim", "mdt": segment.mdt})  # fmt: skip
        return total

    def close(self) -> None:
        """Close the files. What was added and not flushed is forgotten."""
        for each in self._open.values():
            each.close()
        os.close(self._lock)


def _begins_ns(segment: Segment) -> int:
    with opened(segment.path) as buffer:
        headers = (header for _, header in frames_in(buffer) if header is not None and header.kind == RECORDS)
        return next((header.first_ns for header in headers), 0)
