"""All hits as files for other programs: every path a row, typed, and no more held than a portion."""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lustre_events.errors import ConfigError, IndexUnavailable
from lustre_events.index.search.hits import Hit
from lustre_events.index.search.portions import PORTION, HitPortion
from lustre_events.index.search.stored_documents import StoredDocuments
from lustre_events.index.values import canonical, flatten
from lustre_events.inspect import export, parquet_process
from tests.support.profiles import examples
from tests.support.records.builders import fid_of
from tests.support.rows import each_row
from tests.support.service.command import REPOSITORY

HIT = Hit(
    fid_of(1), (b"/mnt/a.csv", b"/mnt/torn\xff.csv"), "f", 2**40, 10**18 + 7, 0, 5, 0o644, "text/csv",
    {"tabular": {"columns": ["temperature"], "run": 2**62 + 1}},
)  # fmt: skip
PAGE = REPOSITORY / "docs" / "researcher.md"
BARE = Hit(fid_of(2), (b"/mnt/new",), None, None, None, None, None, None, None, {})


def in_portions(hits: Iterable[Hit], size: int = PORTION) -> Iterator[HitPortion]:
    """Yield hits as an index gives them."""
    rest = iter(hits)
    while some := [*islice(rest, size)]:
        yield HitPortion.of(some)


def written(kind: str, hits: list[Hit]) -> bytes:
    file = io.BytesIO()
    assert export.write(in_portions(hits), kind, file).hits == len(hits)
    return file.getvalue()


def test_json_lines_and_csv_agree() -> None:
    """A line per hit, a row per path; both have the same path, mode and time."""
    lines = [json.loads(line) for line in written("jsonl", [HIT, BARE]).splitlines()]
    rows = list(csv.DictReader(io.StringIO(written("csv", [HIT, BARE]).decode("utf-8", "surrogateescape"))))

    assert [path for line in lines for path in line["paths"]] == [row["path"] for row in rows]
    assert (lines[0]["mode"], str(lines[0]["mtime_ns"])) == (rows[0]["mode"], rows[0]["mtime_ns"]) == (
        "0644", "1000000000000000007",
    )  # fmt: skip
    assert json.loads(rows[1]["documents"]) == lines[0]["documents"] == HIT.documents
    assert rows[2]["size"] == ""


def table_of(hits: list[Hit], columns: tuple[str, ...] = ()) -> Any:
    """Write hits as Parquet, and return the table that pyarrow reads."""
    parquet = pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    export.write(in_portions(hits), "parquet", file, columns=columns)
    return parquet.read_table(io.BytesIO(file.getvalue()))


def with_documents(*documents: dict[str, Any]) -> list[Hit]:
    """Return a hit for each document of the extractor `x`."""
    return [
        replace(BARE, paths=(b"/mnt/%d" % number,), documents={"x": each})
        for number, each in enumerate(documents)
    ]  # fmt: skip


def test_parquet_has_types() -> None:
    """Numbers are numbers, times are times in UTC, what is not known is null, and no byte of a name is lost."""
    table = table_of([HIT, BARE])

    assert str(table.schema.field("mtime").type) == "timestamp[ns, tz=UTC]"
    assert table.column("size").to_pylist() == [2**40, 2**40, None]
    assert table.column("mtime").cast("int64").to_pylist() == [10**18 + 7, 10**18 + 7, None]
    assert table.column("path").to_pylist() == ["/mnt/a.csv", "/mnt/torn\\xff.csv", "/mnt/new"]
    assert table.column("path_bytes").to_pylist() == [None, b"/mnt/torn\xff.csv", None]
    assert table.column("tabular.run").to_pylist() == [2**62 + 1, 2**62 + 1, None]
    assert table.column("tabular.columns").to_pylist() == [["temperature"], ["temperature"], None]
    assert json.loads(table.column("documents")[0].as_py()) == HIT.documents
    assert table_of([]).num_rows == 0


def test_a_hit_without_a_path_has_no_row() -> None:
    """A file that has lost its last name meanwhile does not end the export, also where all of a portion have."""
    rows = PORTION
    gone = replace(HIT, paths=())

    assert table_of([gone]).num_rows == 0
    assert table_of([*[gone] * rows, BARE, gone]).column("path").to_pylist() == ["/mnt/new"]


