"""Text tables that describe themselves in front: of CDS, IPAC, SExtractor, Slurm's sacct; numbers after prose."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tabular_cells import MISSING, kind_of, number_of

MAX_LINES = 4000  # in which a description is looked for
MAX_COMMENTS = 101
BYTES = re.compile(r"\s*Byte-by-byte Description of file", re.IGNORECASE)
RULE = re.compile(r"[-=]{20,}\s*\Z")
COLUMN = re.compile(r"\s*(?:(\d{1,5})\s*-)?\s*(\d{1,5})\s+([AIFE]\d\S*)\s+(\S+)\s+(\S+)")
RULED = re.compile(r" *(?:-{2,}|={2,})(?: +(?:-{2,}|={2,}))+ *\Z")
NUMBERED = re.compile(r"(\d{1,4})\s+(\S+)(?:.*\[([^\[\]]{1,40})\])?")
IPAC_TYPES = re.compile(r"(?:d(?:ouble|ate)?|f(?:loat)?|r(?:eal)?|i(?:nt)?|l(?:ong)?|c(?:har)?)\Z", re.IGNORECASE)
SAYS = 0.9  # this share of rows must be as described
LEAST_PROSE = 3  # lines
LEAST_ROWS = 10  # of numbers after prose
NO_UNIT = ("---", "-", "[-]", "")


@dataclass(frozen=True, slots=True)
class Described:
    """What a table says of itself: names, units, where fields stand, lines before the rows, other words.

    `read` makes rows of lines where they have a shape of their own, and says in `doubts` what is odd in them;
    `width` is told where columns have no names.
    """

    names: list[str]
    units: list[str]
    places: tuple[tuple[int, int], ...]
    skip: int
    comments: list[str]
    width: int = 0
    delimiter: str = " "
    read: Callable[[Iterable[str]], Iterator[list[str]]] | None = None
    doubts: list[str] = field(default_factory=list)


def described(lines: Sequence[str]) -> Described | None:
    """Return what a table says of itself in one of these ways; None where it does not."""
    first = lines[0] if lines else ""
    if first.startswith(("|", "\\")):
        return _ipac(lines)
    if found := _ruled(lines):
        return found
    start = next((n for n, line in enumerate(lines[:MAX_LINES]) if BYTES.match(line)), None)
    return None if start is None else _machine_readable(lines, start)


def _machine_readable(lines: Sequence[str], start: int) -> Described | None:
    """Read the description of bytes: `1- 5 F5.2 mag Vmag ? Magnitude`; rows follow the last rule."""
    columns = []
    for line in lines[start + 1 : MAX_LINES]:
        if match := COLUMN.match(line):
            end = int(match[2])
            columns.append((int(match[1] or end) - 1, end, match[3][0], match[4], match[5]))
        elif RULE.match(line) and columns:
            break
    rules = [n for n, line in enumerate(lines[:MAX_LINES]) if RULE.match(line)]
    if not columns or not rules or rules[-1] + 1 >= len(lines):
        return None
    skip = rules[-1] + 1
    rows = [line for line in lines[skip : skip + 200] if line.strip()]
    numbers = [(begin, end) for begin, end, kind, _, _ in columns if kind != "A"]
    good = sum(all(_is_number(row[begin:end]) for begin, end in numbers) for row in rows)
    if not rows or good < SAYS * len(rows):
        return None
    places = tuple((begin, end) for begin, end, *_ in columns)
    units = ["" if unit in NO_UNIT else unit for *_, unit, _ in columns]
    said = [line.strip() for line in lines[:start] if line.strip() and not RULE.match(line)]
    return Described([name for *_, name in columns], units, places, skip, said[:MAX_COMMENTS])


def _is_number(field: str, decimal: str = ".") -> bool:
    return field.strip().lower() in MISSING or number_of(field.strip(), decimal) is not None


def _ipac(lines: Sequence[str]) -> Described | None:
    """Read the header of an IPAC table: keywords after backslashes, then names, types and units between bars."""
    end = next((n for n, line in enumerate(lines[:MAX_LINES]) if not line.startswith(("|", "\\"))), len(lines))
    heads = [line.rstrip() for line in lines[:end] if line.startswith("|")]
    if not heads or not 1 <= len(heads) <= 4 or not heads[0].endswith("|") or heads[0].count("|") < 2:
        return None
    bars = [place for place, sign in enumerate(heads[0]) if sign == "|"]
    cells = [[cell.strip(" -") for cell in head.strip("|").split("|")] for head in heads]
    if any(len(row) != len(bars) - 1 for row in cells) or not all(cells[0]):
        return None
    if len(cells) > 1 and not (any(cells[1]) and all(IPAC_TYPES.match(cell) for cell in cells[1] if cell)):
        return None  # a table whose every line has bars at its ends
    units = cells[2] if len(cells) > 2 else [""] * len(cells[0])
    said = [line[1:].strip() for line in lines[:end] if line.startswith("\\")]
    places = tuple(itertools.pairwise(bars))
    return Described(cells[0], units, places, end, [line for line in said if line][:MAX_COMMENTS])


def _ruled(lines: Sequence[str]) -> Described | None:
    """Read a table whose second line rules its fields by dashes below their names, as sacct of Slurm prints."""
    above = len(lines) > 2 and bool(RULED.match(lines[0].rstrip("\r\n")))  # of reStructuredText
    lines = lines[above:]
    if len(lines) < 2 or not RULED.match(rule := lines[1].rstrip("\r\n")):
        return None
    runs = [match.span() for match in re.finditer(r"[-=]+", rule)]
    gaps = [place for (_, end), (start, _) in itertools.pairwise(runs) for place in range(end, start)]
    rows = [
        line.rstrip("\r\n")
        for line in (lines[0], *lines[2:200])
        if line.strip() and not RULED.match(line.rstrip("\r\n"))
    ]
    if any("\t" in row for row in rows) or any(row[place : place + 1].strip() for row in rows for place in gaps):
        return None
    starts = [0, *(start for start, _ in runs[1:])]
    places = tuple(zip(starts, [*starts[1:], 1 << 20], strict=True))
    names = [rows[0][start:end].strip() for start, end in places]
    if not all(names):
        return None
    return Described(names, [""] * len(names), places, 2 + above, [], read=lambda rest: _unruled(rest, places))


def _unruled(lines: Iterable[str], places: Sequence[tuple[int, int]]) -> Iterator[list[str]]:
    for line in lines:
        if line.strip() and not RULED.match(line.rstrip("\r\n")):
            yield [line[start:end].strip() for start, end in places]


def numbered(comments: Sequence[str], width: int | None) -> tuple[list[str], list[str]]:
    """Return names and units of comments such as `3 MAG_AUTO Kron-like magnitude [mag]`; none where they are none.

    `width` is that of the rows, None where there are none. A number that is left out belongs to the column before
    it, which has several values (SExtractor, ASCII_HEAD).
    """
    found = [match for line in comments if (match := NUMBERED.match(line))]
    places = [int(match[1]) for match in found]
    rising = all(a < b for a, b in itertools.pairwise(places))
    if len(found) < 2 or len(found) < len(comments) or places[0] != 1 or not rising:
        return [], []
    width = places[-1] if width is None else width
    if places[-1] > width:
        return [], []
    names, units = [], []
    for match, start, end in zip(found, places, [*places[1:], width + 1], strict=True):
        names += [match[2], *(f"{match[2]}_{n}" for n in range(1, end - start))]
        units += [match[3] or ""] * (end - start)
    return names, units


def prose_before(body: Sequence[str]) -> int:
    """Return how many lines of prose stand before lines of numbers to the end; 0 where it is not so."""
    if "\t" in body[-1]:
        return 0  # its fields may be empty
    rows = [line.split() for line in body]
    width = len(rows[-1])
    start = len(rows)
    while start and len(rows[start - 1]) == width and all(_is_number(cell, ",") for cell in rows[start - 1]):
        start -= 1
    if width < 2 or len(rows) - start < LEAST_ROWS:
        return 0
    names = start
    while names and start - names < 2 and len(rows[names - 1]) == width and _are_words(rows[names - 1]):
        names -= 1
    alike = Counter(len(row) == width for row in rows[:names])
    return names if names >= LEAST_PROSE and alike[True] * 2 <= names else 0


def _are_words(row: Sequence[str]) -> bool:
    return all(kind_of(cell) == "text" for cell in row)
