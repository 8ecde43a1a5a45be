"""What is kept of a table's columns, whichever format it has: a type, a range and counts, in bounded memory."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from extractor_facts import MAX_ROWS as HEAD_ROWS
from extractor_facts import Line, preview, table
from tabular_cells import MISSING, TRUTHS, Moment, all_moments, all_numbers, number_of

MAX_COLUMNS = 1000
MAX_DESCRIBED = 200  # columns whose types and ranges are in the document
MAX_KEY = 200  # characters of a column's name that are kept
MAX_TEXT = 200  # characters of a text value that are kept in a range
MAX_LINED = 60  # columns whose course may be shown
LARGEST = 1 << 62
WAITING = 500  # numbers of JSON that are looked at together


class Column:
    """What is kept of one column."""

    def __init__(self, line: Line | None = None, decimal: str = ".") -> None:
        self.types: set[str] = set()
        self.count = 0
        self.empty = 0
        self.low: float | None = None
        self.high: float | None = None
        self.first: str | None = None
        self.last: str | None = None
        self.early: Moment | None = None
        self.late: Moment | None = None
        self.line = line
        self._decimal = decimal
        self._waiting: list[float] = []

    def add(self, value: Any) -> None:
        """Take one value of JSON."""
        if value is None or value == "":
            self.empty += 1
            return
        self.count += 1
        if isinstance(value, bool):
            self.types.add("boolean")
        elif isinstance(value, (int, float)):
            self._waiting.append(value)
            if len(self._waiting) == WAITING:
                self._flush()
        elif isinstance(value, str):
            self._texts((value,))
        else:
            self.types.add("list" if isinstance(value, list) else "object")

    def add_fields(self, fields: Sequence[str]) -> None:
        """Take fields of a text table, which may be numbers."""
        numbers = all_numbers(fields, self._decimal)
        if numbers is not None:
            self.count += len(numbers)
            low, high = min(numbers), max(numbers)
            if low > -LARGEST and high < LARGEST:  # all are, and of one type: the quick way
                self.types.add("integer" if isinstance(low, int) else "number")
                self._range(low, high, numbers)
            else:
                self._numbers(numbers)
            return
        filled = [text for field in fields if (text := field.strip()) and text.lower() not in MISSING]
        self.empty += len(fields) - len(filled)
        self.count += len(filled)
        numbers, texts = [], []
        for text in filled:
            value = number_of(text, self._decimal)
            if value is None:
                texts.append(text)
            else:
                numbers.append(value)
        if numbers:
            self._numbers(numbers)
        if texts:
            truths = all(text.lower() in TRUTHS for text in texts)
            self._texts(texts, "truth" if truths else "text")

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._numbers(waiting)

    def _numbers(self, values: Sequence[float]) -> None:
        finite = []
        for value in values:
            if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
                value = float(value) if abs(value) < 1 << 1000 else math.inf  # noqa: PLW2901
            self.types.add("integer" if isinstance(value, int) else "number")
            if math.isfinite(value):
                finite.append(value)
        if not finite:
            return
        self._range(min(finite), max(finite), finite)

    def _range(self, low: float, high: float, finite: Sequence[float]) -> None:
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)
        if self.line:
            self.line.add(finite)

    def _texts(self, texts: Sequence[str], kind: str = "text") -> None:
        moments = all_moments(texts) if self.types <= {"time"} else None
        if moments:
            early, late = min(moments), max(moments)
            self.early = early if self.early is None else min(self.early, early)
            self.late = late if self.late is None else max(self.late, late)
            kind = "time"
        self.types.add(kind)
        first, last = clean(min(texts)[:MAX_TEXT]), clean(max(texts)[:MAX_TEXT])
        self.first = first if self.first is None else min(self.first, first)
        self.last = last if self.last is None else max(self.last, last)

    @property
    def kind(self) -> str:
        """What all of its values are."""
        self._flush()
        types = set(self.types)
        for word, alone in (("truth", "boolean"), ("time", "time")):
            if word in types:
                types = types - {word} | {"text" if len(types) > 1 else alone}
        if types == {"integer", "number"}:
            return "number"
        return "empty" if not types else next(iter(types)) if len(types) == 1 else "mixed"

    def describe(self) -> dict[str, Any]:
        """Return the column as the document shows it."""
        kind = self.kind
        found: dict[str, Any] = {"type": kind, "values": self.count}
        if self.empty:
            found["empty"] = self.empty
        if self.low is not None:
            found |= {"min": self.low, "max": self.high}
        if kind == "time" and self.early and self.late:
            found |= {"first": self.early[1], "last": self.late[1]}
        elif self.first is not None and kind != "boolean":
            found |= {"first": self.first, "last": self.last}
        return found


class Records:
    """The columns of a stream of JSON objects, or of lists."""

    def __init__(self) -> None:
        self.columns: dict[str, Column] = {}
        self.rows = 0
        self.others = 0
        self.head: list[dict[str, Any]] = []
        self.more_columns = False

    def add(self, value: Any) -> None:
        """Take one row."""
        if isinstance(value, list):
            value = {f"column{place}": part for place, part in enumerate(value, 1)}
        if not isinstance(value, dict):
            self.others += 1
            return
        self.rows += 1
        if len(self.head) < HEAD_ROWS:
            self.head.append(dict(itertools.islice(value.items(), MAX_LINED)))
        for name, part in value.items():
            key = key_of(name)
            column = self.columns.get(key)
            if column is None:
                if len(self.columns) >= MAX_COLUMNS:
                    self.more_columns = True
                    break
                line = Line(key) if len(self.columns) < MAX_LINED else None
                column = self.columns[key] = Column(line)
            column.add(part)

    def described(self, form: str, rows: int, reasons: list[str], **more: Any) -> dict[str, Any]:
        """Return the document of the table."""
        if self.more_columns:
            reasons.append(f"it has more than {MAX_COLUMNS} columns: the others are left out")
        names = list(self.columns)[:MAX_LINED]
        head = [[shown(row.get(name)) for name in names] for row in self.head]
        found = described(form, self.columns, len(self.columns), rows, reasons, **more)
        return found | shown_as(names, head, self.columns)


def shown(value: Any) -> Any:
    """Return a value for the head of a table."""
    return json.dumps(value, ensure_ascii=False)[:MAX_TEXT] if isinstance(value, (dict, list)) else value


def shown_as(names: Sequence[str], rows: Sequence[Sequence[Any]], columns: dict[str, Column]) -> dict[str, Any]:
    """Return the preview of a table: its head, and the course of its numbers."""
    numeric = [column for column in columns.values() if column.line and column.kind in ("integer", "number")]
    lines = [column.line.shown() for column in numeric if column.line]
    return preview(table=table(names, rows), lines=lines)


def clean(text: str) -> str:
    """Return text that JSON and a database can hold."""
    return text.encode("utf-8", "replace").decode().replace("\0", " ")


def key_of(name: object) -> str:
    """Return a column's name as a key of the document."""
    return clean(str(name)[: 2 * MAX_KEY].strip())[:MAX_KEY] or "unnamed"


