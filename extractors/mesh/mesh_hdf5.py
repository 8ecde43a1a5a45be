"""Exodus II and CGNS: meshes in NetCDF and HDF5, told by their conventions."""

from __future__ import annotations

import re
from typing import Any

import extractor_facts as facts
import h5py
from mesh_netcdf import Classic
from mesh_parts import Mesh

MAX_NODES = 20_000  # of CGNS that are looked at
BROKEN = (RuntimeError, OSError, KeyError, ValueError, TypeError, IndexError, AttributeError)
COUNTS = {
    "num_nodes": "points", "num_elem": "cells", "num_node_sets": "node_sets", "num_side_sets": "side_sets",
}  # fmt: skip
VARIABLES = (("name_nod_var", "point"), ("name_elem_var", "cell"), ("name_glo_var", "field"))
DATE = re.compile(r"(\d\d)/(\d\d)/(\d{2,4})")


class Hdf:
    """A NetCDF-4 file, as far as Exodus needs it."""

    def __init__(self, file: h5py.File) -> None:
        self.file = file
        self.attributes = {name: _plain(file.attrs[name]) for name in ("title", "version") if name in file.attrs}
        self.dimensions = {
            name: int(thing.shape[0])
            for name, thing in file.items()
            if isinstance(thing, h5py.Dataset) and len(thing.shape) == 1 and "CLASS" in thing.attrs
        }
        self.variables = set(file)

    def values(self, name: str) -> Any:
        """Return the values of a small variable."""
        thing = self.file[name]
        return (
            thing[...] if isinstance(thing, h5py.Dataset) and thing.size < 1 << 20 and not thing.external else None
        )

    def attribute(self, name: str, key: str) -> str:
        """Return a text that a variable has."""
        return str(_plain(self.file[name].attrs.get(key, "")))


def _plain(value: Any) -> Any:
    if getattr(value, "size", 2) == 1 and hasattr(value, "reshape"):
        value = value.reshape(-1)[0]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def texts(values: Any) -> list[str]:
    """Return the texts of a variable of characters, whose last dimension they fill."""
    if values is None or values.dtype.kind != "S" or values.ndim < 2:
        return []
    rows = values.reshape(-1, values.shape[-1])
    return [b"".join(row.tolist()).split(b"\0")[0].decode("utf-8", "replace").strip() for row in rows]


def exodus(file: Any) -> Mesh:
    """Return what a file says by the conventions of Exodus II."""
    mesh = Mesh("exodus")
    if title := facts.text(file.attributes.get("title")):
        mesh.found["title"] = title
    version = file.attributes.get("version")
    if isinstance(version, (int, float)) or hasattr(version, "item"):
        mesh.found["format_version"] = f"{float(version):.2f}"
    for name, key in COUNTS.items():
        if file.dimensions.get(name):
            mesh.count(key, file.dimensions[name])
    if file.dimensions.get("num_dim"):
        mesh.found["dimension"] = file.dimensions["num_dim"]
    _names(file, mesh)
    return mesh


def _names(file: Any, mesh: Mesh) -> None:
    """Take names of variables, blocks and sets, and the times."""
    for name, place in VARIABLES:
        for text in texts(file.values(name)) if name in file.variables else ():
            mesh.array(text, place)
    for name, key in (("eb_names", "blocks"), ("ns_names", "sets"), ("ss_names", "sets")):
        for text in texts(file.values(name)) if name in file.variables else ():
            mesh.name(key, text)
    for number in range(1, min(file.dimensions.get("num_el_blk", 0), 1000) + 1):
        if f"connect{number}" in file.variables:
            mesh.name("cell_types", file.attribute(f"connect{number}", "elem_type").lower())
    if "time_whole" in file.variables and (times := file.values("time_whole")) is not None:
        for value in times.reshape(-1).tolist():
            mesh.time(value)
    if "qa_records" in file.variables:
        _quality(texts(file.values("qa_records")), mesh)


