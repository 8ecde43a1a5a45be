"""Counting of FASTA, FASTQ and VCF text, block by block: each generator yields what it has found so far.

Who uses one may stop at any time and keep the last document. Part of the extractor `genomics`; standard library.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any

MAX_NAMES = 20
MAX_NAME = 200
MAX_LINE = 16 << 20  # of FASTQ; the longest reads have some 5 million bases
SAMPLE_READS = 10_000  # whose qualities are looked at
SAMPLE_LETTERS = 1 << 20  # of the composition
LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz*-.~"
SPACE = b"\n\r \t"
DNA, RNA = b"ACGTNacgtnRYKMSWBDHVrykmswbdhv-.*", b"ACGUNacgunRYKMSWBDHVrykmswbdhv-.*"
# Names of reads that Illumina's instruments write: instrument:run:flowcell:lane:tile:x:y
ILLUMINA = re.compile(rb"@([\w-]+):(\d+):([\w-]+):(\d+):\d+:\d+:\d+")


class Records:
    """What is kept of a FASTA file's records."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.count = self.letters = self.longest = self.length = 0
        self.shortest: int | None = None
        self.sample = b""
        self.about: dict[str, Any] | None = None

    def begin(self) -> None:
        """A record begins; the one before has ended."""
        self.end()
        self.count += 1
        self.length = 0

    def end(self) -> None:
        """Count the record that has ended, if there is one."""
        if self.count:
            self.longest = max(self.longest, self.length)
            self.shortest = self.length if self.shortest is None else min(self.shortest, self.length)

    def add(self, sequence: bytes) -> None:
        """Take a part of a record's sequence."""
        if len(self.sample) < SAMPLE_LETTERS:
            pure = sequence.translate(None, SPACE)
            if pure.translate(None, LETTERS):
                raise ValueError("it is no FASTA file: a sequence has something else than letters")
            self.sample += pure[: SAMPLE_LETTERS - len(self.sample)]
            size = len(pure)
        else:
            size = len(sequence) - sequence.count(b"\n") - sequence.count(b"\r")
        self.length += size
        self.letters += size

    def document(self) -> dict[str, Any]:
        """Return what was found so far."""
        about = self.about if self.about is not None else about_letters(self.sample)
        if len(self.sample) >= SAMPLE_LETTERS:
            self.about = about
        return {
            "sequences": self.count, "letters": self.letters, "longest": max(self.longest, self.length),
            "shortest": self.length if self.shortest is None else self.shortest, "names": self.names, **about,
        }  # fmt: skip


def about_letters(sample: bytes) -> dict[str, Any]:
    """Return what molecule some letters stand for, and its composition."""
    if not sample:
        return {}
    molecules = (("dna", DNA), ("rna", RNA), ("protein", LETTERS))
    molecule = next(name for name, letters in molecules if not sample.translate(None, letters))
    return {"molecule": molecule} | ({} if molecule == "protein" else composition(sample))


def composition(bases: bytes) -> dict[str, float]:
    """Return the share of G and C among A, C, G, T and U, in percent."""
    upper = bases.upper()
    strong, weak = upper.count(b"G") + upper.count(b"C"), upper.count(b"A") + upper.count(b"T") + upper.count(b"U")
    return {"gc_percent": round(100 * strong / (strong + weak), 2)} if strong + weak else {}


def fasta(blocks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield what a FASTA file holds.

    Raises:
        ValueError: it is none.
    """
    found, name, in_name = Records(), b"", False
    for block in blocks:
        place = 0
        while place < len(block):
            if in_name:
                end = block.find(b"\n", place)
                if len(found.names) < MAX_NAMES:
                    name += block[place : min(place + MAX_NAME, len(block) if end < 0 else end)]
                if end < 0:
                    break
                if len(found.names) < MAX_NAMES:
                    found.names.append(word(name))
                name, in_name, place = b"", False, end + 1
                continue
            end = block.find(b">", place)
            found.add(block[place:] if end < 0 else block[place:end])
            if end < 0:
                break
            found.begin()
            in_name, place = True, end + 1
        yield found.document()
    found.end()
    yield found.document()


def word(name: bytes) -> str:
    """Return the first word of a name, which is the identifier."""
    return name.strip().split(b" ", 1)[0].split(b"\t", 1)[0][:MAX_NAME].decode("latin-1").replace("\0", " ")


def fastq(blocks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield what a FASTQ file holds, whose records have four lines.

    Raises:
        ValueError: it is none.
    """
    found: dict[str, Any] = {"reads": 0, "bases": 0}
    lines: list[bytes] = []
    extremes = b""  # the lowest and the highest quality
    for block in itertools.chain(blocks, (b"\n",)):  # the last line may have no end
        *new, rest = ((lines.pop() if lines else b"") + block).split(b"\n")
        lines += new
        whole = len(lines) // 4 * 4
        headers, reads, quality = lines[:whole:4], lines[1:whole:4], lines[3:whole:4]
        if not all(line[:1] == b"@" for line in headers) or not all(line[:1] == b"+" for line in lines[2:whole:4]):
            if found["reads"]:
                yield found | {"partial": f"behind read {found['reads']} not every record has four lines"}
                return
            raise ValueError("it is no FASTQ file with four lines for each read")
        if reads:
            lengths = [len(line.rstrip(b"\r")) for line in reads]
            if not found["reads"]:
                found |= (
                    {"name": word(headers[0][1:])}
                    | run_of(headers[0])
                    | composition(b"".join(reads)[:SAMPLE_LETTERS])
                )
            if found["reads"] < SAMPLE_READS:
                seen = extremes + b"".join(line.rstrip(b"\r") for line in quality[:SAMPLE_READS])
                extremes = bytes((min(seen), max(seen))) if seen else b""
            found["reads"] += len(reads)
            found["bases"] += sum(lengths)
            shortest, longest = min(lengths), max(lengths)
            found["shortest"] = min(found.get("shortest", shortest), shortest)
            found["longest"] = max(found.get("longest", longest), longest)
        lines = [*lines[whole:], rest]
        if len(rest) > MAX_LINE:
            raise ValueError(f"it is no FASTQ file: a line is longer than {MAX_LINE >> 20} MiB")
        yield found | scale(extremes)
    if len([line for line in lines if line.strip()]) % 4:
        yield found | scale(extremes) | {"partial": "the file ends within a read"}


def run_of(header: bytes) -> dict[str, str]:
    """Return what Illumina's names of reads tell of the run."""
    match = ILLUMINA.match(header)
    keys = ("instrument", "run", "flowcell", "lane")
    return dict(zip(keys, map(bytes.decode, match.groups()), strict=True)) if match else {}


def scale(extremes: bytes) -> dict[str, Any]:
    """Return the range of qualities.

    Below ASCII 59 they count from 33; a file that has none so low, but some above 74, counts from 64.
    """
    if not extremes:
        return {}
    low, high = extremes
    offset = 33 if low < 59 or high <= 74 else 64
    return {"quality_offset": offset, "quality_min": low - offset, "quality_max": high - offset}


def vcf_records(blocks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield how many records a VCF text has: its lines that begin with no #."""
    count, end = 0, b"\n"
    for block in blocks:
        count += len(re.findall(rb"\n(?=[^#\n])", end + block))
        end = b"\n" if block.endswith(b"\n") else b""
        yield {"records": count}
