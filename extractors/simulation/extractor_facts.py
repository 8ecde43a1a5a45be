"""The keys `common` and `preview`, under which the documents of all families say the same things.

What they mean stands in extractors/COMMON.md and extractors/PREVIEW.md. Each family has this file in its folder, a
copy of extractors/base/extractor_facts.py, so that no image must be built anew; standard library only. An extractor
of your own may take a copy too, or write the keys by itself.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

LISTS = ("creator", "instrument", "sample", "technique", "keywords", "units", "software", "doi")
MOMENTS = ("start", "end", "created")
MAX_NAMES = 100  # of each list
MAX_TEXT = 1000  # characters of each text
MAX_PREVIEW = 65_536  # bytes of JSON, all parts together
MAX_COLUMNS, MAX_ROWS, MAX_CELL = 20, 10, 80  # of the head of a table; a cell's are characters
MAX_POINTS, MAX_LINES = 64, 20
MAX_BRANCHES = 200
MAX_EXCERPT = 2000
CUT: dict[str, None] = {}  # what of the present file is not all listed, in words
DOI = re.compile(r"\b10\.\d{4,9}/[^\s\"'<>{}|\\^`\[\]]+")
# ISO 8601, its basic form, EXIF's colons, and a blank for the T
MOMENT = re.compile(
    r"(\d{4})(?:([-:]?)(\d\d)(?:\2(\d\d)"
    r"(?:[T ]+(\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,](\d+))?)?)? ?(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?)?)?)?",
    re.IGNORECASE,
)


def told(extract: Callable[[str], dict[str, Any]]) -> Callable[[str], dict[str, Any]]:
    """Return an `extract` whose documents say under `partial` which lists `first` has cut.

    What it raises because of the content is a ValueError, so that the same content is not tried again.
    """

    def whole(path: str) -> dict[str, Any]:
        CUT.clear()
        try:
            document = extract(path)
        except Exception as exc:
            if type(exc) is ValueError or _may_pass(exc):
                raise
            words = f"{exc}" if isinstance(exc, (ValueError, OSError)) else f"{type(exc).__name__}: {exc}"
            raise ValueError(words or type(exc).__name__) from exc
        if CUT:
            reasons = dict.fromkeys([*filter(None, [document.get("partial")]), *CUT])
            document["partial"] = "; ".join(reasons)[:4000]
        return document

    return whole


def _may_pass(exc: Exception) -> bool:
    """Whether another try may end otherwise: for want of memory, time or a library, and where reading failed."""
    if isinstance(exc, OSError):
        return exc.errno is not None
    return isinstance(exc, (MemoryError, ImportError)) or type(exc).__name__ == "OutOfTime"


def first(values: Sequence[Any], most: int, what: str) -> list[Any]:
    """Return the first of a list; that there are more of them is told (see `told`)."""
    if len(values) > most:
        CUT[f"of {len(values)} {what} {most} are listed"] = None
    return list(values[:most])


def text(value: Any, most: int = MAX_TEXT) -> str:
    """Return a text in one line such as JSON and a database can hold; empty where there is none."""
    if not isinstance(value, str):
        return ""
    return " ".join(value.replace("\0", " ").split()).encode("utf-8", "replace").decode()[:most].rstrip()


def moment(value: Any) -> str | None:
    """Return a time as ISO 8601, in UTC where its zone is known, without zone where not; None for what is none."""
    found = MOMENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        return None
    year, dash, month, day, hour, minute, second, fraction, zone = found.groups()
    if month and not day and not dash:
        return None  # 202603 may be anything
    micro = int((fraction or "0")[:6].ljust(6, "0"))
    parts = [int(part or least) for part, least in ((month, 1), (day, 1), (hour, 0), (minute, 0), (second, 0))]
    leap = parts[4] == 60
    try:
        when = datetime(int(year), *parts[:4], 59 if leap else parts[4], micro)  # noqa: DTZ001 - the zone comes below
        if zone:
            when = (when.replace(tzinfo=_zone(zone))).astimezone(UTC)
        when += timedelta(seconds=leap)
    except (ValueError, OverflowError):
        return None
    if hour is None:
        return f"{year}-{month}-{day}" if day else f"{year}-{month}" if month else year
    return iso(when)


def _zone(word: str) -> timezone:
    if word[0] not in "+-":
        return UTC
    digits = word[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return timezone(timedelta(minutes=-minutes if word[0] == "-" else minutes))


def iso(when: datetime) -> str:
    """Return a time as ISO 8601: in UTC with Z where it has a zone, without one where it has none."""
    when, mark = (when.astimezone(UTC), "Z") if when.tzinfo else (when, "")
    return when.replace(tzinfo=None).isoformat().rstrip("0" if when.microsecond else "") + mark


def epoch(seconds: float) -> str | None:
    """Return seconds since 1970 in UTC as ISO 8601; None for what is no time of the years 1 to 9999."""
    try:
        return iso(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds))
    except (ValueError, OverflowError):
        return None


def dois(value: Any) -> list[str]:
    """Return the DOIs in a text, in small letters, without the address in front."""
    found = DOI.findall(value) if isinstance(value, str) else []
    return list(dict.fromkeys(doi.rstrip(".,;:)").lower() for doi in found))


def box(west: Any, south: Any, east: Any, north: Any) -> list[float] | None:
    """Return a bounding box in degrees; one with west > east crosses the date line. None for what is none."""
    sides = (west, south, east, north)
    if not all(isinstance(side, (int, float)) and math.isfinite(side) for side in sides):
        return None
    if not (-90.0001 <= south <= north <= 90.0001 and max(abs(west), abs(east)) <= 540):
        return None
    if east - west >= 359.9999:
        west, east = -180.0, 180.0
    else:
        west, east = ((side + 180) % 360 - 180 if not -180 <= side <= 180 else side for side in (west, east))
    return [round(west, 7), round(max(south, -90.0), 7), round(east, 7), round(min(north, 90.0), 7)]


def common(**given: Any) -> dict[str, Any]:
    """Return {"common": ...} of what is known, and nothing where nothing is. A list may be given as one text."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        kept: Any = value
        if key == "doi":
            found_dois = list(dict.fromkeys(doi for one in _several(value) for doi in dois(one)))
            kept = first(found_dois, MAX_NAMES, "texts of common.doi")
        elif key in LISTS:
            names = list(dict.fromkeys(shown for one in _several(value) if (shown := text(one))))
            kept = first(names, MAX_NAMES, f"texts of common.{key}")
        elif key in MOMENTS:
            kept = moment(value)
        elif key != "bbox":
            kept = text(value)
        if kept:
            found[key] = kept
    return {"common": found} if found else {}


