"""Medical images: what DICOM and NIfTI headers say of the image and of its making, and nothing of the person.

A site that wants more than the elements in medical_dicom.ALLOWED adds their keywords as arguments of the command in
the manifest. Headers only, so a file of any size is quick. Needs pydicom and nibabel, each where such files come.
"""

from __future__ import annotations

import functools
import io
import math
import os
import struct
import sys
import warnings
from collections.abc import Iterable
from typing import Any, BinaryIO

import extractor_batch
import extractor_facts as facts
from extractor_open import compression_of, expanding, is_damage

HEAD = 352
HEADER_BYTES = 16 << 20
MAX_EXTENSIONS = 1000
UNPACKED = 8 << 20  # bytes of a compressed DICOM file that are looked at
CODES = ("qform_code", "sform_code", "intent_code", "slice_code")
MAX_LENGTH = 64  # of an element, in a DICOM file without its prefix
# Texts of a NIfTI header in which programs put names, dates and paths
NIFTI_TEXTS = ("descrip", "aux_file", "intent_name", "db_name")


def nifti(file: BinaryIO, size: int | None, more: Iterable[str]) -> dict[str, Any]:
    """Return the document of a NIfTI file; `size` in bytes, None where it is compressed."""
    from nibabel.nifti1 import Nifti1Header, data_type_codes  # noqa: PLC0415
    from nibabel.nifti2 import Nifti2Header  # noqa: PLC0415

    start = file.read(4)
    file.seek(0)
    version = 2 if 540 in struct.unpack("<i", start) + struct.unpack(">i", start) else 1
    header = (
        Nifti2Header(file.read(540), check=False) if version == 2 else Nifti1Header(file.read(348), check=False)
    )
    dimensions = int(header["dim"][0])
    if not 1 <= dimensions <= 7:
        raise ValueError(f"its header tells of {dimensions} dimensions; NIfTI has 1 to 7")
    shape = shape_of(header, dimensions)
    single = bytes(header["magic"].item())[:2] == b"n+"
    code = int(header["datatype"])
    known = code in data_type_codes.value_set("code")
    document: dict[str, Any] = {
        "format": "nifti", "nifti_version": version, "single_file": single,
        "byte_order": "little" if header.endianness == "<" else "big",
        "dim": shape, "pixdim": [number(each) for each in header["pixdim"][1 : dimensions + 1]],
        "datatype": data_type_codes.label[code] if known else f"code {code}", "bitpix": int(header["bitpix"]),
        "vox_offset": number(header["vox_offset"]),
    }  # fmt: skip
    told = {
        "xyz_units": lambda: header.get_xyzt_units()[0],
        "t_units": lambda: header.get_xyzt_units()[1],
        "orientation": lambda: orientation(header),
    }
    told |= {key: functools.partial(header.get_value_label, key) for key in CODES}
    for key, found in told.items():
        try:
            label = str(found()).strip()
        except Exception:  # noqa: BLE001, S112 - a code out of range is left out; nibabel raises KeyError and others
            continue
        if label and not label.startswith("<unknown"):
            document[key] = label
    for key in ("slice_duration", "scl_slope", "scl_inter", "cal_min", "cal_max", "toffset"):
        document[key] = number(header[key])
    document |= {key: text(bytes(header[key].item())) for key in NIFTI_TEXTS if key in more}
    end = document["vox_offset"] if single else HEADER_BYTES
    document["extensions"] = extensions(file, header.endianness, end, version)
    width = (data_type_codes.dtype[code].itemsize if known else 0) or int(header["bitpix"]) / 8
    if min(shape) < 0 or not known:
        document["partial"] = "its dimensions or its data type make no sense"
    elif single and size is not None and (document["vox_offset"] or 0) + math.prod(shape) * width > size:
        document["partial"] = "the file ends within its data"
    units = [document.get("xyz_units", "unknown"), document.get("t_units", "unknown")]
    document |= facts.common(units=[each for each in units if each != "unknown"])
    return {key: value for key, value in document.items() if value is not None}


def shape_of(header: Any, dimensions: int) -> list[int]:
    """Return the extents of an image, also where FreeSurfer wrote one that is too long for its place elsewhere."""
    try:
        return [int(each) for each in header.get_data_shape()]
    except Exception:  # noqa: BLE001 - nibabel's HeaderDataError and others, where it is not there either
        return [int(each) for each in header["dim"][1 : dimensions + 1]]


