"""Tables: what columns a file has, of which types, in which ranges, and how many rows.

CSV, TSV, JSON, JSON lines, Parquet and Arrow, told apart by content. Text is read once with bounded memory: types
and ranges of the first READ_BYTES, the rows of all lines. Parquet and Arrow have their module, tabular_arrow.py,
imported for such files only.
"""

from __future__ import annotations

import codecs
import csv
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import extractor_batch
from tabular_columns import MAX_COLUMNS, MAX_TEXT, Column, Records, clean, described, key_of, number_of, unique

READ_BYTES = 32 << 20  # of a text file, whose types and ranges are found
WHOLE_BYTES = 8 << 20  # a JSON document up to this is read as a whole, a longer one as a stream
MAX_FIELD = 1 << 20  # longest field, in characters
MAX_LINE = 4 << 20  # longest line, in characters
MAX_PLACES = 200  # keys of a JSON document that is no table
ROWS = 1000  # of a CSV file, taken at once
SAMPLE = 1 << 16
BINARY = 1 << 10
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

csv.field_size_limit(MAX_FIELD)


class Lines:
    """The lines of a text file up to READ_BYTES, each cut at MAX_LINE; then says what was not read."""

    def __init__(self, stream: TextIO, path: Path, size: int) -> None:
        self._stream, self._path, self._size = stream, path, size
        self.read = 0
        self.cut = False

    def __iter__(self) -> Iterator[str]:
        while self.read < READ_BYTES and (line := self._stream.readline(MAX_LINE)):
            self.read += len(line)
            if len(line) == MAX_LINE:
                self.cut = True
                while (more := self._stream.readline(MAX_LINE)) and not more.endswith("\n"):
                    self.read += len(more)
                line += "\n"
            yield line.replace("\0", " ")

    def rest(self, rows: int) -> tuple[int, dict[str, str]]:
        """Return all rows where `rows` were read, and what the document says if that was not all."""
        if self.read >= READ_BYTES and self._stream.read(1):
            ends = _line_ends(self._path)
            rows = max(rows, ends)
            return rows, {"partial": f"types and ranges are of the first {READ_BYTES >> 20} MiB; rows: its lines"}
        return rows, {"partial": f"lines are cut at {MAX_LINE} characters"} if self.cut else {}


def _line_ends(path: Path) -> int:
    """Return how many lines a file has, but for the first."""
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b"")) - 1


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


def told(columns: dict[str, Column]) -> dict[str, dict[str, Any]]:
    """Return what is known of columns."""
    return {name: column.describe() for name, column in columns.items()}


def delimited(lines: Lines, sample: str) -> dict[str, Any]:
    """Return the document of a CSV or TSV file."""
    delimiter = likely_delimiter(sample)
    reader = csv.reader(iter(lines), delimiter=delimiter)
    rows = (row for row in reader if row)
    first = list(itertools.islice(rows, 2))
    if not first:
        raise ValueError("it is empty")
    width = len(first[0])
    heads = first[0][:MAX_COLUMNS]
    header = all(number_of(field.strip()) is None for field in heads)
    names = unique(key_of(name) if header else f"column{place}" for place, name in enumerate(heads, 1))
    columns = {name: Column() for name in names}
    count = ragged = 0
    more: dict[str, Any] = {}
    source = itertools.chain(first[1:] if header else first, rows)
    try:
        while chunk := list(itertools.islice(source, ROWS if width < MAX_COLUMNS else 1)):
            count += len(chunk)
            even = [row for row in chunk if len(row) == width]
            for column, fields in zip(columns.values(), zip(*even, strict=True), strict=False):
                column.add_fields(fields)
            for row in chunk if len(even) < len(chunk) else ():
                if len(row) != width:
                    ragged += 1
                    for column, field in zip(columns.values(), row, strict=False):
                        column.add_fields((field,))
    except csv.Error as exc:
        if not count:
            raise
        more["partial"] = f"row {reader.line_num} cannot be read: {exc}"
    if ragged:
        more["ragged_rows"] = ragged
    count, rest = lines.rest(count)
    form = "tsv" if delimiter == "\t" else "csv"
    return described(form, told(columns), width, count, delimiter=delimiter, header=header, **more | rest)


def likely_delimiter(sample: str) -> str:
    """Return the separator that the first lines use alike; a comma where that is not clear."""
    lines = [line for line in sample.splitlines()[:20] if line.strip()]
    counts = {mark: {line.count(mark) for line in lines[:-1] or lines} for mark in ",;\t|"}
    alike = [mark for mark, found in counts.items() if len(found) == 1 and found != {0}]
    return max(alike or ",", key=lambda mark: max(counts[mark], default=0))


def json_lines(lines: Lines) -> dict[str, Any]:
    """Return the document of a JSON lines file."""
    records, bad = Records(), 0
    for line in lines:
        if not line.strip():
            continue
        try:
            records.add(json.loads(line))
        except (ValueError, RecursionError):
            bad += 1
    if not records.rows:
        raise ValueError("no line of it is a JSON object")
    rows, rest = lines.rest(records.rows)
    more = {"bad_lines": bad + records.others} if bad or records.others else {}
    return described("jsonl", told(records.columns), len(records.columns), rows, **more | rest)


