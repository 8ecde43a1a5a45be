"""Genomics: what FASTA, FASTQ, GFF, BED and PAF files hold, and what headers of VCF, BCF, SAM, BAM, CRAM say.

FASTA and FASTQ are counted in one pass with bounded memory, as far as SECONDS go (genomics_sequences.py,
genomics_fastq.py), and so are lines of features (genomics_features.py); of the others only the headers are read,
and the records of a VCF text counted. Gzip, bgzip, bzip2 and xz are seen through. Needs pysam.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import resource
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import extractor_batch
import extractor_facts as facts
import genomics_fastq
import genomics_features as features
import genomics_sequences as sequences
from extractor_open import DAMAGED, compression_of, expanding

MEMORY_BYTES = 800_000_000  # so that what a broken header asks for fails here, and not the whole batch
SECONDS = 20  # of counting, per file
BLOCK = 1 << 20
HEAD = 1 << 16
MAX_NAMES = 5000  # of each list
LIST_CHARACTERS = 100_000
MAX_TEXT = 500
# SAM format specification 4.1.2: the empty block at the end of each BGZF file
BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
# CRAM format specification 9: the empty container at the end of version 3
CRAM_END = bytes.fromhex("0f000000ffffffff0fe0454f4600000000010005bdd94f0001000606010001000100ee63014b")
VCF_COLUMNS = b"#CHROM\tPOS\tID\tREF\tALT"
# The first eleven fields of a line of SAM (SAM specification 1.4)
SAM_LINE = re.compile(
    rb"[!-?A-~]{1,254}\t\d{1,5}\t[^\t\n ]+\t\d{1,10}\t\d{1,3}\t(\*|(\d+[MIDNSHPX=])+)\t[^\t\n ]+\t"
    rb"\d{1,10}\t-?\d{1,10}\t(\*|[A-Za-z=.]+)\t[!-~]+(\s|$)"
)
SAM_LINES = (b"@HD\t", b"@SQ\t", b"@RG\t", b"@PG\t", b"@CO\t")
# Standard tags of header lines, and the keys under which their values are listed
READ_GROUP = {"SM": "samples", "LB": "libraries", "PL": "platforms", "PM": "platform_models", "CN": "centers",
              "DT": "dates"}  # fmt: skip
REFERENCE = {"AS": "assemblies", "SP": "species"}


class Names:
    """Distinct texts in the order of their coming, the first MAX_NAMES of them."""

    def __init__(self) -> None:
        self.kept: dict[str, None] = {}
        self.room = LIST_CHARACTERS
        self.more = False

    def add(self, text: str) -> None:
        """Take one."""
        shown = clean(text)
        if shown in self.kept:
            return
        if len(self.kept) < MAX_NAMES and len(shown) <= self.room:
            self.kept[shown] = None
            self.room -= len(shown)
        else:
            self.more = True


def clean(text: str) -> str:
    """Return text such as JSON and a database can hold."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode()[:MAX_TEXT]


def alignments(path: str) -> dict[str, Any]:
    """Return what the header of a SAM, BAM or CRAM file says."""
    import pysam  # noqa: PLC0415 - a batch without such files does not wait for it

    pysam.set_verbosity(0)
    with pysam.AlignmentFile(path, check_sq=False, check_header=False, ignore_truncation=True) as file:
        header = file.header
        document: dict[str, Any] = {"format": file.format.lower()}
        document |= (
            {"format_version": ".".join(str(part) for part in file.version if part >= 0)}
            if file.format != "SAM"
            else {}
        )
        document["reference_count"] = header.nreferences
        document["references"] = first((header.get_reference_name(n) for n in range(header.nreferences)), MAX_NAMES)
        document["reference_bases"] = sum(header.lengths)
        document |= header_lines(str(header).split("\n"))
        if file.format != "CRAM":  # whose reads may need a reference sequence from elsewhere
            document |= facts.preview(table=first_reads(file))
        if header.nreferences > len(document["references"]):
            reason = f"of {header.nreferences} references {len(document['references'])} are listed"
            document["partial"] = "; ".join(filter(None, (document.get("partial"), reason)))
        return document


