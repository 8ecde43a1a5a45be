"""Actions: what rules that never hold cost the dispatcher, and how fast events reach a listener on this machine."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bench.options import MDT, Figures, Options, percentile, private_redis
from bench.records import shuffled_tree
from lustre_events.actions.courier import Courier
from lustre_events.actions.endpoints import SENDERS
from lustre_events.actions.kinds import KINDS
from lustre_events.actions.link import SealedLink
from lustre_events.actions.seal import Seal
from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.changelog.record import UNLNK_LAST, ChangelogRecord, RecordType, encode_record
from lustre_events.config.settings import DispatcherSettings, ReaderSettings
from lustre_events.dispatcher import Dispatcher
from lustre_events.domain.rules.action_file import ActionNames
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.rules.rule_file import HERE, parse
from lustre_events.index import open_writer
from lustre_events.reader import Reader
from lustre_events.repair.replay import NoJobs
from lustre_events.sources.replay import ReplaySource
from lustre_events.streams.connection import Client
from lustre_events.streams.deliveries import CourierQueue, DeliveryQueue
from lustre_events.streams.redis import RedisReaderStream, RedisRecordStreams, RedisResults, connect

IDLE_RULES = 100
IDLE_SHARE = 5
"""The runs of idle rules use one in this number of records of `options.records`."""
SENT = 5_000
SINGLE = 1_000
TIMED = 100
SEQUENCE = 0x200000BAD
SEAL = Seal(b"k" * 32)
_RULE = '[[rule]]\nname = "{name}"\non = "{on}"\n{more}\naction = "webhook"\nendpoint = "here"\n'


def action_figures(options: Options) -> Figures:
    """Return the cost of idle rules, in percent of the records/s; events/s in batches and alone; and latencies."""
    return _idle(options.records // IDLE_SHARE) | _sending()


def _idle(records: int) -> Figures:
    more = 'extensions = ["none{0}"]\ndirectories = ["/nowhere{0}/**"]'
    rules = "".join(
        _RULE.format(name=number, on="content", more=more.format(number)) for number in range(IDLE_RULES)
    )
    raw = b"".join(shuffled_tree(records))
    seconds = [min(_seconds(raw, text) for _ in range(2)) for text in ("", rules)]
    return {"actions.idle_cost_percent": 100 * (seconds[1] / seconds[0] - 1)}


def _seconds(raw: bytes, rules: str) -> float:
    with private_redis() as (folder, redis), connect(redis.url, 60) as client:
        _store(folder, client, raw)
        index = open_writer(f"sqlite:///{folder / 'index.db'}")
        consumer = _dispatcher(client, index, rules, "http://127.0.0.1:9/")
        began = time.process_time()  # of this process alone: what else the machine does is no cost of rules
        while consumer.step():
            pass
        seconds = time.process_time() - began
        index.close()
        return seconds


def _store(folder: Path, client: Client, raw: bytes) -> None:
    path = folder / "raw"
    path.write_bytes(raw)
    Reader(ReplaySource(MDT, path), RedisReaderStream(client, MDT), ReaderSettings(user="")).run()


def _dispatcher(client: Client, index: Any, rules: str, url: str) -> Dispatcher:
    endpoints = {"here": Endpoint("here", "webhook", url, private=True)}
    names = ActionNames({name: kind.read_with for name, kind in KINDS.items()}, endpoints)
    return Dispatcher(
        RedisRecordStreams(client), RedisResults(client), index, parse(rules, "rules", (), HERE, "", names),
        NoJobs(), [], DispatcherSettings(), link=SealedLink(DeliveryQueue(client), SEAL), endpoints=endpoints,
    )  # fmt: skip


def _sending() -> Figures:
    figures = {}
    for name, batch, count in (("webhooks_per_s", 100, SENT), ("single_per_s", 1, SINGLE)):
        with _site(batch) as site:
            figures[f"actions.{name}"] = count / site.removed(count)
    with _site(1) as site:
        waits = [site.removed(1) for _ in range(TIMED)]
    return figures | {
        "actions.latency_p50_s": percentile(waits, 50),
        "actions.latency_p99_s": percentile(waits, 99),
    }


class _Site:
    """A dispatcher and a courier in threads of their own, over a real Redis, and a listener."""

    def __init__(self, folder: Path, client: Client, told: Callable[[], int]) -> None:
        self._folder = folder
        self._client = client
        self._told = told
        self._index = self._number = 0

    def removed(self, count: int) -> float:
        """Let files be created, and then removed; return the seconds from their removal until all were told."""
        first = self._number
        self._number += count
        self._feed(RecordType.CREAT, first, count, 0)
        time.sleep(0.3)
        before = self._told()
        began = time.perf_counter()
        self._feed(RecordType.UNLNK, first, count, UNLNK_LAST)
        while self._told() < before + count:
            time.sleep(0.001)
        return time.perf_counter() - began

    def _feed(self, kind: RecordType, first: int, count: int, flags: int) -> None:
        records = []
        for number in range(first, first + count):
            self._index += 1
            records.append(
                ChangelogRecord(
                    type=kind, target=FID(SEQUENCE, number + 1), parent=ROOT_FID, name=b"%d" % number, flags=flags,
                    index=self._index, time_ns=time.time_ns(),
                )
            )  # fmt: skip
        _store(self._folder, self._client, b"".join(map(encode_record, records)))


@contextmanager
def _site(batch: int) -> Iterator[_Site]:
    with ExitStack() as stack:
        folder, redis = stack.enter_context(private_redis())
        url, told = stack.enter_context(_listening())
        clients = [stack.enter_context(connect(redis.url, 60)) for _ in range(3)]
        index = open_writer(f"sqlite:///{folder / 'index.db'}")
        stack.callback(index.close)
        rules = _RULE.format(name="all", on="removed", more=f"batch = {batch}\nburst = 0")
        dispatcher = _dispatcher(clients[0], index, rules, url)
        endpoints = {"here": Endpoint("here", "webhook", url, private=True)}
        courier = Courier(CourierQueue(clients[1]), SEAL, lambda: endpoints, SENDERS)
        for part in (dispatcher, courier):
            thread = threading.Thread(target=part.run, daemon=True)
            thread.start()
            stack.callback(thread.join, 20)
            stack.callback(part.stop)
        time.sleep(0.5)  # the rule is active
        yield _Site(folder, clients[2], told)


@contextmanager
def _listening() -> Iterator[tuple[str, Callable[[], int]]]:
    """Give the address of a listener, and how many events it was told."""
    counts: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            found = json.loads(self.rfile.read(int(self.headers["content-length"])))
            counts.append(len(found) if isinstance(found, list) else 1)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server uses
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", lambda: sum(counts)
    finally:
        server.shutdown()
        server.server_close()
