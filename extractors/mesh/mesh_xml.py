"""VTK's XML formats and XDMF: what their elements say; appended data are not read."""

from __future__ import annotations

import math
from typing import Any

import extractor_facts as facts
from extractor_batch import OutOfTime
from extractor_xml import Refused, Walk
from mesh_parts import Mesh

KINDS = {
    "UnstructuredGrid": "vtu", "PolyData": "vtp", "ImageData": "vti", "RectilinearGrid": "vtr",
    "StructuredGrid": "vts",
    "Collection": "pvd", "vtkMultiBlockDataSet": "vtm", "vtkPartitionedDataSetCollection": "vtpc",
}  # fmt: skip
PLACES = {
    "PointData": "point",
    "CellData": "cell",
    "FieldData": "field",
    "PPointData": "point",
    "PCellData": "cell",
}
GROUPS = ("NumberOfVerts", "NumberOfLines", "NumberOfStrips", "NumberOfPolys", "NumberOfCells")
CENTRES = {"node": "point", "cell": "cell", "grid": "field", "face": "face", "edge": "edge"}


class Enough(Exception):
    """What follows is not read."""


def whole(text: str | None) -> int:
    """Return a number that counts; 0 for none."""
    return int(text) if text and text.isdecimal() and len(text) < 19 else 0


def numbers(text: str | None) -> list[float]:
    """Return the numbers of a text; none where one is no number."""
    try:
        found = [float(one) for one in (text or "").split()[:100]]
    except ValueError:
        return []
    return found if all(map(math.isfinite, found)) else []


class Vtk:
    """One file of VTK's XML."""

    def __init__(self) -> None:
        self.mesh = Mesh("")
        self.place = ""
        self.array = ""
        self.image = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Take the beginning of an element."""
        if not self.mesh.found["format"]:
            self._root(name, attributes)
        elif name == "Piece":
            self._piece(attributes)
        elif name in PLACES:
            self.place = PLACES[name]
        elif name in {"DataArray", "PDataArray", "Array"}:
            self.array = attributes.get("Name", "")
            if self.place and self.array:
                components = whole(attributes.get("NumberOfComponents")) or 1
                self.mesh.array(self.array, self.place, attributes.get("type", "").lower()[:50], components)
        elif name == "DataSet":
            self.mesh.time(attributes.get("timestep"))
            self.mesh.name("files", attributes.get("file"))
            self.mesh.name("blocks", attributes.get("name"))
        elif name == "Block":
            self.mesh.name("blocks", attributes.get("name"))
        elif name == "AppendedData":
            raise Enough
        elif "WholeExtent" in attributes:
            self._extent(attributes)

    def end(self, name: str, text: str) -> None:
        """Take the end of an element."""
        if name in PLACES:
            self.place = ""
        elif name == "DataArray" and self.place == "field" and self.array.lower() in {"timevalue", "time"}:
            self.mesh.time(text.strip())

    def _root(self, name: str, attributes: dict[str, str]) -> None:
        kind = attributes.get("type", "")
        parallel = kind.startswith("P") and kind[1:] in KINDS
        short = KINDS.get(kind[1:] if parallel else kind)
        if name != "VTKFile" or short is None:
            raise Refused("it is XML, but neither of VTK nor XDMF")
        self.image = short == "vti"
        self.mesh.found["format"] = "p" * parallel + short
        for key, named in (
            ("version", "format_version"),
            ("byte_order", "byte_order"),
            ("compressor", "compressor"),
        ):
            if text := facts.text(attributes.get(key), 100):
                self.mesh.found[named] = text

    def _extent(self, attributes: dict[str, str]) -> None:
        sides = numbers(attributes["WholeExtent"])
        if len(sides) != 6 or any(abs(side) > 1 << 40 for side in sides):
            return
        points = [int(high - low) + 1 for low, high in zip(sides[::2], sides[1::2], strict=True)]
        self.mesh.found["dimensions"] = points
        self.mesh.count("points", math.prod(points))
        self.mesh.count("cells", math.prod(max(1, one - 1) for one in points))
        for key in ("Origin", "Spacing"):
            if len(found := numbers(attributes.get(key))) == 3:
                self.mesh.found[key.lower()] = found

    def _piece(self, attributes: dict[str, str]) -> None:
        self.mesh.count("pieces", 1)
        self.mesh.name("files", attributes.get("Source"))
        if "NumberOfPoints" in attributes:
            self.mesh.count("points", whole(attributes["NumberOfPoints"]))
            self.mesh.count("cells", sum(whole(attributes.get(key)) for key in GROUPS))


class Xdmf:
    """One XDMF file: the extent of its first grid, and the attributes and times of all."""

    def __init__(self) -> None:
        self.mesh = Mesh("xdmf")
        self.path: list[str] = []
        self.cells = self.in_geometry = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Take the beginning of an element."""
        attributes = {key.lower(): value for key, value in attributes.items()}
        if not self.path:
            if name != "Xdmf":
                raise Refused("it is XML, but neither of VTK nor XDMF")
            if version := facts.text(attributes.get("version"), 20):
                self.mesh.found["format_version"] = version
        self.path.append(name)
        if name == "Grid":
            self.mesh.count("grids", 1)
            self.mesh.name("blocks", attributes.get("name"))
        elif name == "Time":
            self.mesh.time(attributes.get("value"))
        elif name == "Topology":
            self._topology(attributes)
        elif name == "Geometry":
            self.in_geometry = "points" not in self.mesh.counts
        elif name == "Attribute":
            place = CENTRES.get(attributes.get("center", "node").lower(), "field")
            self.mesh.array(attributes.get("name"), place)
        elif name == "DataItem" and self.in_geometry:
            self._places(attributes)

    def end(self, name: str, text: str) -> None:
        """Take the end of an element."""
        self.path.pop()
        if name == "DataItem" and ":/" in text:
            self.mesh.name("files", text.strip().partition(":/")[0])

    def _places(self, attributes: dict[str, str]) -> None:
        sides = [whole(one) for one in attributes.get("dimensions", "").split()]
        self.in_geometry = False
        if len(sides) >= 2:
            self.mesh.count("points", sides[0])

    def _topology(self, attributes: dict[str, str]) -> None:
        kind = attributes.get("topologytype", attributes.get("type", ""))
        if kind:
            self.mesh.name("cell_types", kind.lower())
        if self.cells:
            return
        self.cells = True
        said = attributes.get("numberofelements") or attributes.get("dimensions") or ""
        sides = [whole(one) for one in said.split()]
        if kind.lower().endswith(("mesh",)):
            self.mesh.count("points", math.prod(sides))
            self.mesh.count("cells", math.prod(max(1, one - 1) for one in sides))
            self.mesh.found["dimensions"] = sides[:10]
        elif len(sides) >= 1:
            self.mesh.count("cells", math.prod(sides))


def xml(stream: Any, start: bytes) -> Mesh:
    """Return what an XML file says.

    Raises:
        ValueError: it is neither of VTK nor XDMF.
    """
    reader: Any = Xdmf() if b"<Xdmf" in start else Vtk()
    try:
        Walk(reader.start, reader.end, document_type=True).read(stream)
    except (Enough, Refused) as exc:
        if isinstance(exc, Refused):
            raise
    except OutOfTime:
        reader.mesh.reasons.append("time was up: it is read as far as it went")
    except ValueError as exc:
        if not reader.mesh.found["format"] or (isinstance(reader, Xdmf) and not reader.path):
            raise
        reader.mesh.reasons.append(facts.text(str(exc), 300))
    found: Mesh = reader.mesh
    return found
