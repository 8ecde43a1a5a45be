"""HDF5 and NetCDF: which groups and datasets a file has, of which shapes and types, and what its attributes say.

Reads structure and attributes, never the data, so a file of any size is quick. What CF and NeXus, the conventions
of climate research and of beamlines, say of a file stands in keys of their own. NetCDF classic has its module,
hdf5_netcdf3.py.
"""

from __future__ import annotations

import numbers
from typing import Any

import extractor_batch
import h5py
import numpy as np
from hdf5_netcdf3 import Header

MAX_OBJECTS = 500  # groups and datasets that are listed
MAX_SEEN = 100_000  # objects that are counted
MAX_ATTRIBUTES = 64  # per object
MAX_VALUES = 4000  # attributes of a whole file
MAX_TEXT = 500  # characters of an attribute's text
MAX_ITEMS = 16  # values of an attribute that is a list
MAX_ATTRIBUTE_BYTES = 1 << 16
CLASSIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05")
# What NetCDF-4 keeps for itself
HIDDEN = {"_Netcdf4Dimid", "_Netcdf4Coordinates", "_NCProperties", "_nc3_strict", "_NCCOPY", "NAME", "CLASS",
          "REFERENCE_LIST", "DIMENSION_LIST", "DIMENSION_LABELS"}  # fmt: skip
UNNAMED_DIMENSION = b"This is a netCDF dimension but not a netCDF variable"
# Fields of NeXus base classes (NXentry, NXsample, NXinstrument, NXsource, NXdetector...) that people search for
NEXUS_FIELDS = {"title", "definition", "start_time", "end_time", "experiment_identifier", "name", "program_name",
                "energy", "incident_energy", "incident_wavelength", "wavelength", "temperature", "probe", "type",
                "description", "chemical_formula", "count_time"}  # fmt: skip


class Walk:
    """One file, object by object. Links are not followed: every object is seen once, and none of another file."""

    def __init__(self) -> None:
        self.groups: list[str] = []
        self.datasets: dict[str, dict[str, Any]] = {}
        self.dimensions: dict[str, int] = {}
        self.attributes: dict[str, dict[str, Any]] = {}
        self.classes: dict[str, list[str]] = {}
        self.fields: dict[str, Any] = {}
        self.objects = self.values = 0

    def visit(self, name: str, thing: Any) -> bool | None:
        """Take one object; returning something ends the walk."""
        self.objects += 1
        if self.objects > MAX_OBJECTS:
            return self.objects >= MAX_SEEN or None
        name = clean(name)
        if isinstance(thing, h5py.Dataset):
            self.dataset(name, thing)
        elif isinstance(thing, h5py.Group):
            self.groups.append(name)
            if found := self.attributes_of(thing):
                self.attributes[name] = found
            if isinstance(nexus := found.get("NX_class"), str):
                self.classes.setdefault(nexus, []).append(name)
        return None

    def attributes_of(self, thing: Any) -> dict[str, Any]:
        """Return an object's attributes as long as the file has not too many."""
        found = attributes_of(thing) if self.values < MAX_VALUES else {}
        self.values += sum(len(value) if isinstance(value, list) else 1 for value in found.values())
        return found

    def dataset(self, name: str, thing: h5py.Dataset) -> None:
        """Take one dataset; NetCDF's dimensions are datasets too."""
        if is_scale(thing):
            self.dimensions[name] = int(thing.shape[0]) if thing.shape else 0
            if raw_attribute(thing, "NAME").startswith(UNNAMED_DIMENSION):
                return
        found: dict[str, Any] = {"dtype": type_name(thing.dtype), "shape": list(thing.shape or ())}
        if (size := int(thing.size or 0)) < 1 << 63:
            found["size"] = size
        if thing.chunks:
            found["chunks"] = list(thing.chunks)
        if filters := filters_of(thing):
            found["filters"] = filters
        if thing.compression:
            found["compression"] = thing.compression
            if isinstance(thing.compression_opts, int):
                found["compression_level"] = thing.compression_opts
        if attributes := self.attributes_of(thing):
            found["attributes"] = attributes
        self.datasets[name] = found
        if name.rpartition("/")[2] in NEXUS_FIELDS and (value := small_value(thing)) is not None:
            self.fields[name] = value