def _several(value: Any) -> Iterable[Any]:
    return (value,) if isinstance(value, str) else value if isinstance(value, (list, tuple, dict)) else ()


def thumbnail(mime: str, content: bytes) -> dict[str, str]:
    """Return a picture for `preview`."""
    return {"mime": mime, "base64": base64.b64encode(content).decode()}


def table(columns: Sequence[Any], rows: Iterable[Sequence[Any]]) -> dict[str, Any]:
    """Return the head of a table for `preview`."""
    shown = [[cell(value) for value in row[:MAX_COLUMNS]] for _, row in zip(range(MAX_ROWS), rows, strict=False)]
    return {"columns": [text(str(name), MAX_CELL) for name in columns[:MAX_COLUMNS]], "rows": shown}


def cell(value: Any) -> Any:
    """Return one value of a table as JSON knows it; null for none, and for what is no number."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 63 else str(value)[:MAX_CELL]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return text(str(value), MAX_CELL)


class Line:
    """The course of many numbers in at most 64 steps, each with its lowest and highest, whatever their count."""

    def __init__(self, name: str, unit: str = "") -> None:
        self.about = {"name": text(name, MAX_CELL)} | ({"unit": text(unit, MAX_CELL)} if text(unit) else {})
        self.low: list[float] = []
        self.high: list[float] = []
        self.count, self.width = 0, 1
        self.open: list[float] = []

    def add(self, values: Sequence[float]) -> None:
        """Take numbers; those that are not finite are left out."""
        values = [value for value in values if math.isfinite(value)]
        self.count += len(values)
        place = 0
        while place < len(values):
            part = values[place : place + self.width - len(self.open)]
            place += len(part)
            self.open += part
            if len(self.open) == self.width:
                self._close()

    def _close(self) -> None:
        self.low.append(min(self.open))
        self.high.append(max(self.open))
        self.open = []
        if len(self.low) == MAX_POINTS:  # two steps become one
            self.low = [min(pair) for pair in zip(self.low[::2], self.low[1::2], strict=True)]
            self.high = [max(pair) for pair in zip(self.high[::2], self.high[1::2], strict=True)]
            self.width *= 2

    def shown(self) -> dict[str, Any] | None:
        """Return the line for `preview`; None where there was no number."""
        low = self.low + ([min(self.open)] if self.open else [])
        high = self.high + ([max(self.open)] if self.open else [])
        if not low:
            return None
        found = {**self.about, "count": self.count, "low": [_short(value) for value in low]}
        return found if low == high else found | {"high": [_short(value) for value in high]}


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def preview(**given: Any) -> dict[str, Any]:
    """Return {"preview": ...} of `thumbnail, table, lines, tree, excerpt`, cut to 64 KiB; nothing of nothing."""
    found: dict[str, Any] = {}
    for key, most in (
        ("thumbnail", 0),
        ("excerpt", MAX_EXCERPT),
        ("table", 0),
        ("lines", MAX_LINES),
        ("tree", MAX_BRANCHES),
    ):
        value = given.get(key)
        if key == "excerpt":
            value = text_lines(value)
        elif most and value:
            value = [one for one in value if one][:most]
        if not value or (key == "table" and not value["columns"]) or (key == "thumbnail" and not value["base64"]):
            continue
        while isinstance(value, list) and value and _size(found | {key: value}) > MAX_PREVIEW:
            value = value[: len(value) // 2]
        while key == "table" and value["rows"] and _size(found | {key: value}) > MAX_PREVIEW:
            value = {**value, "rows": value["rows"][:-1]}
        if value and _size(found | {key: value}) <= MAX_PREVIEW:
            found[key] = value
    return {"preview": found} if found else {}


def text_lines(value: Any) -> str:
    """Return the beginning of a text with its lines as they are."""
    if not isinstance(value, str):
        return ""
    return value[: 4 * MAX_EXCERPT].replace("\0", " ").strip().encode("utf-8", "replace").decode()[:MAX_EXCERPT]


def _size(value: Mapping[str, Any]) -> int:
    return len(json.dumps(value).encode())
