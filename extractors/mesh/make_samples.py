#!/usr/bin/env python3
"""Write the samples of the extractor anew: the same bytes each time. Needs meshio, h5py and netCDF4."""

from __future__ import annotations

import gzip
import re
import struct
from pathlib import Path

import h5py
import meshio
import netCDF4
import numpy as np

POINTS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 0.5, 1]], "float64")
CELLS = [
    ("tetra", np.array([[0, 1, 2, 4], [0, 2, 3, 4]])),
    ("triangle", np.array([[0, 1, 2], [0, 2, 3], [0, 1, 4]])),
]
PVD = """<?xml version="1.0"?>
<VTKFile type="Collection" version="0.1" byte_order="LittleEndian"><Collection>
<DataSet timestep="0.0" part="0" file="flow_0.vtu"/><DataSet timestep="0.5" part="0" file="flow_1.vtu"/>
<DataSet timestep="1.0" part="0" file="flow_2.vtu"/></Collection></VTKFile>
"""
PVTU = """<?xml version="1.0"?>
<VTKFile type="PUnstructuredGrid" version="1.0" byte_order="LittleEndian"><PUnstructuredGrid GhostLevel="0">
<PPointData><PDataArray type="Float64" Name="pressure"/></PPointData>
<PCellData><PDataArray type="Float32" Name="velocity" NumberOfComponents="3"/></PCellData>
<PPoints><PDataArray type="Float64" NumberOfComponents="3"/></PPoints>
<Piece Source="part_0.vtu"/><Piece Source="part_1.vtu"/></PUnstructuredGrid></VTKFile>
"""
VTI = b"""<?xml version="1.0"?>
<VTKFile type="ImageData" version="1.0" byte_order="LittleEndian" header_type="UInt64">
<ImageData WholeExtent="0 9 0 19 0 4" Origin="1 2 3" Spacing="0.5 0.5 2"><FieldData>
<DataArray type="Float64" Name="TimeValue" NumberOfTuples="1" format="ascii">12.5</DataArray></FieldData>
<Piece Extent="0 9 0 19 0 4"><PointData Scalars="density">
<DataArray type="Float32" Name="density" format="appended" offset="0"/></PointData></Piece></ImageData>
<AppendedData encoding="raw">_"""
GRID = """# vtk DataFile Version 3.0
Heat in a plate
ASCII
DATASET STRUCTURED_POINTS
DIMENSIONS 3 4 1
ORIGIN 0 0 0
SPACING 0.5 0.25 1
POINT_DATA 12
SCALARS temperature float 1
LOOKUP_TABLE default
{}
VECTORS flux double
{}
CELL_DATA 6
FIELD FieldData 1
material 1 6 int
1 1 2 2 1 1
"""
SOLID = """solid wedge
facet normal 0 0 1
 outer loop
  vertex 0 0 0
  vertex 1 0 0
  vertex 0 1 0
 endloop
endfacet
endsolid wedge
"""


def by_library(folder: Path) -> None:
    """Write what meshio writes."""
    data = {"pressure": np.arange(5.0), "velocity": np.ones((5, 3), "float32")}
    rank = {"rank": [np.zeros(2, "int32"), np.ones(3, "int32")]}
    mesh = meshio.Mesh(POINTS, CELLS, point_data=data, cell_data=rank)
    mesh.write(folder / "wedge.vtk")
    mesh.write(folder / "old.vtk", file_format="vtk42")
    mesh.write(folder / "text.vtk", file_format="vtk42", binary=False)
    mesh.write(folder / "wedge.vtu")
    meshio.Mesh(POINTS, CELLS[:1]).write(folder / "wedge.msh", file_format="gmsh", binary=True)
    mesh.write(folder / "text.msh", file_format="gmsh22", binary=False)
    meshio.Mesh(POINTS, CELLS[1:], point_data={"pressure": np.arange(5.0)}).write(
        folder / "wedge.ply", binary=False
    )
    meshio.Mesh(POINTS, CELLS[1:]).write(folder / "wedge.stl", binary=True)
    meshio.Mesh(POINTS, CELLS[:1], point_data=data).write(folder / "wedge.xdmf", data_format="XML")
    ply = (folder / "wedge.ply").read_bytes()
    (folder / "wedge.ply").write_bytes(re.sub(rb"comment .*", b"comment a wedge", ply))  # it has the time of day
    (folder / "wedge.vtk.gz").write_bytes(gzip.compress((folder / "wedge.vtk").read_bytes(), mtime=0))


