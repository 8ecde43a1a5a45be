"""What a file holds, expanded where it is compressed, in bounded memory.

Families that read texts have this file in their folder, a copy of extractors/base/extractor_open.py, so that no
image must be built anew; standard library only, and zstandard, and lz4 or pyarrow, where the image has them.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

SAMPLE = 1 << 18  # bytes by which a form is told
PIECE = 1 << 20
FRAME_PIECE = 1 << 9  # of zstd and lz4: what it expands to is 16 MiB at most
WINDOW_BYTES = 1 << 27  # of zstd, as its own program allows
COMPRESSIONS = (
    (b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22M\x18", "lz4"),
)  # fmt: skip
NO_READER = "it is compressed with {}, which its image cannot read; unpack it, or compress it with gzip"
SKIPPED = b"\x2aM\x18"  # of zstd: frames to be skipped, as pzstd writes them first (RFC 8878, 3.1.2)
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)


def compression_of(magic: bytes) -> str | None:
    """Return how a file is compressed that begins so; None where it is not."""
    if magic[1:4] == SKIPPED and 0x50 <= magic[0] <= 0x5F:
        return "zstd"
    found = next((name for start, name in COMPRESSIONS if magic.startswith(start)), None)
    if found == "bzip2" and magic[4:10] not in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"):
        return None  # a text that begins so
    return found


def is_damage(exc: Exception) -> bool:
    """Whether an error of a stream that is expanded says that it is damaged, and not that it cannot be read now."""
    return isinstance(exc, DAMAGED) and not getattr(exc, "errno", None)


def content_of(file: BinaryIO, compression: str, limit: int) -> bytes:
    """Return all that is compressed in `file`.

    Raises:
        ValueError: it is damaged, or longer than `limit`.
    """
    try:
        with expanding(file, compression) as inner:
            content = bytes(inner.read(limit + 1))
            while len(content) <= limit and (more := inner.read(limit + 1 - len(content))):
                content += more
    except Exception as exc:
        if not is_damage(exc):
            raise
        raise ValueError(f"its {compression} stream is damaged: {exc}") from None
    if len(content) > limit:
        raise ValueError(
            f"it is compressed with {compression} and longer than {limit >> 20} MiB; unpack it to have it read"
        )
    return content


class Source(io.RawIOBase):
    """What a file holds, expanded where it is compressed. Where it is torn it ends, and `damage` says so."""

    def __init__(self, file: BinaryIO) -> None:
        magic = file.read(16)
        file.seek(0)
        self.compression = compression_of(magic)
        self._stream: Any = expanding(file, self.compression) if self.compression else file
        self._piece = getattr(self._stream, "read1", self._stream.read)  # read would lose what is before a tear
        self.damage = ""
        self._ahead = b""
        self.sample = self._ahead = self._read(SAMPLE)
        if self.damage and not self.sample:
            raise ValueError(f"its {self.compression} stream is damaged: {self.damage}")

    def _read(self, size: int) -> bytes:
        parts = []
        while size and not self.damage:
            try:
                part = self._piece(min(size, PIECE))
            except Exception as exc:
                if not is_damage(exc):
                    raise
                self.damage = f"{exc}" or type(exc).__name__
                break
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer."""
        size = len(buffer)
        part, self._ahead = self._ahead[:size], self._ahead[size:]
        part = part or self._read(size)
        buffer[: len(part)] = part
        return len(part)

    @property
    def whole(self) -> bool:
        """Whether the sample is all there is."""
        return len(self.sample) < SAMPLE


class Frames(io.RawIOBase):
    """What the frames of a file hold, one after the other; a frame that is broken or torn is an OSError."""

    def __init__(self, file: BinaryIO, new: Callable[[], Any], error: type[Exception]) -> None:
        self._file = file
        self._new = new
        self._error = error
        self._begin()

    def _begin(self) -> None:
        self._file.seek(0)
        self._place = 0
        self._frame: Any = None
        self._left = b""
        self._found = memoryview(b"")

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer."""
        while not self._found:
            piece = self._left or self._file.read(FRAME_PIECE)
            if not piece:
                if self._frame:
                    raise EOFError("it ends within a frame")
                return 0
            self._expand(piece)
        part, self._found = self._found[: len(buffer)], self._found[len(buffer) :]
        buffer[: len(part)] = part
        self._place += len(part)
        return len(part)

    def seekable(self) -> bool:
        """Say that it has places: going back begins anew."""
        return True

    def tell(self) -> int:
        """Return the place in what is expanded."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, or to the end where it is behind that, as gzip does."""
        if whence == io.SEEK_END:
            while self.read(PIECE):
                pass
        target = offset + (self._place if whence else 0)
        if target < self._place:
            self._begin()
        while self._place < target and self.read(min(PIECE, target - self._place)):
            pass
        return self._place

    def _expand(self, piece: bytes) -> None:
        self._frame = self._frame or self._new()
        try:
            self._found = memoryview(self._frame.decompress(piece))
        except self._error as exc:
            raise OSError(f"{exc}") from None
        self._left = self._frame.unused_data or b"" if self._frame.eof else b""
        if self._frame.eof:
            self._frame = None


def expanding(file: BinaryIO, compression: str) -> Any:
    """Return a reader of what is compressed in `file`."""
    if compression == "zstd":
        return _zstd(file)
    if compression == "lz4":
        return _lz4(file)
    if compression == "gzip":
        return gzip.GzipFile(fileobj=file)
    return bz2.BZ2File(file) if compression == "bzip2" else lzma.LZMAFile(file)


def _zstd(file: BinaryIO) -> Any:
    try:
        import zstandard  # noqa: PLC0415 - only a few files need it
    except ImportError:
        raise ValueError(NO_READER.format("zstd")) from None

    new = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).decompressobj
    return io.BufferedReader(Frames(file, new, zstandard.ZstdError), PIECE)


def _lz4(file: BinaryIO) -> Any:
    with contextlib.suppress(ImportError):
        import lz4.frame  # noqa: PLC0415 - as above

        return io.BufferedReader(Frames(file, lz4.frame.LZ4FrameDecompressor, RuntimeError), PIECE)
    try:
        import pyarrow as pa  # noqa: PLC0415 - as above
    except ImportError:
        raise ValueError(NO_READER.format("lz4")) from None

    return pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "lz4")
