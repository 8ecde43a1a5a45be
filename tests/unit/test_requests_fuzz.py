"""Requests of any content: who has the console's login, or an odd program, costs the dispatcher nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from lustre_events.domain.rules.rule_file import parse as parse_rules
from lustre_events.jobs.requests import encode_request
from tests.support.index.places import IndexPlace
from tests.support.model.dispatcher import CSV_RULES, Rig
from tests.support.profiles import examples
from tests.support.records import builders as b
from tests.support.records.builders import fid_of

pytestmark = pytest.mark.hypothesis  # the function that is drawn for is within the test

RUNS = ("rule", "states", "fid", "key", "keys", "limit")
ACTIONS = {
    **dict.fromkeys(("suspend", "resume", "disable", "enable"), ("name", "reason")),
    "reprocess": ("name", "fids"), "retry": ("works",), "drop": ("works",), "scan": ("path",),
    "scan-progress": ("scan",), "repair": ("directories", "objects", "stale"),
    **dict.fromkeys(("runs", "retry_runs", "drop_runs", "cancel_runs"), RUNS), "actions": (),
    "own_rules": ("user", "uid"),
    **dict.fromkeys(("hold_action", "release_action"), ("name", "kind", "why")),
    "release_own_rule": ("user", "uid", "name"),
}  # fmt: skip
"""What can be asked for, and the names of its arguments."""
words = st.sampled_from(
    ["tabular", "stat", "dead", "endpoint", "", "\0", "é\u202e", str(fid_of(1)), "[0x1:0x2:0x0]"]
)
texts = words | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.integers() | st.floats() | st.sampled_from([1 << 63, -(1 << 63) - 1, 1 << 64, 10**400])
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=5,
)
pairs = st.lists(st.tuples(texts, texts).map(list), max_size=3)
said = values | st.lists(texts, max_size=3) | pairs


def request(action: str) -> st.SearchStrategy[bytes]:
    """Return requests of one kind, with anything in any of its arguments."""
    arguments = st.fixed_dictionaries({}, optional=dict.fromkeys(ACTIONS[action], said))
    return arguments.map(lambda found: json.dumps({"v": 1, "action": action, "arguments": found}).encode())


requests = st.sampled_from(sorted(ACTIONS)).flatmap(request)


@pytest.fixture
def rig(index_place: IndexPlace) -> Iterator[Rig]:
    made = Rig(index_place, rules=parse_rules(CSV_RULES, "rules", ("tabular", "hdf5")))
    made.answer(made.play(b.create(fid=1, name=b"a.csv"), b.mkdir(fid=2, name=b"d")))
    yield made
    made.close()


def asked(rig: Rig, data: bytes) -> dict[str, Any]:
    """Put a request as it came from Redis, step, and return the answer."""
    rig.store.requests["1-0"] = (data, rig.store.clock() + 60)
    rig.dispatcher.step()
    answer: dict[str, Any] = json.loads(rig.store.replies.pop("1-0"))
    return answer


def test_no_request_stops_the_dispatcher(rig: Rig) -> None:
    """Whatever the arguments of a request are, it is carried out or refused, answered, and the next is taken."""

    @examples(60, HealthCheck.function_scoped_fixture)
    @given(requests)
    @example(b'{"v": 1, "action": "runs", "arguments": {"limit": []}}')
    @example(b'{"v": 1, "action": "hold_action", "arguments": {"name": {}}}')
    @example(b'{"v": 1, "action": "scan-progress", "arguments": {"scan": 18446744073709551616}}')
    @example(b'{"v": 1, "action": "runs", "arguments": {"key": "a\\u0000"}}')
    @example(b'{"v": 1, "action": "scan", "arguments": {"path": [["a", "[0x1:0x2:0x0]"], ["a", "[0x1:0x2:0x0]"]]}}')
    def fuzz(data: bytes) -> None:
        assert asked(rig, data).keys() == {"v", "result", "error"}

    fuzz()
    assert asked(rig, encode_request("actions", {}))["error"] == ""
