"""Measurements, never tests: each stage alone and the whole way.

A figure is named `stage.figure`. `make bench` prints a table and writes a flat JSON object of names to numbers,
with the machine, versions and commit beside them. Figures of different machines do not compare; ratios of one
run do.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from lustre_events import services
from lustre_events.config import DispatcherSettings, ReaderSettings
from lustre_events.dispatcher import Dispatcher
from lustre_events.errors import ConfigError, LustreEventsError
from lustre_events.fid import FID, ROOT_FID
from lustre_events.index import open_search
from lustre_events.index.sqlite import SQLiteWriter
from lustre_events.reader import Reader
from lustre_events.record import (
    CLOSE_WRITE,
    EXTRA_NID,
    EXTRA_UIDGID,
    FLAG_EXTRA,
    FLAG_JOBID,
    FLAG_RENAME,
    FLAG_VERSION,
    ChangelogRecord,
    RecordType,
    encode_record,
)
from lustre_events.redis_server import RedisServer
from lustre_events.rules import Rules
from lustre_events.sources.replay import ReplaySource
from lustre_events.streams import keys
from lustre_events.streams.redis import RedisReaderStream, RedisRecordStreams, RedisResults, connect

MDT = "bench-MDT0000"
RECORDS = 200_000
DEADLINE_SECONDS = 120.0
FLAGS = FLAG_VERSION | FLAG_RENAME | FLAG_JOBID | FLAG_EXTRA

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Options:
    """Where images are, and how many records the record stages use."""

    images: Path
    records: int = RECORDS


def run(names: list[str], options: Options) -> Figures:
    """Run the named stages (all if none is named) and return their figures.

    Raises:
        ConfigError: there is no such stage.
    """
    figures: Figures = {}
    for name in names or list(STAGES):
        if name not in STAGES:
            raise ConfigError(f"no benchmark {name!r}; known are: {', '.join(STAGES)}")
        figures |= STAGES[name](options)
    return figures


def circumstances() -> dict[str, Any]:
    """Return what a figure depends on: machine, versions, commit."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True, timeout=10,
            cwd=Path(__file__).parent,
        ).stdout.strip()  # fmt: skip
        return {**_versions(), "commit": commit}
    return _versions()


def _versions() -> dict[str, Any]:
    packages = ("lustre-events", "redis", "rq", "msgspec", "zstandard", "spython")
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def copied_tree(records: int) -> Iterator[bytes]:
    """Yield raw records like those of a copied tree: directories of 100 files, each created and closed."""
    now = time.time_ns()
    plain = ChangelogRecord(
        index=0, type=0, time_ns=0, flags=FLAGS, extra_flags=EXTRA_UIDGID | EXTRA_NID, jobid=b"cp.1000", uid=1000,
        gid=1000, nid=bytes(24),
    )  # fmt: skip
    directory = ROOT_FID
    for index in range(1, records + 1):
        slot, when = index % 201, now + index * 1000
        if slot == 1:
            directory, parent = FID(0x200000402, index), ROOT_FID
            fields = {"type": RecordType.MKDIR, "target": directory, "parent": parent, "name": b"run%d" % index}
        elif slot % 2 == 0:
            name = b"frame_%08d.h5" % index
            fields = {
                "type": RecordType.CREAT,
                "target": FID(0x200000402, index),
                "parent": directory,
                "name": name,
            }
        else:
            fields = {
                "type": RecordType.CLOSE, "target": FID(0x200000402, index - 1), "flags": FLAGS | CLOSE_WRITE,
            }  # fmt: skip
        yield encode_record(msgspec.structs.replace(plain, index=index, time_ns=when, **fields))