def json_document(text: str) -> dict[str, Any]:
    """Return the document of a JSON file: a table if it is a list of objects, else its keys and values."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if isinstance(value, list) and any(isinstance(part, dict) for part in value):
        records = Records()
        for part in value:
            records.add(part)
        return described("json", told(records.columns), len(records.columns), records.rows)
    kind = "object" if isinstance(value, dict) else "list" if isinstance(value, list) else "value"
    found: dict[str, Any] = {"format": "json", "top": kind}
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
        elif (kept := scalar(part)) is not None:
            yield place, kept


def scalar(part: Any) -> Any:
    """Return a number, word or truth as a document may hold it; None for anything else."""
    if isinstance(part, str):
        return clean(part[:MAX_TEXT])
    if isinstance(part, bool) or (isinstance(part, (int, float)) and -(2**63) < part < 2**63):
        return part
    return None


def json_stream(path: Path, why: str) -> dict[str, Any]:
    """Return the document of a JSON file that is too long or broken: of what its first READ_BYTES hold.

    Raises:
        ValueError: nothing of it can be read; it says `why`.
    """
    import ijson  # noqa: PLC0415 - only long or broken files need it

    records, keys, values = Records(), [], {}
    with path.open("rb") as file:
        start = file.read(SAMPLE).removeprefix(codecs.BOM_UTF8).lstrip()[:1]
        file.seek(0)
        taken = _items(file, records) if start == b"[" else _members(file, keys, values)
        try:
            while file.tell() <= READ_BYTES and next(taken, None):
                pass
        except (ijson.JSONError, ValueError, RecursionError, OverflowError) as exc:
            why = clean(f"{exc}".split("\n", 1)[0][:MAX_TEXT])
    if records.rows:
        return described("json", told(records.columns), len(records.columns), records.rows, partial=why)
    if keys:
        return {"format": "json", "top": "object", "keys": keys, "value": values, "partial": why}
    raise ValueError(f"no part of it is JSON that can be read: {why}")


def _items(file: BinaryIO, records: Records) -> Iterator[bool]:
    """Put the rows of a JSON list into `records`, one at each step."""
    import ijson  # noqa: PLC0415 - only long or broken files need it

    for item in ijson.items(file, "item", use_float=True):
        records.add(item)
        yield True


def _members(file: BinaryIO, keys: list[str], values: dict[str, Any]) -> Iterator[bool]:
    """Put the keys and the scalars of a JSON object into `keys` and `values`, one at each step."""
    import ijson  # noqa: PLC0415 - only long or broken files need it

    for place, event, part in ijson.parse(file, use_float=True):
        if event == "map_key" and not place and len(keys) < MAX_PLACES:
            keys.append(key_of(part))
        elif event in ("string", "number", "boolean") and place.count(".") < 9 and ".item" not in f".{place}":
            if len(values) >= MAX_PLACES:
                continue
            if (kept := scalar(part)) is not None:
                values[key_of(place)] = kept
        yield True


def from_text(place: Path, sample: bytes) -> dict[str, Any]:
    """Return the document of a text file."""
    size = place.stat().st_size
    encoding = encoding_of(sample, whole=size <= SAMPLE)
    start = sample.decode(encoding, "replace").lstrip("\ufeff")
    head = start.lstrip()[:1]
    with place.open(encoding=encoding, errors="replace", newline="") as stream:
        lines = Lines(stream, place, size)
        if head not in ("{", "["):
            document = delimited(lines, start)
        elif head == "{" and is_lines(start):
            document = json_lines(lines)
        elif size <= WHOLE_BYTES:
            try:
                document = json_document(stream.read())
            except json.JSONDecodeError as exc:
                document = json_stream(place, f"{exc}")
        else:
            document = json_stream(place, f"what its first {READ_BYTES >> 20} MiB hold")
    return {**document, "encoding": encoding.removesuffix("-sig")}


def is_lines(start: str) -> bool:
    """Whether the first line is a JSON object of its own, and another line follows."""
    first, _, rest = start.lstrip().partition("\n")
    if not rest.strip():
        return False
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    place = Path(path)
    with place.open("rb") as file:
        sample = file.read(SAMPLE)
    if not sample.strip():
        raise ValueError("it is empty")
    if sample.startswith((b"PAR1", b"ARROW1", b"\xff\xff\xff\xff")):
        import tabular_arrow  # noqa: PLC0415 - a quarter of a second that only such files need

        if sample.startswith(b"PAR1"):
            return tabular_arrow.parquet(path)
        return tabular_arrow.arrow(path, stream=not sample.startswith(b"ARROW1"))
    return from_text(place, sample)


if __name__ == "__main__":
    extractor_batch.run(extract, isolated=True, seconds_per_file=60)
