"""Genomics: what FASTA and FASTQ files hold, and what the headers of VCF, BCF, SAM, BAM and CRAM files say.

FASTA and FASTQ are counted in one pass with bounded memory, as far as SECONDS go (genomics_sequences.py); of the
others only the headers are read, and the records of a VCF text counted. Gzip and bgzip are seen through. Needs
pysam.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import resource
import warnings
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import extractor_batch
import genomics_sequences as sequences

MEMORY_BYTES = 800_000_000  # so that what a broken header asks for fails here, and not the whole batch
SECONDS = 20  # of counting, per file
BLOCK = 1 << 20
HEAD = 1 << 16
MAX_NAMES = 100  # of each list
MAX_FIELDS = 200
MAX_TEXT = 200
# SAM format specification 4.1.2: the empty block at the end of each BGZF file
BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
# CRAM format specification 9: the empty container at the end of version 3
CRAM_END = bytes.fromhex("0f000000ffffffff0fe0454f4600000000010005bdd94f0001000606010001000100ee63014b")
SAM_LINES = (b"@HD\t", b"@SQ\t", b"@RG\t", b"@PG\t", b"@CO\t")
# Standard tags of header lines, and the keys under which their values are listed
READ_GROUP = {"SM": "samples", "LB": "libraries", "PL": "platforms", "PM": "platform_models", "CN": "centers",
              "DT": "dates"}  # fmt: skip
REFERENCE = {"AS": "assemblies", "SP": "species"}


class Names:
    """Distinct texts in the order of their coming, the first MAX_NAMES of them."""

    def __init__(self) -> None:
        self.kept: dict[str, None] = {}

    def add(self, text: str) -> None:
        """Take one."""
        if len(self.kept) < MAX_NAMES:
            self.kept[clean(text)] = None


def clean(text: str) -> str:
    """Return text such as JSON and a database can hold."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode()[:MAX_TEXT]


def alignments(path: str) -> dict[str, Any]:
    """Return what the header of a SAM, BAM or CRAM file says."""
    import pysam  # noqa: PLC0415 - a batch without such files does not wait for it

    pysam.set_verbosity(0)
    with pysam.AlignmentFile(path, check_sq=False, ignore_truncation=True) as file:
        header = file.header
        document: dict[str, Any] = {"format": file.format.lower()}
        document |= (
            {"format_version": ".".join(str(part) for part in file.version if part >= 0)}
            if file.format != "SAM"
            else {}
        )
        document["reference_count"] = header.nreferences
        document["references"] = [
            clean(header.get_reference_name(n)) for n in range(min(header.nreferences, MAX_NAMES))
        ]
        document["reference_bases"] = sum(header.lengths)
        return document | header_lines(str(header).split("\n"))


def header_lines(lines: Iterable[str]) -> dict[str, Any]:
    """Return what the lines of a SAM header say, by the tags of the SAM specification."""
    found: dict[str, Any] = {}
    lists: dict[str, Names] = {}
    counts = {"RG": 0, "PG": 0, "CO": 0}
    for line in lines:
        kind, *fields = line[1:].split("\t", 64)
        tags = {field[:2]: field[3:] for field in fields if field[2:3] == ":"}
        if kind in counts:
            counts[kind] += 1
        if kind == "HD":
            found |= {
                key: clean(tags[tag]) for tag, key in (("VN", "sam_version"), ("SO", "sort_order")) if tag in tags
            }
        elif kind == "PG":
            lists.setdefault("programs", Names()).add(" ".join(tags[tag] for tag in ("PN", "VN") if tag in tags))
        wanted = READ_GROUP if kind == "RG" else REFERENCE if kind == "SQ" else {}
        for tag, key in wanted.items():
            if tag in tags:
                lists.setdefault(key, Names()).add(tags[tag])
    found |= {"read_groups": counts["RG"], "program_lines": counts["PG"], "comment_lines": counts["CO"]}
    return found | {key: list(names.kept) for key, names in lists.items()}


