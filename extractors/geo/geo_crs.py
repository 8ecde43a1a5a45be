"""Coordinate systems: their number where it is said, else their name; and the box around coordinates."""

from __future__ import annotations

import math
import re
from typing import Any

import extractor_facts as facts

NAME = re.compile(
    r"\s*(?:PROJCS|GEOGCS|GEOCCS|COMPD_CS|LOCAL_CS|PROJCRS|GEOGCRS|GEODCRS|BOUNDCRS|COMPOUNDCRS|VERTCRS)"
    r'\["([^"]*)"'
)
CODE = re.compile(r'(?:AUTHORITY\["EPSG",\s*"(\d+)"\]|ID\["EPSG",\s*(\d+)[^\]]*\])\s*\]\s*$')
URN = re.compile(
    r"(?i)(?:urn:ogc:def:crs:EPSG:[^:]*:|https?://www\.opengis\.net/def/crs/EPSG/\d[^/]*/|EPSG:+)(\d+)$"
)
GEOGRAPHIC = re.compile(r"\s*(GEOGCS|GEOGCRS|GEODCRS)\b")
UNIT = re.compile(r'UNIT\["[^"]*",\s*((?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)')
MERIDIAN = re.compile(r'PRIMEM(?:ERIDIAN)?\["[^"]*",\s*([-+.\d]+)')
ESRI = (  # names without numbers, as Esri's programs write them
    (re.compile(r"GCS_WGS_1984"), lambda _: 4326),
    (re.compile(r"GCS_ETRS_1989"), lambda _: 4258),
    (re.compile(r"WGS_1984_Web_Mercator_Auxiliary_Sphere"), lambda _: 3857),
    (re.compile(r"WGS_1984_UTM_Zone_(\d{1,2})N"), lambda found: 32600 + int(found[1])),
    (re.compile(r"WGS_1984_UTM_Zone_(\d{1,2})S"), lambda found: 32700 + int(found[1])),
    (re.compile(r"ETRS_1989_UTM_Zone_(2[89]|3[0-8])N"), lambda found: 25800 + int(found[1])),
)


def of_wkt(text: str) -> dict[str, Any]:
    """Return `crs` and `crs_name` of a system in Well-Known Text, and whether it has degrees."""
    named = NAME.match(text)
    if not named:
        return {}
    name = facts.text(named[1], 300)
    found: dict[str, Any] = {"crs_name": name} if name else {}
    code = CODE.search(text)
    number = (
        int(code[1] or code[2])
        if code
        else next((made(match) for pattern, made in ESRI if (match := pattern.fullmatch(name))), None)
    )
    if number or name:
        found["crs"] = f"EPSG:{number}" if number else name
    return found | ({"degrees": True} if has_degrees(text) else {})


def has_degrees(text: str) -> bool:
    """Whether a system in Well-Known Text counts degrees from Greenwich."""
    meridian = MERIDIAN.search(text)
    from_greenwich = meridian is None or not meridian[1].strip("+-0.")
    units = (float(each[1]) for each in UNIT.finditer(text))
    degrees = any(math.isclose(unit, math.radians(1), rel_tol=1e-6) for unit in units)
    return bool(GEOGRAPHIC.match(text)) and degrees and from_greenwich


def of_urn(text: Any) -> str | None:
    """Return the system that a name such as urn:ogc:def:crs:EPSG::25832 means."""
    if not isinstance(text, str):
        return None
    if re.search(r"(?i)(OGC:[\d.]*:?CRS84|CRS84)$", text):
        return "EPSG:4326"
    found = URN.search(text.strip())
    return f"EPSG:{found[1]}" if found else facts.text(text, 300) or None


class Box:
    """The box around points."""

    def __init__(self) -> None:
        self.low = [math.inf, math.inf]
        self.high = [-math.inf, -math.inf]

    def add(self, x: float, y: float) -> None:
        """Take a point."""
        self.low[0] = min(self.low[0], x)
        self.high[0] = max(self.high[0], x)
        self.low[1] = min(self.low[1], y)
        self.high[1] = max(self.high[1], y)

    def extent(self) -> list[float] | None:
        """Return west, south, east, north in the file's own units; None where there was no point."""
        sides = [*self.low, *self.high]
        return sides if all(map(math.isfinite, sides)) else None
