"""GRIB, editions 1 and 2: which parameters, levels, times and grids its messages have, from their headers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, BinaryIO, NamedTuple

import extractor_facts as facts
from extractor_batch import OutOfTime
from grid_eccodes import gribapi
from grid_header import Header, has_fields, header_of, product_of, when

MAX_MESSAGES = 500_000
MAX_PARAMETERS = 300
MAX_LISTED = 200
CORNERS = (
    "longitudeOfFirstGridPointInDegrees", "latitudeOfLastGridPointInDegrees",
    "longitudeOfLastGridPointInDegrees", "latitudeOfFirstGridPointInDegrees",
)  # fmt: skip
ROUND = 359.999
MISSING = 2147483647  # what ecCodes gives for a whole number of which all bits are set
MAX_DESCRIBED = 10_000
# What a parameter is told by, in editions 1 and 2, beside its short name
PARAMETER = (
    "edition", "centre", "table2Version", "indicatorOfParameter", "discipline", "parameterCategory",
    "parameterNumber", "productDefinitionTemplateNumber", "typeOfFirstFixedSurface", "typeOfStatisticalProcessing",
)  # fmt: skip
KEYS = {
    "centre": "centre", "grid": "gridType", "level": "typeOfLevel", "edition": "edition", "packing": "packingType",
}  # fmt: skip


def get(handle: Any, key: str, kind: type | None = None) -> Any:
    """Return a key's value; None where the message has none."""
    try:
        value = gribapi.grib_get(handle, key, kind)
    except (gribapi.GribInternalError, ValueError, UnicodeDecodeError):
        return None
    return None if kind is int and value == MISSING else value


NAMED: dict[bytes, dict[str, Any]] = {}  # what products are called, of the files so far: it takes milliseconds, too
DESCRIBED: dict[tuple[Any, ...], dict[str, str]] = {}  # of the files so far: looking them up takes milliseconds


def described(handle: Any, short: str) -> dict[str, str]:
    """Return full name and units of a message's parameter."""
    key = (short, *(get(handle, name, str) for name in PARAMETER))
    if key not in DESCRIBED:
        about = {
            "name": facts.text(get(handle, "name", str), 300),
            "units": facts.text(get(handle, "units", str), 100),
        }
        if len(DESCRIBED) > MAX_DESCRIBED:
            DESCRIBED.clear()
        DESCRIBED[key] = {name: value for name, value in about.items() if value and value.lower() != "unknown"}
    return DESCRIBED[key]


def called(handle: Any) -> dict[str, Any]:
    """Return what a message's sections 1, 2 and 4 say."""
    found = {key: facts.text(get(handle, key, str), 100) for key in ("centre", "typeOfLevel", "edition")}
    short = facts.text(get(handle, "shortName", str), 100) or "unknown"
    return found | {
        "creator": facts.text(get(handle, "centreDescription", str)),
        "short": short,
        "about": described(handle, short),
        "number": get(handle, "perturbationNumber", int),
    }


class Field(NamedTuple):
    """What one field says: names, points along a parallel and a meridian, its place, reference and valid time."""

    said: dict[str, Any]
    shape: tuple[int, int]
    box: list[float] | None
    base: str | None
    valid: str | None


def field_of(handle: Any, product: bytes) -> Field:
    """Return what a message says; of those with the same `product` names are looked up once."""
    said = NAMED.get(product) or called(handle)
    if product and len(NAMED) < MAX_DESCRIBED:
        NAMED[product] = said
    said = said | {key: facts.text(get(handle, key, str), 100) for key in ("gridType", "packingType")}
    return Field(
        said,
        (get(handle, "Ni", int) or 0, get(handle, "Nj", int) or 0),
        box_of(handle, said["gridType"]),
        when(get(handle, "dataDate", int), get(handle, "dataTime", int)),
        when(get(handle, "validityDate", int), get(handle, "validityTime", int)),
    )


def box_of(handle: Any, kind: str) -> list[float] | None:
    """Return the place of a message's grid; None where it is no box of degrees."""
    sides = [get(handle, key, float) for key in CORNERS]
    if not kind.endswith(("_ll", "_gg")) or kind.startswith("rotated") or None in sides:
        return None
    west, south, east, north = sides
    south, north = min(south, north), max(south, north)
    if get(handle, "iScansNegatively", int):
        west, east = east, west
    across = (east - west) % 360
    columns, rows = (get(handle, "Ni", int), get(handle, "N", int))  # a reduced grid has no Ni
    step = across / max(1, columns - 1) if columns else 90 / max(1, rows or 1)
    whole = across + min(step, 10) >= ROUND
    return facts.box(*((-180, south, 180, north) if whole else (west, south, west + across, north)))


