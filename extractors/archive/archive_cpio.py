"""cpio archives, in the portable forms of text: newc, with or without checksums, and odc (POSIX.1)."""

from __future__ import annotations

import stat
from typing import Any

from archive_listing import Listing, iso

NEW = (b"070701", b"070702")
OLD = b"070707"
END = b"TRAILER!!!"
MAX_NAME = 1 << 16
KINDS = {stat.S_IFDIR: "directories", stat.S_IFLNK: "links", stat.S_IFREG: "files"}


def is_cpio(head: bytes) -> bool:
    """Whether a file begins as a cpio archive: a mark, then digits only."""
    if head.startswith(NEW):
        return len(head) >= 110 and all(digit in b"0123456789abcdefABCDEF" for digit in head[6:110])
    return head.startswith(OLD) and len(head) >= 76 and all(digit in b"01234567" for digit in head[6:76])


def exactly(stream: Any, size: int) -> bytes:
    """Return `size` bytes.

    Raises:
        ValueError: the archive ends before.
    """
    data: bytes = stream.read(size)
    if len(data) != size:
        raise ValueError("it ends within a member, or its end mark is missing")
    return data


def cpio_members(stream: Any, listing: Listing) -> None:
    """List the members of an archive.

    Raises:
        ValueError: it is torn or damaged.
    """
    at = 0
    while True:
        stream.seek(at)
        mark = exactly(stream, 6)
        if mark in NEW:
            fields = exactly(stream, 104)
            numbers = [int(fields[place : place + 8], 16) for place in range(0, 104, 8)]
            mode, when, size, length, begin, pad = numbers[1], numbers[5], numbers[6], numbers[11], at + 110, 4
        elif mark == OLD:
            fields = exactly(stream, 70)
            mode, when, size = int(fields[12:18], 8), int(fields[42:53], 8), int(fields[59:70], 8)
            length, begin, pad = int(fields[53:59], 8), at + 76, 1
        else:
            raise ValueError("one of its members has no cpio magic number")
        if not 0 < length <= MAX_NAME:
            raise ValueError(f"one of its names claims to have {length} bytes")
        name = exactly(stream, length).rstrip(b"\0")
        if name == END:
            return
        what = KINDS.get(stat.S_IFMT(mode), "specials")
        content = begin + length + -(begin + length) % pad
        at = content + size + -(content + size) % pad
        listing.add(name.decode("utf-8", "surrogateescape"), size if what == "files" else 0, what, iso(when))