def first_reads(file: Any) -> dict[str, Any]:
    """Return the head of the table of reads."""
    rows = []
    with contextlib.suppress(OSError, ValueError, NotImplementedError):  # pysam reads none without a header
        for read in itertools.islice(file, facts.MAX_ROWS):
            place = None if read.reference_start < 0 else read.reference_start + 1
            rows.append((read.query_name, read.flag, read.reference_name, place, read.mapping_quality,
                         read.cigarstring, read.query_sequence))  # fmt: skip
    return facts.table(("name", "flag", "reference", "position", "quality", "cigar", "sequence"), rows)


def refusal(exc: Exception, path: str) -> str:
    """Return what htslib says against a header, in words without pysam's notation of bytes."""
    words = clean(str(exc)).replace(f"file `b'{path}'`", "it").replace(path, "the file")
    words = re.sub(r" ?\(mode=[^)]*\)", "", words)
    return f"htslib refuses its header, so its lines were read one by one: {words}"


def sam(path: str, stream: BinaryIO) -> dict[str, Any]:
    """Return the document of a SAM text; of one that htslib refuses, what its header's lines say all the same."""
    try:
        return alignments(path)
    except (ValueError, OSError) as exc:
        lines = [line.decode("utf-8", "replace").rstrip("\r\n") for line in itertools.islice(stream, 100_000)]
        lines = list(itertools.takewhile(lambda line: line.startswith("@"), lines))
        named = [re.search(r"\tSN:([^\t]+)", line) for line in lines if line.startswith("@SQ\t")]
        names = [found[1] for found in named if found]
        document = {"format": "sam", "reference_count": len(names), "references": first(names, MAX_NAMES)}
        reason = refusal(exc, path)
        found = header_lines(lines)
        return document | found | {"partial": "; ".join(filter(None, (reason, found.get("partial"))))}


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
    cut = [key for key, names in lists.items() if names.more]
    partial = {"partial": f"not all of these are listed: {', '.join(cut)}"} if cut else {}
    return found | {key: list(names.kept) for key, names in lists.items()} | partial


def variants(path: str) -> dict[str, Any]:
    """Return what the header of a VCF or BCF file says."""
    import pysam  # noqa: PLC0415

    pysam.set_verbosity(0)
    with pysam.VariantFile(path, ignore_truncation=True) as file:
        header = file.header
        document: dict[str, Any] = {"format": file.format.lower(), "format_version": clean(header.version)}
        lists = {"contigs": header.contigs, "samples": header.samples, "info": header.info,
                 "formats": header.formats, "filters": header.filters}  # fmt: skip
        document |= listed({key: (len(names), names) for key, names in lists.items()})
        assemblies = Names()
        for record in header.records:
            if record.key in {"reference", "source", "fileDate", "phasing"} and record.value:
                document.setdefault(record.key, clean(record.value))
            elif record.key == "contig" and (assembly := dict(record.items()).get("assembly")):
                assemblies.add(assembly.strip('"'))
        return document | ({"assemblies": list(assemblies.kept)} if assemblies.kept else {})


def listed(lists: dict[str, tuple[int, Iterable[str]]]) -> dict[str, Any]:
    """Return the names of each list, how many contigs and samples there are, and which lists are cut."""
    document: dict[str, Any] = {key: first(names, MAX_NAMES) for key, (_, names) in lists.items()}
    document |= {f"{key.removesuffix('s')}_count": lists[key][0] for key in ("contigs", "samples")}
    cut = [
        f"of {count} {key} {len(document[key])}" for key, (count, _) in lists.items() if count > len(document[key])
    ]
    return document | ({"partial": f"{', '.join(cut)} are listed"} if cut else {})


def vcf(path: str, stream: BinaryIO, head: bytes) -> dict[str, Any]:
    """Return the document of a VCF text; of one that htslib refuses, what its lines say all the same."""
    try:
        document = variants(path)
    except (ValueError, OSError) as exc:
        header = sequences.VcfHeader()
        with contextlib.suppress(*DAMAGED):
            header.read(itertools.islice(stream, 1_000_000))
        keys = {"contigs": "contig", "info": "info", "formats": "format", "filters": "filter"}
        lists = {key: (len(header.lists[kind]), header.lists[kind]) for key, kind in keys.items()}
        document = {"format": "vcf", "format_version": clean(header.plain.pop("fileformat", "")) or "unknown"}
        document |= {key: clean(value) for key, value in header.plain.items() if value}
        document |= listed({**lists, "samples": (len(header.samples), header.samples)})
        document["partial"] = refusal(exc, path)
        stream.seek(0)
    found = counted(stream, sequences.vcf_records)
    reasons = [each["partial"] for each in (document, found) if "partial" in each]
    document |= found | facts.preview(table=first_records(head))
    return document | ({"partial": "; ".join(reasons)} if reasons else {})


