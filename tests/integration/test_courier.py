"""The courier over a real Redis: what it sends, what it refuses, and what it can do with its login."""

from __future__ import annotations

import base64
import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import pytest

from lustre_events.actions.courier import Courier
from lustre_events.actions.delivery import Answer, Delivery, Parcel, encode_delivery
from lustre_events.actions.delivery_links import SealedLink
from lustre_events.actions.endpoints import SENDERS
from lustre_events.actions.run_transitions import AGAIN, ENDPOINT, OK, REFUSED, UNTRIED
from lustre_events.actions.seal import Seal, make_key, read_seal
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import ConfigError
from lustre_events.node.redis_server import RedisServer
from lustre_events.streams.connection import connect
from lustre_events.streams.deliveries import CourierQueue, DeliveryQueue
from tests.support.servers.http import Listener, listening
from tests.support.waiting import wait_for

KEY = Seal(b"k" * 32)


class Site:
    """A courier that runs in a thread, with its own login of Redis, and the dispatcher's side of it."""

    def __init__(self, urls: Mapping[str, str], endpoints: Mapping[str, Endpoint]) -> None:
        self.client = connect(urls["dispatcher"], 5)
        self.client.delete("le:courier:jobs", "le:courier:answers")
        self.queue = DeliveryQueue(self.client)
        self.link = SealedLink(self.queue, KEY)
        self.own = connect(urls["courier"], 5)
        self.courier = Courier(CourierQueue(self.own), KEY, lambda: endpoints, SENDERS)
        self.thread = threading.Thread(target=self.courier.run, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.courier.stop()
        self.thread.join(20)
        self.client.close()
        self.own.close()

    def answers(self, count: int) -> list[Answer]:
        """Wait for this number of answers and take them."""
        found: list[Answer] = []

        def came() -> bool:
            entries = self.link.answers()
            found.extend(each for _, answers in entries for each in answers)
            self.link.acknowledge([entry_id for entry_id, _ in entries])
            return len(found) >= count

        wait_for(came)
        return found


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as found:
        yield found


@pytest.fixture
def site(role_urls: dict[str, str], listener: Listener) -> Iterator[Site]:
    endpoints = {
        "hook": Endpoint("hook", "webhook", listener.url, private=True, timeout_seconds=20),
        "silent": Endpoint("silent", "webhook", "http://127.0.0.1:9/", private=True, timeout_seconds=1),
    }
    with Site(role_urls, endpoints) as found:
        yield found


def delivery(name: str, endpoint: str = "hook", seconds: float = 60) -> Delivery:
    return Delivery(
        f"attempt-{name}",
        endpoint,
        time.time_ns() + int(seconds * SECOND_NS),
        (Parcel(name, f"key-{name}", b"{}"),),
    )


def test_what_the_dispatcher_sends_arrives_and_is_answered(site: Site, listener: Listener) -> None:
    """A delivery is sent, and answered for its run and attempt; one endpoint that fails keeps no other waiting."""
    site.link.put([delivery("a", "silent"), delivery("b"), delivery("c")])
    answers = {each.run: (each.attempt, each.outcome) for each in site.answers(3)}
    assert answers == {"a": ("attempt-a", AGAIN), "b": ("attempt-b", OK), "c": ("attempt-c", OK)}
    assert sorted(each.headers["webhook-id"] for each in listener.received) == ["key-b", "key-c"]


def test_an_answer_that_repeats_the_secret_is_told_without_it(
    listener: Listener, role_urls: dict[str, str], tmp_path: Path
) -> None:
    """An endpoint that writes our secret into its answer brings it into no run, row or log."""
    word = base64.b64encode(b"a secret of thirty-two bytes....").decode()
    path = tmp_path / "secret"
    path.write_text(f"whsec_{word}\n")
    path.chmod(0o600)
    listener.status, listener.text = 422, f"whsec_{word} or {word} is wrong"
    endpoint = Endpoint("hook", "webhook", listener.url, str(path), private=True, timeout_seconds=5)
    with Site(role_urls, {"hook": endpoint}) as site:
        site.link.put([delivery("a")])
        (answer,) = site.answers(1)
    assert answer.outcome == REFUSED
    assert word not in answer.error
    assert answer.error.endswith("(*** or *** is wrong)")


def test_without_the_seal_nothing_is_sent(site: Site, listener: Listener) -> None:
    """What another key sealed, or nobody, or what was changed later is refused: nothing is sent, or answered."""
    data = encode_delivery(delivery("forged"))
    sealed = bytearray(KEY.sealed(data))
    sealed[-3] ^= 1
    site.queue.put([Seal(b"x" * 32).sealed(data), data, b"", bytes(sealed), KEY.sealed(b"[]")])
    site.link.put([delivery("good")])
    assert [each.run for each in site.answers(1)] == ["good"]
    assert len(listener.received) == 1
    wait_for(lambda: site.courier.refused == 5)


def test_what_comes_too_late_is_not_sent(site: Site, listener: Listener) -> None:
    """A delivery that could not end within its lease is left: it goes out again, and would arrive twice else."""
    site.link.put([delivery("late", seconds=3.5)])
    assert [each.outcome for each in site.answers(1)] == [UNTRIED]
    assert listener.received == []


def test_an_endpoint_that_the_courier_does_not_know_is_held(site: Site) -> None:
    """A delivery to an endpoint that is not in the courier's file holds that endpoint, with a sentence."""
    site.link.put([delivery("a", "hooks")])
    (answer,) = site.answers(1)
    assert (answer.outcome, "did you mean hook?" in answer.error) == (ENDPOINT, True)


def test_one_endpoint_that_hangs_slows_no_other(site: Site, listener: Listener, role_urls: dict[str, str]) -> None:
    """While an endpoint lets all its requests hang, those to another one are sent at once."""
    with listening() as hanging:
        hanging.manner = "hang"
        endpoints = {
            "hook": Endpoint("hook", "webhook", listener.url, private=True),
            "hanging": Endpoint("hanging", "webhook", hanging.url, private=True, timeout_seconds=8),
        }
        site.courier._endpoints = lambda: endpoints
        site.link.put([delivery(f"h{n}", "hanging") for n in range(8)])
        wait_for(lambda: len(hanging.received) >= 4)
        began = time.monotonic()
        site.link.put([delivery(f"g{n}") for n in range(20)])
        assert {each.outcome for each in site.answers(20)} == {OK}
        assert time.monotonic() - began < 6
        hanging.ended.set()


def test_answers_wait_for_redis(tmp_path: Path, listener: Listener) -> None:
    """An answer that Redis does not take is given again until it does."""
    endpoint = Endpoint("hook", "webhook", listener.url, private=True)
    with RedisServer(tmp_path / "redis") as server, contextlib.closing(connect(server.url, 1)) as client:
        courier = Courier(CourierQueue(client), KEY, lambda: {"hook": endpoint}, SENDERS)
        client.config_set("maxmemory", 1)
        courier.take(KEY.sealed(encode_delivery(delivery("a"))))
        wait_for(lambda: len(listener.received) == 1)
        time.sleep(0.5)
        client.config_set("maxmemory", 0)
        wait_for(lambda: client.llen("le:courier:answers") == 1)
        courier.stop()
        courier._lanes[endpoint].close()


def test_the_key_is_for_two_accounts_only(tmp_path: Path) -> None:
    """The key is made once, is not for others, and one that others can read or that is too short is refused."""
    path = tmp_path / "actions.key"
    with pytest.raises(ConfigError, match="the dispatcher makes it"):
        read_seal(path)
    make_key(path)
    before = path.read_text()
    make_key(path)
    assert path.read_text() == before
    assert read_seal(path).opened(read_seal(path).sealed(b"a")) == b"a"
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 0640"):
        read_seal(path)
    path.chmod(0o600)
    path.write_text("short")
    with pytest.raises(ConfigError, match="too short"):
        read_seal(path)


@pytest.mark.parametrize("ends", ["killed", "refused"])
def test_a_key_is_made_as_a_whole_or_not_at_all(tmp_path: Path, ends: str) -> None:
    """Who is killed while it writes the key, or finds the disk full, leaves none; the next one makes it."""
    program = (
        "import resource, signal, sys; from pathlib import Path; from lustre_events.actions.seal import make_key\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN if sys.argv[2] == 'refused' else signal.SIG_DFL)\n"
        "make_key(Path(sys.argv[1]))"
    )
    path = tmp_path / "actions.key"
    words = [sys.executable, "-P", "-c", program, str(path), ends]
    done = subprocess.run(words, capture_output=True, timeout=60, check=False)
    assert done.returncode == (1 if ends == "refused" else -signal.SIGXFSZ), done.stderr
    assert not path.exists()
    make_key(path)
    assert read_seal(path).opened(read_seal(path).sealed(b"a")) == b"a"
    assert [each.name for each in tmp_path.iterdir()] == ["actions.key"]
