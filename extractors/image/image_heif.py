"""HEIF and HEIC (ISO/IEC 23008-12): size and brand, from the boxes in front of the picture; it is not decoded."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import extractor_facts as facts

BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
MAX_META = 4 << 20
CONTAINERS = {b"iprp", b"ipco"}


def is_heif(start: bytes) -> bool:
    """Whether a file begins like one. AVIF has its own brand, and Pillow."""
    return start[4:8] == b"ftyp" and start[8:12] in BRANDS


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the boxes in `data`, by kind and content."""
    place = 0
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if length < 8 or place + length > len(data):
            return
        yield kind, data[place + 8 : place + length]
        place += length


def document(file: BinaryIO) -> dict[str, Any]:
    """Return what the boxes say.

    Raises:
        ValueError: it has none that tell a size.
    """
    file.seek(0)
    meta = b""
    brands: bytes = b""
    while head := file.read(8):
        length, kind = struct.unpack(">I4s", head.ljust(8, b"\0"))
        if kind == b"ftyp":
            brands = file.read(min(max(0, length - 8), 256))
        elif kind == b"meta" and 12 <= length <= MAX_META:
            meta = file.read(length - 8)[4:]  # behind version and flags
            break
        elif length < 8:
            break
        else:
            file.seek(length - 8, 1)
    if b"avif" in (brands[place : place + 4] for place in range(0, len(brands), 4)):
        raise ValueError("it is an AVIF variant that is not supported")
    sizes, primary = properties(meta)
    width, height = sizes.get(primary) or next(iter(sizes.values()), (0, 0))
    if not width or not height:
        raise ValueError("it is HEIF without the size of its picture, or cut off")
    return {
        "format": "heif",
        "brand": facts.text(brands[:4].decode("latin-1")) or "unknown",
        "width": width,
        "height": height,
    }


def properties(meta: bytes) -> tuple[dict[int, tuple[int, int]], int]:
    """Return sizes by item, and the number of the picture that counts."""
    found: list[tuple[bytes, bytes]] = []
    links: dict[int, list[int]] = {}
    primary = 0
    for kind, content in boxes(meta):
        if kind == b"pitm" and len(content) >= 6:
            primary = struct.unpack_from(">I" if content[0] else ">H", content + b"\0\0", 4)[0]
        elif kind == b"iprp":
            for inner, data in boxes(content):
                if inner == b"ipco":
                    found = list(boxes(data))
                elif inner == b"ipma":
                    links |= associations(data)
    sizes = {item: size([found[place - 1] for place in places if 0 < place <= len(found)])
             for item, places in links.items()}  # fmt: skip
    return {item: each for item, each in sizes.items() if all(each)}, primary


def size(described: list[tuple[bytes, bytes]]) -> tuple[int, int]:
    """Return the size of a picture as it is shown: the coded one, cut and turned as its properties say."""
    width = height = 0
    for kind, content in described:
        if kind == b"ispe" and len(content) >= 12:
            width, height = struct.unpack_from(">II", content, 4)
        elif kind == b"clap" and len(content) >= 16:
            across, by, down, of = struct.unpack_from(">4I", content)
            width, height = (min(width, across // by), min(height, down // of)) if by and of else (width, height)
        elif kind == b"irot" and content and content[0] & 1:
            width, height = height, width
    return width, height


def associations(data: bytes) -> dict[int, list[int]]:
    """Return which properties each item has, by their numbers from 1."""
    found: dict[int, list[int]] = {}
    try:
        version, flags = data[0], data[3]
        (count,) = struct.unpack_from(">I", data, 4)
        place = 8
        for _ in range(min(count, 10_000)):
            form = ">H" if version < 1 else ">I"
            (item,) = struct.unpack_from(form, data, place)
            place += struct.calcsize(form)
            number = data[place]
            place += 1
            wide = flags & 1
            found[item] = [
                struct.unpack_from(">H", data, place + 2 * n)[0] & 0x7FFF if wide else data[place + n] & 0x7F
                for n in range(number)
            ]
            place += number * (2 if wide else 1)
    except (struct.error, IndexError):
        pass  # what came before the break counts
    return found
