"""Text tables whose rows are of a shape of their own: IRAF and DAOPHOT, MESA, bars, loggers, CTDs, ARFF, grids."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from tabular_cells import number_of
from tabular_described import MAX_COMMENTS, NO_UNIT, Described

MAX_LINES = 4000  # in which a beginning is looked for
FORMAT = re.compile(r"%-?(\d+)")
BAR_RULE = re.compile(r"[|+]?(?:\s*:?-+:?\s*[|+])*\s*:?-+:?\s*[|+]?\s*\Z")
COUNTED = re.compile(r"(?:\(\d+ rows?\)|\d+ rows? in set\b.*)\s*\Z")
BAD_FLAG = re.compile(r"# bad_flag = (\S+)\s*\Z")
OUT_OF_REACH = re.compile(r"\s*[UL]LOD_FLAG\s*:\s*(\S+)\s*\Z", re.IGNORECASE)
CTD_NAME = re.compile(r"# name (\d+) = ([^:\s]+)(?::.*?(?:\[([^\[\]]*)\])?)?\s*\Z")
ATTRIBUTE = re.compile(r"@attribute\s+('[^']*'|\"[^\"]*\"|\S+)", re.IGNORECASE)
GRID_KEYS = re.compile(r"(ncols|nrows|xll\w+|yll\w+|cellsize|dx|dy|nodata_value)\s+(\S+)\s*\Z", re.IGNORECASE)
LEGEND = re.compile(r'@\s*s(\d+)\s+legend\s+"([^"]*)"')
GRACE = re.compile(r"@\s*(?:title|subtitle|[xy]axis|TYPE|view|legend|s\d+|g\d+|with|target|version)\b")
RESTARTED = "it was restarted: models that were calculated again are counted each time"
ICARTT = re.compile(r"\s*(\d{1,4})\s*,\s*1001\b")
AXIS = re.compile(r'@\s*([xy])axis\s+label\s+"([^"]*)"')


def recorded(lines: Sequence[str]) -> Described | None:
    """Return what a table of one of these shapes says of itself; None where it is none."""
    found = (each(lines[:MAX_LINES]) for each in SHAPES)
    return next((one for one in found if one), None)


def _iraf(lines: Sequence[str]) -> Described | None:
    """Read the head of IRAF's text tables: `#N`, `#U` and `#F` name the fields of each line of a record."""
    if not lines[:1] or not lines[0].startswith("#"):
        return None
    heads = list(itertools.takewhile(lambda line: line.startswith("#") or not line.strip(), lines))
    kinds = ("#N", "#U", "#F")
    found = {kind: [line[2:].strip(" \\\r\n").split() for line in heads if line.startswith(kind)] for kind in kinds}
    names, units, formats = (found[kind] for kind in kinds)
    if not names or [len(row) for row in names] != [len(row) for row in formats]:
        return None
    if [len(row) for row in units] != [len(row) for row in names]:
        return None
    widths = [[int(match[1]) if (match := FORMAT.match(cell)) else 0 for cell in row] for row in formats]
    if not all(map(all, widths)):
        return None
    body = lines[len(heads) :]
    times = 1 + sum(line.rstrip().endswith("*\\") for line in next(_records(body), []))
    if times > 1:  # of several apertures: the fields of the last line are numbered
        names = [*names[:-1], *([f"{name}{n}" for name in names[-1]] for n in range(1, times + 1))]
        units = [*units[:-1], *([units[-1]] * times)]
    said = [line[2:].strip() for line in heads if line.startswith("#K")]
    return Described(
        [name for row in names for name in row],
        ["" if unit in (*NO_UNIT, "##") else unit for row in units for unit in row],
        (), len(heads), said[:MAX_COMMENTS], read=lambda rest: _iraf_rows(rest, widths),
    )  # fmt: skip


def _records(lines: Iterable[str]) -> Iterator[list[str]]:
    """Yield the lines of each record: all but its last end with a backslash."""
    record: list[str] = []
    for line in lines:
        if line.startswith("#") or not line.strip():
            continue
        record.append(line)
        if not line.rstrip().endswith("\\"):
            yield record
            record = []
    if record:
        yield record


