"""OpenDocument: texts, sheets and slides, from their content.xml."""

from __future__ import annotations

from typing import Any

import extractor_facts as facts
from office_dates import Moment, of_iso
from office_word import MAX_HEADINGS
from office_xml import Package, Text, listed

MAX_SHEETS = 200
KINDS = {"text": "odt", "spreadsheet": "ods", "presentation": "odp", "graphics": "odg"}
FAR = 1 << 20  # rows or columns that a sheet can have
# What is no text of the document: remarks, what was deleted, numbers of notes
ASIDE = {"annotation", "tracked-changes", "note-citation"}
PICTURED = {"title", "desc"}  # words for pictures; but a title among words is a field of the text
NUMBERS = {"float", "percentage", "currency"}
WORDS = {"p", "h", "span", "a", "meta", "meta-field", "ruby-base"}


class Content:
    """Everything in one content.xml."""

    def __init__(self, kind: str) -> None:
        self.kind, self.text = kind, Text()
        self.paragraphs = self.tables = self.pages = 0
        self.headings: list[str] = []
        self.sheets: dict[str, dict[str, Any]] = {}
        self.sheet: dict[str, Any] = {}
        self.head: list[list[Any]] = []
        self.depth = 0  # of paragraphs
        self.aside = 0  # depth of elements that are no text
        self.around: list[str] = []  # names of the elements that are open
        self.line: list[str] = []
        self.row = self.column = self.repeat_row = self.repeat_cell = 0
        self.value: str | None = None
        self.kind_of_value = ""
        self.cells: list[Any] = []
        self.cell_text: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Take the beginning of an element."""
        parent = self.around[-1] if self.around else ""
        self.around.append(name)
        if self.aside or name in ASIDE or (name in PICTURED and parent not in WORDS):
            self.aside += 1
        elif name in {"p", "h"}:
            self.depth += 1
            self.line.append(" ")  # of a note, which stands within a paragraph
        elif name in {"s", "tab", "line-break"}:
            self.line.append(" ")
        elif name == "table":
            self._table(attributes)
        elif name == "page":
            self.pages += 1
            if len(self.headings) <= MAX_HEADINGS and self.kind == "odp":
                self.headings.append(attributes.get("name", ""))
        elif name == "table-row":
            self.repeat_row, self.column = times(attributes.get("number-rows-repeated")), 0
            self.cells = []
        elif name in {"table-cell", "covered-table-cell"}:
            self.repeat_cell = times(attributes.get("number-columns-repeated"))
            self.kind_of_value = attributes.get("value-type", "")
            kind = "value" if self.kind_of_value in NUMBERS else f"{self.kind_of_value}-value"
            self.value = attributes.get(kind)
            self.cell_text = []
            if "formula" in attributes:
                self.sheet["formulas"] = self.sheet.get("formulas", 0) + self.repeat_cell

    def _table(self, attributes: dict[str, str]) -> None:
        self.tables += 1
        self.row = 0
        self.sheet = {"rows": 0, "columns": 0, "cells": 0}
        if len(self.sheets) < MAX_SHEETS:
            self.sheets[facts.text(attributes.get("name", ""), 200) or f"sheet {self.tables}"] = self.sheet

    def characters(self, text: str) -> None:
        """Take text."""
        if self.depth and not self.aside:
            self.line.append(text)

    def end(self, name: str, _: str) -> None:
        """Take the end of an element."""
        self.around.pop()
        if self.aside:
            self.aside -= 1
        elif name in {"p", "h"}:
            self._paragraph(name)
        elif name in {"table-cell", "covered-table-cell"}:
            self._cell()
        elif name == "table-row":
            self._row()

    def _paragraph(self, name: str) -> None:
        self.depth -= 1
        if self.depth:
            return
        paragraph = " ".join("".join(self.line).split())
        self.line = []
        if not paragraph:
            return
        self.paragraphs += 1
        self.cell_text.append(paragraph)
        self.text.add(paragraph)
        if name == "h" and len(self.headings) <= MAX_HEADINGS:
            self.headings.append(paragraph)

    def _cell(self) -> None:
        count, filled = self.repeat_cell, bool(self.kind_of_value or self.cell_text)
        if filled and self.sheet:
            self.sheet["cells"] += count * self.repeat_row
            self.sheet["columns"] = max(self.sheet["columns"], self.column + count)
            self.sheet["rows"] = max(self.sheet["rows"], self.row + self.repeat_row)
        if len(self.head) <= facts.MAX_ROWS and len(self.sheets) == 1:
            self.cells += [value_of(self.kind_of_value, self.value, self.cell_text)] * min(
                count, facts.MAX_COLUMNS - len(self.cells)
            )
        self.column += count
        self.cell_text = []

    def _row(self) -> None:
        self.row += self.repeat_row
        if (
            len(self.sheets) == 1
            and len(self.head) <= facts.MAX_ROWS
            and any(one is not None for one in self.cells)
        ):
            self.head.append(self.cells)


def times(text: str | None) -> int:
    """Return how many times something stands there."""
    return min(int(text), FAR) if text and text.isdecimal() and len(text) < 10 else 1


def value_of(kind: str, value: str | None, words: list[str]) -> Any:
    """Return a cell's value by its type, or else as it is shown."""
    if value and kind in NUMBERS:
        return number(value)
    if value and kind in {"date", "time"}:
        return of_iso(value)
    if kind == "boolean" and value in {"true", "false"}:
        return value == "true"
    return " ".join(words) or None