def unique(names: Iterable[str]) -> list[str]:
    """Return `names` with a number behind those that were there before."""
    made: dict[str, None] = {}
    seen: dict[str, int] = {}
    for name in names:
        shown = name
        while shown in made:
            seen[name] = seen.get(name, 1) + 1
            shown = f"{name}_{seen[name]}"
        made[shown] = None
    return list(made)


def described(
    form: str, columns: dict[str, Column], count: int, rows: int, reasons: list[str], **more: Any
) -> dict[str, Any]:
    """Return the document of a table with `count` columns, of which the first are in `columns`."""
    names = list(columns)
    told = {name: columns[name].describe() for name in names[:MAX_DESCRIBED]}
    return listed(form, told, count, rows, reasons, names=names, **more)


def listed(
    form: str, told: dict[str, dict[str, Any]], count: int, rows: int, reasons: list[str], *, names: Sequence[str],
    **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """Return the document of a table of which the columns in `told` are described."""
    if count > len(names):
        reasons.append(f"names are of the first {len(names)} of {count} columns")
    if count > MAX_DESCRIBED:
        reasons.append(f"types and ranges are of the first {MAX_DESCRIBED} of {count} columns")
    return {"format": form, "rows": rows, "column_count": count, "columns": list(names), "column": told, **more}
