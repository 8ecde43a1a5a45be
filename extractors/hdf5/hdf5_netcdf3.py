"""NetCDF classic (versions 1, 2 and 5): dimensions, attributes and variables, from the header alone.

Follows the grammar of the format in the NetCDF User's Guide, appendix "File Format Specifications".
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

MAX_HEADER = 16 << 20
MAX_LIST = 2000  # dimensions, variables or attributes that are listed
MAX_ITEMS = 16
MAX_TEXT = 500
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
        self._data = file.read(MAX_HEADER)
        self._at = 4
        self.version = self._data[3]
        self._count = ">q" if self.version == 5 else ">i"

    def document(self) -> dict[str, Any]:
        """Return what the header says.

        Raises:
            ValueError: it is broken before its variables begin.
        """
        records = self._number()
        dimensions = list(self._list("dimensions", self._dimension))
        attributes = dict(one for one in self._list("attributes", self._attribute) if one[1] is not None)
        found: dict[str, Any] = {
            "format": "netcdf3",
            "attributes": attributes,
            "dimensions": {name: length or max(records, 0) for name, length in dimensions},
        }
        if unlimited := [name for name, length in dimensions if not length]:
            found["unlimited"] = unlimited
        variables: dict[str, Any] = {}
        try:
            for name, variable in self._list("variables", lambda: self._variable(dimensions, records)):
                variables[name] = variable  # noqa: PERF403 - those before a broken one are kept
        except ValueError as exc:
            found["partial"] = f"{exc}"
        return {**found, "dataset_count": len(variables), "datasets": list(variables), "dataset": variables}

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

    def _attribute(self) -> tuple[str, Any]:
        name, (kind, form, size) = self._name(), self._type()
        raw = self._take(length := self._number() * size)
        self._take(-length % 4)
        if kind == "char":
            return name, clean(raw)
        few = struct.unpack_from(f">{min(length // size, MAX_ITEMS)}{form}", raw)
        values = [value if math.isfinite(value) and value < 1 << 63 else None for value in few]
        return name, None if None in values or not values else values[0] if len(values) == 1 else values

    def _type(self) -> tuple[str, str, int]:
        number = self._number(">i")
        if number not in TYPES:
            raise ValueError(f"the NetCDF header has the unknown type {number}")
        return TYPES[number]

    def _variable(self, dimensions: list[tuple[str, int]], records: int) -> tuple[str, dict[str, Any]]:
        name, rank = self._name(), self._number()
        if not 0 <= rank <= 1024:  # NC_MAX_VAR_DIMS
            raise ValueError(f"the variable {name} has {rank} dimensions")
        places = [self._number() for _ in range(rank)]
        if any(not 0 <= place < len(dimensions) for place in places):
            raise ValueError(f"the variable {name} has a dimension that is not there")
        attributes = dict(one for one in self._list("attributes", self._attribute) if one[1] is not None)
        kind = self._type()[0]
        self._number()  # vsize
        self._number(">i" if self.version == 1 else ">q")  # begin
        shape = [dimensions[place][1] or max(records, 0) for place in places]
        found: dict[str, Any] = {
            "dtype": kind,
            "shape": shape,
            "dimensions": [dimensions[place][0] for place in places],
        }
        size = math.prod(shape)
        if size < 1 << 63:
            found["size"] = size
        return name, found | ({"attributes": attributes} if attributes else {})


def clean(raw: bytes) -> str:
    """Return text that JSON and a database can hold."""
    return raw[:MAX_TEXT].rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