@each_row(
    ("values", "kind", "read"),
    [
        ([1, 2**60], "int64", [1, 2**60]),
        ([1, 2.5], "double", [1.0, 2.5]),
        ([True, False], "bool", [True, False]),
        (["a", "Müller"], "string", ["a", "Müller"]),
        (["x\udcff"], "string", ["x?"]),
        (["2026-03-01T12:00:00.5+01:00", "2026:03:01 12:00:00"], "timestamp[ns, tz=UTC]",
         [1772362800_500000000, 1772366400_000000000]),
        (["2026-03-01", "unknown"], "string", ["2026-03-01", "unknown"]),
        (["2026-03-01", "0850-01-01"], "string", ["2026-03-01", "0850-01-01"]),
        (["9999-12-31"], "string", ["9999-12-31"]),
        ([[1, 2], 3], "list<element: int64>", [[1, 2], [3]]),
        ([["a"], []], "list<element: string>", [["a"], []]),
        ([[{"n": 1}, [{"n": 2}, {"m": 5}]], {"n": 3}], {"x.key.n": [[1, 2], [3]], "x.key.m": [[5], None]}, None),
        ([{"b": {"c": 1}}], {"x.key.b.c": [1]}, None),
    ],
)  # fmt: skip
def test_keys_are_columns_with_types(values: list[Any], kind: Any, read: list[Any] | None) -> None:
    """A key is a column of the type of its values; lists give lists, and objects keys of their own."""
    table = table_of(with_documents(*({"key": value} for value in values)))
    if isinstance(kind, dict):
        assert {name: table.column(name).to_pylist() for name in kind} == kind
        return
    column = table.column("x.key")
    assert str(column.type) == kind
    times = kind.startswith("timestamp")
    assert (column.cast("int64") if times else column).to_pylist() == read


@each_row(
    ("values", "read", "said"),
    [
        ([1, "n/a"], ["1", "n/a"], "x.key has text and whole numbers: its column is text"),
        ([1.5, True], ["1.5", "true"], "x.key has numbers and true or false: its column is text"),
        ([2**53 + 1, 0.5], [str(2**53 + 1), "0.5"], "x.key has numbers and whole numbers beyond 2^53"),
        ([2**64], [str(2**64)], "x.key has whole numbers beyond 64 bits: its column is text"),
        ([[1, "a"]], [["1", "a"]], "x.key has text and whole numbers: its column is text"),
    ],
)
def test_what_fits_no_type_is_text_and_said(values: list[Any], read: list[Any], said: str) -> None:
    """Values of several types make a column of text, of which nothing is lost; the file and the caller are told."""
    parquet = pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    written = export.write(in_portions(with_documents(*({"key": each} for each in values))), "parquet", file)
    table = parquet.read_table(io.BytesIO(file.getvalue()))

    assert table.column("x.key").to_pylist() == read
    assert said in written.notes[0]
    assert json.loads(parquet.read_metadata(io.BytesIO(file.getvalue())).metadata[b"lustre-events"]) == {
        "x.key": written.notes[0]
    }


def test_a_type_that_changes_late_changes_the_whole_column() -> None:
    """What is known only behind many rows holds for all of them: other types, lists, and keys that come later."""
    rows = PORTION
    first: list[dict[str, Any]] = [{"a": number, "b": "2026-03-01", "c": number, "e": 1} for number in range(rows)]
    then: list[dict[str, Any]] = [{"a": 0.5, "b": "soon", "c": [7, 8], "d": True, "e": "x"}] * rows
    table = table_of(with_documents(*first, *then))

    kinds = {name: str(table.schema.field(f"x.{name}").type) for name in "abcde"}
    assert kinds == {"a": "double", "b": "string", "c": "list<element: int64>", "d": "bool", "e": "string"}
    assert table.num_rows == 2 * rows
    for place, wanted in ((1, [1.0, "2026-03-01", [1], None, "1"]), (rows, [0.5, "soon", [7, 8], True, "x"])):
        assert [table.column(f"x.{name}")[place].as_py() for name in "abcde"] == wanted
    assert table.column("path")[rows].as_py() == f"/mnt/{rows}"


