"""Workbooks of Office Open XML: sheets with their extent, and the head of the first one."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import extractor_facts as facts
from office_dates import Moment, shown, styles
from office_word import relations
from office_xml import Package, listed

MAX_SHEETS = 200
MAX_NAMES = 200
PLACE = re.compile(r"([A-Z]{1,3})(\d{1,7})")
WORKBOOK = "xl/workbook.xml"
Value = str | float | bool | None


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the head as it stands there: its type, its text, its style."""

    kind: str
    text: str
    style: str


@dataclass(slots=True)
class Meanings:
    """What the cells of a workbook refer to: shared texts, formats by style, the first day."""

    texts: dict[int, str] = field(default_factory=dict)
    formats: list[str] = field(default_factory=list)
    from_1904: bool = False


def column_of(letters: str) -> int:
    """Return the number of a column, the first is 1."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number


class Sheet:
    """One sheet: the extent of its cells that hold something, and the cells of its first rows."""

    def __init__(self, *, head: bool) -> None:
        self.rows = self.columns = self.cells = self.formulas = 0
        self.head: dict[tuple[int, int], Cell] = {}  # by row and column
        self._head = head
        self._place = (0, 0)
        self._kind = self._style = ""
        self._text = ""
        self._filled = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Take the beginning of an element."""
        if name == "row":
            number = attributes.get("r", "")
            self._place = (int(number) if number.isdecimal() and len(number) < 8 else self._place[0] + 1, 0)
        elif name == "c":
            found = PLACE.fullmatch(attributes.get("r", ""))
            row, column = self._place
            self._place = (int(found[2]), column_of(found[1])) if found else (row, column + 1)
            self._kind, self._text, self._filled = attributes.get("t", "n"), "", False
            self._style = attributes.get("s", "0")
        elif name == "f":
            self.formulas += 1

    def end(self, name: str, text: str) -> None:
        """Take the end of an element."""
        if name in {"v", "t"}:
            self._text += text
            self._filled = True
        elif name == "c" and self._filled:
            row, column = self._place
            self.cells += 1
            self.rows, self.columns = max(self.rows, row), max(self.columns, column)
            if self._head and row <= facts.MAX_ROWS + 1 and column <= facts.MAX_COLUMNS:
                self.head[row, column] = Cell(self._kind, self._text[:4000], self._style)

    def document(self) -> dict[str, Any]:
        """Return its extent."""
        found: dict[str, Any] = {"rows": self.rows, "columns": self.columns, "cells": self.cells}
        return found | ({"formulas": self.formulas} if self.formulas else {})


def shared_texts(package: Package, wanted: set[int]) -> dict[int, str]:
    """Return the texts of the workbook that cells refer to by these numbers."""
    found: dict[int, str] = {}
    state = {"number": -1, "phonetic": 0}
    parts: list[str] = []

    def start(name: str, _: dict[str, str]) -> None:
        if name == "si":
            state["number"] += 1
            parts.clear()
        state["phonetic"] += name == "rPh"

    def end(name: str, text: str) -> None:
        if name == "t" and not state["phonetic"]:
            parts.append(text)
        elif name == "rPh":
            state["phonetic"] -= 1
        elif name == "si" and state["number"] in wanted:
            found[state["number"]] = "".join(parts)

    package.walk("xl/sharedStrings.xml", start, end)
    return found


def value_of(cell: Cell, meanings: Meanings) -> Value:
    """Return a cell's value; a date or a time as text."""
    if cell.kind == "s":
        return meanings.texts.get(int(cell.text)) if cell.text.isdecimal() and len(cell.text) < 10 else None
    if cell.kind == "b":
        return cell.text == "1"
    if cell.kind == "d":
        return Moment(cell.text)
    if cell.kind in {"str", "inlineStr", "e"}:
        return cell.text
    return number_of(cell, meanings)


def number_of(cell: Cell, meanings: Meanings) -> Value:
    """Return a number, or the date that it is by the cell's format; the text where it is none."""
    try:
        number = float(cell.text)
    except ValueError:
        return cell.text
    style = int(cell.style) if cell.style.isdecimal() and len(cell.style) < 8 else 0
    if style < len(meanings.formats) and (kind := meanings.formats[style]) and math.isfinite(number):
        moment = shown(number, kind, from_1904=meanings.from_1904)
        if isinstance(moment, Moment):
            return moment
    return int(number) if number.is_integer() and abs(number) < 1 << 53 else number


def head_of(sheet: Sheet, meanings: Meanings) -> tuple[list[str], dict[str, Any] | None]:
    """Return the texts of the first row, where it is one of names, and the head of the sheet as a table."""
    rows = sorted({row for row, _ in sheet.head})
    if not rows:
        return [], None
    width = max(column for _, column in sheet.head)
    values = [
        [
            value_of(sheet.head[row, column], meanings) if (row, column) in sheet.head else None
            for column in range(1, width + 1)
        ]
        for row in rows
    ]
    first = values[0]
    if all(isinstance(one, str) and not isinstance(one, Moment) and one.strip() for one in first):
        names = [facts.text(one, 500) for one in first if isinstance(one, str)]
        return names, facts.table(names, values[1:])
    return [], facts.table([letters(number) for number in range(1, width + 1)], values[: facts.MAX_ROWS])


def letters(number: int) -> str:
    """Return the letters of a column."""
    found = ""
    while number:
        number, rest = divmod(number - 1, 26)
        found = chr(65 + rest) + found
    return found


def xlsx(package: Package) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a workbook holds, and its parts for `preview`."""
    sheets: list[tuple[str, str, str]] = []
    names: list[str] = []
    meanings = Meanings()

    def start(name: str, attributes: dict[str, str]) -> None:
        if name == "workbookPr":
            meanings.from_1904 = attributes.get("date1904", "") in {"1", "true"}
        elif name == "sheet" and len(sheets) < 10_000:
            sheets.append((attributes.get("name", ""), attributes.get("id", ""), attributes.get("state", "")))
        elif name == "definedName" and len(names) < 10_000 and not attributes.get("name", "_").startswith("_"):
            names.append(attributes["name"])

    package.walk(WORKBOOK, start)
    places = relations(package, WORKBOOK)
    extents: dict[str, dict[str, Any]] = {}
    columns: list[str] = []
    table = None
    for number, (name, key, state) in enumerate(sheets[:MAX_SHEETS]):
        sheet = Sheet(head=table is None)
        package.walk(places.get(key, ""), sheet.start, sheet.end)
        shown = facts.text(name, 200) or f"sheet {number + 1}"
        extents[shown] = sheet.document() | ({"hidden": True} if state in {"hidden", "veryHidden"} else {})
        if table is None and sheet.head:
            wanted = {int(one.text) for one in sheet.head.values() if one.kind == "s" and one.text.isdecimal()}
            meanings.texts = shared_texts(package, wanted) if wanted else {}
            meanings.formats = styles(package)
            columns, table = head_of(sheet, meanings)
    if len(sheets) > MAX_SHEETS:
        package.reasons.append(f"of {len(sheets)} sheets {MAX_SHEETS} are read")
    found: dict[str, Any] = {
        "format": "xlsx",
        "sheets": len(sheets),
        "sheet_names": list(extents),
        "sheet": extents,
    }
    if columns:
        found["columns"] = columns
    if kept := listed(names, MAX_NAMES, "defined names", package.reasons):
        found["defined_names"] = kept
    return found, {"table": table}
