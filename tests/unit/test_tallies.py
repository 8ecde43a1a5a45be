"""What extractors did, counted as counters of the index and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.domain.tallies import BOUNDS, LABELS, STATUSES, Tallies, by_extractor
from lustre_events.jobs.messages import Result
from tests.support.model.dispatcher import csv_rig
from tests.support.records.builders import create, fid_of
from tests.support.rows import each_row

NAMES = st.sampled_from(["tabular", "ada/spectra"])
RESULTS = st.lists(st.tuples(NAMES, st.sampled_from(STATUSES), st.integers(0, 10**7), st.integers(1, 99)))


@given(RESULTS, RESULTS)
def test_counters_say_what_was_counted(first: list[Any], second: list[Any]) -> None:
    """Counters of two steps add up to those of both; each result is in one status and one bucket."""
    counters = []
    for results in (first, second, first + second):
        tallies = Tallies()
        for name, status, run_ms, files in results:
            tallies.add(name, status, {"duration_ms": run_ms, "files": files})
        counters.append(tallies.counters())

    assert counters[0] + counters[1] == +counters[2]
    for name, tally in by_extractor(counters[2]).items():
        mine = [each for each in first + second if each[0] == name]
        assert tally.results == sum(tally.buckets) == tally.cumulated()[-1][1] == len(mine)
        assert tally.seconds == pytest.approx(sum(ms * 1000 // n for _, _, ms, n in mine) / 1e6)
        assert tally.cumulated() == sorted(tally.cumulated(), key=lambda pair: pair[1])


@each_row(
    "told",
    [{}, {"duration_ms": [1], "files": 1}, {"duration_ms": 5, "files": 0}, {"duration_ms": -1, "files": 1},
     {"duration_ms": True, "files": 1}, {"duration_ms": 5, "files": "many"}],
)  # fmt: skip
def test_what_a_worker_invents_is_not_timed(told: dict[str, Any]) -> None:
    """A duration that is none counts for nothing, and ends no dispatcher."""
    tallies = Tallies()
    tallies.add("tabular", "ok", told)

    assert tallies.counters() == {"extractor:tabular:ok": 1}


def test_a_duration_is_bounded() -> None:
    """A number that no database could hold is taken for a day."""
    tallies = Tallies()
    tallies.add("tabular", "ok", {"duration_ms": 1 << 70, "files": 1})

    assert tallies.counters()["extractor:tabular:us"] == 86_400 * 10**6
    assert tallies.counters()["extractor:tabular:le:+Inf"] == 1


@given(st.lists(st.integers(0, 3 * 10**6), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_within_its_bucket(run_ms: list[int], share: float) -> None:
    """It is never further off than the bucket that holds the right one."""
    tallies = Tallies()
    for each in run_ms:
        tallies.add("t", "ok", {"duration_ms": each, "files": 1})
    found = by_extractor(tallies.counters())["t"].quantile_seconds(share)
    assert found is not None
    exact = sorted(run_ms)[max(0, -(-round(share * len(run_ms) * 10**6) // 10**6) - 1)] / 1000

    bounds = (0.0, *BOUNDS, BOUNDS[-1])
    place = next((n for n, bound in enumerate(BOUNDS) if exact <= bound), len(BOUNDS))
    assert bounds[max(0, place - 1)] <= found <= bounds[min(place + 2, len(bounds) - 1)]


def test_a_counter_of_another_kind_is_no_tally() -> None:
    """Names that are none of ours are left out; an extractor without runs has no durations."""
    found = by_extractor(
        {"records": 3, "extractor:stat:gone": 2, "extractor:stat:le:9": 1, "extractor:stat:new": 1}
    )

    assert found["stat"].statuses == {"ok": 0, "failed": 0, "gone": 2, "released": 0}
    assert found["stat"].failure_rate is None
    assert found["stat"].quantile_seconds(0.5) is None
    assert len(LABELS) == len(BOUNDS) + 1


def test_the_dispatcher_counts_per_extractor(tmp_path: Path) -> None:
    """Each result that it takes is in one status of its extractor; those that it drops are in none."""
    rig = csv_rig(tmp_path / "index.db")
    for job in rig.play(create(fid=1, name=b"a.csv"), create(fid=2, name=b"b.csv")):
        status = "ok" if job.extractor == "stat" else "failed"
        rig.answer([job], status, provenance={"job": job.id, "duration_ms": 80, "files": 2})
    rig.results.put([Result(fid=fid_of(9), extractor="unheard", serial=1, generation=1, status="ok")])
    rig.settle()

    counters = rig.writer.counters()
    found = by_extractor(counters)
    rig.close()

    assert sum(tally.results for tally in found.values()) == counters["results"] - counters["results_dropped"]
    assert set(found) == {"stat", "tabular"}
    assert found["stat"].quantile_seconds(1.0) == 0.05
    assert found["tabular"].failure_rate == 1
    assert counters["results_dropped"] == 1
