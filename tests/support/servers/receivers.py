"""What each kind of endpoint sends to, as the real thing, and what has arrived there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_string
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.errors import StreamUnavailable
from lustre_events.node.redis_server import RedisServer
from lustre_events.streams.connection import connect
from tests.support.servers.http import listening
from tests.support.servers.nats import nats_call, nats_server, stored

Arrived = list[tuple[str, bytes]]
STREAM = "le-files"
SUBJECT = "files.changed"
TRIES = 5


@dataclass
class Receiver:
    """A place to send to. `arrived`: key and body of each event so far; `shown`: what is seen there of a key.

    `admin` is another client of the same server, where a test needs one.
    """

    endpoint: Endpoint
    arrived: Callable[[], Arrived]
    shown: Callable[[str], str] = str
    admin: Any = None


class Mailbox:
    """What a mail server got, and the answer that it gives."""

    def __init__(self) -> None:
        self.mails: list[str] = []
        self.recipients: list[str] = []
        self.answer = "250 fine"
        self.refused: dict[str, str] = {}

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        """Take a recipient, or refuse it."""
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 fine"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - as aiosmtpd calls it
        """Keep a mail."""
        self.mails.append(envelope.content.decode())
        self.recipients += envelope.rcpt_tos
        return self.answer


def free_port() -> int:
    """Return a port that was free a moment ago: who listens there may find it taken."""
    with closed_port() as port:
        return port


@contextmanager
def closed_port() -> Iterator[int]:
    """Give a port that refuses connections, and that nobody else takes meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


@contextmanager
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    """Give a mail server, and its URL."""
    box = Mailbox()
    for tries in range(TRIES):
        port = free_port()
        controller = Controller(box, hostname="127.0.0.1", port=port)
        try:
            controller.start()
        except OSError:  # somebody else took the port meanwhile
            if tries == TRIES - 1:
                raise
        else:
            break
    try:
        yield box, f"smtp://127.0.0.1:{port}"
    finally:
        controller.stop()


@contextmanager
def _webhook(_: Path) -> Iterator[Receiver]:
    with listening() as listener:

        def arrived() -> Arrived:
            found = [json.loads(body) for body in listener.bodies()]
            events = [event for each in found for event in (each if isinstance(each, list) else [each])]
            return [(event["id"], json.dumps(event).encode()) for event in events]

        yield Receiver(Endpoint("e", "webhook", listener.url, private=True, timeout_seconds=30), arrived)


@contextmanager
def _mail(_: Path) -> Iterator[Receiver]:
    with mailbox() as (box, url):

        def arrived() -> Arrived:
            mails = [message_from_string(each) for each in box.mails]
            return [(str(mail["Message-ID"])[1:41], mail.get_payload(decode=True)) for mail in mails]  # type: ignore[misc]

        endpoint = Endpoint(
            "e", "mail", url, private=True, timeout_seconds=30, sender="a@example.org", to=("b@example.org",)
        )
        yield Receiver(endpoint, arrived, lambda key: hashlib.sha256(key.encode()).hexdigest()[:40])


@contextmanager
def _nats(folder: Path) -> Iterator[Receiver]:
    with nats_server(folder) as port:
        url = f"nats://127.0.0.1:{port}"
        nats_call(url, "add_stream", name="FILES", subjects=[SUBJECT])
        yield Receiver(
            Endpoint("e", "nats", url, private=True, timeout_seconds=30, subject=SUBJECT),
            lambda: stored(url, "FILES"),
        )


@contextmanager
def _redis(folder: Path) -> Iterator[Receiver]:
    with (
        _redis_at("--port", folder) as (port, url),
        contextlib.closing(connect(url, 10)) as client,
    ):

        def arrived() -> Arrived:
            entries: Any = client.xrange(STREAM)
            return [(fields[b"key"].decode(), fields[b"event"]) for _, fields in entries]

        endpoint = Endpoint(
            "e", "redis", f"redis://127.0.0.1:{port}/0", private=True, timeout_seconds=30, stream=STREAM
        )
        yield Receiver(endpoint, arrived, admin=client)


@contextmanager
def redis_with_login(folder: Path, certificate: Path, key: Path, password: str) -> Iterator[int]:
    """Run a Redis behind TLS with the login `courier`, which may add to streams; give its port."""
    options = (
        "--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-auth-clients", "no",
        "--user", "courier", "on", f">{password}", "~*", "+xadd", "+ping",
    )  # fmt: skip
    with _redis_at("--tls-port", folder, *options) as (port, _):
        yield port


@contextmanager
def _redis_at(option: str, folder: Path, *options: str) -> Iterator[tuple[int, str]]:
    """Run a Redis at a port of its own; give that, and the URL of its socket."""
    for tries in range(TRIES):
        port = free_port()
        server = RedisServer(folder / f"redis{tries}", options=(option, str(port), "--bind", "127.0.0.1", *options))
        try:
            server.start()
        except StreamUnavailable:  # somebody else took the port meanwhile
            if tries == TRIES - 1:
                raise
            continue
        with server:
            yield port, server.url
        return


@contextmanager
def _kafka(_: Path) -> Iterator[Receiver]:
    holder = AdminClient({"test.mock.num.brokers": "1", "log_level": 0})
    (broker,) = holder.list_topics(timeout=20).brokers.values()

    def arrived() -> Arrived:
        return [(dict(record.headers())["key"].decode(), record.value()) for record in records(broker.port)]

    url = f"kafka://127.0.0.1:{broker.port}"
    yield Receiver(Endpoint("e", "kafka", url, private=True, timeout_seconds=30, topic=STREAM), arrived)
    del holder


def records(port: int) -> list[Any]:
    """Return all records of the topic, to its end."""
    settings = {
        "bootstrap.servers": f"127.0.0.1:{port}", "group.id": "test", "auto.offset.reset": "earliest",
        "enable.partition.eof": True, "log_level": 0,
    }  # fmt: skip
    consumer, found = Consumer(settings), []
    with contextlib.closing(consumer):
        metadata = consumer.list_topics(STREAM, timeout=20)

        partitions = [TopicPartition(STREAM, each, OFFSET_BEGINNING) for each in metadata.topics[STREAM].partitions]
        consumer.assign(partitions)
        left = len(partitions)
        while left:
            record = consumer.poll(20)
            assert record is not None, "the broker of the test does not answer"
            if record.error() is None:
                found.append(record)
            else:
                left -= 1
    return found


RECEIVERS: Mapping[str, Callable[[Path], contextlib.AbstractContextManager[Receiver]]] = {
    "webhook": _webhook,
    "mail": _mail,
    "nats": _nats,
    "redis": _redis,
    "kafka": _kafka,
}
"""By kind."""
