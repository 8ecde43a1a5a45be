"""Endpoints: named places that actions send to, of the site only, in a file of their own.

    [endpoint.beamline]
    kind = "webhook"
    url = "https://beamline.example.org/hooks/files"
    secret = "/etc/lustre-events/secrets/beamline"   # a file: one `whsec_...` a line, two while they change

    [endpoint.data-managers]
    kind = "mail"
    url = "smtp://mail.example.org:25"
    sender = "lustre-events@example.org"
    to = ["data-managers@example.org"]

    [endpoint.myself]
    kind = "mail"
    url = "smtp://mail.example.org:25"
    sender = "lustre-events@example.org"
    to = ["{user}@example.org"]                      # for users' own rules: to whose rule it is

    [endpoint.pipeline]
    kind = "kafka"                                   # or nats with `subject`, redis with `stream`
    url = "kafkas://kafka.example.org:9093"
    topic = "files"
    secret = "/etc/lustre-events/secrets/pipeline"   # a file with USER:PASSWORD

    [endpoint.archive]                               # transfers.py
    kind = "transfer"
    url = "rsync://archive.example.org/incoming"

    [grant.everybody]                                # grants.py
    users = ["*"]
    endpoints = ["myself"]

Secrets are named by their files, and only the courier reads those; of transfers only the file workers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from lustre_events.config.nearest import nearest
from lustre_events.config.tables import Location, key, values
from lustre_events.config.toml_text import read_toml
from lustre_events.domain.rules import transfers
from lustre_events.errors import ConfigError

SCHEMES = {
    "webhook": ("https", "http"),
    "mail": ("smtp", "smtps"),
    "nats": ("tls", "nats"),
    "redis": ("rediss", "redis"),
    "kafka": ("kafkas", "kafka"),
    transfers.KIND: transfers.SCHEMES,
}
"""Kinds of endpoints, and how their URLs begin."""
NEEDED = {"mail": ("sender", "to"), "nats": ("subject",), "redis": ("stream",), "kafka": ("topic",)}
"""Keys that a kind must have, and no other may."""
OPTIONAL = {
    "redis": ("max_length",), "kafka": ("mechanism",),
    transfers.KIND: ("program", "config", "bandwidth", "checksum"),
}  # fmt: skip
"""Keys that a kind may have, and no other."""
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_SUBJECT = re.compile(r"[^\s.*>\x00-\x1f]+(\.[^\s.*>\x00-\x1f]+)*\Z")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}\Z")
_DATABASE = re.compile(r"(/\d{0,4})?\Z")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
_ADDRESS = re.compile(r"[^\s@<>,;\"\\\x00-\x1f]{1,64}@[A-Za-z0-9.-]{1,255}\Z")
USER = "{user}"
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")
_DAY = 86_400
_MOST_SECONDS = 300
"""Longest time of one attempt of the courier."""


@dataclass(frozen=True, slots=True)
class _Entry:
    kind: str = key(choices=tuple(SCHEMES), needed=f"write one of: {', '.join(SCHEMES)}")
    url: str = key(longest=2_000, needed="write where it is, e.g. https://HOST/PATH")
    secret: str = key("", longest=1_000)
    private: bool = False
    ca: str = key("", longest=1_000)
    timeout_seconds: float = key(10.0, least=0.1, most=_DAY)
    at_once: int = key(4, least=1, most=64)
    per_minute: int = key(0, least=0, most=10_000_000)
    sender: str = key("", fits=lambda text: not text or _ADDRESS.match(text), expected="write NAME@HOST")
    to: tuple[str, ...] = key((), fits=_ADDRESS.match, expected="write NAME@HOST")
    subject: str = key("", longest=200, fits=lambda text: not text or _SUBJECT.match(text),
                       expected="write words with dots between them, without * and >")  # fmt: skip
    stream: str = key("", longest=500)
    max_length: int = key(0, least=0, most=1_000_000_000_000)
    topic: str = key("", fits=lambda text: not text or _TOPIC.match(text),
                     expected="write a-z, A-Z, 0-9, dots, - and _, at most 249")  # fmt: skip
    mechanism: str = key("PLAIN", choices=MECHANISMS)
    program: str = key("", longest=1_000, fits=lambda text: not text or text.startswith("/"),
                       expected="write an absolute path")  # fmt: skip
    config: str = key("", longest=1_000, fits=lambda text: not text or text.startswith("/"),
                      expected="write an absolute path")  # fmt: skip
    bandwidth: str = key("", fits=lambda text: not text or transfers.BANDWIDTH.match(text),
                         expected="write bytes a second with k, M or G, e.g. 50M")  # fmt: skip
    checksum: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A named location that actions send to.

    Attributes:
        name: as rules name it.
        kind: how it is sent to.
        url: where.
        secret: path of a file with its secrets; empty: none.
        private: whether it may have an address that only the site reaches.
        ca: path of a file with the certificates of who signs its own; empty: the system's.
        timeout_seconds: how long one attempt may take, all in all.
        at_once: most deliveries that are under way.
        per_minute: most events that are sent in a minute; 0: any number.
        sender: who a mail is from.
        to: who it goes to.
        subject: of NATS: what events are published on.
        stream: of Redis: the key of the stream that events are added to.
        max_length: of Redis: about how many events stay in the stream; 0: all.
        topic: of Kafka: what events are written to.
        mechanism: of Kafka: how it logs in.
        program: of transfers: the program that copies; empty: the usual one.
        config: of transfers: a file that tells rclone its remotes.
        bandwidth: of transfers: most bytes a second, with k, M or G behind; empty: any number.
        checksum: of transfers: whether what is there already is compared by its content, not by size and time.
    """

    name: str
    kind: str
    url: str
    secret: str = ""
    private: bool = False
    ca: str = ""
    timeout_seconds: float = 10.0
    at_once: int = 4
    per_minute: int = 0
    sender: str = ""
    to: tuple[str, ...] = ()
    subject: str = ""
    stream: str = ""
    max_length: int = 0
    topic: str = ""
    mechanism: str = "PLAIN"
    program: str = ""
    config: str = ""
    bandwidth: str = ""
    checksum: bool = False

    @property
    def for_authors(self) -> bool:
        """Whether it writes to the user whose own rule names it."""
        return any(USER in each for each in self.to)

    def recipients(self, user: str) -> tuple[str, ...]:
        """Return who a mail goes to. Raises ConfigError: it is for a user's own rule, and of nobody's."""
        if self.for_authors and not _USER.match(user):
            raise ConfigError(
                f"endpoint {self.name!r} writes to the user whose rule it is, and this is not a user's rule"
            )
        return tuple(each.replace(USER, user) for each in self.to)

    @property
    def where(self) -> str:
        """Scheme, host and port: what may be shown to everybody who sees the rules."""
        parts = urlsplit(self.url)
        if self.kind == transfers.KIND and parts.scheme != "rsync":
            return self.url
        return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"


