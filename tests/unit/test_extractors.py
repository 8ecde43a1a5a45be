"""The shipped extractors' programs on their samples and on files that nobody would write on purpose."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from tests.support.profiles import examples
from tests.support.programs import TABULAR, Later, program, written
from tests.support.rows import each_row
from tests.support.service.images import EXTRACTORS
from workers.contract import AnswerRefused, checked

Extract = Callable[[Path], dict[str, Any]]


h5py, HDF5 = Later("h5py"), Later("hdf5", "hdf5")


def tabular(name: str) -> dict[str, Any]:
    """Return the document of one of the tabular samples."""
    return checked(TABULAR.extract(str(EXTRACTORS / "tabular" / "samples" / name)))


@each_row("name", ["weather.csv", "weather.tsv", "weather.json", "weather.jsonl"])
def test_one_table_in_four_formats_is_one_table(name: str) -> None:
    """Columns, types, ranges and rows do not depend on the format."""
    document = tabular(name)

    assert document["columns"] == ["id", "temperature", "station", "valid"]
    assert document["rows"] == 20
    assert document["column"]["id"] == {"type": "integer", "values": 20, "min": 0, "max": 19}
    assert document["column"]["temperature"] == {"type": "number", "values": 20, "min": 10.5, "max": 15.25}
    assert document["column"]["station"] == {"type": "text", "values": 20, "first": "east", "last": "south"}


def test_other_delimiters_and_encodings_are_found() -> None:
    """A table with semicolons in Latin-1 is read as such."""
    document = tabular("semicolon-latin1.csv")

    assert (document["encoding"], document["delimiter"]) == ("latin-1", ";")
    assert document["columns"] == ["Höhe", "Ort"]
    assert document["column"]["Ort"]["first"] == "Jülich"


def test_json_that_is_no_table_shows_its_values() -> None:
    """Nested settings become dotted keys."""
    document = tabular("settings.json")

    assert document["value"] == {"instrument": "ARPES", "beam.energy_eV": 21.2, "beam.on": True}


def test_a_torn_json_document_shows_what_it_has(tmp_path: Path) -> None:
    """Of a document that ends too early, rows and keys up to there are told, and that it is partial."""
    table = written(tmp_path, "a.json", b'[{"a": 1}, {"a": 2}, {"a"')
    nested = written(tmp_path, "b.json", b'{"a": 1, "b": {"c": 2}, "d')

    assert (table["rows"], table["column"]["a"]["max"]) == (2, 2)
    assert nested["value"] == {"a": 1, "b.c": 2}
    assert table["partial"]
    assert nested["partial"]


def test_torn_lines_are_counted() -> None:
    """A line that is no JSON does not spoil the others."""
    assert tabular("weather.jsonl")["bad_lines"] == 1


@each_row(
    ("name", "content", "reason"),
    [
        ("a.csv", b"", "it is empty"),
        ("a.csv", b" \n\n", "it is empty"),
        ("a.csv", b"\x89PNG\0\0", "binary"),
        ("a.json", b"{", "no part of it can be read as JSON"),
        ("a.json", b"[" * 100_000, "nested too deeply"),
        ("a.jsonl", b"{}{\n[]\n", "no part of it can be read as JSON"),
        ("a.csv", b'a\n"' + b"x" * 2_000_000, "field larger"),
    ],
)
def test_what_is_no_table_is_an_error(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    """A file that is no table raises, with words that go into the index."""
    with pytest.raises((ValueError, csv.Error), match=reason):
        written(tmp_path, name, content)


def test_odd_tables_are_described(tmp_path: Path) -> None:
    """Ragged rows, repeated and empty names, no header, byte order marks and other numbers are all described."""
    ragged = written(tmp_path, "a.csv", b"\xef\xbb\xbfa,a,\n1,2,3\n4\n5,6,7,8\n")
    numbers = written(tmp_path, "b.csv", b"1,nan,inf\n2,1e999,99999999999999999999\n")
    utf16 = written(tmp_path, "c.tsv", "x\ty\n1\t2\n".encode("utf-16"))

    assert ragged["columns"] == ["a", "a_2", "unnamed"]
    assert (ragged["rows"], ragged["ragged_rows"], ragged["encoding"]) == (3, 2, "utf-8")
    assert (numbers["header"], numbers["columns"]) == (False, ["column1", "column2", "column3"])
    assert numbers["column"]["column2"] == {"type": "number", "values": 1, "empty": 1}
    assert numbers["column"]["column3"]["max"] == pytest.approx(1e20)
    assert (utf16["encoding"], utf16["rows"]) == ("utf-16", 1)


REFUSAL = re.compile(
    "it is (empty|a binary file|compressed with lz4)|it has no rows|no part of it can be read as JSON: "
    "|field larger|it begins as Parquet|File is too small|its (gzip|bzip2|xz|zstd|lz4) stream is damaged"
)
"""All that the program says of a file that is no table. Any other error is one that nobody thought of."""


@examples(100, HealthCheck.function_scoped_fixture)
@given(name=st.sampled_from(["a.csv", "a.tsv", "a.json", "a.jsonl"]), content=st.binary(max_size=200))
@example(name="a.csv", content=b"\xfd7zXZ\0")
@example(name="a.csv", content=b"\x04\x22M\x18")
@example(name="a.csv", content=b"PAR1")
@example(name="a.csv", content=b"ARROW1\0\0")
@example(name="a.csv", content=b"\x1c")  # blank to Python, and no byte that ends a line
def test_any_bytes_give_a_document_or_an_error(tmp_path: Path, name: str, content: bytes) -> None:
    """Whatever a file holds, its document is one that the index takes, or a sentence says why it is no table."""
    program("tabular", "tabular_arrow")  # which it imports for such files only
    (tmp_path / name).write_bytes(content)
    try:
        document = TABULAR.extract(str(tmp_path / name))
    except (ValueError, csv.Error) as exc:
        if not REFUSAL.match(str(exc)):
            pytest.fail(f"{content!r}: {exc!r}")
        return
    try:
        checked(json.loads(json.dumps(document, allow_nan=False)))
    except AnswerRefused as exc:
        pytest.fail(f"{content!r}: {exc}")


def test_hdf5_structure_is_described() -> None:
    """Groups, datasets, shapes, types and attributes of an HDF5 file are in its document."""
    document = checked(HDF5.extract(str(EXTRACTORS / "hdf5" / "samples" / "scan.h5")))

    assert document["format"] == "hdf5"
    assert document["groups"] == ["entry"]
    assert document["group_attributes"] == {"entry": {"title": "a scan"}}
    assert document["dataset"]["entry/data"] == {
        "dtype": "float64", "shape": [4, 8], "size": 32, "chunks": [2, 8], "compression": "gzip",
        "compression_level": 4, "filters": ["deflate"],
        "attributes": {"units": "counts", "scale": [1.0, 2.0]},
    }  # fmt: skip
    assert document["dataset"]["entry/label"]["dtype"] == "string"


def test_netcdf_dimensions_are_dimensions() -> None:
    """NetCDF-4's dimensions are told, and a dimension without a variable is no dataset."""
    document = checked(HDF5.extract(str(EXTRACTORS / "hdf5" / "samples" / "ocean.nc")))

    assert document["format"] == "netcdf4"
    assert document["dimensions"] == {"time": 3, "point": 5}
    assert document["datasets"] == ["sst", "time"]
    assert document["attributes"] == {"title": "sea surface"}
    assert document["dataset"]["sst"]["attributes"] == {"long_name": "temperature"}