def _iraf_rows(lines: Iterable[str], widths: Sequence[Sequence[int]]) -> Iterator[list[str]]:
    for record in _records(lines):
        row: list[str] = []
        for place, line in enumerate(record):
            text = line.rstrip().removesuffix("\\").rstrip()
            if place >= len(widths) - 1:
                text = text.removesuffix("*")
            start = 0
            for width in widths[min(place, len(widths) - 1)]:
                row.append(text[start : start + width].strip())
                start += width
        yield row


def _mesa(lines: Sequence[str]) -> Described | None:
    """Read MESA's tables: numbers of columns, names and values of the head; a blank line; numbers, names, rows."""
    filled = [(place, line.split()) for place, line in enumerate(lines[:20]) if line.strip()]
    if len(filled) < 5 or not all(_counts(filled[place][1]) for place in (0, 3)):
        return None
    heads, values, names = filled[1][1], filled[2][1], filled[4][1]
    same = len(heads) == len(values) == len(filled[0][1]) and len(names) == len(filled[3][1])
    if not same or any(number_of(word) is not None for word in (*heads, *names)):
        return None
    said = [f"{name} = {value.strip(chr(34) + chr(39))}" for name, value in zip(heads, values, strict=True)]
    doubts: list[str] = []
    place = names.index("model_number") if "model_number" in names else None
    return Described(names, [""] * len(names), (), filled[4][0] + 1, said[:MAX_COMMENTS], doubts=doubts,
                     read=lambda rest: _models(rest, place, doubts))  # fmt: skip


def _models(lines: Iterable[str], place: int | None, doubts: list[str]) -> Iterator[list[str]]:
    """Yield the rows; say where the number of the model goes back, as after a restart."""
    highest = 0.0
    for line in lines:
        row = line.split()
        if place is not None and len(row) > place and (number := number_of(row[place])) is not None:
            if number <= highest and RESTARTED not in doubts:
                doubts.append(RESTARTED)
            highest = max(highest, number)
        yield row


def _counts(row: Sequence[str]) -> bool:
    """Whether a row counts its columns from 1."""
    return len(row) > 1 and row == [str(n) for n in range(1, len(row) + 1)]


def _bars(lines: Sequence[str]) -> Described | None:
    """Read a table drawn with bars and a rule below its names: of Markdown, of psql, of mysql."""
    start = 1 if lines[:1] and lines[0].startswith("+") and BAR_RULE.match(lines[0]) else 0
    if len(lines) < start + 2 or "|" not in lines[start] or not BAR_RULE.match(lines[start + 1]):
        return None
    if not any(bar in lines[start + 1] for bar in "|+"):
        return None
    names = _cells(lines[start])
    if len(re.findall(r"-+", lines[start + 1])) != len(names):
        return None
    return Described(names, [""] * len(names), (), start + 2, [], delimiter="|", read=_barred)


def _edged(lines: Sequence[str]) -> Described | None:
    """Read a table without a rule, each line of which has bars at both ends: they bound its columns."""
    filled = [line.strip() for line in lines if line.strip()]
    whole = [line for line in filled if line.startswith("|") and line.endswith("|")]
    if len(filled) < 2 or len(whole) < len(filled) or {line.count("|") for line in whole} != {whole[0].count("|")}:
        return None
    start = next(place for place, line in enumerate(lines) if line.strip())
    names = _cells(filled[0])
    if len(names) < 2 or not all(names) or any(number_of(name) is not None for name in names):
        return None
    if not any(number_of(cell) is not None for line in filled[1:] for cell in _cells(line)):
        return None  # its first line may be a row like the others
    return Described(names, [""] * len(names), (), start + 1, [], delimiter="|", read=_barred)


def _cells(line: str) -> list[str]:
    text = line.strip()
    if text.startswith("|") and text.endswith("|") and len(text) > 1:
        text = text[1:-1]
    return [cell.strip() for cell in text.split("|")]


