"""What webhooks and mail have of their own, on real servers in this process."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import json
import logging
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_string, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from lustre_events.actions.delivery import Parcel
from lustre_events.actions.endpoints import SENDERS
from lustre_events.actions.endpoints.addresses import AddressRefused, is_public, resolved
from lustre_events.actions.endpoints.connecting import connected
from lustre_events.actions.endpoints.http import HttpSender, retry_after_ns
from lustre_events.actions.endpoints.interface import Deadline, without_secrets
from lustre_events.actions.endpoints.jetstream import JetStreamSender
from lustre_events.actions.run_transitions import AGAIN, ENDPOINT, OK, REFUSED, UNTRIED, Attempt
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.times import SECOND_NS
from tests.support.rows import each_row
from tests.support.servers.http import Listener, listening
from tests.support.servers.nats import nats_server
from tests.support.servers.receivers import Mailbox, mailbox

PASSWORD = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes....").decode()
OTHER = "whsec_" + base64.b64encode(b"another one, while they change..").decode()


def parcels(count: int) -> list[Parcel]:
    body = {"subject": "caf\u00e9: a", "text": "what happened", "time_ns": 1_700_000_000 * SECOND_NS, "n": 0}
    return [Parcel(f"run{n}", f"key{n}", json.dumps({**body, "n": n}).encode()) for n in range(count)]


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as found:
        yield found


@pytest.fixture(name="mailbox")
def _mailbox() -> Iterator[tuple[Mailbox, str]]:
    with mailbox() as found:
        yield found


@pytest.fixture
def hook(listener: Listener) -> Endpoint:
    return Endpoint("hook", "webhook", listener.url, private=True, timeout_seconds=20)


@pytest.fixture
def post(mailbox: tuple[Mailbox, str]) -> Endpoint:
    return Endpoint(
        "post", "mail", mailbox[1], private=True, timeout_seconds=2, sender="a@example.org", to=("b@example.org",)
    )


def sent(endpoint: Endpoint, count: int = 1) -> list[Attempt]:
    with contextlib.closing(SENDERS[endpoint.kind](endpoint)) as sender:
        return sender.send(parcels(count))


def outcomes(endpoint: Endpoint, count: int = 1) -> list[str]:
    return [each.outcome for each in sent(endpoint, count)]


# Webhooks


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, OK), (202, OK), (204, OK), (301, ENDPOINT), (307, ENDPOINT), (400, REFUSED), (401, ENDPOINT),
        (403, ENDPOINT), (404, ENDPOINT), (408, AGAIN), (410, ENDPOINT), (413, REFUSED), (422, REFUSED),
        (425, AGAIN), (429, AGAIN), (500, AGAIN), (503, AGAIN),
    ],
)  # fmt: skip
def test_a_status_decides(hook: Endpoint, listener: Listener, status: int, outcome: str) -> None:
    """2xx is done; 401, 403, 404, 410, 3xx hold the endpoint; 408, 425, 429, 5xx are for later; other 4xx never."""
    listener.status, listener.headers = status, {"location": f"{listener.url}/elsewhere", "retry-after": "7"}
    (attempt,) = sent(hook)
    assert (attempt.outcome, attempt.status) == (outcome, status)
    assert len(listener.received) == 1
    assert attempt.retry_after_ns == (7 * SECOND_NS if outcome == AGAIN else 0)


@pytest.mark.parametrize("manner", ["hang", "trickle", "lie", "drop"])
def test_hostile_servers_end_in_time(hook: Endpoint, listener: Listener, manner: str) -> None:
    """A server that hangs, sends single bytes for ever, or what is no HTTP ends the attempt, to be made again."""
    listener.manner = manner
    began = time.monotonic()
    assert outcomes(replace(hook, timeout_seconds=1)) == [AGAIN]
    assert time.monotonic() - began < 10


def test_an_endless_answer_is_not_read(hook: Endpoint, listener: Listener) -> None:
    """Of an answer of 2 GB the first bytes are read; the status counts, and the next event goes out as well."""
    listener.manner = "endless"
    with contextlib.closing(SENDERS["webhook"](hook)) as sender:
        first = sender.send(parcels(1))
        listener.manner = ""
        assert [each.outcome for each in (*first, *sender.send(parcels(1)))] == [OK, OK]


@pytest.mark.parametrize(("manner", "status", "outcome"), [
    pytest.param(manner, status, outcome, marks=pytest.mark.long if manner == "slow_body" and status != 200 else ())
    for manner in ("short", "slow_body", "bomb")
    for status, outcome in ((200, OK), (410, ENDPOINT), (422, REFUSED), (503, AGAIN))
])  # fmt: skip
def test_the_status_decides_whatever_follows_it(
    hook: Endpoint, listener: Listener, manner: str, status: int, outcome: str
) -> None:
    """An answer shorter than it says, one that drips, or gzip that would unpack to gigabytes: the status counts."""
    listener.manner, listener.status = manner, status
    began = time.monotonic()
    (attempt,) = sent(replace(hook, timeout_seconds=3 if manner == "slow_body" else 20))
    assert (attempt.outcome, attempt.status) == (outcome, status)
    assert time.monotonic() - began < 19
    assert len(attempt.error) < 1_000


def test_signatures_are_those_of_the_standard(hook: Endpoint, listener: Listener, tmp_path: Path) -> None:
    """The library of Standard Webhooks verifies what was sent, with either secret of a change, and no third."""
    path = tmp_path / "secret"
    path.write_text(f"{PASSWORD}\n{OTHER}\n")
    path.chmod(0o600)
    assert outcomes(replace(hook, secret=str(path)), 2) == [OK, OK]
    (received,) = listener.received
    for secret in (PASSWORD, OTHER):
        assert Webhook(secret).verify(received.body, received.headers)[0]["n"] == 0
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(base64.b64encode(b"a third one").decode()).verify(received.body, received.headers)
    assert received.headers["content-type"] == "application/cloudevents-batch+json"


def test_tries_are_identical(hook: Endpoint, listener: Listener) -> None:
    """A run that is sent again has the same bytes and the same id of its message."""
    outcomes(hook)
    outcomes(hook)
    first, second = listener.received
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert first.headers["webhook-id"] == "key0"


class Rebinding:
    """A resolver for which a name means this machine the first time it is asked, and another address later."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, **_: Any) -> list[Any]:
        """As socket.getaddrinfo."""
        self.asked.append(host)
        address = "127.0.0.1" if len(self.asked) == 1 else "192.0.2.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]


