"""Files that are indexed fully: name, facts and a document of ten keys, through real streams into a large index.

Workers cost nothing here: their answers are made within the dispatcher's process, and neither the time nor the CPU
time of that counts. So what is measured is the one writer, and the server of PostgreSQL.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

import click

from bench.answering import Answering
from bench.options import MDT, REPOSITORY, Figures, Options, private_redis
from bench.postgresql_server import PostgreSQLServer
from bench.records import copied_tree
from bench.synthetic import EXTRACTOR, fill_names
from lustre_events import subprocesses
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
from lustre_events.streams import keys
from lustre_events.streams.connection import Client, connect
from lustre_events.streams.documents import RedisDocuments
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.records import RedisRecordStreams
from lustre_events.streams.results import RedisResults

SHARE = 5
"""One in this number of the records of other stages: a file costs far more here than its records."""
_RULES = parse(f'[[rule]]\nextractor = "{EXTRACTOR}"\n', "rules", [EXTRACTOR])
_WAIT_SECONDS = 0.5
"""Longer than anything takes to become due here, so that a step with nothing to do is the end."""
_LOOK_SECONDS = 0.1
"""As a dispatcher waits that has nothing to do."""
_STOP_SECONDS = 10.0
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
    return figures | side_by_side(records, options.files)


INDEXERS = (0, 1, 2, 4)


def side_by_side(records: int, objects: int) -> Figures:
    """Return files/s and CPU (ms) of a file, of the dispatcher and all indexers, by how many of these there are.

    `indexers.cpu_ratio_N`: that CPU, divided by what it is with one. `indexers.dispatcher_cpu_ms_per_file_N`: of
    the dispatcher alone, which bounds what any number of indexers can do; with 0 it writes documents itself.
    """
    figures: Figures = {}
    for count in INDEXERS:
        with contextlib.ExitStack() as stack:
            try:
                server = stack.enter_context(PostgreSQLServer())
            except LustreEventsError as exc:
                click.echo(f"without figures of indexers: {exc}", err=True)
                return figures
            _, redis = stack.enter_context(private_redis())
            measured = _Measured(
                redis.url, server.url(), records, objects, with_documents=True, server=server, indexers=count
            )
            figures |= measured.figures("indexers", f"_{count}")
            figures[f"indexers.dispatcher_cpu_ms_per_file_{count}"] = 1000 * measured.of_dispatcher / measured.files
        one = figures.get("indexers.cpu_ms_per_file_1")
        if count > 1 and one is not None:
            figures[f"indexers.cpu_ratio_{count}"] = figures[f"indexers.cpu_ms_per_file_{count}"] / one
    return figures


class _Measured:
    """One run: records in, until nothing is left to do."""

    def __init__(
        self, redis_url: str, index_url: str, records: int, objects: int, *, with_documents: bool,
        server: PostgreSQLServer | None = None, indexers: int = 0,
    ) -> None:  # fmt: skip
        client = connect(redis_url, 60)
        _store(client, records)
        writer = open_writer(index_url)
        fill_names(writer, objects)
        writer.close()
        index = open_writer(index_url)
        results = RedisResults(client)
        workers = Answering(results, RedisResults(client, keys.DOCUMENTS) if indexers else None)
        backlog = RedisDocuments(client) if indexers else None
        rules, extractors = (_RULES, _EXTRACTORS) if with_documents else (Rules(), [])
        dispatcher = Dispatcher(
            RedisRecordStreams(client), results, index, rules, workers, extractors,
            DispatcherSettings(settle_seconds=0.0), backlog=backlog,
        )  # fmt: skip
        processes = [_indexer(redis_url, index_url, number) for number in range(indexers)]
        while backlog is not None and len(backlog.indexers()) < indexers:
            time.sleep(_LOOK_SECONDS)
        ids = [each.pid for each in processes]
        _forget_peak()
        of_server = _server_cpu(server)
        of_indexers = sum(map(_cpu_of, ids))
        began, cpu = time.perf_counter(), time.process_time()
        _work_off(dispatcher, backlog)
        self.of_dispatcher = time.process_time() - cpu - workers.cpu
        self.cpu = self.of_dispatcher + sum(map(_cpu_of, ids)) - of_indexers
        self.seconds = time.perf_counter() - began - workers.seconds
        self.of_server = _server_cpu(server) - of_server
        self.peak = _peak_mb()
        subprocesses.end(processes, _STOP_SECONDS)
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


def _work_off(dispatcher: Dispatcher, backlog: RedisDocuments | None) -> None:
    """Step until nothing is left to do, for indexers neither: what they had before a step has outcomes there."""
    wait_seconds = _WAIT_SECONDS if backlog is None else _LOOK_SECONDS
    last = 0.0
    while True:
        waiting = backlog is not None and any(backlog.waiting().values())
        if dispatcher.step(wait_seconds) or waiting:
            last = time.perf_counter()
        elif time.perf_counter() - last >= _WAIT_SECONDS or backlog is None:
            return


def _indexer(redis_url: str, index_url: str, number: int) -> subprocesses.Child:
    """Start an indexer as a site does."""
    argv = [sys.executable, "-P", "-m", "lustre_events", "indexer", "--instance", str(number)]
    environment = {"LUSTRE_EVENTS_REDIS_URL": redis_url, "LUSTRE_EVENTS_INDEX_URL": index_url,
                   "PYTHONPATH": str(REPOSITORY)}  # fmt: skip
    return subprocesses.start(argv, environment={**os.environ, **environment}, ends_with_parent=True)


def _cpu_of(pid: int) -> float:
    """Return the CPU time (s) of a process (proc(5): stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


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
