"""NetCDF classic (versions 1, 2 and 5): dimensions, attributes and variables, from the header alone.

Follows the grammar of the format in the NetCDF User's Guide, appendix "File Format Specifications".
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
from hdf5_coverage import MAX_COORDINATES, MAX_ELEMENTS, Coordinate, crs_of, kind_of
from hdf5_values import MAX_ITEMS, MAX_TEXT, Room, plain
from hdf5_values import clean as shown

MAX_HEADER = 16 << 20
MAX_LIST = 100_000  # dimensions, variables or attributes that are read
MAX_LISTED = 500  # variables that are listed
MAX_RECORDS = 200_000  # of a variable whose values lie apart
TAGS = {10: "dimensions", 11: "variables", 12: "attributes"}
# nc_type: (name, format, bytes)
TYPES = {
    1: ("int8", "b", 1), 2: ("char", "s", 1), 3: ("int16", "h", 2), 4: ("int32", "i", 4), 5: ("float32", "f", 4),
    6: ("float64", "d", 8), 7: ("uint8", "B", 1), 8: ("uint16", "H", 2), 9: ("uint32", "I", 4),
    10: ("int64", "q", 8), 11: ("uint64", "Q", 8),
}  # fmt: skip


class Header:
    """The header of one file, read from its beginning to its end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._data = file.read(MAX_HEADER)
        self._at = 4
        self.version = self._data[3]
        self._count = ">q" if self.version == 5 else ">i"
        self.room = Room()
        self.records = self.record_bytes = 0
        self.variables: dict[str, dict[str, Any]] = {}
        self._places: dict[str, tuple[int, bool]] = {}  # where values begin, and whether they are in records
        self._sizes: list[int] = []  # of the variables that are in records

    def document(self) -> dict[str, Any]:
        """Return what the header says.

        Raises:
            ValueError: it is broken before its variables begin.
        """
        self.records = max(self._number(), 0)
        dimensions = list(self._list("dimensions", self._dimension))
        attributes = self._attributes("")
        found: dict[str, Any] = {
            "format": "netcdf3",
            "attributes": attributes,
            "dimensions": {name: length or self.records for name, length in dimensions},
        }
        if unlimited := [name for name, length in dimensions if not length]:
            found["unlimited"] = unlimited
        reasons = []
        try:
            for name, variable in self._list("variables", lambda: self._variable(dimensions)):
                self.variables[name] = variable
        except ValueError as exc:
            reasons.append(f"{exc}")
        listed = dict(list(self.variables.items())[:MAX_LISTED])
        found |= {"dataset_count": len(self.variables), "datasets": list(listed), "dataset": listed}
        if len(self.variables) > MAX_LISTED:
            found["objects_not_listed"] = len(self.variables) - MAX_LISTED
            reasons.append(f"of {len(self.variables)} variables {MAX_LISTED} are listed")
        reasons += [reason] if (reason := self.room.reason()) else []
        return found | ({"partial": "; ".join(reasons)} if reasons else {})

    def conventions(self) -> dict[str, list[str]]:
        """Return what CF's attributes of all variables say."""
        found: dict[str, dict[str, None]] = {}
        for one in self.variables.values():
            for key, names in (("standard_name", "standard_names"), ("units", "units"), ("axis", "axes")):
                if isinstance(value := one.get("attributes", {}).get(key), str) and value:
                    found.setdefault(names, {})[value] = None
        return {names: list(values)[:MAX_LISTED] for names, values in found.items()}

    def crs(self) -> str:
        """Return the coordinate system; empty where none is told."""
        return next((found for one in self.variables.values() if (found := crs_of(one.get("attributes", {})))), "")

    def coordinates(self) -> Iterator[Coordinate]:
        """Yield what says when and where."""
        count = 0
        for name, one in self.variables.items():
            kind = kind_of(name, attributes := one.get("attributes", {}), one["dimensions"])
            if kind and count < MAX_COORDINATES:
                count += 1
                scalar = one["shape"] in ([], [1])
                yield Coordinate(kind, name, scalar, attributes, lambda name=name: self.values(name))

    def named_coordinates(self) -> set[str]:
        """Return the names in attributes `coordinates`."""
        words = (one.get("attributes", {}).get("coordinates") for one in self.variables.values())
        return {name for each in words if isinstance(each, str) for name in each.split()}

    def columns(self) -> list[tuple[str, int, Callable[[], Any]]]:
        """Return name, size and reader of the variables with one dimension."""
        found = [(name, one["shape"][0]) for name, one in self.variables.items() if len(one["shape"]) == 1]
        return [(name, size, lambda name=name: self.values(name)) for name, size in found[:40]]

    def values(self, name: str) -> Any:
        """Return the numbers of a variable; None where it has none, too many, or is cut off."""
        one, (begin, in_records) = self.variables[name], self._places[name]
        form = next((form for kind, form, _ in TYPES.values() if kind == one["dtype"] and kind != "char"), "")
        shape, dtype = one["shape"], np.dtype(f">{form}") if form else None
        if dtype is None or not 0 < math.prod(shape) <= MAX_ELEMENTS:
            return None
        if not in_records:
            data = self._read(begin, math.prod(shape) * dtype.itemsize)
        elif self.records > MAX_RECORDS:
            return None
        else:
            size = math.prod(shape[1:]) * dtype.itemsize
            places = range(begin, begin + self.records * self.record_bytes, self.record_bytes or 1)
            data = b"".join(self._read(place, size) for place in places)
        if len(data) != math.prod(shape) * dtype.itemsize:
            return None
        return np.frombuffer(data, dtype).astype(dtype.newbyteorder("=")).reshape(shape)

    def _read(self, place: int, size: int) -> bytes:
        if place < 0:
            return b""
        self._file.seek(place)
        return self._file.read(size)

    def _take(self, length: int) -> bytes:
        if not 0 <= length <= len(self._data) - self._at:
            raise ValueError(f"the NetCDF header ends before byte {self._at + length}")
        self._at += length
        return self._data[self._at - length : self._at]

    def _number(self, form: str = "") -> int:
        form = form or self._count
        return int(struct.unpack(form, self._take(struct.calcsize(form)))[0])

    def _name(self) -> str:
        raw = self._take(length := self._number())
        self._take(-length % 4)
        return clean(raw)

    def _list(self, what: str, one: Callable[[], Any]) -> Iterator[Any]:
        tag, count = self._number(">i"), self._number()
        if tag == 0 and count == 0:
            return
        if TAGS.get(tag) != what:
            raise ValueError(f"the NetCDF header has tag {tag} where its {what} should be")
        if not 0 <= count <= MAX_LIST:
            raise ValueError(f"the NetCDF header has {count} {what}; at most {MAX_LIST} are read")
        for _ in range(count):
            yield one()

    def _dimension(self) -> tuple[str, int]:
        return self._name(), self._number()

    def _attributes(self, owner: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value, cut in self._list("attributes", self._attribute):
            where = f"{owner}@{name}" if owner else name
            if value is None or cut:
                self.room.drop(where)
            if value is not None and self.room.take(where, value):
                found[name] = value
        return found

    def _attribute(self) -> tuple[str, Any, bool]:
        name, (kind, form, size) = self._name(), self._type()
        raw = self._take(length := self._number() * size)
        self._take(-length % 4)
        if kind == "char":
            return name, clean(raw), len(raw) > MAX_TEXT
        few = struct.unpack_from(f">{min(length // size, MAX_ITEMS)}{form}", raw)
        values = [plain(value) for value in few]
        return name, values[0] if len(values) == 1 else values, length // size > MAX_ITEMS

    def _type(self) -> tuple[str, str, int]:
        number = self._number(">i")
        if number not in TYPES:
            raise ValueError(f"the NetCDF header has the unknown type {number}")
        return TYPES[number]

    def _variable(self, dimensions: list[tuple[str, int]]) -> tuple[str, dict[str, Any]]:
        name, rank = self._name(), self._number()
        if not 0 <= rank <= 1024:  # NC_MAX_VAR_DIMS
            raise ValueError(f"the variable {name} has {rank} dimensions")
        places = [self._number() for _ in range(rank)]
        if any(not 0 <= place < len(dimensions) for place in places):
            raise ValueError(f"the variable {name} has a dimension that does not exist")
        attributes = self._attributes(name)
        kind, _, itemsize = self._type()
        self._number()  # vsize, which may be too small to be told
        begin = self._number(">i" if self.version == 1 else ">q")
        shape = [dimensions[place][1] or self.records for place in places]
        in_records = bool(places) and not dimensions[places[0]][1]
        self._places[name] = (begin, in_records)
        if in_records:
            self._record(math.prod(shape[1:]) * itemsize)
        found: dict[str, Any] = {
            "dtype": kind,
            "shape": shape,
            "dimensions": [dimensions[place][0] for place in places],
        }
        size = math.prod(shape)
        if size < 1 << 63:
            found["size"] = size
        return name, found | ({"attributes": attributes} if attributes else {})

    def _record(self, size: int) -> None:
        """Add one variable to the length of a record; each begins at a multiple of four, but not a sole one."""
        self._sizes.append(size)
        padded = [one + -one % 4 for one in self._sizes]
        self.record_bytes = size if len(self._sizes) == 1 else sum(padded)


def clean(raw: bytes) -> str:
    """Return text that JSON and a database can hold."""
    return shown(raw[: 4 * MAX_TEXT].decode("utf-8", "replace"))
