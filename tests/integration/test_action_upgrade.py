"""Runs that wait survive an upgrade: in an index of an earlier version with actions, and as deliveries in Redis."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from lustre_events.actions.courier import Courier
from lustre_events.actions.delivery_links import SealedLink
from lustre_events.actions.endpoints import SENDERS
from lustre_events.actions.seal import Seal
from lustre_events.changelog.fid import ROOT_FID
from lustre_events.config.settings import DispatcherSettings
from lustre_events.domain.namespace import base_stamp
from lustre_events.domain.rules.action_file import ActionNames
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.rules.rule_file import HERE, parse
from lustre_events.streams import keys
from lustre_events.streams.connection import Client, connect
from lustre_events.streams.deliveries import CourierQueue, DeliveryQueue
from tests.support.index.old import AT_VERSION, schemas
from tests.support.index.places import BACKENDS, IndexPlace, place_of
from tests.support.model.actions import KNOWN, ActionRig
from tests.support.records.builders import fid_of
from tests.support.servers.http import Listener, listening
from tests.support.waiting import wait_for

FIRST = 9
"""The schema that brought actions."""
BEFORE = len(schemas("sqlite")) - 1
"""The schema before the present one."""
KEY = Seal(b"k" * 32)
RULE = '[[rule]]\nname = "tell"\naction = "webhook"\nendpoint = "{}"\n'
SECOND = 10**9
NOW = 1_700_000_000 * SECOND
STAMP = base_stamp(NOW - 60 * SECOND)


def run(number: int, state: str, **fields: Any) -> dict[str, Any]:
    """Return a run as the first version with actions wrote it."""
    fid = fid_of(number)
    return {
        "id": f"{number:032x}", "key": f"{number:040x}", "rule": "tell", "digest": DIGEST, "trigger": "content",
        "endpoint": "hook", "action": "webhook", "fid": {"seq": fid.seq, "oid": fid.oid, "ver": fid.ver},
        "state": state, "stamp": STAMP, "event_ns": NOW, "first_ns": NOW, "generation": 1, "made_ns": NOW,
        "due_ns": NOW, "ready_ns": NOW, "failed_ns": 0, "ended_ns": 0, "attempts": 0, "attempt": "", "merged": 0,
        "alone": False, "body": b'{"number":%d}' % number, "place": b"", "uid": None, "before": None,
        "jobid": None, "error": "", "status": 0, **fields,
    }  # fmt: skip


def rules(url: str) -> tuple[Any, dict[str, Endpoint]]:
    """Return the rule, and its endpoint."""
    endpoints = {
        name: Endpoint(name, "webhook", url, private=True, timeout_seconds=20) for name in ("hook", "other")
    }
    names = ActionNames(KNOWN.kinds, endpoints)
    text = RULE.format("hook") + RULE.format("other").replace("tell", "elsewhere")
    return parse(text, "rules", (), HERE, "", names), endpoints


DIGEST = rules("http://127.0.0.1:1/")[0].actions.by_name["tell"].digest
RUNS = {
    "settling": run(1, "settling", key="", body=b"", ready_ns=0),
    "waiting": run(2, "waiting"),
    "failed": run(3, "waiting", attempts=2, failed_ns=NOW, status=503, error="503", due_ns=NOW + 20 * SECOND),
    "sent": run(4, "sent", attempts=1, attempt="attempt-4", due_ns=NOW + 60 * SECOND),
    "foreign": run(5, "sent", attempts=1, attempt="attempt-5", due_ns=NOW + 30 * SECOND),
    "held": run(6, "held", error="more than 20 runs"),
    "elsewhere": run(7, "waiting", rule="elsewhere", endpoint="other", digest="another"),
    "dead": run(8, "dead", attempts=9, ended_ns=NOW, error="503"),
    "done": run(9, "done", attempts=1, ended_ns=NOW),
}


def fill(place: IndexPlace, backend: str, version: int) -> None:
    """Make an index of a version with all of these runs."""
    execute = AT_VERSION[backend](place, version)
    for each in RUNS.values():
        fid = fid_of(int(each["id"], 16))
        execute(
            "INSERT INTO run (id, key, rule, trigger, fid, state, due_ns, made_ns, ended_ns, place, data)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                each["id"], each["key"], each["rule"], each["trigger"], fid.pack(), each["state"], each["due_ns"],
                each["made_ns"], each["ended_ns"], each["place"], msgspec.msgpack.encode(each),
            ),
        )  # fmt: skip
        execute(
            "INSERT INTO object (fid, generation, content, type, size, mtime_ns, ctime_ns, atime_ns, uid, gid,"
            " mode, nlink, facts_generation, cause) VALUES (?, 1, 1, 'f', 10, 5, 5, 5, 1000, 100, 420, 1, 1, ?)",
            (fid.pack(), STAMP),
        )
        name = (ROOT_FID.pack(), b"f%d" % fid.oid, fid.pack(), STAMP)
        execute("INSERT INTO link (parent, name, fid, stamp) VALUES (?, ?, ?, ?)", name)
    for rule in ("tell", "elsewhere"):
        execute("INSERT INTO activated (rule, since_ns) VALUES (?, ?)", (rule, NOW - 3600 * SECOND))
    execute("INSERT INTO hold (kind, name, why, since_ns) VALUES ('endpoint', 'other', 'it said 404', 1)", ())


def leave(client: Client) -> None:
    """Leave in Redis what a dispatcher had handed out: a delivery of the first form, and one that nobody knows."""
    for number, version in ((4, 1), (5, 99)):
        event = {"run": f"{number:032x}", "key": f"{number:040x}", "body": RUNS["sent"]["body"]}
        delivery = {"attempt": f"attempt-{number}", "endpoint": "hook", "expires_ns": NOW + 60 * SECOND}
        data = msgspec.json.encode({"v": version, "delivery": {**delivery, "events": [event]}})
        client.rpush(keys.DELIVERIES, KEY.sealed(data))


@pytest.fixture(params=BACKENDS)
def place(request: pytest.FixtureRequest) -> IndexPlace:
    """A place without an index: that of the earlier version is made there."""
    return place_of(request)


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as found:
        yield found


@pytest.mark.parametrize("version", [FIRST, BEFORE])
def test_what_waits_when_the_program_is_upgraded_goes_on(
    place: IndexPlace, redis_url: str, listener: Listener, caplog: pytest.LogCaptureFixture, version: int
) -> None:
    """All runs that wait go out once with their keys, what is held stays so, and a sentence tells what is refused.

    A delivery of another form makes nothing happen: its run goes again when its lease has ended.
    """
    fill(place, "sqlite" if not isinstance(place, str) else "postgresql", version)
    found, endpoints = rules(listener.url)
    with connect(redis_url, 5) as client, connect(redis_url, 5) as own:
        leave(client)
        rig = ActionRig(
            place, rules=found, settings=DispatcherSettings(), now_ns=NOW, endpoints=endpoints,
            link=SealedLink(DeliveryQueue(client), KEY),
        )  # fmt: skip
        courier = Courier(CourierQueue(own), KEY, lambda: endpoints, SENDERS, clock=lambda: rig.now_ns)
        thread = threading.Thread(target=courier.run, daemon=True)
        thread.start()

        def wait_until(states: dict[str, int]) -> None:
            wait_for(lambda: (rig.settle(), rig.states() == states)[1], failure=lambda: f"{rig.states()}")

        wait_until({"done": 4, "waiting": 2, "sent": 1, "held": 1, "dead": 1})
        rig.pass_seconds(45)  # the lease of the refused one ends, and the failed one is due
        wait_until({"done": 6, "waiting": 1, "held": 1, "dead": 1})
        sent = sorted(each.headers["webhook-id"] for each in listener.received)
        rig.ask("release_runs", rule="tell")
        rig.ask("retry_runs", rule="tell")
        rig.ask("release_action", name="other")
        wait_until({"done": 9})
        courier.stop()
        thread.join(20)
        rig.close()

    known = [RUNS[name]["key"] for name in ("waiting", "failed", "sent", "foreign")]
    assert (sent[:4], len(sent)) == (known, 5)
    assert [record.getMessage() for record in caplog.records if record.name.endswith("courier")] == [
        "delivery of another version than 1; upgrade dispatcher and courier together"
    ]
    assert {RUNS[name]["key"] for name in ("held", "dead", "elsewhere")} <= {
        each.headers["webhook-id"] for each in listener.received
    }
