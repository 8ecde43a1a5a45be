"""How a text table is written, told by its beginning: comments, what separates fields, header, units, decimals."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from tabular_cells import decimal_of, kind_of, number_of
from tabular_described import Described, described, numbered, prose_before
from tabular_doubts import doubts, uneven
from tabular_header import (
    are_formats,
    are_quoted_names,
    are_words,
    ecsv_units,
    header_by_contrast,
    is_units,
    late_header,
    names_in,
)
from tabular_records import recorded

MARKS = ("#", "%", "!", "//")  # what a comment begins with
OTHERS = ("#", "!")  # of these one may follow upon the other
ROWS = 200  # that are looked at
MAX_PREAMBLE = 50  # lines of another width before a table
ALIKE = 0.95  # this share of rows of the same width makes a separator sure, and
LIKELY = 0.5  # this share likely
SEPARATORS = "\t;|,"
EXCEL = re.compile(r"\"?sep=(.)\"?\s*\Z", re.IGNORECASE)
ECSV_DELIMITER = re.compile(r"delimiter: *['\"]?([,\s])")
BRACKETS = re.compile(r".*\S\s*\[([^\[\]]{1,20})\]\s*\Z")
AMID_DIGITS = re.compile(r"\d,\d")


class Form:
    """How a table is written."""

    def __init__(self, delimiter: str = ",", mark: str = "") -> None:
        self.delimiter = delimiter
        self.mark = mark  # what a comment begins with
        self.decimal = "."
        self.width = 0
        self.skip = 0  # lines before the first row or header
        self.header_lines = 0  # rows that are header or units
        self.ragged = 0  # lines before it that are of another width
        self.names: list[str] = []  # empty: it has no header
        self.units: list[str] = []
        self.comments: list[str] = []
        self.before: list[str] = []  # other lines before it
        self.places: tuple[tuple[int, int], ...] = ()  # where fixed fields stand
        self.guessed = False  # whether these are told by blanks only
        self.read: Callable[[Iterable[str]], Iterator[list[str]]] | None = None  # of tables of a shape of their own
        self.doubts: list[str] = []  # why it may be another table

    def rows(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """Yield the fields of the rows of lines; blank lines and comments are none."""
        read: Iterator[list[str]]
        if self.read:
            read = self.read(lines)
        elif self.places:
            read = ([line[start:end].strip() for start, end in self.places] for line in lines if line.strip())
        elif self.delimiter == " ":
            read = (blanks(line) for line in lines)
        else:
            read = csv.reader(lines, delimiter=self.delimiter)
        for row in read:
            if not row or (len(row) == 1 and not row[0].strip()):
                continue
            if self.mark and row[0].lstrip().startswith(self.mark):
                continue
            yield row


def blanks(line: str) -> list[str]:
    """Return the fields of a line that blanks separate."""
    if '"' not in line:
        return line.split()
    return next(csv.reader([" ".join(line.split())], delimiter=" "), [])


def form_of(sample: str, *, whole: bool) -> Form:
    """Return how the table is written that begins with `sample`."""
    lines = (
        sample.splitlines(keepends=True)
        if "\x0b" not in sample
        else re.findall(r"[^\r\n]*(?:\r\n|\n|\r|\Z)", sample)
    )
    lines = _only_ends(lines)
    if not whole and len(lines) > 1:
        lines.pop()
    form = Form()
    if said := described(lines) or recorded(lines):
        return _described(form, said, lines)
    asked = _excel(lines, form)
    _comments(lines, form)
    body = [
        line for line in lines[form.skip :] if line.strip() and not (form.mark and _is_comment(line, form.mark))
    ]
    body = body[: 2 * ROWS]
    if not body:
        if form.comments:
            _only_comments(form)
        return form
    if not asked and (before := prose_before(body)):
        _skip(form, lines, before)
        form.ragged, body = before, body[before:]
    told = next((match[1] for line in form.comments if (match := ECSV_DELIMITER.search(line))), "")
    form.delimiter = asked or told or _delimiter(body, form)
    rows = list(_tried(form, body))
    place = _widths(form, lines, rows)
    if form.width:
        if form.delimiter != ",":
            form.decimal = decimal_of([cell for row in rows[place:] for cell in row])
        form.ragged += (late := late_header(rows[place:], form.decimal) if not place else 0)
        _skip(form, lines, late)
        quoted = are_quoted_names(body[place + late :], form.delimiter)
        _header(form, [row[: form.width] for row in rows[place + late :]], quoted=quoted)
        form.doubts = doubts(form, sample, body[:ROWS], _first_rows(form, lines))
    return form


def _described(form: Form, said: Described, lines: Sequence[str]) -> Form:
    """Return the form of a table that describes itself."""
    form.delimiter, form.width, form.skip = said.delimiter, said.width or len(said.names), said.skip
    form.read, form.doubts = said.read, said.doubts
    form.names, form.units, form.places, form.comments = said.names, said.units, said.places, said.comments
    if reason := uneven(form, _first_rows(form, lines)):
        form.doubts.append(reason)
    return form


def _only_ends(lines: list[str]) -> list[str]:
    """Join what splitlines has split at signs that end no line of a table."""
    made: list[str] = []
    for line in lines:
        if made and not made[-1].endswith(("\n", "\r")):
            made[-1] += line
        else:
            made.append(line)
    return made


def _excel(lines: Sequence[str], form: Form) -> str:
    match = EXCEL.match(lines[0]) if lines else None
    if match:
        form.skip = 1
    return match[1] if match else ""


def _is_comment(line: str, *marks: str) -> bool:
    return line.lstrip(" ").startswith(marks)


def _comments(lines: Sequence[str], form: Form) -> None:
    """Find the comments in front of the table, and what marks them."""
    filled = [line for line in lines[form.skip :] if line.strip()]
    for mark in (*MARKS, ";"):
        marked = [_is_comment(line, mark) for line in filled]
        if not filled or not marked[0]:
            continue
        if mark == ";" and any(";" in line for line in filled[: 2 * ROWS] if not _is_comment(line, mark)):
            return  # it separates fields
        said = [line.strip()[len(mark) :].strip() for line in filled[: 2 * ROWS]]
        if all(marked) and (len(filled) > 1 or mark != "#") and not numbered(said, None)[0]:
            return  # all of its lines begin so: no comments
        form.mark = mark
        ends = next((n for n, line in enumerate(filled) if not _is_comment(line, mark, *OTHERS)), len(filled))
        form.comments = [line.strip()[len(mark) :].strip() for line in filled[:ends]]
        seen = 0
        for place, line in enumerate(lines):
            seen += place >= form.skip and bool(line.strip())
            if seen == ends:
                form.skip = place + 1
                return
        return
    if sum(_is_comment(line, "#") for line in filled) and not any(line.startswith('"') for line in filled):
        form.mark = "#" if sum(_is_comment(line, "#") for line in filled) < 0.2 * len(filled) else ""


def _only_comments(form: Form) -> None:
    """Take the names of a table without rows from its only comment."""
    form.names, form.units = numbered(form.comments, None)
    if form.names:
        form.delimiter, form.width = " ", len(form.names)
        return
    last = form.comments[-1]
    form.delimiter = max(SEPARATORS, key=last.count)
    if not last.count(form.delimiter):
        form.delimiter = " "
    form.names = last.split(None if form.delimiter == " " else form.delimiter)
    form.width = len(form.names)


def _tried(form: Form, body: Sequence[str]) -> Iterator[list[str]]:
    try:
        for place, row in enumerate(form.rows(body)):
            if place >= ROWS:
                return
            yield row
    except csv.Error:
        return


def _first_rows(form: Form, lines: Sequence[str]) -> list[list[str]]:
    """Return the first rows as the table is read: blank lines and marks within quotes are kept."""
    first = lines[form.skip : form.skip + 2 * ROWS]
    rows = list(_tried(form, first))
    return rows[:-1] if len(first) == 2 * ROWS and len(rows) < ROWS else rows  # the last may go on


def _delimiter(body: Sequence[str], form: Form) -> str:
    """Return the separator by which rows are of the same width."""
    counted: dict[str, tuple[float, int]] = {}
    for mark in SEPARATORS:
        widths = Counter(len(row) for row in _tried(Form(mark, mark=form.mark), body))
        wide = [(count, width) for width, count in widths.items() if width > 1]
        if wide:
            count, width = max(wide)
            counted[mark] = (count / sum(widths.values()), width)
    spaced = _spaced(body)
    commas = body[0].count(",") + (body[1].count(",") if len(body) > 1 else 0)
    rest = "".join(body[:20])
    amid = "," in counted and rest.count(",") == len(AMID_DIGITS.findall(re.sub(r"(?<=\d,\d)", " ", rest)))
    sure = [mark for mark, (share, _) in counted.items() if share >= ALIKE]
    if "," in sure and amid and commas and (spaced or len(sure) > 1):
        sure.remove(",")  # decimal commas
        counted.pop(",")
    if sure:
        return max(sure, key=lambda mark: counted[mark][1])
    if spaced:
        return " "
    if places := _fixed(body):
        form.places, form.guessed = places, True
        return " "
    likely = [mark for mark, (share, _) in counted.items() if share >= LIKELY]
    return (
        max(likely, key=lambda mark: counted[mark])
        if likely
        else max(counted, key=lambda m: counted[m], default=",")
    )


def _spaced(body: Sequence[str]) -> bool:
    """Whether blanks separate fields: rows of one width of at least 2, with a column of numbers."""
    rows = [row for line in body[:ROWS] if (row := blanks(line))]
    later = rows[1:] or rows  # names may have blanks
    width, count = max(Counter(map(len, later)).items(), key=lambda one: one[1], default=(0, 0))
    if width < 2 or count < ALIKE * len(later):
        return False
    later = [row for row in later if len(row) == width]
    return any(
        sum(number_of(row[place], ",") is not None for row in later) >= ALIKE * len(later) for place in range(width)
    )


def _fixed(body: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Return where fields of fixed width stand: between places that are blank in all rows; one has numbers."""
    lines = [line.rstrip("\r\n").expandtabs() for line in body[:ROWS]]
    if len(lines) < 3 or any("\t" in line for line in body):
        return ()
    width = max(map(len, lines))
    used = [any(place < len(line) and line[place] != " " for line in lines) for place in range(min(width, 4096))]
    starts = [place for place, here in enumerate(used) if here and (not place or not used[place - 1])]
    if not 2 <= len(starts) <= 1000:
        return ()
    places = tuple(zip([0, *starts[1:]], [*starts[1:], 1 << 20], strict=True))
    columns = list(zip(*([line[start:end].strip() for start, end in places] for line in lines[1:]), strict=True))
    numbers = sum(
        bool(filled := [cell for cell in column if cell])
        and all(number_of(cell, ",") is not None for cell in filled)
        for column in columns
    )
    return places if numbers else ()


