"""The contract of all ways of sending, each of them to the real thing."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lustre_events.actions import bodies
from lustre_events.actions.delivery import Parcel
from lustre_events.actions.endpoints import SENDERS
from lustre_events.actions.endpoints.connecting import LIBRARIES
from lustre_events.actions.endpoints.kafka import KafkaSender
from lustre_events.actions.kinds import KINDS
from lustre_events.actions.run_transitions import AGAIN, ENDPOINT, OK, REFUSED, Attempt
from lustre_events.changelog.fid import FID
from lustre_events.domain.action_run import Run, Seen
from lustre_events.domain.rules.endpoints import SCHEMES, Endpoint
from lustre_events.domain.rules.rule_file import parse
from lustre_events.domain.rules.transfers import KIND as TRANSFER
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import ConfigError
from tests.support.model.actions import KNOWN
from tests.support.rows import each_row
from tests.support.servers.https import certificate
from tests.support.servers.kafka_login import refusing_broker
from tests.support.servers.nats import nats_server
from tests.support.servers.receivers import RECEIVERS, Receiver, closed_port, redis_with_login

LARGE = "x" * (2 << 20)
PASSWORD = "hunter2-is-secret"  # noqa: S105 - what must not be shown


@pytest.fixture(params=sorted(SENDERS))
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Receiver]:
    with RECEIVERS[request.param](tmp_path) as found:
        yield found


def parcels(count: int) -> list[Parcel]:
    body = {"subject": "caf\u00e9: a", "text": "what happened", "time_ns": 1_700_000_000 * SECOND_NS}
    return [Parcel(f"run{n}", f"key{n}", json.dumps({**body, "id": f"key{n}"}).encode()) for n in range(count)]


def sent(endpoint: Endpoint, events: list[Parcel]) -> list[Attempt]:
    with contextlib.closing(SENDERS[endpoint.kind](endpoint)) as sender:
        return sender.send(events)


def endpoint_at(kind: str, port: int, seconds: float = 0.5) -> Endpoint:
    """Return an endpoint without TLS at a port."""
    scheme = next(each for each in SCHEMES[kind] if each in {"http", "smtp", "nats", "redis", "kafka"})
    return Endpoint(
        "e", kind, f"{scheme}://127.0.0.1:{port}", private=True, timeout_seconds=seconds, sender="a@b.org",
        to=("b@b.org",), subject="s", stream="s", topic="s",
    )  # fmt: skip


def test_every_kind_of_endpoint_has_a_sender() -> None:
    """What the file of endpoints knows can be sent to (but for files), has a body, and is tried here."""
    assert SENDERS.keys() == SCHEMES.keys() - {TRANSFER} == KINDS.keys() == RECEIVERS.keys()


def test_each_event_has_an_outcome_and_keeps_its_key(receiver: Receiver) -> None:
    """One event or several: each has an outcome, and its key and body arrive unchanged, also again."""
    events = parcels(3)
    with contextlib.closing(SENDERS[receiver.endpoint.kind](receiver.endpoint)) as sender:
        assert [each.outcome for each in sender.send(events[:1])] == [OK]
        assert [each.outcome for each in sender.send(events)] == [OK] * 3
    arrived = receiver.arrived()
    assert {key for key, _ in arrived} == {receiver.shown(event.key) for event in events}
    bodies = {event.body for event in events} if receiver.endpoint.kind != "mail" else {b"what happened"}
    assert {body.strip() for _, body in arrived} == bodies


@each_row("kind", sorted(KINDS))
def test_a_name_that_is_no_text_is_percent_encoded_and_a_body_has_an_end(kind: str) -> None:
    """What is sent is JSON whatever bytes a name has, and a body that is too large is refused with its size."""
    known = replace(KNOWN, endpoints={"e": endpoint_at(kind, 9)}, kinds={kind: KINDS[kind].read_with})
    text = (
        '[[rule]]\nname = "r"\naction = "{}"\nendpoint = "e"\nbody = {{ path = "{{path}}", n = "{{doc.t.n}}" }}\n'
    )
    (rule,) = parse(text.format(kind), "rules.toml", (), known=known).actions.rules
    run = Run(
        id="1", key="k", rule="r", digest="d", trigger="content", endpoint="e", action=kind,
        fid=FID(0x200000400, 1, 0), event_ns=10**18,
    )  # fmt: skip

    def rendered(text: str) -> str:
        facts = bodies.known_of(run, b"caf\xe9.dat", Seen(), {"t": {"n": text}})
        return json.dumps(json.loads(bodies.rendered(rule, run, facts)))

    assert "/caf%E9.dat" in rendered("few")
    if kind == "mail":  # the only one with headers that a name comes into
        assert json.loads(bodies.rendered(rule, run, bodies.known_of(run, b"a\r\nBcc: b", Seen(), {})))[
            "subject"
        ].isprintable()
    with pytest.raises(ConfigError, match="have more than 64 KiB"):
        rendered("x" * (64 << 10))


def test_a_check_sends_nothing(receiver: Receiver) -> None:
    """`endpoints check` connects, says what it reached, and sends nothing."""
    assert receiver.endpoint.where in SENDERS[receiver.endpoint.kind](receiver.endpoint).check()
    assert sent(receiver.endpoint, parcels(1))[0].outcome == OK
    assert len(receiver.arrived()) == 1


def test_private_addresses_are_refused_unless_the_endpoint_is_private(receiver: Receiver) -> None:
    """A name or address that is not public holds the endpoint, with what to set, and nothing arrives there."""
    attempt = sent(replace(receiver.endpoint, private=False), parcels(2))[0]
    assert attempt.outcome == ENDPOINT
    assert "private = true" in attempt.error
    assert sent(receiver.endpoint, parcels(1))[0].outcome == OK
    assert len(receiver.arrived()) == 1


@pytest.mark.parametrize("kind", ["nats", "kafka"])
def test_a_refusal_of_one_event_costs_only_that_event(kind: str, tmp_path: Path) -> None:
    """An event that is too large for the broker is refused; those before and behind it arrive."""
    first, _, last = parcels(3)
    with RECEIVERS[kind](tmp_path) as receiver:
        attempts = sent(receiver.endpoint, [first, Parcel("large", "large", LARGE.encode()), last])
        assert [each.outcome for each in attempts] == [OK, REFUSED, OK]
        assert [key for key, _ in receiver.arrived()] == ["key0", "key2"]


@pytest.mark.parametrize("kind", sorted(SENDERS))
@pytest.mark.parametrize("manner", ["silent", "trickle", "closed", "full"])
def test_who_does_not_answer_costs_the_endpoints_time_and_no_more(kind: str, manner: str) -> None:
    """A server that says nothing, or a byte now and then for ever, takes no connection, or is not there.

    Each ends in time, to be made again.
    """
    ways = {"closed": closed_port, "full": full_port}
    with ways[manner]() if manner in ways else speaking(trickles=manner == "trickle") as port:
        began = time.monotonic()
        found = sent(endpoint_at(kind, port), parcels(1))
        took = time.monotonic() - began
    assert [each.outcome for each in found] == [AGAIN], found
    assert took < 10


@contextlib.contextmanager
def full_port() -> Iterator[int]:
    """Give a port at which connections are neither taken nor refused: nobody takes those that wait already."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, contextlib.ExitStack() as waiting:
        for _ in range(4):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(server.getsockname())
        yield int(server.getsockname()[1])


