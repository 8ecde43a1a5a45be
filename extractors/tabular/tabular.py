"""Tables: what columns a file has, of which types, in which ranges, and how many rows.

Text tables, JSON, Parquet and Arrow, told apart by content, compressed or not. A text is read once, in bounded
memory: types and ranges of its first 32 MiB, the rows of all of it. Other formats have their modules:
tabular_json.py, and tabular_arrow.py, imported for such files only.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import extractor_batch
import extractor_facts as facts
import tabular_json
from extractor_batch import OutOfTime, within
from extractor_facts import MAX_ROWS as HEAD_ROWS
from extractor_facts import Line, common
from extractor_open import SAMPLE, Source
from tabular_cells import MISSING, number_of
from tabular_columns import MAX_COLUMNS, MAX_LINED, MAX_TEXT, Column, clean, described, key_of, shown_as, unique
from tabular_form import Form, form_of
from tabular_source import MAX_LINE, READ_CHARACTERS, Lines, encoding_of

SECONDS = 60  # of one file; then its rows are those counted so far
MAX_FIELD = 1 << 20  # longest field, in characters
MAX_COMMENTS = 100
ROWS = 1000  # of a text table, taken at once

csv.field_size_limit(MAX_FIELD)


class Table:
    """What is kept of a text table."""

    def __init__(self, form: Form) -> None:
        self.form = form
        heads = form.names[:MAX_COLUMNS] or [f"column{n}" for n in range(1, min(form.width, MAX_COLUMNS) + 1)]
        self.names = unique(map(key_of, heads))
        self.columns = {
            name: Column(Line(name, unit) if place < MAX_LINED else None, form.decimal)
            for place, (name, unit) in enumerate(itertools.zip_longest(self.names, self._units(), fillvalue=""))
            if name
        }
        self.rows = 0
        self.ragged = form.ragged
        self.head: list[list[str]] = []

    def _units(self) -> list[str]:
        return self.form.units[: len(self.names)]

    def add(self, rows: list[list[str]]) -> None:
        """Take some rows."""
        self.head += rows[: HEAD_ROWS - len(self.head)]
        self.rows += len(rows)
        width = self.form.width
        even = [row for row in rows if len(row) == width]
        for column, fields in zip(self.columns.values(), zip(*even, strict=True), strict=False):
            column.add_fields(fields)
        for row in rows if len(even) < len(rows) else ():
            if len(row) == width:
                continue
            if len(row) == width + 1 and not row[-1].strip():  # a separator at the end
                row.pop()
            else:
                self.ragged += 1
            for column, field in zip(self.columns.values(), row, strict=False):
                column.add_fields((field,))

    def describe(self, reasons: list[str]) -> dict[str, Any]:
        """Return the document of the table."""
        form = self.form
        more: dict[str, Any] = {"delimiter": form.delimiter, "header": bool(form.names)}
        if form.decimal == ",":
            more["decimal"] = ","
        if units := {
            name: clean(unit[:MAX_TEXT]) for name, unit in zip(self.names, self._units(), strict=False) if unit
        }:
            more["units"] = units
        if comments := [clean(line[:MAX_TEXT]) for line in (*form.comments, *form.before) if line][
            : MAX_COMMENTS + 1
        ]:
            more["comments"] = comments[:MAX_COMMENTS]
            if len(comments) > MAX_COMMENTS:
                reasons.append(f"comments are the first {MAX_COMMENTS}")
        if self.ragged:
            more["ragged_rows"] = self.ragged
        kind = "tsv" if form.delimiter == "\t" else "csv"
        found = described(kind, self.columns, form.width, self.rows, reasons, **more)
        head = [[_shown(field, form.decimal) for field in row[:MAX_LINED]] for row in self.head]
        width = min(len(self.names), MAX_LINED)
        head = [(row + [None] * width)[:width] for row in head]
        return found | common(units=list(units.values())) | shown_as(self.names, head, self.columns)


def _shown(field: str, decimal: str) -> Any:
    field = field.strip()
    if field.lower() in MISSING:
        return None
    number = number_of(field, decimal)
    return field if number is None else number


def delimited(lines: Lines, sample: str, reasons: list[str], *, whole: bool) -> dict[str, Any]:
    """Return the document of a text table."""
    form = form_of(sample, whole=whole)
    if not form.width:
        raise ValueError("it has no rows")
    reasons += _of_first_line(sample, whole=whole)
    table = Table(form)
    source = iter(lines)
    for _ in range(form.skip):
        next(source, None)
    rows = form.rows(source)
    try:
        with within(SECONDS):
            for _ in range(form.header_lines):
                next(rows, None)
            at_once = ROWS if form.width < MAX_COLUMNS else 1
            while not lines.full and (chunk := list(itertools.islice(rows, at_once))):
                table.add(chunk)
            if lines.full:
                before = table.rows
                _count(lines, table)
                if table.rows > before:
                    reasons.append(f"types and ranges are of the first {READ_CHARACTERS >> 20} MiB")
    except csv.Error as exc:
        if not table.rows:
            raise
        reasons.append(f"what follows row {table.rows} cannot be read: {exc}")
    except OutOfTime:
        reasons.append(f"rows are those counted in {SECONDS} seconds")
    reasons[:0] = form.doubts
    return table.describe(reasons)


def _of_first_line(sample: str, *, whole: bool) -> list[str]:
    """Return what is to be said of a first line that is longer than what is read to know the columns."""
    if whole or "\n" in sample or "\r" in sample:
        return []
    return [f"its first line has more than {len(sample)} characters: columns are of these alone"]


def _count(lines: Lines, table: Table) -> None:
    """Count the rows of the rest, piece by piece: where no quotes are by its lines."""
    pieces = iter(lines.pieces())
    for piece in pieces:
        if not table.form.read and ('"' not in piece or table.form.delimiter == " "):
            table.rows += _plain(piece, table.form)
            continue
        feed = Feed(piece, pieces)
        for _ in table.form.rows(feed):
            table.rows += 1
            if feed.done:
                break


def _plain(piece: str, form: Form) -> int:
    """Return how many rows a piece has, in which no quotes are."""
    mark = form.mark
    odd = any(sign in piece for sign in ("\n\n", "\n ", "\n\t")) or piece[0] in " \t\n"
    if not odd and not (mark and (piece.startswith(mark) or f"\n{mark}" in piece)):
        return piece.count("\n") + (not piece.endswith("\n"))
    blank = " " if form.delimiter == "\t" else None
    return sum(
        bool(line.strip(blank)) and not (mark and line.lstrip().startswith(mark)) for line in piece.split("\n")
    )


class Feed:
    """The lines of a piece, and of the next ones while a row is not at its end."""

    def __init__(self, piece: str, pieces: Iterator[str]) -> None:
        self._pieces = pieces
        self._take(piece)

    def _take(self, piece: str) -> None:
        lines = piece.split("\n")
        last = lines.pop()
        self._lines = iter([*lines, last] if last else lines)
        self._left = len(lines) + bool(last)

    @property
    def done(self) -> bool:
        """Whether the piece is at its end."""
        return not self._left

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while not self._left:
            self._take(next(self._pieces))
        self._left -= 1
        return next(self._lines).replace("\0", " ") + "\n"


def from_text(source: Source, closely: int = READ_CHARACTERS) -> dict[str, Any]:
    """Return the document of a text, of which `closely` characters are more than counted."""
    encoding = encoding_of(source.sample, whole=source.whole)
    start = source.sample.decode(encoding, "replace").lstrip("\ufeff")
    reasons: list[str] = []
    lines = Lines(source, encoding, closely)
    if tabular_json.begins(start):
        document = tabular_json.document(lines, start, reasons, SECONDS, whole=source.whole)
    else:
        document = delimited(lines, start, reasons, whole=source.whole)
    if lines.cut:
        reasons.append(f"lines are cut at {MAX_LINE} characters")
    if source.damage:
        reasons.append(clean(f"it is torn or damaged: {source.damage}"[:MAX_TEXT]))
    document["encoding"] = encoding.removesuffix("-sig")
    if source.compression:
        document["compression"] = source.compression
    if reasons:
        document["partial"] = "; ".join(reasons)
    return document


def is_columnar(sample: bytes) -> bool:
    """Whether a file begins as Parquet or Arrow do, and not as a text with such a word."""
    if sample.startswith((b"\xff\xff\xff\xff", b"ARROW1\0\0")):
        return True
    return sample.startswith(b"PAR1") and not chr(sample[4] if len(sample) > 4 else 0).isprintable()


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    with Path(path).open("rb") as file:
        sample = file.read(SAMPLE)
        if not sample.strip():
            raise ValueError("it is empty")
        if is_columnar(sample):
            import tabular_arrow  # noqa: PLC0415 - a quarter of a second that only such files need

            if sample.startswith(b"PAR1"):
                return tabular_arrow.parquet(path)
            return tabular_arrow.arrow(path, stream=not sample.startswith(b"ARROW1"))
        file.seek(0)
        source = Source(file)
        if not source.sample.strip():
            raise ValueError("it is empty")
        return from_text(source)


if __name__ == "__main__":
    extractor_batch.run(facts.told(extract), isolated=True, seconds_per_file=100)
