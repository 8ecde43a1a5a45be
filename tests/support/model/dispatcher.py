"""A dispatcher with everything around it in this process, but the index, which is a real one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from lustre_events.actions.delivery_links import CourierLink, NoLink
from lustre_events.catalog.catalog import Found
from lustre_events.changelog.fid import FID
from lustre_events.changelog.record import ChangelogRecord, boundaries
from lustre_events.config.settings import DispatcherSettings
from lustre_events.dispatcher import Dispatcher
from lustre_events.dispatcher.result_outcome import Follow, nobody
from lustre_events.dispatcher.run_settling import NOTHING_TO_READ, ReadIndex
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.rules.rule_file import parse as parse_rules
from lustre_events.domain.rules.rules import DEFAULT_QUEUE, Rules
from lustre_events.index.interface import Identity
from lustre_events.jobs.messages import BUILTIN_QUEUE, STAT, Job, Result
from lustre_events.jobs.requests import result_of
from lustre_events.streams.interface import Block, DocumentBacklog, RecordStreams
from lustre_events.streams.memory import MemoryReaderStream, MemoryRecordStreams, MemoryResults, MemoryStore
from lustre_events.streams.memory_requests import MemoryRequests
from tests.support.index.places import IndexPlace, Writer, open_writer, rows_of
from tests.support.records.builders import START_NS, Object, fid_of, raw

MDT0, MDT1 = "lustre-MDT0000", "lustre-MDT0001"
LATER_NS = START_NS + 10**6 * 10**9
"""The clock of a Rig at its start: long after every record that builders make."""

TABULAR = Identity("tabular", "1", "sha256:1")
HDF5 = Identity("hdf5", "1", "sha256:2")
CSV_RULES = '[[rule]]\nname = "tables"\nextensions = ["csv"]\nextractor = "tabular"\n'


class MemoryQueue:
    """The queues of jobs; `jobs` are those that wait, by queue. Jobs in `running` have been taken by a worker."""

    def __init__(self) -> None:
        self.jobs: dict[str, list[Job]] = {}
        self.running: set[str] = set()
        self.full_ns = 0

    def was_full(self, queue: str, since_ns: int) -> bool:
        """See `dispatcher.JobQueue`; `full_ns` is when there was no room last."""
        return self.full_ns >= since_ns

    def length(self, queue: str) -> int:
        """See `dispatcher.JobQueue`."""
        return len(self.jobs.get(queue, ()))

    @property
    def waiting(self) -> int:
        """How many jobs wait in all queues."""
        return sum(map(len, self.jobs.values()))

    def still_waiting(self, queue: str, job_ids: Collection[str]) -> set[str]:
        """See `dispatcher.JobQueue`."""
        return set(job_ids) & {job.id for job in self.jobs.get(queue, ())}

    def enqueue(self, queue: str, jobs: Sequence[Job]) -> None:
        """See `dispatcher.JobQueue`."""
        self.jobs.setdefault(queue, []).extend(jobs)

    def unfinished(self, job_ids: Collection[str]) -> set[str]:
        """See `dispatcher.JobQueue`."""
        waiting = {job.id for jobs in self.jobs.values() for job in jobs}
        return set(job_ids) & (waiting | self.running)

    def take(self, queue: str = "", extractor: str | None = None) -> list[Job]:
        """Take jobs (of one extractor), as workers do; they are neither waiting nor running then.

        Without a queue: those of what is built in, then those of `default`.
        """
        if not queue:
            return [job for each in (BUILTIN_QUEUE, DEFAULT_QUEUE) for job in self.take(each, extractor)]
        jobs = self.jobs.get(queue, [])
        self.jobs[queue] = [job for job in jobs if extractor not in (None, job.extractor)]
        return [job for job in jobs if extractor in (None, job.extractor)]


@dataclass
class Backlog:
    """Results for indexers, of all queues but that of what is built in; `count` portions of the site wait."""

    count: int = 0
    of_pools: dict[str, int] = field(default_factory=dict)
    wanted: bool = True

    def takes(self, queue: str) -> bool:
        """See `streams.interface.DocumentBacklog`."""
        return queue != BUILTIN_QUEUE

    def waiting(self) -> dict[str, int]:
        """See `streams.interface.DocumentBacklog`."""
        return {"": self.count, **self.of_pools}


@dataclass
class Rig:
    """Streams, results, queue, index and a dispatcher; its clock stands still but for `pass_seconds`.

    So does its `timer`, unless another is given: all that a step writes goes into one transaction.
    """

    path: IndexPlace
    rules: Rules = field(default_factory=Rules)
    settings: DispatcherSettings = field(default_factory=DispatcherSettings)
    extractors: tuple[Identity, ...] = (TABULAR, HDF5)
    store: MemoryStore = field(default_factory=MemoryStore)
    queue: MemoryQueue = field(default_factory=MemoryQueue)
    now_ns: int = LATER_NS
    mdts: tuple[str, ...] = ()
    look: Callable[[], Found | None] = lambda: None
    timer: Callable[[], float] = lambda: 0.0
    link: CourierLink = field(default_factory=NoLink)
    reading: ReadIndex = NOTHING_TO_READ
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    follow: Follow = nobody
    backlog: DocumentBacklog | None = None

    def __post_init__(self) -> None:
        self.streams = MemoryRecordStreams(self.store)
        self.results = MemoryResults(self.store)
        self.requests = MemoryRequests(self.store)
        self.writer = open_writer(self.path)
        self.dispatcher = self.make(self.writer)

    def make(self, writer: Writer, streams: RecordStreams | None = None) -> Dispatcher:
        """Return a dispatcher over the same streams, queue and (through `writer`) index; it takes over."""
        return Dispatcher(
            streams or self.streams,
            self.results,
            writer,
            self.rules,
            self.queue,
            self.extractors,
            self.settings,
            lambda: self.now_ns,
            mdts=self.mdts,
            requests=self.requests,
            look=self.look,
            timer=self.timer,
            link=self.link,
            reading=self.reading,
            endpoints=self.endpoints,
            follow=self.follow,
            backlog=self.backlog,
        )

    def restart(self) -> None:
        """Give the index to a new dispatcher, as after a crash."""
        self.writer.close()
        self.writer = open_writer(self.path)
        self.dispatcher = self.make(self.writer)

    def close(self) -> None:
        """Close the index."""
        self.writer.close()

    def pass_seconds(self, seconds: float) -> None:
        """Let time go by."""
        self.now_ns += int(seconds * 1e9)

    def feed(self, *records: ChangelogRecord, mdt: str = MDT0, epoch: int = 0) -> None:
        """Append records as one block; epoch 0: to the newest one, or a first one."""
        append(self.store, mdt, raw(*records), records[0].index, records[-1].index, len(records), epoch=epoch)

    def play(self, *records: ChangelogRecord, mdt: str = MDT0) -> list[Job]:
        """Number and append records, step until nothing is left to do, and return the jobs taken."""
        if records:
            self.feed(*number(records, self.store.tail(mdt).last_index), mdt=mdt)
        self.settle()
        return self.queue.take()

    def settle(self) -> None:
        """Step until there is nothing to do."""
        while self.dispatcher.step():
            pass

    def answer(self, jobs: Iterable[Job], status: str = "ok", **fields: Any) -> None:
        """Answer every file of the jobs and let the dispatcher take it."""
        for job in jobs:
            self.results.put(answers(job, status, **fields))
        self.settle()

    def ask(self, action: str, **arguments: Any) -> dict[str, Any]:
        """Ask the dispatcher for something, let it step, and return the answer; ConfigError if it refuses."""
        request_id = self.requests.put(action, arguments)
        self.dispatcher.step()
        return result_of(self.store.replies[request_id])

    def paths(self, *objects: Object) -> list[list[bytes]]:
        """Return the paths of objects as the index has them."""
        fids = [fid_of(each) for each in objects]
        with self.writer.transaction() as transaction:
            found = transaction.paths(fids)
        return [found[fid] for fid in fids]

    def moved(self) -> dict[FID, FID]:
        """Return all FIDs that objects had before, each with the present one."""
        fids = [FID.unpack(fid) for fid in self.select("SELECT fid FROM moved")]
        with self.writer.transaction() as transaction:
            return transaction.moved(fids)

    def select(self, statement: str, *values: Any) -> list[Any]:
        """Return what a SELECT gives; rows of one column as plain values."""
        rows = rows_of(self.writer, statement, values)
        return [row[0] if len(row) == 1 else row for row in rows]

    def pending(self) -> set[tuple[FID, str]]:
        """Return what is to be done."""
        return {(FID.unpack(fid), name) for fid, name in self.select("SELECT fid, extractor FROM pending")}


def append(  # noqa: PLR0917 - the fields of a block
    store: MemoryStore, mdt: str, data: bytes, first: int, last: int, count: int, epoch: int = 0
) -> None:
    """Append a block to a stream as a reader does."""
    reader = MemoryReaderStream(store, mdt, "reader")
    reader.lease(3600)
    tail = reader.tail()
    reader.append(Block(mdt, epoch or tail.epoch or 1, first, last, count, data), tail)


def number(records: Iterable[ChangelogRecord], behind: int) -> list[ChangelogRecord]:
    """Return records with the indexes that follow `behind`; their times follow too, unless they were given."""
    numbered = []
    for index, record in enumerate(records, start=behind + 1):
        given = record.time_ns != START_NS + record.index * 10**9
        time_ns = record.time_ns if given else START_NS + index * 10**9
        numbered.append(msgspec.structs.replace(record, index=index, time_ns=time_ns))
    return numbered


def cut(data: bytes, sizes: Sequence[int]) -> list[tuple[bytes, int, int, int]]:
    """Cut raw records into blocks of `sizes` records, over and over: (data, first index, last index, count)."""
    spans = list(boundaries(data))
    blocks, at, turn = [], 0, 0
    while at < len(spans):
        part = spans[at : at + sizes[turn % len(sizes)]]
        start, (last, size) = part[0][0], part[-1]
        first_index = int.from_bytes(data[start + 8 : start + 16], "little")
        last_index = int.from_bytes(data[last + 8 : last + 16], "little")
        blocks.append((data[start : last + size], first_index, last_index, len(part)))
        at, turn = at + len(part), turn + 1
    return blocks


FACTS = {
    "type": "f", "size": 10, "mtime_ns": 1, "ctime_ns": 2, "atime_ns": 3, "uid": 1000, "gid": 100, "mode": 0o644,
    "nlink": 1,
}  # fmt: skip


def answers(job: Job, status: str = "ok", **fields: Any) -> list[Result]:
    """Return a worker's results for a job."""
    return [
        Result(
            fid=item.fid,
            extractor=job.extractor,
            serial=job.serial,
            generation=item.generation,
            status=status,
            **{"document": _found(job, status), "provenance": {"job": job.id}, **fields},
        )
        for item in job.items
    ]


def _found(job: Job, status: str) -> dict[str, Any]:
    if status != "ok":
        return {}
    return dict(FACTS) if job.extractor == STAT else {"rows": 3}


def csv_rig(path: IndexPlace, **fields: Any) -> Rig:
    """Return a Rig whose rules send `*.csv` to `tabular`."""
    return Rig(path, rules=parse_rules(CSV_RULES, "rules", ("tabular", "hdf5", STAT)), **fields)
