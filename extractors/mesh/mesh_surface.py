"""STL, PLY and Gmsh: surfaces and meshes whose headers, or lines, say what there is."""

from __future__ import annotations

import struct
from typing import Any

import extractor_facts as facts
from extractor_batch import OutOfTime
from mesh_parts import Mesh

MAX_LINE = 1 << 16
FAR = 1 << 20
TYPES = {
    "char": "int8", "uchar": "uint8", "short": "int16", "ushort": "uint16", "int": "int32", "uint": "uint32",
    "float": "float32", "double": "float64",
}  # fmt: skip


def stl_binary(head: bytes, size: int) -> Mesh:
    """Return what a binary STL file says."""
    mesh = Mesh("stl")
    (count,) = struct.unpack("<I", head[80:84])
    mesh.found["encoding"] = "binary"
    mesh.count("cells", count)
    if title := facts.text(head[:80].split(b"\0")[0].decode("latin-1")):
        mesh.found["title"] = title
    if 84 + count * 50 > size:
        mesh.reasons.append(f"the file is {84 + count * 50 - size} bytes shorter than its header says")
    return mesh


def stl_text(stream: Any) -> Mesh:
    """Return what a textual STL file says."""
    mesh = Mesh("stl")
    mesh.found["encoding"] = "ascii"
    ended = False
    try:
        while line := stream.readline(MAX_LINE):
            word = line.lstrip()[:9].lower()
            if word.startswith(b"facet"):
                mesh.counts["cells"] = mesh.counts.get("cells", 0) + 1
            elif word.startswith(b"solid"):
                ended = False
                mesh.name("blocks", line.strip()[6:].decode("utf-8", "replace"))
            elif word.startswith(b"endsolid"):
                ended = True
    except OutOfTime:
        mesh.reasons.append("time was up: faces are counted as far as it went")
    if "cells" not in mesh.counts and not ended:
        raise ValueError("it is not an STL file: it has no faces")
    if not ended and not mesh.reasons:
        mesh.reasons.append("the file ends within a solid")
    return mesh


def ply(stream: Any) -> Mesh:
    """Return what the header of a PLY file says.

    Raises:
        ValueError: it is none.
    """
    mesh = Mesh("ply")
    stream.readline(MAX_LINE)
    element = ""
    for _ in range(10_000):
        words = stream.readline(MAX_LINE).decode("latin-1").split()
        if words[:1] == ["end_header"]:
            return mesh
        if not words:
            break
        if words[0] == "format" and len(words) == 3:
            mesh.found["encoding"] = "ascii" if words[1] == "ascii" else "binary"
            mesh.found["format_version"] = words[2][:20]
        elif words[0] == "element" and len(words) == 3 and words[2].isdecimal() and len(words[2]) < 19:
            element = words[1]
            key = {"vertex": "points", "face": "cells"}.get(element)
            if key:
                mesh.count(key, int(words[2]))
        elif (
            words[0] == "property" and element in {"vertex", "face"} and words[1:2] != ["list"] and len(words) == 3
        ):
            mesh.array(words[2], "point" if element == "vertex" else "cell", TYPES.get(words[1], words[1][:20]))
        elif words[0] in {"comment", "obj_info"} and len(words) > 1:
            mesh.name("comments", " ".join(words[1:]))
    raise ValueError("it is not a PLY file: its header does not end")


def gmsh(stream: Any) -> Mesh:
    """Return what a Gmsh file says: its version, nodes, elements and names.

    Raises:
        ValueError: it is none.
    """
    mesh = Mesh("gmsh")
    stream.readline(MAX_LINE)
    words = stream.readline(MAX_LINE).split()
    if len(words) != 3 or words[1] not in {b"0", b"1"}:
        raise ValueError("it is not a Gmsh file: it names no version")
    mesh.found["format_version"] = words[0].decode("latin-1")[:20]
    mesh.found["encoding"] = "binary" if words[1] == b"1" else "ascii"
    try:
        while line := stream.readline(FAR):
            if line[:1] == b"$":
                _section(line.strip(), stream, mesh, binary=words[1] == b"1", new=words[0] >= b"4")
    except OutOfTime:
        mesh.reasons.append("time was up: it is read as far as it went")
    return mesh


def _section(name: bytes, stream: Any, mesh: Mesh, *, binary: bool, new: bool) -> None:
    key = {b"$Nodes": "points", b"$Elements": "cells"}.get(name)
    if key:
        if binary and new:
            raw = stream.read(16)
            counts = list(struct.unpack("<2Q", raw)) if len(raw) == 16 else []
        else:
            counts = [int(one) for one in stream.readline(MAX_LINE).split()[:2] if one.isdigit() and len(one) < 19]
        if counts:
            mesh.count(key, counts[1] if new and len(counts) > 1 else counts[0])
    elif name == b"$PhysicalNames":
        rows = stream.readline(MAX_LINE).strip()
        for _ in range(int(rows) if rows.isdigit() and len(rows) < 7 else 0):
            line = stream.readline(MAX_LINE).decode("utf-8", "replace")
            if line.startswith("$"):
                break
            mesh.name("blocks", line.partition('"')[2].rpartition('"')[0])
    elif name in {b"$NodeData", b"$ElementData"}:
        rows = stream.readline(MAX_LINE).strip()
        if rows == b"1":
            text = stream.readline(MAX_LINE).decode("utf-8", "replace").strip().strip('"')
            mesh.array(text, "point" if name == b"$NodeData" else "cell")
