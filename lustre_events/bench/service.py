"""The whole service on a watched directory, with real containers: throughput of a backlog, latency of one file."""

from __future__ import annotations

import csv
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import click

from lustre_events.bench.options import Figures, Options
from lustre_events.index import open_search
from lustre_events.sandbox import Sandbox, choose_runtime, sandbox

RULES = '[[rule]]\nextensions = ["csv"]\nextractor = "tabular"\n'
BACKLOG = 600
SINGLE = 40
DEADLINE_SECONDS = 120.0
LOOK_SECONDS = 0.01


def extraction(options: Options) -> Figures:
    """Return files/s while a backlog of small tables drains, and the latency of single files."""
    runtime = choose_runtime(options.images, lambda text: click.echo(text, err=True))
    with sandbox("bench", RULES, options.images, runtime) as box:
        _latency(box, box.files / "first.csv")  # everything has started
        began = time.perf_counter()
        for number in range(BACKLOG):
            _write_table(box.files / f"backlog-{number}.csv")
        _wait(box, lambda count: count("name:backlog-*.csv AND extractor:tabular") == BACKLOG)
        seconds = time.perf_counter() - began
        latencies = sorted(_latency(box, box.files / f"single-{number}.csv") for number in range(SINGLE))
        return {
            "extract.files_per_s": BACKLOG / seconds,
            "e2e.latency_p50_s": statistics.median(latencies),
            "e2e.latency_p99_s": latencies[min(SINGLE - 1, round(0.99 * SINGLE))],
        }


def _latency(box: Sandbox, path: Path) -> float:
    """Return the seconds from close() of a new table to the first search that finds its columns."""
    _write_table(path)
    began = time.perf_counter()
    _wait(box, lambda count: count(f"name:{path.name} AND columns:temperature") == 1)
    return time.perf_counter() - began


def _write_table(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["time", "temperature"], *([n, n / 3] for n in range(20))])


def _wait(box: Sandbox, condition: Callable[[Callable[[str], int]], bool]) -> None:
    def holds() -> bool:
        with open_search(box.index) as search:
            return condition(search.count)

    box.wait(holds, "the documents are found", DEADLINE_SECONDS, LOOK_SECONDS)
