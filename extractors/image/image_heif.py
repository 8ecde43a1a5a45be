"""HEIF and HEIC (ISO/IEC 23008-12): size, brand, EXIF and XMP, by the boxes around the picture."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import extractor_facts as facts

BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
MAX_META = 4 << 20
MAX_ITEM = 4 << 20  # bytes of EXIF or XMP
MAX_ITEMS = 10_000
XMP = b"application/rdf+xml"
Extents = list[tuple[bool, int, int]]  # whether it lies in the box `idat`, where, and how long


def is_heif(start: bytes) -> bool:
    """Whether a file of this beginning is one. AVIF, by any of its brands, is Pillow's."""
    if start[4:8] != b"ftyp" or start[8:12] not in BRANDS:
        return False
    brands = start[8 : min(len(start), int.from_bytes(start[:4], "big"))]
    return b"avif" not in (brands[place : place + 4] for place in range(0, len(brands), 4))


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the boxes in `data`, by kind and content."""
    place = 0
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if length < 8 or place + length > len(data):
            return
        yield kind, data[place + 8 : place + length]
        place += length


def document(file: BinaryIO) -> tuple[dict[str, Any], bytes, bytes]:
    """Return what the boxes say, and the picture's EXIF (from its TIFF header on) and XMP; b"" where there is none.

    What cannot be read of EXIF or XMP is said in `partial`.

    Raises:
        ValueError: it has no boxes that tell a size.
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
    sizes, primary = properties(meta)
    width, height = sizes.get(primary) or next(iter(sizes.values()), (0, 0))
    if not width or not height:
        raise ValueError("it is HEIF without the size of its picture, or cut off")
    found: dict[str, Any] = {
        "format": "heif",
        "brand": facts.text(brands[:4].decode("latin-1")) or "unknown",
        "width": width,
        "height": height,
    }
    told: dict[bytes, bytes] = {}
    reasons: list[str] = []
    for kind, name in ((b"Exif", "EXIF"), (XMP, "XMP")):
        try:
            told[kind] = content(file, meta, kind)
        except (OSError, ValueError, OverflowError, IndexError):
            told[kind] = b""
            reasons.append(f"its {name} is not where the file says, or too long")
    if reasons:
        found["partial"] = "; ".join(reasons)
    exif, xmp = told[b"Exif"], told[XMP]
    begin = 4 + int.from_bytes(exif[:4], "big")  # ISO/IEC 23008-12, A.2.1: where the TIFF header is
    return found, exif[begin:] if len(exif) > begin else b"", xmp


def content(file: BinaryIO, meta: bytes, kind: bytes) -> bytes:
    """Return the first item of a kind; b"" where there is none.

    Raises:
        OSError, ValueError, OverflowError, IndexError: not all of it is where the file says, or it is too long.
    """
    found = dict(boxes(meta))
    try:
        item = next((number for number, of in kinds(found.get(b"iinf", b"")) if of == kind), None)
    except (struct.error, IndexError):
        return b""
    if item is None:
        return b""
    places = locations(found.get(b"iloc", b""), item)
    parts, size, inner = [], 0, found.get(b"idat", b"")
    for inside, place, length in places[:MAX_ITEMS]:
        if length > MAX_ITEM - size:
            raise ValueError
        if not inside:
            file.seek(place)
        parts.append(inner[place : place + length] if inside else file.read(length))
        if len(parts[-1]) != length:
            raise ValueError
        size += length
    return b"".join(parts)


def kinds(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and kind of items; of what is of the kind `mime`, its MIME type."""
    for name, entry in boxes(data[6 if data[:1] == b"\0" else 8 :]):
        if name != b"infe" or entry[0] < 2:
            continue
        wide = entry[0] > 2
        (number,) = struct.unpack_from(">I" if wide else ">H", entry, 4)
        place = 10 if wide else 8
        kind, words = entry[place : place + 4], entry[place + 4 :].split(b"\0")
        yield number, words[1] if kind == b"mime" and len(words) > 1 else kind


def locations(data: bytes, wanted: int) -> Extents:
    """Return where an item lies (ISO/IEC 14496-12, 8.11.3); nothing where it lies in another file or item.

    Raises:
        IndexError: the box ends before that is said.
    """
    version, sizes = data[0], (data[4] >> 4, data[4] & 15, data[5] >> 4, data[5] & 15 if data[0] else 0)
    place = 6

    def number(size: int) -> int:
        nonlocal place
        place += size
        if place > len(data):
            raise IndexError
        return int.from_bytes(data[place - size : place], "big")

    for _ in range(min(number(4 if version == 2 else 2), MAX_ITEMS)):
        item = number(4 if version == 2 else 2)
        method = number(2) & 15 if version else 0
        outside = number(2)  # another file
        base, count = number(sizes[2]), number(2)
        width = sizes[3] + sizes[0] + sizes[1]  # bytes of an extent
        if item != wanted:
            place += count * width
            continue
        found: Extents = []
        for _ in range(count if width and not outside and method < 2 else 0):
            number(sizes[3])
            offset, length = number(sizes[0]), number(sizes[1])
            found.append((method == 1, base + offset, length))
        return found
    return []


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
