"""A frame: some thousand records of one epoch as they lie in a segment, with what finds a FID or a name in them.

    header | keys, sorted, 32 bits each | payload: sizes of the records, then the records, compressed

A key is a checksum of a FID, of the FID of a directory that a name stands in, or of that FID and the name
(`fid_key`, `directory_key`, `name_key`), so looking for one is a bisection in each frame, and only frames that have
it are decompressed. Two different things can have one key; whoever looks compares the records themselves.

Header, keys and payload have a checksum each. A frame is written with one call; what a crash left of the last one
is not whole, and is written over. A frame without records says that some are missing there (`LOSS`).
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

import msgspec
import zstandard

from lustre_events.changelog.fid import FID
from lustre_events.changelog.record import EXTRA_BYTES, FIXED_BYTES, FLAG_EXTRA, FLAG_RENAME, RecordType
from lustre_events.domain.record_meaning import LINK_EFFECTS

RECORDS, LOSS = 1, 2
"""Kinds of a frame."""
FRAME_BYTES = 256 << 10
"""A frame is closed when its records reach this size."""
MOST_BYTES = 64 << 20
"""No payload is larger, uncompressed; what claims to be is damaged."""
MAGIC = b"LEHF"
LEVEL = 3

_HEADER = struct.Struct("<4sIBxxxIIIIIIQQQQQ")
HEADER_BYTES = _HEADER.size
_RECORD = struct.Struct("<HHIQQQ")
_U64 = struct.Struct("<Q")
_NANOSECOND_BITS = 30
_WIRE_FID = struct.Struct("<QII")
_TARGET, _PARENT, _NAMES = 32, 48, 64
_OF_DIRECTORY, _OF_NAME = 0x64697200, 0x6E616D65
"""What the checksums of directories and names begin with, so that one FID has other keys as either."""


class Header(NamedTuple):
    """What a frame says of itself; times in ns, sizes in bytes."""

    kind: int
    records: int
    keys: int
    payload_bytes: int
    keys_check: int
    payload_check: int
    plain_bytes: int
    epoch: int
    first_index: int
    last_index: int
    first_ns: int
    last_ns: int

    @property
    def size(self) -> int:
        """The bytes of the whole frame."""
        return HEADER_BYTES + 4 * self.keys + self.payload_bytes


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A frame that is ready to be written."""

    header: Header
    data: bytes


def fid_key(fid: FID) -> int:
    """Return the key of an object."""
    return zlib.crc32(wire(fid))


def directory_key(fid: FID) -> int:
    """Return the key of a directory in which something got a name or lost it."""
    return zlib.crc32(wire(fid), _OF_DIRECTORY)


def name_key(directory: FID, name: bytes) -> int:
    """Return the key of a name in a directory."""
    return zlib.crc32(wire(directory) + name, _OF_NAME)


