"""The files of a shapefile, each for itself: shapes (.shp), their index (.shx), and the table (.dbf)."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

import extractor_facts as facts
from extractor_batch import OutOfTime

TYPES = {
    0: "Null", 1: "Point", 3: "PolyLine", 5: "Polygon", 8: "MultiPoint", 11: "PointZ", 13: "PolyLineZ",
    15: "PolygonZ", 18: "MultiPointZ", 21: "PointM", 23: "PolyLineM", 25: "PolygonM", 28: "MultiPointM",
    31: "MultiPatch",
}  # fmt: skip
DBASE = {3, 4, 5, 0x30, 0x31, 0x43, 0x63, 0x83, 0x8B, 0x8C, 0xCB, 0xF5}
FIELDS = {
    "C": "text", "N": "number", "F": "number", "L": "boolean", "D": "date", "M": "memo", "I": "integer",
    "B": "double",
    "O": "double", "T": "time", "@": "time", "Y": "currency", "+": "integer",
}  # fmt: skip
CODE_PAGES = {0x01: "cp437", 0x02: "cp850", 0x03: "cp1252", 0x57: "cp1252", 0x64: "cp852", 0x65: "cp866",
              0xC8: "cp1250", 0xC9: "cp1251", 0x4D: "cp936", 0x7B: "cp932"}  # fmt: skip
MAX_FIELDS = 500


def shapefile(file: BinaryIO, size: int, reasons: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what shapes, or their index, say.

    Raises:
        ValueError: it is broken.
    """
    header = file.read(108)
    length, version, kind = struct.unpack(">I", header[24:28])[0] * 2, *struct.unpack("<II", header[28:36])
    if version != 1000 or kind not in TYPES:
        raise ValueError("it is not a shapefile: its header has an unknown version or type")
    found: dict[str, Any] = {"format": "shapefile", "part": "shapes", "shape_type": TYPES[kind]}
    west, south, east, north, low, high = struct.unpack("<6d", header[36:84])
    if west <= east and south <= north:
        found["extent"] = [west, south, east, north]
    if TYPES[kind].endswith(("Z", "Patch")) and low <= high:
        found |= {"z_min": low, "z_max": high}
    if header[100:104] == b"\0\0\0\x32":  # the place of the first shape: an index
        found |= {"part": "index", "features": (min(size, length) - 100) // 8}
    else:
        found["features"] = shapes(file, min(size, length), reasons)
    if length > size:
        reasons.append(f"the file is {length - size} bytes shorter than its header says")
    return finite(found), {}


def finite(found: dict[str, Any]) -> dict[str, Any]:
    """Leave out numbers that are none."""
    for key in ("extent", "z_min", "z_max"):
        values = found.get(key, 0)
        if not all(abs(one) < 1e30 for one in (values if isinstance(values, list) else [values])):
            del found[key]
    return found


def shapes(file: BinaryIO, end: int, reasons: list[str]) -> int:
    """Return how many shapes there are, by walking over their headers."""
    at, count = 100, 0
    try:
        while at + 8 <= end:
            file.seek(at)
            (words,) = struct.unpack(">4xI", file.read(8))
            at += 8 + words * 2
            if words < 2 or at > end:
                reasons.append(f"shape {count + 1} is broken")
                break
            count += 1
    except OutOfTime:
        reasons.append("time was up: shapes are counted as far as it went")
    return count


def is_dbase(head: bytes, size: int) -> bool:
    """Whether a file is a dBase table: its lengths fit each other."""
    if len(head) < 65 or head[0] not in DBASE or not (1 <= head[2] <= 12 and 1 <= head[3] <= 31):
        return False
    rows, length, width = struct.unpack("<IHH", head[4:12])
    whole = length + rows * width
    return length >= 65 and width > 1 and head[32:33].isalpha() and -width * rows <= size - whole <= 1024


def dbase(file: BinaryIO, size: int, reasons: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a table says, and its head.

    Raises:
        ValueError: it is broken.
    """
    head = file.read(32)
    rows, length, width = struct.unpack("<IHH", head[4:12])
    descriptors = file.read(length - 32)
    fields: list[tuple[str, str, int]] = []
    encoding = CODE_PAGES.get(head[29], "")
    for at in range(0, len(descriptors) - 31, 32):
        one = descriptors[at : at + 32]
        if one[0] in {0x0D, 0}:
            break
        name = facts.text(one[:11].split(b"\0")[0].decode(encoding or "latin-1", "replace"), 300)
        fields.append((name or f"field {len(fields) + 1}", chr(one[11]), one[16]))
    if not fields or sum(field[2] for field in fields) > width:
        raise ValueError("it is not a dBase table: its fields do not fit its rows")
    found: dict[str, Any] = {
        "format": "dbase",
        "rows": rows,
        "columns": [name for name, _, _ in fields[:MAX_FIELDS]],
        "column": {
            name: {"type": FIELDS.get(kind, kind), "width": size_} for name, kind, size_ in fields[:MAX_FIELDS]
        },
    }
    if len(fields) > MAX_FIELDS:
        reasons.append(f"of {len(fields)} columns {MAX_FIELDS} are listed")
    year = head[1] + (1900 if head[1] >= 80 else 2000)
    found |= {"updated": shown} if (shown := facts.moment(f"{year:04}-{head[2]:02}-{head[3]:02}")) else {}
    found |= {"encoding": encoding} if encoding else {}
    if (missing := length + rows * width - size) > 0:
        reasons.append(f"the file is {missing} bytes shorter than its header says")
    file.seek(length)
    records = [file.read(width) for _ in range(min(rows, facts.MAX_ROWS))]
    whole = [record for record in records if len(record) == width and record[:1] != b"*"]
    table = [values(record, fields, encoding or "latin-1") for record in whole]
    return found, {"table": facts.table(found["columns"], table)}


def values(record: bytes, fields: list[tuple[str, str, int]], encoding: str) -> list[Any]:
    """Return the values of one row."""
    found: list[Any] = []
    at = 1
    for _, kind, size in fields[: facts.MAX_COLUMNS]:
        text = record[at : at + size].decode(encoding, "replace").strip(" \0")
        at += size
        found.append(value(kind, text))
    return found


def value(kind: str, text: str) -> Any:
    """Return a value; None for none."""
    if kind in {"N", "F"}:
        try:
            number = float(text)
        except ValueError:
            return None
        return int(number) if number.is_integer() and abs(number) < 1 << 53 else number
    if kind == "L":
        return {"T": True, "Y": True, "F": False, "N": False}.get(text.upper())
    if kind == "D":
        return facts.moment(text)
    return text or None if kind == "C" else None
