"""HDF5 and NetCDF: which groups and datasets a file has, of which shapes and types, and what its attributes say.

Reads structure and attributes; of the data only coordinates and short columns, so a file of any size is quick. What
CF and NeXus, the conventions of climate research and of beamlines, say of a file stands in keys of their own.
NetCDF classic has its module, hdf5_netcdf3.py. Gzip is seen through.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from typing import Any, BinaryIO

import extractor_batch
import extractor_facts as facts
import extractor_threads  # noqa: F401 - before numpy
import h5py
from extractor_open import compression_of, content_of
from hdf5_common import from_attributes, from_nexus
from hdf5_coverage import coverage
from hdf5_netcdf3 import Header
from hdf5_preview import head_of, preview
from hdf5_values import clean
from hdf5_walk import MAX_OBJECTS, MAX_SEEN, READING, SECONDS, Walk, dimensions_of, is_readable, numbers_of

MAX_UNPACKED = 96 << 20  # bytes of a compressed file
CUT_OFF = re.compile(r"truncated file: eof = (\d+),.* stored_eof = (\d+)")
PREFIX = "Unable to synchronously open file "
CLASSIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05")


def conventions(document: dict[str, Any]) -> dict[str, Any]:
    """Return what the file says that it follows."""
    if not isinstance(named := document["attributes"].get("Conventions"), str):
        return {}
    return {"conventions": [word for word in named.replace(",", " ").split() if word]}


def opened_file(opened: str | BinaryIO) -> h5py.File:
    """Return the open file. Raises ValueError: HDF5 refuses it, with the reason in plain words."""
    try:
        return h5py.File(opened, "r")
    except OSError as exc:
        if exc.errno:
            raise
        reason = clean(str(exc))
        if cut := CUT_OFF.search(reason):
            raise ValueError(f"it is cut off: it has {cut[1]} of {cut[2]} bytes") from exc
        raise ValueError(f"HDF5 cannot open it: {reason.removeprefix(PREFIX).strip('()')}") from exc


def hdf5(opened: str | BinaryIO) -> dict[str, Any]:
    """Return the document of an HDF5 or NetCDF-4 file."""
    with opened_file(opened) as file:
        walk, reasons = Walk(), []
        attrs = file.attrs
        names = list(attrs)
        top = walk.attributes_of("", attrs, names)
        try:
            walk.over(file)
            for name, dataset in walk.datasets.items() if walk.dimensions else ():
                if names := dimensions_of(name, walk.scaled.get(name), walk.dimensions):
                    dataset["dimensions"] = names
        except READING as exc:
            if not walk.objects:
                raise
            reasons.append(f"an object cannot be read: {clean(str(exc))}")
        # The NetCDF library says that it has written a file, or has its dimensions there.
        netcdf = "_NCProperties" in names or walk.dimensions
        document: dict[str, Any] = {
            "format": "netcdf4" if netcdf else "hdf5",
            "attributes": top,
            "group_count": walk.group_count,
            "groups": walk.groups,
            "dataset_count": walk.dataset_count,
            "datasets": list(walk.datasets),
            "dataset": walk.datasets,
        }
        if walk.dimensions:
            document["dimensions"] = walk.dimensions
        if walk.attributes:
            document["group_attributes"] = walk.attributes
        document |= conventions(document) | {key: list(values) for key, values in walk.named.items()}
        said = from_attributes(top)
        if walk.class_of:
            document["nexus"] = {"classes": walk.classes(), "fields": walk.fields}
            said.pop("creator", None)
            said |= from_nexus(walk.class_of, walk.fields, top)
        said |= coverage(walk.coordinates, walk.named_coordinates, said)
        document |= facts.common(**said, crs=walk.crs, units=document.get("units"))
        columns = [(name, int(thing.size), lambda thing=thing: numbers_of(thing)) for name, thing in walk.columns]
        document |= preview(document, columns, table_of(thing for _, thing in walk.columns))
        return document | left_out(walk, reasons)


def table_of(columns: Iterable[h5py.Dataset]) -> dict[str, Any] | None:
    """Return the head of the first dataset that is a table."""
    for thing in columns:
        try:
            if thing.dtype.names and is_readable(thing, 64 << 20):
                return head_of(thing[: facts.MAX_ROWS])
        except READING:
            continue
    return None


def left_out(walk: Walk, reasons: list[str]) -> dict[str, Any]:
    """Return what of a file is not in its document, and why."""
    found: dict[str, Any] = {}
    if walk.objects > MAX_OBJECTS:
        found["objects_not_listed"] = walk.objects - MAX_OBJECTS
        reasons.append(f"of {walk.objects} groups and datasets {MAX_OBJECTS} are listed")
    if walk.late:
        reasons.append(f"objects are counted as far as {SECONDS} s go")
    elif walk.objects >= MAX_SEEN:
        reasons.append(f"only {MAX_SEEN} objects are counted")
    if reason := walk.room.reason():
        reasons.append(reason)
    return found | ({"partial": "; ".join(reasons)} if reasons else {})


def classic(file: BinaryIO) -> dict[str, Any]:
    """Return the document of a file of NetCDF classic."""
    header = Header(file)
    document = header.document()
    document |= conventions(document) | header.conventions()
    said = from_attributes(document["attributes"])
    said |= coverage(header.coordinates(), header.named_coordinates(), said)
    document |= facts.common(**said, crs=header.crs(), units=document.get("units"))
    return document | preview(document, header.columns(), None)


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    with open(path, "rb") as file:  # noqa: PTH123 - h5py takes paths as text
        start = file.read(16)
        file.seek(0)
        if start[:4] in CLASSIC:
            return classic(file)
        if compression := compression_of(start):
            content = content_of(file, compression, MAX_UNPACKED)
            if not content.startswith((b"\x89HDF", b"CDF", b"\0")):
                raise ValueError("it is neither HDF5 nor NetCDF")
            kind = classic if content[:4] in CLASSIC else hdf5
            return kind(io.BytesIO(content)) | {"compression": compression}
    if not h5py.is_hdf5(path):
        raise ValueError("it is neither HDF5 nor NetCDF")
    return hdf5(path)


if __name__ == "__main__":
    extractor_batch.run(facts.told(extract), isolated=True)