class Packer:
    """Collects records of one epoch, and makes frames of them. One is used again and again."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=False)
        self._clear()

    def _clear(self) -> None:
        self._pieces: list[bytes | memoryview] = []
        self._sizes = array("H")
        self._times: list[int] = []
        self._fids: set[bytes] = set()
        self._directories: set[bytes] = set()
        self._names: set[bytes] = set()
        self._bytes = 0
        self._first_index = self._last_index = 0

    # The one loop over all records: calls in it would cost more than everything else here.
    def add(self, data: bytes, after: int) -> Iterator[None]:
        """Collect raw records, which are whole, whose index is behind `after`; yields when a frame is full."""
        sizes, times, fids, directories, names = self._open()
        unpack, fixed, extra, extra_at = _RECORD.unpack_from, FIXED_BYTES, EXTRA_BYTES, _U64.unpack_from
        offset, end, begin = 0, len(data), 0
        while offset < end:
            name_bytes, flags, type_, index, _, time = unpack(data, offset)
            size = fixed[flags >> 12]
            if flags & FLAG_EXTRA:
                size += extra[extra_at(data, offset + size - 8)[0]]
            following = offset + size + name_bytes
            if index <= after:
                offset = begin = following
                continue
            if not times:
                self._first_index = index
            self._last_index = index
            fids.add(data[offset + _TARGET : offset + _PARENT])
            if type_ in _LINKS:
                parent = data[offset + _PARENT : offset + _NAMES]
                name = data[following - name_bytes : following]
                directories.add(parent)
                if type_ in _MOVES and flags & FLAG_RENAME:
                    source_parent = data[offset + 80 : offset + 96]
                    fids.add(data[offset + 64 : offset + 80])
                    directories.add(source_parent)
                    name, _, old = name.partition(b"\0")
                    if type_ == RecordType.MIGRT:  # only the parents are the other way round (record_meaning.py)
                        parent, source_parent = source_parent, parent
                    names.add(source_parent + (old or name))
                names.add(parent + name)
            sizes.append(following - offset)
            times.append(time)
            offset = following
            if offset - begin + self._bytes >= FRAME_BYTES:
                self._take(data, begin, offset)
                begin = offset
                yield
                sizes, times, fids, directories, names = self._open()
        self._take(data, begin, end)

    def _open(self) -> tuple[array[int], list[int], set[bytes], set[bytes], set[bytes]]:
        return self._sizes, self._times, self._fids, self._directories, self._names

    def _take(self, data: bytes, begin: int, end: int) -> None:
        if end > begin:
            self._pieces.append(data[begin:end])
            self._bytes += end - begin

    def frame(self, epoch: int) -> Frame | None:
        """Return what is collected as a frame, and begin a new one; None: nothing is."""
        if not self._times:
            return None
        checksum = zlib.crc32
        keys = {checksum(each) for each in self._fids}
        keys.update(checksum(each, _OF_DIRECTORY) for each in self._directories)
        keys.update(checksum(each, _OF_NAME) for each in self._names)
        sorted_keys = array("I", sorted(keys)).tobytes()
        plain = b"".join((self._sizes.tobytes(), *self._pieces))
        found = _frame(
            RECORDS, len(self._times), sorted_keys, self._compressor.compress(plain), len(plain),
            (epoch, self._first_index, self._last_index, _ns(min(self._times)), _ns(max(self._times))),
        )  # fmt: skip
        self._clear()
        return found


def loss(epoch: int, first_index: int, last_index: int, first_ns: int, last_ns: int) -> Frame:
    """Return a frame that says that records are missing; a first index of 0: it is not known which."""
    return _frame(LOSS, 0, b"", b"", 0, (epoch, first_index, last_index, first_ns, last_ns))


def _frame(  # noqa: PLR0917 - what a frame is made of
    kind: int, count: int, keys: bytes, payload: bytes, plain: int, span: tuple[int, int, int, int, int]
) -> Frame:  # fmt: skip
    header = Header(
        kind, count, len(keys) // 4, len(payload), zlib.crc32(keys), zlib.crc32(payload), plain, *span
    )  # fmt: skip
    packed = _HEADER.pack(MAGIC, 0, *header)
    check = zlib.crc32(packed[8:])
    return Frame(header, _HEADER.pack(MAGIC, check, *header) + keys + payload)


def read_header(buffer: bytes | memoryview, offset: int) -> Header | None:
    """Return the header at an offset; None: there is no whole one, or it is damaged."""
    if len(buffer) - offset < HEADER_BYTES:
        return None
    magic, check, *values = _HEADER.unpack_from(buffer, offset)
    if magic != MAGIC or check != zlib.crc32(buffer[offset + 8 : offset + HEADER_BYTES]):
        return None
    return Header(*values)


def keys_of(header: Header, buffer: memoryview, offset: int) -> memoryview | None:
    """Return the sorted keys of a frame; None: they are damaged."""
    keys = buffer[offset + HEADER_BYTES : offset + HEADER_BYTES + 4 * header.keys]
    return keys.cast("I") if zlib.crc32(keys) == header.keys_check else None


def records_of(header: Header, buffer: memoryview, offset: int) -> tuple[list[int], bytes] | None:
    """Return where each record of a frame begins, the end of the last one too, and the records; None: damaged."""
    payload = buffer[offset + header.size - header.payload_bytes : offset + header.size]
    if zlib.crc32(payload) != header.payload_check or header.plain_bytes > MOST_BYTES:
        return None
    try:
        plain = zstandard.ZstdDecompressor().decompress(payload, max_output_size=header.plain_bytes)
    except zstandard.ZstdError:
        return None
    head = 2 * header.records
    starts = list(accumulate(array("H", plain[:head]), initial=0))
    records = plain[head:]
    return (starts, records) if starts[-1] == len(records) else None


def is_whole(header: Header, buffer: memoryview, offset: int) -> bool:
    """Whether all of a frame is there and as it was written."""
    if len(buffer) - offset < header.size:
        return False
    return keys_of(header, buffer, offset) is not None and (
        header.kind != RECORDS or records_of(header, buffer, offset) is not None
    )


def wire(fid: FID) -> bytes:
    """Return a FID as it stands in a record."""
    return _WIRE_FID.pack(fid.seq, fid.oid, fid.ver)


def _ns(time: int) -> int:
    return (time >> _NANOSECOND_BITS) * 1_000_000_000 + (time & (1 << _NANOSECOND_BITS) - 1)


_LINKS = frozenset(map(int, LINK_EFFECTS))
_MOVES = frozenset({int(RecordType.RENME), int(RecordType.MIGRT)})
