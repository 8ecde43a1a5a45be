"""What requests to the dispatcher promise: the same tests on the fake, on Redis and on Valkey."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import redis

from lustre_events.errors import ConfigError, StreamFull, StreamUnavailable
from lustre_events.jobs.requests import Reply, Request
from lustre_events.streams.connection import connect
from lustre_events.streams.interface import Requests
from lustre_events.streams.memory import MemoryStore
from lustre_events.streams.memory_requests import MemoryRequests
from lustre_events.streams.requests import RedisRequests
from tests.support.servers.redis import emptied


@dataclass
class Place:
    """One implementation, and how to make things happen in it."""

    requests: Requests
    fill: Callable[[], object]
    put_raw: Callable[[bytes, str], object]

    def asking(self, action: str, seconds: float = 60.0, **arguments: object) -> Asker:
        """Ask from another thread."""
        asker = Asker(self.requests, action, arguments, seconds)
        asker.start()
        return asker

    def next(self) -> Request:
        """Return the oldest request, waiting for it."""
        deadline = time.monotonic() + 60
        while not (found := self.requests.read(1)):
            assert time.monotonic() < deadline, "no request came"
            time.sleep(0.001)
        return found[0]


class Asker(threading.Thread):
    """Waits for an answer."""

    def __init__(self, requests: Requests, action: str, arguments: dict[str, object], seconds: float) -> None:
        super().__init__(daemon=True)
        self._ask = lambda: requests.ask(action, arguments, seconds)
        self.found: object = None

    def run(self) -> None:
        """Ask, and keep what comes."""
        try:
            self.found = self._ask()
        except (ConfigError, StreamUnavailable) as exc:
            self.found = exc

    def answer(self) -> object:
        """Return the result, or the error."""
        self.join(60)
        assert not self.is_alive(), "still waiting"
        return self.found


def memory() -> Place:
    store = MemoryStore()
    return Place(
        requests=MemoryRequests(store),
        fill=lambda: setattr(store, "full", True),
        put_raw=lambda data, seconds: store.requests.update({"1-0": (data, store.clock() + float(seconds))}),
    )


def real(client: redis.Redis) -> Place:
    return Place(
        requests=RedisRequests(client),
        fill=lambda: client.config_set("maxmemory", "1mb"),
        put_raw=lambda data, seconds: client.xadd("le:request:waiting", {"request": data, "seconds": seconds}),
    )


@pytest.fixture(params=["memory", "redis", "valkey"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "memory":
        yield memory()
        return
    server = request.getfixturevalue("shared_redis_server" if request.param == "redis" else "shared_valkey_server")
    with connect(emptied(server), 5.0) as client:
        yield real(client)
        client.config_set("maxmemory", 0)


def test_who_asks_gets_the_answer(place: Place) -> None:
    """A request comes with its action and arguments, and its answer goes to who asked."""
    asker = place.asking("suspend", name="tabular", fids=["[0x1:0x2:0x0]"])
    found = place.next()
    place.requests.answer([Reply(found.id, {"changed": True})])

    assert (found.action, found.arguments) == ("suspend", {"name": "tabular", "fids": ["[0x1:0x2:0x0]"]})
    assert asker.answer() == {"changed": True}
    assert place.requests.read(10) == []


def test_a_refusal_is_the_dispatchers_sentence(place: Place) -> None:
    """What the dispatcher refuses is raised as ConfigError with its own sentence."""
    asker = place.asking("suspend", name="tabluar")
    place.requests.answer([Reply(place.next().id, error="no extractor 'tabluar' is known; did you mean tabular?")])

    found = asker.answer()

    assert isinstance(found, ConfigError)
    assert str(found) == "no extractor 'tabluar' is known; did you mean tabular?"


def test_a_dispatcher_that_is_away_is_said_and_the_request_taken_back(place: Place) -> None:
    """After the timeout one sentence says what to do, and nothing is left that could be done an hour later."""
    with pytest.raises(StreamUnavailable, match=r"no dispatcher answered within 0\.05 s.* start the dispatcher"):
        place.requests.ask("suspend", {}, 0.05)

    assert place.requests.read(10) == []


def test_a_request_whose_asker_was_killed_is_not_carried_out_later(place: Place) -> None:
    """Nobody takes it back, so its own time ends it."""
    place.put_raw(b'{"v":1,"action":"suspend","arguments":{}}', "0.01")
    time.sleep(0.02)

    assert place.requests.read(10) == []


def test_a_request_waits_until_it_is_answered(place: Place) -> None:
    """Reading takes nothing away: a dispatcher that fails in between finds the request again."""
    asker = place.asking("suspend")
    first = place.next()

    assert place.next() == first

    place.requests.answer([Reply(first.id, {"n": 1})])
    assert asker.answer() == {"n": 1}


def test_the_first_answer_stays(place: Place) -> None:
    """A request that was carried out twice is answered twice; who asked sees the first answer."""
    asker = place.asking("retry")
    found = place.next()
    place.requests.answer([Reply(found.id, {"files": 3}), Reply(found.id, {"files": 0})])

    assert asker.answer() == {"files": 3}


def test_requests_come_in_order_and_so_many_at_a_time(place: Place) -> None:
    """The oldest first, never more than asked for."""
    askers = []
    for number in range(3):
        askers.append(place.asking(f"a{number}"))
        deadline = time.monotonic() + 60
        while len(place.requests.read(9)) <= number:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    assert [each.action for each in place.requests.read(2)] == ["a0", "a1"]

    place.requests.answer([Reply(each.id) for each in place.requests.read(9)])
    assert [asker.answer() for asker in askers] == [{}, {}, {}]


def test_a_request_that_cannot_be_read_says_so(place: Place) -> None:
    """Rubbish and later versions come with a refusal instead of an exception: they must be answered too."""
    place.put_raw(b"rubbish", "10")

    (found,) = place.requests.read(10)

    assert found.action == ""
    assert found.refusal.startswith("not a request of ours")


def test_a_later_version_is_named(place: Place) -> None:
    """A newer command hears which side to upgrade."""
    place.put_raw(b'{"v":9,"action":"suspend","arguments":{}}', "10")

    assert "a request of version 9" in place.requests.read(10)[0].refusal


def test_no_room_for_a_request_is_said_and_answers_come_all_the_same(place: Place) -> None:
    """A full Redis refuses new requests; those that are there are answered and go."""
    asker = place.asking("suspend")
    found = place.next()
    place.fill()

    with pytest.raises(StreamFull):
        place.requests.ask("suspend", {}, 1.0)
    place.requests.answer([Reply(found.id, {"done": True})])

    assert asker.answer() == {"done": True}
