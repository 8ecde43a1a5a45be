"""Medical images that nobody would write on purpose: bombs, absurd lengths and dimensions, endless nesting."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

LARGE = 2 << 30
ENDLESS = 0xFFFFFFFF
ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, ENDLESS)
SEQUENCE = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, ENDLESS)


def hostile(folder: Path) -> None:
    """Write them into `folder`: small files, or sparse ones of 2 GB."""
    rows, modality = short(0x0028, 0x0010, b"US", b"\x08\0"), short(0x0008, 0x0060, b"CS", b"MR")
    extended = nifti((1, *[1] * 7), offset=3e9) + b"\1\0\0\0"
    makers = {
        "bomb-deflated.dcm": dicom(inflating(modality + rows), "1.2.840.10008.1.2.1.99"),
        "no-deflate.dcm": dicom(b"\xff" * 100, "1.2.840.10008.1.2.1.99"),
        "nested.dcm": dicom(modality + (SEQUENCE + ITEM) * 20_000),
        "items-without-end.dcm": dicom(modality + SEQUENCE + struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 1_000_000),
        "element-of-4-gigabytes.dcm": dicom(modality + long(0x0008, 0x0070, b"UT", ENDLESS - 1)),
        "meta-of-4-gigabytes.dcm": bytes(128) + b"DICM" + long(0x0002, 0x0001, b"OB", ENDLESS - 1) + rows,
        "many-elements.dcm": dicom(modality + short(0x0009, 0x1001, b"LO", b"x ") * 500_000),
        "wild-numbers.dcm": dicom(
            modality + short(0x0018, 0x0050, b"DS", b"1e999999") + short(0x0018, 0x0081, b"DS", b"NaN ") + rows
            + short(0x0018, 0x1152, b"IS", b"9" * 400)
            + short(0x0018, 0x9087, b"FD", struct.pack("<d", float("inf")))
        ),
        "odd-text.dcm": dicom(short(0x0008, 0x0005, b"CS", b"NO_SUCH_SET\\\\ISO 2022 IR 999 ") + modality
                              + short(0x0008, 0x0070, b"LO", b"\xff\xfe\x1b$B\0\x1b(") + rows),
        "many-values.dcm": dicom(modality + short(0x0018, 0x0050, b"DS", b"1\\" * 30_000) + rows),
        "wrong-syntax.dcm": dicom(modality + rows, "1.2.840.10008.1.2.2"),
        "nothing.dcm": bytes(128) + b"DICM",
        "dimensions.nii": nifti((7, *[32_767] * 7)),
        "negative.nii": nifti((3, -5, -5, -5, 0, 0, 0, 0)),
        "wild-offset.nii": nifti((1, 1, 1, 1, 1, 1, 1, 1), offset=float("inf")) + b"\1\0\0\0" + bytes(99),
        "odd-codes.nii": nifti((1, 1, 1, 1, 1, 1, 1, 1), datatype=32_000) + bytes(99),
        "extensions-without-end.nii": extended + struct.pack("<2i8x", 16, 6) * 100_000,
        "extension-of-0.nii": extended + struct.pack("<2i", 0, 6),
        "extension-of-less.nii": extended + struct.pack("<2i", -16, 6),
        "bomb.nii.gz": gzip.compress(extended + bytes(64 << 20), 9, mtime=0),
        "torn.nii.gz": gzip.compress(nifti((3, 9, 9, 9, 1, 1, 1, 1)), mtime=0)[:40],
    }  # fmt: skip
    for name, content in makers.items():
        (folder / name).write_bytes(content)
    for name, start in (("sparse.dcm", dicom(modality)), ("sparse.nii", nifti((3, 999, 999, 999, 1, 1, 1, 1)))):
        with (folder / name).open("wb") as file:
            file.write(start)
            file.truncate(LARGE)


def large(folder: Path, size_bytes: int) -> Path:
    """Write one DICOM file with pixels of about `size_bytes`; they are a hole."""
    path = folder / "large.dcm"
    modality = short(0x0008, 0x0060, b"CS", b"MR")
    with path.open("wb") as file:
        file.write(dicom(modality + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, size_bytes)))
        file.truncate(file.tell() + size_bytes)
    return path


def short(group: int, number: int, kind: bytes, value: bytes) -> bytes:
    """Return an element whose length has two bytes."""
    return struct.pack("<HH2sH", group, number, kind, len(value)) + value


def long(group: int, number: int, kind: bytes, length: int) -> bytes:
    """Return the beginning of an element that claims `length` bytes."""
    return struct.pack("<HH2sHI", group, number, kind, 0, length)


def dicom(data: bytes, syntax: str = "1.2.840.10008.1.2.1") -> bytes:
    """Return a DICOM file with these elements."""
    meta = short(0x0002, 0x0010, b"UI", syntax.encode() + b"\0" * (len(syntax) % 2))
    return bytes(128) + b"DICM" + short(0x0002, 0x0000, b"UL", struct.pack("<I", len(meta))) + meta + data


def inflating(data: bytes) -> bytes:
    """Return elements, and a private one of 256 MB behind them, deflated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(data + long(0x0029, 0x1001, b"OB", 256 << 20))
    for _ in range(64):
        packed += packer.compress(bytes(4 << 20))
    return packed + packer.flush()


def nifti(dim: tuple[int, ...], datatype: int = 4, offset: float = 352) -> bytes:
    """Return the 348 bytes of a NIfTI-1 header."""
    head = struct.pack("<i36x8h", 348, *dim) + bytes(14) + struct.pack("<hhh", datatype, 16, 0)
    head += struct.pack("<8f", *[float("nan")] * 8) + struct.pack("<f", offset)
    return head.ljust(344, b"\xff") + b"n+1\0"
