"""LAS and LAZ (ASPRS LAS 1.0 to 1.4): clouds of points, by their headers."""

from __future__ import annotations

import math
import struct
from datetime import date, timedelta
from typing import Any, BinaryIO

import extractor_facts as facts
from geo_crs import of_wkt

MAX_RECORDS = 2000
MAX_RECORD = 1 << 20
KEYS, WKT = 34735, 2112
MODEL, GEOGRAPHIC, PROJECTED = 1024, 2048, 3072  # keys of GeoTIFF


def las(file: BinaryIO, size: int, reasons: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a header says.

    Raises:
        ValueError: it is broken.
    """
    head = file.read(375)
    if len(head) < 227:
        raise ValueError("it is cut off within its header")
    major, minor = head[24], head[25]
    day, year, header_size, begin, records = struct.unpack("<HHHII", head[90:104])
    layout, width, old_count = struct.unpack("<BHI", head[104:111])
    found: dict[str, Any] = {"format": "laz" if layout & 128 else "las", "format_version": f"{major}.{minor}"}
    count = struct.unpack("<Q", head[247:255])[0] if (major, minor) >= (1, 4) and len(head) >= 255 else old_count
    found |= {"points": count, "point_format": layout & 63, "point_bytes": width}
    if count >= 1 << 63:
        raise ValueError("it claims to have more points than any file can have")
    scale = struct.unpack("<3d", head[131:155])
    sides = struct.unpack("<6d", head[179:227])
    if all(map(math.isfinite, (*scale, *sides))):
        found["scale"] = list(scale)
        if count:
            east, west, north, south, high, low = sides
            found |= {"extent": [west, south, east, north], "z_min": low, "z_max": high}
    for key, part in (("system", head[26:58]), ("software", head[58:90])):
        if text := facts.text(part.split(b"\0")[0].decode("latin-1")):
            found[key] = text
    if 1 <= day <= 366 and 1900 <= year <= 9999:
        found["created"] = (date(year, 1, 1) + timedelta(days=day - 1)).isoformat()
    found |= systems(file, header_size, min(records, MAX_RECORDS))
    if records > MAX_RECORDS:
        reasons.append(f"of {records} records of its header {MAX_RECORDS} are read")
    if not layout & 128 and begin + count * width > size:
        reasons.append(f"the file is {begin + count * width - size} bytes shorter than its header says")
    return found, {}


def systems(file: BinaryIO, at: int, records: int) -> dict[str, Any]:
    """Return the coordinate system that the records after the header say."""
    found: dict[str, Any] = {}
    for _ in range(records):
        file.seek(at)
        head = file.read(54)
        if len(head) < 54:
            break
        user, number, length = struct.unpack("<2x16sHH32x", head)
        at += 54 + length
        if user.rstrip(b"\0") != b"LASF_Projection":
            continue
        content = file.read(min(length, MAX_RECORD))
        if number == WKT:
            return of_wkt(content.split(b"\0")[0].decode("utf-8", "replace"))
        if number == KEYS:
            found = of_keys(content)
    return found


def of_keys(content: bytes) -> dict[str, Any]:
    """Return the coordinate system that the keys of GeoTIFF say."""
    words = struct.unpack(f"<{len(content) // 2}H", content[: len(content) // 2 * 2])
    keys = {words[at]: words[at + 3] for at in range(4, len(words) - 3, 4) if words[at + 1] == 0}
    # what is projected has a geographic system too, which is not that of its coordinates
    for key in {1: (PROJECTED,), 2: (GEOGRAPHIC,)}.get(keys.get(MODEL, 0), (PROJECTED, GEOGRAPHIC)):
        if 1023 < keys.get(key, 0) < 32767:
            return {"crs": f"EPSG:{keys[key]}"} | ({"degrees": True} if key == GEOGRAPHIC else {})
    return {}
