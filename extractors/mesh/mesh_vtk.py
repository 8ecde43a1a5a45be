"""VTK's legacy format, as text or binary: what its keywords say; the data are passed over."""

from __future__ import annotations

import math
import re
from typing import Any

import extractor_facts as facts
from extractor_batch import OutOfTime
from mesh_parts import Mesh

MAX_LINE = 1 << 20
SIZES = {
    "bit": 0, "unsigned_char": 1, "char": 1, "unsigned_short": 2, "short": 2, "unsigned_int": 4, "int": 4,
    "float": 4,
    "unsigned_long": 8, "long": 8, "double": 8, "vtktypeint64": 8, "vtktypeint32": 4, "vtkidtype": 4,
}  # fmt: skip
DTYPES = {
    "float": "float32", "double": "float64", "int": "int32", "unsigned_int": "uint32", "long": "int64",
    "unsigned_long": "uint64", "short": "int16", "unsigned_short": "uint16", "char": "int8",
    "unsigned_char": "uint8",
    "vtktypeint64": "int64", "vtktypeint32": "int32", "vtkidtype": "int64",
}  # fmt: skip
FIXED = {"VECTORS": 3, "NORMALS": 3, "TENSORS": 9}
CELLS = {"CELLS", "VERTICES", "LINES", "POLYGONS", "TRIANGLE_STRIPS"}
VERSION = re.compile(rb"# vtk DataFile Version (\d+)\.(\d+)")


class Legacy:
    """Reads one file by its keywords."""

    def __init__(self, stream: Any, mesh: Mesh) -> None:
        self.stream, self.mesh = stream, mesh
        version = VERSION.match(self._line().encode("latin-1"))
        self.major = int(version[1]) if version else 3
        mesh.found["format_version"] = f"{version[1].decode()}.{version[2].decode()}" if version else "3.0"
        if title := facts.text(self._line()):
            mesh.found["title"] = title
        encoding = self._line().strip().upper()
        if encoding not in {"ASCII", "BINARY"}:
            raise ValueError("it is not a VTK file: it names neither ASCII nor BINARY")
        self.binary = encoding == "BINARY"
        mesh.found["encoding"] = encoding.lower()
        self.place, self.rows = "field", 0

    def _line(self) -> str:
        line: bytes = self.stream.readline(MAX_LINE)
        if not line:
            raise EOFError
        return line.decode("latin-1").rstrip("\r\n")

    def _skip(self, values: int, dtype: str) -> None:
        """Pass over binary values."""
        if not self.binary:
            return
        kind = dtype.lower()
        if kind not in SIZES or values < 0:
            raise ValueError(f"values of the type {facts.text(dtype, 50)} cannot be skipped: the type is unknown")
        left = (values + 7) // 8 if kind == "bit" else values * SIZES[kind]
        while left:
            part = self.stream.read(min(left, 1 << 20))
            if not part:
                raise EOFError
            left -= len(part)

    def read(self) -> None:
        """Take everything."""
        try:
            while line := self.stream.readline(MAX_LINE):
                if line[:1].isalpha():  # all others are data
                    words = line.decode("latin-1").split()
                    self._keyword(words[0].upper(), words[1:])
        except EOFError:
            pass
        except OutOfTime:
            self.mesh.reasons.append("time was up: arrays are listed as far as it went")
        except (ValueError, IndexError) as exc:
            self.mesh.reasons.append(f"it is broken: {facts.text(str(exc), 200)}")

    def _keyword(self, word: str, rest: list[str]) -> None:
        if word == "DATASET":
            self.mesh.found["dataset"] = facts.text(rest[0].lower(), 100)
        elif word == "DIMENSIONS":
            sides = [int(one) for one in rest[:3]]
            self.mesh.found["dimensions"] = sides
            self.mesh.counts.clear()
            self.mesh.count("points", math.prod(sides))
            self.mesh.count("cells", math.prod(max(1, one - 1) for one in sides))
        elif word in {"ORIGIN", "SPACING"}:
            self.mesh.found[word.lower()] = [float(one) for one in rest[:3]]
        elif word == "POINTS":
            self.mesh.counts.pop("points", None)
            self.mesh.count("points", int(rest[0]))
            self._skip(int(rest[0]) * 3, rest[1])
        elif word.endswith("_COORDINATES") and word[0] in "XYZ":
            self._skip(int(rest[0]), rest[1])
        elif word in CELLS:
            self._cells(int(rest[0]), int(rest[1]))
        elif word == "CELL_TYPES":
            self._skip(int(rest[0]), "int")
        elif word in {"POINT_DATA", "CELL_DATA"}:
            self.place, self.rows = word.removesuffix("_DATA").lower(), int(rest[0])
        else:
            self._attribute(word, rest)

    def _cells(self, count: int, size: int) -> None:
        self.mesh.count("cells", max(0, count - 1) if self.major >= 5 else count)
        if self.major < 5:
            self._skip(size, "int")
            return
        for values in (count, size):
            self._skip(values, self._line().split()[1])
            if self.binary:
                self._line()  # what ends the values

    def _attribute(self, word: str, rest: list[str]) -> None:
        if word == "SCALARS":
            parts = int(rest[2]) if len(rest) > 2 else 1
            self._array(rest[0], rest[1], parts)
            if self.binary:
                self._line()  # LOOKUP_TABLE
            self._skip(self.rows * parts, rest[1])
        elif word in FIXED:
            self._array(rest[0], rest[1], FIXED[word])
            self._skip(self.rows * FIXED[word], rest[1])
        elif word == "TEXTURE_COORDINATES":
            self._array(rest[0], rest[2], int(rest[1]))
            self._skip(self.rows * int(rest[1]), rest[2])
        elif word == "COLOR_SCALARS":
            self._array(rest[0], "unsigned_char", int(rest[1]))
            self._skip(self.rows * int(rest[1]), "unsigned_char")
        elif word == "LOOKUP_TABLE" and len(rest) > 1:
            self._skip(int(rest[1]) * 4, "unsigned_char")
        elif word == "FIELD":
            self._field(int(rest[1]))
        elif word == "METADATA":
            while self._line().strip():
                pass

    def _array(self, name: str, dtype: str, components: int) -> None:
        self.mesh.array(name.replace("%20", " "), self.place, DTYPES.get(dtype.lower(), dtype.lower()), components)

    def _field(self, arrays: int) -> None:
        for _ in range(arrays):
            words = self._line().split()
            while len(words) != 4 or not words[1].isdigit():
                if words[:1] == ["METADATA"]:
                    while self._line().strip():
                        pass
                words = self._line().split()
            name, parts, rows, dtype = words[0], int(words[1]), int(words[2]), words[3]
            if name.upper() in {"TIME", "TIMEVALUE"} and parts * rows == 1 and not self.binary:
                self.mesh.time(self._line())
                continue
            self._array(name, dtype, parts)
            self._skip(parts * rows, dtype)
