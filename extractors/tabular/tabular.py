"""Tables: what columns a CSV, TSV, JSON or JSON lines file has, of which types, in which ranges, and how many rows.

Reads in one pass with bounded memory, however large the file is: of a column it keeps a type, a range and counts.
Needs nothing but the standard library.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import extractor_batch

MAX_COLUMNS = 1000
MAX_KEY = 200  # characters of a column's name that are kept
MAX_TEXT = 200  # characters of a text value that are kept in a range
MAX_FIELD = 1 << 20  # longest field, in characters
MAX_JSON = 64 << 20  # a JSON document is read as a whole
MAX_PLACES = 200  # keys of a JSON document that is no table
SAMPLE = 1 << 16
BINARY = 1 << 10
MISSING = {"na", "n/a", "nan", "null", "none"}  # what programs write where they have no value
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

csv.field_size_limit(MAX_FIELD)


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

    def add_text(self, text: str) -> None:
        """Take one field of a CSV file, which may be a number."""
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


def number_of(text: str) -> float | None:
    """Return the number that `text` is; None if it is none."""
    if "_" in text:
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
    return clean(str(name).strip())[:MAX_KEY] or "unnamed"


def encoding_of(sample: bytes, *, whole: bool) -> str:
    """Return the encoding of a file's beginning; raise ValueError for a binary file."""
    for bom, name in BOMS:
        if sample.startswith(bom):
            return name
    if b"\0" in sample[:BINARY]:
        raise ValueError("it is a binary file, not a table")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample, final=whole)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def described(form: str, encoding: str, columns: dict[str, Column], rows: int, **more: Any) -> dict[str, Any]:
    """Return the document of a table."""
    return {
        "format": form,
        "encoding": encoding.removesuffix("-sig"),
        "rows": rows,
        "column_count": len(columns),
        "columns": list(columns)[:MAX_COLUMNS],
        "column": {name: column.describe() for name, column in itertools.islice(columns.items(), MAX_COLUMNS)},
        **more,
    }


def delimited(stream: TextIO, encoding: str, form: str, sample: str) -> dict[str, Any]:
    """Return the document of a CSV or TSV file."""
    delimiter = "\t" if form == "tsv" else likely_delimiter(sample)
    reader = csv.reader((line.replace("\0", " ") for line in stream), delimiter=delimiter)
    rows = (row for row in reader if row)
    first = list(itertools.islice(rows, 2))
    if not first:
        raise ValueError("it is empty")
    header = all(number_of(field.strip()) is None for field in first[0])
    names = unique([key_of(name) if header else f"column{place}" for place, name in enumerate(first[0], 1)])
    columns = {name: Column() for name in names[:MAX_COLUMNS]}
    ordered = list(columns.values())
    count = ragged = 0
    for row in itertools.chain(first[1:] if header else first, rows):
        count += 1
        ragged += len(row) != len(names)
        for column, field in zip(ordered, row, strict=False):
            column.add_text(field)
    more = {"ragged_rows": ragged} if ragged else {}
    document = described(form, encoding, columns, count, delimiter=delimiter, header=header, **more)
    document["column_count"] = len(names)
    return document


def likely_delimiter(sample: str) -> str:
    """Return the separator that the first lines use alike; a comma where that is not clear."""
    lines = [line for line in sample.splitlines()[:20] if line.strip()]
    counts = {mark: {line.count(mark) for line in lines[:-1] or lines} for mark in ",;\t|"}
    alike = [mark for mark, found in counts.items() if len(found) == 1 and found != {0}]
    return max(alike or ",", key=lambda mark: max(counts[mark], default=0))


def unique(names: list[str]) -> list[str]:
    """Return `names` with a number behind those that were there before."""
    seen: dict[str, int] = {}
    made = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        made.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return made


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
        for name, part in value.items():
            key = key_of(name)
            if key not in self.columns and len(self.columns) < MAX_COLUMNS:
                self.columns[key] = Column()
            if key in self.columns:
                self.columns[key].add(part)


def json_lines(stream: TextIO, encoding: str) -> dict[str, Any]:
    """Return the document of a JSON lines file."""
    records, bad = Records(), 0
    while line := stream.readline(MAX_FIELD):
        if not line.strip():
            continue
        try:
            records.add(json.loads(line))
        except (ValueError, RecursionError):
            bad += 1
    if not records.rows:
        raise ValueError("no line of it is a JSON object")
    more = {"bad_lines": bad + records.others} if bad or records.others else {}
    return described("jsonl", encoding, records.columns, records.rows, **more)


def json_document(stream: TextIO, encoding: str, size: int) -> dict[str, Any]:
    """Return the document of a JSON file: a table if it is a list of objects, else its keys and values."""
    if size > MAX_JSON:
        raise ValueError(f"it has {size} bytes; a JSON document may have {MAX_JSON} (JSON lines may have any)")
    text = stream.read()
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except json.JSONDecodeError:
        if text.lstrip()[:1] == "{" and "\n" in text.strip():
            return json_lines(io.StringIO(text), encoding)
        raise
    records = Records()
    if isinstance(value, list) and any(isinstance(part, dict) for part in value):
        for part in value:
            records.add(part)
        return described("json", encoding, records.columns, records.rows)
    kind = "object" if isinstance(value, dict) else "list" if isinstance(value, list) else "value"
    found: dict[str, Any] = {"format": "json", "encoding": encoding.removesuffix("-sig"), "top": kind}
    if isinstance(value, dict):
        found["keys"] = [key_of(key) for key in itertools.islice(value, MAX_PLACES)]
        found["value"] = {key_of(key): part for key, part in itertools.islice(scalars(value), MAX_PLACES)}
    elif isinstance(value, list):
        found["items"] = len(value)
    return found


def scalars(value: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of the numbers, words and truths in nested objects, at most 8 deep."""
    for key, part in value.items():
        place = f"{above}{key}"
        if isinstance(part, dict):
            if place.count(".") < 8:
                yield from scalars(part, place + ".")
        elif isinstance(part, str):
            yield place, clean(part[:MAX_TEXT])
        elif isinstance(part, (bool, int, float)) and (isinstance(part, bool) or -(2**63) < part < 2**63):
            yield place, part


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    place = Path(path)
    size = place.stat().st_size
    with place.open("rb") as file:
        sample = file.read(SAMPLE)
    if not sample.strip():
        raise ValueError("it is empty")
    encoding = encoding_of(sample, whole=size <= SAMPLE)
    extension = place.suffix
    with place.open(encoding=encoding, errors="replace", newline="") as stream:
        start = sample.decode(encoding, "replace")
        if extension in (".jsonl", ".ndjson"):
            return json_lines(stream, encoding)
        if extension == ".json":
            return json_document(stream, encoding, size)
        return delimited(stream, encoding, "tsv" if extension in (".tsv", ".tab") else "csv", start)


if __name__ == "__main__":
    extractor_batch.run(extract)
