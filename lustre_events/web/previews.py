"""What a document's `preview` shows (extractors/PREVIEW.md): values that a template draws.

Other people's extractors wrote it, so each part is checked: what has another shape is not shown, and what is too
long is cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lustre_events.web import thumbnails

MOST_COLUMNS = 20
MOST_ROWS = 10
MOST_LINES = 20
MOST_POINTS = 64
MOST_BRANCHES = 200
MOST_DEPTH = 8
"""A branch that is deeper stands no further to the right."""
LONGEST_CELL = 200
LONGEST_EXCERPT = 2_000
WIDTH, HEIGHT = 100.0, 24.0
"""The drawing area of a line."""


@dataclass(frozen=True, slots=True)
class Line:
    """The course of a numeric column: an SVG path's points, closed as an area where it has two bounds."""

    name: str
    unit: str
    points: str
    area: bool
    least: str
    most: str


@dataclass(frozen=True, slots=True)
class Table:
    """The head of a table: each column with its line, or None; cells as text."""

    columns: tuple[tuple[str, Line | None], ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """One thing in a file: its name at its depth, and what is told of it."""

    depth: int
    name: str
    about: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What is to be shown of a document before its keys; `lines` are those without a column in the table."""

    picture: bool = False
    table: Table | None = None
    lines: tuple[Line, ...] = ()
    tree: tuple[Branch, ...] = ()
    excerpt: str = ""


def preview_of(body: Mapping[str, Any]) -> Preview:
    """Return what a document shows first; empty where it has no preview."""
    found = body.get("preview")
    if not isinstance(found, Mapping):
        return Preview()
    lines = tuple(_lines(found.get("lines")))
    table = _table(found.get("table"), {line.name: line for line in lines})
    drawn = set() if table is None else {name for name, _ in table.columns}
    excerpt = found.get("excerpt")
    return Preview(
        picture=thumbnails.of(body) is not None,
        table=table,
        lines=tuple(line for line in lines if line.name not in drawn),
        tree=tuple(_branches(found.get("tree"))),
        excerpt=excerpt[:LONGEST_EXCERPT] if isinstance(excerpt, str) else "",
    )


def points(values: Sequence[float], least: float, most: float) -> list[str]:
    """Return values as points of a drawing WIDTH wide and HEIGHT high, from its left to its right."""
    half = most / 2 - least / 2
    step = WIDTH / max(1, len(values) - 1)
    # Halves, as the whole span of two numbers can be out of a float's range.
    heights = (HEIGHT * (1 - (value / 2 - least / 2) / half) if half else HEIGHT / 2 for value in values)
    return [f"{step * number:.1f},{height:.1f}" for number, height in enumerate(heights)]


def _lines(found: object) -> Iterator[Line]:
    for each in _items(found, MOST_LINES):
        if not isinstance(each, Mapping):
            continue
        low, high = _numbers(each.get("low")), _numbers(each.get("high"))
        if not low:
            continue
        area = len(high) == len(low)
        least, most = min(low), max(high if area else low)
        low_points = points(low, least, most)
        # A single number is a level line.
        low_points = low_points if len(low_points) > 1 else [*low_points, f"{WIDTH:.1f},{HEIGHT / 2:.1f}"]
        shown = [*low_points, *reversed(points(high, least, most))] if area and len(low) > 1 else low_points
        name, unit = _cell(each.get("name", "")), _cell(each.get("unit", ""))
        yield Line(name, unit, " ".join(shown), area and len(low) > 1, f"{least:.6g}", f"{most:.6g}")


def _table(found: object, lines: Mapping[str, Line]) -> Table | None:
    if not isinstance(found, Mapping):
        return None
    columns = [_cell(name) for name in _items(found.get("columns"), MOST_COLUMNS)]
    rows = [
        tuple(_cell(value) for value in _items(row, len(columns)))
        for row in _items(found.get("rows"), MOST_ROWS)
        if isinstance(row, list)
    ]
    return Table(tuple((name, lines.get(name)) for name in columns), tuple(rows)) if columns else None


def _branches(found: object) -> Iterator[Branch]:
    for each in _items(found, MOST_BRANCHES):
        path = each.get("path") if isinstance(each, Mapping) else None
        if not isinstance(path, str) or not path:
            continue
        parts = path.strip("/").split("/")
        about = each["about"] if isinstance(each.get("about"), str) else ""
        yield Branch(min(len(parts) - 1, MOST_DEPTH), parts[-1] or "/", about[:LONGEST_CELL])


def _items(found: object, most: int) -> list[Any]:
    return found[:most] if isinstance(found, list) else []


def _numbers(found: object) -> list[float]:
    """Return numbers that can be drawn; none where one of them cannot."""
    items = _items(found, MOST_POINTS)
    try:
        numbers = [float(item) for item in items if isinstance(item, (int, float))]
    except OverflowError:
        return []
    return numbers if len(numbers) == len(items) and all(map(math.isfinite, numbers)) else []


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]}…"
