#!/usr/bin/env python3
"""Write the samples of the extractor anew: small files of every kind, the same bytes each time."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

MR, CT = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
BIG, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
ROOT = "1.2.826.0.1.3680043.10.999"
LONG = {"OB", "OW", "SQ", "UN", "UT"}
# what must never be in a document
PERSON = [
    (0x0008, 0x0018, "UI", f"{ROOT}.1"), (0x0008, 0x0020, "DA", "20240229"), (0x0008, 0x0050, "SH", "ACC4711"),
    (0x0008, 0x0080, "LO", "Clinic of Nowhere"), (0x0008, 0x0090, "PN", "Referrer^Rita"),
    (0x0008, 0x1030, "LO", "head of Doe"), (0x0010, 0x0010, "PN", "Doe^Jane"), (0x0010, 0x0020, "LO", "ID4712"),
    (0x0010, 0x0030, "DA", "19700101"), (0x0010, 0x0040, "CS", "F"), (0x0010, 0x4000, "LT", "phone 0123"),
    (0x0019, 0x0010, "LO", "VENDOR"), (0x0019, 0x1008, "LO", "Doe private"), (0x0020, 0x000D, "UI", f"{ROOT}.2"),
]  # fmt: skip
IMAGE = [
    (0x0008, 0x0008, "CS", "ORIGINAL\\PRIMARY\\M"), (0x0008, 0x0016, "UI", MR), (0x0008, 0x0060, "CS", "MR"),
    (0x0008, 0x0070, "LO", "Example Devices"), (0x0008, 0x1090, "LO", "Magnet 3000"),
    (0x0018, 0x0015, "CS", "HEAD"), (0x0018, 0x0020, "CS", "GR"), (0x0018, 0x0050, "DS", "1.5"),
    (0x0018, 0x0080, "DS", "2300"), (0x0018, 0x0081, "DS", "2.98"), (0x0018, 0x0087, "DS", "3"),
    (0x0018, 0x1314, "DS", "9"), (0x0020, 0x0037, "DS", "1\\0\\0\\0\\1\\0"), (0x0028, 0x0002, "US", 1),
    (0x0028, 0x0004, "CS", "MONOCHROME2"), (0x0028, 0x0010, "US", 8), (0x0028, 0x0011, "US", 6),
    (0x0028, 0x0030, "DS", "0.5\\0.5"), (0x0028, 0x0100, "US", 16), (0x0028, 0x0101, "US", 12),
    (0x0028, 0x0102, "US", 11), (0x0028, 0x0103, "US", 0), (0x0028, 0x1050, "DS", "600"),
    (0x0028, 0x1051, "DS", "1200"),
]  # fmt: skip


Elements = tuple[tuple[int, int, str, str | int], ...]


def element(
    group: int, number: int, kind: str, value: bytes | str | int, order: str = "<", *, implicit: bool = False
) -> bytes:
    """Return one element of a data set."""
    packed = struct.pack(f"{order}H", value) if isinstance(value, int) else value
    packed = packed.encode() if isinstance(packed, str) else packed
    packed += (b"\0" if kind in {"UI", "OB", "UN"} else b" ") * (len(packed) % 2)
    if implicit:
        return struct.pack(f"{order}HHI", group, number, len(packed)) + packed
    if kind in LONG:
        return struct.pack(f"{order}HH2sHI", group, number, kind.encode(), 0, len(packed)) + packed
    return struct.pack(f"{order}HH2sH", group, number, kind.encode(), len(packed)) + packed


def dataset(syntax: str, elements: Elements = ()) -> bytes:
    """Return the elements of a person and of an image, and `elements` in their place."""
    order, implicit = (">" if syntax == BIG else "<"), syntax == IMPLICIT
    own = {each[:2]: each for each in (*PERSON, *IMAGE, *elements)}
    data = b"".join(element(*own[key], order, implicit=implicit) for key in sorted(own))
    return data + element(0x7FE0, 0x0010, "OW", bytes(96), order, implicit=implicit)


def dicom(syntax: str, elements: Elements = ()) -> bytes:
    """Return a DICOM file."""
    data = dataset(syntax, elements)
    if syntax == DEFLATED:
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        data = packer.compress(data) + packer.flush()
        data += b"\0" * (len(data) % 2)
    meta = element(2, 2, "UI", MR) + element(2, 3, "UI", f"{ROOT}.1") + element(2, 0x10, "UI", syntax)
    return bytes(128) + b"DICM" + element(2, 0, "UL", struct.pack("<I", len(meta))) + meta + data


def directory() -> bytes:
    """Return a DICOMDIR with a record of a person."""
    entity = element(4, 0x1130, "CS", "TESTSET")
    record = element(4, 0x1430, "CS", "PATIENT") + element(0x10, 0x10, "PN", "Doe^Jane")
    records = element(4, 0x1220, "SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(record)) + record)
    meta = element(2, 2, "UI", "1.2.840.10008.1.3.10") + element(2, 0x10, "UI", EXPLICIT)
    prefix = bytes(128) + b"DICM" + element(2, 0, "UL", struct.pack("<I", len(meta)))
    return prefix + meta + entity + records


def nifti(order: str = "<", *, version: int = 1, magic: bytes = b"n+1\0") -> bytes:
    """Return a NIfTI file of 4 x 3 x 2 voxels and 5 times, with a comment as an extension."""
    dim, pixdim = (4, 4, 3, 2, 5, 1, 1, 1), (1.0, 2.0, 2.0, 3.5, 2.2, 0.0, 0.0, 0.0)
    comment = struct.pack(f"{order}ii", 32, 6) + b"scanned Jane Doe".ljust(24, b"\0")
    affine = (-2.0, 0, 0, 90, 0, 2.0, 0, -126, 0, 0, 3.5, -72)
    if version == 2:
        head = struct.pack(
            f"{order}i8s2h8q3d8dq6d2q80s24s2i6d12d3i16sc15s", 540, b"n+2\0\r\n\x1a\n", 16, 32, *dim, 0, 0, 0,
            *pixdim, 544 + len(comment), 1, 0, 0, 0, 0, 0, 0, 0, b"Doe^Jane", b"", 0, 4, *[0.0] * 6, *affine,
            0, 10, 0, b"", b"\0", b"",
        )  # fmt: skip
        return head + b"\1\0\0\0" + comment + bytes(4 * 120)
    head = struct.pack(
        f"{order}i36x8h3fhhhh8ffffhcb4f2i80s24s2h6f12f16s4s", 348, *dim, 0, 0, 0, 0, 16, 32, 0, *pixdim,
        352 + len(comment), 1, 0, 0, b"\0", 10, 0, 0, 0, 0, 0, 0, b"Doe^Jane", b"", 1, 4, *[0.0] * 6, *affine, b"",
        magic,
    )  # fmt: skip
    return head + b"\1\0\0\0" + comment + bytes(4 * 120)


def samples(folder: Path) -> None:
    """Write all samples into `folder`."""
    folder.mkdir(exist_ok=True)
    ct: Elements = ((8, 0x16, "UI", CT), (8, 0x60, "CS", "CT"), (0x18, 0x60, "DS", "120"))
    for name, content in (
        ("mr.dcm", dicom(EXPLICIT)),
        ("implicit.dcm", dicom(IMPLICIT)),
        ("big-endian.dcm", dicom(BIG)),
        ("deflated.dcm", dicom(DEFLATED)),
        ("ct-named.txt", dicom(EXPLICIT, ct)),
        ("no-prefix.dcm", dataset(EXPLICIT)),
        ("mr.dcm.gz", gzip.compress(dicom(EXPLICIT), mtime=0)),
        ("htj2k.dcm", dicom("1.2.840.10008.1.2.4.201")),
        ("DICOMDIR", directory()),
        ("torn.dcm", dicom(EXPLICIT)[:-40]),
        ("brain.nii", nifti()),
        ("brain.nii.gz", gzip.compress(nifti(), mtime=0)),
        ("big-endian.nii", nifti(">")),
        ("brain-2.nii", nifti(version=2)),
        ("pair.hdr", nifti(magic=b"ni1\0")[:348]),
        ("bad-text.dcm", b"no image at all\n" * 40),
        ("bad-header.nii", nifti()[:40] + struct.pack("<h", 99) + nifti()[42:]),
    ):
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    samples(Path(__file__).resolve().parent / "samples")
