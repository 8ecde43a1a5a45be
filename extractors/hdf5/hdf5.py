"""HDF5 and NetCDF-4: which groups and datasets a file has, of which shapes and types, and what its attributes say.

Reads structure and attributes, never the data, so a file of any size is quick. Needs h5py.
"""

from __future__ import annotations

import numbers
from typing import Any

import extractor_batch
import h5py
import numpy as np

MAX_OBJECTS = 2000  # groups and datasets that are listed
MAX_ATTRIBUTES = 64  # per object
MAX_TEXT = 500  # characters of an attribute's text
MAX_ITEMS = 16  # values of an attribute that is a list
MAX_ATTRIBUTE_BYTES = 1 << 16
# What NetCDF-4 keeps for itself
HIDDEN = {"_Netcdf4Dimid", "_Netcdf4Coordinates", "_NCProperties", "_nc3_strict", "_NCCOPY", "NAME", "CLASS",
          "REFERENCE_LIST", "DIMENSION_LIST", "DIMENSION_LABELS"}  # fmt: skip
UNNAMED_DIMENSION = b"This is a netCDF dimension but not a netCDF variable"


class Walk:
    """One file, object by object. Links are not followed: every object is seen once, and none of another file."""

    def __init__(self) -> None:
        self.groups: list[str] = []
        self.datasets: dict[str, dict[str, Any]] = {}
        self.dimensions: dict[str, int] = {}
        self.attributes: dict[str, dict[str, Any]] = {}
        self.objects = 0

    def visit(self, name: str, thing: Any) -> None:
        """Take one object; returning something would end the walk."""
        self.objects += 1
        if self.objects > MAX_OBJECTS:
            return
        name = clean(name)
        if isinstance(thing, h5py.Dataset):
            self.dataset(name, thing)
        elif isinstance(thing, h5py.Group):
            self.groups.append(name)
            if found := attributes_of(thing):
                self.attributes[name] = found

    def dataset(self, name: str, thing: h5py.Dataset) -> None:
        """Take one dataset; NetCDF's dimensions are datasets too."""
        if is_scale(thing):
            self.dimensions[name] = int(thing.shape[0]) if thing.shape else 0
            if raw_attribute(thing, "NAME").startswith(UNNAMED_DIMENSION):
                return
        found: dict[str, Any] = {
            "dtype": type_name(thing.dtype),
            "shape": list(thing.shape or ()),
            "size": int(thing.size or 0),
        }
        if thing.chunks:
            found["chunks"] = list(thing.chunks)
        if thing.compression:
            found["compression"] = thing.compression
        if attributes := attributes_of(thing):
            found["attributes"] = attributes
        self.datasets[name] = found


def is_scale(thing: h5py.Dataset) -> bool:
    """Whether a dataset is an HDF5 dimension scale, which is how NetCDF-4 keeps dimensions."""
    return raw_attribute(thing, "CLASS").startswith(b"DIMENSION_SCALE")


def raw_attribute(thing: h5py.Dataset, name: str) -> bytes:
    """Return a text attribute's bytes; b"" where there is none that can be read."""
    try:
        value = thing.attrs.get(name, b"")
    except (OSError, TypeError, ValueError, RuntimeError):
        return b""
    return value.encode() if isinstance(value, str) else bytes(value) if isinstance(value, bytes) else b""


def attributes_of(thing: Any) -> dict[str, Any]:
    """Return an object's attributes by name; those that cannot be read or shown are left out."""
    found: dict[str, Any] = {}
    for name in list(thing.attrs)[: MAX_ATTRIBUTES + len(HIDDEN)]:
        if name in HIDDEN or len(found) >= MAX_ATTRIBUTES:
            continue
        try:
            if thing.attrs.get_id(name).get_storage_size() > MAX_ATTRIBUTE_BYTES:
                continue
            value = plain(thing.attrs[name])
        except (OSError, TypeError, ValueError, RuntimeError, KeyError):
            continue
        if value is not None:
            found[clean(name)] = value
    return found


def plain(value: Any) -> Any:  # noqa: PLR0911 - a type a line
    """Return an attribute's value as JSON knows it; None where JSON cannot hold it."""
    if isinstance(value, np.ndarray):
        if value.size == 1:
            return plain(value.reshape(-1)[0])
        parts = [plain(part) for part in value.reshape(-1)[:MAX_ITEMS]]
        return parts if all(part is not None for part in parts) else None
    if isinstance(value, bytes):
        return clean(value.decode("utf-8", "replace"))
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value) if -(1 << 63) <= value < 1 << 63 else float(value)
    if isinstance(value, numbers.Real):
        return float(value) if np.isfinite(value) else None
    return None


def clean(text: str) -> str:
    """Return text that JSON and a database can hold, without the zero bytes that pad fixed lengths."""
    return text.rstrip("\0").replace("\0", " ").encode("utf-8", "replace").decode()[:MAX_TEXT]


def type_name(dtype: np.dtype[Any]) -> str:
    """Return a type in words: float64, string, compound, ..."""
    if h5py.check_string_dtype(dtype) is not None or dtype.kind == "S":
        return "string"
    if h5py.check_enum_dtype(dtype) is not None:
        return "enum"
    if h5py.check_vlen_dtype(dtype) is not None:
        return "variable length"
    if dtype.fields:
        return "compound"
    return "reference" if dtype.kind == "O" else dtype.name


def is_netcdf(file: h5py.File, walk: Walk) -> bool:
    """Whether the file says that the NetCDF library wrote it, or has its dimensions."""
    return "_NCProperties" in file.attrs or bool(walk.dimensions)


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    with h5py.File(path, "r") as file:
        walk = Walk()
        file.visititems(walk.visit)
        document = {
            "format": "netcdf4" if is_netcdf(file, walk) else "hdf5",
            "attributes": attributes_of(file),
            "group_count": len(walk.groups),
            "groups": walk.groups,
            "dataset_count": len(walk.datasets),
            "datasets": list(walk.datasets),
            "dataset": walk.datasets,
        }
        if walk.dimensions:
            document["dimensions"] = walk.dimensions
        if walk.attributes:
            document["group_attributes"] = walk.attributes
        if walk.objects > MAX_OBJECTS:
            document["objects_not_listed"] = walk.objects - MAX_OBJECTS
        return document


if __name__ == "__main__":
    extractor_batch.run(extract)