def _barred(lines: Iterable[str]) -> Iterator[list[str]]:
    for line in lines:
        if line.strip() and not BAR_RULE.match(line) and not COUNTED.match(line.strip()):
            yield _cells(line)


def _logger(lines: Sequence[str]) -> Described | None:
    """Read the four lines of a Campbell logger's TOA5: the station, names, units, and how values were made."""
    if len(lines) < 4 or not lines[0].startswith(('"TOA5"', "TOA5,")):
        return None
    station, names, units, _ = csv.reader(line.strip() for line in lines[:4])
    if len(units) != len(names):
        return None
    return Described(names, ["" if unit in ("TS", "RN") else unit for unit in units], (), 4,
                     [" ".join(station)], delimiter=",", read=csv.reader)  # fmt: skip


def _ctd(lines: Sequence[str]) -> Described | None:
    """Read the head of Sea-Bird's cnv files: `# name 0 = prDM: Pressure, Digiquartz [db]`, ended by `*END*`."""
    end = next((n for n, line in enumerate(lines) if line.startswith("*END*")), None)
    if end is None or not lines[0].startswith("*"):
        return None
    found = [match for line in lines[:end] if (match := CTD_NAME.match(line.rstrip()))]
    if not found or [int(match[1]) for match in found] != list(range(len(found))):
        return None
    said = [line.strip("*# \r\n") for line in lines[:end] if not CTD_NAME.match(line.rstrip())]
    flags = [number_of(match[1]) for line in lines[:end] if (match := BAD_FLAG.match(line.rstrip()))]
    return Described([match[2] for match in found], [match[3] or "" for match in found], (), end + 1,
                     [line for line in said if line][:MAX_COMMENTS],
                     read=_without(flags[0]) if flags else None)  # fmt: skip


def _arff(lines: Sequence[str]) -> Described | None:
    """Read the head of an ARFF file: a line `@attribute NAME TYPE` for each column, then `@data`."""
    end = next((n for n, line in enumerate(lines) if line.strip().lower() == "@data"), None)
    if end is None or any(line.strip() and line.lstrip()[0] not in "%@" for line in lines[:end]):
        return None
    names = [match[1].strip("'\"") for line in lines[:end] if (match := ATTRIBUTE.match(line.strip()))]
    said = [line.strip("% \r\n") for line in lines[:end] if line.startswith("%")]
    if not names or any(line.startswith("{") for line in lines[end + 1 : end + 50]):
        return None  # sparse
    return Described(names, [""] * len(names), (), end + 1, [line for line in said if line][:MAX_COMMENTS],
                     delimiter=",", read=_arff_rows)  # fmt: skip


def _arff_rows(lines: Iterable[str]) -> Iterator[list[str]]:
    for row in csv.reader((line for line in lines if line[:1] != "%"), quotechar="'", skipinitialspace=True):
        yield ["" if cell.strip() == "?" else _unquoted(cell.strip()) for cell in row]


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _ascii_grid(lines: Sequence[str]) -> Described | None:
    """Read the head of an ASCII grid of ArcInfo: `ncols 6`, `nrows 5` and so on; its columns have no names."""
    heads = list(itertools.takewhile(bool, (GRID_KEYS.match(line.strip()) for line in lines[:8])))
    keys = {match[1].lower(): match[2] for match in heads if match}
    if "ncols" not in keys or "nrows" not in keys or not keys["ncols"].isdecimal():
        return None
    missing = number_of(keys.get("nodata_value", ""))
    width = int(keys["ncols"])
    if not 1 <= width <= 1_000_000:
        return None
    return Described([], [], (), len(heads), [line.strip() for line in lines[: len(heads)]], width=width,
                     read=_without(missing))  # fmt: skip


def _without(missing: float | None) -> Callable[[Iterable[str]], Iterator[list[str]]]:
    """Return a reader of rows of numbers, of which one stands for none."""

    def read(lines: Iterable[str]) -> Iterator[list[str]]:
        for line in lines:
            row = line.split()
            yield row if missing is None else ["" if number_of(cell) == missing else cell for cell in row]

    return read


