"""How fast actions reach listeners on this machine, and what a storm, or an endpoint that hangs, does to them."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from bench.answering import Answering
from bench.options import MDT, Figures, percentile, private_redis
from bench.receiving import SEAL, receiving
from lustre_events.actions.delivery_links import SealedLink
from lustre_events.actions.kinds import KINDS
from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.changelog.record import FLAG_RENAME, UNLNK_LAST, ChangelogRecord, RecordType, encode_record
from lustre_events.config.settings import DispatcherSettings, ReaderSettings
from lustre_events.dispatcher import Dispatcher
from lustre_events.dispatcher.run_settling import ReadIndex
from lustre_events.domain.rules.action_file import ActionNames
from lustre_events.domain.rules.rule_file import HERE, parse
from lustre_events.index import open_writer
from lustre_events.index.interface import Identity
from lustre_events.jobs.messages import STAT, Job
from lustre_events.node.action_parts import ActionReader, check_query
from lustre_events.reader import Reader
from lustre_events.sources.replay import ReplaySource
from lustre_events.streams.connection import Client, connect
from lustre_events.streams.deliveries import DeliveryQueue
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.records import RedisRecordStreams
from lustre_events.streams.requests import RedisRequests
from lustre_events.streams.results import RedisResults

SENT, BATCH = 5_000, 100
SINGLE = 1_000
TIMED = 200
DOCUMENTS = 60
QUERY_RULES = 200
BURST_SHARE = 10
"""The limit of the storm is the number of its files by this."""
HANGING = 200
UNTIMED = 10
ROUNDS = 10
WAIT_SECONDS = 900.0
SEQUENCE = 0x200000BAD
DIRECTORY = FID(SEQUENCE, 1)
_RULE = '[[rule]]\nname = "{name}"\non = "{on}"\naction = "webhook"\nendpoint = "{endpoint}"\n{more}\n'


def sending_figures(filled: Path, files: int) -> Figures:
    """Return events per second, latencies, and what becomes of so large a number of files that arrive at once.

    Each is measured with a copy of this index (a file of SQLite).
    """
    return {
        **_throughput(filled), **_latency(filled), **_documents(filled), **_hanging(filled), **_storm(filled, files)
    }  # fmt: skip


def _throughput(filled: Path) -> Figures:
    figures = {}
    for name, batch, count in (("webhooks_per_s", BATCH, SENT), ("single_per_s", 1, SINGLE)):
        more = f"batch = {batch}\nburst = 0"
        with _site(filled, _RULE.format(name="all", on="removed", endpoint="here", more=more)) as site:
            figures[f"actions.{name}"] = count / site.removed(count)
    return figures


def _latency(filled: Path) -> Figures:
    with _site(filled, _RULE.format(name="all", on="removed", endpoint="here", more="burst = 0")) as site:
        waits = [site.removed(1) for _ in range(TIMED)]
    return {"actions.latency_p50_s": percentile(waits, 50), "actions.latency_p99_s": percentile(waits, 99)}


def _documents(filled: Path) -> Figures:
    """From a document that a worker gives to the request, with many rules whose queries do not find it."""
    on = 'query = "{query}"\nburst = 0'
    rules = "".join(
        _RULE.format(name=f"none {number}", on="document", endpoint="here",
                     more=on.format(query=f"exposure:>{10**6 + number}"))
        for number in range(QUERY_RULES - 1)
    )  # fmt: skip
    rules += _RULE.format(name="all", on="document", endpoint="here", more=on.format(query="exposure:>0"))
    rules += '[[rule]]\nname = "files"\nextensions = ["h5"]\nextractor = "hdf5"\n'
    with _site(filled, rules) as site:
        waits = [site.written() for _ in range(DOCUMENTS)]
    return {"actions.document_p99_s": percentile(waits, 99)}


def _hanging(filled: Path) -> Figures:
    """How much longer events wait while another endpoint lets every request hang, in percent of the p99.

    Of 2,000 events each, in rounds with a site of their own: of 200 events, two decide a p99. Both times as many
    events of another rule come before, and the first events behind those are not timed: what 200 events at the same
    time cost is no fault of their endpoint.
    """
    rule = _RULE.format(name="all", on="removed", endpoint="here", more='burst = 0\nextensions = ["a"]')
    rule += _RULE.format(name="many", on="removed", endpoint="here", more='burst = 0\nextensions = ["c"]')
    rule += _RULE.format(name="stuck", on="removed", endpoint="hangs", more='burst = 0\nextensions = ["b"]')
    alone, beside = [], []
    for _ in range(ROUNDS):
        with _site(filled, rule) as site:
            site.removed(HANGING, b".c")
            alone += [site.removed(1, b".a") for _ in range(UNTIMED + TIMED)][UNTIMED:]
            site.removed(HANGING, b".b", wait=False)
            site.wait(lambda: site.count("rule = 'stuck' AND state IN ('sent', 'waiting')") == HANGING)
            beside += [site.removed(1, b".a") for _ in range(UNTIMED + TIMED)][UNTIMED:]
    return {"actions.p99_beside_hanging_percent": 100 * (percentile(beside, 99) / percentile(alone, 99) - 1)}


def _storm(filled: Path, files: int) -> Figures:
    """Let files be copied into a directory: when the rule is held, a rename, and what arrives after a release."""
    burst = files // BURST_SHARE
    rule = _RULE.format(name="all", on="content", endpoint="here", more=f"batch = {BATCH}\nburst = {burst}")
    with _site(filled, rule) as site:
        site.copied(files)
        site.wait(lambda: site.count("state != 'settling'") == files)
        before = site.count("state IN ('sent', 'done')")
        beyond_ns = site.one("SELECT due_ns FROM run WHERE state = 'waiting' ORDER BY due_ns LIMIT 1 OFFSET ?",
                             max(0, burst - before))  # fmt: skip
        held_ns = site.one("SELECT since_ns FROM hold WHERE name = 'all'")
        site.renamed()
        fired = site.count("1") - files
        site.release()
        site.wait(lambda: site.told() >= files)
        lost = files - site.count("state = 'done' OR state = 'sent'")
    return {
        "actions.storm_held_s": max(0, held_ns - beyond_ns) / 1e9, "actions.storm_lost": lost,
        "actions.storm_fired_by_rename": fired,
    }  # fmt: skip


class _Workers(Answering):
    """Workers that cost nothing, and know when the last document of theirs was given."""

    given = 0.0

    def enqueue(self, queue: str, jobs: Sequence[Job]) -> None:
        """Answer every file."""
        super().enqueue(queue, jobs)
        if any(job.extractor != STAT for job in jobs):
            self.given = time.perf_counter()


class _Site:
    """A dispatcher in a thread of its own, over a real Redis, and a courier and listeners in another process."""

    def __init__(self, folder: Path, client: Client, told: Callable[[], int], workers: _Workers) -> None:
        self._folder = folder
        self._client = client
        self.told = told
        self._workers = workers
        self._index = self._number = 0

    def wait(self, what: Callable[[], object], look_seconds: float = 0.001) -> None:
        """Wait until it is true, looking so often. Raises TimeoutError."""
        ends = time.monotonic() + WAIT_SECONDS
        while not what():
            if time.monotonic() > ends:
                raise TimeoutError("this benchmark waits for what does not come")
            time.sleep(look_seconds)

    def removed(self, count: int, ending: bytes = b"", *, wait: bool = True) -> float:
        """Let files be created, and then removed; return the seconds from their removal until all were told."""
        numbers = self._numbers(count)
        self._feed([(RecordType.CREAT, number, ending, 0) for number in numbers])
        self.wait(lambda: self._committed() == self._index)
        before = self.told()
        began = time.perf_counter()
        self._feed([(RecordType.UNLNK, number, ending, UNLNK_LAST) for number in numbers])
        if wait:  # of many less often: each look takes the interpreter from the dispatcher
            self.wait(lambda: self.told() >= before + count, 0.001 if count == 1 else 0.02)
        return time.perf_counter() - began

    def written(self) -> float:
        """Let a file be written; return the seconds from its document until it was told."""
        before = self.told()
        (number,) = self._numbers(1)
        self._feed([(RecordType.CREAT, number, b".h5", 0), (RecordType.CLOSE, number, b".h5", 0)])
        self.wait(lambda: self.told() > before)
        return time.perf_counter() - self._workers.given

    def copied(self, count: int) -> None:
        """Let files be written into a directory."""
        self._feed([(RecordType.MKDIR, 0, b"", 0)])
        kinds = (RecordType.CREAT, RecordType.CLOSE)
        self._feed([(kind, number, b"", 0) for number in self._numbers(count) for kind in kinds], DIRECTORY)

    def renamed(self) -> None:
        """Rename that directory, and wait until everything that could follow has."""
        self._index += 1
        record = ChangelogRecord(
            type=RecordType.RENME, target=FID(0, 0), parent=ROOT_FID, name=b"other", flags=FLAG_RENAME,
            source=DIRECTORY, source_parent=ROOT_FID, source_name=b"0", index=self._index, time_ns=time.time_ns(),
        )  # fmt: skip
        self._store([record])
        self.wait(lambda: self._committed() == self._index)
        time.sleep(2)

    def release(self) -> None:
        """Release the rule."""
        RedisRequests(self._client).ask("release_action", {"name": "all"}, WAIT_SECONDS)

    def count(self, condition: str) -> int:
        """Return how many runs meet a condition."""
        return self.one(f"SELECT count(*) FROM run WHERE {condition}")  # noqa: S608 - our own conditions

    def one(self, question: str, *values: int) -> int:
        """Return what a question to the index gives."""
        with closing(sqlite3.connect(f"file:{self._folder / 'index.db'}?mode=ro", uri=True)) as connection:
            return int(connection.execute(question, values).fetchone()[0])

    def _committed(self) -> int:
        return self.one("SELECT coalesce(max(position), 0) FROM cursor")

    def _numbers(self, count: int) -> range:
        self._number += count
        return range(self._number - count + 1, self._number + 1)

    def _feed(self, happened: Sequence[tuple[RecordType, int, bytes, int]], parent: FID = ROOT_FID) -> None:
        records = []
        for kind, number, ending, flags in happened:
            self._index += 1
            records.append(
                ChangelogRecord(
                    type=kind, target=FID(SEQUENCE, number + 1), parent=parent, name=b"%d%s" % (number, ending),
                    flags=flags, index=self._index, time_ns=time.time_ns(),
                )
            )  # fmt: skip
        self._store(records)

    def _store(self, records: Sequence[ChangelogRecord]) -> None:
        path = self._folder / "raw"
        path.write_bytes(b"".join(map(encode_record, records)))
        Reader(ReplaySource(MDT, path), RedisReaderStream(self._client, MDT), ReaderSettings(user="")).run()


@contextmanager
def _site(filled: Path, rules: str) -> Iterator[_Site]:
    with ExitStack() as stack:
        folder, redis = stack.enter_context(private_redis())
        endpoints, told = stack.enter_context(receiving(redis.url))
        clients = [stack.enter_context(connect(redis.url, 60)) for _ in range(2)]
        shutil.copyfile(filled, folder / "index.db")
        url = f"sqlite:///{folder / 'index.db'}"
        index = open_writer(url)
        stack.callback(index.close)
        names = ActionNames({name: kind.read_with for name, kind in KINDS.items()}, endpoints, check_query)
        read, results = ActionReader(url), RedisResults(clients[0])
        workers = _Workers(results)
        dispatcher = Dispatcher(
            RedisRecordStreams(clients[0]), results, index, parse(rules, "rules", ("hdf5",), HERE, "", names),
            workers, [Identity("hdf5", "1", "sha256:1")], DispatcherSettings(settle_seconds=0.05, idle_ms=20),
            requests=RedisRequests(clients[0]), link=SealedLink(DeliveryQueue(clients[0]), SEAL),
            reading=ReadIndex(read.documents, read.matching), endpoints=endpoints,
        )  # fmt: skip
        thread = threading.Thread(target=dispatcher.run, daemon=True)
        thread.start()
        stack.callback(thread.join, 20)
        stack.callback(dispatcher.stop)
        site = _Site(folder, clients[1], told, workers)
        site.wait(lambda: site.one("SELECT count(*) FROM activated"))
        yield site