SECTIONS = ("endpoint", "grant")


def parse(text: str | bytes, origin: str) -> dict[str, Endpoint]:
    """Return the endpoints of a TOML text by name.

    Raises:
        ConfigError: not TOML, or a key or value is wrong; the message names the endpoint and the key.
    """
    table = read_toml(text, origin)
    for name in table:
        if name not in SECTIONS:
            raise ConfigError(f"{origin}: unknown section [{name}]{nearest(name, SECTIONS)}")
    entries = table.get("endpoint", {})
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise ConfigError(f"{origin}: endpoints are written as [endpoint.NAME]")
    return {name: _endpoint(name, entry, origin) for name, entry in entries.items()}


def unknown(name: str, known: Collection[str]) -> str:
    """Return the end of a sentence about an endpoint that is not in the file."""
    return nearest(name, known) if known else "; there are none: name their file in [actions] endpoints"


def _endpoint(name: str, table: Mapping[str, object], origin: str) -> Endpoint:
    location = Location(origin, f"[endpoint.{name}]")
    if not _NAME.match(name):
        raise ConfigError(f"{origin}: {name!r} is not a name of an endpoint; use a-z, 0-9, - and _, at most 64")
    usual = {"timeout_seconds": transfers.SECONDS} if table.get("kind") == transfers.KIND else {}
    found = Endpoint(name, **(usual | values(_Entry, table, location)))
    _check_url(found, location)
    if found.kind in NEEDED:
        _check_short(found, location)
    if found.kind == transfers.KIND:
        own = {"secret": found.secret, "config": found.config}
        transfers.check_url(location, found.url, **own, private=found.private)
    elif found.timeout_seconds > _MOST_SECONDS:
        raise location.at("timeout_seconds").refusal(f"must be at most {_MOST_SECONDS}")
    _check_keys(found, table, location)
    return found


def _check_keys(found: Endpoint, table: Mapping[str, object], location: Location) -> None:
    """Refuse keys of another kind, and the lack of its own."""
    needed = NEEDED.get(found.kind, ())
    for name in needed:
        if not getattr(found, name):
            raise location.at(name).refusal(f"is missing; {found.kind} needs {' and '.join(needed)}")
    for kind in SCHEMES:
        for name in (*NEEDED.get(kind, ()), *OPTIONAL.get(kind, ())):
            if kind != found.kind and name in table:
                raise location.at(name).refusal(f"is for {kind} only; remove it")


def _check_url(endpoint: Endpoint, location: Location) -> None:
    schemes = SCHEMES[endpoint.kind]
    try:
        parts = urlsplit(endpoint.url)
        host, _ = parts.hostname or parts.scheme == "file", parts.port  # of those a path is enough
    except ValueError as exc:
        raise location.at("url").refusal(f"is not a URL: {exc}") from exc
    if parts.scheme not in schemes or not host:
        raise location.at("url").refusal(f"must begin with {' or '.join(f'{each}://HOST' for each in schemes)}")
    if parts.username is not None or parts.password is not None:
        raise location.at("url").refusal(
            "has a user or password in it; write them into a file, and name it in secret"
        )
    if not endpoint.url.isascii() or any(each <= " " for each in endpoint.url) or parts.fragment:
        raise location.at("url").refusal("has a space, a # or a letter that no URL has; write those as %XX")


def _check_short(endpoint: Endpoint, location: Location) -> None:
    """Refuse what no URL of a mail server or broker has."""
    parts = urlsplit(endpoint.url)
    database = endpoint.kind == "redis" and _DATABASE.match(parts.path)
    if parts.query or not (database or parts.path in {"", "/"}):
        rest = " and the number of a database" if endpoint.kind == "redis" else ""
        raise location.at("url").refusal(f"has more in it than a host, a port{rest}; remove that")
