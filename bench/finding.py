"""What people and programs wait for when they find: the API with a token, completion, and all hits as Parquet."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.index import NEW_QUERIES, QUERIES, queries
from bench.options import Figures, Options, percentile
from bench.synthetic import fill
from bench.web import VIEWER, client_of
from lustre_events.errors import ConfigError
from lustre_events.index import open_search, open_writer
from lustre_events.index.remote.client import PREFIX
from lustre_events.index.search.asking import portions
from lustre_events.inspect import export
from lustre_events.web.personal_tokens import Tokens
from lustre_events.web.store import Store

RUNS = 5
LOOK_SECONDS = 0.02
TYPED = (
    "i",
    "instr",
    "temp",
    "instrument:",
    "instrument:A",
    "operator:user4",
    "sample:S00",
    "hdf5.t",
    "own",
    "mtime:",
)
"""What is completed: beginnings of fields and of values."""


def finding_figures(options: Options) -> Figures:
    """Return the figures of an index of `options.files` files (SQLite)."""
    with tempfile.TemporaryDirectory(prefix="lustre-events-bench-") as folder:
        path = Path(folder) / "index.db"
        url = f"sqlite:///{path}"
        writer = open_writer(url)
        fill(writer, options.files)
        writer.close()
        figures = {
            "api.search_p95_ms": percentile(_asked(url, Path(folder)), 95),
            "fields.complete_p95_ms": percentile(_completed(url), 95),
        }
        return figures | _exported(url, Path(folder) / "hits.parquet")


def _asked(url: str, folder: Path) -> Iterator[float]:
    """Yield the ms of each search over the API, by somebody who is not root, with a token."""
    store = Store(folder / "store.db")
    client = client_of(url, store)
    secret, _ = Tokens(store, 90).create(VIEWER)
    for query, sort in [*queries(QUERIES), *queries(NEW_QUERIES)]:
        asked = {"q": query} | ({"sort": sort} if sort else {})
        for _ in range(RUNS):
            began = time.perf_counter()
            answer = client.get(
                f"{PREFIX}/search", query_string=asked, headers={"Authorization": f"Bearer {secret}"}
            )
            took = (time.perf_counter() - began) * 1000
            if answer.status_code != 200:
                raise ConfigError(
                    f"the search for {query!r} failed with {answer.status_code}: {answer.text[-500:]}"
                )
            yield took


def _completed(url: str) -> Iterator[float]:
    with open_search(url) as search:
        for typed in TYPED:
            for _ in range(RUNS):
                began = time.perf_counter()
                search.complete(typed)
                yield (time.perf_counter() - began) * 1000


def _exported(url: str, path: Path) -> Figures:
    """Return hits a second to a Parquet file, and the memory (MB) that the command takes at most."""
    with open_search(url) as search, path.open("wb") as file:
        began = time.perf_counter()
        count = export.write(portions(search, "type:f"), "parquet", file).hits
        took = time.perf_counter() - began
    return {"export.hits_per_s": count / took, "export.peak_mb": _peak_of_command(url, path)}


def _peak_of_command(url: str, path: Path) -> float:
    """Return the peaks of a command that does nothing else and of the process that it starts (proc(5): status)."""
    search = [sys.executable, "-P", "-m", "lustre_events", "search", "type:f", "--index", url]
    peaks: dict[str, int] = {}
    with subprocess.Popen([*search, "--format", "parquet", "--output", str(path)]) as command:
        while command.poll() is None:
            with contextlib.suppress(OSError):
                started = Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text(encoding="ascii")
                for pid in (str(command.pid), *started.split()):
                    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
                    found = map(int, re.findall(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE))
                    peaks[pid] = max(peaks.get(pid, 0), *found, 0)
            time.sleep(LOOK_SECONDS)
    if command.returncode != 0:
        raise ConfigError(f"the export of {url} failed with exit code {command.returncode}")
    return sum(peaks.values()) * 1024 / 1e6