class Messages:
    """What all messages of a file say."""

    def __init__(self) -> None:
        self.count = 0  # of fields: a message has one, or more
        self.places: set[int] = set()  # of messages, where some have more fields than one
        self.parameters: dict[str, dict[str, Any]] = {}
        self.not_listed: set[str] = set()
        self.names: dict[str, Counter[str]] = {key: Counter() for key in KEYS}
        self.members: set[int] = set()
        self.times: list[str] = []  # the first and the last that are valid
        self.bases: list[str] = []  # the first and the last reference time
        self.box: list[float] | None = None
        self.boxes = True
        self.shapes: Counter[tuple[int, int]] = Counter()
        self.creators: dict[str, None] = {}

    def take(self, field: Field) -> None:
        """Take one field."""
        self.count += 1
        said = field.said
        for name, key in KEYS.items():
            if (value := said[key]) and value != "unknown":
                self.names[name][value] += 1
        if (creator := said["creator"]) and creator.lower() != "unknown":
            self.creators[creator] = None
        self._parameter(said["short"], said["about"])
        if (number := said["number"]) is not None and len(self.members) < 10_000:
            self.members.add(number)
        self.bases = widened(self.bases, field.base)
        self.times = widened(self.times, field.valid)
        if min(field.shape) > 0:
            self.shapes[field.shape] += 1
        if field.box is None or (self.box is not None and self.box != field.box):
            self.boxes = False
        self.box = self.box or field.box

    def _parameter(self, short: str, about: dict[str, str]) -> None:
        if short not in self.parameters:
            if len(self.parameters) == MAX_PARAMETERS:
                self.not_listed.add(short)
                return
            self.parameters[short] = {"messages": 0} | about
        self.parameters[short]["messages"] += 1

    def document(self, reasons: list[str]) -> dict[str, Any]:
        """Return what they say."""
        found: dict[str, Any] = {"format": "grib", "messages": len(self.places) or self.count, "fields": self.count}
        found |= {"parameters": list(self.parameters), "parameter": self.parameters}
        for name, key in (("centre", "centres"), ("grid", "grids"), ("level", "levels"), ("packing", "packings")):
            if self.names[name]:
                found[key] = list(self.names[name])[:MAX_LISTED]
        found["editions"] = sorted(int(one) for one in self.names["edition"] if one.isdigit())
        if len(self.members) > 1:
            found["members"] = len(self.members)
        if len(self.shapes) == 1:
            found |= dict(zip(("ni", "nj"), next(iter(self.shapes)), strict=True))
        for key, times in (("reference", self.bases), ("valid", self.times)):
            if times:
                found |= {f"{key}_first": times[0], f"{key}_last": times[1]}
        if self.not_listed:
            reasons.append(f"{len(self.not_listed)} more parameters than {MAX_PARAMETERS} are not listed")
        return found


def widened(times: list[str], moment: str | None) -> list[str]:
    """Return the first and the last of times, which sort as texts."""
    return times if moment is None else [min([*times[:1], moment]), max([*times[1:], moment])]


LIKE: dict[
    bytes, tuple[Field, timedelta]
] = {}  # fields of the files so far, which others differ from by time alone


def like(header: Header) -> Field | None:
    """Return the field of a header, where one was read that differs by its reference time alone."""
    if header.rest not in LIKE:
        return None
    field, ahead = LIKE[header.rest]
    valid = facts.iso(datetime.fromisoformat(header.base) + ahead)
    return field._replace(base=header.base, valid=valid)


def keep(header: Header | None, field: Field) -> None:
    """Keep a field for those that are like it."""
    if header and field.valid and field.base == header.base and len(LIKE) < MAX_DESCRIBED:
        ahead = datetime.fromisoformat(field.valid) - datetime.fromisoformat(field.base)
        LIKE[header.rest] = field, ahead


def fields(file: BinaryIO, messages: Messages) -> Iterator[Field]:
    """Yield the fields of a file.

    Where a message has several fields, ecCodes has to read whole messages to tell them.
    """
    several, descriptor = False, file.fileno()
    file.flush()  # so that the library, which has a descriptor of its own, is where this one is
    try:
        while messages.count < MAX_MESSAGES:
            start = os.lseek(descriptor, 0, os.SEEK_CUR)
            header = None if several or has_fields(descriptor, start) else header_of(descriptor, start)
            if header and (field := like(header)):
                os.lseek(descriptor, header.end, os.SEEK_SET)
                yield field
                continue
            handle = gribapi.grib_new_from_file(file, headers_only=True)
            if handle is None:
                return
            try:
                place = get(handle, "offset", int)
                if not several and place is not None and has_fields(descriptor, place):
                    several = True
                    messages.places.update(range(-messages.count, 0))
                    gribapi.grib_multi_support_on()
                    os.lseek(descriptor, place, os.SEEK_SET)
                    continue
                if several:
                    messages.places.add(place or 0)
                field = field_of(handle, b"" if several or place is None else product_of(descriptor, place))
                keep(header if place == start else None, field)
                yield field
            finally:
                gribapi.grib_release(handle)
    finally:
        gribapi.grib_multi_support_off()


def grib(file: BinaryIO, reasons: list[str]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the document of a file, its common facts, and its parts for `preview`.

    Raises:
        ValueError: no message can be read.
    """
    messages = Messages()
    try:
        for field in fields(file, messages):
            messages.take(field)
        if messages.count >= MAX_MESSAGES:
            reasons.append(f"only {MAX_MESSAGES} fields are read")
    except OutOfTime:
        reasons.append("time was up: messages are counted as far as it went")
    except (gribapi.GribInternalError, ValueError) as exc:
        if not messages.count:
            raise ValueError(f"it is not a GRIB file: {facts.text(str(exc))[:200]}") from None
        reasons.append(f"it is broken after {messages.count} messages: {facts.text(str(exc))[:200]}")
    if not messages.count:
        raise ValueError("it is not a GRIB file: it has no message")
    document = messages.document(reasons)
    said = {
        "creator": list(messages.creators), "start": document.get("valid_first"), "end": document.get("valid_last"),
        "bbox": messages.box if messages.boxes else None,
        "keywords": [one["name"] for one in messages.parameters.values() if "name" in one],
        "units": [one["units"] for one in messages.parameters.values() if "units" in one],
    }  # fmt: skip
    tree = [
        {
            "path": short,
            "about": facts.text(f"{one.get('name', '')} {one.get('units', '')} x {one['messages']}", 200),
        }
        for short, one in messages.parameters.items()
    ]
    return document, said, {"tree": tree}
