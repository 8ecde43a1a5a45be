"""Reading the history: records by the FID of an object, by directory, and by name.

All segments are looked at: the keys of each frame say whether it is worth it (frame.py). What is damaged, and what
is known to be missing, is kept beside what was found, to be said.
"""

from __future__ import annotations

import contextlib
import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.changelog.record import ChangelogRecord, RecordType, decode_record
from lustre_events.domain.namespace import Place
from lustre_events.domain.record_meaning import LINK_EFFECTS, effects
from lustre_events.errors import ConfigError
from lustre_events.history import frame, losses
from lustre_events.history.gaps import Gaps, Missing
from lustre_events.history.segments import Segment, frames_in, opened, segments_in

_FEW = 32
"""Up to this number of keys are looked for one by one."""
FOREVER = (0, 1 << 63)


class Happening(msgspec.Struct, frozen=True, gc=False):
    """One record of the history, and where it comes from.

    `time_ns` is its time, but never before that of an earlier record of its MDT, where time can run backwards.
    """

    mdt: str
    epoch: int
    record: ChangelogRecord
    time_ns: int


@dataclass(slots=True)
class Coverage:
    """What was read of the history: where each MDT's begins and ends, what is missing, what is damaged."""

    begins_ns: dict[str, int] = field(default_factory=dict)
    ends_ns: dict[str, int] = field(default_factory=dict)
    gaps: Gaps = field(default_factory=Gaps)
    damaged: set[str] = field(default_factory=set)

    @property
    def missing(self) -> set[Missing]:
        """What is missing, as far as it is known."""
        return self.gaps.found()

    def gaps_within(self, since_ns: int, until_ns: int) -> list[Missing]:
        """Return what is missing that may have happened within a time, in order."""
        found = [gap for gap in self.missing if gap.after_ns < until_ns and gap.before_ns >= since_ns]
        return sorted(found, key=lambda gap: (gap.after_ns, gap))


_Fits = Callable[[bytes, Sequence[int], Collection[bytes]], list[int]]


class _Hit(NamedTuple):
    mdt: str
    header: frame.Header
    starts: list[int]
    records: bytes
    keys: Collection[int]


class Archive:
    """The history in a folder. Every look goes through all of it; `coverage` is what the last one has met."""

    def __init__(self, folder: Path, seconds: float = float("inf")) -> None:
        """Take the folder, and how long all looks together may take. Raises ConfigError: there is no history."""
        self._folder = folder
        self._seconds = seconds
        self._ends_at = time.monotonic() + seconds
        self.coverage = Coverage()
        self._segments()

    def _segments(self) -> list[Segment]:
        try:
            found = segments_in(self._folder)
        except OSError as exc:
            raise ConfigError(
                f"{self._folder}: the history cannot be read ({exc.strerror}); [history] folder says where it is, "
                "and `lustre-events history-keeper` writes it"
            ) from exc
        if not found:
            raise ConfigError(
                f"{self._folder}: nothing is kept there yet; is `lustre-events history-keeper` running?"
            )
        return found

    def by_fid(self, fids: Collection[FID], span: tuple[int, int] = FOREVER) -> list[Happening]:
        """Return what happened to objects, in order; with renames, also to what these have overwritten."""
        wanted = {frame.wire(fid): fid for fid in fids}
        return self._find({frame.fid_key(fid): [wire] for wire, fid in wanted.items()}, _about, span)

    def in_directories(self, fids: Collection[FID], span: tuple[int, int] = FOREVER) -> list[Happening]:
        """Return what got names in directories, or lost them, in order."""
        return self._find({frame.directory_key(fid): [frame.wire(fid)] for fid in fids}, _inside, span)

    def by_name(self, places: Collection[Place], span: tuple[int, int] = FOREVER) -> list[Happening]:
        """Return what names in directories came to mean, in order."""
        keys: dict[int, list[bytes]] = {}
        for parent, name in places:
            keys.setdefault(frame.name_key(parent, name), []).append(frame.wire(parent))
        wanted = set(places)
        return [
            each
            for each in self._find(keys, _inside, span)
            if any((effect.parent, effect.name) in wanted for effect in effects(each.record))
        ]

    def everything(self, span: tuple[int, int] = FOREVER) -> Iterator[Happening]:
        """Yield all records of a time, MDT by MDT."""
        for hit in self._frames(None, span):
            for start in hit.starts[:-1]:
                record, _ = decode_record(hit.records, start)
                if span[0] <= record.time_ns < span[1]:
                    yield Happening(hit.mdt, hit.header.epoch, record, record.time_ns)

    def _find(self, keys: Mapping[int, list[bytes]], fits: _Fits, span: tuple[int, int]) -> list[Happening]:
        found = {}
        for hit in self._frames(keys, span):
            fids = {fid for key in hit.keys for fid in keys[key]}
            for start in fits(hit.records, hit.starts[:-1], fids):
                record, _ = decode_record(hit.records, start)
                if span[0] <= record.time_ns < span[1]:
                    found[hit.mdt, hit.header.epoch, record.index] = record
        return _in_order(found)

    def _frames(self, keys: Mapping[int, list[bytes]] | None, span: tuple[int, int]) -> Iterator[_Hit]:
        """Yield the frames that have some of the keys (None: all frames), decompressed."""
        self.coverage = Coverage()
        found = self._segments()
        newest = {each.mdt: each for each in found}
        self._read_losses(newest)
        for segment in found:
            with contextlib.ExitStack() as stack:
                try:
                    buffer = stack.enter_context(opened(segment.path))
                except FileNotFoundError:  # removed just now: too old
                    continue
                yield from self._hits(segment, buffer, keys, span, last=segment is newest[segment.mdt])

    def _read_losses(self, mdts: Iterable[str]) -> None:
        for mdt in mdts:
            try:
                self.coverage.gaps.mark(losses.read(self._folder, mdt))
            except (OSError, ValueError) as exc:
                self.coverage.damaged.add(
                    f"{self._folder / mdt / losses.NAME}: it cannot be read ({exc}), so losses may be left "
                    "out here; the keeper writes it again"
                )

    def _hits(
        self, segment: Segment, buffer: memoryview, keys: Mapping[int, list[bytes]] | None, span: tuple[int, int],
        *, last: bool,
    ) -> Iterator[_Hit]:  # fmt: skip
        damage = 0
        for offset, header in frames_in(buffer):
            self._check_time()
            damage = self._note(segment, header, (buffer, offset), damage)
            if header is None or not _is_wanted(header, span) or len(buffer) - offset < header.size:
                continue
            index = frame.keys_of(header, buffer, offset)
            hits = _common(keys, index) if index is not None else None
            if hits == ():
                continue
            plain = frame.records_of(header, buffer, offset) if index is not None else None
            if plain is None:
                self._damage(segment, f"records {header.first_index} to {header.last_index}")
            else:
                yield _Hit(segment.mdt, header, *plain, hits or ())
        if damage and not last:  # at the end of the newest one stands what is being written, or a crash has left
            self._damage(segment, "its end")

    def _check_time(self) -> None:
        if time.monotonic() > self._ends_at:
            raise ConfigError(
                f"that history cannot be given within {self._seconds:g} s; name a directory below it, or use "
                "`lustre-events history`"
            )

    def _note(
        self, segment: Segment, header: frame.Header | None, place: tuple[memoryview, int], damage: int
    ) -> int:
        """Note what a header tells of the reach; return where damage began that is not over."""
        buffer, offset = place
        if header is None:
            return damage or offset + 1
        if damage:
            self._damage(segment, f"bytes {damage - 1} to {offset}")
        self.coverage.gaps.see(segment.mdt, header, partial(_last_within, header, buffer, offset))
        if header.kind == frame.LOSS:
            return 0
        begins, ends = self.coverage.begins_ns, self.coverage.ends_ns
        begins[segment.mdt] = min(begins.get(segment.mdt, header.first_ns), header.first_ns)
        ends[segment.mdt] = max(ends.get(segment.mdt, 0), header.last_ns)
        return 0

    def _damage(self, segment: Segment, what: str) -> None:
        self.coverage.damaged.add(f"{segment.path}: {what} cannot be read: the file is damaged")


