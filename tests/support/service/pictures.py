"""Small pictures for tests, and documents that have them."""

from __future__ import annotations

import base64
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
