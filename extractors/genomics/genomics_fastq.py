"""Counting of FASTQ text, block by block: four lines a read where it has them, else line by line.

Part of the extractor `genomics`; standard library.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any

from genomics_sequences import LETTERS, SAMPLE_LETTERS, composition, word

MAX_LINE = 16 << 20  # the longest reads have some 5 million bases
COLOUR_LETTERS = b"0123"
QUALITIES = bytes(range(33, 127))
SAMPLE_READS = 10_000  # whose qualities are looked at
# Sequences of SOLiD, in colours; names of reads of Illumina: instrument:run:flowcell:lane:tile:x:y
COLOURS = re.compile(rb"[ACGTacgt][0-3.]+")
ILLUMINA = re.compile(rb"@([\w-]+):(\d+):([\w-]+):(\d+):\d+:\d+:\d+")


class Reads:
    """What is kept of a FASTQ file's reads."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {"reads": 0, "bases": 0}
        self.extremes = b""  # the lowest and the highest quality
        self.colour = False  # of SOLiD, whose first letter has no quality

    def take(self, headers: list[bytes], reads: list[bytes], qualities: list[bytes]) -> None:
        """Take reads, of which there is at least one."""
        found = self.found
        if not found["reads"]:
            found |= (
                {"name": word(headers[0][1:])} | run_of(headers[0]) | composition(b"".join(reads)[:SAMPLE_LETTERS])
            )
        if found["reads"] < SAMPLE_READS:
            seen = self.extremes + b"".join(qualities[:SAMPLE_READS])
            self.extremes = bytes((min(seen), max(seen))) if seen else b""
        lengths = [len(line) for line in reads]
        found["reads"] += len(reads)
        found["bases"] += sum(lengths)
        found["shortest"] = min(found.get("shortest", lengths[0]), *lengths)
        found["longest"] = max(found.get("longest", lengths[0]), *lengths)

    def fits(self, read: bytes, quality: bytes) -> bool:
        """Whether a read has as many qualities as letters."""
        if not self.found["reads"] and COLOURS.fullmatch(read) and len(quality) == len(read) - 1:
            self.colour = True
        return len(quality) == len(read) - self.colour

    def document(self) -> dict[str, Any]:
        """Return what was found so far."""
        return self.found | scale(self.extremes, from_33="instrument" in self.found)

    def broken(self, why: str) -> dict[str, Any]:
        """Return what was found, and that what follows is no read.

        Raises:
            ValueError: nothing was found before.
        """
        if not self.found["reads"]:
            raise ValueError(f"it is not a FASTQ file: in its first record {why}")
        return self.document() | {"partial": f"behind read {self.found['reads']} {why}"}


