"""Files that come and go: does the index stay as small as it is, beside a second MDT that says nothing?"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import psycopg

from bench.options import Figures, Options
from bench.postgresql_server import PostgreSQLServer
from bench.records import FLAGS
from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.changelog.record import UNLNK_LAST, ChangelogRecord, RecordType, encode_record
from lustre_events.config.settings import DispatcherSettings
from lustre_events.dispatcher import Dispatcher
from lustre_events.domain.rules.rules import Rules
from lustre_events.errors import LustreEventsError
from lustre_events.index import open_writer
from lustre_events.index.interface import IndexWriter
from lustre_events.repair.replay import NoJobs
from lustre_events.streams.interface import Block
from lustre_events.streams.memory import MemoryReaderStream, MemoryRecordStreams, MemoryResults, MemoryStore

MDTS = ("bench-MDT0000", "bench-MDT0001")
RECORDS = 5_000_000
STEP_NS = 500_000
BATCH = 20_000
START_NS = 1_700_000_000_000_000_000


def index_churn(options: Options) -> Figures:
    """Return the ratio of each index's size after the last fifth of the records to that after the first fifth."""
    del options  # as many as the figure says
    logging.getLogger("lustre_events.dispatcher").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="lustre-events-bench-") as folder:
        figures = {"index.churn_growth": sqlite_growth(Path(folder) / "index.db", RECORDS)}
    try:
        with PostgreSQLServer() as server:
            return figures | {"index.churn_growth_postgresql": postgresql_growth(server.url(), RECORDS)}
    except LustreEventsError as exc:
        click.echo(f"without figures of PostgreSQL: {exc}", err=True)
        return figures


def sqlite_growth(path: Path, records: int) -> float:
    """See `_growth`, on SQLite."""
    return _growth(
        open_writer(f"sqlite:///{path}"), records,
        lambda: path.stat().st_size + path.with_name(path.name + "-wal").stat().st_size,
    )  # fmt: skip


def postgresql_growth(url: str, records: int) -> float:
    """See `_growth`, on a PostgreSQL whose autovacuum is as it comes."""

    def size() -> int:
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        return row[0] if row else 0

    return _growth(open_writer(url), records, size)


def _growth(writer: IndexWriter, records: int, size: Callable[[], int]) -> float:
    """Let files be made and removed at 2,000 records a second; return how the index grew from the first fifth on.

    No name and no FID is used twice. The second MDT has never had a record; its reader says so.
    """
    now_ns = START_NS
    store = MemoryStore()
    dispatcher = Dispatcher(
        MemoryRecordStreams(store), MemoryResults(store), writer, Rules(), NoJobs(), [], DispatcherSettings(),
        clock=lambda: now_ns, mdts=MDTS,
    )  # fmt: skip
    now_ns += 61 * 10**9  # from now on it sweeps
    stream = MemoryReaderStream(store, MDTS[0], "bench")
    stream.lease(1e9)
    sizes = []
    for first in range(1, records, BATCH):
        data = b"".join(_churn(first, BATCH, now_ns))
        tail = stream.tail()
        stream.append(Block(MDTS[0], tail.epoch or 1, first, first + BATCH - 1, BATCH, data), tail)
        now_ns += BATCH * STEP_NS + 10**9
        store.reader_states[MDTS[1]] = {
            "caught_up_epoch": "0", "caught_up_index": "0", "caught_up_time_ns": str(now_ns),
        }  # fmt: skip
        while dispatcher.step():
            pass
        sizes.append(size())
    writer.close()
    return sizes[-1] / sizes[len(sizes) // 5]


def _churn(first: int, count: int, now_ns: int) -> Iterator[bytes]:
    for index in range(first, first + count, 2):
        fid, name = FID(0x200000402 + (index >> 17), index & 0x1FFFF), b"temporary_%d" % index
        time_ns = now_ns + (index - first) * STEP_NS
        made = ChangelogRecord(
            index=index, type=RecordType.CREAT, time_ns=time_ns, target=fid, parent=ROOT_FID, name=name, flags=FLAGS
        )
        gone = ChangelogRecord(
            index=index + 1, type=RecordType.UNLNK, time_ns=time_ns + STEP_NS, target=fid, parent=ROOT_FID,
            name=name, flags=FLAGS | UNLNK_LAST,
        )  # fmt: skip
        yield encode_record(made)
        yield encode_record(gone)
