"""What makes it doubtful that a text table was read as it is meant: the reasons that its document gives."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tabular_cells import COMMA, MISSING, POINT, THOUSANDS, kind_of, number_of

if TYPE_CHECKING:
    from tabular_form import Form

HEAD = 1 << 14  # characters in which another format shows itself
MOST = 0.6  # this share of a column's values makes it one of numbers
SEPARATING = ":~^&=\x01\x1f"  # between fields, though none of those that are known
FEW = 0.05  # this share of rows may be of another width
SEVERAL = 0.2  # this share of lines of one column may have several words
ONE_GROUP = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")  # 1,250: more than a thousand, or little more than one
TWO_VALUES = re.compile(r"[+-]?[1-9]\d{0,3},(?:0|[1-9]\d{0,2})")  # 1,5: one and a half, or one and five
LIST = re.compile(r"[+-]?\d+(?:,[+-]?\d+){2,}")
POINTED = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")
ALIKE = 8  # numbers of as many decimals, and their column is one of numbers
GLUED = re.compile(r"\d\.\d*[+-]\d*\.\d")
KNOWN = tuple(
    (re.compile(pattern, re.IGNORECASE | re.MULTILINE), name)
    for pattern, name in (
        (r"\A>\S.*\n[A-Za-z*-]+$", "a FASTA file"),
        (r"\A@(?:HD|SQ|RG|PG|CO)\t", "a SAM file"),
        (r"\A\s*\[[\w .-]+\]\s*$", "a file of settings in sections"),
        (r"\A%%MatrixMarket ", "a sparse matrix of Matrix Market"),
        (r"\A(?:#.*\n)*v(?: +\S+){3} *\nv ", "a mesh of Wavefront"),
        (r"\A##(?:TITLE|JCAMP-DX) *=", "a JCAMP-DX file"),
        (r"^(?:ATOM  |HETATM)[ \d]{5} .{4}.[A-Z ]{3}", "a PDB file"),
        (r"\A\s*<(?:\?xml|!DOCTYPE|html|svg|votable)\b", "markup"),
        (r"\AITEM: ", "a LAMMPS dump"),
        (r"\ALAMMPS \(", "a LAMMPS log"),
        (r"\AENVI *$", "an ENVI header"),
        (
            r"\A(?:[ \t]*(?:#.*)?\n)*(?-i:data_)\S*[ \t]*\n(?:[ \t]*(?:#.*)?\n)*[ \t]*(?:_|loop_)",
            "a STAR or CIF file",
        ),
        (r"\A(?:browser .*\n)*(?:track|fixedStep|variableStep) .*\w=", "a track of a genome browser"),
        (r"\ATitle: .*\n(?:.*\n){0,3}Plotname: ", "a raw file of SPICE"),
        (r"^#S \d+ [^\0]*^#S \d+ ", "a SPEC file of several scans"),
        (r"\A(?-i:[A-Z]{2}[A-Z\d_-]{9}\d{6}[A-Z]{4})[ \d-]{4}\d", "a file of daily values of GHCN"),
        (r"\A#! */", "a script"),
        (r"\A(?:#include [<\"]|(?-i:import|from) \w+(?:\.\w+)*(?: import .*)?$)", "a program"),
        (r"\A(?:select|insert|update|delete|create) .*;$", "a text of SQL"),
        (r"\A\\document(?:class|style)\b", "a text of LaTeX"),
    )
)


def doubts(form: Form, sample: str, body: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the reasons why a table may be another than it was taken for, told by its beginning.

    `body` is its lines without comments, `rows` are what it was read as, both after what stands before the header.
    """
    head = sample[:HEAD].replace("\r\n", "\n")
    for pattern, name in KNOWN:
        if pattern.search(head):
            return [f"it is {name}, read as if each of its lines were a row"]
    below = [list(row) for row in rows[form.header_lines :]]
    found = [_one_column(form, body), _ahead(form), _named_twice(form), uneven(form, below), _torn(form, rows),
             _words(form, below), _commas(form, below), _values(form, below), _points(form, below),
             _sentences(form, rows)]  # fmt: skip
    return [reason for reason in found if reason]


