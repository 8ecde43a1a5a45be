"""What people ask of the dispatcher: carried out with the step, answered after the commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from lustre_events.dispatcher.requests import RequestHandler
from lustre_events.dispatcher.turn import Turn
from lustre_events.errors import ConfigError, StreamUnavailable
from lustre_events.index.interface import Transaction
from lustre_events.jobs.requests import arguments_as
from lustre_events.streams.memory import MemoryStore
from lustre_events.streams.memory_requests import MemoryRequests
from tests.support.model.dispatcher import Rig, csv_rig

AT_7 = Turn(cast("Transaction", None), Counter(), 7)


def double(turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"twice": 2 * arguments["number"], "now_ns": turn.now_ns}


def refuse(turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Any]:
    raise ConfigError("not today; come back tomorrow")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def handler(store: MemoryStore) -> RequestHandler:
    return RequestHandler(MemoryRequests(store), {"double": double, "refuse": refuse})


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = csv_rig(tmp_path / "index.db")
    yield rig
    rig.close()


def answers(handler: RequestHandler, store: MemoryStore) -> list[str]:
    handler.answer([handler.take(AT_7, request) for request in handler.read()])
    return [data.decode() for data in store.replies.values()]


def test_a_handler_gets_arguments_and_time(handler: RequestHandler, store: MemoryStore) -> None:
    """The action names the handler, and what it returns is the answer."""
    MemoryRequests(store).put("double", {"number": 4})

    assert answers(handler, store) == ['{"v":1,"result":{"twice":8,"now_ns":7},"error":""}']
    assert store.requests == {}


def test_a_refusal_is_answered(handler: RequestHandler, store: MemoryStore) -> None:
    """ConfigError of a handler is the answer and ends nothing."""
    MemoryRequests(store).put("refuse", {})

    assert answers(handler, store) == ['{"v":1,"result":{},"error":"not today; come back tomorrow"}']


def test_an_unknown_action_names_the_nearest(handler: RequestHandler, store: MemoryStore) -> None:
    """A request that this version does not know is answered, not kept."""
    MemoryRequests(store).put("dubble", {})

    assert "knows no request 'dubble'; did you mean double?" in answers(handler, store)[0]


def test_an_answer_that_redis_did_not_take_is_given_later(handler: RequestHandler, store: MemoryStore) -> None:
    """What is committed is not carried out again because Redis was away for a moment."""
    MemoryRequests(store).put("double", {"number": 1})
    replies = [handler.take(AT_7, request) for request in handler.read()]
    store.unavailable = True
    with pytest.raises(StreamUnavailable):
        handler.answer(replies)
    store.unavailable = False

    assert handler.read() == []
    assert len(store.replies) == 1


def test_arguments_of_another_version_are_a_sentence() -> None:
    """What a handler cannot understand names the two sides that differ."""
    with pytest.raises(ConfigError, match=r"arguments of a request are wrong.*upgrade the older"):
        arguments_as(list[int], cast("dict[str, Any]", {"a": 1}))


def test_the_dispatcher_answers_within_a_step(rig: Rig) -> None:
    """Also one that it does not know, with a sentence; the request is counted."""
    with pytest.raises(ConfigError, match="knows no request 'dance'"):
        rig.ask("dance")

    assert rig.writer.counters()["requests"] == 1
