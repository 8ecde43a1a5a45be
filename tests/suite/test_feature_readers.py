"""Features and alignments: the golden documents are what pandas reads, and random lines are counted as they are."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.suite.families import families
from tests.support.profiles import examples
from tests.support.programs import program

GENOMICS = families()["genomics"]
SAMPLES = GENOMICS.manifest.folder / "samples"
features = program("genomics", "genomics_features")


def table(name: str) -> pd.DataFrame:
    """Return the lines of a sample as pandas reads them, those in front and behind left out."""
    lines = (SAMPLES / name).read_text().partition("##FASTA")[0].splitlines()
    rows = [line.split("\t")[:12] for line in lines if not line.startswith(("#", "track"))]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("name", ["genes.gff3", "genes.gtf"])
def test_features_are_as_pandas_groups_them(name: str) -> None:
    """Features by type, sequences and sources equal those of the table."""
    rows, found = table(name), GENOMICS.expected(SAMPLES / name)
    assert found["records"] == len(rows)
    assert found["features"] == rows[2].value_counts().to_dict()
    assert found["contigs"] == list(rows[0].unique())
    assert found["sources"] == list(rows[1].unique())


def test_alignments_and_intervals_are_as_pandas_sums_them() -> None:
    """Lengths, matches, queries and targets equal those of the table."""
    rows, found = table("overlaps.paf"), GENOMICS.expected(SAMPLES / "overlaps.paf")
    assert (found["records"], found["query_count"]) == (len(rows), rows[0].nunique())
    assert (found["matches"], found["aligned_bases"]) == (rows[9].astype(int).sum(), rows[10].astype(int).sum())
    rows, found = table("peaks.bed"), GENOMICS.expected(SAMPLES / "peaks.bed")
    lengths = rows[2].astype(int) - rows[1].astype(int)
    assert (found["records"], found["columns"], found["covered_bases"]) == (len(rows), rows.shape[1], lengths.sum())


INTERVALS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 99), st.integers(0, 99)), max_size=50)


@examples(50)
@given(rows=INTERVALS, size=st.integers(1, 40), end=st.sampled_from(["\n", "\r\n"]))
def test_any_intervals_are_counted(rows: list[tuple[str, int, int]], size: int, end: str) -> None:
    """Random lines of BED are summed as they are, wherever blocks end; a line whose end is first is told."""
    text = "".join(f"{name}\t{start}\t{stop}{end}" for name, start, stop in rows).encode()
    *_, found = features.counter("bed")(text[at : at + size] for at in range(0, len(text), size))
    good = [row for row in rows if row[1] <= row[2]]
    assert found.get("records", 0) == len(good)
    assert found.get("covered_bases", 0) == sum(stop - start for _, start, stop in good)
    assert ("partial" in found) == (len(good) < len(rows))


@pytest.mark.parametrize("text", ["a text\n", "name\tvalue\nx\t1\n", "a\tb\tc\n1\t2\t3\n", "", "x\t1\n"])
def test_other_tables_are_no_features(text: str, tmp_path: Path) -> None:
    """A table whose columns are not those of a format is not taken for it."""
    assert features.kind_of(text.encode()) == ""
