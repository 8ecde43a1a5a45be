"""Where a picture with a coordinate system lies, in degrees: geographic systems, UTM and Web Mercator.

Of other systems nothing is told: their formulas are not here, and a box is not guessed. By the series of Krüger, as
in IOGP Guidance Note 7-2, 3.2.3 (transverse Mercator) and 3.2.1.2 (Popular Visualisation Pseudo Mercator).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import extractor_facts as facts

WGS84, GRS80 = (6378137.0, 1 / 298.257223563), (6378137.0, 1 / 298.257222101)
# Geographic systems that differ from WGS 84 by less than some metres
GEOGRAPHIC = {4326, 4258, 4269, 4979, 4283, 7844, 4167, 4674, 4612, 6668, 4490, 4937, 9777, 4152, 4759, 6318}
MERCATOR = {3857, 3785}
EDGE = 20  # parts of an edge whose points are converted
Convert = Callable[[float, float], tuple[float, float]]


def zone_of(epsg: int) -> tuple[int, bool, tuple[float, float]] | None:
    """Return zone, whether it is of the south, and ellipsoid of an EPSG code of UTM; None for others."""
    for first, zones, south, ellipsoid in (
        (32600, range(1, 61), False, WGS84), (32700, range(1, 61), True, WGS84),
        (25800, range(28, 39), False, GRS80), (26900, range(1, 24), False, GRS80),
        (28300, range(46, 60), True, GRS80), (7800, range(46, 60), True, GRS80),
        (31954, range(11, 23), False, GRS80), (31960, range(17, 26), True, GRS80),
    ):  # fmt: skip
        if epsg - first in zones:
            return epsg - first, south, ellipsoid
    return None


def converter(epsg: int) -> Convert | None:
    """Return what converts east and north of a system to longitude and latitude; None where it is not known."""
    if epsg in GEOGRAPHIC:
        return lambda east, north: (east, north)
    if epsg in MERCATOR:
        radius = WGS84[0]
        return lambda east, north: (
            math.degrees(east / radius),
            math.degrees(math.pi / 2 - 2 * math.atan(math.exp(-north / radius))),
        )
    if zone := zone_of(epsg):
        number, south, ellipsoid = zone
        return lambda east, north: transverse(
            east - 500_000, north - (10_000_000 if south else 0), 6 * number - 183, ellipsoid
        )
    return None


def transverse(x: float, y: float, meridian: float, ellipsoid: tuple[float, float]) -> tuple[float, float]:
    """Return longitude and latitude of a place in a transverse Mercator projection of UTM's scale."""
    radius, flat = ellipsoid
    n = flat / (2 - flat)
    around = radius / (1 + n) * (1 + n**2 / 4 + n**4 / 64) * 0.9996
    xi, eta = y / around, x / around
    series = (n / 2 - 2 * n**2 / 3 + 37 * n**3 / 96, n**2 / 48 + n**3 / 15, 17 * n**3 / 480)
    level, wide = xi, eta
    for place, part in enumerate(series, start=1):
        level -= part * math.sin(2 * place * xi) * math.cosh(2 * place * eta)
        wide -= part * math.cos(2 * place * xi) * math.sinh(2 * place * eta)
    conformal = math.asin(math.sin(level) / math.cosh(wide))
    latitude = conformal
    for place, part in enumerate(
        (2 * n - 2 * n**2 / 3 - 2 * n**3, 7 * n**2 / 3 - 8 * n**3 / 5, 56 * n**3 / 15), start=1
    ):
        latitude += part * math.sin(2 * place * conformal)
    return meridian + math.degrees(math.atan2(math.sinh(wide), math.cos(level))), math.degrees(latitude)


def box_of(epsg: int, edges: Iterable[Any]) -> list[float] | None:
    """Return west, south, east, north in degrees of edges (west, south, east, north) in a system."""
    west, south, east, north = edges
    convert = converter(epsg)
    if convert is None:
        return None
    steps = [part / EDGE for part in range(EDGE + 1)]
    across = [west + (east - west) * step for step in steps]
    along = [south + (north - south) * step for step in steps]
    try:
        around = [convert(x, y) for x in across for y in (south, north)]
        around += [convert(x, y) for x in (west, east) for y in along]
    except (ValueError, OverflowError):
        return None
    longitudes, latitudes = zip(*around, strict=True)
    return facts.box(min(longitudes), min(latitudes), max(longitudes), max(latitudes))
