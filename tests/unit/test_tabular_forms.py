"""Text tables and JSON as people write them: the facts are those of the table, whatever its form."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from pathlib import Path
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import examples
from tests.support.programs import TABULAR, written
from tests.support.rows import each_row
from workers.contract import checked

FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    # what it is: content, what must be true of it
    "comments, the last with names": (
        "# made by X\n# date: 2024\n#t,x\n0,1\n1,2\n",
        {"columns": ["t", "x"], "rows": 2},
    ),
    "comments that say what names are": (
        "# Fields: t x\n# made by hand\n0 1\n1 2\n",
        {"columns": ["t", "x"], "rows": 2},
    ),
    "blanks, no header": (
        "  1.0  2.0\n 10.0 20.0\n",
        {"columns": ["column1", "column2"], "rows": 2, "header": False},
    ),
    "fixed width": (
        "name        age\nAnn Smith    12\nBob           5\n",
        {"columns": ["name", "age"], "rows": 2},
    ),
    "years as names": (
        "country,1990,1991\nDE,1,2\nFR,3,4\n",
        {"columns": ["country", "1990", "1991"], "rows": 2},
    ),
    "wavelengths": (
        "s,400,402,404,406\nA,5,1,4,2\nB,3,4,1,9\n",
        {"columns": ["s", "400", "402", "404", "406"], "rows": 2},
    ),
    "dates as names": (
        "c,2020-01-01,2020-02-01\nDE,1,2\n",
        {"columns": ["c", "2020-01-01", "2020-02-01"], "rows": 1},
    ),
    "blank lines and a mark first": ("\ufeff\n \na,b\n1,2\n\n3,4\n", {"columns": ["a", "b"], "rows": 2}),
    "sep= of Excel": ("sep=;\na;b\n1;2\n", {"columns": ["a", "b"], "rows": 1, "delimiter": ";"}),
    "a first line of another width": (
        "4,2,x\n1,2,3,4\n5,6,7,8\n",
        {"column_count": 4, "rows": 2, "ragged_rows": 1},
    ),
    "lines before it": (
        "Unit: X\nNo: 5\n\nt,v\n1,2\n3,4\n5,6\n",
        {"columns": ["t", "v"], "rows": 3, "ragged_rows": 2},
    ),
    "names of rows": ("a,b\nr1,1,2\nr2,3,4\n", {"columns": ["unnamed", "a", "b"], "rows": 2}),
    "a separator at the end": ("a,b\n1,2,\n3,4,\n", {"columns": ["a", "b"], "rows": 2, "column_count": 2}),
    "units below names": ("t,v\ns,m/s\n0,1\n1,2\n", {"units": {"t": "s", "v": "m/s"}, "rows": 2}),
    "units in names": ("t [s],v\n0,1\n", {"units": {"t [s]": "s"}, "rows": 1}),
    "words are no units": ("part,no\nwmo,v30\ndeg,2.25\n", {"rows": 2, "units": None}),
    "rows that leave out the last": ("a,b,c\n1,2\n3,4\n5,6,7\n", {"columns": ["a", "b", "c"], "ragged_rows": 2}),
    "names only": ("a,b,c\n", {"columns": ["a", "b", "c"], "rows": 0}),
    "equal names": ("a,a,a_2\n1,2,3\n", {"columns": ["a", "a_2", "a_2_2"], "rows": 1}),
    "quoted ends of lines": ('a,b\n"x\n\n# y",1\n"",2\n', {"columns": ["a", "b"], "rows": 2}),
    "a word that begins as Parquet": ("PAR1,x\n1,2\n", {"columns": ["PAR1", "x"], "rows": 1}),
    "GeoJSON without features": (
        '{"type":"FeatureCollection","features":[]}',
        {"format": "geojson", "rows": 0},
    ),
    "lines of lists": ("[1,2]\n[3,4]\n", {"format": "jsonl", "rows": 2, "columns": ["column1", "column2"]}),
    "names in brackets": ("[a],[b]\n1,2\n", {"format": "csv", "columns": ["[a]", "[b]"]}),
}  # fmt: skip
ENDS = ("\n", "\r\n", "\r")
WORDS = st.text("ab é\"'#,;\n-", max_size=6).map(lambda text: f"a{text}".strip())
NUMBERS = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
TABLES = st.lists(st.tuples(NUMBERS, WORDS, st.integers(-99, 99)), min_size=1, max_size=40)
JSON_VALUES = st.recursive(
    st.one_of(st.integers(-9, 9), st.booleans(), st.text("abc", max_size=3)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=12,
)


def document(content: bytes, closely: int = 1 << 20) -> dict[str, Any]:
    """Return the document of a text, of which the first characters are more than counted."""
    return checked(TABULAR.from_text(TABULAR.Source(io.BytesIO(content)), closely))


@each_row("form", FORMS)
def test_forms_of_tables_are_told(form: str, tmp_path: Path) -> None:
    """Header, names, rows and separator are found as a person sees them, compressed or not."""
    text, expected = FORMS[form]
    for content in (text.encode(), gzip.compress(text.encode())):
        found = written(tmp_path, "a.txt", content)
        assert {key: found.get(key) for key in expected} == expected


@examples()
@given(
    rows=TABLES, end=st.sampled_from(ENDS), separator=st.sampled_from(",;\t|"),
    closely=st.sampled_from([1, 60, 1 << 20]), last=st.booleans(),
)  # fmt: skip
def test_a_random_table_has_its_rows_and_ranges(
    rows: list[tuple[float, str, int]], end: str, separator: str, closely: int, last: bool
) -> None:
    """Whatever ends lines, and however much is only counted, all rows are counted; ranges are of what was read."""
    out = io.StringIO()
    quoting = csv.QUOTE_NONNUMERIC if end == "\r" else csv.QUOTE_MINIMAL  # else it leaves LF without quotes
    writer = csv.writer(out, delimiter=separator, lineterminator=end, quoting=cast("Any", quoting))
    writer.writerows([("size", "word", "count"), *rows])
    found = document(out.getvalue().removesuffix("" if last else end).encode(), closely)

    assert (found["columns"], found["rows"]) == (["size", "word", "count"], len(rows))
    assert found["delimiter"] == separator
    assert "ragged_rows" not in found
    if "partial" not in found:
        sizes, counts = [row[0] for row in rows], [row[2] for row in rows]
        assert (found["column"]["size"]["min"], found["column"]["size"]["max"]) == (min(sizes), max(sizes))
        assert (found["column"]["count"]["min"], found["column"]["count"]["max"]) == (min(counts), max(counts))
    assert ("partial" in found) == (closely < 1 << 20 and len(rows) > found["column"]["count"]["values"])


@given(rows=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=10))
def test_decimal_commas_are_the_same_numbers(rows: list[tuple[float, float]]) -> None:
    """A table with decimal commas has the ranges of the one with points, whatever separates its columns."""
    for separator in (";", "\t", " "):
        lines = [separator.join(f"{value:.3f}".replace(".", ",") for value in row) for row in rows]
        found = document("\n".join(lines).encode())
        column = found["column"]["column1"]
        assert (column["type"], found["rows"], found["header"]) == ("number", len(rows), False)
        assert (column["min"], column["max"]) == (min(row[0] for row in rows), max(row[0] for row in rows))


def scalars(value: Any) -> list[Any]:
    """Return all scalars in nested JSON."""
    if isinstance(value, dict):
        return [one for part in value.values() for one in scalars(part)]
    return [one for part in value for one in scalars(part)] if isinstance(value, list) else [value]


@given(value=st.dictionaries(st.sampled_from("abcd"), JSON_VALUES, min_size=1))
def test_no_scalar_of_a_json_document_is_lost(value: dict[str, Any]) -> None:
    """Every number, word and truth, however deep in lists and objects, is found in the document."""
    found = document(json.dumps(value).encode())

    assert set(map(repr, scalars(value))) == set(map(repr, scalars(found.get("value", {}))))
    assert found["keys"] == list(value)
    assert "partial" not in found


@each_row("number", ["1e999", "NaN", "-" + "9" * 30, "9" * 5000])
def test_a_number_that_nothing_can_hold_costs_only_itself(number: str) -> None:
    """It is left out, which the document says; all others stay, and no row is lost or counted as bad."""
    one, other = f'{{"a": 1, "n": {number}, "z": 2}}', '{"a": 3, "n": 4, "z": 5}'
    found = document(one.encode())
    assert (found["value"], found["keys"]) == ({"a": 1, "z": 2}, ["a", "n", "z"])
    assert "numbers beyond 64 bits" in found["partial"]
    for text in (f"[{one}, {other}]", f"{one}\n{other}\n{other}\n"):
        rows = document(text.encode())
        assert (rows["rows"], rows["column"]["a"]["min"]) == (text.count("}"), 1)
        assert "bad_lines" not in rows


@given(rows=st.lists(st.dictionaries(st.sampled_from("xyz"), st.integers(0, 9)), min_size=2), lines=st.booleans())
def test_json_rows_are_counted_to_the_end(rows: list[dict[str, int]], lines: bool) -> None:
    """Lists and lines of objects have as many rows as objects, also where they are only counted."""
    text = "\n".join(map(json.dumps, rows)) if lines else json.dumps(rows)
    for closely in (1, 1 << 20):
        assert document(text.encode(), closely)["rows"] == len(rows)


def test_what_is_left_out_is_said() -> None:
    """A list, an object and a table beyond what is kept are partial, with the reason."""
    deep: Any = 1
    for _ in range(40):
        deep = {"a": deep}
    reasons = [
        document(json.dumps(value).encode())["partial"]
        for value in ({"a": list(range(2000))}, deep, {str(n): n for n in range(1500)}, {"a": "x" * 3000})
    ]
    reasons.append(
        document((",".join(f"c{n}" for n in range(300)) + "\n" + ",".join("1" * 300) + "\n").encode())["partial"]
    )

    assert [reason.split(" ", 3)[:3] for reason in reasons] == [
        ["values", "of", "a"], ["what", "is", "nested"], ["keys", "are", "the"], ["texts", "are", "cut"],
        ["types", "and", "ranges"],
    ]  # fmt: skip


def test_a_first_line_that_is_read_in_part_is_said() -> None:
    """Of a hundred thousand columns those of the line's beginning are told, and that there are others."""
    wide = ",".join(f"c{n}" for n in range(100_000))
    found = document(f"{wide}\n{'1,' * 99_999}1\n".encode())
    assert found["column_count"] < 100_000
    assert "columns are of these alone" in found["partial"]


def test_times_are_compared_as_times(tmp_path: Path) -> None:
    """The first and last of a column of times are so in time, and written as they were; a word makes it text."""
    found = written(tmp_path, "a.csv", b"t,u\n2026-03-01T10:00:00Z,2026-03-01\n2026-03-01T08:30:00-05:00,soon\n")

    assert found["column"]["t"] == {
        "type": "time", "values": 2, "first": "2026-03-01T10:00:00Z", "last": "2026-03-01T08:30:00-05:00",
    }  # fmt: skip
    assert found["column"]["u"]["type"] == "text"


def test_a_torn_compressed_table_says_so(tmp_path: Path) -> None:
    """The rows before the tear are there, with the reason."""
    content = gzip.compress(b"".join(b"%d,%f\n" % (n, math.sin(n)) for n in range(20_000)))
    found = written(tmp_path, "a.csv.gz", content[: len(content) // 2])

    assert 1000 < found["rows"] < 20_000
    assert "torn or damaged" in found["partial"]
