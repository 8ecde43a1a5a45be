"""Meshes: the golden documents are what independent readers say, or how the samples were made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import meshio
import netCDF4
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tests.suite.families import families
from tests.support.profiles import examples
from tests.support.programs import program

MESH = families()["mesh"]
SAMPLES = MESH.manifest.folder / "samples"
mesh = program("mesh")


def golden(name: str) -> dict[str, Any]:
    """Return the golden document of a sample."""
    return MESH.expected(SAMPLES / name)


def read(name: str) -> Any:
    """Return what meshio reads."""
    return meshio.read(SAMPLES / name, file_format={".msh": "gmsh"}.get(Path(name).suffix))


@pytest.mark.parametrize(
    "name",
    [
        "wedge.vtk", "old.vtk", "text.vtk", "wedge.vtu", "wedge.xdmf", "wedge.msh", "wedge.ply",
        "wedge.stl",
        ],
)  # fmt: skip
def test_a_mesh_is_as_meshio_reads_it(name: str) -> None:
    """Points, cells and the arrays on them equal those of meshio."""
    whole, found = read(name), golden(name)
    if "stl" not in found["format"]:  # has no points of its own
        assert found["points"] == len(whole.points)
    assert found["cells"] == sum(len(block.data) for block in whole.cells)
    kinds = {key for key in (*whole.point_data, *whole.cell_data) if not key.startswith(("gmsh:", "facet_"))}
    assert set(found.get("arrays", ())) - set("xyz") == kinds
    for key, values in whole.point_data.items():
        if key.startswith("gmsh:"):
            continue
        about = found["array"][key]
        assert about["on"] == ["point"]
        if "dtype" in about and found["format"] != "ply":
            assert about["dtype"] == str(values.dtype.newbyteorder("="))
            assert about["components"] == (values.shape[1] if values.ndim > 1 else 1)


def test_what_meshio_cannot_read_has_what_was_put_in() -> None:
    """A Gmsh text with arrays and an STL text have the points, faces and arrays that they were made with."""
    assert (golden("text.stl")["cells"], golden("text.stl")["blocks"]) == (1, ["wedge"])
    found = golden("text.msh")
    assert (found["points"], found["cells"]) == (5, 5)
    assert {key: one["on"] for key, one in found["array"].items()} == {
        "pressure": ["point"], "velocity": ["point"], "rank": ["cell"],
    }  # fmt: skip


@pytest.mark.parametrize("name", ["block.exo", "block4.exo"])
def test_exodus_is_as_netcdf4_reads_it(name: str) -> None:
    """Points, cells, times, arrays and title equal those of netCDF4."""
    found = golden(name)
    with netCDF4.Dataset(SAMPLES / name) as file:
        sizes = {key: each.size for key, each in file.dimensions.items()}
        assert (found["points"], found["cells"], found["dimension"]) == (
            sizes["num_nodes"], sizes["num_elem"], sizes["num_dim"],
        )  # fmt: skip
        times = np.asarray(file["time_whole"][:])
        assert (found["time_steps"], found["time_first"], found["time_last"]) == (
            len(times),
            times.min(),
            times.max(),
        )
        names = netCDF4.chartostring(file["name_nod_var"][:])
        assert found["arrays"] == [str(each).strip("\0 ") for each in names]
        assert found["title"] == file.title


def test_cgns_is_as_h5py_finds_it() -> None:
    """Points and cells of all zones, and arrays by where they are, equal those of a walk over the file."""
    found = golden("wing.cgns")
    points = cells = 0
    with h5py.File(SAMPLES / "wing.cgns") as file:
        for name in found["blocks"]:
            sizes = file[f"Wing/{name}/ data"][...]
            points, cells = points + int(sizes[0].prod()), cells + int(sizes[1].prod())
    assert (found["points"], found["cells"]) == (points, cells)
    assert found["array"]["Density"] == {"on": ["cell"], "dtype": "float64"}


@pytest.mark.parametrize("name", ["flow.pvd", "flow.pvtu", "density.vti"])
def test_xml_of_vtk_is_as_a_tree_has_it(name: str) -> None:
    """Files, times, arrays and extents of a collection, of pieces and of an image equal those of the whole tree."""
    found = golden(name)
    head = (SAMPLES / name).read_bytes().partition(b"<AppendedData")[0]
    tree = etree.fromstring(head if head.rstrip().endswith(b"</VTKFile>") else head + b"</VTKFile>")
    files = [each.get("file") or each.get("Source") for each in tree.iter("DataSet", "Piece")]
    times = [float(each.get("timestep")) for each in tree.iter("DataSet")]
    assert found.get("files", []) == [each for each in files if each]
    assert [found.get("time_first"), found.get("time_last")] == [times[0], times[-1]] if times else True
    arrays = [
        each.get("Name") for each in tree.iter("DataArray", "PDataArray") if each.getparent().tag[-6:] != "Points"
    ]
    assert found.get("arrays", []) == arrays
    for each in tree.iter("ImageData"):
        sides = list(map(int, each.get("WholeExtent").split()))
        dimensions = [high - low + 1 for low, high in zip(sides[::2], sides[1::2], strict=True)]
        assert (found["dimensions"], found["points"]) == (dimensions, np.prod(dimensions))
        assert found["cells"] == np.prod([side - 1 for side in dimensions])


@pytest.mark.parametrize("kind", ["RectilinearGrid", "StructuredGrid"])
def test_grids_of_vtk_have_the_points_of_their_extent(tmp_path: Path, kind: str) -> None:
    """A rectilinear and a structured grid have the points, cells and arrays that they were written with."""
    inner = {
        "RectilinearGrid": "<Coordinates>" + "".join(
            f'<DataArray type="Float32" Name="{axis}" format="ascii">0 1 2</DataArray>' for axis in "xyz"
        ) + "</Coordinates>",
        "StructuredGrid": '<Points><DataArray type="Float32" NumberOfComponents="3" format="ascii">'
        + "0 1 2 " * 24 + "</DataArray></Points>",
    }[kind]  # fmt: skip
    (tmp_path / "a").write_text(
        f'<?xml version="1.0"?><VTKFile type="{kind}" version="1.0" byte_order="LittleEndian">'
        f'<{kind} WholeExtent="0 3 0 2 0 1"><Piece Extent="0 3 0 2 0 1"><PointData>'
        '<DataArray type="Float64" Name="speed" format="ascii">' + "1.5 " * 24 + "</DataArray></PointData>"
        f"{inner}</Piece></{kind}></VTKFile>"
    )
    found = mesh.extract(str(tmp_path / "a"))
    assert found["format"] == {"RectilinearGrid": "vtr", "StructuredGrid": "vts"}[kind]
    assert (found["points"], found["cells"], found["dimensions"]) == (24, 6, [4, 3, 2])
    assert found["array"]["speed"] == {"on": ["point"], "dtype": "float64", "components": 1}
    assert found["arrays"] == ["speed"]


@examples(20)
@given(counts=st.tuples(st.integers(3, 30), st.integers(1, 9)), binary=st.booleans(), old=st.booleans())
def test_any_vtk_file_is_counted(
    tmp_path_factory: pytest.TempPathFactory, counts: tuple[int, int], binary: bool, old: bool
) -> None:
    """A random mesh has the points, cells and arrays that were put in, whatever its form."""
    path = tmp_path_factory.getbasetemp() / "any.vtk"
    points, cells = counts
    made = meshio.Mesh(
        np.zeros((points, 3)), [("triangle", np.arange(cells * 3).reshape(cells, 3) % points)],
        point_data={"after": np.ones((points, 2), "float32")}, cell_data={"last": [np.arange(cells)]},
    )  # fmt: skip
    made.write(path, file_format="vtk42" if old else "vtk51", binary=binary)
    found = mesh.extract(str(path))
    assert (found["points"], found["cells"], found["arrays"]) == (points, cells, ["after", "last"])
    assert "partial" not in found


@pytest.mark.parametrize(("day", "year"), [("03/02/95", "1995"), ("03/02/26", "2026"), ("03/02/2026", "2026")])
def test_days_of_exodus_are_of_their_century(tmp_path: Path, day: str, year: str) -> None:
    """Two digits of a year from 80 on are of the last century: the format is older than this one."""
    with netCDF4.Dataset(tmp_path / "a.exo", "w", format="NETCDF3_CLASSIC") as file:
        file.setncatts({"api_version": np.float32(8), "version": np.float32(8), "title": "old"})
        for name, size in (("num_dim", 3), ("num_nodes", 4), ("num_qa_rec", 1), ("four", 4), ("len_string", 33)):
            file.createDimension(name, size)
        records = file.createVariable("qa_records", "S1", ("num_qa_rec", "four", "len_string"))
        for place, word in enumerate(("CUBIT", "1.0", day, "10:11:12")):
            records[0, place, :] = np.frombuffer(word.encode().ljust(33, b"\0"), "S1")
    assert mesh.extract(str(tmp_path / "a.exo"))["created"] == f"{year}-03-02T10:11:12"