def fastq(blocks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield what a FASTQ file holds: by four lines as long as reads have them, else line by line.

    Raises:
        ValueError: it is none.
    """
    reads, slow = Reads(), Wrapped()
    lines: list[bytes] = []
    rest = b""
    for block in itertools.chain(blocks, (b"\n",)):  # the last line may have no end
        *new, rest = (rest + block).split(b"\n")
        lines += [line.rstrip(b"\r") for line in new]
        if len(rest) > MAX_LINE:
            raise ValueError(f"it is not a FASTQ file: a line is longer than {MAX_LINE >> 20} MiB")
        if not slow.began:
            lines = four_by_four(lines, reads, slow)
        if slow.began:
            for line in lines:
                slow.take(line, reads)
            lines = []
            if slow.why:
                yield reads.broken(slow.why)
                return
        yield reads.document()
    for line in lines:
        slow.take(line, reads)
    if slow.why or slow.within_read():
        why = slow.why or "the file ends within a read"
        yield reads.broken(why) if slow.why else reads.document() | {"partial": why}
    elif not reads.found["reads"]:
        reads.broken("is no sequence")


def four_by_four(lines: list[bytes], reads: Reads, slow: Wrapped) -> list[bytes]:
    """Take records of four lines; return those that are left, which are not whole or have another form."""
    whole = len(lines) // 4 * 4
    headers, sequences, marks, qualities = (lines[place:whole:4] for place in range(4))
    alike = list(map(len, sequences)) == list(map(len, qualities))  # quick, and so nearly always
    pure = not b"".join(sequences).translate(None, LETTERS) and not b"".join(qualities).translate(None, QUALITIES)
    if pure and alike and all(line[:1] == b"@" for line in headers) and all(line[:1] == b"+" for line in marks):
        count = len(headers)
    else:
        records = enumerate(zip(headers, sequences, marks, qualities, strict=True))
        count = next((place for place, record in records if not is_whole(record, reads)), len(headers))
    if count:
        reads.take(headers[:count], sequences[:count], qualities[:count])
    slow.began = count < len(headers)
    return lines[4 * count :]


def is_whole(record: tuple[bytes, ...], reads: Reads) -> bool:
    """Whether four lines are a read."""
    header, read, mark, quality = record
    pure = not read.translate(None, LETTERS + COLOUR_LETTERS) and not quality.translate(None, QUALITIES)
    return pure and header[:1] == b"@" and mark[:1] == b"+" and reads.fits(read, quality)


class Wrapped:
    """Reads whose sequences and qualities stand in any number of lines: line by line."""

    def __init__(self) -> None:
        self.began = False
        self.header = b""
        self.sequence: list[bytes] = []
        self.quality: list[bytes] = []
        self.part = ""  # "" between reads, else what comes: sequence, quality
        self.length = self.left = 0  # of the sequence; qualities that are still to come
        self.why = ""

    def take(self, line: bytes, reads: Reads) -> None:
        """Take one line."""
        if self.why:
            return
        if not self.part:
            if line[:1] == b"@":
                self.header, self.sequence, self.quality, self.part, self.length = line, [], [], "sequence", 0
            elif line.strip():
                self.why = "comes a line that begins with no @"
        elif self.part == "sequence":
            self._letters(line, reads)
        else:
            self._qualities(line, reads)

    def _letters(self, line: bytes, reads: Reads) -> None:
        part = line.rstrip()
        if line[:1] == b"+":
            self.part, self.left = "quality", self.length
            if not self.length:
                self._finish(reads)
        elif part.translate(None, LETTERS + COLOUR_LETTERS):
            self.why = "a sequence has characters other than letters"
        else:
            self.sequence.append(part)
            self.length += len(part)
            if self.length > MAX_LINE:
                self.why = f"a sequence is longer than {MAX_LINE >> 20} MiB"

    def _qualities(self, line: bytes, reads: Reads) -> None:
        part = line.rstrip()
        self.quality.append(part)
        self.left -= len(part)
        if part.translate(None, QUALITIES):
            self.why = "a quality is no letter, digit or sign"
        elif self.left <= 1:  # one may be that of a first letter of SOLiD
            self._finish(reads)

    def _finish(self, reads: Reads) -> None:
        read, quality = b"".join(self.sequence), b"".join(self.quality)
        if reads.fits(read, quality):
            reads.take([self.header], [read], [quality])
            self.part = ""
        elif len(quality) > len(read):
            self.why = "sequence and qualities are not of one length"

    def within_read(self) -> bool:
        """Whether a read has begun and not ended."""
        return bool(self.part)


def run_of(header: bytes) -> dict[str, str]:
    """Return what Illumina's names of reads tell of the run."""
    match = ILLUMINA.match(header)
    keys = ("instrument", "run", "flowcell", "lane")
    return dict(zip(keys, map(bytes.decode, match.groups()), strict=True)) if match else {}


def scale(extremes: bytes, *, from_33: bool) -> dict[str, Any]:
    """Return the range of qualities, which count from 33 where names of reads are those of CASAVA 1.8 or later.

    Below ASCII 59, and above 106, they count from 33 too: no older program wrote such. A file that has none so low,
    but some above 74, counts from 64.
    """
    if not extremes:
        return {}
    low, high = extremes
    offset = 33 if from_33 or low < 59 or not 74 < high <= 106 else 64
    return {"quality_offset": offset, "quality_min": low - offset, "quality_max": high - offset}