def test_common_keys_are_columns_without_an_extractor() -> None:
    """What all families say alike is one column, whichever extractor says it; a preview is none."""
    common = {"common": {"instrument": ["ARPES"]}, "preview": {"tree": [{"path": "a"}]}}
    hits = [replace(BARE, documents={"fits": common}), replace(BARE, documents={"hdf5": common, "text": {}})]
    table = table_of(hits)

    assert table.column("common.instrument").to_pylist() == [["ARPES"], ["ARPES"]]
    assert [name for name in table.column_names if "preview" in name] == []


@each_row(
    ("documents", "read"),
    [
        ({"a": {"common": {"k": "X"}}, "b": {"common": {"k": "Y"}}}, ["X", "Y"]),
        ({"a": {"common": {"k": "X"}}, "b": {"common": {"k": "X"}}}, "X"),
        ({"b": {"common": {"k": 2}}, "a": {"common": {"k": [True, 1, 1]}}}, [True, 1, 1, 2]),
        ({"a": {"common": {"k": ["X"]}}, "b": {"common": {"k": ["X", ["Y", "Y"]]}}}, ["X", "Y"]),
        ({"a": {"common": {"k": [["X"]]}}, "b": {"common": {"k": [["X"]]}}}, ["X"]),
        ({"a": {"common.k": 1, "common": {"k": 2}}}, [1, 2]),
    ],
)
def test_a_column_has_every_value_of_a_key(documents: dict[str, Any], read: Any) -> None:
    """Different values of several extractors are a list of all, as a search finds all; each is there once."""
    names = pytest.importorskip("lustre_events.inspect.key_columns").KeyNames()
    columns = names.columns(1, {extractor: [body] for extractor, body in documents.items()})
    assert repr(columns) == repr({"common.k": [read]})  # True and 1 are equal, not alike


def test_columns_can_be_chosen() -> None:
    """Keys as a query has them become columns and no others; one that no file has is said."""
    hits = [replace(BARE, documents={"x": {"a": 1, "b": 2, "common": {"c": 3}}, "y": {"a": 4}})]
    table = table_of(hits, ("a", "common.c"))
    assert [name for name in table.column_names if "." in name] == ["common.c", "x.a", "y.a"]
    assert [name for name in table_of(hits, ("y.a",)).column_names if "." in name] == ["y.a"]

    written = export.write(in_portions(hits), "parquet", io.BytesIO(), columns=("temprature",))
    assert written.notes == ("no file that was found has the key temprature",)
    with pytest.raises(ConfigError, match="only --format parquet has a column for each key"):
        export.write(in_portions(hits), "csv", io.BytesIO(), columns=("a",))


def test_a_common_key_of_one_extractor_can_be_chosen() -> None:
    """A common key with its extractor has that one's values in all rows, also where its type changes late."""
    rows = PORTION
    hits = [
        replace(BARE, documents={"a": {"common": {"n": "no"}}, "hdf5": {"common": {"n": value}, "m": {"t": 1}}})
        for value in [*[1] * rows, 0.5]
    ]

    table = table_of(hits, ("hdf5.common.n",))
    assert table.column("common.n").to_pylist() == [*[1.0] * rows, 0.5]
    written = export.write(in_portions(hits[-1:]), "parquet", io.BytesIO(), columns=("hdf5.common.n", "t"))
    assert written.notes == ("no file that was found has the key t",)


def test_keys_that_differ_only_in_case_are_told() -> None:
    """DuckDB reads one column for both names, so that is said; the second one is there under another name."""
    duckdb = pytest.importorskip("duckdb")
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        hits = in_portions(with_documents({"T": 1, "t": 2, "É": 3, "é": 4}))
        written = export.write(hits, "parquet", cast("BinaryIO", file))
        found = duckdb.read_parquet(file.name).project('"x.T", "x.t", "x.t_1", "x.É", "x.é"').fetchall()

    assert found == [(1, 1, 2, 3, 4)]
    assert written.notes == ("x.T and x.t differ only in case: DuckDB reads the first for both",)