def variants(path: str) -> dict[str, Any]:
    """Return what the header of a VCF or BCF file says."""
    import pysam  # noqa: PLC0415

    pysam.set_verbosity(0)
    with pysam.VariantFile(path, ignore_truncation=True) as file:
        header = file.header
        document: dict[str, Any] = {"format": file.format.lower(), "format_version": clean(header.version)}
        document["contig_count"] = len(header.contigs)
        document["contigs"] = first(header.contigs, MAX_NAMES)
        document["sample_count"] = len(header.samples)
        document["samples"] = first(header.samples, MAX_NAMES)
        for key, found in (("info", header.info), ("formats", header.formats), ("filters", header.filters)):
            document[key] = first(found, MAX_FIELDS)
        assemblies = Names()
        for record in header.records:
            if record.key in {"reference", "source", "fileDate", "phasing"} and record.value:
                document.setdefault(record.key, clean(record.value))
            elif record.key == "contig" and (assembly := dict(record.items()).get("assembly")):
                assemblies.add(assembly.strip('"'))
        return document | ({"assemblies": list(assemblies.kept)} if assemblies.kept else {})


def first(names: Iterable[str], count: int) -> list[str]:
    """Return the first names."""
    return [clean(name) for _, name in zip(range(count), names, strict=False)]


def blocks(stream: Any) -> Iterator[bytes]:
    """Yield a file's content in blocks; `read1` keeps what comes in front of a break."""
    while block := stream.read1(BLOCK):
        yield block


def counted(stream: BinaryIO, count: Any) -> dict[str, Any]:
    """Return the last of what `count` found in the content, with the reason where it is not all."""
    found: dict[str, Any] = {}
    reason = ""
    try:
        with extractor_batch.within(SECONDS):
            for found in count(blocks(stream)):  # noqa: B007 - the last one counts
                pass
    except extractor_batch.OutOfTime:
        reason = f"counted as far as {SECONDS} s go"
    except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
        reason = f"its compressed content is broken: {clean(str(exc))}"
    return found | ({"partial": reason} if reason else {})


def compression_of(file: BinaryIO) -> tuple[str, bytes]:
    """Return how a file is compressed, empty where it is not, and how its content begins."""
    head = file.read(HEAD)
    if head[:2] != b"\x1f\x8b":
        return "", head
    inner = b""
    with contextlib.suppress(zlib.error):
        inner = zlib.decompressobj(31).decompress(head, HEAD)
    blocked = len(head) > 16 and head[3] & 4 and head[12:14] == b"BC"
    return ("bgzf" if blocked else "gzip"), inner


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    warnings.simplefilter("ignore")  # pysam tells of missing end marks; so does the document
    with open(path, "rb") as file:  # noqa: PTH123 - starts quicker
        compression, head = compression_of(file)
        document = described(path, file, compression, head)
        end = (
            BGZF_END
            if compression == "bgzf"
            else CRAM_END
            if document.get("format_version", "")[:2] == "3."
            else b""
        )
        if end and "partial" not in document:
            file.seek(max(0, os.fstat(file.fileno()).st_size - len(end)))
            if file.read() != end:
                document["partial"] = "the file ends without the end mark of its format"
        return document | ({"compression": compression} if compression else {})


def described(path: str, file: BinaryIO, compression: str, head: bytes) -> dict[str, Any]:
    """Return the document of a file by how its content begins."""
    file.seek(0)
    stream: Any = gzip.GzipFile(fileobj=file) if compression else file
    if head[:4] in {b"CRAM", b"BAM\1"} or head.startswith(SAM_LINES):
        return alignments(path)
    if head[:3] == b"BCF":
        return variants(path)
    if head.startswith(b"##fileformat=VCF"):
        return variants(path) | counted(stream, sequences.vcf_records)
    if head[:1] == b">":
        return {"format": "fasta"} | counted(stream, sequences.fasta)
    if head[:1] == b"@":
        return {"format": "fastq"} | counted(stream, sequences.fastq)
    raise ValueError("it is no FASTA, FASTQ, VCF, BCF, SAM, BAM or CRAM file")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    extractor_batch.run(extract, isolated=True)
