"""What a cell of a text table is: a number, with a decimal point or comma, a time, a truth, a word, or nothing."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence

# what programs write where they have no value
MISSING = {
    "", "na", "n/a", "nan", "-nan", "null", "none", "<na>", "#n/a", "#na", "#n/a n/a", "indef",
    "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan",
}  # fmt: skip
NUMERIC = frozenset("0123456789+-.iIuUnN")  # what a number, inf and nan begin with
FORTRAN = re.compile(r"[+-]?\d*\.?\d*[dD][+-]?\d{1,3}")
COMMA = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+(?:,\d*)?|[+-]?\d*,\d+(?:[eE][+-]?\d{1,3})?")
POINT = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d{1,3})?")
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?")  # in a cell of its own, as in "1,234"
GROUPED = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+(?:,\d*)?")
TRUTHS = {"true", "false"}
Moment = tuple[dt.datetime, str]


def number_of(text: str, decimal: str = ".") -> float | None:
    """Return the number that `text` is; None if it is none."""
    if decimal == "," and ("," in text or "." in text):
        text = (text.replace(".", "") if GROUPED.fullmatch(text) else text).replace(",", ".")
    elif "," in text and THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    if text[:1] not in NUMERIC or "_" in text:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return (
        float(text.replace("d", "e").replace("D", "e")) if FORTRAN.fullmatch(text) and text[0] not in "dD" else None
    )


def all_numbers(fields: Sequence[str], decimal: str = ".") -> list[int] | list[float] | None:
    """Return `fields` as numbers if all of them are plain finite ones: the quick way for whole columns."""
    joined = "".join(fields)
    if not joined.isascii() or "_" in joined or "n" in joined or "N" in joined:
        return None
    if decimal == ",":
        if "." in joined:
            return None
        fields = [field.replace(",", ".") for field in fields]
    try:
        return list(map(int, fields))
    except ValueError:
        pass
    try:
        return list(map(float, fields))
    except ValueError:
        return None


def moment(text: str) -> Moment | None:
    """Return the time or date that `text` is in ISO 8601, to be compared, with `text`; None if it is none."""
    if len(text) < 10 or text[4] != "-" or not text[:4].isdigit():
        return None
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=dt.UTC)), text


def all_moments(fields: Sequence[str]) -> list[Moment] | None:
    """Return `fields` as times if all of them are."""
    found = []
    for field in fields:
        if (when := moment(field)) is None:
            return None
        found.append(when)
    return found


def kind_of(text: str, decimal: str = ".") -> str:
    """Return what a cell is: number, time, truth, text or none."""
    text = text.strip()
    low = text.lower()
    if low in MISSING:
        return "none"
    if number_of(text, decimal) is not None:
        return "number"
    return "time" if moment(text) else "truth" if low in TRUTHS else "text"


def decimal_of(cells: Sequence[str]) -> str:
    """Return what stands before decimals in these cells: a comma where more have one than a point."""
    commas = sum(1 for cell in cells if "," in cell and COMMA.fullmatch(cell.strip()))
    return "," if commas > sum(1 for cell in cells if "." in cell and POINT.fullmatch(cell.strip())) else "."
