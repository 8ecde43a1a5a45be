"""One HDF5 file, object by object: groups, datasets, attributes, and what conventions say in them."""

from __future__ import annotations

import time
from typing import Any

import h5py
import numpy as np
from hdf5_coverage import MAX_COORDINATES, MAX_ELEMENTS, Coordinate, crs_of, kind_of
from hdf5_values import MAX_ATTRIBUTES, MAX_ITEMS, Room, clean

MAX_OBJECTS = 500  # groups and datasets that are listed
MAX_SEEN = 100_000  # objects that are counted
MAX_NAMES = 500  # of each list of conventions
MAX_ATTRIBUTE_BYTES = 1 << 16
MAX_CHUNK_BYTES = 32 << 20
SECONDS = 15
READING = (OSError, TypeError, ValueError, RuntimeError, KeyError)
# What NetCDF-4 keeps for itself
HIDDEN = {"_Netcdf4Dimid", "_Netcdf4Coordinates", "_NCProperties", "_nc3_strict", "_NCCOPY", "NAME", "CLASS",
          "REFERENCE_LIST", "DIMENSION_LIST", "DIMENSION_LABELS"}  # fmt: skip
UNNAMED_DIMENSION = b"This is a netCDF dimension but not a netCDF variable"
# Fields of NeXus base classes (NXentry, NXsample, NXinstrument, NXsource, NXdetector...) that people search for
NEXUS_FIELDS = {"title", "definition", "start_time", "end_time", "experiment_identifier", "name", "program_name",
                "energy", "incident_energy", "incident_wavelength", "wavelength", "temperature", "probe", "type",
                "description", "chemical_formula", "count_time", "sample_name", "program", "doi"}  # fmt: skip
CONVENTIONS = {"standard_name": "standard_names", "units": "units", "axis": "axes"}


