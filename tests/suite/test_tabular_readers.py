"""The golden documents of tables say what pandas reads in the samples, told how each of them is written."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.need import missing
from tests.support.service.images import EXTRACTORS

try:
    import pandas as pd
except ImportError:  # pragma: no cover - it is in the extra `test`
    missing("pandas is not installed")

FOLDER = EXTRACTORS / "tabular"
WEATHER = ["id", "temperature", "station", "valid"]
READERS = {
    "instrument.csv": partial(pd.read_csv, skiprows=3, names=["time", "temperature", "pressure"]),
    "stars.ecsv": partial(pd.read_csv, comment="#", sep=" "),
    "simulation.dat": partial(pd.read_csv, sep=r"\s+", header=None, names=["column1", "column2", "column3"]),
    "years.csv": partial(pd.read_csv, sep=";", decimal=",", thousands=".", encoding="utf-8-sig"),
    "units.tsv": partial(pd.read_csv, sep="\t", skiprows=[1]),
    "survey.csv.gz": pd.read_csv,
    "semicolon-latin1.csv": partial(pd.read_csv, sep=";", decimal=",", encoding="latin-1"),
    "weather.csv": pd.read_csv,
    "weather.tsv": partial(pd.read_csv, sep="\t"),
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