def test_hdf5_links_lead_nowhere(tmp_path: Path) -> None:
    """Links to other files and circles are not followed; odd types and values do not break the document."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("g")
        group["self"] = h5py.SoftLink("/")
        group["other"] = h5py.ExternalLink("/etc/passwd", "/")
        group["hard"] = group
        file.attrs["nan"] = float("nan")
        file.attrs["reference"] = group.ref
        file.attrs["text"] = np.array(b"a\0\0", dtype="S5")
        file.create_dataset("compound", data=[(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])
        file.create_dataset("empty", data=h5py.Empty("f4"))
    document = checked(json.loads(json.dumps(HDF5.extract(str(tmp_path / "a.h5")), allow_nan=False)))

    assert document["groups"] == ["g"]
    assert document["attributes"] == {"nan": "NaN", "text": "a"}
    assert document["dataset"]["compound"]["dtype"] == "compound"
    assert document["dataset"]["empty"]["shape"] == []


def test_batch_loop_answers_every_file(tmp_path: Path) -> None:
    """One exception harms no other file, what libraries print is no answer, and the end marker counts."""
    program = (
        "import extractor_batch\n"
        "def extract(path):\n"
        "    print('noise')\n"
        "    return {'a': 1 / int(path)} if path != '3' else {'a': float('nan')}\n"
        "extractor_batch.run(extract)\n"
    )
    asked = io.StringIO()
    for number in range(4):
        asked.write(json.dumps({"id": f"{number}", "path": f"{number}"}) + "\n")
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], input=asked.getvalue(), capture_output=True, text=True, timeout=30,
        check=True, env={**os.environ, "PYTHONPATH": str(EXTRACTORS / "base")},
    )  # fmt: skip
    answers = [json.loads(line) for line in done.stdout.splitlines()]

    assert answers[0] == {"id": "0", "error": "ZeroDivisionError: division by zero"}
    assert answers[1:3] == [{"id": "1", "document": {"a": 1.0}}, {"id": "2", "document": {"a": 0.5}}]
    assert answers[3]["error"].startswith("ValueError")
    assert answers[4] == {"end": 4}
    assert "noise" in done.stderr


def test_a_crash_or_hang_costs_one_file() -> None:
    """With a child for the work, a file that kills or holds it fails alone, and memory that is out is had again."""
    program = (
        "import os, sys, time\n"
        "import extractor_batch\n"
        "def extract(path):\n"
        "    if path == '1': os.abort()\n"
        "    if path == '2': time.sleep(60)\n"
        "    if path == '3': raise MemoryError\n"
        "    if path == '4': sys.exit(3)\n"
        "    return {'path': path}\n"
        "extractor_batch.run(extract, isolated=True, seconds_per_file=0.5)\n"
    )
    asked = "".join(json.dumps({"id": f"{number}", "path": f"{number}"}) + "\n" for number in range(6))
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], input=asked, capture_output=True, text=True, timeout=30,
        check=True, env={**os.environ, "PYTHONPATH": str(EXTRACTORS / "base")},
    )  # fmt: skip
    answers = [json.loads(line) for line in done.stdout.splitlines()]

    assert [answer.get("error", "") for answer in answers] == [
        "", "the program crashed on it (signal 6)", "it took longer than 0.5 s",
        "it needs more memory than the extractor may use", "the program crashed on it (exit code 1)", "", "",
    ]  # fmt: skip
    assert answers[-2:] == [{"id": "5", "document": {"path": "5"}}, {"end": 6}]
