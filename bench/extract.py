"""The whole service on a watched directory, with real containers: throughput of a backlog, latency of one file.

Images are unpacked before anything is measured, as they are on a node after its first minute. CPU time is that of
our own processes: containers and extractors, Redis and the forks that watch over a run are not in it.
"""

from __future__ import annotations

import contextlib
import csv
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from bench.options import REPOSITORY, Figures, Options
from lustre_events.index import open_search
from lustre_events.node.sandbox import BUILD_SECONDS, Sandbox, choose_runtime, sandbox

RULES = "".join(
    f'[[rule]]\nextensions = ["{extension}"]\nextractor = "{extractor}"\n'
    for extension, extractor in (("csv", "tabular"), ("h5", "hdf5"), ("start", "starts"))
)
STARTS = """\
name = "starts"
version = "1"
description = "A container per file that does nothing"
image = "base"
command = ["sh", "-c", "echo {}"]
contract = "single"
trusted = true
"""
SHARE = 300
"""Files of each kind in the backlog: for `stat` alone, for tabular, for hdf5."""
ALONE = 30
SINGLE = 40
STARTED = 100
SETTLE_SECONDS = 0.5
"""What the sandbox waits after a file's last change."""
DEADLINE_SECONDS = 120.0
LOOK_SECONDS = 0.01
STOP_SECONDS = 10.0
DAY_SECONDS = 86_400


def extraction(options: Options) -> Figures:
    """Return files/s of a backlog, what a batch saves, containers a day, our CPU per file, and latencies."""
    runtime = choose_runtime(options.images, lambda text: click.echo(text, err=True))
    with _prepared(options, runtime) as box:
        _latency(box, box.files / "first.csv")  # everything has started
        figures = _backlog(box)
        batched = _tables(box, "batched", SHARE)
        latencies = sorted(_latency(box, box.files / f"single-{number}.csv") for number in range(SINGLE))
        figures |= {
            "e2e.latency_p50_s": statistics.median(latencies),
            "e2e.latency_p99_s": latencies[min(SINGLE - 1, round(0.99 * SINGLE))],
        }
        with _one_worker_more(box):
            began = time.perf_counter()
            for number in range(STARTED):
                (box.files / f"{number}.start").touch()
            _wait(box, lambda count: count("name:*.start AND extractor:starts") == STARTED)
            figures["extract.starts_per_day"] = STARTED / (time.perf_counter() - began) * DAY_SECONDS
    with _prepared(options, runtime, dispatcher="job_files = 1\n") as box:
        _latency(box, box.files / "first.csv")
        figures["extract.batch_speedup"] = _tables(box, "alone", ALONE) / batched
    return figures


@contextlib.contextmanager
def _prepared(options: Options, runtime: str, dispatcher: str = "") -> Iterator[Sandbox]:
    """Run the service with its images unpacked, and with an extractor that does nothing."""
    with tempfile.TemporaryDirectory(prefix="lustre-events-starts-") as name:
        folder = Path(name, "starts")
        folder.mkdir()
        (folder / "manifest.toml").write_text(STARTS)
        Path(name).chmod(0o755)
        worker = f'extractors = ["{REPOSITORY}/extractors", "{name}"]\n'
        with sandbox("bench", RULES, options.images, runtime, dispatcher=dispatcher, worker=worker) as box:
            subprocess.run(
                [sys.executable, "-P", "-m", "workers", "--config", str(box.settings), "unpack", "tabular", "hdf5"],
                check=True, timeout=BUILD_SECONDS, cwd=REPOSITORY, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            yield box


def _backlog(box: Sandbox) -> Figures:
    """Return files/s and CPU per file while files for `stat` alone, tables and HDF5 files drain."""
    sample = next((REPOSITORY / "extractors" / "hdf5" / "samples").glob("[!b]*.h5"))
    before, began = _cpu_seconds(box), time.perf_counter()
    for number in range(SHARE):
        (box.files / f"backlog-{number}.dat").touch()
        _write_table(box.files / f"backlog-{number}.csv")
        shutil.copyfile(sample, box.files / f"backlog-{number}.h5")
    _wait(
        box,
        lambda count: (
            count("name:backlog-*.csv AND extractor:tabular") == SHARE
            and count("name:backlog-*.h5 AND extractor:hdf5") == SHARE
            and count("name:backlog-* AND type:f AND size:>=0") == 3 * SHARE
        ),
        0.1,
    )
    seconds = time.perf_counter() - began
    return {
        "extract.files_per_s": 3 * SHARE / seconds,
        "extract.overhead_ms_per_file": (_cpu_seconds(box) - before) * 1000 / (3 * SHARE),
    }


def _tables(box: Sandbox, name: str, files: int) -> float:
    """Return the seconds per file in which a backlog of tables drains, without the wait until it settles."""
    for number in range(files):
        _write_table(box.files / f"{name}-{number}.csv")
    began = time.perf_counter()
    _wait(box, lambda count: count(f"name:{name}-*.csv AND extractor:tabular") > 0)
    _wait(box, lambda count: count(f"name:{name}-*.csv AND extractor:tabular") == files)
    return (time.perf_counter() - began - SETTLE_SECONDS) / files


@contextlib.contextmanager
def _one_worker_more(box: Sandbox) -> Iterator[None]:
    """Have a second worker, as a site with more than one core has."""
    redis = {"LUSTRE_EVENTS_REDIS_URL": f"unix://{box.folder}/state/redis/redis.sock"}
    argv = [sys.executable, "-P", "-m", "lustre_events", "worker", "--config", str(box.settings)]
    with (box.folder / "second.log").open("wb") as log:
        worker = subprocess.Popen(argv, stdout=log, stderr=log, env=os.environ | redis, cwd=REPOSITORY)
    try:
        box.wait(lambda: b'action="start"' in (box.folder / "second.log").read_bytes(), "it has started", 30)
        yield
    finally:
        worker.terminate()
        worker.wait(STOP_SECONDS)


def _cpu_seconds(box: Sandbox) -> float:
    """Return the processor time of the service's processes so far, with that of the jobs that have ended."""
    ticks, parents = {}, {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"LUSTRE_EVENTS_CONFIG={box.settings}\0".encode() in (place / "environ").read_bytes():
                # man 5 proc_pid_stat: behind the name come state, ppid, ...; utime and stime are 14 and 15
                name, _, rest = (place / "stat").read_text().partition("(")[2].rpartition(")")
                if "redis" not in name and "valkey" not in name:
                    fields = rest.split()
                    parents[place.name] = fields[1]
                    ticks[place.name] = int(fields[11]) + int(fields[12])
    # A job's process is the child of a worker, and tells its time itself when it ends.
    own = sum(ticks[pid] for pid in ticks if parents[pid] not in ticks)
    jobs = sum(map(int, re.findall(r"cpu_ms=(\d+)", box.log.read_text(errors="replace"))))
    return own / os.sysconf("SC_CLK_TCK") + jobs / 1000


def _latency(box: Sandbox, path: Path) -> float:
    """Return the seconds from close() of a new table to the first search that finds its columns."""
    _write_table(path)
    began = time.perf_counter()
    _wait(box, lambda count: count(f"name:{path.name} AND columns:temperature") == 1)
    return time.perf_counter() - began


def _write_table(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["time", "temperature"], *([n, n / 3] for n in range(20))])


def _wait(box: Sandbox, condition: Callable[[Callable[[str], int]], bool], every: float = LOOK_SECONDS) -> None:
    def holds() -> bool:
        with open_search(box.index) as search:
            return condition(search.count)

    box.wait(holds, "the documents are found", DEADLINE_SECONDS, every=every)
