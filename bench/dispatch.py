"""The dispatcher: from the stream into an index that holds many objects: names, objects and pending rows."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import click

from bench.options import REPOSITORY, Figures, Options, private_redis
from bench.postgresql_server import PostgreSQLServer
from bench.records import repeated, shuffled_tree
from bench.synthetic import fill_names
from lustre_events.config.settings import DispatcherSettings, ReaderSettings
from lustre_events.dispatcher import Dispatcher
from lustre_events.domain.rules.rules import Rules
from lustre_events.errors import LustreEventsError
from lustre_events.index import open_writer
from lustre_events.index.interface import IndexWriter
from lustre_events.reader import Reader
from lustre_events.repair.replay import NoJobs
from lustre_events.sources.replay import ReplaySource
from lustre_events.streams.connection import Client, connect
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.records import RedisRecordStreams
from lustre_events.streams.results import RedisResults

RECORDED = REPOSITORY / "tests" / "data" / "captures" / "11-random-defmask"
RECORDED_SHARE = 5
"""One in this number of records is of the recorded changelogs of two MDTs, the others of a third synthetic tree."""


def index_throughput(options: Options) -> Figures:
    """Return records/s into an index of `options.files` objects on each database, and SQLite's bytes per object."""
    with private_redis() as (folder, redis):
        client = connect(redis.url, 60)
        records = _store(folder, client, options.records)
        path = folder / "index.db"
        figures = {}
        try:
            with PostgreSQLServer() as server:  # first: reading does not trim, as long as nothing is acknowledged
                seconds = _seconds(_Unacknowledged(client), RedisResults(client), server.url(), options.files)
            figures["dispatch.records_per_s_postgresql"] = records / seconds
        except LustreEventsError as exc:
            click.echo(f"without figures of PostgreSQL: {exc}", err=True)
        seconds = _seconds(RedisRecordStreams(client), RedisResults(client), f"sqlite:///{path}", options.files)
        return figures | {"dispatch.records_per_s": records / seconds}


def _store(folder: Path, client: Client, records: int) -> int:
    """Put all records into streams; return how many there are."""
    streams = {"bench-MDT0002": list(shuffled_tree(records - records // RECORDED_SHARE))}
    for mdt in ("MDT0000", "MDT0001"):
        raw = gzip.decompress((RECORDED / f"lustre-{mdt}.raw.gz").read_bytes())
        streams[f"bench-{mdt}"] = list(repeated(raw, records // RECORDED_SHARE // 2))
    for mdt, stored in streams.items():
        (folder / mdt).write_bytes(b"".join(stored))
        Reader(ReplaySource(mdt, folder / mdt), RedisReaderStream(client, mdt), ReaderSettings(user="")).run()
    return sum(map(len, streams.values()))


def _seconds(streams: RedisRecordStreams, results: RedisResults, url: str, objects: int) -> float:
    before = open_writer(url)
    fill_names(before, objects)
    before.close()
    index: IndexWriter = open_writer(url)
    consumer = Dispatcher(streams, results, index, Rules(), NoJobs(), [], DispatcherSettings())
    began = time.perf_counter()
    while consumer.step():
        pass
    seconds = time.perf_counter() - began
    index.close()
    return seconds


class _Unacknowledged(RedisRecordStreams):
    """Streams that stay as they are, for the next measurement."""

    def acknowledge(self, mdt: str, epoch: int, position: int) -> None:
        """Do nothing."""
