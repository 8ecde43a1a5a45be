"""The scan of a tree that was there before: from one worker's look to the index, over Redis."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench.options import Figures, Options, private_redis
from lustre_events.repair.scan import progress
from lustre_events.streams.connection import connect
from lustre_events.streams.requests import RedisRequests

FILES = 100_000
PER_DIRECTORY = 200
STOP_SECONDS = 15


def scan_throughput(options: Options) -> Figures:
    """Return files/s of a scan of local files: one worker, one dispatcher, SQLite."""
    files = min(FILES, options.files)
    with private_redis() as (folder, redis):
        _make_tree(folder / "tree", files)
        environment = {
            **os.environ,
            "LUSTRE_EVENTS_FILESYSTEM_SOURCE": "directory",
            "LUSTRE_EVENTS_FILESYSTEM_MOUNT": str(folder / "tree"),
            "LUSTRE_EVENTS_FILESYSTEM_STATE": str(folder / "state"),
            "LUSTRE_EVENTS_INDEX_URL": f"sqlite:///{folder / 'index.db'}",
            "LUSTRE_EVENTS_REDIS_URL": redis.url,
            "LUSTRE_EVENTS_WORKER_RUNTIME": "process",
        }
        parts = [
            subprocess.Popen(
                [sys.executable, "-P", "-m", "lustre_events", *part], env=environment, stderr=subprocess.DEVNULL
            )
            for part in (["dispatcher"], ["worker", "--instance", "builtin"])
        ]
        try:
            requests = RedisRequests(connect(redis.url, 60))
            scan = int(requests.ask("scan", {"path": []}, 60)["scan"])
            began = time.perf_counter()
            for at in progress(requests, scan, 0.1):
                found = at.files
            seconds = time.perf_counter() - began
        finally:
            for part in parts:
                part.send_signal(signal.SIGTERM)
            for part in parts:
                part.wait(STOP_SECONDS)
    return {"index.scan_files_per_s": found / seconds}


def _make_tree(top: Path, files: int) -> None:
    for first in range(0, files, PER_DIRECTORY):
        folder = top / f"{first // PER_DIRECTORY // 50:03}" / f"{first:08}"
        folder.mkdir(parents=True)
        for number in range(first, min(first + PER_DIRECTORY, files)):
            (folder / f"frame_{number:08}.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
