"""What RQ has packed with zlib, unpacked within bounds: a few bytes of a stranger may stand for gigabytes."""

from __future__ import annotations

import zlib


def unpacked(data: bytes, most: int) -> bytes | None:
    """Return what was packed, or `data` itself where it is not packed; None: that has more than `most` bytes."""
    try:
        found = zlib.decompressobj().decompress(data, most + 1)
    except zlib.error:
        found = data
    return found if len(found) <= most else None
