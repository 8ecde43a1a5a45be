"""Whether a text table has a header, and what its names and units are."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence

from tabular_cells import kind_of, number_of

UNITLESS = {"", "-", "--", "none", "n/a", "1", "text", "string", "str", "char", "name", "(-)", "[-]", "()", "[]"}
NAMING = re.compile(r"(?:columns?|fields|names|header)\s*[:=]\s*|! *FIELDS\s+", re.IGNORECASE)
RDB_FORMAT = re.compile(r"\d*[SNM]\Z")
ECSV_COLUMN = re.compile(
    r"\{\s*name: *('[^']*'|\"[^\"]*\"|[^,{}]+?) *(?:, *unit: *('[^']*'|\"[^\"]*\"|[^,{}]+?) *)?[,}]"
)


def ecsv_units(comments: Sequence[str]) -> dict[str, str]:
    """Return the units of columns that the header of an ECSV file has (astropy, APE 6)."""
    return {_bare(name): _bare(unit) for name, unit in ECSV_COLUMN.findall(" ".join(comments)) if unit}


def _bare(word: str) -> str:
    return word.strip().strip("'\"")


def are_words(row: Sequence[str]) -> bool:
    """Whether a row has words and no numbers."""
    return all(kind_of(cell) in ("text", "none") for cell in row) and any(kind_of(cell) == "text" for cell in row)


def names_in(comments: Sequence[str], delimiter: str, width: int) -> list[str]:
    """Return the names in the last comment, or in one that says so; none where their number is wrong."""
    for place, line in enumerate(reversed(comments)):
        match = NAMING.match(line)
        if place and not match:
            continue
        text = line[match.end() :] if match else line
        for separator in (delimiter.strip() or None, None, ",", "\t", "  "):
            names = [name.strip().strip('"') for name in text.split(separator) if separator or name]
            names = [name for name in names if name] if separator in (None, "  ") else names
            if len(names) == width and _are_names(names):
                return names
    return []


def _are_names(names: Sequence[str]) -> bool:
    kinds = {kind_of(name) for name in names}
    numbers = [number for name in names if (number := number_of(name)) is not None]
    if numbers and not (len(numbers) > 1 and _are_steps(numbers)):
        return False  # such as `block 7`
    return "text" in kinds and "time" not in kinds and not names[0].endswith((":", "="))


def are_quoted_names(lines: Sequence[str], delimiter: str) -> bool:
    """Whether a first line has quotes around all fields, and the next has numbers without, as R writes names."""
    mark = re.escape(delimiter)
    first, *below = (line.strip() for line in lines[:2])
    return (
        re.fullmatch(rf'"[^"]*"(?:{mark}"[^"]*")*', first) is not None
        and len(below) > 0
        and re.search(rf"(?:^|{mark})[+-]?\d[\d.,eE+-]*(?:{mark}|$)", below[0]) is not None
    )


def header_by_contrast(rows: Sequence[Sequence[str]], decimal: str, width: int) -> bool | None:
    """Say whether the first row has names, by what is below it; None where nothing shows it."""
    first = [cell.strip() for cell in rows[0]]
    below = [row for row in rows[1:] if len(row) == width]
    if len(first) != width or not below:
        return None
    if not first[0] and len(first) > 2 and len(below) > 1 and all(kind_of(cell) == "number" for cell in first[1:]):
        return all(kind_of(row[0], decimal) == "text" for row in below)  # numbers as names, over names of rows
    words = against = 0
    for place, cell in enumerate(first):
        kinds = Counter(kind_of(row[place], decimal) for row in below)
        kinds.pop("none", None)
        kind = max(kinds, key=lambda one: kinds[one], default="none")
        if kind not in ("number", "time", "truth") or kinds[kind] < 0.8 * kinds.total():
            continue
        here = kind_of(cell, decimal)
        if here == "text" or (here == "time" and kind == "number"):
            if not place and cell[:1].isalpha():
                return True
            words += 1
        against += here == kind
    if words and words >= against:
        return True
    numbers = [number for cell in first if (number := number_of(cell, decimal)) is not None]
    if len(numbers) > 1 and _are_steps(numbers) and _differ(first, below, decimal):
        return True
    return False if against else None


def _are_steps(numbers: Sequence[float]) -> bool:
    """Whether numbers are years, or go up or down all the way, as wavelengths do."""
    rising = all(a < b for a, b in itertools.pairwise(numbers))
    falling = all(a > b for a, b in itertools.pairwise(numbers))
    return (rising or falling) and (_are_years(numbers) or len(numbers) > 3)


def _are_years(numbers: Sequence[float]) -> bool:
    return all(isinstance(number, int) and 1000 <= number <= 2200 for number in numbers)


def _differ(first: Sequence[str], below: Sequence[Sequence[str]], decimal: str) -> bool:
    """Whether the rows below are no such steps: names do not go on as data."""
    years = _are_years([n for cell in first if (n := number_of(cell, decimal)) is not None])
    words = any(kind_of(cell, decimal) in ("text", "none") for cell in first)
    alike = 0
    for row in below:
        numbers = [number for cell in row if (number := number_of(cell, decimal)) is not None]
        alike += _are_years(numbers) if years else (not words or _are_steps(numbers))
    return alike * 2 < len(below)


def late_header(rows: Sequence[Sequence[str]], decimal: str) -> int:
    """Return how many rows of other values, some with numbers, stand before names that are above numbers only."""
    for place, row in enumerate(rows[1:50], 1):
        if not are_words(row) or any(number_of(cell, ",") is not None for cell in row):
            continue
        below = rows[place + 1 :]
        kinds = {kind_of(cell, decimal) for one in below for cell in one if len(one) == len(row)}
        above = {kind_of(cell, decimal) for one in rows[:place] for cell in one}
        if len(below) > 1 and kinds <= {"number", "none"} and "number" in kinds and {"number", "time"} & above:
            return place if "text" in above and kind_of(rows[0][0], decimal) == "text" else 0
    return 0


def are_formats(below: Sequence[Sequence[str]]) -> bool:
    """Whether the first row below a header has the formats of an RDB table, such as 12S and 8N."""
    first = [cell.strip() for cell in below[0]] if below else []
    if len(first) < 2 or not all(RDB_FORMAT.match(cell) for cell in first):
        return False
    return any(cell[0].isdigit() for cell in first) or header_by_contrast(below, ".", len(first)) is True


def is_units(below: Sequence[Sequence[str]], decimal: str, width: int) -> bool:
    """Whether the first row below a header has units: words over numbers, no number, and no word over words."""
    if len(below) < 3 or len(below[0]) != width:
        return False
    if any(kind_of(cell, decimal) in ("number", "time") or len(cell) > 20 for cell in below[0]):
        return False
    for place, cell in enumerate(below[0]):
        kinds = {kind_of(row[place], decimal) for row in below[1:] if len(row) == width}
        if "text" in kinds and cell.strip().lower() not in UNITLESS:
            return False
    return header_by_contrast(below, decimal, width) is True