def _one_column(form: Form, body: Sequence[str]) -> str:
    """Look at lines that are no more than one field, or whose fields touch each other."""
    lines = [line for line in body if line.strip()]
    if not form.places and sum(bool(GLUED.search(line)) for line in lines) * 2 > len(lines):
        return "numbers stand without anything between them: they are not told apart"
    if form.width > 1:
        return ""
    later = lines[1:] or lines
    several = sum(len(line.split()) > 1 and line[0] != '"' and kind_of(line) != "time" for line in later)
    if several and several >= SEVERAL * len(later):
        return "nothing separates its lines into fields of one number: each line is one column"
    for mark in SEPARATING:
        counted = Counter(line.count(mark) for line in lines)
        if (
            not counted[0]
            and len(counted) == 1
            and any(kind_of(line) == "text" for line in later if "-" not in line)
        ):
            return f"each line is one column, though {mark!r} may separate fields"
    return ""


def _ahead(form: Form) -> str:
    """Look at what stands before the table."""
    if form.before and not form.names:
        return "what its columns are may be said before it: see its comments"
    cells = [[cell.strip() for cell in re.split(r"[,;\t|]|\s+", line.strip())] for line in form.before]
    rows = [
        len(row)
        for row in cells
        if len(row) > 1 and sum(number_of(cell) is not None for cell in row) * 2 >= len(row)
    ]
    alike = max(Counter(rows).values(), default=0)
    return "another table may stand before this one" if alike > 1 else ""


def _named_twice(form: Form) -> str:
    """Look at the comment before the one that names the columns: it may name them, and that one their units."""
    if not form.names or form.header_lines or len(form.comments) < 2 or form.names != _words_of(form, -1):
        return ""
    before = _words_of(form, -2)
    if len(before) != form.width or any(kind_of(word) != "text" for word in before):
        return ""
    return "two comments have as many words as there are columns: the last was taken for their names"


def _words_of(form: Form, place: int) -> list[str]:
    words = form.comments[place].split(form.delimiter.strip() or None)
    return [word.strip().strip('"') for word in words]


def uneven(form: Form, below: Sequence[Sequence[str]]) -> str:
    """Look at how even the rows are, told by their number of fields."""
    odd = sum(len(row) != form.width and (len(row) != form.width + 1 or bool(row[-1].strip())) for row in below)
    if form.width > 1 and odd > FEW * len(below):
        return f"another number of fields than most have {odd} of its first {len(below)} rows"
    return ""


def _torn(form: Form, rows: Sequence[Sequence[str]]) -> str:
    """Look for brackets and quotes that begin in one field and end in another, and for separators that are left."""
    reason = "brackets, quotes or commas show that it is not separated where it was cut"
    if sum(any(_is_torn(cell.strip()) for cell in row) for row in rows) * 2 > len(rows):
        return reason
    columns = zip(*(row for row in rows if len(row) == form.width), strict=True)
    left = form.delimiter != "," and any(all(cell[1:].endswith(",") for cell in column) for column in columns)
    return reason if left else ""


def _is_torn(cell: str) -> bool:
    if cell.count("(") + cell.count("[") != cell.count(")") + cell.count("]"):  # [0, 1) is an interval
        return True
    return cell == "&" or (len(cell) > 1 and cell.startswith("'") and not cell.endswith("'"))


