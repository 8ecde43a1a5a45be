"""Types of binary files by their first bytes: fixed signatures, each long or checked enough that no text has it."""

from __future__ import annotations

import contextlib
import re
import struct
import zlib
from collections.abc import Callable
from typing import Literal

import filetype

HDF5 = b"\x89HDF\r\n\x1a\n"
_B = re.DOTALL
SIGNATURES: tuple[tuple[int, re.Pattern[bytes], str], ...] = tuple(
    (offset, re.compile(pattern, _B), mime)
    for offset, pattern, mime in (
        # offset, bytes, type; of two that fit the first counts
        (0, rb"PAR[1E](?![ -~\t\r\n])", "application/vnd.apache.parquet"),  # E: with an encrypted footer
        (0, rb"ARROW1\0\0", "application/vnd.apache.arrow.file"),
        (0, rb"FEA1", "application/x-feather"),
        (0, rb"ORC(?![ -~\t\r\n])", "application/vnd.apache.orc"),
        (0, rb"Obj\x01", "application/avro"),
        (0, rb"\x89HDF\r\n\x1a\n", "application/x-hdf5"),
        (0, rb"\x0e\x03\x13\x01", "application/x-hdf"),
        (0, rb"CDF[\x01\x02\x05]", "application/x-netcdf"),
        (0, rb"SIMPLE  = {20}", "application/fits"),
        (128, rb"DICM", "application/dicom"),
        (344, rb"n[+i]1\0", "image/x.nifti"),
        (4, rb"n[+i]2\0\r\n\x1a\n", "image/x.nifti"),
        (208, rb"MAP ", "image/x-mrc"),
        (0, rb"NRRD000[1-5]\n", "image/x-nrrd"),
        (0, rb"CRAM[\x01-\x0f]", "application/x-cram"),
        (0, rb"BAI\x01", "application/x-bai"),
        (0, rb"\x93NUMPY", "application/x-npy"),
        (0, rb"GGUF[\x01-\x05]\0\0\0", "application/x-gguf"),
        (0, rb".{3}\0{5}\{\"", "application/x-safetensors"),
        (0, rb"\x80(?:[\x04\x05]\x95.{6}\0\0|[\x02\x03][\x8ac}\](X])", "application/x-pickle"),
        (0, rb"\0\0'\n\0{20}", "application/vnd.shp"),  # its index has the same head
        (0, rb"# vtk DataFile Version [1-9]", "application/x-vtk"),
        (0, rb"(?:<\?xml [^>]*>\s*)?<VTKFile ", "application/x-vtk"),
        (0, rb"\$MeshFormat\r?\n", "application/x-gmsh"),
        (0, rb"MATLAB 5\.0 MAT-file", "application/x-matlab-data"),
        (0, rb"GRIB.{3}[\x01\x02]", "application/x-grib"),
        (0, rb"BUFR.{3}[\0-\x05]", "application/x-bufr"),
        (0, rb"root\0", "application/x-root"),
        (0, rb"LASF.{20}\x01[\0-\x05]", "application/vnd.las"),
        (0, rb"SQLite format 3\0", "application/vnd.sqlite3"),
        (0, rb"(?:RF64|BW64)\xff{4}WAVEds64", "audio/x-wav"),  # of more than 4 GB (EBU Tech 3306)
        (0, rb"II\*\0|MM\0\*|II\+\0\x08\0\0\0|MM\0\+\0\x08\0\0", "image/tiff"),  # +: BigTIFF
        (0, rb"v/1\x01", "image/x-exr"),
        (0, rb"ZISRAWFILE", "image/x-czi"),
        (0, rb"DDS \x7c\0\0\0", "image/vnd.ms-dds"),
        (0, rb"\x0a[\0\x02-\x05]\x01[\x01\x02\x04\x08].{60}\0", "image/x-pcx"),
        (0, rb".\0[\x02\x03\x0a\x0b]\0{9}(?!\0\0)..(?!\0\0)..[\x08\x10\x18\x20]", "image/x-tga"),
        # a table of dBase: its date, then after 32 bytes the name and the type of its first field
        (
            0,
            rb"(?=.{43}[CNFDLMIBGOTY@+])[\x03\x83\x8b\xf5].[\x01-\x0c][\x01-\x1f].{8}\0\0.{18}[A-Za-z_][\w-]{0,9}\0",
            "application/x-dbf",
        ),
        (36, rb"acsp", "application/vnd.iccprofile"),
        (0, rb"P[14]\s+(?:#[^\n]*\n\s*)*\d+\s+\d+\s", "image/x-portable-bitmap"),
        (0, rb"P[25]\s+(?:#[^\n]*\n\s*)*\d+\s+\d+\s+(?:#[^\n]*\n\s*)*\d+\s", "image/x-portable-graymap"),
        (0, rb"P[36]\s+(?:#[^\n]*\n\s*)*\d+\s+\d+\s+(?:#[^\n]*\n\s*)*\d+\s", "image/x-portable-pixmap"),
        (0, rb"%PDF-", "application/pdf"),
        (0, rb"%!PS", "application/postscript"),
        (0, rb"\{\\rtf", "text/rtf"),
        (0, rb"\x1f\x8b", "application/gzip"),
        (0, rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", "application/x-bzip2"),
        (0, rb"\xfd7zXZ\0", "application/x-xz"),
        (0, rb"(?:[\x50-\x5f]\x2aM\x18|\x28\xb5\x2f\xfd)", "application/zstd"),  # first: a skippable frame
        (0, rb"\x04\x22M\x18", "application/x-lz4"),
        (0, rb"JM\x01\0PK\x03\x04", "application/x-java-jmod"),
        (0, rb"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
        (257, rb"ustar", "application/x-tar"),
        (0, rb"07070[127]", "application/x-cpio"),
        (0, rb"\xde\x12\x04\x95|\x95\x04\x12\xde", "application/x-gettext-translation"),
        (0, rb"!<arch>\ndebian-binary", "application/vnd.debian.binary-package"),
        (0, rb"!<arch>\n", "application/x-archive"),
        (0, rb"wOFF\0\x01\0\0|wOFFOTTO|wOFFtrue", "font/woff"),
        (0, rb"wOF2\0\x01\0\0|wOF2OTTO|wOF2true", "font/woff2"),
        (0, rb"OTTO\0", "application/vnd.ms-opentype"),
        (0, rb"ttcf\0[\x01\x02]\0\0", "font/collection"),
        (0, rb"[\xcb\xa7\x6f\x55\x61]\r\r\n.{4}", "application/x-bytecode.python"),
        (0, rb".\x0d\r\n", "application/x-bytecode.python"),
        (0, rb"\x1a\x01|\x1e\x02", "application/x-terminfo"),
    )
)
# what text may begin with these: their signatures count whether the rest is text or not
TEXTUAL = frozenset({
    "application/fits", "application/pdf", "application/postscript", "text/rtf", "image/x-portable-bitmap",
    "image/x-portable-graymap", "image/x-portable-pixmap", "image/x-nrrd", "application/x-archive",
})  # fmt: skip
# HDF5 File Format Specification: the superblock may follow a user block of 512, 1024, ... bytes
HDF5_OFFSETS = (512, 1024, 2048)
HDF5_FAR = tuple(1 << power for power in range(12, 20))
# Arrow columnar format, IPC: a mark, the length of the schema (here below 64 KiB), then a flatbuffer
ARROW_STREAM = re.compile(rb"\xff{4}..\0\0..\0\0", _B)
# SAM format specification 4.1: BGZF is gzip with an extra field BC
BGZF = re.compile(rb"\x1f\x8b\x08.{9}BC\x02\x00", _B)
BLOCKED = ((b"BAM\x01", "application/x-bam"), (b"BCF\x02", "application/x-bcf"), (b"CSI\x01", "application/x-csi"),
           (b"TBI\x01", "application/x-tbi"))  # fmt: skip
OFFICE = "application/vnd.openxmlformats-officedocument."
ZIPPED = (  # names in a zip archive, and what has them
    (b"word/", OFFICE + "wordprocessingml.document"), (b"xl/", OFFICE + "spreadsheetml.sheet"),
    (b"ppt/", OFFICE + "presentationml.presentation"),
)  # fmt: skip
LOCAL = re.compile(rb"PK\x03\x04.{22}(..)(..)", _B)
MIMETYPE = re.compile(rb"PK\x03\x04.{4}\0\0.{8}(....)....\x08\0(..)mimetype", _B)
VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OF OW PN SH SL SQ SS ST TM UC UI UL UN UR US UT".split()
)  # DICOM PS3.5, 6.2
LONG_VRS = frozenset(b"OB OF OW SQ UC UN UR UT".split())
# MS-CFB: a container, whose streams say what it is of; with a table of sectors first it is Excel to the library
COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
SECTORS = b"\xfd\xff\xff\xff"
STREAMS = tuple(
    (name.encode("utf-16-le"), mime)
    for name, mime in (
        ("WordDocument", "application/msword"), ("Workbook", "application/vnd.ms-excel"),
        ("PowerPoint Document", "application/vnd.ms-powerpoint"),
    )
)  # fmt: skip


_library: Callable[[bytes], str | None] = filetype.guess_mime


def _known(head: bytes) -> str | None:
    """Return what the library says, and of a container what its streams say first."""
    found = _library(head)
    if not head.startswith(COMPOUND):
        return found
    found = None if head[512:516] == SECTORS else found
    return next((mime for name, mime in STREAMS if name in head), found or "application/x-ole-storage")


RENAMED = {  # IANA's names for those that `filetype` gives
    "application/font-woff": "font/woff", "application/x-deb": "application/vnd.debian.binary-package",
    "application/x-unix-archive": "application/x-archive", "application/x-executable": "application/x-executable",
    "application/x-rar-compressed": "application/x-rar", "image/x-icon": "image/vnd.microsoft.icon",
    "image/bmp": "image/bmp", "application/x-msdownload": "application/vnd.microsoft.portable-executable",
}  # fmt: skip


def signed(head: bytes, *, text: bool) -> str | None:
    """Return the type whose signature a file has; of a text only types that texts may have."""
    for offset, pattern, mime in SIGNATURES:
        if pattern.match(head, offset) and (not text or mime in TEXTUAL):
            return _blocked(head) if mime == "application/gzip" else mime
    return None


def binary(head: bytes, tail: bytes) -> str | None:
    """Return the type of a file that is no UTF-8 text; None where no signature and no structure tells it."""
    if found := signed(head, text=False):
        return found
    if head.startswith(b"PK\x03\x04"):
        return zipped(head, tail)
    if head.startswith(b"\x7fELF"):
        return _elf(head)
    if head.startswith((b"\0\1\0\0", b"true\0")):
        return "font/sfnt" if _is_font(head) else None
    return next((mime for holds, mime in CHECKS if holds(head)), None)


def has_hdf5(head: bytes) -> bool:
    """Whether HDF5 begins behind a small user block."""
    return any(head.startswith(HDF5, offset) for offset in HDF5_OFFSETS)


def guessed(head: bytes) -> str | None:
    """Return what the library says of a file that is no text; its signatures are short, as `BM` for a picture."""
    found = _known(head)
    if found in ("application/font-sfnt", "application/x-executable"):
        return None
    if found == "image/x-icon":
        count = int.from_bytes(head[4:6], "little")
        found = found if 0 < count < 100 and len(head) > 10 and head[9] == 0 else None
    elif found in ("audio/aac", "audio/mpeg", "video/mpeg", "application/x-compress") and len(head) < 64:
        return None
    return RENAMED.get(found, found) if found else None


def _elf(head: bytes) -> str:
    order: Literal["big", "little"] = "big" if head[5:6] == b"\2" else "little"
    kind = int.from_bytes(head[16:18], order)
    return {1: "application/x-object", 3: "application/x-sharedlib", 4: "application/x-coredump"}.get(
        kind, "application/x-executable"
    )


def _blocked(head: bytes) -> str:
    """Return the type of a gzip file: BAM and the like are gzip by their own definition, others stay gzip."""
    if not BGZF.match(head):
        return "application/gzip"
    with contextlib.suppress(zlib.error):
        first = zlib.decompressobj(31).decompress(head, 4)
        return next((mime for magic, mime in BLOCKED if first == magic), "application/gzip")
    return "application/gzip"


# Branches: one for each kind of archive, in the order in which they are tried.
def zipped(head: bytes, tail: bytes) -> str:
    """Return the type of a zip archive by its first names, and those that its end lists."""
    if match := MIMETYPE.match(head):  # EPUB OCF 4.3, OpenDocument 3.3: the type itself, stored first
        size, more = int.from_bytes(match[1], "little"), int.from_bytes(match[2], "little")
        said = head[38 + more : 38 + more + size]
        if re.fullmatch(rb"application/[\w.+-]{1,100}", said):
            return said.decode()
    first = LOCAL.match(head)
    name = head[30 : 30 + int.from_bytes(first[1], "little")] if first else b""
    if name.endswith(b".npy"):
        return "application/x-npz"
    if name in (b"META-INF/", b"META-INF/MANIFEST.MF"):
        return "application/java-archive"
    if name in (b"[Content_Types].xml", b"_rels/.rels", b"docProps/", b"_rels/") or name.startswith(b"docProps/"):
        named = [head[match.end() :] for match in LOCAL.finditer(head)] + [
            tail[match.end() + 42 :] for match in re.finditer(rb"PK\x01\x02", tail)
        ]
        for start, mime in ZIPPED:
            if any(one.startswith(start) for one in named):
                return mime
    return "application/zip"


def is_old_tar(head: bytes) -> bool:
    """Whether this is a header of tar as it was before `ustar`: its sum is right (tar(5), old-style archives)."""
    if len(head) < 512 or not head[0] or not re.fullmatch(rb" *[0-7]{1,7}[ \0]*", head[148:156]):
        return False
    counted = sum(head[:148]) + 8 * 32 + sum(head[156:512])
    return counted == int(head[148:156].strip(b" \0"), 8)


def is_dicom(head: bytes) -> bool:
    """Whether these are data elements of DICOM without a preamble: three at least, in the order of their tags."""
    at, last = 0, (0, 0)
    for _ in range(3):
        if len(head) < at + 12:
            return False
        group, element, length = struct.unpack_from("<HHI", head, at)
        if group not in (2, 8, 0x10) or (group, element) <= last:
            return False
        last, kind = (group, element), head[at + 4 : at + 6]
        at += 8
        if kind in LONG_VRS:
            length, at = struct.unpack_from("<I", head, at)[0], at + 4
        elif kind in VRS:
            length = struct.unpack_from("<H", head, at - 2)[0]
        if length > len(head) or length % 2:
            return False
        at += length
    return True


def _is_font(head: bytes) -> bool:
    """Whether a table directory follows (OpenType): a number of tables, and a first one with a name."""
    if len(head) < 28 or not 0 < int.from_bytes(head[4:6], "big") < 100:
        return False
    return re.match(rb"[A-Za-z/ 0-9]{4}", head[12:]) is not None


CHECKS: tuple[tuple[Callable[[bytes], object], str], ...] = (
    (has_hdf5, "application/x-hdf5"),
    (ARROW_STREAM.match, "application/vnd.apache.arrow.stream"),
    (is_old_tar, "application/x-tar"),
    (is_dicom, "application/dicom"),
)
