"""A courier that is killed between what arrived and saying so, for each kind of endpoint, to the real thing."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lustre_events.actions.delivery import Delivery, Parcel
from lustre_events.actions.delivery_links import SealedLink
from lustre_events.actions.endpoints import SENDERS
from lustre_events.actions.run_transitions import OK
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.times import SECOND_NS
from lustre_events.node.redis_server import RedisServer
from lustre_events.streams.connection import connect
from lustre_events.streams.deliveries import DeliveryQueue
from tests.support.servers.receivers import RECEIVERS
from tests.support.service.command import REPOSITORY, clean_environment
from tests.support.service.mortal_courier import KEY
from tests.support.waiting import wait_for

EVENTS = ("a", "b", "c", "d")
DIES_AT = 2


def delivery(name: str) -> Delivery:
    body = {"id": name, "subject": name, "text": name, "time_ns": 10**18}
    parcel = Parcel(name, name, json.dumps(body).encode())
    return Delivery(f"attempt-{name}", "e", time.time_ns() + 600 * SECOND_NS, (parcel,))


@contextlib.contextmanager
def courier(url: str, endpoint: Endpoint, dies_at: int) -> Iterator[subprocess.Popen[bytes]]:
    words = (url, json.dumps(asdict(endpoint)), str(dies_at))
    command = [sys.executable, "-P", "-m", "tests.support.service.mortal_courier", *words]
    environment = clean_environment({"PYTHONPATH": str(REPOSITORY)})
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("kind", sorted(SENDERS))
def test_a_courier_killed_before_it_answers_loses_no_event_and_repeats_a_key_at_most(
    kind: str, tmp_path: Path
) -> None:
    """What has no answer is sent again with its key: everything arrives, and only the event of the kill twice."""
    with (
        RECEIVERS[kind](tmp_path) as receiver,
        RedisServer(tmp_path / "queue") as server,
        contextlib.closing(connect(server.url, 20)) as client,
    ):
        endpoint = replace(receiver.endpoint, at_once=1, timeout_seconds=30)
        link, done = SealedLink(DeliveryQueue(client), KEY), set[str]()

        def answered() -> int:
            entries = link.answers()
            done.update(each.run for _, answers in entries for each in answers if each.outcome == OK)
            link.acknowledge([entry_id for entry_id, _ in entries])
            return len(done)

        with courier(server.url, endpoint, DIES_AT) as process:
            link.put([delivery(name) for name in EVENTS])
            assert process.wait(60) == -signal.SIGKILL
        answered()
        assert done == {"a"}
        client.delete("le:courier:jobs")
        with courier(server.url, endpoint, 0):
            link.put([delivery(name) for name in EVENTS if name not in done])
            wait_for(lambda: answered() == len(EVENTS))
        arrived = Counter(key for key, _ in receiver.arrived())
    again = 1 if kind == "nats" else 2  # a stream of NATS drops what it has
    assert arrived == {receiver.shown(name): again if name == "b" else 1 for name in EVENTS}
