"""The MIME type of a file by its first bytes, for `stat`: what it is, whatever it is called.

A worker may be root and files are anybody's, so nothing here parses what it is given: fixed signatures are
compared, in Python, on 4 KB at most. That is why libmagic (C, about 200 us a file) does not do it; formats of
science that the library `filetype` lacks have their signatures here, and texts are told apart by how they begin.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import re
import stat
import zlib
from collections.abc import Callable

import filetype

HEAD_BYTES = 4096
EMPTY = "inode/x-empty"
UNKNOWN = "application/octet-stream"
PLAIN = "text/plain"
JSON = "application/json"

SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    # offset, bytes, type; of two that fit the first counts
    (0, b"PAR1", "application/vnd.apache.parquet"),
    (0, b"PARE", "application/vnd.apache.parquet"),  # with an encrypted footer
    (0, b"ARROW1\0\0", "application/vnd.apache.arrow.file"),
    (0, b"FEA1", "application/x-feather"),
    (0, b"ORC", "application/vnd.apache.orc"),
    (0, b"Obj\x01", "application/avro"),
    (0, b"\x89HDF\r\n\x1a\n", "application/x-hdf5"),
    (0, b"\x0e\x03\x13\x01", "application/x-hdf"),
    (0, b"CDF\x01", "application/x-netcdf"),
    (0, b"CDF\x02", "application/x-netcdf"),
    (0, b"CDF\x05", "application/x-netcdf"),
    (0, b"SIMPLE  =", "application/fits"),
    (128, b"DICM", "application/dicom"),
    (344, b"n+1\0", "image/x.nifti"),
    (344, b"ni1\0", "image/x.nifti"),
    (4, b"n+2\0\r\n\x1a\n", "image/x.nifti"),
    (4, b"ni2\0\r\n\x1a\n", "image/x.nifti"),
    (208, b"MAP ", "image/x-mrc"),
    (0, b"NRRD000", "image/x-nrrd"),
    (0, b"CRAM", "application/x-cram"),
    (0, b"BAI\1", "application/x-bai"),
    (0, b"\x93NUMPY", "application/x-npy"),
    (0, b"MATLAB 5.0 MAT-file", "application/x-matlab-data"),
    (0, b"GRIB", "application/x-grib"),
    (0, b"BUFR", "application/x-bufr"),
    (0, b"root", "application/x-root"),
    (0, b"LASF", "application/vnd.las"),
    (0, b"# vtk DataFile", "application/x-vtk"),
    (0, b"SQLite format 3\0", "application/vnd.sqlite3"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (0, b"II+\0\x08\0\0\0", "image/tiff"),  # BigTIFF
    (0, b"MM\0+\0\x08\0\0", "image/tiff"),
    (0, b"v/1\x01", "image/x-exr"),
    (0, b"ZISRAWFILE", "image/x-czi"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"%!PS", "application/postscript"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\0", "application/x-xz"),
    (0, b"(\xb5/\xfd", "application/zstd"),
    (0, b"\x04\x22M\x18", "application/x-lz4"),
    (257, b"ustar", "application/x-tar"),
    (0, b"\x7fELF", "application/x-executable"),
)
# HDF5 File Format Specification: the superblock may follow a user block of 512, 1024, ... bytes
HDF5_OFFSETS = (512, 1024, 2048)
# Arrow columnar format, IPC: a mark, the length of the schema (here below 64 KiB), then a flatbuffer
ARROW_STREAM = re.compile(rb"\xff{4}..\0\0..\0\0", re.DOTALL)
# SAM format specification 4.1: BGZF is gzip with an extra field BC
BGZF = re.compile(rb"\x1f\x8b\x08.{9}BC\x02\x00", re.DOTALL)
BLOCKED = ((b"BAM\x01", "application/x-bam"), (b"BCF\x02", "application/x-bcf"), (b"CSI\x01", "application/x-csi"),
           (b"TBI\x01", "application/x-tbi"))  # fmt: skip
TEXTS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), mime)
    for pattern, mime in (
        (r"#![^\n]*\bpython", "text/x-python"),
        (r"#![^\n]*\bperl", "text/x-perl"),
        (r"#![^\n]*\bRscript", "text/x-r"),
        (r"#![^\n]*\bjulia", "text/x-julia"),
        (r"#![^\n]*\b(ba|da|k|z|c|tc)?sh\b", "text/x-shellscript"),
        (r"\s*\{\s*\"(cells|nbformat)", "application/x-ipynb+json"),
        (r"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg\b", "image/svg+xml"),
        (r"\s*<\?xml\b", "application/xml"),
        (r"\s*(<!--.*?-->\s*)?(?i:<!DOCTYPE html|<html\b)", "text/html"),
        (r"##fileformat=VCF", "text/x-vcf"),
        (r"##gff-version", "text/x-gff3"),
        (r"@(HD\tVN:|SQ\t[A-Z]{2}:|RG\tID:|PG\tID:)", "text/x-sam"),
        (r"@[^\n]*\n[A-Za-z.*-]+\r?\n\+[^\n]*\n", "text/x-fastq"),
        (r">[^\n]*\n[A-Za-z*-]{1,1000}\r?(\n|\Z)", "text/x-fasta"),
        (r"(#[^\n]*\n|\s)*@<TRIPOS>MOLECULE", "chemical/x-mol2"),
        (r"(HEADER|TITLE |COMPND|REMARK|CRYST1|MODEL |ATOM  |HETATM).*\n(.*\n)*?(ATOM  |HETATM|REMARK|CRYST1)",
         "chemical/x-pdb"),
        (r"(#[^\n]*\n|\s)*data_[^\n]*\n(.*\n)*?(_entry\.id|_atom_site\.)", "chemical/x-mmcif"),
        (r"(#[^\n]*\n|\s)*data_\S*[ \t]*\n\s*(#[^\n]*\n|\s)*(_|loop_)", "chemical/x-cif"),
        (r"[^\n]*\n[^\n]*\n[^\n]*\n[ \d]{3}[ \d]{3}[^\n]*V[23]000", "chemical/x-mdl-molfile"),
        (r"[ \t]*\d+[ \t]*\r?\n[^\n]*\n[ \t]*[A-Z][a-z]?\w*([ \t]+-?\d+\.\d*([eE][-+]?\d+)?){3}", "chemical/x-xyz"),
        (r"\s*\{[^\n]*\}[ \t]*\r?\n\s*\{", "application/x-ndjson"),
        (r"\s*(\{\s*[\"}]|\[\s*([\[{\"\]]|-?\d[\d.eE+-]*\s*[,\]]|(true|false|null)\s*[,\]]))", JSON),
    )
)  # fmt: skip
SEPARATED = ((",", "text/csv"), ("\t", "text/tab-separated-values"), (";", "text/csv"))
CONTROL = re.compile(
    "[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]"
)  # a text has none of these; escape (terminal colours) is left out
ODD = re.compile("[\x80-\x9f]")  # control characters of Latin-1, though letters of Windows-1252
_known: Callable[[bytes], str | None] = filetype.guess_mime
BOMS = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def mime_of_fd(fd: int, *, released: bool = False) -> str | None:
    """Return the MIME type of the file behind a descriptor, which may be of O_PATH.

    Args:
        fd: it is opened anew for reading, through /proc, without touching its access time where that is allowed
            (O_NOATIME: to the owner and to root).
        released: HSM has its content; reading would recall it.

    Returns:
        None: it is no regular file, is released, or cannot be read.
    """
    try:
        found = os.fstat(fd)
        if released or not stat.S_ISREG(found.st_mode):
            return None
        return mime_of(_head(fd)) if found.st_size else EMPTY
    except OSError:
        return None


def _head(fd: int) -> bytes:
    path, flags = f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        again = os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        again = os.open(path, flags)
    try:
        return os.pread(again, HEAD_BYTES, 0)
    finally:
        os.close(again)


def mime_of(head: bytes) -> str:
    """Return the MIME type of what begins with `head` (4,096 bytes of it, or all where there is less)."""
    if not head:
        return EMPTY
    head = head[:HEAD_BYTES]
    for offset, magic, mime in SIGNATURES:
        if head.startswith(magic, offset):
            return _blocked(head) if mime == "application/gzip" else mime
    if any(head.startswith(b"\x89HDF\r\n\x1a\n", offset) for offset in HDF5_OFFSETS):
        return "application/x-hdf5"
    if ARROW_STREAM.match(head):
        return "application/vnd.apache.arrow.stream"
    text = _utf8(head)
    if text is None:
        kind = _known(head)
        if kind is not None:
            return kind
        text = _other_text(head)
    return UNKNOWN if text is None else _text(text, whole=len(head) < HEAD_BYTES)


def _blocked(head: bytes) -> str:
    """Return the type of a gzip file: BAM and the like are gzip by their own definition, others stay gzip."""
    if not BGZF.match(head):
        return "application/gzip"
    with contextlib.suppress(zlib.error):
        first = zlib.decompressobj(31).decompress(head, 4)
        return next((mime for magic, mime in BLOCKED if first == magic), "application/gzip")
    return "application/gzip"


def _utf8(head: bytes) -> str | None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(head.removeprefix(codecs.BOM_UTF8), final=len(head) < HEAD_BYTES)
    except UnicodeDecodeError:
        return None
    return None if CONTROL.search(text) else text


def _other_text(head: bytes) -> str | None:
    for bom, encoding in BOMS:
        if head.startswith(bom):
            return head[: len(head) // 2 * 2].decode(encoding, "replace")
    text = head.decode("latin-1")
    return None if CONTROL.search(text) or len(ODD.findall(text)) * 10 > len(text) else text


def _text(text: str, *, whole: bool) -> str:
    for pattern, mime in TEXTS:
        if pattern.match(text) and not (mime == JSON and whole and not _is_json(text)):
            return mime
    lines = text.splitlines()[: 20 if whole else -1]
    for separator, mime in SEPARATED:
        counts = {line.count(separator) for line in lines if line}
        # some prose has a comma in each of its lines; a table has the same number in each of several
        if len(counts) == 1 and (fields := counts.pop()) and len(lines) + fields > 3 and len(lines) > 1:
            return mime
    return PLAIN


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
