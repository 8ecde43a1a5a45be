"""Coverage in time and space from the coordinates of the CF conventions (CF 1.11, chapters 4 and 5.6)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import extractor_facts as facts
import hdf5_calendar as calendar
import numpy as np

MAX_ELEMENTS = 4_000_000  # of a coordinate that is read
MAX_COORDINATES = 30
# What the NetCDF library writes where nothing was written
UNWRITTEN = {"i2": -32767, "i4": -2147483647, "i8": -9223372036854775806, "f4": 9.969209968386869e36,
             "f8": 9.969209968386869e36}  # fmt: skip
NORTH = re.compile(r"degrees?_?n(orth)?", re.IGNORECASE)
EAST = re.compile(r"degrees?_?e(ast)?", re.IGNORECASE)
DEGREES = re.compile(r"(deg|degrees?|degrees?_?n(orth)?|degrees?_?e(ast)?)?", re.IGNORECASE)
RADIANS = re.compile(r"rad|radians?|radians?_?(north|east)", re.IGNORECASE)
EPSG = re.compile(r"""(?:AUTHORITY|ID)\[\s*"EPSG"\s*,\s*"?(\d{4,6})"?\s*\]""")


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A variable that says when or where."""

    kind: str
    name: str
    scalar: bool
    attributes: dict[str, Any]
    read: Callable[[], Any]  # its values as an array, None where they cannot be read


def kind_of(name: str, attributes: dict[str, Any], dimensions: list[str] | None) -> str:
    """Return of which kind a coordinate is: `latitude`, `longitude`, `time`; empty where a variable is none."""
    standard, units = attributes.get("standard_name"), attributes.get("units")
    words = units.strip() if isinstance(units, str) else ""
    if standard in ("latitude", "longitude"):
        return str(standard)
    if standard is None and NORTH.fullmatch(words):
        return "latitude"
    if standard is None and EAST.fullmatch(words):
        return "longitude"
    short = name.rpartition("/")[2]
    is_axis = attributes.get("axis") == "T" or short.lower() == "time" or dimensions == [name]
    if (standard == "time" or (standard is None and is_axis)) and calendar.is_time(words):
        return "time"
    return ""


def decoded(values: Any, attributes: dict[str, Any]) -> Any:
    """Return the numbers that a packed variable stands for, without those that are missing."""
    numbers = np.asarray(values).reshape(-1)
    if numbers.dtype.kind not in "iuf":
        return np.empty(0)
    valid = np.isfinite(numbers)
    if "_FillValue" not in attributes and numbers.dtype.str[1:] in UNWRITTEN:
        valid &= numbers != numbers.dtype.type(UNWRITTEN[numbers.dtype.str[1:]])
    for key in ("_FillValue", "missing_value"):
        fill = attributes.get(key)
        if isinstance(fill, (int, float)):
            valid &= numbers != numbers.dtype.type(fill) if _fits(fill, numbers.dtype) else True
    kept = numbers[valid]
    scale, offset = attributes.get("scale_factor"), attributes.get("add_offset")
    if isinstance(scale, (int, float)):
        kept = kept * float(scale)
    return kept + float(offset) if isinstance(offset, (int, float)) else kept


def in_degrees(values: Any, units: Any) -> Any:
    """Return a latitude or longitude in degrees; nothing of what is in other units."""
    words = units.strip() if isinstance(units, str) else ""
    if RADIANS.fullmatch(words):
        return np.degrees(values)
    return values if DEGREES.fullmatch(words) else np.empty(0)


def _fits(fill: float, dtype: Any) -> bool:
    if dtype.kind == "f":
        return True
    limits = np.iinfo(dtype)
    return int(limits.min) <= fill <= int(limits.max)


def coverage(coordinates: Iterable[Coordinate], named: set[str], said: dict[str, Any]) -> dict[str, Any]:
    """Return `start`, `end` and `bbox`, as far as coordinates that can be read tell them.

    A place that is one number may be a satellite's: it counts only where an attribute `coordinates` has its name,
    which is in `named`. Of one moment, what the attributes say of the time around it counts, in `said`.
    """
    ranges: dict[str, list[tuple[float, float]]] = {"latitude": [], "longitude": []}
    first: list[str] = []
    last: list[str] = []
    for one in coordinates:
        if one.scalar and one.kind != "time" and one.name.rpartition("/")[2] not in named:
            continue
        values = one.read()
        kept = decoded(values, one.attributes) if values is not None else np.empty(0)
        kept = kept if one.kind == "time" else in_degrees(kept, one.attributes.get("units"))
        if not np.size(kept):
            continue
        if one.kind == "time":
            edges = (np.min(kept).item(), np.max(kept).item())
            found = calendar.moments(edges, one.attributes["units"], str(one.attributes.get("calendar", "")))
            first += [found[0]] if found[0] else []
            last += [found[1]] if found[1] else []
        elif one.kind == "latitude":
            ranges["latitude"].append((float(np.min(kept)), float(np.max(kept))))
        else:
            ranges["longitude"].append(longitudes(kept, np.ndim(values) == 1))
    document: dict[str, Any] = {}
    if first and last:
        start, end = facts.moment(said.get("start")), facts.moment(said.get("end"))
        around = min(first) == max(last) and start and end and start <= min(first) <= end
        document |= {"start": start, "end": end} if around else {"start": min(first), "end": max(last)}
    south, north = _joined(ranges["latitude"])
    west, east = ranges["longitude"][0] if len(ranges["longitude"]) == 1 else _joined(ranges["longitude"])
    if box := facts.box(west, south, east, north):
        document["bbox"] = box
    return document


def _joined(ranges: list[tuple[float, float]]) -> tuple[float | None, float | None]:
    if not ranges:
        return None, None
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def longitudes(values: Any, axis: bool) -> tuple[float, float]:
    """Return west and east of longitudes; an axis that goes around the world is all of it."""
    low, high = float(np.min(values)), float(np.max(values))
    steps = np.diff(values.astype("f8")) if axis and len(values) > 1 else np.empty(0)
    jumps = np.abs(steps) > 180
    if jumps.sum() == 1 and (steps[~jumps] > 0).all() and steps[jumps][0] < 0:
        return float(values[0]), float(values[-1])  # it crosses the date line
    if len(steps) and high - low + float(np.abs(steps).max()) >= 359.99 and not jumps.any() and len(steps) > 2:
        return -180.0, 180.0
    return low, high


def crs_of(attributes: dict[str, Any]) -> str:
    """Return the coordinate system that a variable with `grid_mapping_name` or WKT describes; empty for none."""
    code = attributes.get("epsg_code", attributes.get("spatial_epsg"))
    digits = str(code).upper().removeprefix("EPSG:").strip() if code is not None else ""
    if digits.isdigit():
        return f"EPSG:{digits}"
    for key in ("crs_wkt", "spatial_ref"):
        if isinstance(wkt := attributes.get(key), str):
            if (found := EPSG.findall(wkt)) and EPSG.search(wkt.strip()[-40:]):
                return f"EPSG:{found[-1]}"  # the last one is that of the whole
            if name := re.match(r'\s*\w+\[\s*"([^"]+)"', wkt):
                return name[1]
    name_of = attributes.get("grid_mapping_name")
    return name_of if isinstance(name_of, str) else ""
