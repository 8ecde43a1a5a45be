"""How long the dispatcher holds SQLite's write lock, while it has all kinds of work at the same time."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.answering import Answering
from bench.options import MDT, Figures, Options, private_redis
from bench.records import copied_tree
from bench.synthetic import EXTRACTOR, fill_names
from lustre_events.changelog.fid import FID
from lustre_events.config.settings import DispatcherSettings, ReaderSettings
from lustre_events.dispatcher import Dispatcher, fs_answers
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.rules.rule_file import parse
from lustre_events.domain.rules.rules import DEFAULT_QUEUE
from lustre_events.index.interface import Identity, Lane, ObjectRow
from lustre_events.index.sqlite.writer import SqliteTransaction, SqliteWriter
from lustre_events.reader import Reader
from lustre_events.sources.replay import ReplaySource
from lustre_events.streams.connection import connect
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.records import RedisRecordStreams
from lustre_events.streams.requests import RedisRequests
from lustre_events.streams.results import RedisResults

RECORDS = 50_000
DIRECTORIES = 20
REPEATED = 1_000
"""Files of the request to extract them anew: the most that one may name."""
RULES = f'[[rule]]\nextractor = "{EXTRACTOR}"\n'


class Timed(SqliteWriter):
    """A writer that keeps how long it held the lock each time, from BEGIN to the end of COMMIT, in ms."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.held: list[float] = []
        self._began = 0.0

    @contextmanager
    def transaction(self) -> Iterator[SqliteTransaction]:
        """Begin, and note when."""
        self._began = time.perf_counter()
        with super().transaction() as transaction:
            yield transaction

    def checkpoint(self) -> None:
        """Note that the lock is free."""
        self.held.append((time.perf_counter() - self._began) * 1000)
        super().checkpoint()


def lock_held(options: Options) -> Figures:
    """Return the ms of a lock held, while records, facts, documents, listings and a request come at once."""
    with private_redis() as (folder, redis):
        client = connect(redis.url, 60)
        (folder / "records").write_bytes(b"".join(copied_tree(min(RECORDS, options.records))))
        Reader(ReplaySource(MDT, folder / "records"), RedisReaderStream(client, MDT), ReaderSettings(user="")).run()
        before = SqliteWriter(folder / "index.db")
        fill_names(before, options.files)
        with before.transaction() as transaction:
            found = [FID(1, number) for number in range(1, DIRECTORIES + 1)]
            transaction.put_objects(ObjectRow(fid=fid, generation=1, type="d") for fid in found)
            turn = Turn(transaction, Counter(), time.time_ns())
            fs_answers.listings(turn, Lane(DEFAULT_QUEUE, 0), found)
        before.close()
        index, results = Timed(folder / "index.db"), RedisResults(client)
        consumer = Dispatcher(
            RedisRecordStreams(client), results, index, parse(RULES, "the rule", [EXTRACTOR]), Answering(results),
            [Identity(EXTRACTOR, "1", "")], DispatcherSettings(settle_seconds=0.0), requests=RedisRequests(client),
        )  # fmt: skip
        repeat = {"name": EXTRACTOR, "fids": [str(FID(0x200000402, number)) for number in range(REPEATED)]}
        asking_thread = threading.Thread(
            target=RedisRequests(connect(redis.url, 60)).ask, args=("reprocess", repeat, 60)
        )
        asking_thread.start()
        while consumer.step(0.5):
            pass
        asking_thread.join()
        index.close()
    held = sorted(index.held)
    return {"index.lock_held_ms": held[-1], "index.lock_held_median_ms": statistics.median(held)}
