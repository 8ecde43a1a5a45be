"""JSON: lists and lines of objects are tables, GeoJSON is one of features; others are keys and values.

A document is read forward, one member or item after the other, so that its size does not matter.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import tabular_shapes
from extractor_batch import OutOfTime, within
from extractor_open import PIECE
from tabular_columns import MAX_TEXT, Records, clean, key_of
from tabular_source import READ_CHARACTERS, Lines
from tabular_values import Values

MAX_ITEM = 64 << 20  # characters of one member or item
MAX_KEYS = 1000
MAX_DIGITS = 4000  # Python reads no whole number of 4,300 and more
SPACE = " \t\r\n"
BEGINNING = re.compile(r"[\x1e\s]*(?:\{|\[\s*(?:[\[{\"\]\-\d]|true|false|null|\Z))")


def whole(digits: str) -> int | float:
    """Return a whole number; one of more digits than Python reads as what a number beyond all bounds is."""
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)


DECODER = json.JSONDecoder(parse_int=whole)


class Torn(ValueError):
    """The text is no JSON from some place on."""


class Cursor:
    """A place in a JSON text that is read forward."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._text = ""
        self._at = 0
        self._ended = False
        self._decode = DECODER.raw_decode
        self.read = 0

    def _more(self, size: int = PIECE) -> bool:
        part = "" if self._ended else self._lines.text(size)
        self._ended = not part
        self.read += len(part)
        self._text = self._text[self._at :] + part
        self._at = 0
        return bool(part)

    @property
    def near(self) -> bool:
        """Whether its place is in what is read closely."""
        return self._lines.within(self.read)

    def peek(self) -> str:
        """Return the next sign that is no blank, and stand before it; an empty text at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in SPACE:
                self._at += 1
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def take(self, signs: str) -> str:
        """Step over one of `signs`; raise Torn where there is another."""
        sign = self.peek()
        if not sign:
            raise Torn("it ends in the middle")
        if sign not in signs:
            raise Torn(f"{sign!r} stands where one of {signs!r} must")
        self._at += 1
        return sign

    def value(self) -> Any:
        """Return the next value."""
        self.peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except RecursionError:
                raise Torn("it is nested too deeply") from None
            except ValueError as exc:
                if len(self._text) - self._at > MAX_ITEM:
                    raise Torn(f"a part of it is longer than {MAX_ITEM} characters, or no JSON") from None
                if self._more(max(PIECE, len(self._text) - self._at)):
                    continue
                words = exc.msg if isinstance(exc, json.JSONDecodeError) else f"{exc}"
                raise Torn(words if self.peek() else "it ends in the middle") from None
            if end == len(self._text) and self._more():
                continue  # a number may go on
            self._at = end
            return value

    def items(self) -> Iterator[Any]:
        """Yield the items of a list at whose beginning the cursor stands."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.take(",]") == "]":
                return

    def members(self) -> Iterator[tuple[str, Any, bool]]:
        """Yield (key, value, whether it is an item of a list) of an object; of a list first [], then its items."""
        self.take("{")
        if self.peek() == "}":
            self.take("}")
            return
        while True:
            if self.peek() != '"':
                self.take('"')
            key = self.value()
            self.take(":")
            if self.peek() == "[":
                yield key, [], False
                for item in self.items():
                    yield key, item, True
            else:
                yield key, self.value(), False
            if self.take(",}") == "}":
                return


