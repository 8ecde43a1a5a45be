"""The golden documents of tables say what pandas reads in the samples, told how each of them is written."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from tests.support.need import missing
from tests.support.programs import program, written
from tests.support.service.images import EXTRACTORS

try:
    import pandas as pd
except ImportError:  # pragma: no cover - it is in the extra `test`
    missing("pandas is not installed")

FOLDER = EXTRACTORS / "tabular"
arrow = program("tabular", "tabular_arrow")
WEATHER = ["id", "temperature", "station", "valid"]
READERS = {
    "instrument.csv": partial(pd.read_csv, skiprows=3, names=["time", "temperature", "pressure"]),
    "stars.ecsv": partial(pd.read_csv, comment="#", sep=" "),
    "simulation.dat": partial(pd.read_csv, sep=r"\s+", header=None, names=["column1", "column2", "column3"]),
    "galaxies.cat": lambda path: Table.read(path, format="ascii.sextractor").to_pandas(),
    "empty.cat": lambda path: Table.read(path, format="ascii.sextractor").to_pandas().astype(object),
    "photometry.mag": lambda path: Table.read(path, format="ascii.daophot").to_pandas(),
    "history.data": lambda path: Table.read(path, format="ascii.mesa").to_pandas(),
    "stars.rdb": lambda path: Table.read(path, format="ascii.rdb").to_pandas(),
    "sources.tbl": lambda path: Table.read(path, format="ascii.ipac").to_pandas(),
    "sacct.txt": partial(pd.read_fwf, skiprows=[1]),
    "years.csv": partial(pd.read_csv, sep=";", decimal=",", thousands=".", encoding="utf-8-sig"),
    "units.tsv": partial(pd.read_csv, sep="\t", skiprows=[1]),
    "survey.csv.gz": pd.read_csv,
    "semicolon-latin1.csv": partial(pd.read_csv, sep=";", decimal=",", encoding="latin-1"),
    "weather.csv": pd.read_csv,
    "weather.tsv": partial(pd.read_csv, sep="\t"),
    "weather.csv.zst": pd.read_csv,
    "weather.tsv.lz4": lambda path: pd.read_csv(pa.input_stream(str(path), compression="lz4"), sep="\t"),
    "weather.json": pd.read_json,
    "wells.geojson": lambda path: pd.json_normalize(json.loads(Path(path).read_text())["features"]).pipe(
        lambda frame: frame.filter(like="properties.").rename(columns=lambda name: name.partition(".")[2])
    ),
}
AS_CSV = ("weather.parquet", "weather.arrow", "weather.arrows", "weather.jsonl")


def golden(name: str) -> dict[str, Any]:
    """Return the document that a sample must have."""
    loaded: dict[str, Any] = json.loads((FOLDER / "golden" / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("name", READERS)
def test_a_table_is_the_one_that_pandas_reads(name: str) -> None:
    """Names, rows, missing values and ranges of every numeric column are equal."""
    frame, document = READERS[name](FOLDER / "samples" / name), golden(name)

    assert document["columns"] == list(frame.columns)
    assert document["rows"] == len(frame)
    for column in frame.columns:
        found = document["column"][column]
        assert found.get("empty", 0) == frame[column].isna().sum(), column
        is_number = pd.api.types.is_numeric_dtype(frame[column]) and frame[column].dtype != bool
        assert is_number == (found["type"] in ("integer", "number")), column
        if is_number:
            assert (found["min"], found["max"]) == (frame[column].min(), frame[column].max()), column


@pytest.mark.parametrize("name", AS_CSV)
def test_other_formats_have_the_facts_of_the_same_table(name: str) -> None:
    """The samples that have the rows of weather.csv in another format have its ranges."""
    plain, other = golden("weather.csv"), golden(name)

    assert other["rows"] == plain["rows"]
    assert other["columns"][: len(WEATHER)] == WEATHER
    for column in WEATHER:
        for key in ("type", "min", "max"):
            assert other["column"][column].get(key, plain["column"][column].get(key)) == plain["column"][
                column
            ].get(key)


def test_every_good_sample_has_a_second_reader() -> None:
    """No sample of a table is compared with nothing but what the extractor said."""
    tables = {path.name for path in (FOLDER / "samples").iterdir()} - {"bad-binary.csv"}

    assert tables - {*READERS, *AS_CSV} == {
        "crate.json",
        "settings.json",
        "sidecar.json",
    }  # test_tabular_forms has those


@pytest.mark.parametrize("writer", [b"parquet-cpp-arrow", b"parquet-rs v. 55 "])
def test_texts_that_a_writer_may_have_cut_off_are_doubted(tmp_path: Path, writer: bytes) -> None:
    """Statistics of parquet-rs may have shortened texts, which pyarrow does not show: the document says so."""
    pq.write_table(pa.table({"name": ["Ada", "Lise"], "n": [1, 2]}), tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes().replace(b"parquet-cpp-arrow", writer)
    found = written(tmp_path, "b.parquet", content)
    assert (found["column"]["name"]["first"], found["column"]["n"]["max"]) == ("Ada", 2)
    assert ("may cut off" in found.get("partial", "")) == writer.startswith(b"parquet-rs")


def test_statistics_of_what_stands_in_lists_are_not_those_of_rows() -> None:
    """A column that an old writer repeats without a group has no range and no empties: both are of its elements."""
    leaf = SimpleNamespace(path="a", max_repetition_level=1)
    counted = SimpleNamespace(
        statistics=SimpleNamespace(has_null_count=True, null_count=1, has_min_max=True, min=0, max=8)
    )
    footer = SimpleNamespace(
        num_columns=1, num_rows=4, num_row_groups=1, schema=SimpleNamespace(column=lambda _: leaf),
        row_group=lambda _: SimpleNamespace(column=lambda _: counted),
    )  # fmt: skip
    columns: dict[str, dict[str, Any]] = {"a": {"type": "list"}}
    assert arrow._statistics(footer, columns) == []
    assert columns == {"a": {"type": "list"}}
    leaf.max_repetition_level = 0
    arrow._statistics(footer, columns)
    assert columns == {"a": {"type": "list", "values": 3, "empty": 1, "min": 0, "max": 8}}


@pytest.mark.parametrize("form", ["mrt", "ipac"])
def test_a_table_that_describes_itself_is_as_astropy_wrote_it(tmp_path: Path, form: str) -> None:
    """Names, units, rows and ranges of a machine-readable table and of an IPAC table are those of its writer."""
    table = Table(
        {"star": ["S05-5", "S08 229", "S11"], "Vmag": [7.125, 8.5, -1.25], "n": [3, 14, 159]},
        units={"Vmag": "mag"},
    )
    table.write(tmp_path / "a.dat", format=f"ascii.{form}")
    found = written(tmp_path, "a.dat", (tmp_path / "a.dat").read_bytes())

    assert (found["columns"], found["rows"], found["units"]) == (["star", "Vmag", "n"], 3, {"Vmag": "mag"})
    assert found["column"]["star"] == {"type": "text", "values": 3, "first": "S05-5", "last": "S11"}
    assert found["column"]["Vmag"] == {"type": "number", "values": 3, "min": -1.25, "max": 8.5}
    assert found["column"]["n"] == {"type": "integer", "values": 3, "min": 3, "max": 159}


@pytest.mark.parametrize("names", [[], ["time", "signal"]])
def test_numbers_after_prose_are_a_table(tmp_path: Path, names: list[str]) -> None:
    """Lines of prose in front of columns of numbers are no rows, and how many they are is told."""
    prose = ["Certified values", "of a data set, and how", "", "they were measured:", "one two three four", "Data:"]
    rows = [f"{n} {n / 4}" for n in range(60)]
    found = written(tmp_path, "a.dat", "\n".join([*prose, *([" ".join(names)] if names else []), *rows]).encode())

    assert (found["columns"], found["rows"]) == (names or ["column1", "column2"], 60)
    assert (found["ragged_rows"], found["header"]) == (5, bool(names))
    assert found["column"][found["columns"][1]] == {"type": "number", "values": 60, "min": 0.0, "max": 14.75}


def test_bytes_without_zeros_are_no_table(tmp_path: Path) -> None:
    """Numbers in binary are refused, also where none of the first bytes is 0; a text in Latin-1 is not."""
    numbers = np.random.default_rng(1).normal(-0.67, 0.01, 2000).astype("<f4").tobytes().replace(b"\0", b"\1")
    with pytest.raises(ValueError, match="it is a binary file"):
        written(tmp_path, "a.dat", numbers)
    assert written(tmp_path, "b.csv", "Ort;Höhe\nKöln;37\n".encode("latin-1"))["columns"] == ["Ort", "Höhe"]