def first_records(head: bytes) -> dict[str, Any] | None:
    """Return the head of the table of variants, as far as it stands in the beginning of the file."""
    place = head.find(b"\n#CHROM") + 1
    if not place and not head.startswith(b"#CHROM"):
        return None
    lines = [line.rstrip(b"\r").decode("utf-8", "replace") for line in head[place:].split(b"\n")[:-1]]
    rows = [line.lstrip("#").rstrip("\t").split("\t") for line in lines[: facts.MAX_ROWS + 1] if line]
    if not rows:
        return None
    names, *rows = rows
    width = len(names)
    return facts.table(names, [(row + [""] * width)[:width] for row in rows])


def common(document: dict[str, Any]) -> dict[str, Any]:
    """Return what the header says under the shared keys."""
    machine = [document["instrument"]] if "instrument" in document else []
    times = [when for date in document.get("dates", ()) if (when := facts.moment(date))]
    return facts.common(
        creator=document.get("centers"),
        instrument=document.get("platform_models") or document.get("platforms") or machine,
        sample=[*document.get("samples", ()), *document.get("species", ())],
        start=min(times, default=None),
        end=max(times, default=None),
        created=document.get("fileDate"),
        software=[*document.get("programs", ()), document.get("source")],
    )


def first(names: Iterable[str], count: int) -> list[str]:
    """Return the first names, as far as there is room for them."""
    found: list[str] = []
    room = LIST_CHARACTERS
    for name in itertools.islice(names, count):
        room -= len(shown := clean(name))
        if room < 0:
            break
        found.append(shown)
    return found


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
    except DAMAGED as exc:
        reason = f"its compressed content is broken: {clean(str(exc))}"
    reasons = "; ".join(each for each in (found.get("partial", ""), reason) if each)
    return found | ({"partial": reasons} if reasons else {})


def packed(file: BinaryIO) -> tuple[str, bytes]:
    """Return how a file is compressed, empty where it is not, and how its content begins."""
    head = file.read(HEAD)
    compression = compression_of(head) or ""
    if not compression:
        return "", head
    file.seek(0)
    stream, inner = expanding(file, compression), b""
    with contextlib.suppress(*DAMAGED):
        while len(inner) < HEAD and (more := stream.read1(HEAD - len(inner))):
            inner += more
    blocked = compression == "gzip" and len(head) > 16 and head[3] & 4 and head[12:14] == b"BC"
    return ("bgzf" if blocked else compression), inner


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    warnings.simplefilter("ignore")  # pysam tells of missing end marks; so does the document
    with open(path, "rb") as file:  # noqa: PTH123 - starts quicker
        compression, head = packed(file)
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
        return document | common(document) | ({"compression": compression} if compression else {})


def described(path: str, file: BinaryIO, compression: str, head: bytes) -> dict[str, Any]:
    """Return the document of a file by how its content begins."""
    file.seek(0)
    stream: Any = file
    if compression:
        stream = expanding(file, compression if compression != "bgzf" else "gzip")
    if head[:4] in {b"CRAM", b"BAM\1"}:
        return alignments(path)
    if head.startswith(SAM_LINES) or SAM_LINE.match(head):
        return sam(path, stream)
    if head[:3] == b"BCF":
        return variants(path)
    if head.startswith(b"##fileformat=VCF") or (head[:1] == b"#" and VCF_COLUMNS in head):
        return vcf(path, stream, head)
    excerpt = facts.preview(excerpt=head[:8000].decode("latin-1"))
    if head[:1] in {b">", b"@"}:
        kind, count = ("fasta", sequences.fasta) if head[:1] == b">" else ("fastq", genomics_fastq.fastq)
        return {"format": kind} | counted(stream, count) | excerpt
    if kind := features.kind_of(head):
        return {"format": kind} | counted(stream, features.counter(kind))
    raise ValueError("it is not a FASTA, FASTQ, VCF, BCF, SAM, BAM, CRAM, GFF, GTF, BED or PAF file")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    extractor_batch.run(facts.told(extract), isolated=True)