def test_columns_are_bounded() -> None:
    """However many keys files have, the columns are bounded; it is said, and the documents are whole."""
    most = pytest.importorskip("lustre_events.inspect.key_columns").MOST_COLUMNS
    hits = with_documents({f"k{number}": number for number in range(most + 1)})
    written = export.write(in_portions(hits), "parquet", file := io.BytesIO())
    table = pytest.importorskip("pyarrow.parquet").read_table(io.BytesIO(file.getvalue()))

    assert len([name for name in table.column_names if "." in name]) == most
    assert f"only the first {most} have columns" in written.notes[0]
    assert json.loads(table.column("documents")[0].as_py())["x"][f"k{most}"] == most


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    | st.sampled_from(["2026-03-01", "2026-03-01T10:00Z"]),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=2), inside, max_size=3),
    max_leaves=6,
)  # fmt: skip


@examples(60)
@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "common", "preview"]), VALUES), max_size=4))
def test_any_documents_become_columns(documents: list[dict[str, Any]]) -> None:
    """Whatever JSON documents hold, each file has its row and its whole documents, and all keys are columns."""
    pytest.importorskip("pyarrow")
    documents = [json.loads(canonical(each)) for each in documents]
    table = table_of(with_documents(*documents))

    assert [json.loads(each)["x"] for each in table.column("documents").to_pylist()] == documents
    keys = {name for each in documents for name in flatten(each).names}
    assert keys <= {name if name.startswith("common.") else name[2:] for name in table.column_names}


def test_other_programs_read_the_types() -> None:
    """DuckDB and pandas have numbers, times and lists as such, under the names of the keys."""
    duckdb, pandas = pytest.importorskip("duckdb"), pytest.importorskip("pandas")
    documents: list[dict[str, Any]] = [
        {"t": 3.5, "n": 2**60, "when": "2026-03-01", "ok": True, "names": ["a", "b"]},
        {"t": 4},
    ]
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        export.write(in_portions(with_documents(*documents)), "parquet", cast("BinaryIO", file))
        table = duckdb.read_parquet(file.name).order("path")
        assert table.project('"x.t" + 1, "x.n", year("x.when"), "x.ok", "x.names"[2]').fetchall() == [
            (4.5, 2**60, 2026, True, "b"),
            (5.0, None, None, None, None),
        ]
        frame = pandas.read_parquet(file.name)
    assert frame["x.t"].sum() == 7.5
    assert frame["x.when"][0] == pandas.Timestamp("2026-03-01", tz="UTC")


