"""Archives: what tar, zip, 7z, cpio and compressed files hold, listed without unpacking anything to a disk.

Tar, zip and 7z are listed from their headers. What is compressed as a whole is expanded piece by piece and thrown
away, within a time and up to what looks like a bomb. Memory does not grow with the file or its members.
"""

from __future__ import annotations

import codecs
import io
import lzma
import re
import struct
import tarfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import archive_7z
import archive_zip
import extractor_batch
import extractor_facts as facts
from archive_cpio import cpio_members, is_cpio
from archive_listing import Listing, clean, is_bomb, iso, ratio
from extractor_batch import OutOfTime, within
from extractor_open import compression_of, expanding

SECONDS = 20  # of one file; then its document is partial
BLOCK = 512  # of tar
PIECE = 1 << 18
MAX_HEADER = 1 << 20  # longest header of tar, in bytes
NEST_BYTES = 16 << 20  # a zip file up to this is looked into for zip files within zip files
CONTENTS = tuple(  # of a compressed file that is no tar archive, by its first bytes
    (re.compile(pattern, re.DOTALL), name)
    for pattern, name in (
        (rb"\x89HDF\r\n\x1a\n", "hdf5"), (rb"CDF[\x01\x02\x05]", "netcdf"), (rb"SIMPLE  =", "fits"),
        (rb"PK\x03\x04", "zip"), (rb"%PDF-", "pdf"), (rb"@[^\n]*\n[A-Za-z.*-]+\r?\n\+", "fastq"),
        (rb">[^\n]*\n[A-Za-z*-]+\r?(?:\n|\Z)", "fasta"), (rb"##fileformat=VCF", "vcf"), (rb"BAM\x01", "bam"),
        (rb"PAR1(?![ -~\s])", "parquet"), (rb"\x5c\x01\0\0|\0\0\x01\x5c", "nifti"),
    )
)  # fmt: skip
UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    struct.error,
    OverflowError,
)


class Bomb(Exception):
    """The stream expands as no useful one does."""


class Seekable:
    """A tar file, out of which tarfile cannot be talked into reading much at once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell
        self.last = b""

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; raise ValueError for an absurdly long header."""
        self.last = self._file.read(bounded(size))
        return self.last


