"""Actions: what rules that never hold cost the dispatcher, and how fast events reach a listener on this machine."""

from __future__ import annotations

import time
from pathlib import Path
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