@contextlib.contextmanager
def speaking(*, trickles: bool) -> Iterator[int]:
    """Give the port of a server that takes every connection, and says nothing, or a byte now and then."""
    ended = threading.Event()

    def drip(client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            while not ended.wait(0.02):
                if trickles:
                    client.sendall(b"2")

    def accept(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=drip, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept, args=(server,), daemon=True)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            ended.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join(20)


@each_row("kind", sorted(SENDERS))
def test_no_secret_is_said(kind: str, tmp_path: Path) -> None:
    """A secret's file that is missing, readable for others or not to be used holds the endpoint, never shown."""
    path = tmp_path / "secret"
    with contextlib.ExitStack() as stack:
        endpoint = replace(endpoint_at(kind, stack.enter_context(closed_port())), secret=str(path))
        if kind == "mail":  # it learns whether there is TLS from the server
            receiver = stack.enter_context(RECEIVERS[kind](tmp_path))
            endpoint = replace(receiver.endpoint, secret=str(path))
        said = [sent(endpoint, parcels(1))[0]]
        path.write_text(f"{PASSWORD}:{PASSWORD}\n")
        path.chmod(0o644)
        said.append(sent(endpoint, parcels(1))[0])
        path.chmod(0o600)
        for written in (f"{PASSWORD}:{PASSWORD}\n", f"{PASSWORD}\n", f"{PASSWORD}\xe9:a\n"):
            path.write_bytes(written.encode("latin-1"))
            said.append(sent(endpoint, parcels(1))[0])
        assert [each.outcome for each in said] == [ENDPOINT] * 5, said
        assert not any("hunter2" in each.error for each in said)
        with pytest.raises(ConfigError) as error:
            SENDERS[kind](endpoint).check()
        assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("kind", ["nats", "redis", "kafka"])
def test_a_wrong_login_holds_the_endpoint(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture,
                                          capfd: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    """Over TLS a right login is taken, a wrong one and an untrusted server hold the endpoint; none is written."""
    caplog.set_level(logging.DEBUG)
    trusted, key = certificate(tmp_path)
    secret = tmp_path / "secret"
    secret.write_text(f"courier:{PASSWORD}\n")
    secret.chmod(0o600)
    with contextlib.ExitStack() as stack:
        if kind == "nats":
            more = f'tls {{ cert_file: "{trusted}", key_file: "{key}" }}\n'
            users = f'authorization {{ users = [ {{ user: "courier", password: "{PASSWORD}" }} ] }}\n'
            port = stack.enter_context(nats_server(tmp_path, more + users))
        elif kind == "redis":
            port = stack.enter_context(redis_with_login(tmp_path, trusted, key, PASSWORD))
        else:
            port = stack.enter_context(refusing_broker(trusted, key))
        endpoint = replace(
            endpoint_at(kind, port, 30), url=f"{SCHEMES[kind][0]}://127.0.0.1:{port}", ca=str(trusted),
            secret=str(secret),
        )  # fmt: skip
        if kind == "redis":
            assert sent(endpoint, parcels(1))[0].outcome == OK
        if kind == "nats":  # there is no stream: so far it comes
            assert "no JetStream stream" in sent(endpoint, parcels(1))[0].error
        secret.write_text(f"courier:{PASSWORD}-not\n")
        said = [sent(endpoint, parcels(2))[0], sent(replace(endpoint, ca=""), parcels(2))[0]]
        with pytest.raises(ConfigError) as error:
            SENDERS[kind](endpoint).check()
    assert [each.outcome for each in said] == [ENDPOINT, ENDPOINT], said
    shown = [*(each.error for each in said), str(error.value), caplog.text, *capfd.readouterr()]
    assert not [each for each in shown if PASSWORD in each]


@pytest.mark.parametrize("kind", sorted(LIBRARIES))
def test_a_library_that_is_missing_is_one_sentence(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its library a kind holds its endpoints, and says what to install."""
    monkeypatch.setitem(sys.modules, LIBRARIES[kind][0], None)
    (attempt,) = sent(endpoint_at(kind, 9), parcels(1))
    assert (attempt.outcome, f"pip install 'lustre-events[{kind}]'" in attempt.error) == (ENDPOINT, True)
    with pytest.raises(ConfigError, match="need"):
        SENDERS[kind](endpoint_at(kind, 9)).check()


# What brokers have of their own


def test_nats_stores_what_is_sent_again_once(tmp_path: Path) -> None:
    """The key is the id of the message, so a stream has each event once, however often it is sent."""
    with RECEIVERS["nats"](tmp_path) as receiver:
        for _ in range(3):
            assert {each.outcome for each in sent(receiver.endpoint, parcels(2))} == {OK}
        assert sorted(key for key, _ in receiver.arrived()) == ["key0", "key1"]


def test_nats_without_a_stream_or_permission_holds_the_endpoint(tmp_path: Path) -> None:
    """A subject that no stream takes, or that the login may not use, is a fault of the endpoint."""
    users = 'authorization { users = [ { user: "a", permissions: { publish: { deny: "denied" } } } ] }\n'
    with nats_server(tmp_path, f"{users}no_auth_user: a\n") as port:
        for subject, words in (("nobodys", "no JetStream stream accepts"), ("denied", "Permissions Violation")):
            found = sent(replace(endpoint_at("nats", port, 30), subject=subject), parcels(2))
            assert [(each.outcome, words.lower() in each.error.lower()) for each in found] == [(ENDPOINT, True)] * 2


def test_nats_gets_no_login_where_the_url_says_tls_and_the_server_does_not(tmp_path: Path) -> None:
    """A server between, which takes TLS away, gets nothing that was to be encrypted."""
    secret = tmp_path / "secret"
    secret.write_text(f"courier:{PASSWORD}\n")
    secret.chmod(0o600)
    heard = bytearray()

    def plain(server: socket.socket) -> None:
        with contextlib.suppress(OSError), server.accept()[0] as client:
            client.sendall(b'INFO {"server_id":"x","version":"2.9.10","max_payload":1000,"headers":true}\r\n')
            while data := client.recv(4096):
                heard.extend(data)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=plain, args=(server,), daemon=True)
        thread.start()
        port = server.getsockname()[1]
        endpoint = replace(endpoint_at("nats", port, 30), url=f"tls://127.0.0.1:{port}", secret=str(secret))
        (attempt,) = sent(endpoint, parcels(1))
        thread.join(20)
    assert (attempt.outcome, "no TLS" in attempt.error, bytes(heard)) == (ENDPOINT, True, b"")


def test_servers_that_nats_names_are_not_followed(tmp_path: Path) -> None:
    """A server that names others, and goes away, leads nowhere: nothing comes to an address that was not judged."""
    with socket.create_server(("127.0.0.1", 0)) as other, socket.create_server(("127.0.0.1", 0)) as first:
        port = other.getsockname()[1]
        hello = {"server_id": "x", "version": "2.9.10", "max_payload": 1000, "headers": True,
                 "connect_urls": [f"127.0.0.1:{port}"]}  # fmt: skip

        def leave() -> None:
            with contextlib.suppress(OSError), first.accept()[0] as client:
                client.sendall(f"INFO {json.dumps(hello)}\r\nPONG\r\n".encode())
                client.recv(4096)

        thread = threading.Thread(target=leave, daemon=True)
        thread.start()
        (attempt,) = sent(endpoint_at("nats", first.getsockname()[1], 3), parcels(1))
        thread.join(20)
        other.setblocking(False)
        assert attempt.outcome == AGAIN
        with pytest.raises(BlockingIOError):
            other.accept()


def test_a_stream_of_redis_is_as_long_as_it_may_be(tmp_path: Path) -> None:
    """`max_length` bounds the stream, as roughly as Redis does it; without it everything stays."""
    with RECEIVERS["redis"](tmp_path) as receiver:
        assert {each.outcome for each in sent(replace(receiver.endpoint, max_length=100), parcels(450))} == {OK}
        assert 100 <= len(receiver.arrived()) < 300


def test_a_redis_that_is_full_is_tried_again_and_a_wrong_key_holds_the_endpoint(tmp_path: Path) -> None:
    """No memory passes; a key that is no stream does not."""
    with RECEIVERS["redis"](tmp_path) as receiver:
        admin = receiver.admin
        admin.config_set("maxmemory", 1)
        assert [each.outcome for each in sent(receiver.endpoint, parcels(2))] == [AGAIN, AGAIN]
        admin.config_set("maxmemory", 0)
        admin.set("text", "no stream")
        assert [each.outcome for each in sent(replace(receiver.endpoint, stream="text"), parcels(1))] == [ENDPOINT]


def test_what_kafka_did_not_report_is_not_sent_later(tmp_path: Path) -> None:
    """An event whose time was over is not sent behind our back: only what is sent again arrives."""
    with closed_port() as port, contextlib.closing(SENDERS["kafka"](endpoint_at("kafka", port, 1))) as sender:
        assert [each.outcome for each in sender.send(parcels(2))] == [AGAIN, AGAIN]
        assert isinstance(sender, KafkaSender)
        assert sender._producer is None
