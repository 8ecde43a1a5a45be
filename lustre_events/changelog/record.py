"""The changelog record: one value, and the codec between it and the bytes of the MDT's device.

Layout (little-endian, packed): struct changelog_rec, 64 bytes, then each extension whose flag is set, in
this order: rename (source FID and source parent FID), jobid, extra flags, and by the extra flags uid and
gid, NID, open mode, xattr name; then the name without a final NUL (RENME: `new NUL old`).
Source: Lustre's lustre_user.h, checked against a C program and against records of a live Lustre in tests.

Three depths, so that nobody pays for more than is needed: `scan` finds boundaries and decodes nothing,
`iter_records` and `decode_record` make values, `encode_record` goes back.
"""

from __future__ import annotations

import enum
import hashlib
import struct
from collections.abc import Iterator

import msgspec

from lustre_events.changelog.fid import FID, NO_FID
from lustre_events.errors import RecordDecodeError, UnknownExtension

Buffer = bytes | bytearray | memoryview


class RecordType(enum.IntEnum):
    """The record types that this version knows. A newer server may send others: they stay plain ints."""

    MARK = 0
    CREAT = 1
    MKDIR = 2
    HLINK = 3
    SLINK = 4
    MKNOD = 5
    UNLNK = 6
    RMDIR = 7
    RENME = 8
    RNMTO = 9
    OPEN = 10
    CLOSE = 11
    LYOUT = 12
    TRUNC = 13
    SATTR = 14
    XATTR = 15
    HSM = 16
    MTIME = 17
    CTIME = 18
    ATIME = 19
    MIGRT = 20
    FLRW = 21
    RESYNC = 22
    GXATR = 23
    NOPEN = 24


FLAG_VERSION = 0x1000
FLAG_RENAME = 0x2000
FLAG_JOBID = 0x4000
FLAG_EXTRA = 0x8000
TYPE_FLAGS = 0x0FFF
"""The flag bits that belong to the type; the others say which extensions follow."""

UNLNK_LAST = 0x1
RENME_LAST = 0x1
CLOSE_WRITE = 0x2
"""MDS_FMODE_WRITE in the low bits of OPEN and CLOSE."""

EXTRA_UIDGID = 0x1
EXTRA_NID = 0x2
EXTRA_OPEN_MODE = 0x4
EXTRA_XATTR = 0x8
EXTRA_NID_BIG_ENDIAN = 0x10
EXTRA_KNOWN = 0x1F

HEADER_BYTES = 64
MAX_NAME_BYTES = 2 * 255 + 1
MAX_RECORD_BYTES = 1024
"""No record is longer (the largest possible is 64+32+32+8+16+24+4+256+511 = 947)."""

_HEADER = struct.Struct("<HHIQQQQIIQII")
_NAMELEN_FLAGS = struct.Struct("<HH")
_TYPE_AT, _INDEX_AT, _PREV_AT, _TIME_AT = 4, 8, 16, 24
_RENAME = struct.Struct("<QIIQII")
_U64 = struct.Struct("<Q")
_U64X2 = struct.Struct("<QQ")
_U32 = struct.Struct("<I")
_NID_BYTES = 24
_JOBID_BYTES = 32
_XATTR_BYTES = 256
_NANOSECOND_BITS = 30
_NANOSECOND_MASK = (1 << _NANOSECOND_BITS) - 1
_SECOND = 1_000_000_000

# Bytes before the extra extensions, by flags >> 12; and of the extra extensions, by extra flags.
FIXED_BYTES = tuple(
    HEADER_BYTES + (32 if n & 2 else 0) + (_JOBID_BYTES if n & 4 else 0) + (8 if n & 8 else 0) for n in range(16)
)
EXTRA_BYTES = tuple(
    (16 if n & EXTRA_UIDGID else 0)
    + (_NID_BYTES if n & EXTRA_NID else 0)
    + (4 if n & EXTRA_OPEN_MODE else 0)
    + (_XATTR_BYTES if n & EXTRA_XATTR else 0)
    for n in range(EXTRA_KNOWN + 1)
)


class ChangelogRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One record of one MDT.

    `flags` and `extra_flags` are the bits as on the wire, and alone say which extensions are there; an
    extension that is not there has its empty value. `time_ns` is nanoseconds since the epoch, UTC.
    Names, jobid and xattr are bytes. `nid` is the 24 bytes of the NID extension (`text.nid_text`
    reads them). For RENME the object that moved is `source`; see `names` for what each type means.
    """

    index: int
    type: int
    time_ns: int
    target: FID = NO_FID
    parent: FID = NO_FID
    name: bytes = b""
    prev: int = 0
    flags: int = FLAG_VERSION
    extra_flags: int = 0
    source: FID = NO_FID
    source_parent: FID = NO_FID
    source_name: bytes = b""
    jobid: bytes = b""
    uid: int | None = None
    gid: int | None = None
    nid: bytes | None = None
    open_flags: int | None = None
    xattr: bytes | None = None


class ScannedBlock(msgspec.Struct, frozen=True, gc=False):
    """What `scan` found: `count` whole records in the first `size` bytes, their first and last index.

    `last_offset` is where the last one begins.
    """

    count: int
    first_index: int
    last_index: int
    size: int
    last_offset: int = 0


def record_size(buffer: Buffer, offset: int = 0) -> int:
    """Return the length in bytes of the record at `offset`.

    Raises:
        RecordDecodeError: the record is torn (its end lies behind the buffer's) or its name is too long.
        UnknownExtension: it has an extra flag that this version does not know.
    """
    available = len(buffer) - offset
    if available < HEADER_BYTES:
        raise RecordDecodeError(f"torn record: {available} bytes left, a header has {HEADER_BYTES}", offset)
    namelen, flags = _NAMELEN_FLAGS.unpack_from(buffer, offset)
    size: int = FIXED_BYTES[flags >> 12] + namelen
    if namelen > MAX_NAME_BYTES:
        raise RecordDecodeError(f"not a record: a name of {namelen} bytes", offset)
    if flags & FLAG_EXTRA:
        at = FIXED_BYTES[flags >> 12] - 8
        if available < at + 8:
            raise RecordDecodeError(f"torn record: {available} bytes left, its extra flags lie at {at}", offset)
        (extra,) = _U64.unpack_from(buffer, offset + at)
        if extra & ~EXTRA_KNOWN:
            raise UnknownExtension(f"extra flags {extra:#x} have a bit that this version does not know", offset)
        size += EXTRA_BYTES[extra]
    if available < size:
        raise RecordDecodeError(f"torn record: {available} bytes left, it has {size}", offset)
    return size


def boundaries(buffer: Buffer) -> Iterator[tuple[int, int]]:
    """Yield (offset, size) of each record, decoding nothing. Raises as `record_size` does."""
    offset, end = 0, len(buffer)
    while offset < end:
        size = record_size(buffer, offset)
        yield offset, size
        offset += size


def scan(buffer: Buffer) -> ScannedBlock:
    """Count the records of `buffer` and find the first and the last index, decoding nothing.

    Raises as `record_size` does; an empty buffer gives a ScannedBlock of zeros. This is the reader's only look at
    records, so it repeats `record_size` in a flat loop and leaves it to that function to say what is wrong.
    """
    header, fixed_sizes, extra_sizes, extra_at = (
        _NAMELEN_FLAGS.unpack_from,
        FIXED_BYTES,
        EXTRA_BYTES,
        _U64.unpack_from,
    )
    offset, end, count, last = 0, len(buffer), 0, 0
    try:
        while offset < end:
            last = offset
            namelen, flags = header(buffer, offset)
            size = fixed_sizes[flags >> 12]
            if flags & FLAG_EXTRA:
                size += extra_sizes[extra_at(buffer, offset + size - 8)[0]]
            if namelen > MAX_NAME_BYTES:
                break
            offset += size + namelen
            count += 1
    except (struct.error, IndexError):  # extra flags behind the buffer's end, or unknown ones
        pass
    if offset != end:
        record_size(buffer, last)  # raises: torn, or the loop stopped there
    if not count:
        return ScannedBlock(0, 0, 0, 0)
    (first_index,) = _U64.unpack_from(buffer, _INDEX_AT)
    (last_index,) = _U64.unpack_from(buffer, last + _INDEX_AT)
    return ScannedBlock(count, first_index, last_index, end, last)


def index_of(header: Buffer) -> int:
    """Return the index of the record that begins here, of which the header is enough."""
    return int(_U64.unpack_from(header, _INDEX_AT)[0])


def digest(header: Buffer) -> str:
    """Return what tells the record that begins here from every other one, of which the header is enough.

    It is made of index, type, time and the two FIDs: what is the same at each reading, raw or through the
    library, which changes flags and extensions, and leaves garbage behind the end of a jobid.
    """
    kept = bytes(header[_TYPE_AT:_PREV_AT]) + bytes(header[_TIME_AT:HEADER_BYTES])
    return hashlib.blake2b(kept, digest_size=8).hexdigest()


def decode_record(buffer: Buffer, offset: int = 0) -> tuple[ChangelogRecord, int]:
    """Return the record at `offset` and its length in bytes. Raises as `record_size` does."""
    size = record_size(buffer, offset)
    namelen, flags, type_, index, prev, time, t_seq, t_oid, t_ver, p_seq, p_oid, p_ver = _HEADER.unpack_from(
        buffer, offset
    )
    at = offset + HEADER_BYTES
    source = source_parent = NO_FID
    jobid = b""
    extra = 0
    uid: int | None = None
    gid: int | None = None
    nid: bytes | None = None
    open_flags: int | None = None
    xattr: bytes | None = None
    if flags & FLAG_RENAME:
        s_seq, s_oid, s_ver, sp_seq, sp_oid, sp_ver = _RENAME.unpack_from(buffer, at)
        source, source_parent = FID(s_seq, s_oid, s_ver), FID(sp_seq, sp_oid, sp_ver)
        at += 32
    if flags & FLAG_JOBID:
        jobid = _until_nul(buffer, at, _JOBID_BYTES)
        at += _JOBID_BYTES
    if flags & FLAG_EXTRA:
        (extra,) = _U64.unpack_from(buffer, at)
        at += 8
        if extra & EXTRA_UIDGID:
            uid, gid = _U64X2.unpack_from(buffer, at)
            at += 16
        if extra & EXTRA_NID:
            nid = bytes(buffer[at : at + _NID_BYTES])
            at += _NID_BYTES
        if extra & EXTRA_OPEN_MODE:
            (open_flags,) = _U32.unpack_from(buffer, at)
            at += 4
        if extra & EXTRA_XATTR:
            xattr = _until_nul(buffer, at, _XATTR_BYTES)
            at += _XATTR_BYTES
    name, _, source_name = bytes(buffer[at : at + namelen]).partition(b"\0")
    return (
        ChangelogRecord(
            index=index,
            type=type_,
            time_ns=(time >> _NANOSECOND_BITS) * _SECOND + (time & _NANOSECOND_MASK),
            target=FID(t_seq, t_oid, t_ver),
            parent=FID(p_seq, p_oid, p_ver),
            name=name,
            prev=prev,
            flags=flags,
            extra_flags=extra,
            source=source,
            source_parent=source_parent,
            source_name=source_name,
            jobid=jobid,
            uid=uid,
            gid=gid,
            nid=nid,
            open_flags=open_flags,
            xattr=xattr,
        ),
        size,
    )


def iter_records(buffer: Buffer) -> Iterator[ChangelogRecord]:
    """Yield every record of `buffer`, in order. Raises as `record_size` does, behind the last whole record."""
    offset, end = 0, len(buffer)
    while offset < end:
        record, size = decode_record(buffer, offset)
        yield record
        offset += size


def encode_record(record: ChangelogRecord) -> bytes:
    """Return the bytes of `record` as the device gives them.

    Raises:
        ValueError: a value does not fit the wire (a name of more than 511 bytes, an index of more than 64 bits).
    """
    try:
        return _encode(record)
    except struct.error as exc:
        raise ValueError(f"record {record.index} does not fit the wire: {exc}") from exc


# Branches: one for each extension, in the order of the wire.
def _encode(record: ChangelogRecord) -> bytes:
    name = record.name + b"\0" + record.source_name if record.source_name else record.name
    if len(name) > MAX_NAME_BYTES:
        raise ValueError(f"a name of {len(name)} bytes does not fit a record")
    if record.extra_flags & ~EXTRA_KNOWN:
        raise ValueError(f"extra flags {record.extra_flags:#x} have a bit that this version does not know")
    seconds, nanoseconds = divmod(record.time_ns, _SECOND)
    target, parent = record.target, record.parent
    parts = [
        _HEADER.pack(
            len(name), record.flags, record.type, record.index, record.prev,
            seconds << _NANOSECOND_BITS | nanoseconds,
            target.seq, target.oid, target.ver, parent.seq, parent.oid, parent.ver,
        )
    ]  # fmt: skip
    if record.flags & FLAG_RENAME:
        source, source_parent = record.source, record.source_parent
        parts.append(
            _RENAME.pack(
                source.seq, source.oid, source.ver, source_parent.seq, source_parent.oid, source_parent.ver
            )
        )
    if record.flags & FLAG_JOBID:
        parts.append(_padded(record.jobid, _JOBID_BYTES))
    if record.flags & FLAG_EXTRA:
        parts.append(_U64.pack(record.extra_flags))
        if record.extra_flags & EXTRA_UIDGID:
            parts.append(_U64X2.pack(record.uid or 0, record.gid or 0))
        if record.extra_flags & EXTRA_NID:
            parts.append(_padded(record.nid or b"", _NID_BYTES))
        if record.extra_flags & EXTRA_OPEN_MODE:
            parts.append(_U32.pack(record.open_flags or 0))
        if record.extra_flags & EXTRA_XATTR:
            parts.append(_padded(record.xattr or b"", _XATTR_BYTES))
    parts.append(name)
    return b"".join(parts)


def _until_nul(buffer: Buffer, at: int, size: int) -> bytes:
    return bytes(buffer[at : at + size]).partition(b"\0")[0]


def _padded(value: bytes, size: int) -> bytes:
    if len(value) > size:
        raise ValueError(f"{value!r} does not fit {size} bytes")
    return value.ljust(size, b"\0")