def _place(rows: Sequence[list[str]], width: int) -> int:
    """Return where rows of `width` begin."""
    for place, row in enumerate(rows[: MAX_PREAMBLE + 1]):
        if len(row) == width and (place + 1 == len(rows) or len(rows[place + 1]) == width):
            return place
    return 0


def _widths(form: Form, lines: Sequence[str], rows: Sequence[list[str]]) -> int:
    """Find the width of the rows, and the lines of another one before them; return where rows begin."""
    if not rows:
        return 0
    widths = Counter(map(len, rows))
    form.width = max(widths, key=lambda width: (widths[width], width))
    if 1 < form.width < len(rows[0]) and _names_more(rows):
        form.width = len(rows[0])
        return 0
    place = _place(rows, form.width) if form.width > 1 else 0
    if not place:
        form.width = len(rows[0]) if len(rows) == 2 and len(rows[0]) > len(rows[1]) else form.width
        return 0
    before, below = rows[:place], rows[place:]
    if any(len(row) == form.width for row in before):
        return 0
    names = before[-1]
    lead = place - 1
    if len(names) == form.width - 1 and not any(row[-1].strip() for row in below):
        form.names = names  # a separator at the end of each row
        form.width -= 1
    elif len(names) == form.width + 1 and not names[-1].strip():
        form.names = names[:-1]
    elif _are_row_names(names, below, form.width):
        form.names = ["", *names]  # R writes no name over the names of rows
    else:
        lead = place
    form.ragged += lead
    _skip(form, lines, lead)
    form.header_lines = place - lead
    return place


