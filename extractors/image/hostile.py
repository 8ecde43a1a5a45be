"""Pictures that nobody would make on purpose, for the tests of the suite."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, data: bytes, *more: bytes) -> bytes:
    start = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + start + b"".join(more) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _tiff(tags: list[tuple[int, int, int, int]], following: int = 0) -> bytes:
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", following) + bytes(256)


def hostile(folder: Path) -> None:
    """Write them into `folder`."""
    bomb = zlib.compress(bytes(60_000_000), 9)
    (folder / "bomb.png").write_bytes(_png(4000, 5000, bomb))
    (folder / "absurd.png").write_bytes(_png(2**31 - 1, 2**31 - 1, bomb))
    text = _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 50_000_000, 9))
    (folder / "text-bomb.png").write_bytes(_png(1, 1, zlib.compress(bytes(4)), text))
    (folder / "profile-bomb.png").write_bytes(
        _png(1, 1, zlib.compress(bytes(4)), _chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(90_000_000), 9)))
    )
    size = [(256, 4, 1, 64), (257, 4, 1, 64), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8),
            (277, 3, 1, 1), (278, 4, 1, 64), (279, 4, 1, 100)]  # fmt: skip
    (folder / "circle.tif").write_bytes(_tiff(size, 8))
    huge = [(256, 4, 1, 2**32 - 1), (257, 4, 1, 2**32 - 1), *size[2:]]
    (folder / "absurd.tif").write_bytes(_tiff(huge))
    counts = [*size[:-1], (279, 4, 2**31, 8), (270, 2, 2**32 - 1, 8)]
    (folder / "counts.tif").write_bytes(_tiff(counts))
    laughs = b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10))
    ome = b'<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY a0 "x">' + laughs + b"]><OME>&a9;</OME>\0"
    words = [*size[:5], (270, 2, len(ome), 300), *size[5:]]
    (folder / "laughs.ome.tif").write_bytes(_tiff(words).ljust(300, b"\0") + ome)
    deep = b"<OME>" + b"<a>" * 200_000
    words[5] = (270, 2, len(deep), 300)
    (folder / "deep.ome.tif").write_bytes(_tiff(words).ljust(300, b"\0") + deep)
    frame = b"\x21\xf9\x04\0\0\0\0\0" + b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    screen = struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6)
    (folder / "frames.gif").write_bytes(b"GIF89a" + screen + frame * 200_000 + b"\x3b")
    (folder / "absurd.pgm").write_bytes(b"P5 99999999 99999999 255\n" + bytes(100))
    (folder / "absurd.bmp").write_bytes(b"BM" + struct.pack(
        "<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24, 0, 0, 0, 0, 0, 0
    ))  # fmt: skip


def large(folder: Path, size_bytes: int) -> Path:
    """Write one BigTIFF of `size_bytes`, sparse."""
    path = folder / "large.tif"
    edge = 32_768
    rows = size_bytes // edge
    tags = [(256, 4, 1, edge), (257, 4, 1, rows), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 16, 1, 512),
            (277, 3, 1, 1), (278, 4, 1, rows), (279, 16, 1, edge * rows)]  # fmt: skip
    entries = b"".join(struct.pack("<HHQQ", *tag) for tag in tags)
    with path.open("wb") as file:
        file.write(b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, len(tags)) + entries + bytes(8))
        file.truncate(512 + edge * rows)
    return path