class Forward:
    """A stream that is read once, forward: sought by reading, and a bomb is noticed on the way."""

    def __init__(self, source: Any, raw: BinaryIO) -> None:
        self._source, self._raw = source, raw
        self._at = 0
        self.last = self._ahead = b""

    def peek(self) -> bytes:
        """Return the beginning."""
        while len(self._ahead) < BLOCK and (more := self._source.read(BLOCK - len(self._ahead))):
            self._ahead += more
        return self._ahead

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes. Raise ValueError for an absurdly long header, Bomb for a bomb."""
        parts = [self._ahead[: bounded(size)]]
        self._ahead = self._ahead[size:]
        left = size - len(parts[0])
        while left and (more := self._source.read(left)):
            parts.append(more)
            left -= len(more)
        self.last = b"".join(parts)
        self._at += len(self.last)
        if is_bomb(self._at, self._raw.tell()):
            raise Bomb
        return self.last

    def seek(self, place: int) -> None:
        """Go forward to `place`."""
        if place < self._at:
            raise ValueError("one of its headers points backwards")
        while self._at < place and self.read(min(PIECE, place - self._at)):
            pass

    def tell(self) -> int:
        """Return the place in the expanded stream."""
        return self._at


def bounded(size: int) -> int:
    """Return `size`; raise ValueError where a header asks for an absurd one."""
    if size > MAX_HEADER:
        raise ValueError(f"one of its headers claims to have {size} bytes")
    return size


def is_tar(block: bytes, extension: str) -> bool:
    """Say whether this is the first block of a tar archive: its checksum is right. An empty one has only a name."""
    try:
        tarfile.TarInfo.frombuf(block[:BLOCK], "utf-8", "surrogateescape")
    except tarfile.EOFHeaderError:
        return extension == "tar"
    except (tarfile.HeaderError, ValueError):
        return False
    return True


def tar_members(stream: Any, listing: Listing) -> None:
    """List the members of a tar archive. Raise ValueError or TarError where it is torn or damaged."""
    with tarfile.open(fileobj=stream, mode="r:") as tar:
        offset = -1
        while (member := tar.next()) is not None:
            tar.members.clear()  # else it keeps them all
            if member.size < 0 or tar.offset <= offset:
                raise ValueError("one of its members claims a negative size")
            offset = tar.offset
            what = "files" if member.isreg() else "directories" if member.isdir() else "specials"
            if member.issym() or member.islnk():
                what = "links"
            listing.add(member.name, member.size if what == "files" else 0, what, iso(member.mtime))
    if not stream.last or stream.last.strip(b"\0"):
        raise ValueError("its end mark is missing")


def gzip_header(file: BinaryIO) -> dict[str, Any]:
    """Return what the header of a gzip file says of its content (RFC 1952, 2.3)."""
    head = file.read(PIECE)
    file.seek(0)
    found: dict[str, Any] = {}
    if len(head) < 10:
        return found
    flags, seconds = head[3], struct.unpack_from("<I", head, 4)[0]
    if seconds:
        found["modified"] = iso(seconds)
    at = 10
    if flags & 4 and len(head) >= 12:
        length = struct.unpack_from("<H", head, 10)[0]
        if head[12:16] == b"BC\2\0":  # the SAM specification, 4.1: blocks that can be reached alone
            found["blocked"] = True
        at = 12 + length
    if flags & 8 and (end := head.find(b"\0", at)) >= 0:
        found["original_name"] = clean(head[at:end].decode("latin-1"))
    return found


def content_of(beginning: bytes) -> str:
    """Return what a compressed file holds, by its first bytes."""
    if inner := compression_of(beginning):
        return inner
    for pattern, name in CONTENTS:
        if pattern.match(beginning):
            return name
    if b"\0" in beginning:
        return "binary"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(beginning)
    except UnicodeDecodeError:
        return "binary"
    return "text" if beginning else "empty"


def compressed(file: BinaryIO, compression: str, size: int, document: dict[str, Any], listing: Listing) -> None:
    """Describe a file that is compressed as a whole: a tar archive by its members, else by size and beginning."""
    document |= {"compression": compression} | (gzip_header(file) if compression == "gzip" else {})
    stream = Forward(expanding(file, compression), file)
    try:
        if is_tar(stream.peek(), ""):
            document["format"] = "tar"
            tar_members(stream, listing)
        elif is_cpio(stream.peek()):
            document["format"] = "cpio"
            cpio_members(stream, listing)
        else:
            document["content"] = content_of(stream.peek())
            stream.seek(1 << 62)
    except Bomb:
        listing.suspicious.append(f"it expands by more than {stream.tell() // max(1, file.tell())} times")
        document["partial"] = "it looks like a bomb and was not expanded further"
    finally:
        if document["format"] == "compressed":
            document |= {"content_bytes": stream.tell(), "ratio": ratio(stream.tell(), min(file.tell(), size))}


def zipped(file: BinaryIO, size: int, document: dict[str, Any], listing: Listing) -> None:
    """Describe a zip file, and how deep zip files are nested in it."""
    document["format"] = "zip"
    if comment := archive_zip.members(file, size, listing):
        document["comment"] = comment
    if listing.counts["nested_archives"] and size <= NEST_BYTES:
        levels, claimed = archive_zip.deepest(file)
        if levels > 1:
            document["nested_levels"] = levels
        if levels >= archive_zip.NEST_DEPTH:
            listing.suspicious.append(f"archives are nested {levels} deep or deeper")
        if is_bomb(claimed, size):
            listing.suspicious.append(f"its nested archives claim {ratio(claimed, size)} times its size")


def describe(file: BinaryIO, extension: str, document: dict[str, Any], listing: Listing) -> None:
    """Fill `document` and `listing`. Raise what UNREADABLE lists where the file is torn or damaged."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(BLOCK)
    file.seek(0)
    if not head:
        raise ValueError("it is empty")
    if compression := compression_of(head):
        compressed(file, compression, size, document, listing)
        return
    if head.startswith(archive_7z.MAGIC):
        document["format"] = "7z"
        document |= archive_7z.members(file, size, listing)
    elif is_tar(head, extension):
        document["format"] = "tar"
        tar_members(Seekable(file), listing)
    elif is_cpio(head):
        document["format"] = "cpio"
        cpio_members(Seekable(file), listing)
    elif head.startswith(b"PK") or archive_zip.has_directory(file, size):
        zipped(file, size, document, listing)
    else:
        raise ValueError(
            "it is not a tar, zip, 7z or cpio archive and not compressed with gzip, bzip2, xz, zstd or lz4"
        )


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    document: dict[str, Any] = {"format": "compressed"}
    listing, reasons = Listing(), []
    size = Path(path).stat().st_size
    try:
        with within(SECONDS), Path(path).open("rb") as file:
            describe(file, Path(path).suffix[1:].lower(), document, listing)
    except OutOfTime:
        reasons.append(f"it was not read to its end in {SECONDS} seconds")
    except UNREADABLE as exc:
        if not listing.counts["members"] and not document.get("content_bytes"):
            raise
        reasons.append(clean(f"it is damaged: {exc}", 500))
    if document["format"] != "compressed" and "encrypted_names" not in document:
        document |= listing.describe(size, reasons)
    elif listing.suspicious:
        document["suspicious"] = listing.suspicious
    if "partial" in document:
        reasons.insert(0, document["partial"])
    return document | ({"partial": "; ".join(reasons)} if reasons else {})


if __name__ == "__main__":
    extractor_batch.run(facts.told(extract), isolated=True)
