"""Small pictures for tests, and documents that have them."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any


def png(width: int, height: int) -> bytes:
    """Return the beginning of a PNG of a size."""
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR" + width.to_bytes(4) + height.to_bytes(4) + bytes(9)


def jpeg(width: int, height: int) -> bytes:
    """Return the beginning of a JPEG of a size, with a segment before its frame."""
    return b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08" + height.to_bytes(2) + width.to_bytes(2) + bytes(9)


def with_picture(content: bytes, mime: str = "image/png") -> dict[str, Any]:
    """Return a document with a thumbnail."""
    return {"preview": {"thumbnail": {"mime": mime, "base64": base64.b64encode(content).decode()}}}


def whole_png(width: int, height: int) -> bytes:
    """Return a black PNG that a browser shows."""
    parts = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
             (b"IDAT", zlib.compress(bytes((width + 1) * height))), (b"IEND", b""))  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)
        for kind, content in parts
    )
