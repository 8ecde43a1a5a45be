"""What attributes (CF, ACDD and the names that people take) and NeXus say under the keys of `common`."""

from __future__ import annotations

import re
from typing import Any

import extractor_facts as facts

# Names of attributes of a file in small letters, the first that is there counts
ATTRIBUTES = {
    "title": ("title",),
    "creator": ("creator_name", "creator", "authors", "author", "institution"),
    "instrument": ("instrument", "instrument_name", "sensor"),
    "sample": ("sample", "sample_name"),
    "technique": ("technique", "definition", "source"),
    "start": ("time_coverage_start", "start_time"),
    "end": ("time_coverage_end", "end_time"),
    "created": ("date_created", "creation_date", "created", "file_time"),
    "keywords": ("keywords",),
    "software": ("software", "program", "program_name"),
}
DOIS = ("doi", "identifier_product_doi", "id", "references", "reference", "citation")
BOX = ("geospatial_lon_min", "geospatial_lat_min", "geospatial_lon_max", "geospatial_lat_max")
# Fields of NeXus classes: key, class, names of fields
NEXUS = (
    ("title", "NXentry", ("title",)),
    ("creator", "NXuser", ("name",)),
    ("instrument", "NXinstrument", ("name",)),
    ("sample", "NXsample", ("name", "sample_name", "chemical_formula")),
    ("technique", "NXentry", ("definition",)),
    ("technique", "NXsubentry", ("definition",)),
    ("start", "NXentry", ("start_time",)),
    ("end", "NXentry", ("end_time",)),
    ("software", "NXentry", ("program_name",)),
    ("software", "NXprocess", ("program",)),
    ("doi", "NXcite", ("doi",)),
)


def from_attributes(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return what the attributes of a file say."""
    small = {key.lower().strip().replace(" ", "_"): value for key, value in attributes.items()}
    found: dict[str, Any] = {}
    for key, names in ATTRIBUTES.items():
        value = next((small[name] for name in names if small.get(name)), None)
        if isinstance(value, str) and key == "keywords":
            value = re.split(r"[;,]", value)
        if isinstance(value, (str, list)):
            found[key] = value
    found["doi"] = [small[name] for name in DOIS if isinstance(small.get(name), str)]
    if box := facts.box(*(_number(small.get(name)) for name in BOX)):
        found["bbox"] = box
    return found


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def from_nexus(classes: dict[str, str], fields: dict[str, Any], attributes: dict[str, Any]) -> dict[str, Any]:
    """Return what NeXus says, whatever its groups are called; `classes` are those of groups by their paths."""
    found: dict[str, Any] = {}
    for key, kind, names in NEXUS:
        for name in names:
            for path, value in fields.items():
                group, _, last = path.rpartition("/")
                if last == name and classes.get(group) == kind:
                    found.setdefault(key, []).extend(value if isinstance(value, list) else [str(value)])
    told = {"start": _moments(found.pop("start", []), min), "end": _moments(found.pop("end", []), max)}
    if "title" in found:
        found["title"] = found["title"][0]
    program = [str(attributes[key]) for key in ("creator", "creator_version") if attributes.get(key)]
    if program:
        found.setdefault("software", []).append(" ".join(program))  # NeXus: facility or program where it began
    return {key: value for key, value in (found | told).items() if value}


def _moments(values: list[Any], choose: Any) -> str | None:
    times = [moment for value in values if (moment := facts.moment(value))]
    return choose(times) if times else None