def test_a_name_is_resolved_once_and_its_address_is_the_one_that_is_connected_to(
    hook: Endpoint, listener: Listener, tmp_path: Path
) -> None:
    """A name that leads elsewhere the second time it is asked about gains nothing: it is asked about once.

    So it is with webhooks, NATS, and what Redis and mail have in common.
    """
    port = int(listener.url.rsplit(":", 1)[1].split("/")[0])
    endpoint = replace(hook, url=f"http://rebinding.example.org:{port}/hook")
    ways = [Rebinding(), Rebinding(), Rebinding()]
    with contextlib.closing(HttpSender(endpoint, look=ways[0])) as sender:
        assert [each.outcome for each in sender.send(parcels(1))] == [OK]
    assert listener.received[0].headers["host"] == f"rebinding.example.org:{port}"
    with connected(endpoint, port, Deadline(5), ways[1]) as connection:
        assert connection.getpeername() == ("127.0.0.1", port)
    with nats_server(tmp_path) as other:
        found = replace(
            endpoint, kind="nats", url=f"nats://rebinding.example.org:{other}", subject="s", timeout_seconds=20
        )
        assert "no JetStream stream" in JetStreamSender(found, ways[2]).send(parcels(1))[0].error
    assert [each.asked for each in ways] == [["rebinding.example.org"]] * 3


@each_row(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2606:4700::1", True), ("10.0.0.1", False), ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False), ("0.0.0.1", False), ("224.0.0.1", False), ("::1", False), ("fe80::1", False),
        ("fd00::1", False), ("::ffff:10.0.0.1", False), ("64:ff9b::a00:1", False), ("2002:a00:1::", False),
        ("::ffff:8.8.8.8", True), ("240.0.0.1", False), ("::", False), ("fec0::1", False),
        ("0.0.0.0", False),  # noqa: S104 - it is not listened on
        ("::7f00:1", False), ("::ffff:0:a00:1", False), ("64:ff9b:1::a00:1", False), ("::ffff:127.0.0.1", False),
        ("::ffff:100.64.0.1", False), ("64:ff9b::6440:1", False), ("2002:7f00:1::", False),
        ("2001:0:a00:1::", False), ("255.255.255.255", False), ("ff02::1", False), ("198.18.0.1", False),
        ("100.127.255.255", False), ("100.128.0.1", True), ("fe80::1%eth0", False),
    ],
)  # fmt: skip
def test_what_is_public(address: str, *, public: bool) -> None:
    """Loopback, link-local, private, shared, multicast and reserved addresses are not public, also wrapped."""
    assert is_public(ipaddress.ip_address(address)) is public


def test_of_several_addresses_the_public_ones_are_taken() -> None:
    """A name with a private address beside a public one leads to the public one alone."""

    def look(_host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in ("10.0.0.1", "8.8.8.8")]

    assert resolved("both.example.org", 80, private=False, look=look) == ["8.8.8.8"]


