"""What JSON of well-known shapes says: DataCite, Schema.org (RO-Crate, CodeMeta), BIDS, STAC and GeoJSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from extractor_facts import box, common

MAX_KEPT = 500  # members, and items of one
WGS84 = "EPSG:4326"  # RFC 7946, 4: all coordinates are of WGS 84


class Extent:
    """The extent of geometries."""

    def __init__(self) -> None:
        self.sides: list[float] | None = None
        self.kinds: dict[str, None] = {}

    def add(self, geometry: Any) -> None:
        """Take a geometry of GeoJSON."""
        if not isinstance(geometry, dict):
            return
        if isinstance(kind := geometry.get("type"), str) and len(self.kinds) < 10:
            self.kinds[kind[:100]] = None
        parts = geometry.get("geometries")
        for part in parts if isinstance(parts, list) else ():
            self.add(part if isinstance(part, dict) and "geometries" not in part else None)
        for x, y in positions(geometry.get("coordinates")):
            if self.sides is None:
                self.sides = [x, y, x, y]
            sides = self.sides
            self.sides = [min(sides[0], x), min(sides[1], y), max(sides[2], x), max(sides[3], y)]

    def describe(self, written: Any, *, whole: bool) -> dict[str, Any]:
        """Return the extent: as it is written, else of all geometries where they were all read."""
        found: dict[str, Any] = {"geometry_types": list(self.kinds)} if self.kinds else {}
        sides = _written(written) or (self.sides if whole else None)
        return found | ({"bbox": sides} if sides else {})


def _written(sides: Any) -> list[float] | None:
    """Return a bounding box of 4 numbers, of 6 without heights."""
    if not isinstance(sides, list) or len(sides) not in (4, 6):
        return None
    if not all(_is_number(side) for side in sides):
        return None
    return [sides[0], sides[1], sides[len(sides) // 2], sides[len(sides) // 2 + 1]]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def positions(coordinates: Any) -> Iterator[tuple[float, float]]:
    """Yield the positions in nested lists of coordinates."""
    waiting = [coordinates]
    while waiting:
        part = waiting.pop()
        if not isinstance(part, list) or not part:
            continue
        if isinstance(part[0], list):
            waiting += part
        elif len(part) > 1 and _is_number(part[0]) and _is_number(part[1]):
            yield part[0], part[1]


def remember(shape: dict[str, Any], key: str, value: Any, *, is_item: bool) -> None:
    """Keep a member of a document, so that its shape can be told; of features nothing but that they are there."""
    if key == "features":
        shape[key] = []
    elif is_item and isinstance(shape.get(key), list):
        if len(shape[key]) < MAX_KEPT:
            shape[key].append(value)
    elif len(shape) < MAX_KEPT:
        shape[key] = value


def facts(shape: dict[str, Any], extent: Any) -> dict[str, Any]:
    """Return {"common": ...} of a document whose shape is known; nothing of another."""
    context = str(shape.get("@context", ""))[:2000]
    if "stac_version" in shape:
        return _stac(shape)
    if shape.get("type") == "FeatureCollection":
        return common(title=shape.get("title"), **_place(shape, extent))
    if "@graph" in shape or "schema.org" in context or "codemeta" in context:
        return _schema_org(shape)
    if "titles" in shape and ("creators" in shape or "doi" in shape):
        return _datacite(shape)
    if isinstance(data := shape.get("data"), dict) and isinstance(data.get("attributes"), dict):
        return _datacite(data["attributes"]) if "titles" in data["attributes"] else {}
    return _bids(shape)


def _place(shape: dict[str, Any], extent: Any) -> dict[str, Any]:
    crs = shape.get("crs")  # of GeoJSON before RFC 7946
    name = (
        crs.get("properties", {}).get("name")
        if isinstance(crs, dict) and isinstance(crs.get("properties"), dict)
        else None
    )
    if isinstance(name, str) and not name.endswith(("CRS84", "EPSG::4326", "EPSG:4326")):
        number = name.rpartition(":")[2]
        return {"crs": f"EPSG:{number}" if "EPSG" in name and number.isdigit() else name}
    found = box(*extent) if extent else None
    return {"bbox": found, "crs": WGS84}


def _all(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _words(value: Any, *keys: str) -> list[str]:
    """Return the texts in a list: texts, and of objects the first of `keys` that they have."""
    found = []
    for part in _all(value):
        word: Any = part
        if isinstance(part, dict):
            word = next((part[key] for key in keys if isinstance(part.get(key), str)), None)
        if isinstance(word, str):
            found.append(word)
    return found


def _datacite(shape: dict[str, Any]) -> dict[str, Any]:
    dates = {
        part["dateType"]: part["date"].partition("/")
        for part in _all(shape.get("dates"))
        if isinstance(part, dict) and isinstance(part.get("dateType"), str) and isinstance(part.get("date"), str)
    }
    collected = dates.get("Collected", ("", "", ""))
    places = [part.get("geoLocationBox") for part in _all(shape.get("geoLocations")) if isinstance(part, dict)]
    sides = ("westBoundLongitude", "southBoundLatitude", "eastBoundLongitude", "northBoundLatitude")
    boxes = [box(*map(part.get, sides)) for part in places if isinstance(part, dict)]
    identifier = shape.get("identifier")
    doi = _words(shape.get("doi")) + _words(identifier, "identifier") + _words(shape.get("id"))
    return common(
        title=next(iter(_words(shape.get("titles"), "title")), None),
        creator=_words(shape.get("creators"), "name", "creatorName"),
        keywords=_words(shape.get("subjects"), "subject"), doi=doi, created=dates.get("Created", ("",))[0],
        start=collected[0], end=collected[2], bbox=next((one for one in boxes if one), None),
    )  # fmt: skip


def _schema_org(shape: dict[str, Any]) -> dict[str, Any]:
    """Return what Schema.org says; of an RO-Crate what its root data set says, whose parts stand beside it."""
    graph = [part for part in _all(shape.get("@graph")) if isinstance(part, dict)]
    parts = {part["@id"]: part for part in graph if isinstance(part.get("@id"), str)}
    root = _root(parts) if graph else shape
    keywords = [word.strip() for one in _words(root.get("keywords"), "name") for word in one.split(",")]
    covered = root.get("temporalCoverage")
    start, _, end = covered.partition("/") if isinstance(covered, str) else ("", "", "")
    return common(
        title=root.get("name"), keywords=keywords, created=root.get("dateCreated"), start=start, end=end or start,
        creator=_people(root.get("creator"), parts) or _people(root.get("author"), parts),
        doi=_words(root.get("identifier"), "value", "@id") + _words(root.get("doi")) + _words(root.get("@id")),
    )  # fmt: skip


def _root(parts: dict[str, Any]) -> dict[str, Any]:
    """Return the root data set of an RO-Crate: what its descriptor is about."""
    for place, part in parts.items():
        about = part.get("about")
        if (
            place.endswith("ro-crate-metadata.json")
            and isinstance(about, dict)
            and isinstance(about.get("@id"), str)
        ):
            return parts.get(about["@id"], {})
    return parts.get("./", {})


def _people(value: Any, parts: dict[str, Any]) -> list[str]:
    """Return the names of people, who may stand beside it."""
    found = []
    for part in _all(value):
        person = part
        if isinstance(part, dict) and isinstance(part.get("@id"), str):
            person = parts.get(part["@id"], part)
        if isinstance(person, dict) and "name" not in person:
            person = " ".join(_words([person.get("givenName"), person.get("familyName")]))
        found += _words(person, "name")
    return found


def _stac(shape: dict[str, Any]) -> dict[str, Any]:
    told = shape.get("properties") if isinstance(shape.get("properties"), dict) else shape
    extent = shape.get("extent") if isinstance(shape.get("extent"), dict) else {}
    boxes = _inner(extent, "spatial", "bbox")
    times = _inner(extent, "temporal", "interval")
    first, last = times if isinstance(times, list) and len(times) == 2 else (None, None)
    sides = _written(shape.get("bbox")) or _written(boxes)
    moment = told.get("datetime")
    return common(
        title=told.get("title") or shape.get("title"),
        instrument=_words(told.get("instruments")) + _words(told.get("platform")),
        keywords=_words(told.get("keywords")) or _words(shape.get("keywords")), created=told.get("created"),
        start=told.get("start_datetime") or moment or first, end=told.get("end_datetime") or moment or last,
        bbox=box(*sides) if sides else None, crs=WGS84 if sides else None, doi=_words(told.get("sci:doi")),
    )  # fmt: skip


def _inner(extent: Any, key: str, inner: str) -> Any:
    """Return the first of the lists that STAC has below `extent`."""
    part = extent.get(key)
    found = part.get(inner) if isinstance(part, dict) else None
    return found[0] if isinstance(found, list) and found else None


def _bids(shape: dict[str, Any]) -> dict[str, Any]:
    if "BIDSVersion" in shape:
        return common(
            title=shape.get("Name"), creator=_words(shape.get("Authors")), doi=_words(shape.get("DatasetDOI")),
            keywords=_words(shape.get("Keywords")),
        )  # fmt: skip
    if not {"Manufacturer", "ManufacturersModelName", "RepetitionTime", "EchoTime", "MagneticFieldStrength"} & set(
        shape
    ):
        return {}
    maker = _words(shape.get("Manufacturer")) if isinstance(shape.get("Manufacturer"), str) else []
    return common(
        instrument=_words(shape.get("ManufacturersModelName")) + maker, technique=_words(shape.get("Modality")),
        software=_words(shape.get("SoftwareVersions")) + _words(shape.get("ConversionSoftware")),
    )  # fmt: skip
