"""GeoPackage: its layers, by SQLite, which opens the file read-only and runs none of what it holds."""

from __future__ import annotations

import sqlite3
import time
from typing import Any
from urllib.parse import quote

import extractor_facts as facts
from geo_crs import of_wkt

SECONDS = 15  # of counting
MAX_LAYERS = 300
MAX_COLUMNS = 500
STEPS = 100_000  # of SQLite's machine, between looks at the clock
LAYERS = (
    "SELECT table_name, data_type, identifier, description, last_change, min_x, min_y, max_x, max_y, srs_id"
    " FROM gpkg_contents"
)
GEOMETRIES = "SELECT column_name, geometry_type_name FROM gpkg_geometry_columns WHERE table_name = ?"
SYSTEM = (
    "SELECT organization, organization_coordsys_id, definition, srs_name FROM gpkg_spatial_ref_sys WHERE srs_id = ?"
)


class Package:
    """One file."""

    def __init__(self, path: str, reasons: list[str]) -> None:
        self.reasons = reasons
        self._base = sqlite3.connect(f"file:{quote(path)}?mode=ro&immutable=1", uri=True, timeout=1)
        self._base.text_factory = lambda raw: raw.decode("utf-8", "replace")
        self._until = time.monotonic() + SECONDS
        self._base.set_progress_handler(self._late, STEPS)
        for limit in ("trusted_schema = OFF", "query_only = ON", "cell_size_check = ON", "mmap_size = 0"):
            self._base.execute(f"PRAGMA {limit}")
        self._base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 16 << 20)
        self.tables = {
            row[0] for row in self.rows("SELECT name FROM sqlite_master WHERE type = 'table' LIMIT 100000")
        }

    def close(self) -> None:
        """Close it."""
        self._base.close()

    def _late(self) -> bool:
        return time.monotonic() > self._until

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a statement, up to 100,000."""
        return self._base.execute(statement, values).fetchmany(100_000)

    def first(self, statement: str, *values: Any) -> tuple[Any, ...]:
        """Return the first row; an empty one where there is none or the table is not there."""
        try:
            found = self._base.execute(statement, values).fetchone()
        except sqlite3.Error:
            return ()
        return found or ()

    def count(self, table: str) -> int | None:
        """Return how many rows a table has; None where that takes too long."""
        known = self.first("SELECT feature_count FROM gpkg_ogr_contents WHERE table_name = ?", table)
        if known and isinstance(known[0], int) and known[0] >= 0:
            return known[0]
        if table not in self.tables:  # a view may be anything
            return None
        counted = self.first(f"SELECT count(*) FROM {quoted(table)}")  # noqa: S608 - a name, quoted
        if not counted:
            self.reasons.append(f"the rows of {facts.text(table, 100)} cannot be counted in {SECONDS} s")
        return counted[0] if counted else None


def quoted(name: str) -> str:
    """Return a name as SQL quotes it."""
    return '"' + name.replace('"', '""') + '"'


def layer(package: Package, row: tuple[Any, ...]) -> dict[str, Any]:
    """Return what one layer is."""
    name, kind, title, description, changed, *sides, system = row
    found: dict[str, Any] = {"type": facts.text(kind, 50) or "unknown"}
    for key, value in (("title", title), ("description", description)):
        if (text := facts.text(value)) and text != name:
            found[key] = text
    if moment := facts.moment(changed):
        found["changed"] = moment
    if all(isinstance(side, (int, float)) for side in sides):
        found["extent"] = [float(side) for side in sides]
    geometry = package.first(GEOMETRIES, name)
    if len(geometry) == 2:
        found["geometry"] = facts.text(geometry[1], 50)
    if isinstance(name, str) and (count := package.count(name)) is not None:
        found["rows"] = count
    if isinstance(name, str) and name in package.tables:
        columns = package.rows(f"PRAGMA table_info({quoted(name)})")
        found["columns"] = [facts.text(column[1], 300) for column in columns[:MAX_COLUMNS]]
        if len(columns) > MAX_COLUMNS:
            package.reasons.append(f"of {len(columns)} columns {MAX_COLUMNS} are listed")
    return found | crs(package, system)


def crs(package: Package, system: Any) -> dict[str, Any]:
    """Return the coordinate system of a layer."""
    said = package.first(SYSTEM, system)
    if len(said) != 4:
        return {}
    organization, number, definition, name = said
    found = of_wkt(definition) if isinstance(definition, str) else {}
    if isinstance(organization, str) and organization.upper() == "EPSG" and isinstance(number, int):
        found["crs"] = f"EPSG:{number}"
    if text := facts.text(name, 300):
        found.setdefault("crs_name", text)
    return found


def geopackage(path: str, reasons: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a GeoPackage holds.

    Raises:
        ValueError: it is none, or broken.
    """
    try:
        package = Package(path, reasons)
    except sqlite3.Error as exc:
        raise ValueError(f"SQLite cannot read it: {exc}") from None
    try:
        if "gpkg_contents" not in package.tables:
            raise ValueError("it is an SQLite database, but no GeoPackage")
        return layers(package)
    except sqlite3.Error as exc:
        raise ValueError(f"SQLite cannot read it: {exc}") from None
    finally:
        package.close()


def layers(package: Package) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the layers of a package."""
    rows = package.rows(LAYERS)
    found: dict[str, Any] = {"format": "geopackage", "layers": len(rows), "layer": {}}
    if version := package.first("PRAGMA user_version"):
        found["format_version"] = ".".join(
            str(int(part)) for part in (version[0] // 10000, version[0] // 100 % 100)
        )
    boxes: list[list[float]] = []
    degrees = True
    for row in rows[:MAX_LAYERS]:
        one = layer(package, row)
        in_degrees = one.pop("degrees", one.get("crs") == "EPSG:4326")
        if "extent" in one:
            boxes.append(one["extent"])
            degrees &= in_degrees
        found["layer"][facts.text(row[0], 300) or "(no name)"] = one
    if len(rows) > MAX_LAYERS:
        package.reasons.append(f"of {len(rows)} layers {MAX_LAYERS} are listed")
    systems = sorted({one["crs"] for one in found["layer"].values() if "crs" in one})
    found |= {"crs": systems[0]} if len(systems) == 1 else {}
    if boxes and degrees and len({len(box) for box in boxes}) == 1:
        sides = zip((min, min, max, max), zip(*boxes, strict=True), strict=True)
        found |= {"extent": [most(side) for most, side in sides], "degrees": True}
    features = [one["rows"] for one in found["layer"].values() if one["type"] == "features" and "rows" in one]
    if features:
        found["features"] = sum(features)
    tree = [
        {"path": name, "about": " ".join(f"{one[key]}" for key in ("geometry", "type", "rows") if key in one)}
        for name, one in found["layer"].items()
    ]
    return found, {"tree": tree}
