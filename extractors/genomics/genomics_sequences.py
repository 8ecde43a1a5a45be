"""Counting of FASTA and VCF text, block by block: each generator yields what it has found so far.

Who uses one may stop at any time and keep the last document. Part of the extractor `genomics`; standard library.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

MAX_NAMES = 1000
MAX_NAME = 200
SAMPLE_LETTERS = 1 << 20  # of the composition
LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz*-.~"
SPACE = b"\n\r \t"
DNA, RNA = b"ACGTNacgtnRYKMSWBDHVrykmswbdhv-.*", b"ACGUNacgunRYKMSWBDHVrykmswbdhv-.*"


BASES = b"ACGTUNacgtun-."


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
                raise ValueError("it is not a FASTA file: a sequence has characters other than letters")
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
            **self.cut(),
        }  # fmt: skip

    def cut(self) -> dict[str, str]:
        """Return why not all names are listed; nothing where they are."""
        return {"partial": f"of {self.count} names {MAX_NAMES} are listed"} if self.count > MAX_NAMES else {}


def about_letters(sample: bytes) -> dict[str, Any]:
    """Return what molecule some letters stand for, and its composition."""
    if not sample:
        return {}
    sure = len(sample) - len(sample.translate(None, BASES))
    # a short protein may be made of letters that stand for two bases or more: most of a sequence of bases does not
    molecules = (("dna", DNA), ("rna", RNA)) if 2 * sure >= len(sample) else ()
    molecule = next((name for name, letters in molecules if not sample.translate(None, letters)), "protein")
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
    found, name, in_name, old_mac = Records(), b"", False, None
    for piece in blocks:
        old_mac = b"\n" not in piece and b"\r" in piece if old_mac is None else old_mac
        block = piece.replace(b"\r", b"\n") if old_mac else piece
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


def vcf_records(blocks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield how many records a VCF text has: its lines that begin with no #."""
    count, end = 0, b"\n"
    for block in blocks:
        count += len(re.findall(rb"\n(?=[^#\n])", end + block))
        end = b"\n" if block.endswith(b"\n") else b""
        yield {"records": count}


class VcfHeader:
    """The header of a VCF text, read leniently, for files that htslib refuses."""

    LINES = re.compile(rb"##(contig|INFO|FORMAT|FILTER)=<ID=([^,>]+)", re.IGNORECASE)
    PLAIN = re.compile(rb"##(fileformat|reference|source|fileDate|phasing)=(.*)")

    def __init__(self) -> None:
        self.lists: dict[str, list[str]] = {"contig": [], "info": [], "format": [], "filter": []}
        self.plain: dict[str, str] = {}
        self.samples: list[str] = []

    def read(self, lines: Iterable[bytes]) -> None:
        """Take lines up to the first record."""
        for raw in lines:
            line = raw.rstrip(b"\r\n")
            if found := self.LINES.match(line):
                self.lists[found[1].decode().lower()].append(found[2].decode("utf-8", "replace"))
            elif found := self.PLAIN.match(line):
                self.plain.setdefault(found[1].decode(), found[2].decode("utf-8", "replace").strip())
            elif line[:6].upper() == b"#CHROM":
                self.samples = [name.decode("utf-8", "replace") for name in line.split(b"\t")[9:] if name.strip()]
                return
            elif line.strip() and line[:1] != b"#":
                return
