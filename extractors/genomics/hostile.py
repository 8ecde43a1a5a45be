"""Files of genomics that nobody would write on purpose: bombs, absurd headers, lines without end."""

from __future__ import annotations

import functools
import gzip
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

LARGE = 2 << 30
MEGABYTE = 1 << 20
BLOCK = 60_000


def hostile(folder: Path) -> None:
    """Write them into `folder`: small files, or sparse ones of 2 GB."""
    makers = {
        "text-of-2-gigabytes.bam": bgzf([b"BAM\1" + struct.pack("<i", (1 << 31) - 1) + b"@HD\tVN:1.6\n"]),
        "negative-text.bam": bgzf([b"BAM\1" + struct.pack("<i", -5)]),
        "references-without-end.bam": bgzf([b"BAM\1" + struct.pack("<ii", 0, (1 << 31) - 1)]),
        "name-of-2-gigabytes.bam": bgzf([b"BAM\1" + struct.pack("<iii", 0, 1, (1 << 31) - 1)]),
        "comments.bam": bgzf(comments()),
        "sequences.sam": b"@HD\tVN:1.6\n" + b"".join(b"@SQ\tSN:s%d\tLN:9\n" % n for n in range(200_000)),
        "tabs.sam": b"@HD\tVN:1.6" + b"\tXX:1" * 1_000_000 + b"\n",
        "no-tags.sam": b"@SQ\tLN\n@RG\n@PG\t:::\n@HD\t\n",
        "container.cram": b"CRAM\3\0" + bytes(20) + b"\xff\xff\xff\x7f" * 50,
        "version.cram": b"CRAM\xff\xff" + bytes(200),
        "10-million-samples.vcf.gz": samples(10_000_000),
        "contigs.vcf": b"##fileformat=VCFv4.2\n"
        + b"".join(b"##contig=<ID=c%d>\n" % n for n in range(200_000))
        + columns(),
        "quotes.vcf": b'##fileformat=VCFv4.2\n##INFO=<ID=A,Description="' + b"<" * 1_000_000 + b"\n" + columns(),
        "no-columns.vcf": b"##fileformat=VCFv4.2\n" + b"##x=1\n" * 10,
        "one-line.vcf.gz": gzip.compress(b"##fileformat=VCFv4.2" + b"x" * (64 * MEGABYTE), mtime=0),
        "header.bcf": bgzf([b"BCF\2\2" + struct.pack("<I", (1 << 32) - 1) + b"##fileformat=VCFv4.2\n"]),
        "bomb.fa.gz": gzip.compress(b">bomb\n", mtime=0) + gzip.compress(b"A" * (16 * MEGABYTE), mtime=0) * 10,
        "empty-records.fa.gz": gzip.compress(b">\n" * 500_000, mtime=0),
        "name-without-end.fa.gz": gzip.compress(b">" + b"x" * (64 * MEGABYTE), mtime=0),
        "line-without-end.fastq.gz": gzip.compress(b"@r\n" + b"A" * (128 * MEGABYTE), mtime=0),
        "empty-lines.fastq.gz": gzip.compress(b"@r\nA\n+\n!\n" + b"\n" * (16 * MEGABYTE), mtime=0),
        "members-without-end.fa.gz": gzip.compress(b">x\nACGT\n", mtime=0) + gzip.compress(b"", mtime=0) * 50_000,
        "garbage-behind.fa.gz": gzip.compress(b">x\nACGT\n", mtime=0) + b"garbage" * 9,
    }
    for name, content in makers.items():
        (folder / name).write_bytes(content)
    for name, start in (
        ("sparse.fa", b">x\nACGT\n"),
        ("sparse.fastq", b"@r\nA\n+\n!\n"),
        ("sparse.bam", makers["comments.bam"]),
    ):
        with (folder / name).open("wb") as file:
            file.write(start)
            file.truncate(LARGE)


def large(folder: Path, size_bytes: int) -> Path:
    """Write one FASTQ file of about `size_bytes`."""
    path = folder / "large.fastq"
    reads = b"".join(b"@read%d\n%s\n+\n%s\n" % (n, b"ACGTN" * 30, b"IIII#" * 30) for n in range(3_000))
    with path.open("wb") as file:
        for _ in range(size_bytes // len(reads)):
            file.write(reads)
    return path


def bgzf(parts: Iterable[bytes]) -> bytes:
    """Return parts, each shorter than 64 KiB, as blocks of BGZF."""
    return b"".join(map(block, parts))


@functools.lru_cache(maxsize=1)
def block(part: bytes) -> bytes:
    """Return one block of BGZF; a part that comes again and again is compressed once."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(part) + packer.flush()
    head = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + struct.pack("<H", len(packed) + 25)
    return head + packed + struct.pack("<II", zlib.crc32(part), len(part))


def comments() -> list[bytes]:
    """Return the parts of a BAM file whose header has 300 MB of comments."""
    line = b"@CO\t" + b"x" * 95 + b"\n"
    part = line * (BLOCK // len(line))
    count = 300_000_000 // len(part)
    return [b"BAM\1" + struct.pack("<i", count * len(part)), *[part] * count, struct.pack("<i", 0)]


def columns() -> bytes:
    """Return the last line of a VCF header."""
    return b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


def samples(count: int) -> bytes:
    """Return a VCF header with this many samples, compressed."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    packed = [packer.compress(b"##fileformat=VCFv4.2\n" + columns().rstrip() + b"\tFORMAT")]
    names = b"".join(b"\ts%d" % n for n in range(9_900_000, 10_000_000))
    packed.extend(packer.compress(names) for _ in range(count // 100_000))
    return b"".join([*packed, packer.compress(b"\n"), packer.flush()])