def number(text: str | None) -> Any:
    """Return a number, or the text that is none."""
    try:
        value = float(text or "")
    except ValueError:
        return text
    return int(value) if value.is_integer() and abs(value) < 1 << 53 else value


def odf(package: Package, mime: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what an OpenDocument file holds, and its parts for `preview`."""
    kind = KINDS.get(mime.rpartition(".")[2].removesuffix("-template"), "")
    if not kind:
        raise ValueError(f"it is an OpenDocument type that is not supported: {facts.text(mime, 100)}")
    content = Content(kind)
    package.walk("content.xml", content.start, content.end, content.characters)
    found: dict[str, Any] = {"format": kind}
    if kind == "ods":
        found |= {"sheets": content.tables, "sheet_names": list(content.sheets), "sheet": content.sheets}
        if content.tables > MAX_SHEETS:
            package.reasons.append(f"of {content.tables} sheets {MAX_SHEETS} are listed")
        return found | columns_of(content.head), {"table": table_of(content.head)}
    found |= content.text.document()
    found |= {"slides": content.pages} if kind == "odp" else {"paragraphs": content.paragraphs}
    if kind == "odt":
        found["tables"] = content.tables
    if headings := listed(content.headings, MAX_HEADINGS, "headings", package.reasons):
        found["headings"] = headings
    return found, {"excerpt": content.text.excerpt()}


def columns_of(head: list[list[Any]]) -> dict[str, list[str]]:
    """Return the texts of the first row, where it is one of names."""
    first = head[0][: filled(head)] if head else []
    if not first or not all(isinstance(one, str) and not isinstance(one, Moment) and one for one in first):
        return {}
    return {"columns": [facts.text(one, 500) for one in first]}


def filled(head: list[list[Any]]) -> int:
    """Return how many columns of the head hold something."""
    return max((place + 1 for row in head for place, one in enumerate(row) if one is not None), default=0)


def table_of(head: list[list[Any]]) -> dict[str, Any] | None:
    """Return the head of the first sheet."""
    width = filled(head)
    if not width:
        return None
    rows = [(row + [None] * width)[:width] for row in head]
    if columns_of(head):
        return facts.table([str(one) for one in rows[0]], rows[1:])
    return facts.table([chr(65 + place) for place in range(width)], rows)
