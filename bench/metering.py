"""What it costs to be seen: counting and publishing, as a part of the CPU time of reader and dispatcher.

How often something is counted or published is taken from a run at full speed, what it costs each time from a loop
over that alone. Most results of a run are of `stat`; here all of them are timed as those of extractors are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from bench.answering import Answering
from bench.options import MDT, Figures, Options, private_redis
from bench.records import copied_tree
from bench.synthetic import FILES_OF_JOB
from lustre_events.config.settings import DispatcherSettings, ReaderSettings
from lustre_events.dispatcher import Dispatcher
from lustre_events.dispatcher.rates import Rates
from lustre_events.domain.rules.rules import Rules
from lustre_events.domain.tallies import Tallies
from lustre_events.index.sqlite.writer import SqliteWriter
from lustre_events.reader import Reader
from lustre_events.sources.replay import ReplaySource
from lustre_events.streams.connection import connect
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.records import RedisRecordStreams
from lustre_events.streams.results import RedisResults

TURNS = 300


class _Reading(RedisReaderStream):
    """A reader's stream that counts what is published."""

    published = 0

    def publish(self, state: Mapping[str, int | str]) -> None:
        """Count and publish."""
        self.published += 1
        super().publish(state)


class _Dispatching(RedisRecordStreams):
    """The dispatcher's streams that count what is published."""

    published = 0

    def publish(self, state: Mapping[str, int | str]) -> None:
        """Count and publish."""
        self.published += 1
        super().publish(state)


def metrics_overhead(options: Options) -> Figures:
    """Return the part of the CPU time (percent) of the reader, of the dispatcher, and of the worse of both."""
    with private_redis() as (folder, redis):
        client = connect(redis.url, 60)
        stream = _Reading(client, MDT)
        (folder / "records").write_bytes(b"".join(copied_tree(options.records)))
        reader = Reader(ReplaySource(MDT, folder / "records"), stream, ReaderSettings(user=""))
        began = time.process_time()
        reader.run()
        cpu = time.process_time() - began
        spent = stream.published * _each(lambda: stream.publish(reader.state()))
        spent += reader.counters.blocks_read * _each(lambda: _count_block(reader))
        read = 100 * spent / cpu
        dispatched = _dispatcher(client_streams=_Dispatching(client), results=RedisResults(client),
                                 index=SqliteWriter(folder / "index.db"))  # fmt: skip
    return {
        "metrics.reader_percent": read,
        "metrics.dispatcher_percent": dispatched,
        "metrics.overhead_percent": max(read, dispatched),
    }


def _dispatcher(client_streams: _Dispatching, results: RedisResults, index: SqliteWriter) -> float:
    workers = Answering(results)
    # A file is due at once, so that as many results as possible come while records do.
    settings = DispatcherSettings(settle_seconds=0.0)
    consumer = Dispatcher(client_streams, results, index, Rules(), workers, [], settings)
    steps, began = 0, time.process_time()
    while consumer.step():
        steps += 1
    cpu = time.process_time() - began - workers.cpu
    counters = index.counters()
    state = client_streams.state()
    past = Rates()

    def count() -> None:
        with index.transaction() as transaction:
            transaction.count(counters)

    def nothing() -> None:
        with index.transaction():
            pass

    tallies = Tallies()
    told = {"duration_ms": 400, "files": FILES_OF_JOB}
    spent = workers.answered * _each(lambda: tallies.add("stat", "ok", told), 100 * TURNS)
    spent += steps * max(0.0, _each(count) - _each(nothing))
    spent += client_streams.published * _each(
        lambda: client_streams.publish({**state, "past": past.look(0, counters)})
    )
    index.close()
    return 100 * spent / cpu


def _count_block(reader: Reader) -> None:
    counters = reader.counters
    counters.records_read += 1
    counters.records_stored += 1
    counters.blocks_read += 1
    counters.blocks_stored += 1
    counters.bytes_read += 1
    counters.bytes_stored += 1


def _each(call: Callable[[], None], turns: int = TURNS) -> float:
    """Return the CPU seconds of a call."""
    began = time.process_time()
    for _ in range(turns):
        call()
    return (time.process_time() - began) / turns
