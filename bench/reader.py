"""The reader: from the device of the C stand-in for liblustreapi into a real Redis, each in a process of its own.

The stand-in (tests/support/servers/standin.c) is compiled for the run, so these stages need a checkout and gcc. To
compare: what one writes first, a reader that decodes each record through recv and sends XADDs by the thousand.
"""

from __future__ import annotations

import concurrent.futures
import gzip
import multiprocessing
import os
import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from bench.options import MDT, REPOSITORY, Figures, Options, private_redis
from bench.records import Endless, copied_tree
from lustre_events import llapi
from lustre_events.changelog.record import decode_record, scan
from lustre_events.config.settings import ReaderSettings
from lustre_events.errors import ConfigError
from lustre_events.reader import Reader
from lustre_events.sources.interface import Source
from lustre_events.sources.lustre import LustreSource
from lustre_events.sources.replay import ReplaySource
from lustre_events.streams import keys
from lustre_events.streams.connection import connect
from lustre_events.streams.reader_stream import RedisReaderStream

STANDIN = REPOSITORY / "tests" / "support" / "servers" / "standin.c"
CAPTURES = REPOSITORY / "tests" / "data" / "captures"
SETTINGS = ReaderSettings(user="")
MEMORY_RECORDS = 10_000_000
PIPELINE = 1_000


class _Ending(LustreSource):
    """A live source that ends once it has given this number of bytes."""

    def __init__(self, library: str, size: int) -> None:
        super().__init__(MDT, library)
        self._left = size

    def read(self, limit_bytes: int, timeout_seconds: float) -> bytes:
        """Return what the MDT gives; b"" at the end."""
        data = b"" if self.ended else super().read(limit_bytes, timeout_seconds)
        self._left -= len(data)
        return data

    @property
    def ended(self) -> bool:
        """Whether everything was given."""
        return self._left <= 0


def reader_throughput(options: Options) -> Figures:
    """Return records/s, CPU, bytes in Redis, and how much faster it is than the plain reader."""
    with private_redis() as (folder, redis):
        library = _compiled(folder)
        _write_records(folder, options.records)
        fast = _in_child(_device_to_stream, library, redis.url, folder)
        plain_records = options.records // 10
        _write_records(folder, plain_records)
        plain = _in_child(_plainly, library, redis.url, folder)
        return {
            "reader.records_per_s": options.records / fast["seconds"],
            "reader.cpu_s_per_million": fast["cpu"] / options.records * 1e6,
            "reader.speedup": (options.records / fast["seconds"]) / (plain_records / plain["seconds"]),
            "reader.redis_bytes_per_record": _captures_in_redis(folder, redis.url),
        }


def reader_memory(_: Options) -> Figures:
    """Return the reader's peak memory after a million records, and after ten million."""
    figures = {}
    for name, records in (("reader.peak_mb_of_1m", MEMORY_RECORDS // 10), ("reader.peak_mb", MEMORY_RECORDS)):
        with private_redis() as (_folder, redis):
            figures[name] = _in_child(_endlessly, redis.url, records)["peak_mb"]
    return figures


def _device_to_stream(library: str, url: str, folder: Path) -> dict[str, float]:
    records = folder / "records"
    os.environ["STANDIN_RECORDS"] = f"{MDT}={records}"
    return _measured(_Ending(library, records.stat().st_size), url)


def _endlessly(url: str, records: int) -> dict[str, float]:
    return _measured(Endless(MDT, records), url)


def _measured(source: Source, url: str) -> dict[str, float]:
    """Read the source to its end; return seconds, CPU seconds and the peak memory of this process."""
    reader = Reader(source, RedisReaderStream(connect(url, 60), MDT), SETTINGS)
    began, cpu = time.perf_counter(), time.process_time()
    reader.run()
    return {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _plainly(library: str, url: str, folder: Path) -> dict[str, float]:
    """Decode each record that recv gives and add it as an entry of its own."""
    os.environ["STANDIN_RECORDS"] = f"{MDT}={folder / 'records'}"
    client = connect(url, 60)
    began, cpu = time.perf_counter(), time.process_time()
    with llapi.Changelog.open(llapi.load(library), MDT) as changelog:
        changelog.set_xflags(llapi.ALL_EXTRA)
        pipeline, waiting = client.pipeline(transaction=False), 0
        while (raw := changelog.recv()) is not None:
            record, _ = decode_record(raw)
            pipeline.xadd(
                "plain",
                {
                    "type": record.type, "time": record.time_ns, "target": str(record.target),
                    "parent": str(record.parent), "name": record.name, "jobid": record.jobid,
                    "uid": record.uid or 0, "gid": record.gid or 0,
                },
                id=f"{record.index}-0",
            )  # fmt: skip
            waiting += 1
            if waiting == PIPELINE:
                pipeline.execute()
                waiting = 0
        pipeline.execute()
    return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}


def _captures_in_redis(folder: Path, url: str) -> float:
    """Return Redis's bytes per record for the recorded changelogs of a real Lustre."""
    client = connect(url, 60)
    size = records = 0
    for number, path in enumerate(sorted(CAPTURES.glob("*/*.raw.gz"))):
        raw = gzip.decompress(path.read_bytes())
        mdt = f"capture-MDT{number:04x}"
        stream = RedisReaderStream(client, mdt)
        (folder / "capture").write_bytes(raw)
        Reader(ReplaySource(mdt, folder / "capture"), stream, SETTINGS).run()
        records += scan(raw).count
        if raw:
            size += client.memory_usage(keys.stream(mdt, stream.tail().epoch), samples=0) or 0
    return size / records


def _compiled(folder: Path) -> str:
    library = folder / "liblustreapi.so"
    if not STANDIN.exists():
        raise ConfigError(f"{STANDIN} is not there; run the reader's benchmark from a checkout of lustre-events")
    argv = ["gcc", "-O2", "-shared", "-fPIC", "-pthread", "-o", str(library), str(STANDIN)]
    try:
        subprocess.run(argv, check=True, capture_output=True, timeout=120)
    except (OSError, subprocess.CalledProcessError) as exc:
        raise ConfigError(f"the stand-in for liblustreapi cannot be compiled ({exc}); install gcc") from exc
    return str(library)


def _write_records(folder: Path, count: int) -> None:
    with (folder / "records").open("wb") as file:
        file.writelines(copied_tree(count))


def _in_child(work: Callable[..., dict[str, float]], *arguments: object) -> dict[str, float]:
    """Run `work` in a new process, so that memory and CPU are its own."""
    os.environ["PYTHONSAFEPATH"] = "1"  # as -P: the new process looks for no module in the current directory
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(work, *arguments).result()
