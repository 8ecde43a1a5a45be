"""NumPy's files: .npy, one array, and .npz, an archive of them. Headers are read, and short columns shown."""

from __future__ import annotations

import ast
import math
import re
import struct
import warnings
import zipfile
from typing import Any, BinaryIO

import extractor_facts as facts
import numpy as np
from array_listing import Listing, exactly

MAGIC = b"\x93NUMPY"
MAX_HEADER = 1 << 20
MAX_SHOWN = 1 << 20  # values whose course is shown
MAX_MEMBERS = 100_000
LONG = re.compile(r"\b([0-9]+)L\b(?=[,)])")  # whole numbers of Python 2 in a shape
KEYS = {"descr", "fortran_order", "shape"}


class Header:
    """The header of one array (NumPy Enhancement Proposal 1)."""

    def __init__(self, stream: Any) -> None:
        start = stream.read(8)
        if len(start) < 8 or not start.startswith(MAGIC) or start[6] not in {1, 2, 3}:
            raise ValueError("it is not a NumPy array of version 1, 2 or 3")
        size = 2 if start[6] == 1 else 4
        (length,) = struct.unpack("<H" if size == 2 else "<I", exactly(stream, size))
        if length > MAX_HEADER:
            raise ValueError(f"its header claims to have {length} bytes")
        text = exactly(stream, length).decode("utf-8" if start[6] == 3 else "latin-1")
        self.end = 8 + size + length
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            said = ast.literal_eval(LONG.sub(r"\1", text))  # a literal: nothing of it runs
        if not isinstance(said, dict) or set(said) != KEYS or not isinstance(said["shape"], tuple):
            raise ValueError("its header names no shape or type")
        self.dtype = np.lib.format.descr_to_dtype(said["descr"])
        self.shape: tuple[int, ...] = said["shape"]
        self.fortran = bool(said["fortran_order"])

    def about(self, listing: Listing) -> dict[str, Any]:
        """Return what there is to say beside shape and type."""
        found: dict[str, Any] = {"order": "F"} if self.fortran else {}
        if self.dtype.names:
            found["fields"] = [facts.text(name, 300) for name in self.dtype.names[:500]]
            if len(self.dtype.names) > 500:
                listing.reasons.append(f"of {len(self.dtype.names)} fields 500 are listed")
        return found | ({"pickled": True} if self.dtype.hasobject else {})

    def missing(self, size: int) -> int:
        """Return how many bytes a file of `size` bytes lacks."""
        if self.dtype.hasobject:
            return 0
        return max(0, self.end + math.prod(self.shape) * self.dtype.itemsize - size)


def name_of(dtype: np.dtype[Any]) -> str:
    """Return the name of a type."""
    return "compound" if dtype.names else "object" if dtype.hasobject else dtype.name


def npy(stream: Any, listing: Listing, size: int | None) -> dict[str, Any]:
    """List the array of a file; return `preview`'s parts where its values can be shown."""
    header = Header(stream)
    listing.add("array", name_of(header.dtype), header.shape, **header.about(listing))
    if size is None:
        return {}
    if missing := header.missing(size):
        listing.reasons.append(f"the file is {missing} bytes shorter than its header says")
        return {}
    return shown(stream, header)


def shown(stream: BinaryIO, header: Header) -> dict[str, Any]:
    """Return the course of a few columns of numbers, and the head of a table."""
    count = math.prod(header.shape)
    columns = header.shape[1] if len(header.shape) == 2 else 1
    if header.dtype.hasobject or not 0 < count <= MAX_SHOWN or len(header.shape) > 2 or not header.shape:
        return {}
    if header.dtype.itemsize * count > 64 << 20 or header.dtype.itemsize == 0:
        return {}
    values = np.frombuffer(stream.read(count * header.dtype.itemsize), header.dtype)
    if header.dtype.names and len(header.shape) == 1:
        names = [name for name in header.dtype.names if not header.dtype[name].shape]
        table = facts.table(names, [[cell(row[name]) for name in names[:20]] for row in values[: facts.MAX_ROWS]])
        return {"table": table, "lines": [line(name, values[name]) for name in names[: facts.MAX_LINES]]}
    if header.dtype.names or columns > facts.MAX_LINES:
        return {}
    grid = values.reshape((header.shape[0], columns), order="F" if header.fortran else "C")
    return {"lines": [line(f"{number}", grid[:, number]) for number in range(columns)]}


def cell(value: Any) -> Any:
    """Return one value of a table."""
    found = value.item() if isinstance(value, np.generic) else value
    return found if isinstance(found, (bool, int, float)) or found is None else str(found)


def line(name: str, values: np.ndarray[Any, Any]) -> dict[str, Any] | None:
    """Return the course of numbers; None where they are none."""
    if values.dtype.kind not in "iuf":
        return None
    course = facts.Line(name)
    course.add(values.astype(float).tolist())
    return course.shown()


def npz(file: BinaryIO, listing: Listing) -> bool:
    """List the arrays of an archive; return whether it is one of NumPy: all its members are arrays."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if not members or not all(member.filename.endswith(".npy") for member in members):
            return False
        for member in members[:MAX_MEMBERS]:
            with archive.open(member) as stream:
                header = Header(stream)
            name = member.filename.removesuffix(".npy")
            listing.add(name, name_of(header.dtype), header.shape, **header.about(listing))
            if header.missing(member.file_size):
                listing.reasons.append("an array is shorter than its header says")
    if len(members) > MAX_MEMBERS:
        listing.reasons.append(f"of {len(members)} arrays {MAX_MEMBERS} are read")
    return True