def _last_within(header: frame.Header, buffer: memoryview, offset: int, most_index: int) -> int:
    """Return the last index of a frame's records up to one; 0: it has none, or is damaged."""
    if len(buffer) - offset < header.size:
        return 0
    starts, records = frame.records_of(header, buffer, offset) or ([0], b"")
    indexes = (int.from_bytes(records[start + 8 : start + 16], "little") for start in starts[:-1])
    return max((index for index in indexes if index <= most_index), default=0)


def _is_wanted(header: frame.Header, span: tuple[int, int]) -> bool:
    return header.kind == frame.RECORDS and header.last_ns >= span[0] and header.first_ns < span[1]


def _in_order(found: Mapping[tuple[str, int, int], ChangelogRecord]) -> list[Happening]:
    """Return records by MDT, epoch and index in the order of their times, those of one MDT in their own."""
    happenings: list[Happening] = []
    before = ("", 0, 0)
    for (mdt, epoch, _), record in sorted(found.items()):
        earliest = before[2] if before[:2] == (mdt, epoch) else 0
        before = (mdt, epoch, max(record.time_ns, earliest))
        happenings.append(Happening(*before[:2], record, before[2]))
    return sorted(happenings, key=lambda each: (each.time_ns, each.mdt, each.epoch, each.record.index))


def _common(keys: Mapping[int, list[bytes]] | None, index: memoryview) -> Collection[int] | None:
    """Return those of the keys that a frame has; () for none; None: all are wanted."""
    if keys is None:
        return None
    if len(keys) > _FEW:
        return tuple(keys.keys() & set(index)) if not keys.keys().isdisjoint(index) else ()
    found = []
    for key in keys:
        at = bisect_left(index, key)
        if at < len(index) and index[at] == key:
            found.append(key)
    return tuple(found)


def _about(records: bytes, starts: Sequence[int], fids: Collection[bytes]) -> list[int]:
    """Return where records begin that are about objects: their target, and what a rename moves.

    Each record is looked at, at those bytes: to search for FIDs is slower, and finds them in names, too.
    """
    found = [start for start in starts if records[start + 32 : start + 48] in fids]
    found += [
        start for start in starts if records[start + 4] in _MOVES and records[start + 64 : start + 80] in fids
    ]
    return found


def _inside(records: bytes, starts: Sequence[int], fids: Collection[bytes]) -> list[int]:
    """Return where records begin that name something in directories: in the one, or out of the other."""
    links = [start for start in starts if records[start + 4] in _LINKS]
    return [
        start
        for start in links
        if records[start + 48 : start + 64] in fids
        or (records[start + 4] in _MOVES and records[start + 80 : start + 96] in fids)
    ]


_LINKS = frozenset(map(int, LINK_EFFECTS))
_MOVES = frozenset({int(RecordType.RENME), int(RecordType.MIGRT)})
