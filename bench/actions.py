"""Actions: what rules that never hold cost the dispatcher, and how fast events reach a listener on this machine."""

from __future__ import annotations

import gc
import itertools
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from statistics import median

from bench.options import MDT, Figures, Options, private_redis
from bench.records import shuffled_tree
from bench.sending import sending_figures
from bench.synthetic import fill_names
from lustre_events.actions.delivery_links import SealedLink
from lustre_events.actions.kinds import KINDS
from lustre_events.actions.seal import Seal
from lustre_events.config.settings import DispatcherSettings, ReaderSettings
from lustre_events.dispatcher import Dispatcher
from lustre_events.domain.rules.action_file import ActionNames
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.rules.rule_file import HERE, parse
from lustre_events.index import open_writer
from lustre_events.index.interface import IndexWriter
from lustre_events.reader import Reader
from lustre_events.repair.replay import NoJobs
from lustre_events.sources.replay import ReplaySource
from lustre_events.streams.connection import Client, connect
from lustre_events.streams.deliveries import DeliveryQueue
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.records import RedisRecordStreams
from lustre_events.streams.results import RedisResults

STORM_SHARE = 25
"""The storm has this part of `options.records` as files."""
IDLE_RULES = 100
IDLE_SHARE = 2
"""The measurement of idle rules uses one in this number of records of `options.records`."""
IDLE_STEP = 2_000
"""Records of one step, and IDLE_WRITE in each of its writes: about what a transaction of 16 ms takes."""
IDLE_WRITE = 1_000
SEAL = Seal(b"k" * 32)
_RULE = '[[rule]]\nname = "{name}"\non = "{on}"\n{more}\naction = "webhook"\nendpoint = "here"\n'


def action_figures(options: Options) -> Figures:
    """Return the cost of idle rules, in percent of the records/s, and what sending.py measures.

    Each is measured in an index that has the names of `options.files`.
    """
    with tempfile.TemporaryDirectory(prefix="lustre-events-bench-") as name:
        filled = Path(name) / "index.db"
        with closing(open_writer(f"sqlite:///{filled}")) as writer:
            fill_names(writer, options.files)
        return _idle(filled, options.records // IDLE_SHARE) | sending_figures(
            filled, options.records // STORM_SHARE
        )


def _idle(filled: Path, records: int) -> Figures:
    more = 'extensions = ["none{0}"]\ndirectories = ["/nowhere{0}/**"]'
    rules = "".join(
        _RULE.format(name=number, on="content", more=more.format(number)) for number in range(IDLE_RULES)
    )
    with ExitStack() as stack:
        sides = [stack.enter_context(_side(filled, each)) for each in ("", rules)]
        return {"actions.idle_cost_percent": 100 * (_cost(sides, records) - 1)}


def _cost(sides: Sequence[_Side], records: int) -> float:
    """Return how much CPU time a step costs the second of two dispatchers, by that of the first: the median of all.

    Both take the same records in the same writes, and take turns, each first in every second step: what else the
    machine does, which changes its clock and caches, slows both.
    """
    costs = []
    first = 0
    for raw in _portions(shuffled_tree(records)):
        spent = {each: sides[each].spend(raw) for each in (first, 1 - first)}
        costs.append(spent[1] / spent[0])
        first = 1 - first
    return median(costs)


def _portions(records: Iterator[bytes]) -> Iterator[bytes]:
    while portion := b"".join(itertools.islice(records, IDLE_STEP)):
        yield portion


class _Side:
    """A dispatcher with a Redis and an index of its own."""

    def __init__(self, folder: Path, client: Client, index: IndexWriter, rules: str) -> None:
        self._folder = folder
        self._client = client
        self._dispatcher = _dispatcher(client, index, rules)

    def spend(self, raw: bytes) -> float:
        """Let the dispatcher take records; return the CPU seconds of this process."""
        _store(self._folder, self._client, raw)
        gc.collect()
        began = time.process_time()
        self._dispatcher.step()
        return time.process_time() - began


@contextmanager
def _side(filled: Path, rules: str) -> Iterator[_Side]:
    with private_redis() as (folder, redis), closing(connect(redis.url, 60)) as client:
        shutil.copyfile(filled, folder / "index.db")
        with closing(open_writer(f"sqlite:///{folder / 'index.db'}")) as index:
            yield _Side(folder, client, index, rules)


def _store(folder: Path, client: Client, raw: bytes) -> None:
    path = folder / "raw"
    path.write_bytes(raw)
    Reader(ReplaySource(MDT, path), RedisReaderStream(client, MDT), ReaderSettings(user="")).run()


def _dispatcher(client: Client, index: IndexWriter, rules: str) -> Dispatcher:
    """Return a dispatcher whose writes are as large whatever else the machine does: its clock for them stands."""
    endpoints = {"here": Endpoint("here", "webhook", "http://127.0.0.1:9/", private=True)}
    names = ActionNames({name: kind.read_with for name, kind in KINDS.items()}, endpoints)
    return Dispatcher(
        RedisRecordStreams(client), RedisResults(client), index, parse(rules, "rules", (), HERE, "", names),
        NoJobs(), [], DispatcherSettings(batch_records=IDLE_WRITE), timer=lambda: 0.0,
        link=SealedLink(DeliveryQueue(client), SEAL), endpoints=endpoints,
    )  # fmt: skip