def _even(form: Form, below: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    return [row for row in below if len(row) == form.width]


def _words(form: Form, below: Sequence[Sequence[str]]) -> str:
    """Look for rows of words where numbers stand, for fixed fields that cut cells, and for heads of two rows."""
    columns = [[kind_of(cell, form.decimal) for cell in column] for column in zip(*_even(form, below), strict=True)]
    filled = [[kind for kind in column if kind != "none"] for column in columns]
    numeric = [place for place, kinds in enumerate(filled) if kinds and kinds.count("number") >= MOST * len(kinds)]
    for place, row in enumerate(below):
        kinds = [kind_of(cell, form.decimal) for cell in row]
        words = [kinds[at] for at in numeric if at < len(kinds)]
        if len(numeric) > 1 and "text" in words and not {"number", "time"} & {*kinds}:
            return f"row {place + 1} has words where others have numbers: it may be no row of this table"
    if form.places and form.guessed:
        mixed = sum({"text", "number"} <= {*kinds} for kinds in filled)
        if mixed or not form.names or any(not name.strip() for name in form.names):
            return "its fields have no separator: they are told by places that are blank in all of its first rows"
    names = [name.strip() for name in form.names[1:]]
    two = form.header_lines > 1 and any(
        unit.strip() and (name.lower() in MISSING or names.count(name) > 1)
        for name, unit in zip(names, form.units[1:], strict=False)
    )
    return "its names may stand in two rows" if two else ""


def _commas(form: Form, below: Sequence[Sequence[str]]) -> str:
    """Look for numbers like 1,250 in columns where nothing tells whether they are more than a thousand."""
    if form.decimal == ",":
        return ""
    for column in zip(*_even(form, below), strict=True):
        cells = {cell.strip() for cell in column}
        plain = [cell.lstrip("+-") for cell in cells if cell.lstrip("+-").isdecimal()]
        others = [cell for cell in cells if "," in cell and not ONE_GROUP.fullmatch(cell)]
        grouped = any(THOUSANDS.fullmatch(cell) for cell in others) or any(len(cell) <= 3 for cell in plain)
        decimal = any(COMMA.fullmatch(cell) and not THOUSANDS.fullmatch(cell) for cell in others)
        if any(map(ONE_GROUP.fullmatch, cells)) and (
            decimal or not grouped or any(len(cell) > 3 for cell in plain)
        ):
            return "a comma may stand before decimals, or group thousands, as which it was taken"
    return ""


def _values(form: Form, below: Sequence[Sequence[str]]) -> str:
    """Look for commas that may stand between values, where nothing tells that they stand before decimals."""
    if form.decimal != ",":
        return ""
    columns = [[cell.strip() for cell in column] for column in zip(*_even(form, below), strict=True)]
    lists = any(LIST.fullmatch(cell) and not THOUSANDS.fullmatch(cell) for column in columns for cell in column)
    with_commas = [[cell for cell in column if COMMA.fullmatch(cell)] for column in columns]
    for column, commas in zip(columns, with_commas, strict=True):
        alike = len(commas) >= ALIKE and len({len(cell.partition(",")[2]) for cell in commas}) == 1
        plain = any(cell.lstrip("+-").isdecimal() for cell in column) and commas
        if not lists and (alike or plain or not all(map(TWO_VALUES.fullmatch, commas))):
            return ""
    return "a comma may stand between values, or before decimals, as which it was taken"


def _points(form: Form, below: Sequence[Sequence[str]]) -> str:
    """Look for numbers like 1.250 in a table of semicolons, where nothing tells that they are no thousands."""
    if form.delimiter != ";" or form.decimal == ",":
        return ""
    pointed = [cell.strip() for row in below for cell in row if POINT.fullmatch(cell.strip())]
    if pointed and all(map(POINTED.fullmatch, pointed)):
        return "a point may group thousands, or stand before decimals, as which it was taken"
    return ""


def _sentences(form: Form, rows: Sequence[Sequence[str]]) -> str:
    """Look for sentences and statements, which commas and semicolons separate, too."""
    if any(kind_of(cell, form.decimal) in {"number", "time"} for row in rows for cell in row):
        return ""
    if form.delimiter == "," and form.width > 1:
        ended = sum(row[-1].rstrip()[-1:] in {".", "!", "?"} and row[-1][:1] == " " for row in rows if row)
        return "its lines are sentences: it may be prose, and no table" if ended * 2 > len(rows) else ""
    if form.delimiter == ";" and form.width == 2:
        bare = sum(len(row) == 2 and not row[1].strip() and len(row[0].split()) > 1 for row in rows)
        return "its lines may be statements of a program, and no rows" if bare * 2 > len(rows) else ""
    return ""
