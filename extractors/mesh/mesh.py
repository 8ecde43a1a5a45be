"""Meshes: VTK, XDMF, Exodus, CGNS, STL, PLY, Gmsh: points, cells, arrays, times; data are passed over.

Texts are also read within gzip, bzip2, xz and zstd. Exodus and CGNS are told by their conventions in NetCDF
and HDF5.
"""

from __future__ import annotations

import io
import os
import struct
from typing import Any, BinaryIO

import extractor_batch
import extractor_facts as facts
import extractor_threads  # noqa: F401 - before numpy
from extractor_open import Source
from mesh_parts import Mesh

SECONDS = 20
CLASSIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05")


def texts(source: Source, stream: BinaryIO) -> Mesh:
    """Return what a file that is read from its beginning says.

    Raises:
        ValueError: it is none of these.
    """
    start = source.sample[:4096].lstrip()
    if start.startswith(b"# vtk DataFile Version"):
        from mesh_vtk import Legacy  # noqa: PLC0415 - each kind of file imports what it needs

        mesh = Mesh("vtk")
        Legacy(stream, mesh).read()
        return mesh
    if start.startswith((b"<", b"\xef\xbb\xbf<")):
        from mesh_xml import xml  # noqa: PLC0415

        return xml(stream, start)
    from mesh_surface import gmsh, ply, stl_text  # noqa: PLC0415

    if start.startswith((b"ply\n", b"ply\r\n")):
        return ply(stream)
    if start.startswith(b"$MeshFormat"):
        return gmsh(stream)
    if start[:5].lower() == b"solid" and b"facet" in start.lower():
        return stl_text(stream)
    raise ValueError("it is not a mesh: not VTK, XDMF, Exodus, CGNS, STL, PLY or Gmsh")


def read(path: str, file: BinaryIO) -> Mesh:
    """Return what a file says."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(84)
    file.seek(0)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        from mesh_hdf5 import hdf5  # noqa: PLC0415

        return hdf5(path)
    if head.startswith(CLASSIC):
        from mesh_hdf5 import netcdf  # noqa: PLC0415

        return netcdf(file)
    if head.startswith(b"@(#)ADF Database"):
        raise ValueError("it is CGNS in the older ADF form, which is not supported; convert it with adf2hdf")
    if len(head) == 84 and size == 84 + struct.unpack("<I", head[80:])[0] * 50:
        from mesh_surface import stl_binary  # noqa: PLC0415

        return stl_binary(head, size)
    source = Source(file)
    mesh = texts(source, io.BufferedReader(source, 1 << 20))
    if source.compression:
        mesh.found["compression"] = source.compression
    if source.damage:
        mesh.reasons.append(f"its {source.compression} stream is damaged: {facts.text(source.damage)}")
    return mesh


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    with open(path, "rb") as file:  # noqa: PTH123 - starts quicker
        try:
            with extractor_batch.within(SECONDS):
                mesh = read(path, file)
        except extractor_batch.OutOfTime:
            raise ValueError(f"reading it took longer than {SECONDS} s") from None
        except EOFError:
            raise ValueError("it is cut off within its header") from None
    document = mesh.document()
    document |= facts.common(
        title=document.get("title"), created=document.get("created"), software=document.get("software")
    )
    document |= facts.preview(tree=mesh.tree())
    return document | ({"partial": "; ".join(dict.fromkeys(mesh.reasons))[:4000]} if mesh.reasons else {})


if __name__ == "__main__":
    extractor_batch.run(facts.told(extract), isolated=True)
