"""The text of a table: out of which compression, in which encoding; read forward, in bounded memory."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

SAMPLE = 1 << 18  # by which compression, encoding and form are told
BINARY = 1 << 10
MAX_LINE = 4 << 20  # longest line, in characters
READ_CHARACTERS = 32 << 20  # of a text, whose types and ranges are found
PIECE = 1 << 20
WINDOW_BYTES = 1 << 27  # of zstd, as its own program allows
COMPRESSIONS = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"))
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


class Source(io.RawIOBase):
    """What a file holds, expanded where it is compressed. Where it is torn it ends, and `damage` says so."""

    def __init__(self, file: BinaryIO) -> None:
        magic = file.read(16)
        file.seek(0)
        self.compression = next((name for start, name in COMPRESSIONS if magic.startswith(start)), None)
        if self.compression == "bzip2" and magic[4:10] not in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"):
            self.compression = None  # a text that begins so
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
            except DAMAGED as exc:
                self.damage = f"{exc}" or type(exc).__name__
                break
            except Exception as exc:
                if type(exc).__name__ != "ZstdError":  # the module is imported for such files only
                    raise
                self.damage = f"{exc}"
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


def expanding(file: BinaryIO, compression: str) -> Any:
    """Return a reader of what is compressed in `file`."""
    if compression == "zstd":
        import zstandard  # noqa: PLC0415 - only a few files need it

        return zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).stream_reader(file, read_across_frames=True)
    if compression == "gzip":
        return gzip.GzipFile(fileobj=file)
    return bz2.BZ2File(file) if compression == "bzip2" else lzma.LZMAFile(file)


def encoding_of(sample: bytes, *, whole: bool) -> str:
    """Return the encoding of a file's beginning; raise ValueError for a binary file."""
    for bom, name in BOMS:
        if sample.startswith(bom):
            return name
    if wide := wide_encoding(sample[:BINARY]):
        return wide
    if b"\0" in sample[:BINARY]:
        raise ValueError("it is a binary file, not a table")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample, final=whole)
    except UnicodeDecodeError:
        return "windows-1252" if any(0x80 <= byte < 0xA0 for byte in sample) else "latin-1"
    return "utf-8"


def wide_encoding(head: bytes) -> str:
    """Return UTF-16 without a byte order mark where every other byte of a text is 0; else an empty text."""
    if len(head) < 4:
        return ""
    even, odd = head[::2], head[1::2]
    for name, zeros, others in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if zeros.count(0) > 0.7 * len(zeros) and not others.count(0) and not others.translate(None, PRINTED):
            return name
    return ""


PRINTED = bytes({9, 10, 13, *range(32, 127), *range(160, 256)})


class Lines:
    """The lines of a text, each cut at MAX_LINE: one by one while they are read closely, then only counted."""

    def __init__(self, source: Source, encoding: str, closely: int = READ_CHARACTERS) -> None:
        self._closely = closely
        self._stream = io.TextIOWrapper(
            io.BufferedReader(source, PIECE), encoding=encoding, errors="replace", newline=""
        )
        self.read = 0
        self.cut = False

    @property
    def full(self) -> bool:
        """Whether as much has been read as is read closely."""
        return self.read >= self._closely

    def __iter__(self) -> Iterator[str]:
        while line := self._stream.readline(MAX_LINE):
            self.read += len(line)
            if len(line) == MAX_LINE and not line.endswith(("\n", "\r")):
                self.cut = True
                while (more := self._stream.readline(MAX_LINE)) and not more.endswith(("\n", "\r")):
                    self.read += len(more)
                line += "\n"
            yield line.replace("\0", " ")

    def pieces(self) -> Iterator[str]:
        """Yield the rest in pieces that end where a line does; ends of lines are LF."""
        rest = ""
        while data := self._stream.read(PIECE):
            data = rest + data
            if "\r" in data:
                held = "\r" if data.endswith("\r") else ""  # its LF may follow
                data = data[: len(data) - len(held)].replace("\r\n", "\n").replace("\r", "\n")
            else:
                held = ""
            end = data.rfind("\n") + 1
            rest = data[end:]
            if len(rest) > MAX_LINE:
                self.cut = True
                rest = rest[:BINARY]
            rest += held
            if end:
                yield data[:end]
        if rest:
            yield rest.replace("\r", "\n")

    def within(self, characters: int) -> bool:
        """Whether a place is in what is read closely."""
        return characters <= self._closely

    def text(self, size: int) -> str:
        """Return the next characters."""
        return self._stream.read(size)