class Walk:
    """One file. Links are not followed: every object is seen once, and none of another file."""

    def __init__(self) -> None:
        self.groups: list[str] = []
        self.datasets: dict[str, dict[str, Any]] = {}
        self.dimensions: dict[str, int] = {}
        self.attributes: dict[str, dict[str, Any]] = {}
        self.class_of: dict[str, str] = {}
        self.fields: dict[str, Any] = {}
        self.named: dict[str, dict[str, None]] = {}
        self.coordinates: list[Coordinate] = []
        self.columns: list[tuple[str, h5py.Dataset]] = []  # datasets with one dimension, for the preview
        self.scaled: dict[str, h5py.Dataset] = {}  # those of `datasets` whose dimensions have scales
        self.named_coordinates: set[str] = set()  # by attributes `coordinates`
        self.crs = ""
        self.room = Room()
        self.objects = self.group_count = self.dataset_count = 0
        self.ends = time.monotonic() + SECONDS
        self.late = self.broken = False

    def visit(self, name: str, thing: Any) -> bool | None:
        """Take one object; returning something ends the walk."""
        self.objects += 1
        self.late = self.late or time.monotonic() > self.ends
        name = clean(name)
        listed = self.objects <= MAX_OBJECTS
        if isinstance(thing, h5py.Dataset):
            self.dataset_count += 1
            if listed:
                self.dataset(name, thing)
            self.conventions(name, thing)
        elif isinstance(thing, h5py.Group):
            self.group_count += 1
            if listed:
                self.groups.append(name)
                attrs = thing.attrs
                if found := self.attributes_of(name, attrs, list(attrs)):
                    self.attributes[name] = found
            nexus = self.attributes.get(name, {}).get("NX_class")
            nexus = nexus if isinstance(nexus, str) else text_attribute(thing, "NX_class")
            if nexus:
                self.class_of[name] = nexus
        return self.late or self.objects >= MAX_SEEN or None

    def over(self, file: h5py.File) -> None:
        """Visit all objects of a file, as h5py's `visititems`, which makes another File for each dataset."""

        def visit(name: bytes) -> bool | None:
            found = h5py.h5o.open(file.id, name)
            try:
                shown: str | bytes = name.decode()
            except UnicodeDecodeError:
                shown = name
            if isinstance(found, h5py.h5d.DatasetID):
                return self.visit(shown, h5py.Dataset(found, readonly=True))
            return self.visit(shown, h5py.Group(found) if isinstance(found, h5py.h5g.GroupID) else None)

        h5py.h5o.visit(file.id, visit)

    def attributes_of(self, path: str, attrs: Any, names: list[str]) -> dict[str, Any]:
        """Return an object's attributes by name, of which there are `names`; what is left out or cut is remembered.

        `attrs` of a file opens it anew each time it is asked for, so it is asked for once.
        """
        found: dict[str, Any] = {}
        for name in names:
            shown = clean(name)
            where = f"{path}@{shown}" if path else shown
            if name in HIDDEN:
                continue
            if len(found) >= MAX_ATTRIBUTES:
                self.room.drop(where)
                continue
            try:
                value = value_of(attrs, name)
            except READING:
                self.room.drop(where)
                continue
            value = "" if isinstance(value, h5py.Empty) else self.room.plain(where, value)
            if value is not None and self.room.take(where, value):
                found[shown] = value
        return found

    def dataset(self, name: str, thing: h5py.Dataset) -> None:
        """Take one dataset; NetCDF's dimensions are datasets too."""
        shape = thing.shape
        if is_scale(thing):
            self.dimensions[name] = int(shape[0]) if shape else 0
            if raw_attribute(thing, "NAME").startswith(UNNAMED_DIMENSION):
                self.dataset_count -= 1
                return
        attrs = thing.attrs
        if "DIMENSION_LIST" in (names := list(attrs)):
            self.scaled[name] = thing
        found: dict[str, Any] = {"dtype": type_name(thing.dtype), "shape": list(shape or ())}
        if (size := int(thing.size or 0)) < 1 << 63:
            found["size"] = size
        found |= storage_of(thing)
        if attributes := self.attributes_of(name, attrs, names):
            found["attributes"] = attributes
        self.datasets[name] = found
        if len(shape or ()) == 1 and len(self.columns) < 40:
            self.columns.append((name, thing))

    def conventions(self, name: str, thing: h5py.Dataset) -> None:
        """Take what CF and NeXus say in one dataset, be it listed or not."""
        listed = self.datasets.get(name)
        if listed is not None:
            attributes = listed.get("attributes", {})
        else:
            attributes = {key: found for key in CONVENTIONS if (found := text_attribute(thing, key))}
        for key, names in CONVENTIONS.items():
            if isinstance(value := attributes.get(key), str) and value:
                self._name(names, value)
        if name.rpartition("/")[2] in NEXUS_FIELDS and (value := small_value(thing)) is not None:
            kept = self.room.plain(name, value)
            if kept is not None and self.room.take(name, kept):
                self.fields[name] = kept
        if listed is None or not attributes:
            return
        self.crs = self.crs or crs_of(attributes)
        if isinstance(words := attributes.get("coordinates"), str):
            self.named_coordinates.update(words.split()[:MAX_NAMES])
        kind = kind_of(name, attributes, [name] if name in self.dimensions else None)
        if kind and len(self.coordinates) < MAX_COORDINATES:
            scalar = thing.shape in ((), (1,))
            self.coordinates.append(Coordinate(kind, name, scalar, attributes, lambda: numbers_of(thing)))

    def _name(self, names: str, value: str) -> None:
        kept = self.named.setdefault(names, {})
        if value in kept or len(kept) < MAX_NAMES:
            kept[value] = None
        else:
            self.room.drop(f"{names}: {value}")

    def classes(self) -> dict[str, list[str]]:
        """Return the paths of the groups of each NeXus class."""
        found: dict[str, list[str]] = {}
        for path, kind in self.class_of.items():
            paths = found.setdefault(kind, [])
            if len(paths) < MAX_NAMES and self.room.take(f"nexus.classes.{kind}", path):
                paths.append(path)
            elif len(paths) >= MAX_NAMES:
                self.room.drop(f"nexus.classes.{kind}")
        return found