def filters_of(thing: h5py.Dataset) -> list[str]:
    """Return the names of the filters that a dataset's chunks went through."""
    settings = thing.id.get_create_plist()
    found = [settings.get_filter(place) for place in range(min(settings.get_nfilters(), MAX_ITEMS))]
    return [clean(name.decode("utf-8", "replace")) or f"filter {number}" for number, _, _, name in found]


def small_value(thing: h5py.Dataset) -> Any:
    """Return the one value of a dataset that lies in this file, uncompressed; None for any other."""
    if (
        thing.size != 1
        or thing.chunks
        or thing.external
        or thing.is_virtual
        or thing.dtype.itemsize > MAX_ATTRIBUTE_BYTES
    ):
        return None
    try:
        return plain(np.asarray(thing[()]))
    except (OSError, TypeError, ValueError, RuntimeError):
        return None


def dimensions_of(thing: h5py.Dataset, scales: dict[str, int]) -> list[str]:
    """Return the names of a dataset's dimensions, "" for one without; empty where it has no scales at all."""
    if not scales or "DIMENSION_LIST" not in thing.attrs:
        return [clean(thing.name.lstrip("/"))] if is_scale(thing) else []
    found = []
    for dimension in list(thing.dims)[:32]:
        scale = dimension[0] if len(dimension) else None
        found.append(clean((scale.name or "").lstrip("/")) if scale is not None else "")
    return found


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


def conventions(document: dict[str, Any], walk: Walk | None) -> dict[str, Any]:
    """Return what CF and NeXus say of a file, in keys of their own."""
    found: dict[str, Any] = {}
    if isinstance(named := document["attributes"].get("Conventions"), str):
        found["conventions"] = [word for word in named.replace(",", " ").split() if word][:MAX_ITEMS]
    named_by: dict[str, dict[str, None]] = {}
    for dataset in document["dataset"].values():
        for key, name in (("standard_name", "standard_names"), ("units", "units"), ("axis", "axes")):
            if isinstance(value := dataset.get("attributes", {}).get(key), str):
                named_by.setdefault(name, {})[value] = None
    found |= {name: list(values)[:100] for name, values in named_by.items()}
    if walk and walk.classes:
        found["nexus"] = {"classes": walk.classes, "fields": walk.fields}
    return found


def hdf5(path: str) -> dict[str, Any]:
    """Return the document of an HDF5 or NetCDF-4 file."""
    with h5py.File(path, "r") as file:
        walk, partial = Walk(), ""
        top = walk.attributes_of(file)
        try:
            file.visititems(walk.visit)
            for name, dataset in walk.datasets.items():
                if names := dimensions_of(file[name], walk.dimensions):
                    dataset["dimensions"] = names
        except (OSError, RuntimeError, ValueError, KeyError, TypeError) as exc:
            if not walk.objects:
                raise
            partial = f"an object cannot be read: {clean(str(exc))}"
        document = {
            "format": "netcdf4" if is_netcdf(file, walk) else "hdf5",
            "attributes": top,
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
    if walk.values >= MAX_VALUES:
        partial = partial or f"attributes beyond {MAX_VALUES} are left out"
    if walk.objects >= MAX_SEEN:
        partial = partial or f"only {MAX_SEEN} objects are counted"
    return {**document, **conventions(document, walk), **({"partial": partial} if partial else {})}


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    with open(path, "rb") as file:  # noqa: PTH123 - h5py takes paths as text
        start = file.read(4)
        file.seek(0)
        if start in CLASSIC:
            document = Header(file).document()
            return {**document, **conventions(document, None)}
    if not h5py.is_hdf5(path):
        raise ValueError("it is neither HDF5 nor NetCDF")
    return hdf5(path)


if __name__ == "__main__":
    extractor_batch.run(extract, isolated=True)