def test_an_address_is_judged_as_it_is_written() -> None:
    """An address instead of a name is judged in the same way, also in its odd spellings."""
    for spelling in ("127.0.0.1", "127.1", "0x7f000001", "2130706433"):
        with pytest.raises((AddressRefused, OSError)):
            resolved(spelling, 80, private=False)


def test_how_long_an_endpoint_wants_to_be_left_alone() -> None:
    """`Retry-After` is seconds or a date; nonsense is nothing, and no number is too large to be bounded."""
    found = [
        retry_after_ns({b"Retry-After": text}, 1_000_000_000) // SECOND_NS
        for text in (b"5", b"Sun, 09 Sep 2001 01:47:00 GMT", b"soon", b"-5", b"9" * 50, b"")
    ]
    assert found == [5, 20, 0, 0, 10**9, 0]


@each_row(
    ("written", "hidden"),
    [(PASSWORD, PASSWORD), (PASSWORD, PASSWORD.removeprefix("whsec_")), ("courier:hunter2", "hunter2")],
)
def test_what_an_answer_repeats_of_a_secret_is_not_told(tmp_path: Path, written: str, hidden: str) -> None:
    """Neither the line of the secret's file, nor the part of it that is secret, stays in an error."""
    path = tmp_path / "secret"
    path.write_text(f"{written}\n")
    path.chmod(0o600)
    (told,) = without_secrets(Endpoint("e", "nats", "tls://h", str(path)), [Attempt(AGAIN, error=f"not {hidden}!")])
    assert told.error == "not ***!"


