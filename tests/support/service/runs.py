"""What a dispatcher answers about actions, for a console of tests: made by its own functions."""

from __future__ import annotations

from typing import Any

from lustre_events.dispatcher.run_requests import shown_run
from lustre_events.domain.action_run import DEAD, DONE, Run, Seen
from lustre_events.domain.namespace import OrderKey
from tests.support.records.builders import START_NS, fid_of

GONE = b"gone<b>.csv"


def run_of(number: int, path: bytes, state: str = DONE, trigger: str = "content", **fields: Any) -> dict[str, Any]:
    """Return a run as the dispatcher tells it, for the object of that number."""
    at, rule, endpoint = START_NS + number * 10**9, fields.pop("rule", "tell"), fields.pop("endpoint", "beamline")
    made = Run(
        id=str(number), key=f"{number:040x}", rule=rule, digest="d", trigger=trigger, endpoint=endpoint,
        action="webhook", fid=fid_of(number), stamp=OrderKey(at, 1, 1, number).pack(), state=state, event_ns=at,
        made_ns=at, ready_ns=at + 1, ended_ns=at + 2, attempts=2, before=Seen(paths=(path,)), jobid=b"job.7",
        error="https://beamline.example.org answered 418 (<i>no</i>)" if state == DEAD else "", **fields,
    )  # fmt: skip
    return shown_run(made, ())


ACTIONS: dict[str, Any] = {
    "rules": [
        {
            "rule": "tell", "on": ["content", "removed"], "action": "webhook", "endpoint": "beamline",
            "since_ns": 1, "runs": {"waiting": 3, "dead": 1}, "held": "",
            "may_release": False, "per_minute": 7, "p99_seconds": 1.5, "last_error": "it answered <b>418</b>",
            "last_error_ns": START_NS,
        }
    ],
    "endpoints": [
        {
            "endpoint": "beamline", "kind": "webhook", "where": "https://beamline.example.org:443", "probed": False,
            "held": "it answered 404",
        }
    ],
}  # fmt: skip


OWN_RULES: dict[str, Any] = {
    "rules": [
        {
            "rule": f"{name}/mine", "on": ["content"], "action": "mail", "endpoint": "myself", "since_ns": 1,
            "runs": {"waiting": 2}, "held": why, "may_release": may,
        }
        for name, why, may in (
            ("burst", "3 runs <b>", True), ("site", "the site holds it", False), ("free", "", False)
        )
    ],
    "endpoints": [],
}  # fmt: skip
"""What a user is told of own rules."""


SUBSCRIPTIONS: dict[str, Any] = {
    "subscriptions": [{"name": "<b>all", "query": "*", "endpoint": "myself", "wrong": ""}],
    "endpoints": [{"endpoint": "myself", "kind": "mail"}],
}


def answers(*runs: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the answers to all requests about actions; what is asked of runs is not narrowed."""
    return {
        "runs": {"runs": list(runs)}, "actions": ACTIONS, "retry_runs": {"runs": 1}, "drop_runs": {"runs": 1},
        "release_runs": {"runs": 1}, "subscribe": {}, "unsubscribe": {"ended": True},
        "subscriptions": SUBSCRIPTIONS,
        "own_rules": OWN_RULES, "release_own_rule": {"kind": "rule", "released": True},
        "hold_action": {"kind": "rule"}, "release_action": {"kind": "rule", "released": True},
    }  # fmt: skip
