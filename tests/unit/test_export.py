"""All hits as files for other programs: every path a row, typed, and no more held than a portion."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import pytest

from lustre_events.index.search.hits import Hit
from lustre_events.index.search.stored_documents import StoredDocuments, text_of
from lustre_events.index.values import canonical
from lustre_events.inspect import export
from tests.support.records.builders import fid_of

HIT = Hit(
    fid_of(1), (b"/mnt/a.csv", b"/mnt/torn\xff.csv"), "f", 2**40, 10**18 + 7, 0, 5, 0o644, "text/csv",
    {"tabular": {"columns": ["temperature"], "run": 2**62 + 1}},
)  # fmt: skip
BARE = Hit(fid_of(2), (b"/mnt/new",), None, None, None, None, None, None, None, {})


def written(kind: str, hits: list[Hit]) -> bytes:
    file = io.BytesIO()
    assert export.write(hits, kind, file) == len(hits)
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


def test_parquet_has_types() -> None:
    """Numbers are numbers, times are times in UTC, what is not known is null, and no byte of a name is lost."""
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(io.BytesIO(written("parquet", [HIT, BARE])))

    assert str(table.schema.field("mtime").type) == "timestamp[ns, tz=UTC]"
    assert table.column("size").to_pylist() == [2**40, 2**40, None]
    assert table.column("mtime").cast("int64").to_pylist() == [10**18 + 7, 10**18 + 7, None]
    assert table.column("path").to_pylist() == ["/mnt/a.csv", "/mnt/torn\\xff.csv", "/mnt/new"]
    assert table.column("path_bytes").to_pylist() == [None, b"/mnt/torn\xff.csv", None]
    assert json.loads(table.column("documents")[0].as_py()) == HIT.documents
    assert parquet.read_table(io.BytesIO(written("parquet", []))).num_rows == 0


def test_parquet_has_every_row_of_many() -> None:
    """Rows that become columns in portions and groups of rows come out as they went in, in order."""
    parquet = pytest.importorskip("pyarrow.parquet")
    count = export.ROWS_OF_GROUP + export.ROWS_AT_ONCE + 1
    data = written("parquet", [replace(BARE, paths=(b"/mnt/%d" % number,)) for number in range(count)])

    file = parquet.ParquetFile(io.BytesIO(data))
    assert file.num_row_groups == 2
    assert file.read().column("path").to_pylist() == [f"/mnt/{number}" for number in range(count)]


def test_stored_documents_are_written_as_parsed_ones() -> None:
    """Documents that nobody has parsed are the same in every format as those that somebody has."""
    texts = {name: canonical(body) for name, body in HIT.documents.items()} | {"x": canonical({"ü": "\udcff"})}
    parsed = {name: json.loads(text) for name, text in texts.items()}
    stored = replace(HIT, documents=StoredDocuments(texts))

    assert stored.documents == parsed
    assert text_of(stored.documents) == text_of(parsed)
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
    assert export.write(many(), kind, Nowhere()) == 20_000  # type: ignore[arg-type]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000