def reader(options: Options) -> Figures:
    """Records from a file, through the reader, into a real Redis with AOF everysec."""
    with _redis() as (folder, redis):
        path = folder / f"{MDT}.raw"
        path.write_bytes(b"".join(copied_tree(options.records)))
        stream = RedisReaderStream(connect(redis.url, 60), MDT)
        began, cpu = time.perf_counter(), time.process_time()
        Reader(ReplaySource(MDT, path), stream, ReaderSettings(user="", linger_ms=0)).run()
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
        client = connect(redis.url, 60)
        stored = client.memory_usage(keys.stream(MDT, stream.tail().epoch), samples=0)
        return {
            "reader.records_per_s": options.records / seconds,
            "reader.cpu_s_per_million": cpu_seconds / options.records * 1e6,
            "reader.redis_bytes_per_record": float(stored or 0) / options.records,
            "reader.peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def dispatcher(options: Options) -> Figures:
    """The same records from the stream into a SQLite index: names, objects and pending rows."""
    with _redis() as (folder, redis):
        path = folder / f"{MDT}.raw"
        path.write_bytes(b"".join(copied_tree(options.records)))
        client = connect(redis.url, 60)
        stream = RedisReaderStream(client, MDT)
        Reader(ReplaySource(MDT, path), stream, ReaderSettings(user="", linger_ms=0)).run()
        index = SQLiteWriter(folder / "index.db")
        consumer = Dispatcher(
            RedisRecordStreams(client), RedisResults(client), index, Rules(), services.NoJobs(), [],
            DispatcherSettings(idle_ms=1),
        )  # fmt: skip
        began = time.perf_counter()
        while consumer.step():
            pass
        seconds = time.perf_counter() - began
        index.close()
        size = (folder / "index.db").stat().st_size
        return {
            "dispatch.records_per_s": options.records / seconds,
            "dispatch.index_bytes_per_object": size / (options.records / 2),
        }


def extract(options: Options) -> Figures:
    """Small tables through the whole service: files/s while a backlog drains, and the latency of single files."""
    with tempfile.TemporaryDirectory(prefix="lustre-events-bench-") as name, _service(Path(name), options) as place:
        backlog, single = 600, 20
        files = place / "files"
        began = time.perf_counter()
        for number in range(backlog):
            _table(files / f"backlog-{number}.csv")
        _wait(place, lambda count: count("name:backlog-*.csv AND extractor:tabular") == backlog)
        seconds = time.perf_counter() - began
        latencies = [_latency(place, files / f"single-{number}.csv") for number in range(single)]
        return {
            "extract.files_per_s": backlog / seconds,
            "e2e.latency_p50_s": statistics.median(latencies),
            "e2e.latency_p99_s": sorted(latencies)[min(single - 1, round(0.99 * single))],
        }


STAGES: dict[str, Callable[[Options], Figures]] = {"reader": reader, "dispatcher": dispatcher, "extract": extract}


def _latency(place: Path, path: Path) -> float:
    """Return the seconds from close() of a new table to the first search that finds its columns."""
    _table(path)
    began = time.perf_counter()
    _wait(place, lambda count: count(f"name:{path.name} AND columns:temperature") == 1)
    return time.perf_counter() - began


def _table(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["time", "temperature"], *([n, n / 3] for n in range(20))])


def _wait(place: Path, condition: Callable[[Callable[[str], int]], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(LustreEventsError), open_search(f"sqlite:///{place / 'index.db'}") as search:
            if condition(search.count):
                return
        time.sleep(0.01)
    raise LustreEventsError(f"waited {DEADLINE_SECONDS:.0f} s in vain; the last log lines: {_last_lines(place)}")


def _last_lines(place: Path) -> str:
    return " | ".join((place / "service.log").read_text(errors="replace").splitlines()[-5:])


@contextlib.contextmanager
def _redis() -> Iterator[tuple[Path, RedisServer]]:
    with tempfile.TemporaryDirectory(prefix="lustre-events-bench-") as name:
        folder = Path(name)
        with RedisServer(folder / "redis") as server:
            yield folder, server


@contextlib.contextmanager
def _service(place: Path, options: Options) -> Iterator[Path]:
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


def to_json(figures: Figures) -> str:
    """Return figures and circumstances as the JSON object that bench.json holds."""
    return json.dumps({**{name: round(value, 4) for name, value in figures.items()}, **circumstances()}, indent=2)