def orientation(header: Any) -> str:
    """Return where the axes lead; an empty text where the header has no place in space, or one without axes."""
    from nibabel.orientations import aff2axcodes  # noqa: PLC0415

    if not (int(header["qform_code"]) > 0 or int(header["sform_code"]) > 0):
        return ""
    axes = aff2axcodes(header.get_best_affine())
    return "".join(axis or "?" for axis in axes) if any(axes) else ""


def extensions(file: BinaryIO, order: str, end: float | None, version: int) -> list[int]:
    """Return the codes of the header's extensions, whose contents (DICOM, comments) are not looked at.

    They go as far as `end`: to the data, or of a pair to the end of the file of the header.
    """
    codes: list[int] = []
    place = 540 if version == 2 else 348
    file.seek(place)
    place += 4
    if file.read(4)[:1] in {b"", b"\0"}:
        return codes
    while end and place + 8 <= end and len(codes) < MAX_EXTENSIONS:
        file.seek(place)
        packed = file.read(8)
        if len(packed) < 8:
            break
        length, code = struct.unpack(f"{order}ii", packed)
        if length < 16 or place + length > min(end, HEADER_BYTES):
            break
        codes.append(code)
        place += length
    return codes


def number(value: Any) -> float | None:
    """Return a finite number as JSON knows it, as written in single precision; else None."""
    found = float(str(value.item() if hasattr(value, "item") and value.dtype.itemsize > 4 else value))
    return None if not math.isfinite(found) else int(found) if found.is_integer() and abs(found) < 1e15 else found


def text(packed: bytes) -> str:
    """Return a text of fixed length without what pads it."""
    return packed.rstrip(b"\0 ").replace(b"\0", b" ").decode("latin-1")


def is_dicom(head: bytes) -> bool:
    """Return whether a file begins with DICOM's prefix, or (older ones) with an element of group 2 or 8."""
    if head[128:132] == b"DICM":
        return True
    group, element, length = struct.unpack("<HHI", head[:8].ljust(8, b"\xff"))
    explicit = head[4:6] in {b"UL", b"UI", b"CS", b"OB", b"LO", b"SH", b"DA"}
    if head[:2] == b"\0\x08" and head[2:3] == b"\0" and explicit:  # group 8, big-endian
        return True
    return group in {2, 8} and element < 0x100 and (explicit or length <= MAX_LENGTH)


def is_nifti(head: bytes) -> bool:
    """Return whether a file begins with a NIfTI header."""
    return head[344:348] in {b"n+1\0", b"ni1\0"} or head[4:12] in {b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n"}


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    warnings.simplefilter("ignore")  # libraries warn of each odd element
    more = sys.argv[1:]
    with open(path, "rb") as file:  # noqa: PTH123 - starts quicker
        head = file.read(HEAD)
        file.seek(0)
        size = os.fstat(file.fileno()).st_size
        if is_dicom(head):
            import medical_dicom  # noqa: PLC0415 - a batch without DICOM files does not wait for its library

            return medical_dicom.document_of(file, size, more)
        if is_nifti(head):
            return nifti(file, size, more)
        if compression := compression_of(head):
            return packed(file, compression, more)
    raise ValueError("it is neither DICOM nor NIfTI")


def packed(file: BinaryIO, compression: str, more: list[str]) -> dict[str, Any]:
    """Return the document of a file that is compressed as a whole."""
    try:
        with expanding(file, compression) as inner:
            head = inner.read(HEAD)
            inner.seek(0)
            if is_nifti(head):
                return nifti(inner, None, more) | {"compression": compression}
            if is_dicom(head):
                import medical_dicom  # noqa: PLC0415

                content = inner.read(UNPACKED)
                size = len(content) if len(content) < UNPACKED else None
                return medical_dicom.document_of(io.BytesIO(content), size, more) | {"compression": compression}
    except Exception as exc:
        if not is_damage(exc):
            raise
        raise ValueError(f"its compressed content is broken: {exc}") from None
    raise ValueError("it is neither DICOM nor NIfTI")


if __name__ == "__main__":
    extractor_batch.run(facts.told(extract), isolated=True)
