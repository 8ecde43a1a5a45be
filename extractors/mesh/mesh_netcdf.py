"""NetCDF classic (versions 1, 2 and 5), as far as Exodus needs it: dimensions, attributes, small variables."""

from __future__ import annotations

import math
import struct
from typing import Any, BinaryIO

import numpy as np

MAX_HEADER = 16 << 20
MAX_LIST = 100_000
TYPES = {1: "i1", 2: "S1", 3: "i2", 4: "i4", 5: "f4", 6: "f8", 7: "u1", 8: "u2", 9: "u4", 10: "i8", 11: "u8"}
TAGS = {"dimensions": 10, "variables": 11, "attributes": 12}
Variable = tuple[np.dtype[Any], list[int], dict[str, Any], int, bool]


class Classic:
    """The header of one file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._data = file.read(MAX_HEADER)
        self._at = 4
        self._version = self._data[3]
        self._records = self._number()
        sizes = self._list("dimensions", lambda: (self._name(), self._number()))
        self.dimensions = {name: size or self._records for name, size in sizes}
        self._sizes = [size for _, size in sizes]
        self.attributes: dict[str, Any] = dict(self._list("attributes", self._attribute))
        self.variables: dict[str, Variable] = dict(self._list("variables", self._variable))
        padded = [one + -one % 4 for one in self._record_sizes()]
        self._record = sum(padded) if len(padded) != 1 else self._record_sizes()[0]

    def _record_sizes(self) -> list[int]:
        return [
            math.prod(shape[1:]) * dtype.itemsize for dtype, shape, _, _, more in self.variables.values() if more
        ]

    def _take(self, size: int) -> bytes:
        if not 0 <= size <= len(self._data) - self._at:
            raise ValueError("its NetCDF header is broken")
        self._at += size
        return self._data[self._at - size : self._at]

    def _number(self) -> int:
        wide = self._version == 5
        return int(struct.unpack(">q" if wide else ">i", self._take(8 if wide else 4))[0])

    def _name(self) -> str:
        raw = self._take(size := self._number())
        self._take(-size % 4)
        return raw.decode("utf-8", "replace")

    def _list(self, what: str, one: Any) -> list[Any]:
        (tag,), count = struct.unpack(">i", self._take(4)), self._number()
        if not tag and not count:
            return []
        if tag != TAGS[what] or not 0 <= count <= MAX_LIST:
            raise ValueError("its NetCDF header is broken")
        return [one() for _ in range(count)]

    def _type(self) -> np.dtype[Any]:
        (number,) = struct.unpack(">i", self._take(4))
        if number not in TYPES:
            raise ValueError("its NetCDF header has an unknown type")
        return np.dtype(">" + TYPES[number])

    def _attribute(self) -> tuple[str, Any]:
        name, dtype = self._name(), self._type()
        raw = self._take(size := self._number() * dtype.itemsize)
        self._take(-size % 4)
        if dtype.kind == "S":
            return name, raw.split(b"\0")[0].decode("utf-8", "replace")
        values = np.frombuffer(raw, dtype)
        return name, values[0].item() if values.size else None

    def _variable(self) -> tuple[str, Variable]:
        name = self._name()
        places = [self._number() for _ in range(min(self._number(), 1024))]
        if any(not 0 <= place < len(self._sizes) for place in places):
            raise ValueError("one of its variables has a dimension that does not exist")
        attributes = dict(self._list("attributes", self._attribute))
        dtype = self._type()
        self._number()  # its size, which may be too small to be told
        begin = (
            struct.unpack(">i", self._take(4))[0] if self._version == 1 else struct.unpack(">q", self._take(8))[0]
        )
        shape = [self._sizes[place] or self._records for place in places]
        return name, (dtype, shape, attributes, begin, bool(places) and not self._sizes[places[0]])

    def attribute(self, name: str, key: str) -> str:
        """Return a text that a variable has."""
        return str(self.variables[name][2].get(key, ""))

    def values(self, name: str) -> Any:
        """Return the values of a small variable; None where there are too many, or they are cut off."""
        dtype, shape, _, begin, in_records = self.variables[name]
        count = math.prod(shape)
        if not 0 < count < 1 << 20 or begin < 0:
            return None
        if not in_records:
            self._file.seek(begin)
            raw = self._file.read(count * dtype.itemsize)
        else:
            parts = []
            for number in range(min(shape[0], 200_000)):
                self._file.seek(begin + number * self._record)
                parts.append(self._file.read(count // shape[0] * dtype.itemsize))
            raw = b"".join(parts)
        return np.frombuffer(raw, dtype).reshape(shape) if len(raw) == count * dtype.itemsize else None
