"""What stands at fixed places in the sections of a GRIB message (WMO 306, FM 92), without ecCodes.

Part of the extractor `grid`.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import extractor_facts as facts

MAX_SECTIONS = 100_000
MAX_PRODUCT = 1 << 14  # bytes of a section, and of all sections before the data
FIXED_UNITS = {
    bytes([unit]) for unit in (0, 1, 2, 10, 11, 12)
}  # of a step: minutes, hours, days, and several hours


def when(day: int | None, hour: int | None) -> str | None:
    """Return a time in UTC from numbers such as 20260302 and 1200."""
    if day is None or hour is None:
        return None
    return facts.moment(f"{day:08}T{hour:04}00Z")


def has_fields(descriptor: int, place: int) -> bool:
    """Whether a message of edition 2 has more than one field: more than one section 4 (WMO 306, FM 92)."""
    head = os.pread(descriptor, 16, place)
    if len(head) < 16 or head[7] != 2:
        return False
    end, at, products = place + int.from_bytes(head[8:], "big"), place + 16, 0
    for _ in range(MAX_SECTIONS):
        section = os.pread(descriptor, 5, at)
        length = int.from_bytes(section[:4], "big")
        if len(section) < 5 or at + 5 > end or length < 5 or section[:4] == b"7777":
            return False
        products += section[4] == 4
        if products > 1:
            return True
        at += length
    return False


def product_of(descriptor: int, place: int) -> bytes:
    """Return the sections of a message that say what it is of, without its reference time; nothing where unknown.

    They are section 1 of edition 1, and 1, 2 and 4 of edition 2 (WMO 306, FM 92): a product definition has no time.
    """
    head = os.pread(descriptor, 16, place)
    if head[7:8] == b"\1":
        length = int.from_bytes(os.pread(descriptor, 3, place + 8), "big")
        product = os.pread(descriptor, min(length, MAX_PRODUCT), place + 8)
        return b"\1" + product[:12] + product[17:] if 28 <= length == len(product) else b""
    kept, at = head[6:8], place + 16
    for _ in range(5):
        section = os.pread(descriptor, 5, at)
        length = int.from_bytes(section[:4], "big")
        if len(section) < 5 or not 5 <= length <= MAX_PRODUCT:
            return b""
        if section[4] in {1, 2, 4}:
            content = os.pread(descriptor, length, at)
            kept += content[:12] + content[19:] if section[4] == 1 else content
        if section[4] == 4:
            return kept
        at += length
    return b""


class Header(NamedTuple):
    """What stands before the data of a message of edition 2: all but the reference time, that time, and its end."""

    rest: bytes
    base: str
    end: int


def header_of(descriptor: int, place: int) -> Header | None:
    """Return the header of a message that is valid a fixed time after its reference time; None for any other.

    It is of edition 2, of a point in time (WMO 306, FM 92, templates 4.0 and 4.1); its step is no month or year.
    """
    content = os.pread(descriptor, MAX_PRODUCT, place)
    end = place + int.from_bytes(content[8:16], "big")
    if content[:4] != b"GRIB" or content[7:8] != b"\2" or os.pread(descriptor, 4, end - 4) != b"7777":
        return None
    sections, at = {}, 16
    while 5 not in sections:
        length = int.from_bytes(content[at : at + 4], "big")
        if length < 5 or at + length > len(content):
            return None
        sections[content[at + 4]] = content[at : at + length]
        at += length
    time, product, data = (sections.get(number, b"") for number in (1, 4, 5))
    if product[7:9] not in {b"\0\0", b"\0\1"} or product[17:18] not in FIXED_UNITS or time[18:19] != b"\0":
        return None
    year, (month, day, hour, minute) = int.from_bytes(time[12:14], "big"), time[14:18]
    base = when(year * 10_000 + month * 100 + day, hour * 100 + minute)
    # Fields differ by the reference value of their packing (section 5, octets 12 to 17), which is no fact
    sections |= {0: content[6:8], 1: time[:12] + time[19:], 5: data[:11] + data[17:]}
    return Header(b"".join(sections.values()), base, end) if base else None
