"""The dispatcher: from the stream into a SQLite index, names, objects and pending rows."""

from __future__ import annotations

import time

from lustre_events.bench.options import MDT, Figures, Options, private_redis
from lustre_events.bench.records import copied_tree
from lustre_events.config import DispatcherSettings, ReaderSettings
from lustre_events.dispatcher import Dispatcher
from lustre_events.index.sqlite import SQLiteWriter
from lustre_events.reader import Reader
from lustre_events.replaying import NoJobs
from lustre_events.rules import Rules
from lustre_events.sources.replay import ReplaySource
from lustre_events.streams.redis import RedisReaderStream, RedisRecordStreams, RedisResults, connect


def index_throughput(options: Options) -> Figures:
    """Return records/s of a copied tree into an empty index, and the index's bytes per object."""
    with private_redis() as (folder, redis):
        client = connect(redis.url, 60)
        stream = RedisReaderStream(client, MDT)
        (folder / "records").write_bytes(b"".join(copied_tree(options.records)))
        Reader(ReplaySource(MDT, folder / "records"), stream, ReaderSettings(user="")).run()
        index = SQLiteWriter(folder / "index.db")
        consumer = Dispatcher(
            RedisRecordStreams(client), RedisResults(client), index, Rules(), NoJobs(), [],
            DispatcherSettings(),
        )  # fmt: skip
        began = time.perf_counter()
        while consumer.step():
            pass
        seconds = time.perf_counter() - began
        index.close()
        return {
            "dispatch.records_per_s": options.records / seconds,
            "dispatch.index_bytes_per_object": (folder / "index.db").stat().st_size / (options.records / 2),
        }
