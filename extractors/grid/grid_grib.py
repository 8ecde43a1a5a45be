"""GRIB, editions 1 and 2: which parameters, levels, times and grids its messages have, from their headers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO

import extractor_facts as facts
from extractor_batch import OutOfTime
from grid_eccodes import gribapi

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
MAX_SECTIONS = 100_000
MAX_PRODUCT = 1 << 14  # bytes of a section
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


def has_fields(descriptor: int, place: int) -> bool:
    """Whether a message of edition 2 has more than one field: more than one section 4 (WMO 306, FM 92)."""
    head = os.pread(descriptor, 16, place)
    if len(head) < 16 or head[7] != 2:
        return False
    end, at, products = place + int.from_bytes(head[8:], "big"), place + 16, 0
    for _ in range(MAX_SECTIONS):
        section = os.pread(descriptor, 5, at)
        length = int.from_bytes(section[:4], "big")
        if len(section) < 5 or at + 5 > end or length < 5 or section[:4] == b"7777":
            return False
        products += section[4] == 4
        if products > 1:
            return True
        at += length
    return False


def product_of(descriptor: int, place: int) -> bytes:
    """Return the sections of a message that say what it is of, without its reference time; nothing where unknown.

    They are section 1 of edition 1, and 1, 2 and 4 of edition 2 (WMO 306, FM 92): a product definition has no time.
    """
    head = os.pread(descriptor, 16, place)
    if head[7:8] == b"\1":
        length = int.from_bytes(os.pread(descriptor, 3, place + 8), "big")
        product = os.pread(descriptor, min(length, MAX_PRODUCT), place + 8)
        return b"\1" + product[:12] + product[17:] if 28 <= length == len(product) else b""
    kept, at = head[6:8], place + 16
    for _ in range(5):
        section = os.pread(descriptor, 5, at)
        length = int.from_bytes(section[:4], "big")
        if len(section) < 5 or not 5 <= length <= MAX_PRODUCT:
            return b""
        if section[4] in {1, 2, 4}:
            content = os.pread(descriptor, length, at)
            kept += content[:12] + content[19:] if section[4] == 1 else content
        if section[4] == 4:
            return kept
        at += length
    return b""


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
    return found | {
        "creator": facts.text(get(handle, "centreDescription", str)),
        "short": facts.text(get(handle, "shortName", str), 100) or "unknown",
        "number": get(handle, "perturbationNumber", int),
    }


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

    def take(self, handle: Any, product: bytes = b"") -> None:
        """Take one message; of those with the same `product` names are looked up once."""
        self.count += 1
        said = NAMED.get(product) or called(handle)
        if product and len(NAMED) < MAX_DESCRIBED:
            NAMED[product] = said
        said = said | {key: facts.text(get(handle, key, str), 100) for key in ("gridType", "packingType")}
        for name, key in KEYS.items():
            if (value := said[key]) and value != "unknown":
                self.names[name][value] += 1
        if (creator := said["creator"]) and creator.lower() != "unknown":
            self.creators[creator] = None
        self._parameter(handle, said["short"])
        if (number := said["number"]) is not None and len(self.members) < 10_000:
            self.members.add(number)
        self.bases = widened(self.bases, when(get(handle, "dataDate", int), get(handle, "dataTime", int)))
        self.times = widened(self.times, when(get(handle, "validityDate", int), get(handle, "validityTime", int)))
        shape = (get(handle, "Ni", int) or 0, get(handle, "Nj", int) or 0)
        if min(shape) > 0:
            self.shapes[shape] += 1
        self._box(handle)

    def _parameter(self, handle: Any, short: str) -> None:
        if short not in self.parameters:
            if len(self.parameters) == MAX_PARAMETERS:
                self.not_listed.add(short)
                return
            self.parameters[short] = {"messages": 0} | described(handle, short)
        self.parameters[short]["messages"] += 1

    def _box(self, handle: Any) -> None:
        kind = get(handle, "gridType", str) or ""
        sides = [get(handle, key, float) for key in CORNERS]
        if not kind.endswith(("_ll", "_gg")) or kind.startswith("rotated") or None in sides:
            self.boxes = False
            return
        west, south, east, north = sides
        south, north = min(south, north), max(south, north)
        if get(handle, "iScansNegatively", int):
            west, east = east, west
        across = (east - west) % 360
        columns, rows = (
            get(handle, "Ni", int),
            get(handle, "N", int),
        )  # a reduced grid has no Ni
        step = across / max(1, columns - 1) if columns else 90 / max(1, rows or 1)
        whole = across + min(step, 10) >= ROUND
        found = facts.box(*((-180, south, 180, north) if whole else (west, south, west + across, north)))
        if found is None or (self.box is not None and self.box != found):
            self.boxes = False
        self.box = self.box or found

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


def when(day: int | None, hour: int | None) -> str | None:
    """Return a time in UTC from numbers such as 20260302 and 1200."""
    if day is None or hour is None:
        return None
    return facts.moment(f"{day:08}T{hour:04}00Z")


def handles(file: BinaryIO, messages: Messages) -> Iterator[tuple[Any, bytes]]:
    """Yield the fields of a file, and what tells their products apart.

    Where a message has several fields, ecCodes has to read whole messages to tell them.
    """
    several = False
    try:
        while messages.count < MAX_MESSAGES:
            handle = gribapi.grib_new_from_file(file, headers_only=True)
            if handle is None:
                return
            try:
                place = get(handle, "offset", int)
                if not several and place is not None and has_fields(file.fileno(), place):
                    several = True
                    messages.places.update(range(-messages.count, 0))
                    gribapi.grib_multi_support_on()
                    file.seek(place)
                    file.flush()  # so that the library, which has a descriptor of its own, is there too
                    continue
                if several:
                    messages.places.add(place or 0)
                yield handle, b"" if several or place is None else product_of(file.fileno(), place)
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
        for handle, product in handles(file, messages):
            messages.take(handle, product)
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
