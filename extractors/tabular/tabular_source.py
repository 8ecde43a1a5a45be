"""The text of a table: in which encoding, and its lines; read forward, in bounded memory."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator

from extractor_open import PIECE, Source

BINARY = 1 << 10
CONTROLS = [bytes([sign]) for sign in range(32) if sign not in b"\t\n\v\f\r\x1a\x1b"]
ODD = 0.002  # share of control characters up to which what is not UTF-8 is a text
MAX_LINE = 4 << 20  # longest line, in characters
READ_CHARACTERS = 32 << 20  # of a text, whose types and ranges are found
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


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
        if sum(map(sample.count, CONTROLS)) > ODD * len(sample):
            raise ValueError("it is a binary file, not a table") from None
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
