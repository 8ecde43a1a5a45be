"""GeoJSON (RFC 7946), as one text or one feature a line, read event by event."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import extractor_facts as facts
import ijson
from extractor_batch import OutOfTime
from geo_crs import Box, of_urn

GEOMETRIES = {
    "Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection",
}  # fmt: skip
MAX_PROPERTIES = 500
MAX_DEPTH = 200
NUMBER, TEXT = "number", "string"


class Reader:
    """What features a text has."""

    def __init__(self) -> None:
        self.features = self.points = 0
        self.geometries: Counter[str] = Counter()
        self.box = Box()
        self.properties: dict[str, dict[str, Any]] = {}
        self.not_listed: set[str] = set()
        self.kinds: Counter[str] = Counter()  # of the outermost objects
        self.said: dict[str, Any] = {}
        self.path: list[str] = []  # keys of the objects around, "" for a list
        self.key = ""
        self.rows: list[dict[str, Any]] = []
        self.row: dict[str, Any] = {}
        self.place: list[float] = []
        self.deep = 0  # of lists of coordinates

    def read(self, stream: Any) -> None:
        """Take everything.

        Raises:
            ijson.JSONError: it is broken.
        """
        events = ijson.basic_parse(stream, multiple_values=True, use_float=True, buf_size=1 << 18)
        for event, value in events:
            if self.deep:
                self._coordinate(event, value)
            elif event == "map_key":
                self.key = value
            elif event in {"start_map", "start_array"}:
                self._open(event)
            elif event in {"end_map", "end_array"}:
                self._close()
            else:
                self._value(event, value)

    def _open(self, event: str) -> None:
        if event == "start_array" and self.key == "coordinates" and not self._in_properties():
            self.deep, self.place = 1, []
            return
        if len(self.path) > MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH}")
        if self._in_properties() and len(self.path) == self._level() + 1:
            self._property("object" if event == "start_map" else "list", None)
        self.path.append(self.key)
        self.key = ""

    def _close(self) -> None:
        if self.path:
            self.key = ""
            ended = self.path.pop()
            if ended == "properties" and len(self.path) == self._level() and len(self.rows) < facts.MAX_ROWS:
                self.rows.append(self.row)
            if ended == "properties":
                self.row = {}

    def _coordinate(self, event: str, value: Any) -> None:
        if event == "number":
            if len(self.place) < 4:
                self.place.append(float(value))
        elif event == "start_array":
            self.deep += 1
        elif event == "end_array":
            self.deep -= 1
            if len(self.place) >= 2:
                self.points += 1
                self.box.add(self.place[0], self.place[1])
            self.place = []
            if not self.deep:
                self.key = ""

    def _level(self) -> int:
        """Return how deep features are: in the list of a collection, or outermost."""
        return 3 if self.path[1:2] == ["features"] else 1

    def _in_properties(self) -> bool:
        level = self._level()
        return len(self.path) > level and self.path[level] == "properties"

    def _value(self, event: str, value: Any) -> None:
        if self._in_properties():
            if len(self.path) == self._level() + 1:
                kind = {"integer": NUMBER, "double": NUMBER}.get(event, event)
                self._property(kind, value)
        elif self.key == "type" and isinstance(value, str):
            self._type(value)
        elif self.path[1:2] == ["crs"] and self.key in {"name", "code"}:
            self.said["crs"] = of_urn(value)
        elif len(self.path) == 1 and self.key in {"name", "title", "description"} and isinstance(value, str):
            self.said[self.key] = facts.text(value)

    def _type(self, value: str) -> None:
        if len(self.path) == 1:
            self.kinds[value] += 1
        if value == "Feature" and len(self.path) == self._level():
            self.features += 1
        elif value in GEOMETRIES:
            self.geometries[value] += 1

    def _property(self, kind: str, value: Any) -> None:
        name = facts.text(self.key, 300) or "(no name)"
        if name not in self.properties and len(self.properties) == MAX_PROPERTIES:
            if len(self.not_listed) < 100_000:
                self.not_listed.add(name)
            return
        about = self.properties.setdefault(name, {})
        if len(self.rows) < facts.MAX_ROWS:
            self.row[name] = value if kind not in {"object", "list"} else f"({kind})"
        if kind == "null":
            return
        about["type"] = kind if about.get("type", kind) == kind else "mixed"
        if kind == NUMBER and math.isfinite(value):
            about["min"] = min(about.get("min", value), value)
            about["max"] = max(about.get("max", value), value)


def plain(number: Any) -> Any:
    """Return a number as a document has it."""
    return number if isinstance(number, int) and abs(number) < 1 << 63 else float(number)


def geojson(stream: Any, reasons: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a text says, and its parts for `preview`.

    Raises:
        ValueError: it is not GeoJSON.
    """
    reader = Reader()
    try:
        reader.read(stream)
    except OutOfTime:
        reasons.append("time was up: features are counted as far as it went")
    except ijson.JSONError as exc:
        if not reader.kinds:
            raise ValueError(f"it is not GeoJSON: {facts.text(str(exc))[:200]}") from None
        reasons.append(f"it is broken after {reader.features} features: {facts.text(str(exc))[:200]}")
    known = {"FeatureCollection", "Feature", *GEOMETRIES}
    if not (set(reader.kinds) & known or (reader.features and not reader.kinds)):
        raise ValueError("it is JSON, but no GeoJSON")
    several = reader.kinds["Feature"] > 1
    found: dict[str, Any] = {"format": "geojsonseq" if several else "geojson", "features": reader.features}
    found |= {"geometries": dict(reader.geometries), "points": reader.points}
    if reader.properties:
        found |= {"properties": list(reader.properties)}
        found["property"] = {
            name: {key: plain(one) if key != "type" else one for key, one in about.items()}
            for name, about in reader.properties.items()
        }
    if reader.not_listed:
        reasons.append(f"{len(reader.not_listed)} more properties than {MAX_PROPERTIES} are not listed")
    found |= {key: value for key, value in reader.said.items() if key != "crs" and value}
    found["crs"] = reader.said.get("crs") or "EPSG:4326"  # RFC 7946, 4
    if extent := reader.box.extent():
        found["extent"] = extent
    names = list(reader.properties)[: facts.MAX_COLUMNS]
    table = facts.table(names, [[row.get(name) for name in names] for row in reader.rows]) if names else None
    return found | {"degrees": found["crs"] == "EPSG:4326"}, {"table": table}
