"""The whole service on a watched directory, with real containers: throughput of a backlog, latency of one file."""

from __future__ import annotations

import contextlib
import csv
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lustre_events.bench.options import Figures, Options
from lustre_events.errors import LustreEventsError
from lustre_events.index import open_search

BACKLOG = 600
SINGLE = 40
DEADLINE_SECONDS = 120.0
LOOK_SECONDS = 0.01


def extraction(options: Options) -> Figures:
    """Return files/s while a backlog of small tables drains, and the latency of single files."""
    with tempfile.TemporaryDirectory(prefix="lustre-events-bench-") as name, _running(Path(name), options) as place:
        files = place / "files"
        _latency(place, files / "first.csv")  # everything has started
        began = time.perf_counter()
        for number in range(BACKLOG):
            _write_table(files / f"backlog-{number}.csv")
        _wait(place, lambda count: count("name:backlog-*.csv AND extractor:tabular") == BACKLOG)
        seconds = time.perf_counter() - began
        latencies = sorted(_latency(place, files / f"single-{number}.csv") for number in range(SINGLE))
        return {
            "extract.files_per_s": BACKLOG / seconds,
            "e2e.latency_p50_s": statistics.median(latencies),
            "e2e.latency_p99_s": latencies[min(SINGLE - 1, round(0.99 * SINGLE))],
        }


def _latency(place: Path, path: Path) -> float:
    """Return the seconds from close() of a new table to the first search that finds its columns."""
    _write_table(path)
    began = time.perf_counter()
    _wait(place, lambda count: count(f"name:{path.name} AND columns:temperature") == 1)
    return time.perf_counter() - began


def _write_table(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["time", "temperature"], *([n, n / 3] for n in range(20))])


def _wait(place: Path, condition: Callable[[Callable[[str], int]], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(LustreEventsError), open_search(f"sqlite:///{place / 'index.db'}") as search:
            if condition(search.count):
                return
        time.sleep(LOOK_SECONDS)
    lines = (place / "service.log").read_text(errors="replace").splitlines()
    raise LustreEventsError(
        f"waited {DEADLINE_SECONDS:.0f} s in vain; the last log lines: {' | '.join(lines[-5:])}"
    )


@contextlib.contextmanager
def _running(place: Path, options: Options) -> Iterator[Path]:
    place.chmod(0o755)  # containers run as an ordinary user, who must reach the files
    (place / "files").mkdir()
    (place / "rules.toml").write_text('[[rule]]\nextensions = ["csv"]\nextractor = "tabular"\n')
    (place / "settings.toml").write_text(
        f"""
        [filesystem]
        source = "directory"
        mount = "{place}/files"
        state = "{place}/state"
        [index]
        url = "sqlite:///{place}/index.db"
        [dispatcher]
        rules = "{place}/rules.toml"
        settle_seconds = 0.5
        [worker]
        images = "{options.images.resolve()}"
        """
    )
    argv = [sys.executable, "-m", "lustre_events", "run", "--config", str(place / "settings.toml")]
    with (place / "service.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield place
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