class Document:
    """What is kept of a JSON document."""

    def __init__(self) -> None:
        self.values = Values()
        self.records = Records()
        self.keys: dict[str, None] = {}
        self.rows = 0
        self.items = 0
        self.top = "value"
        self.table = ""  # the key below which its rows are
        self.shape: dict[str, Any] = {}  # members that well-known shapes are told by
        self.geo = tabular_shapes.Extent()
        self.late = False  # not all of it was looked at closely

    def read(self, cursor: Cursor) -> None:
        """Read a document. Raise Torn where it is no JSON."""
        first = cursor.peek()
        if first == "{":
            self.top = "object"
            for key, value, is_item in cursor.members():
                self.member(cursor, key, value, is_item)
        elif first == "[":
            self.top = "list"
            for item in cursor.items():
                self.items += 1
                self.row(cursor, item, "")
        else:
            value = cursor.value()
            self.values.add(value, "item")
        if cursor.peek():
            raise Torn("something follows its end")

    def row(self, cursor: Cursor, item: Any, place: str) -> None:
        """Take an item of a list whose objects are rows."""
        if not isinstance(item, dict):
            if cursor.near:
                self.values.add(item, place or "item", listed=True)
            return
        self.rows += 1
        feature = place == "features" and item.get("type") == "Feature"
        if feature:
            self.geo.add(item.get("geometry"))
        if not cursor.near:
            self.late = True
            return
        if feature:
            item = item["properties"] if isinstance(item.get("properties"), dict) else {}
        self.records.add(item)
        item = {
            key: value for key, value in item.items() if not isinstance(value, (int, float))
        }  # they have a range
        self.values.add(item, f"{place}.properties" if feature else place, listed=True, many=True)

    def member(self, cursor: Cursor, key: str, value: Any, is_item: bool) -> None:
        """Take a member of an object, or an item of a list that is one."""
        name = key_of(key)
        if len(self.keys) <= MAX_KEYS:
            self.keys[name] = None
        if key in ("@graph", "features"):
            self.table = self.table or (key if is_item and isinstance(value, dict) else "")
            if is_item and key == self.table:
                self.row(cursor, value, key)
                tabular_shapes.remember(self.shape, key, value, is_item=True)
                return
        if cursor.near:
            self.values.add(value, name, listed=is_item, many=is_item and isinstance(value, dict))
            tabular_shapes.remember(self.shape, key, value, is_item=is_item)
        else:
            self.late = True

    @property
    def empty(self) -> bool:
        """Whether nothing was found."""
        return not (self.keys or self.items or self.values.kept)

    def describe(self, reasons: list[str], form: str, *, counted: bool) -> dict[str, Any]:
        """Return the document, and add the reasons why it is not all that the file has."""
        found: dict[str, Any] = {"format": form}
        is_geo = "features" in self.keys and self.shape.get("type") == "FeatureCollection"
        if self.late:
            reasons.append(f"types, ranges and values are of the first {READ_CHARACTERS >> 20} MiB")
        if self.rows or is_geo:
            form = "geojson" if is_geo else form
            found = self.records.described(form, self.rows, reasons)
        if self.top != "list" or not self.rows:
            found["top"] = self.top
        if self.top == "object":
            found["keys"] = list(self.keys)[:MAX_KEYS]
            if len(self.keys) > MAX_KEYS:
                reasons.append(f"keys are the first {MAX_KEYS}")
        elif self.top == "list" and self.rows != self.items:
            found["items"] = self.items
        found |= self.values.describe(reasons, is_table=bool(self.rows))
        if is_geo:
            found |= self.geo.describe(self.shape.get("bbox"), whole=counted)
        return found | tabular_shapes.facts(self.shape, found.get("bbox"))


def begins(start: str) -> bool:
    """Whether a text begins as JSON does."""
    return BEGINNING.match(start) is not None


def document(lines: Lines, start: str, reasons: list[str], seconds: float, *, whole: bool) -> dict[str, Any]:
    """Return the document of JSON or JSON lines."""
    if is_lines(start, whole=whole):
        return json_lines(lines, reasons, seconds)
    found = Document()
    counted = False
    try:
        with within(seconds):
            found.read(Cursor(lines))
            counted = True
    except OutOfTime:
        reasons.append(f"rows are those counted in {seconds} seconds")
    except Torn as exc:
        if found.empty:
            raise ValueError(f"no part of it can be read as JSON: {exc}") from None
        reasons.append(clean(f"it is not JSON to its end: {exc}"[:MAX_TEXT]))
    return found.describe(reasons, "json", counted=counted)


def json_lines(lines: Lines, reasons: list[str], seconds: float) -> dict[str, Any]:
    """Return the document of a JSON lines file."""
    found, bad = Document(), 0
    found.top = "list"
    closely = Cursor(lines)  # it reads nothing: lines do
    try:
        with within(seconds):
            for line in lines:
                text = line.strip("\x1e" + SPACE)
                if not text:
                    continue
                try:
                    value = DECODER.decode(text)
                except (ValueError, RecursionError):
                    bad += 1
                    continue
                if isinstance(value, list):
                    found.rows += 1
                    found.records.add(value)
                elif isinstance(value, dict):
                    found.row(closely, value, "")
                else:
                    bad += 1
                if lines.full:
                    break
            before = found.rows
            for piece in lines.pieces():
                found.rows += sum(bool(line.strip(SPACE)) for line in piece.split("\n"))
            found.late = found.rows > before
    except OutOfTime:
        reasons.append(f"rows are those counted in {seconds} seconds")
    if not found.rows:
        raise ValueError("none of its lines is a JSON object")
    found.items = found.rows
    document = found.describe(reasons, "jsonl", counted=True)
    return document | ({"bad_lines": bad} if bad else {})


def is_lines(start: str, *, whole: bool) -> bool:
    """Whether the lines are JSON values of their own: two of the first begin so, and half of them are."""
    lines = [text for line in itertools.islice(start.split("\n"), 100) if (text := line.strip("\x1e" + SPACE))][:4]
    if len(lines) < 2 or sum(line[0] in "{[" for line in lines) < 2:
        return False
    tried = lines if whole or len(lines) < 3 else lines[:-1]
    good = [_is_container(line) for line in tried]
    return sum(good) * 2 >= len(good) + (not good[0])


def _is_container(line: str) -> bool:
    try:
        return isinstance(DECODER.decode(line), (dict, list))
    except (ValueError, RecursionError):
        return False