def _names_more(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names all columns, of which rows below leave out the last ones."""
    first = [name.strip() for name in rows[0]]
    words = all(kind_of(name) == "text" for name in first) and len(set(first)) == len(first)
    return words and max(map(len, rows[1:])) <= len(first)


def _are_row_names(names: Sequence[str], below: Sequence[Sequence[str]], width: int) -> bool:
    """Whether these are names of all columns but the first."""
    if len(names) != width - 1 or not all(kind_of(name) == "text" for name in names):
        return False
    return len(below) > 1 and not header_by_contrast(below, ",", width)


def _skip(form: Form, lines: Sequence[str], rows: int) -> None:
    """Skip the lines of the first `rows` rows."""
    place = form.skip
    while rows and place < len(lines):
        line = lines[place]
        if line.strip() and not (form.mark and _is_comment(line, form.mark)):
            form.before.append(line.strip())
            rows -= 1
        place += 1
    form.skip = place


def _header(form: Form, rows: list[list[str]], *, quoted: bool) -> None:
    """Find header, units and the sign of decimals."""
    below = rows[1:]
    if form.delimiter != ",":
        form.decimal = decimal_of([cell for row in below or rows for cell in row])
    counted, counted_units = numbered(form.comments, form.width)
    if counted:
        form.names, form.units = counted, counted_units
        return
    if not form.names:
        named = names_in(form.comments, form.delimiter, form.width)
        contrast = quoted or header_by_contrast(rows, form.decimal, form.width)
        if contrast is True or (contrast is None and not named and are_words(rows[0])):
            form.names, form.header_lines = rows[0], 1
        elif named:
            form.names = named
            below = rows
        else:
            below = rows
    else:
        below = rows
    if form.names and form.delimiter == "\t" and are_formats(below):
        form.header_lines += 1
        below = below[1:]
    ecsv = ecsv_units(form.comments)
    if form.names and ecsv:
        form.units = [ecsv.get(name, "") for name in form.names]
    elif form.names and is_units(below, form.decimal, form.width):
        form.units = [unit.strip().strip("[]()") for unit in below[0]]
        form.header_lines += 1
    elif form.names:
        form.units = [match[1] if (match := BRACKETS.match(name)) else "" for name in form.names]