def test_the_question_of_the_page_finds_the_file() -> None:
    """The SQL of docs/researcher.md finds the file of the instrument that is young, and not the old one."""
    duckdb = pytest.importorskip("duckdb")
    (question,) = re.findall(r"^```sql\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    body = {"temperature": 3.5, "common": {"instrument": ["ARPES"]}}
    hits = [
        replace(BARE, paths=(path,), mtime_ns=mtime_ns, documents={"hdf5": body})
        for path, mtime_ns in ((b"/mnt/new", time.time_ns()), (b"/mnt/old", 10**18))
    ]

    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        export.write(in_portions(hits), "parquet", cast("BinaryIO", file))
        found = duckdb.sql(question.replace("hits.parquet", file.name)).fetchall()

    assert found == [("/mnt/new", 3.5)]


@pytest.mark.long
def test_parquet_has_every_row_of_many() -> None:
    """Rows that become columns in portions and groups of rows come out as they went in, in order."""
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = pytest.importorskip("lustre_events.inspect.parquet")
    count = rows.ROWS_OF_GROUP + PORTION + 1
    data = written("parquet", [replace(BARE, paths=(b"/mnt/%d" % number,)) for number in range(count)])

    file = parquet.ParquetFile(io.BytesIO(data))
    assert file.num_row_groups == 2
    assert file.read().column("path").to_pylist() == [f"/mnt/{number}" for number in range(count)]


@pytest.mark.long
def test_many_hits_are_written_by_a_process_of_its_own() -> None:
    """Many hits become the file, with the notes, that one process would make of them, odd ones too."""
    pytest.importorskip("pyarrow")
    documents: list[dict[str, Any]] = [{"n": 1, "t": "\udcff"}, {"n": "one", "N": [2**62, 0.5]}, {}]
    hits = [HIT, BARE, replace(HIT, paths=()), *with_documents(*documents)]
    here, beside = io.BytesIO(), io.BytesIO()

    told = export.write(in_portions(hits, 1), "parquet", here, columns=("n", "N", "run", "x"), beside=False)
    assert len(hits) >= export.FEW_PORTIONS
    assert export.write(in_portions(hits, 1), "parquet", beside, columns=("n", "N", "run", "x")) == told
    assert len(told.notes) > 1
    assert beside.getvalue() == here.getvalue()


@pytest.mark.parametrize("ends", [("false",), ("sh", "-c", "cat > /dev/null")])
def test_a_process_that_ends_without_a_word_is_told(ends: tuple[str, ...]) -> None:
    """Where the process that writes is killed, whether it has read or not, a sentence says so."""
    with pytest.raises(ConfigError, match="the process that writes Parquet ended with exit code"):
        parquet_process.write(in_portions([HIT] * 9, 1), io.BytesIO(), command=ends)


def test_what_the_process_cannot_write_is_an_error_of_the_system() -> None:
    """An error of the disk reaches who asked as it was: which one, and of which file."""
    answer = json.dumps({"errno": 28, "error": "No space left on device", "file": "/mnt/f"})
    with pytest.raises(OSError, match="No space left on device") as told:
        parquet_process.write([], io.BytesIO(), command=("sh", "-c", f"cat > /dev/null; echo '{answer}'"))

    assert (told.value.errno, told.value.filename) == (28, "/mnt/f")


def test_a_search_that_fails_ends_the_process() -> None:
    """What goes wrong with the search goes on to who asked, and no process waits for more hits."""

    def broken() -> Iterator[HitPortion]:
        yield from in_portions([HIT])
        raise IndexUnavailable("gone")

    with pytest.raises(IndexUnavailable, match="gone"):
        parquet_process.write(broken(), io.BytesIO(), command=("sh", "-c", "exec sleep 60"))


@pytest.mark.long
@pytest.mark.parametrize("last", [1, 0.5])
def test_large_documents_end_a_group_of_rows_early(last: float) -> None:
    """No more than a portion beyond the bytes of a group is held, also where the rows were in two files."""
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = pytest.importorskip("lustre_events.inspect.parquet")
    large = "x" * (rows.BYTES_OF_GROUP // rows.ROWS_AT_ONCE)
    documents: list[dict[str, Any]] = [{"n": 1, "t": large}] * rows.ROWS_AT_ONCE + [{"n": last}]
    data = io.BytesIO()
    export.write(in_portions(with_documents(*documents), rows.ROWS_AT_ONCE), "parquet", data)
    file = parquet.ParquetFile(io.BytesIO(data.getvalue()))

    assert [file.metadata.row_group(place).num_rows for place in (0, 1)] == [rows.ROWS_AT_ONCE, 1]
    assert file.read(["x.n"]).column(0).to_pylist() == [*[1] * rows.ROWS_AT_ONCE, last]


def test_stored_documents_are_written_as_parsed_ones() -> None:
    """Documents that nobody has parsed are the same in every format as those that somebody has."""
    texts = {name: canonical(body) for name, body in HIT.documents.items()} | {"x": canonical({"ü": "\udcff"})}
    parsed = {name: json.loads(text) for name, text in texts.items()}
    stored = replace(HIT, documents=StoredDocuments(texts))

    assert stored.documents == parsed
    for kind in ("jsonl", "csv"):
        assert written(kind, [stored]) == written(kind, [replace(HIT, documents=parsed)])


@pytest.mark.long
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_few_hits_are_held(kind: str) -> None:
    """However many hits there are, memory stays where it is."""

    def many() -> Iterator[Hit]:
        for number in range(20_000):
            yield replace(HIT, paths=(b"/mnt/%d" % number,))

    class Nowhere(io.RawIOBase):
        def write(self, data: object) -> int:
            return len(data)  # type: ignore[arg-type]

    tracemalloc.start()
    assert export.write(in_portions(many()), kind, Nowhere()).hits == 20_000  # type: ignore[arg-type]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_500 * PORTION
