"""MATLAB's files of version 7.3, which are HDF5 after a header: names, classes and shapes of the variables."""

from __future__ import annotations

from typing import Any, BinaryIO

import array_matlab
import extractor_facts as facts
import h5py
from array_listing import Listing, exactly

CLASSES = {"double": "float64", "single": "float32", "logical": "uint8", "function_handle": "function"}
READING = (OSError, RuntimeError, KeyError, ValueError, TypeError)
MAX_DIMENSIONS = 64


def mat73(file: BinaryIO, listing: Listing) -> dict[str, Any]:
    """List the variables of a file, and return what its header says."""
    text = exactly(file, 116).decode("latin-1").replace("\0", " ").strip()
    found: dict[str, Any] = {"format": "mat73", "header": facts.text(text)} | array_matlab.said_by(text)
    try:
        with h5py.File(file, "r") as opened:
            for place, name in enumerate(opened):
                if place == array_matlab.MAX_VARIABLES:
                    listing.reasons.append(f"only {place} variables are read")
                    break
                if not name.startswith("#"):  # what variables refer to
                    _take(opened, name, listing)
    except READING as exc:
        if not listing.count:
            raise ValueError(f"its HDF5 part cannot be read: {facts.text(str(exc))[:200]}") from None
        listing.reasons.append(f"not all variables can be read: {facts.text(str(exc))[:200]}")
    return found


def _take(opened: h5py.File, name: str, listing: Listing) -> None:
    """List one variable."""
    try:
        item = _at(opened, name)
        if item is None:
            listing.reasons.append(f"{facts.text(name, 100)} is a link, which is not followed")
            return
        kind, shape = _kind(item), _shape(item)
        marks = {
            "complex": isinstance(item, h5py.Dataset) and item.dtype.names == ("real", "imag"),
            "global": bool(_number(item, "MATLAB_global")),
            "logical": _word(item) == "logical",
        }
        listing.add(name, kind, shape, **{mark: True for mark, on in marks.items() if on})
    except READING as exc:
        listing.reasons.append(f"a variable cannot be read: {facts.text(str(exc))[:200]}")


def _at(group: h5py.Group, name: str) -> Any:
    """Return what lies in a group under a name; None where a link does, which may lead to another file."""
    linked = group.get(name, getlink=True)
    return group[name] if isinstance(linked, h5py.HardLink) else None


def _word(item: Any) -> str:
    value = item.attrs.get("MATLAB_class")
    return value.decode("ascii", "replace") if isinstance(value, bytes) else ""


def _number(item: Any, key: str) -> int | None:
    value = item.attrs.get(key)
    return int(value) if value is not None and getattr(value, "shape", None) == () else None


def _kind(item: Any) -> str:
    if "MATLAB_object_decode" in item.attrs:
        return "opaque"
    if "MATLAB_sparse" in item.attrs:
        return "sparse"
    word = facts.text(_word(item), 100)
    if word:
        return CLASSES.get(word, word)
    return "struct" if isinstance(item, h5py.Group) else facts.text(item.dtype.name, 100)


def _shape(item: Any) -> tuple[int, ...]:
    """Return the shape as MATLAB says it: HDF5 has the dimensions in the other order."""
    if "MATLAB_object_decode" in item.attrs:
        return ()
    if isinstance(item, h5py.Dataset):
        if _number(item, "MATLAB_empty") and item.ndim == 1 and item.shape[0] <= MAX_DIMENSIONS:
            return tuple(int(one) for one in item[()])  # of an empty one the dimensions are written as its values
        return tuple(reversed(item.shape))
    if (rows := _number(item, "MATLAB_sparse")) is not None:
        ends = _at(item, "jc")
        return rows, (ends.shape[0] - 1 if isinstance(ends, h5py.Dataset) and ends.ndim == 1 else 0)
    first = next(iter(item), None)
    field = _at(item, first) if first is not None else None
    if isinstance(field, h5py.Dataset) and h5py.check_ref_dtype(field.dtype) and not _word(field):
        return tuple(reversed(field.shape))  # an array of structs has its fields as arrays of references
    return 1, 1
