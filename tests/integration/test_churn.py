"""The index stays small under files that come and go (`bench churn` does this with five million records)."""

from __future__ import annotations

from pathlib import Path

from bench.churn import BATCH, sqlite_growth


def test_the_index_does_not_grow_under_churn_beside_a_silent_mdt(tmp_path: Path) -> None:
    """After ten times as many files that came and went the index is as large as after the first ones."""
    assert sqlite_growth(tmp_path / "index.db", 10 * BATCH) < 1.1