def is_readable(thing: h5py.Dataset, most: int) -> bool:
    """Whether a dataset's values lie in this file and are no more than `most` bytes, chunk by chunk too."""
    itemsize = thing.dtype.itemsize
    chunk = itemsize * int(np.prod(thing.chunks, dtype="f8")) if thing.chunks else 0
    outside = bool(thing.external) or thing.is_virtual
    return not outside and 0 < (thing.size or 0) * itemsize <= most and chunk <= max(most, MAX_CHUNK_BYTES)


def numbers_of(thing: h5py.Dataset) -> Any:
    """Return the numbers of a dataset; None where it has none, too many, or some that cannot be read."""
    try:
        if thing.dtype.kind not in "iuf" or not is_readable(thing, 8 * MAX_ELEMENTS):
            return None
        return np.asarray(thing[()])
    except READING:
        return None


def small_value(thing: h5py.Dataset) -> Any:
    """Return the one value of a dataset that lies in this file; None for any other."""
    try:
        if thing.size != 1 or not is_readable(thing, MAX_ATTRIBUTE_BYTES):
            return None
        if thing.chunks and np.prod(thing.chunks, dtype="f8") > MAX_ATTRIBUTE_BYTES:
            return None
        return np.asarray(thing[()])
    except READING:
        return None


def value_of(attrs: Any, name: str) -> Any:
    """Return an attribute's value, as h5py's `attrs` has it, which opens each one anew and makes more of it.

    Raises:
        ValueError: it is too large.
    """
    one = attrs.get_id(name)
    if one.get_storage_size() > MAX_ATTRIBUTE_BYTES:
        raise ValueError(f"it has more than {MAX_ATTRIBUTE_BYTES} bytes")
    shape, dtype = one.shape, one.dtype
    text = dtype.kind == "O" and shape == () and h5py.check_string_dtype(dtype) is not None
    if shape is None or not (text or dtype.kind in "iufS"):
        return attrs[name]
    values = np.zeros(shape, dtype)
    one.read(values)
    value = values if values.ndim else values[()]
    return value.decode("utf-8", "surrogateescape") if text else value


def storage_of(thing: h5py.Dataset) -> dict[str, Any]:
    """Return how a dataset is stored: in which chunks, through which filters, how compressed."""
    found: dict[str, Any] = {"chunks": list(chunks)} if (chunks := thing.chunks) else {}
    if filters := filters_of(thing):
        found["filters"] = filters
    if filters and (compression := thing.compression):
        found["compression"] = compression
        if isinstance(level := thing.compression_opts, int):
            found["compression_level"] = level
    return found


def filters_of(thing: h5py.Dataset) -> list[str]:
    """Return the names of the filters that a dataset's chunks went through."""
    settings = thing.id.get_create_plist()
    found = [settings.get_filter(place) for place in range(min(settings.get_nfilters(), MAX_ITEMS))]
    return [clean(name.decode("utf-8", "replace")) or f"filter {number}" for number, _, _, name in found]


def dimensions_of(name: str, thing: h5py.Dataset | None, scales: dict[str, int]) -> list[str]:
    """Return the names of a dataset's dimensions, "" for one without; none of one without any scale (None)."""
    if thing is None:
        return [name] if name in scales else []
    found = []
    for dimension in list(thing.dims)[:32]:
        scale = dimension[0] if len(dimension) else None
        found.append(clean((scale.name or "").lstrip("/")) if scale is not None else "")
    return found


def is_scale(thing: h5py.Dataset) -> bool:
    """Whether a dataset is an HDF5 dimension scale, which is how NetCDF-4 keeps dimensions."""
    return raw_attribute(thing, "CLASS").startswith(b"DIMENSION_SCALE")


def raw_attribute(thing: Any, name: str) -> bytes:
    """Return a text attribute's bytes; b"" where there is none that can be read."""
    try:
        attrs = thing.attrs
        if name not in attrs:  # which takes less time than an exception
            return b""
        value = attrs[name]
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(-1)[0]
    except READING:
        return b""
    return (
        value.encode("utf-8", "replace")
        if isinstance(value, str)
        else bytes(value)
        if isinstance(value, bytes)
        else b""
    )


def text_attribute(thing: Any, name: str) -> str:
    """Return a text attribute; empty where there is none that can be read."""
    return clean(raw_attribute(thing, name).decode("utf-8", "replace"))


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
