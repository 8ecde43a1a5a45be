"""The members of a zip file, from its central directory read as a stream.

`zipfile` keeps an object for each member, hundreds of MB for some files; it is used here only where a small archive
within the archive is looked into. The layout is that of PKWARE's APPNOTE 6.3.10.
"""

from __future__ import annotations

import contextlib
import io
import lzma
import os
import stat
import struct
import zipfile
import zlib
from typing import BinaryIO

from archive_listing import Listing, clean

TAIL_BYTES = 22 + 65_535  # end record and the longest comment (4.3.16)
CENTRAL = struct.Struct("<4sxB2x4H4x2I3H4xI4x")  # 4.3.12, to the name
LOCAL = struct.Struct("<4s2x4H4x2I2H")  # 4.3.7
ALL_ONES = 0xFFFFFFFF  # the value stands in the ZIP64 field (4.5.3)
ENCRYPTED, SIZES_FOLLOW, UTF8 = 1, 8, 0x800  # bits of the flags (4.4.4)
UNIX = {3, 19}  # made on Unix or macOS: the upper half of the attributes is the mode (4.4.2, 4.4.15)
METHODS = {0: "stored", 8: "deflate", 9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstd", 95: "xz", 99: "aes"}
NEST_DEPTH = 6
NEST_BYTES = 16 << 20  # of an archive that is looked into
NEST_MEMBERS = 10_000


def members(file: BinaryIO, size: int, listing: Listing) -> str:
    """List all members; return the archive's comment. Raise ValueError where the file is torn or damaged."""
    start, end, comment = _directory(file, size)
    if end < 0:
        _local(file, size, listing)
        raise ValueError("its end is missing")
    file.seek(start)
    packed_sum = 0
    while file.tell() < end:
        head = file.read(CENTRAL.size)
        if len(head) < CENTRAL.size or not head.startswith(b"PK\1\2"):
            raise ValueError("its directory is damaged")
        _, system, flags, method, time, date, packed, bytes_, name, extra, remark, mode = CENTRAL.unpack(head)
        raw, more = file.read(name), file.read(extra)
        file.seek(remark, os.SEEK_CUR)
        packed, bytes_ = _wide(more, packed, bytes_)
        packed_sum += packed
        is_link = system in UNIX and stat.S_ISLNK(mode >> 16)
        _take(listing, raw, (flags, method, time, date), bytes_, is_link=is_link)
    if packed_sum > size:
        listing.suspicious.append("its members overlap: together they are larger than the file")
    return comment


def has_directory(file: BinaryIO, size: int) -> bool:
    """Say whether a zip file ends here, whatever stands before it."""
    start, end, _ = _directory(file, size)
    file.seek(start)
    return end > start and file.read(4) == b"PK\1\2"


def _directory(file: BinaryIO, size: int) -> tuple[int, int, str]:
    """Return (start, end, comment) of the central directory; end -1 where there is none."""
    file.seek(max(0, size - TAIL_BYTES))
    tail = file.read(TAIL_BYTES)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or at + 22 > len(tail):
        return 0, -1, ""
    length, _, remark = struct.unpack_from("<IIH", tail, at + 12)
    comment = clean(tail[at + 22 : at + 22 + remark].decode("utf-8", "replace"), 4000)
    end = max(0, size - TAIL_BYTES) + at
    if at >= 20 and tail.startswith(b"PK\6\7", at - 20):
        place = struct.unpack_from("<Q", tail, at - 12)[0]
        file.seek(min(place, size))
        record = file.read(56)
        if len(record) == 56 and record.startswith(b"PK\6\6"):
            length, end = struct.unpack_from("<Q", record, 40)[0], place
    # what stands before the archive shifts its offsets, so the length counts (programs that unpack themselves)
    return (end - length, end, comment) if length <= end else (0, -1, comment)


def _wide(extra: bytes, packed: int, size: int) -> tuple[int, int]:
    """Return the sizes, from the ZIP64 field where they do not fit."""
    while ALL_ONES in (packed, size) and len(extra) >= 4:
        tag, length = struct.unpack_from("<HH", extra)
        if tag == 1:
            values = iter(struct.unpack_from(f"<{min(length, len(extra) - 4) // 8}Q", extra, 4))
            size = next(values, size) if size == ALL_ONES else size
            return (next(values, packed) if packed == ALL_ONES else packed), size
        extra = extra[4 + length :]
    return packed, size


def _local(file: BinaryIO, size: int, listing: Listing) -> None:
    """List the members from the headers before each of them, as far as they lead."""
    file.seek(0)
    while len(head := file.read(LOCAL.size)) == LOCAL.size and head.startswith(b"PK\3\4"):
        _, flags, method, time, date, packed, bytes_, name, extra = LOCAL.unpack(head)
        raw = file.read(name)
        if len(raw) < name:
            return
        _take(listing, raw, (flags, method, time, date), bytes_)
        if flags & SIZES_FOLLOW or file.tell() + extra + packed > size:
            return
        file.seek(extra + packed, os.SEEK_CUR)


def _take(
    listing: Listing, raw: bytes, head: tuple[int, int, int, int], size: int, *, is_link: bool = False
) -> None:
    flags, method, time, date = head
    name = raw.decode("utf-8" if flags & UTF8 else "cp437", "replace")
    day = f"{1980 + (date >> 9)}-{date >> 5 & 15:02}-{date & 31:02}"
    clock = f"T{time >> 11:02}:{time >> 5 & 63:02}:{(time & 31) * 2:02}"
    listing.counts["encrypted_members"] += flags & ENCRYPTED
    listing.methods.add(METHODS.get(method, "other"))
    what = "directories" if name.endswith("/") else "links" if is_link else "files"
    listing.add(name, 0 if is_link else min(size, 1 << 62), what, day + clock if date else "")


def deepest(file: BinaryIO, depth: int = 1) -> tuple[int, int]:
    """Follow the first zip file within a zip file, and on; return (levels, bytes that the largest level claims)."""
    broken = (
        zipfile.BadZipFile,
        ValueError,
        OSError,
        RuntimeError,
        EOFError,
        zlib.error,
        lzma.LZMAError,
        struct.error,
    )
    with contextlib.suppress(*broken), zipfile.ZipFile(file) as archive:
        found = archive.infolist()[:NEST_MEMBERS]
        total = sum(member.file_size for member in found)
        inner = next(
            (one for one in found if one.filename[-4:].lower() == ".zip" and one.file_size <= NEST_BYTES), None
        )
        if inner is None or depth == NEST_DEPTH:
            return depth, total
        with archive.open(inner) as packed:
            levels, below = deepest(io.BytesIO(packed.read(NEST_BYTES)), depth + 1)
        return levels, max(total, below * sum(one.filename[-4:].lower() == ".zip" for one in found))
    return depth, 0