def test_no_log_has_the_address_or_signature_of_a_hook(
    hook: Endpoint, listener: Listener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A path may be a secret, too: also a log with everything in it has neither that nor headers."""
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "secret"
    path.write_text(f"{PASSWORD}\n")
    path.chmod(0o600)
    listener.status = 422
    (attempt,) = sent(replace(hook, url=f"{listener.url}/a-secret-path", secret=str(path), timeout_seconds=5))
    assert attempt.outcome == REFUSED
    for word in ("a-secret-path", listener.received[0].headers["webhook-signature"]):
        assert word not in caplog.text + attempt.error


# Mail


def test_a_mail_says_what_happened(post: Endpoint, mailbox: tuple[Mailbox, str]) -> None:
    """A mail has subject, text, and a Message-ID of its key; what is in a name can add no header."""
    body = {"subject": "a\r\nBcc: x@example.org", "text": "the text", "time_ns": 10**18}
    sender = SENDERS["mail"](post)
    good, bad = parcels(1)[0], Parcel("run", "key", json.dumps(body).encode())
    assert [each.outcome for each in sender.send([good])] == [OK]
    assert [each.outcome for each in sender.send([bad])] != [OK]
    (mail,) = mailbox[0].mails
    assert "caf" in mail
    assert "Message-ID: <" in mail
    assert "what happened" in mail


def read(raw: str) -> tuple[str, str, str]:
    """Return subject, text and transfer encoding of a mail, as a mail program reads them."""
    found = message_from_string(raw, policy=policy.default)
    assert isinstance(found, EmailMessage)
    assert found.get_content_type() == "text/plain"
    return str(found["Subject"]), found.get_content().replace("\r\n", "\n"), str(found["Content-Transfer-Encoding"])


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("a plain text\nof two lines\n", "7bit"),
        ("d\u00e9j\u00e0 vu\n", "quoted-printable"),
        ("\u6e29\u5ea6 " * 100 + "\n", "quoted-printable"),
        ("/" + "x" * 4_000 + "\n", "quoted-printable"),
        (".\na line between two that end a mail\n.\n", "7bit"),
    ],
)
def test_a_mail_is_plain_text(post: Endpoint, mailbox: tuple[Mailbox, str], text: str, encoding: str) -> None:
    """Every text arrives as it was, as 7bit or quoted-printable, which people can read without a decoder."""
    body = {"subject": "s", "text": text, "time_ns": 10**18}
    assert SENDERS["mail"](post).send([Parcel("run", "key", json.dumps(body).encode())])[0].outcome == OK
    raw = mailbox[0].mails[0]
    assert max(len(line) for line in raw.splitlines()) <= 998
    assert read(raw)[1:] == (text, encoding)


def matches(*paths: str, search: str = "hot") -> list[Parcel]:
    """Return what a subscription sends for each of these paths."""
    body = {"time_ns": 10**18, "user": "alice", "search": search, "query": "temperature:>300"}
    return [
        Parcel(
            f"run{path}",
            f"key{path}",
            json.dumps({**body, "subject": path, "text": path, "paths": [path]}).encode(),
        )
        for path in paths
    ]


def test_what_a_search_has_matched_is_one_mail(post: Endpoint, mailbox: tuple[Mailbox, str]) -> None:
    """Two files of one subscription are one mail that names both; another search has a mail of its own."""
    found = SENDERS["mail"](post).send([*matches("/b.csv"), *matches("/c.csv", search="cold"), *matches("/a.csv")])
    assert [(each.outcome, each.together) for each in found] == [(OK, 1), (OK, 0), (OK, 1)]
    both, other = (read(raw) for raw in mailbox[0].mails)
    assert both[0] == "2 new or changed files match your search 'hot'"
    assert "\n/a.csv\n/b.csv\n" in both[1]
    assert "temperature:>300" in both[1]
    assert other[:2] == ("/c.csv", "/c.csv\n")


def test_who_has_some_of_a_searchs_files_gets_no_file_twice(post: Endpoint, mailbox: tuple[Mailbox, str]) -> None:
    """A recipient who was refused for now gets all files later; the other one only those that are new."""
    box, _ = mailbox
    two = replace(post, name="two", to=("b@example.org", "full@example.org"))
    senders = SENDERS["mail"]
    box.refused = {"full@example.org": "452 mailbox full"}
    assert [each.outcome for each in senders(two).send(matches("/a", "/b"))] == [AGAIN, AGAIN]
    box.refused = {}
    assert [each.outcome for each in senders(two).send(matches("/a", "/b", "/c"))] == [OK, OK, OK]
    assert box.recipients == ["b@example.org", "full@example.org", "b@example.org", "full@example.org"]
    assert [read(raw)[1].count("\n/") for raw in box.mails[:2]] == [2, 2]
    assert read(box.mails[2])[1] == "/c\n"


def test_a_mail_of_several_that_is_refused_says_so(post: Endpoint, mailbox: tuple[Mailbox, str]) -> None:
    """Of a mail about two files each run knows that it was sent with another: then each is sent alone."""
    mailbox[0].answer = "554 no"
    found = SENDERS["mail"](post).send(matches("/a", "/b"))
    assert [(each.outcome, each.together) for each in found] == [(REFUSED, 1), (REFUSED, 1)]


def test_a_recipient_that_is_refused_for_now_gets_the_mail_later_and_the_others_get_it_once(
    post: Endpoint, mailbox: tuple[Mailbox, str]
) -> None:
    """Of three recipients one is refused with 4xx: it is an error, and the next try is for that one alone."""
    box, _ = mailbox
    several = replace(post, name="several", to=("b@example.org", "full@example.org", "c@example.org"))
    box.refused = {"full@example.org": "452 mailbox full"}
    (attempt,) = sent(several)
    assert (attempt.outcome, attempt.status) == (AGAIN, 452)
    assert "2 of 3 recipients have it" in attempt.error
    assert outcomes(several) == [AGAIN]
    box.refused = {}
    assert outcomes(several) == [OK]
    assert box.recipients == ["b@example.org", "c@example.org", "full@example.org"]
    assert outcomes(several) == [OK]  # somebody sends it once more: to all of them
    assert len(box.recipients) == 6


def test_a_recipient_that_is_refused_for_good_is_told(post: Endpoint, mailbox: tuple[Mailbox, str]) -> None:
    """Of two recipients one is refused with 5xx: the run is dead, which says so; one with 4xx is tried first."""
    box, _ = mailbox
    several = replace(post, name="gone", to=("b@example.org", "gone@example.org", "full@example.org"))
    box.refused = {"gone@example.org": "550 no such user", "full@example.org": "452 mailbox full"}
    assert outcomes(several) == [AGAIN]
    del box.refused["full@example.org"]
    (attempt,) = sent(several)
    assert (attempt.outcome, attempt.status) == (REFUSED, 550)
    assert "2 of 3 recipients have it" in attempt.error
    assert box.recipients == ["b@example.org", "full@example.org"]


def test_a_body_that_is_no_mail_is_refused(post: Endpoint, mailbox: tuple[Mailbox, str]) -> None:
    """What has no subject is dead at once: no later try helps."""
    sender = SENDERS["mail"](post)
    assert [each.outcome for each in sender.send([Parcel("run", "key", b'{"specversion": "1.0"}')])] == [REFUSED]
    assert mailbox[0].mails == []


def test_what_a_mail_server_says_decides(post: Endpoint, mailbox: tuple[Mailbox, str]) -> None:
    """A mail that is refused for good is dead, and the others are sent; one to be sent later ends the batch."""
    box, _ = mailbox
    box.answer = "550 no such user"
    assert outcomes(post, 2) == [REFUSED, REFUSED]
    box.answer = "451 later"
    assert outcomes(post, 2) == [AGAIN, UNTRIED]