def by_hand(folder: Path) -> None:
    """Write what is text."""
    ones = "\n".join(["1 0 0"] * 12)
    (folder / "plate.vtk").write_text(GRID.format(" ".join(map(str, range(12))), ones))
    (folder / "flow.pvd").write_text(PVD)
    (folder / "flow.pvtu").write_text(PVTU)
    (folder / "density.vti").write_bytes(
        VTI + struct.pack("<Q", 4000) + bytes(range(250)) * 16 + b"</AppendedData>"
    )
    (folder / "text.stl").write_text(SOLID)
    (folder / "bad-text.vtk").write_text("no mesh at all\n")
    (folder / "bad-other.vtu").write_text("<?xml version='1.0'?><svg/>")


def exodus(path: Path, form: str) -> None:
    """Write an Exodus file."""
    with netCDF4.Dataset(path, "w", format=form) as file:
        file.title, file.api_version, file.version = "A heated block", np.float32(8.03), np.float32(8.03)
        for name, size in {
            "time_step": None, "len_name": 33, "len_string": 33, "four": 4, "num_dim": 3, "num_nodes": 5,
            "num_elem": 2,
            "num_el_blk": 1, "num_el_in_blk1": 2, "num_nod_per_el1": 4, "num_nod_var": 2, "num_qa_rec": 1,
            "num_node_sets": 1,
        }.items():  # fmt: skip
            file.createDimension(name, size)
        times = file.createVariable("time_whole", "f8", ("time_step",))
        times[:] = [0.0, 0.25, 0.5]
        connect = file.createVariable("connect1", "i4", ("num_el_in_blk1", "num_nod_per_el1"))
        connect.elem_type = "TETRA"
        connect[:] = CELLS[0][1] + 1
        for name, dimensions, texts in (
            ("eb_names", ("num_el_blk", "len_name"), ["block"]),
            ("name_nod_var", ("num_nod_var", "len_name"), ["temperature", "stress_xx"]),
            ("ns_names", ("num_node_sets", "len_name"), ["bottom"]),
            ("qa_records", ("num_qa_rec", "four", "len_string"), ["SIERRA", "5.2", "03/02/2026", "10:11:12"]),
        ):
            place = file.createVariable(name, "S1", dimensions)
            shape = [file.dimensions[each].size for each in dimensions[:-1]]
            place[:] = np.array(texts, "S33").reshape(*shape, 1).view("S1").reshape(*shape, 33)


def cgns(path: Path) -> None:
    """Write a CGNS file as its library lays it out in HDF5."""

    def node(parent: h5py.Group, name: str, label: str, value: object = None) -> h5py.Group:
        made = parent.create_group(name)
        made.attrs["label"], made.attrs["name"] = np.bytes_(label), np.bytes_(name)
        if value is not None:
            made.create_dataset(" data", data=np.frombuffer(value, "i1") if isinstance(value, bytes) else value)
        return made

    with h5py.File(path, "w") as file:
        node(file, "CGNSLibraryVersion", "CGNSLibraryVersion_t", np.array([4.2], "float32"))
        base = node(file, "Wing", "CGNSBase_t", np.array([3, 3], "int32"))
        steps = node(base, "Iterations", "BaseIterativeData_t", np.array([2], "int32"))
        node(steps, "TimeValues", "DataArray_t", np.array([0.0, 1.5]))
        for name, sides in (("left", (4, 3, 2)), ("right", (5, 3, 2))):
            zone = node(base, name, "Zone_t", np.array([sides, [one - 1 for one in sides], [0, 0, 0]], "int32"))
            node(zone, "ZoneType", "ZoneType_t", b"Structured")
            flow = node(zone, "Flow", "FlowSolution_t")
            node(flow, "GridLocation", "GridLocation_t", b"CellCenter")
            node(flow, "Density", "DataArray_t", np.zeros([one - 1 for one in sides]))


def main() -> None:
    """Write all."""
    folder = Path(__file__).resolve().parent / "samples"
    folder.mkdir(exist_ok=True)
    by_library(folder)
    by_hand(folder)
    exodus(folder / "block.exo", "NETCDF3_64BIT_OFFSET")
    exodus(folder / "block4.exo", "NETCDF4")
    cgns(folder / "wing.cgns")
    with h5py.File(folder / "bad-other.cgns", "w") as file:
        file["a"] = 1


if __name__ == "__main__":
    main()
