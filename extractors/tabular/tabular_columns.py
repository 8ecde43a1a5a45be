"""What is kept of a table's columns, whichever format it has: a type, a range and counts, in bounded memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

MAX_COLUMNS = 1000
MAX_DESCRIBED = 200  # columns whose types and ranges are in the document
MAX_KEY = 200  # characters of a column's name that are kept
MAX_TEXT = 200  # characters of a text value that are kept in a range
MISSING = {"na", "n/a", "nan", "null", "none"}  # what programs write where they have no value
NUMERIC = frozenset("0123456789+-.iIuUnN")  # what a number, inf and nan begin with


class Column:
    """What is kept of one column."""

    def __init__(self) -> None:
        self.types: set[str] = set()
        self.count = 0
        self.empty = 0
        self.low: float | None = None
        self.high: float | None = None
        self.first: str | None = None
        self.last: str | None = None

    def add(self, value: Any) -> None:
        """Take one value: text from a CSV file, anything from JSON."""
        if value is None or value == "":
            self.empty += 1
            return
        self.count += 1
        if isinstance(value, bool):
            self.types.add("boolean")
        elif isinstance(value, (int, float)):
            self._number(value)
        elif isinstance(value, str):
            self._text(value)
        else:
            self.types.add("list" if isinstance(value, list) else "object")

    def add_fields(self, fields: Sequence[str]) -> None:
        """Take fields of a CSV file, which may be numbers."""
        numbers = all_numbers(fields)
        if numbers is None:
            for field in fields:
                self._field(field)
            return
        self.count += len(numbers)
        self._number(min(numbers))
        self._number(max(numbers))

    def _field(self, text: str) -> None:
        text = text.strip()
        if text.lower() in MISSING:
            text = ""
        value = number_of(text)
        self.add(text if value is None else value)

    def _number(self, value: float) -> None:
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            value = float(value) if abs(value) < 1 << 1000 else math.inf
        if isinstance(value, float) and not math.isfinite(value):
            self.types.add("number")
            return
        self.types.add("integer" if isinstance(value, int) else "number")
        self.low = value if self.low is None else min(self.low, value)
        self.high = value if self.high is None else max(self.high, value)

    def _text(self, text: str) -> None:
        self.types.add("text")
        text = clean(text[:MAX_TEXT])
        self.first = text if self.first is None else min(self.first, text)
        self.last = text if self.last is None else max(self.last, text)

    def describe(self) -> dict[str, Any]:
        """Return the column as the document shows it."""
        types = self.types
        kind = "empty" if not types else next(iter(types)) if len(types) == 1 else "mixed"
        if types == {"integer", "number"}:
            kind = "number"
        found: dict[str, Any] = {"type": kind, "values": self.count}
        if self.empty:
            found["empty"] = self.empty
        if self.low is not None:
            found |= {"min": self.low, "max": self.high}
        if self.first is not None:
            found |= {"first": self.first, "last": self.last}
        return found


class Records:
    """The columns of a stream of JSON objects."""

    def __init__(self) -> None:
        self.columns: dict[str, Column] = {}
        self.rows = 0
        self.others = 0

    def add(self, value: Any) -> None:
        """Take one row."""
        if not isinstance(value, dict):
            self.others += 1
            return
        self.rows += 1
        for name, part in itertools.islice(value.items(), MAX_COLUMNS):
            key = key_of(name)
            if key not in self.columns and len(self.columns) < MAX_COLUMNS:
                self.columns[key] = Column()
            if key in self.columns:
                self.columns[key].add(part)


def all_numbers(fields: Sequence[str]) -> list[int] | list[float] | None:
    """Return `fields` as numbers if all of them are plain finite ones: the quick way for whole columns."""
    joined = "".join(fields)
    if not joined.isascii() or "_" in joined or "n" in joined or "N" in joined:
        return None
    try:
        return list(map(int, fields))
    except ValueError:
        pass
    try:
        return list(map(float, fields))
    except ValueError:
        return None


def number_of(text: str) -> float | None:
    """Return the number that `text` is; None if it is none."""
    if text[:1] not in NUMERIC or "_" in text:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def clean(text: str) -> str:
    """Return text that JSON and a database can hold."""
    return text.encode("utf-8", "replace").decode().replace("\0", " ")


def key_of(name: object) -> str:
    """Return a column's name as a key of the document."""
    return clean(str(name)[: 2 * MAX_KEY].strip())[:MAX_KEY] or "unnamed"


def unique(names: Iterable[str]) -> list[str]:
    """Return `names` with a number behind those that were there before."""
    seen: dict[str, int] = {}
    made = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        made.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return made


def described(form: str, columns: dict[str, dict[str, Any]], count: int, rows: int, **more: Any) -> dict[str, Any]:
    """Return the document of a table with `count` columns, of which the first are in `columns`."""
    return {
        "format": form,
        "rows": rows,
        "column_count": count,
        "columns": list(columns)[:MAX_COLUMNS],
        "column": dict(itertools.islice(columns.items(), MAX_DESCRIBED)),
        **more,
    }
