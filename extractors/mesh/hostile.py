"""Meshes that nobody would write on purpose: absurd counts, lines without end, entities, nests."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

HEAD = b"# vtk DataFile Version 3.0\nx\nBINARY\nDATASET UNSTRUCTURED_GRID\n"
TEXT = HEAD.replace(b"BINARY", b"ASCII")
VTU = b'<VTKFile type="UnstructuredGrid"><UnstructuredGrid>'
LARGE = 2 << 30


def hostile(folder: Path) -> None:
    """Write them into `folder`."""
    makers = {
        "points.vtk": HEAD + b"POINTS 999999999999999999999999 float\n",
        "negative.vtk": HEAD + b"POINTS -5 float\nCELLS -1 -1\nPOINT_DATA -7\nSCALARS a float -3\n",
        "words.vtk": HEAD + b"POINTS\nCELLS 1\nSCALARS\nFIELD f\nDIMENSIONS a b c\n",
        "dimensions.vtk": HEAD + b"DIMENSIONS 9999999999 9999999999 9999999999\n",
        "arrays.vtk": TEXT + b"POINT_DATA 1\n" + b"".join(b"SCALARS a%d float\n" % n for n in range(50_000)),
        "fields.vtk": TEXT + b"FIELD f 99999999\n" + b"a 1 1 float\n1\n" * 50_000,
        "field-without-end.vtk": TEXT + b"FIELD f 9\nMETADATA\n" + b"x\n" * 100_000,
        "type.vtk": HEAD + b"POINTS 3 string\n",
        "line.vtk": HEAD + b"x" * 30_000_000,
        "bomb.vtk.gz": gzip.compress(TEXT + b"0 0 0\n" * 2_000_000, 1),
        "entity.vtu": b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>" + VTU,
        "laughs.xdmf": b"<!DOCTYPE a [<!ENTITY b 'ha'><!ENTITY c '&b;&b;'>]><Xdmf>&c;</Xdmf>",
        "undeclared.xdmf": b"<!DOCTYPE Xdmf SYSTEM 'Xdmf.dtd'><Xdmf><Grid Name='&x;'>&x;</Grid></Xdmf>",
        "deep.vtu": VTU + b"<Piece>" * 100_000,
        "counts.vtu": VTU + b'<Piece NumberOfPoints="999999999999999999" NumberOfCells="-1"/>' * 20,
        "extent.vti": b'<VTKFile type="ImageData"><ImageData WholeExtent="9 1 1e300 2 nan 3"/></VTKFile>',
        "extent-huge.vti": b'<VTKFile type="ImageData"><ImageData WholeExtent="0 1e300 0 1e300 0 1"/></VTKFile>',
        "files.pvd": b'<VTKFile type="Collection">' + b"".join(
            b'<DataSet timestep="%d" file="%d.vtu"/>' % (n, n) for n in range(30_000)) + b"</VTKFile>",
        "grids.xdmf": b"<Xdmf>" + b"<Grid/>" * 100_000 + b"</Xdmf>",
        "facets.stl": b"solid\nfacet\n" + b"facet normal 0 0 1\n" * 200_000,
        "count.stl": bytes(80) + struct.pack("<I", 0),
        "header.ply": b"ply\nformat ascii 1.0\n" + b"comment x\n" * 100_000,
        "counts.ply": b"ply\nelement vertex 99999999999999999999999\nelement face -4\nend_header\n",
        "names.msh": b"$MeshFormat\n4.1 0 8\n$EndMeshFormat\n$PhysicalNames\n999999\n" + b'1 1 "a"\n' * 10_000,
        "nodes.msh": b"$MeshFormat\n4.1 1 8\n$EndMeshFormat\n$Nodes\n" + b"\xff" * 16,
        "lists.exo": b"CDF\x02" + struct.pack(">iii", -1, 10, 0x7FFFFFFF),
        "name.exo": b"CDF\x01" + struct.pack(">iiii", 0, 10, 1, 0x7FFFFFF0) + b"x",
        "none.cgns": b"\x89HDF\r\n\x1a\n" + b"\xff" * 2000,
    }  # fmt: skip
    for name, content in makers.items():
        (folder / name).write_bytes(content)
    for name, start in (("sparse.vtk", TEXT), ("sparse.vtu", VTU)):
        with (folder / name).open("wb") as file:
            file.write(start)
            file.truncate(LARGE)


def large(folder: Path, size_bytes: int) -> Path:
    """Write one VTK file of about `size_bytes`, all of it points as text."""
    path = folder / "large.vtk"
    rows = b"0.125 0.250 0.500\n" * 10_000
    count = size_bytes // len(rows)
    with path.open("wb") as file:
        file.write(TEXT + b"POINTS %d float\n" % (count * 10_000))
        for _ in range(count):
            file.write(rows)
    return path
