"""Grids: GRIB 1 and 2 by ecCodes, Zarr by its metadata, HDF4 by its library; data are passed over."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO

import extractor_batch
import extractor_facts as facts
from extractor_open import compression_of, content_of

SECONDS = 20
HDF4 = b"\x0e\x03\x13\x01"
MAX_UNPACKED = 96 << 20  # bytes of a compressed file
MEMORY = "/dev/shm"  # noqa: S108 - where the libraries, which want a file, find what is unpacked
MAX_SKIPPED = 4096  # bytes in front of the first message of GRIB
Found = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]


def read(path: str, file: BinaryIO, reasons: list[str]) -> Found:
    """Return the document of a file, its common facts, and its parts for `preview`.

    Raises:
        ValueError: it is none that is read.
    """
    head = file.read(MAX_SKIPPED)
    file.seek(0)
    if head.startswith(HDF4):
        from grid_hdf4 import hdf4  # noqa: PLC0415 - each kind of file imports what it needs

        return hdf4(path, reasons)
    if b"GRIB" in head and not head.startswith(b"PK"):
        from grid_grib import grib  # noqa: PLC0415

        return grib(file, reasons)
    from grid_zarr import MAX_BYTES, archived, one_file  # noqa: PLC0415

    if head.startswith(b"PK\x03\x04"):
        return archived(file, reasons).document()
    if head.lstrip()[:1] == b"{":
        try:
            return one_file(file.read(MAX_BYTES + 1), reasons).document()
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
    raise ValueError("it is not a grid: neither GRIB, Zarr nor HDF4")


@contextlib.contextmanager
def opened(path: str, document: dict[str, Any]) -> Iterator[tuple[str, BinaryIO]]:
    """Open a file, and give a path of it; one that is compressed as a whole is unpacked into memory first."""
    with open(path, "rb") as file:  # noqa: PTH123 - starts quicker
        compression = compression_of(file.read(16))
        file.seek(0)
        if not compression:
            yield path, file
            return
        document["compression"] = compression
        content = content_of(file, compression, MAX_UNPACKED)
    with tempfile.TemporaryFile(dir=MEMORY) as unpacked:
        unpacked.write(content)
        unpacked.seek(0)
        del content
        yield f"/proc/self/fd/{unpacked.fileno()}", unpacked


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    reasons: list[str] = []
    packed: dict[str, Any] = {}
    with opened(path, packed) as (place, file):
        try:
            with extractor_batch.within(SECONDS):
                document, said, shown = read(place, file, reasons)
        except extractor_batch.OutOfTime:
            raise ValueError(f"reading it took longer than {SECONDS} s") from None
    document |= packed
    document |= facts.common(**said)
    document |= facts.preview(**shown)
    return document | ({"partial": "; ".join(dict.fromkeys(reasons))[:4000]} if reasons else {})


if __name__ == "__main__":
    extractor_batch.run(facts.told(extract), isolated=True)
