"""Files that are indexed fully: name, facts and a document of ten keys, through real streams into a large index.

Workers cost nothing here: their answers are made within the dispatcher's process, and neither the time nor the CPU
time of that counts. So what is measured is the one writer, and the server of PostgreSQL.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path

import click

from bench.answering import Answering
from bench.options import MDT, Figures, Options, private_redis
from bench.postgresql_server import PostgreSQLServer
from bench.records import copied_tree
from bench.synthetic import EXTRACTOR, fill_names
from lustre_events.config.settings import DispatcherSettings, ReaderSettings
from lustre_events.dispatcher import Dispatcher
from lustre_events.domain.rules.rule_file import parse
from lustre_events.domain.rules.rules import Rules
from lustre_events.domain.tallies import PREFIX
from lustre_events.errors import LustreEventsError
from lustre_events.index import open_writer
from lustre_events.index.interface import Identity
from lustre_events.jobs.messages import STAT
from lustre_events.reader import Reader
from lustre_events.sources.replay import ReplaySource
from lustre_events.streams.connection import Client
from lustre_events.streams.redis import RedisReaderStream, RedisRecordStreams, RedisResults, connect

SHARE = 5
"""One in this number of the records of other stages: a file costs far more here than its records."""
_RULES = parse(f'[[rule]]\nextractor = "{EXTRACTOR}"\n', "rules", [EXTRACTOR])
_WAIT_SECONDS = 0.5
"""Longer than anything takes to become due here, so that a step with nothing to do is the end."""
_EXTRACTORS = [Identity(EXTRACTOR, "1", "")]


def enrichment(options: Options) -> Figures:
    """Return files/s, CPU (ms) of a file and peak memory (MB) on each database; `facts`: without documents."""
    figures: Figures = {}
    records = max(options.records // SHARE, 1)
    for with_documents, stage in ((False, "facts"), (True, "enriched")):
        with private_redis() as (folder, redis):
            url = f"sqlite:///{folder / 'index.db'}"
            measured = _Measured(redis.url, url, records, options.files, with_documents=with_documents)
            figures |= measured.figures(stage, "")
        with contextlib.ExitStack() as stack:
            try:
                server = stack.enter_context(PostgreSQLServer())
            except LustreEventsError as exc:
                click.echo(f"without figures of PostgreSQL: {exc}", err=True)
                continue
            _, redis = stack.enter_context(private_redis())
            measured = _Measured(
                redis.url, server.url(), records, options.files, with_documents=with_documents, server=server
            )
            figures |= measured.figures(stage, "_postgresql")
    return figures


class _Measured:
    """One run: records in, until nothing is left to do."""

    def __init__(
        self, redis_url: str, index_url: str, records: int, objects: int, *, with_documents: bool,
        server: PostgreSQLServer | None = None,
    ) -> None:  # fmt: skip
        client = connect(redis_url, 60)
        _store(client, records)
        writer = open_writer(index_url)
        fill_names(writer, objects)
        writer.close()
        index = open_writer(index_url)
        results = RedisResults(client)
        workers = Answering(results)
        rules, extractors = (_RULES, _EXTRACTORS) if with_documents else (Rules(), [])
        dispatcher = Dispatcher(
            RedisRecordStreams(client), results, index, rules, workers, extractors,
            DispatcherSettings(settle_seconds=0.0),
        )  # fmt: skip
        _forget_peak()
        of_server = _server_cpu(server)
        began, cpu = time.perf_counter(), time.process_time()
        while dispatcher.step(_WAIT_SECONDS):
            pass
        self.cpu = time.process_time() - cpu - workers.cpu
        self.seconds = time.perf_counter() - began - workers.seconds
        self.of_server = _server_cpu(server) - of_server
        self.peak = _peak_mb()
        counters = index.counters()
        index.close()
        self.files = counters[f"{PREFIX}{EXTRACTOR if with_documents else STAT}:ok"]

    def figures(self, stage: str, suffix: str) -> Figures:
        """Return what was measured, by name."""
        found = {
            f"{stage}.files_per_s{suffix}": self.files / self.seconds,
            f"{stage}.cpu_ms_per_file{suffix}": 1000 * self.cpu / self.files,
            f"{stage}.peak_mb{suffix}": self.peak,
        }
        if self.of_server:
            found[f"{stage}.server_cpu_ms_per_file{suffix}"] = 1000 * self.of_server / self.files
        return found


def _store(client: Client, records: int) -> None:
    """Let the reader put records into a stream."""
    with tempfile.TemporaryDirectory(prefix="lustre-events-bench-") as folder:
        path = Path(folder) / "records"
        path.write_bytes(b"".join(copied_tree(records)))
        Reader(ReplaySource(MDT, path), RedisReaderStream(client, MDT), ReaderSettings(user="")).run()


def _server_cpu(server: PostgreSQLServer | None) -> float:
    """Return the CPU time (s) of a server and its children so far (proc(5): stat); of none 0."""
    if server is None or server.pid is None:
        return 0.0
    ticks = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(entry.name) == server.pid:
                ticks += sum(map(int, fields[11:15]))
            elif int(fields[1]) == server.pid:
                ticks += sum(map(int, fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _forget_peak() -> None:
    """Let the peak of this process's memory begin anew (proc(5): clear_refs)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_mb() -> float:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    return int(lines["VmHWM"].split()[0]) / 1024
