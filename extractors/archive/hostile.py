"""Archives that nobody would write on purpose: bombs, absurd headers, archives without end."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

ZEROS = bytes(16 << 20)
LARGE = 2 << 30


def hostile(folder: Path) -> None:
    """Write them into `folder`: small files, or sparse ones of 2 GB."""
    makers = {
        "members-without-end.7z": lambda: seven(b"\x01\x05\xf0\xff\xff\xff\xff" + b"\x11\x01\0" + bytes(2)),
        "folders-without-end.7z": lambda: seven(b"\x01\x04\x07\x0b\xf0\xff\xff\xff\x0f\0"),
        "coders-without-end.7z": lambda: seven(b"\x01\x04\x07\x0b\1\0\xff" + b"\xff" * 8),
        "parts-without-end.7z": lambda: seven(parts()),
        "names.7z": lambda: seven(b"\x01\x05\xe0\0\0\x20" + b"\x11\xe1\0\0\x40\0" + bytes(4 << 20) + b"\0\0"),
        "packed-in-itself.7z": lambda: seven(
            b"\x17\x06\0\1\x09\1\0\x07\x0b\1\0\1\1\x21\x0c\xff" + b"\xff" * 7 + b"\x7f\0\0"
        ),
        "header-of-exabytes.7z": lambda: b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<IQQI", 0, 0, 1 << 62, 0),
        "members.cpio": lambda: (b"070701" + b"0" * 88 + b"00000002" + b"0" * 8 + b"a\0") * 20_000,
        "sizes.cpio": lambda: b"070701" + b"f" * 104 + b"a\0",
        "name.cpio": lambda: b"070707" + b"7" * 70 + b"a\0",
        "bomb.gz": lambda: gzip.compress(ZEROS, 9, mtime=0) * 200,
        "bomb.bz2": lambda: bz2.compress(ZEROS) * 200,
        "bomb.xz": lambda: lzma.compress(ZEROS, preset=0) * 200,
        "bomb.tar.gz": lambda: (
            gzip.compress(header("zeros", LARGE) + ZEROS, 9, mtime=0) + gzip.compress(ZEROS) * 127
        ),
        "members-without-end.gz": lambda: gzip.compress(b"", mtime=0) * 50_000,
        "dictionary-of-4-gigabytes.xz": dictionary,
        "overlapping.zip": overlapping,
        "claims-exabytes.zip": exabytes,
        "count-without-directory.zip": lambda: b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 65_535, 65_535, 3, 0, 0),
        "directory-before-the-file.zip": lambda: b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 9, 9, 4_000_000_000, 7, 0),
        "nested.zip": nested,
        "long-names.zip": long_names,
        "negative-size.tar": negative,
        "name-of-2-gigabytes.tar": lambda: header("././@LongLink", LARGE, b"L"),
        "attributes-of-2-gigabytes.tar": lambda: header("pax", LARGE, b"x"),
        "endless-attributes.tar": lambda: (
            header("pax", 512, b"x") + b"99999999999999999999 a=b\n".ljust(512, b"\0")
        ),
        "headers-only.tar": lambda: header("x" * 90, 0) * 20_000,
        "links-in-a-circle.tar": circle,
        "long-names.tar.gz": lambda: gzip.compress(b"".join(long(n) for n in range(50)), 1, mtime=0),
    }
    for name, make in makers.items():
        (folder / name).write_bytes(make())
    for name in ("name-of-2-gigabytes.tar", "attributes-of-2-gigabytes.tar"):
        os.truncate(folder / name, LARGE)
    with (folder / "sparse.zip").open("wb") as file:
        file.write(b"PK\3\4")
        file.truncate(LARGE)


def large(folder: Path, size_bytes: int) -> Path:
    """Write one compressed tar archive of about `size_bytes`, with members of 16 MB that do not get smaller."""
    path = folder / "large.tar.gz"
    noise = random.Random(1).randbytes(1 << 20) * 16  # noqa: S311 - the window of gzip is 32 kB: no repetition is seen
    packed = gzip.compress(header("noise", len(noise)) + noise, 1, mtime=0)
    with path.open("wb") as file:
        for _ in range(size_bytes // len(packed)):
            file.write(packed)
        file.write(gzip.compress(bytes(2 * tarfile.BLOCKSIZE), mtime=0))
    return path


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return the header of a tar member that claims `size` bytes."""
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


