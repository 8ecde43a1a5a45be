"""Actions whose processes are killed at any moment: no run is lost, and what arrives twice has the same key."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from lustre_events.actions.delivery import Delivery
from tests.support.index.places import IndexPlace
from tests.support.model.actions import ActionRig, MemoryLink, action_rig
from tests.support.records import builders as b
from tests.support.servers.http import Listener, listening
from tests.support.service.service import PARTS, Service
from tests.support.waiting import wait_for

RULE = """
[[rule]]
name = "tell"
on = ["created", "removed"]
extensions = ["dat"]
action = "webhook"
endpoint = "hook"
batch = 5
settle_seconds = 0.1
"""
ENDPOINT = '[endpoint.hook]\nkind = "webhook"\nurl = "{url}"\nprivate = true\ntimeout_seconds = 0.3\nat_once = 1\n'
FILES = 60
TARGETS = ("courier", "dispatcher", "redis", "courier", "dispatcher", "builtin", "reader")


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as found:
        yield found


def events(listener: Listener) -> list[tuple[str, str, str]]:
    """Return (key, what, path) of all that has arrived."""
    parsed = map(json.loads, listener.bodies())
    each = (event for found in parsed for event in (found if isinstance(found, list) else [found]))
    return [(event["id"], event["data"]["trigger"], event["data"]["path"]) for event in each]


def probed(service: Service, listener: Listener) -> bool:
    """Write a file; return whether any was told of: a rule fires for what happens after it is active."""
    (service.files / f"probe{time.monotonic_ns()}.dat").write_text("1")
    time.sleep(0.2)
    return bool(events(listener))


def kill_part(service: Service, target: str) -> None:
    if target == "redis":
        service.redis.kill()
    else:
        service.parts[target].kill()
        service.parts[target].wait(10)


def end(service: Service) -> None:
    for process in service.parts.values():
        process.terminate()
    assert [process.wait(20) for process in service.parts.values()] == [0] * len(service.parts)
    service.redis.stop()


@pytest.mark.parametrize("seed", [1])
def test_killed_parts_lose_no_run_and_repeat_only_keys(tmp_path: Path, listener: Listener, seed: int) -> None:
    """Whatever part is killed, Redis too: each creation and removal arrives, and what comes again has one key."""
    chance = random.Random(seed)
    endpoints = tmp_path / "endpoints.toml"
    endpoints.write_text(ENDPOINT.format(url=listener.url))
    with ExitStack() as stack:
        service = stack.enter_context(Service(tmp_path, rules=RULE))
        service.config.write_text(service.config.read_text() + f'[actions]\nendpoints = "{endpoints}"\n')
        service.start_redis()
        for name in PARTS:
            service.start_part(name)
        wait_for((tmp_path / "state" / "actions.key").is_file, failure=service.last_words)
        service.start_part("courier", "lustre_events", "courier")
        wait_for(lambda: probed(service, listener), failure=service.last_words)
        first = service.files / "first.dat"
        first.write_text("1")
        for number in range(FILES):
            (service.files / f"{number}.dat").write_text("1")
            if number % 8 == 0:
                target = TARGETS[number // 8 % len(TARGETS)]
                kill_part(service, target)
                time.sleep(chance.uniform(0.0, 0.3))
                if target == "redis":
                    service.start_redis()
                for name, process in service.parts.items():
                    if process.poll() is not None:
                        service.start_part(name, *(("lustre_events", "courier") if name == "courier" else ()))
            time.sleep(0.03)
        first.unlink()
        wanted = {("created", f"/{number}.dat") for number in range(FILES)} | {("removed", "/first.dat")}
        wait_for(
            lambda: wanted <= {(what, path) for _, what, path in events(listener)}, 90,
            lambda: str(wanted - {(what, path) for _, what, path in events(listener)}) + service.last_words(),
        )  # fmt: skip
        end(service)
    keys: dict[tuple[str, str], set[str]] = {}
    for key, what, path in events(listener):
        keys.setdefault((what, path), set()).add(key)
    assert {place for place, found in keys.items() if len(found) > 1} == set()


# The same in one process, at each step


class Killed(BaseException):
    """The process ended here."""


class MortalLink(MemoryLink):
    """A link on which the dispatcher dies before or behind a call."""

    moment = ""

    def _die(self, moment: str) -> None:
        if self.moment == moment:
            self.moment = ""
            raise Killed(moment)

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """Give deliveries, or die."""
        if deliveries:
            self._die("before put")
        super().put(deliveries)
        if deliveries:
            self._die("behind put")

    def acknowledge(self, ids: Sequence[str]) -> None:
        """Acknowledge, or die."""
        self._die("before acknowledge")
        super().acknowledge(ids)
        self._die("behind acknowledge")


RIG_RULE = '[[rule]]\nname = "tell"\naction = "webhook"\nendpoint = "beamline"\n'


@pytest.mark.parametrize("moment", ["before put", "behind put", "before acknowledge", "behind acknowledge"])
def test_killed_around_a_delivery(index_place: IndexPlace, moment: str) -> None:
    """Killed before or behind handing out, or acknowledging an answer: the run ends once, with one key."""
    rig = action_rig(index_place, RIG_RULE)
    link = MortalLink()
    rig.link = link
    rig.restart()
    link.moment = moment
    keys: Counter[str] = Counter()
    try:
        rig.tell(b.create())
        deliver(rig, keys)
    except Killed:
        rig.restart()
    rig.tell()
    for _ in range(3):
        rig.pass_seconds(100)
        rig.settle()
        deliver(rig, keys)
    assert rig.states() == {"done": 1}
    assert len(keys) == 1
    assert link.entries == []
    counted = rig.writer.counters()
    assert (counted["runs_made"], counted["runs_done"]) == (1, 1)
    rig.close()


def deliver(rig: ActionRig, keys: Counter[str]) -> None:
    """Be the courier for what waits."""
    found = rig.take()
    keys.update(parcel.key for delivery in found for parcel in delivery.events)
    rig.reply(found)