def _grace(lines: Sequence[str]) -> Described | None:
    """Read the head of a Grace file (xvg): the label of the x axis, and a legend for each other column."""
    end = next((n for n, line in enumerate(lines) if line.strip() and line[0] not in "#@"), len(lines))
    heads = lines[:end]
    if end == len(lines) or not any(GRACE.match(line) for line in heads):
        return None
    labels = {match[1]: match[2] for line in heads if (match := AXIS.match(line))}
    legends = {int(match[1]): match[2] for line in heads if (match := LEGEND.match(line))}
    width = len(lines[end].split())
    names = [labels.get("x", ""), *(legends.get(n, "") for n in range(width - 1))]
    if width == 2 and not legends:
        names[1] = labels.get("y", "")
    said = [line[1:].strip() for line in heads if line[1:].strip()]
    named = width > 1 and all(names)
    doubts: list[str] = []
    return Described(names if named else [], [""] * len(names) if named else [], (), end, said[:MAX_COMMENTS],
                     width=width, doubts=doubts, read=lambda rest: _one_of(rest, "&", "sets", doubts))  # fmt: skip


def _spec(lines: Sequence[str]) -> Described | None:
    """Read a SPEC file of one scan: `#N 3` counts its columns, `#L` names them, two blanks apart."""
    end = next((n for n, line in enumerate(lines) if line.startswith("#L ")), None)
    if end is None or not lines[0].startswith(("#F ", "#S ")) or sum(line.startswith("#S ") for line in lines) != 1:
        return None
    names = re.split(r" {2,}|\t", lines[end][2:].strip())
    if f"#N {len(names)}" not in (line.strip() for line in lines[:end]):
        return None
    said = [line[1:].strip() for line in lines[:end] if line.strip()]
    doubts: list[str] = []
    return Described(names, [""] * len(names), (), end + 1, said[:MAX_COMMENTS], doubts=doubts,
                     read=lambda rest: _one_of(rest, "#S ", "scans", doubts))  # fmt: skip


def _icartt(lines: Sequence[str]) -> Described | None:
    """Read the head of an ICARTT file: its lines, `36, 1001`; variables, what stands for none; names."""
    match = ICARTT.match(lines[0]) if lines else None
    if not match or not 13 < (count := int(match[1])) <= len(lines):
        return None
    names = [name.strip() for name in lines[count - 1].split(",")]
    told = len(names) - 1
    if lines[9].strip() != str(told) or count < 13 + told:
        return None
    variables = [[part.strip() for part in line.split(",")] for line in (lines[8], *lines[12 : 12 + told])]
    units = [part[1] if len(part) > 1 else "" for part in variables]
    missing = [None, *(number_of(part.strip()) for part in lines[11].split(","))]
    if [part[0] for part in variables] != names or len(missing) != len(names):
        return None
    said = [line.strip() for line in lines[1 : count - 1] if line.strip()]
    out_of_reach = {number_of(match[1]) for line in said if (match := OUT_OF_REACH.match(line))} - {None}

    def read(rest: Iterable[str]) -> Iterator[list[str]]:
        for row in csv.reader(rest):
            none = (*missing, *([None] * len(row)))
            numbers = [number_of(cell.strip()) for cell in row]
            yield ["" if number is not None and (number == none[n] or (n and number in out_of_reach)) else row[n]
                   for n, number in enumerate(numbers)]  # fmt: skip

    return Described(names, units, (), count, said[:MAX_COMMENTS], delimiter=",", read=read)


def _one_of(lines: Iterable[str], mark: str, what: str, doubts: list[str]) -> Iterator[list[str]]:
    """Yield the rows; say where more of them come after a line that ends a set, or begins another."""
    another = False
    for line in lines:
        if line.startswith(mark):
            another = True
        elif line[:1] not in "#@&":
            if another and line.strip() and not doubts:
                doubts.append(f"it has several {what}, read as if they were one")
            yield line.split()


SHAPES = (_iraf, _mesa, _bars, _edged, _logger, _ctd, _arff, _ascii_grid, _grace, _spec, _icartt)
