"""How long a record takes from the MDT into the stream, and what an idle reader costs.

    python -m tests.bench.reader_follow [RECORDS] [REOPEN_SECONDS]

The stand-in's FOLLOW looks for new records once a second, as the kernel does. Records come one by one at random
moments; the reader is the real command in a process of its own, with a real Redis. Not part of any test.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lustre_events.node.redis_server import RedisServer
from lustre_events.streams.connection import connect
from lustre_events.streams.records import RedisRecordStreams
from tests.support.records.builders import create, raw
from tests.support.servers.standin import build, environment
from tests.support.service.command import clean_environment

MDT = "lustre-MDT0000"
IDLE_SECONDS = 10.0
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(records: int = 60, reopen_seconds: float = 0.0, follow_ms: int = 1000) -> dict[str, float]:
    """Return the latencies in seconds and the CPU share of an idle reader in percent."""
    chance = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="lustre-events-bench-") as name:
        folder = Path(name)
        log = folder / "records"
        log.touch()
        with RedisServer(folder / "redis") as server, connect(server.url, 5.0) as client:
            variables = {
                "LUSTRE_EVENTS_REDIS_URL": server.url,
                "LUSTRE_EVENTS_FILESYSTEM_LIBRARY": str(build(folder)),
                "LUSTRE_EVENTS_READER_USER": "cl1",
                "LUSTRE_EVENTS_READER_REOPEN_SECONDS": str(reopen_seconds),
                **environment({MDT: log}, follow_ms=follow_ms),
            }
            reader = subprocess.Popen(
                [sys.executable, "-P", "-m", "lustre_events", "reader", "--mdt", MDT],
                env=clean_environment(variables), stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                latencies = [
                    _latency(log, index, RedisRecordStreams(client), chance) for index in range(records + 1)
                ]
                before = cpu_seconds(reader.pid)
                time.sleep(IDLE_SECONDS)
                idle = (cpu_seconds(reader.pid) - before) / IDLE_SECONDS
            finally:
                reader.terminate()
                reader.wait(30)
    latencies = sorted(latencies[1:])  # the first one waited for the reader to start
    return {
        "follow.latency_p50_s": statistics.median(latencies),
        "follow.latency_p99_s": latencies[min(len(latencies) - 1, round(0.99 * len(latencies)))],
        "follow.idle_cpu_percent": 100 * idle,
    }


def _latency(log: Path, number: int, streams: RedisRecordStreams, chance: random.Random) -> float:
    """Return the seconds from the moment a record was written until it is in the stream."""
    time.sleep(chance.uniform(0.0, 1.0))
    began = time.monotonic()
    with log.open("ab") as file:
        file.write(raw(create(fid=number + 1, index=number + 1, time_ns=time.time_ns())))
    while True:
        epochs = streams.epochs(MDT)
        if epochs and streams.tail(MDT, epochs[-1]) > number:
            return time.monotonic() - began
        if time.monotonic() - began > 60:
            raise TimeoutError("the reader stored nothing for a minute")
        time.sleep(0.002)


if __name__ == "__main__":
    figures = measure(
        int(sys.argv[1]) if len(sys.argv) > 1 else 60, float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    )
    print("\n".join(f"{name} {value:.3f}" for name, value in figures.items()))