def _quality(records: list[str], mesh: Mesh) -> None:
    """Take who made it: each record is of a program, its version, a day and a time of day."""
    for at in range(0, len(records) - 3, 4):
        program, version, day, hour = records[at : at + 4]
        mesh.name("software", f"{program} {version}")
        if found := DATE.fullmatch(day):
            year = (
                found[3] if len(found[3]) == 4 else f"{20 - (found[3] >= '80')}{found[3]}"
            )  # Exodus is of the 1990s
            if moment := facts.moment(f"{year}-{found[1]}-{found[2]}T{hour}"):
                mesh.found["created"] = moment


def label(node: Any) -> str:
    """Return the kind of a node of CGNS."""
    value = node.attrs.get("label", b"")
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def data(node: Any) -> Any:
    """Return the small value of a node of CGNS."""
    thing = node.get(" data")
    return thing[...] if isinstance(thing, h5py.Dataset) and thing.size < 10_000 and not thing.external else None


def children(node: Any) -> list[tuple[str, Any]]:
    """Return the nodes below a node; links to other files are not followed."""
    found = []
    for name in list(node)[:MAX_NODES]:
        link = node.get(name, getlink=True)
        if isinstance(link, h5py.HardLink) and isinstance(child := node[name], h5py.Group):
            found.append((name, child))
    return found


def cgns(file: h5py.File) -> Mesh:
    """Return what a file says by the conventions of CGNS."""
    mesh = Mesh("cgns")
    for name, node in children(file):
        kind = label(node)
        value = data(node)
        if kind == "CGNSLibraryVersion_t" and value is not None and value.size == 1:
            mesh.found["format_version"] = f"{float(value.reshape(-1)[0]):.2f}"
        elif kind == "CGNSBase_t":
            mesh.name("bases", name)
            if value is not None and value.size == 2:
                mesh.found["dimension"] = int(value.reshape(-1)[1])
            _base(node, mesh)
    return mesh


def _base(base: Any, mesh: Mesh) -> None:
    for name, node in children(base):
        kind, value = label(node), data(node)
        if kind == "BaseIterativeData_t":
            times = node.get("TimeValues")
            values = data(times) if times is not None else None
            for one in [] if values is None else values.reshape(-1).tolist():
                mesh.time(one)
        elif kind == "Family_t":
            mesh.name("sets", name)
        elif kind == "Zone_t":
            mesh.name("blocks", name)
            if value is not None and value.ndim == 2 and value.shape[0] == 3:
                mesh.count("points", int(value[0].prod()))
                mesh.count("cells", int(value[1].prod()))
            _zone(node, mesh)


def _zone(zone: Any, mesh: Mesh) -> None:
    for name, node in children(zone):
        kind = label(node)
        if kind == "ZoneType_t" and (value := data(node)) is not None:
            mesh.name("cell_types", bytes(value.astype("u1").tobytes()).decode("latin-1").lower())
        elif kind == "FlowSolution_t":
            place = node.get("GridLocation")
            where = data(place) if place is not None else None
            on_cells = where is not None and where.astype("u1").tobytes() == b"CellCenter"
            for array, child in children(node):
                if label(child) == "DataArray_t":
                    thing = child.get(" data")
                    dtype = str(thing.dtype) if isinstance(thing, h5py.Dataset) else ""
                    mesh.array(array, "cell" if on_cells else "point", dtype)
        elif kind == "Elements_t":
            mesh.name("sections", name)


def hdf5(path: str) -> Mesh:
    """Return what an HDF5 file says by one of the conventions.

    Raises:
        ValueError: it keeps to none.
    """
    try:
        with h5py.File(path, "r") as file:
            if "CGNSLibraryVersion" in file:
                return cgns(file)
            if {"num_nodes", "num_dim"} & set(file) and ("api_version" in file.attrs or "version" in file.attrs):
                return exodus(Hdf(file))
    except BROKEN as exc:
        raise ValueError(f"HDF5 cannot read it: {facts.text(str(exc), 300)}") from None
    raise ValueError("it is HDF5, but neither CGNS nor Exodus")


def netcdf(file: Any) -> Mesh:
    """Return what a file of NetCDF classic says by the conventions of Exodus.

    Raises:
        ValueError: it does not keep to them.
    """
    classic = Classic(file)
    if "num_dim" not in classic.dimensions or not {"api_version", "version"} & set(classic.attributes):
        raise ValueError("it is NetCDF, but not Exodus")
    return exodus(classic)
