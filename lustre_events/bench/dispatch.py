"""The dispatcher: from the stream into an index, names, objects and pending rows."""

from __future__ import annotations

import time

import click

from lustre_events.bench.options import MDT, Figures, Options, private_redis
from lustre_events.bench.postgresql_server import PostgreSQLServer
from lustre_events.bench.records import copied_tree
from lustre_events.config import DispatcherSettings, ReaderSettings
from lustre_events.dispatcher import Dispatcher
from lustre_events.errors import LustreEventsError
from lustre_events.index import open_writer
from lustre_events.index.interface import IndexWriter
from lustre_events.reader import Reader
from lustre_events.replaying import NoJobs
from lustre_events.rules import Rules
from lustre_events.sources.replay import ReplaySource
from lustre_events.streams.redis import RedisReaderStream, RedisRecordStreams, RedisResults, connect


def index_throughput(options: Options) -> Figures:
    """Return records/s of a copied tree into an empty index on each database, and SQLite's bytes per object."""
    with private_redis() as (folder, redis):
        client = connect(redis.url, 60)
        stream = RedisReaderStream(client, MDT)
        (folder / "records").write_bytes(b"".join(copied_tree(options.records)))
        Reader(ReplaySource(MDT, folder / "records"), stream, ReaderSettings(user="")).run()
        path = folder / "index.db"
        figures = {}
        try:
            with PostgreSQLServer() as server:  # first: reading does not trim, as long as nothing is acknowledged
                seconds = _seconds(_Unacknowledged(client), RedisResults(client), open_writer(server.url()))
            figures["dispatch.records_per_s_postgresql"] = options.records / seconds
        except LustreEventsError as exc:
            click.echo(f"without figures of PostgreSQL: {exc}", err=True)
        seconds = _seconds(RedisRecordStreams(client), RedisResults(client), open_writer(f"sqlite:///{path}"))
        return figures | {
            "dispatch.records_per_s": options.records / seconds,
            "dispatch.index_bytes_per_object": path.stat().st_size / (options.records / 2),
        }


def _seconds(streams: RedisRecordStreams, results: RedisResults, index: IndexWriter) -> float:
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