def seven(header: bytes) -> bytes:
    """Return a 7z archive with this header."""
    start = struct.pack("<QQI", 0, len(header), zlib.crc32(header))
    return b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<I", zlib.crc32(start)) + start + header


def parts() -> bytes:
    """Return a header of 7z whose only folder has more members than there are bytes."""
    folder = b"\x04\x06\0\1\x09\1\0\x07\x0b\1\0\1\1\0\x0c\1\0"
    return b"\x01" + folder + b"\x08\x0d\xff" + b"\xff" * 7 + b"\x7f\0\0\0"


def negative() -> bytes:
    """Return a tar archive whose first member leads back to itself."""
    block = bytearray(header("a", 0))
    block[124:136] = struct.pack(">Bxxxq", 0xFF, -1024).replace(b"\0\0\0", b"\xff\xff\xff", 1)
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) * 4


def circle() -> bytes:
    """Return a tar archive with two links that name each other."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, target in (("a", "b"), ("b", "a")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.LNKTYPE, target
            archive.addfile(member)
    return made.getvalue()


def long(number: int) -> bytes:
    """Return a tar member with a name of 60,000 characters."""
    member = tarfile.TarInfo(f"{number}/" + "n" * 60_000)
    return member.tobuf(tarfile.GNU_FORMAT)


def dictionary() -> bytes:
    """Return an xz file that wants a dictionary of 4 GiB (the .xz file format 1.2, 3.1 and 5.3.1)."""
    made = bytearray(lzma.compress(b"small", preset=0))
    length = (made[12] + 1) * 4
    made[12 + 4] = 40
    made[12 + length - 4 : 12 + length] = struct.pack("<I", zlib.crc32(made[12 : 12 + length - 4]))
    return bytes(made)


def entry(name: bytes, packed: int, size: int, extra: bytes = b"") -> bytes:
    """Return an entry of a zip file's central directory; its data begins the file."""
    sizes = (20, 20, 0, 8, 0, 33, 0, packed, size, len(name), len(extra), 0, 0, 0, 0, 0)
    return struct.pack("<4s6H3I5H2I", b"PK\1\2", *sizes) + name + extra


def closed(data: bytes, directory: bytes, count: int) -> bytes:
    """Return a zip file of data and central directory."""
    return data + directory + b"PK\5\6" + struct.pack("<4H2IH", 0, 0, count, count, len(directory), len(data), 0)


def overlapping() -> bytes:
    """Return a zip file whose 5,000 members are the same bytes, and claim 4 GB each."""
    data = zlib.compress(ZEROS, 9)
    return closed(data, b"".join(entry(b"%d" % n, len(data), 4_000_000_000) for n in range(5_000)), 5_000)


def exabytes() -> bytes:
    """Return a zip file whose members claim more than 64 bits can count together."""
    extra = struct.pack("<HHQQ", 1, 16, (1 << 64) - 1, (1 << 64) - 1)
    return closed(b"", entry(b"x", 0xFFFFFFFF, 0xFFFFFFFF, extra) * 3, 3)


def nested() -> bytes:
    """Return a zip file in a zip file, and so on, 12 deep."""
    data = b"deep"
    for _ in range(12):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inner.zip", data)
        data = made.getvalue()
    return data


def long_names() -> bytes:
    """Return a zip file with 300 names of 65,535 bytes that are no text."""
    return closed(b"", b"".join(entry(b"\xff\0" + b"\x80" * 65_533, 0, 0) for _ in range(300)), 300)
