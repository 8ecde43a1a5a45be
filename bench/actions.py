"""Actions: what rules that never hold cost the dispatcher, and how fast events reach a listener on this machine."""

from __future__ import annotations

import gc
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from bench.options import MDT, Figures, Options, private_redis
from bench.records import shuffled_tree
from bench.sending import sending_figures
from lustre_events.actions.kinds import KINDS
from lustre_events.actions.link import SealedLink
from lustre_events.actions.seal import Seal
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
from lustre_events.streams.deliveries import DeliveryQueue
from lustre_events.streams.redis import RedisReaderStream, RedisRecordStreams, RedisResults, connect

STORM_SHARE = 25
"""The storm has this part of `options.records` as files."""
IDLE_RULES = 100
IDLE_RUNS = 3
IDLE_SHARE = 5
"""The runs of idle rules use one in this number of records of `options.records`."""
SENT = 5_000
SINGLE = 1_000
TIMED = 100
SEQUENCE = 0x200000BAD
SEAL = Seal(b"k" * 32)
_RULE = '[[rule]]\nname = "{name}"\non = "{on}"\n{more}\naction = "webhook"\nendpoint = "here"\n'


def action_figures(options: Options) -> Figures:
    """Return the cost of idle rules, in percent of the records/s, and what sending.py measures."""
    return _idle(options.records // IDLE_SHARE) | sending_figures(options.records // STORM_SHARE)


def _idle(records: int) -> Figures:
    more = 'extensions = ["none{0}"]\ndirectories = ["/nowhere{0}/**"]'
    rules = "".join(
        _RULE.format(name=number, on="content", more=more.format(number)) for number in range(IDLE_RULES)
    )
    raw = b"".join(shuffled_tree(records))
    costs = [cost for _ in range(IDLE_RUNS) for cost in _costs(raw, rules)]
    return {"actions.idle_cost_percent": 100 * (median(costs) - 1)}


def _costs(raw: bytes, rules: str) -> list[float]:
    """Return for each step over these records how much CPU time it costs with rules, by that without.

    The dispatchers without and with rules take turns, step by step, each first in every second one: what else the
    machine does, which changes its clock and caches, slows both.
    """
    with ExitStack() as stack:
        pair = [_begun(stack, raw, each) for each in ("", rules)]
        costs: list[float] = []
        first = 0
        while True:
            spent = {each: _step(pair[each]) for each in (first, 1 - first)}
            if not all(more for more, _ in spent.values()):
                return costs
            costs.append(spent[1][1] / spent[0][1])
            first = 1 - first


def _step(dispatcher: Dispatcher) -> tuple[bool, float]:
    """Let a dispatcher take a step; return whether it had anything to do, and the CPU seconds of this process."""
    gc.collect()
    began = time.process_time()
    return dispatcher.step(), time.process_time() - began


def _begun(stack: ExitStack, raw: bytes, rules: str) -> Dispatcher:
    folder, redis = stack.enter_context(private_redis())
    client = stack.enter_context(connect(redis.url, 60))
    _store(folder, client, raw)
    index = open_writer(f"sqlite:///{folder / 'index.db'}")
    stack.callback(index.close)
    return _dispatcher(client, index, rules, "http://127.0.0.1:9/")


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
