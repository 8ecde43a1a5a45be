"""docs/actions.md: its rules do what the page says, with a real courier, a web server and a mail server."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pwd
import re
import socket
import tempfile
import time
import tomllib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from aiosmtpd.controller import Controller
from standardwebhooks import Webhook

from lustre_events.streams.requests import RedisRequests
from tests.support.pages import commands
from tests.support.servers.http import Listener, listening
from tests.support.service.command import REPOSITORY, lustre_events
from tests.support.service.service import PARTS, Service
from tests.support.waiting import wait_for

PAGE = (REPOSITORY / "docs" / "actions.md").read_text()
BLOCKS = re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
ASKED = re.compile(r"^```text\n(.*?)^```", re.DOTALL | re.MULTILINE)
USER = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
"""Whose own rule it is."""
SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes....").decode()


class Mailbox:
    """What a mail server got."""

    def __init__(self) -> None:
        self.subjects: list[str] = []
        self.to: dict[str, list[str]] = {}
        """Who each went to, by subject."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - as aiosmtpd calls it
        """Keep the subject of a mail, and who it is for."""
        found = re.findall(r"^Subject: (.*?)\r?$", envelope.content.decode(), re.MULTILINE)
        self.to |= {subject: list(envelope.rcpt_tos) for subject in found}
        self.subjects += found
        return "250 fine"


def test_the_page_has_endpoints_and_three_rules() -> None:
    """The page has one file of endpoints and grants, three rules of the site and two of a user, which are TOML."""
    found = [list(tomllib.loads(block)) for block in BLOCKS]
    assert found == [["endpoint", "grant"], ["rule"], ["rule"], ["rule"], ["rule"], ["rule"]]


def test_a_user_is_told_what_the_page_shows(open_folder: Path) -> None:
    """Who has written the rule of the page asks about it as the page says; so does who follows a search, too."""
    service = Service(open_folder)
    settings(service, open_folder, "https://127.0.0.1:1", 1)
    own = open_folder / f"{USER.pw_name}.toml"
    own.write_text(BLOCKS[4])
    path = service.files / "home/alice/run1.csv"
    path.parent.mkdir(parents=True)
    path.write_text("a,b\n1,2\n")
    os.chown(path, USER.pw_uid, -1)

    def said(*words: str) -> list[str]:
        named = [str(own) if word == "alice.toml" else word for word in words]
        done = lustre_events(*named, environment={"LUSTRE_EVENTS_CONFIG": str(service.config)})
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().replace(f"{open_folder}/", "").replace(USER.pw_name, "alice").splitlines()

    for words, printed in commands("".join(ASKED.findall(PAGE))):
        assert said(*words[1:]) == printed
    own.write_text(BLOCKS[4] + BLOCKS[5])
    assert said("rules", "check", "--user", "alice.toml") == ["alice.toml: ok, 2 rules of actions"]


@pytest.mark.timeout(180)
def test_the_rules_of_the_page_do_what_it_says() -> None:
    """A measurement is a signed webhook, raw data that goes a mail, a long table a webhook, a user's one a mail.

    Neither secrets nor the path of an endpoint's URL are in the index, in Redis or in a log.
    """
    box = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)  # the account that runs extractors comes in
        listener = stack.enter_context(listening())
        controller = Controller(box, hostname="127.0.0.1", port=port)
        controller.start()
        stack.callback(controller.stop)
        service = stack.enter_context(Service(folder, rules="\n".join(BLOCKS[1:4])))
        settings(service, folder, listener.url, port)
        service.start_redis()
        for name in PARTS:
            service.start_part(name)
        wait_for((folder / "state" / "actions.key").is_file, failure=service.last_words)
        service.start_part("courier", "lustre_events", "courier")
        play(service, listener, box)
        told = told_in(folder)
        seal = (folder / "state" / "actions.key").read_bytes().strip()
    assert {"index.db", "service.log"} < told.keys()
    secrets = (
        SECRET.removeprefix("whsec_").encode(),
        base64.b64decode(SECRET.removeprefix("whsec_")),
        b"/hook",
        seal,
    )
    assert [(path, secret) for path, data in told.items() for secret in secrets if secret in data] == []
    events = received(listener)
    assert {"table": "/long.csv", "rows": 3} in events
    assert not any(event.get("table") == "/short.csv" for event in events)
    assert set(map(tuple, (box.to[subject] for subject in box.subjects if subject.startswith("new: ")))) == {
        (f"{USER.pw_name}@example.org",)
    }
    for each in listener.received:
        Webhook(SECRET).verify(each.body, each.headers, json_parse=False)


def settings(service: Service, folder: Path, url: str, port: int) -> None:
    """Let the endpoints of the page be those of this test."""
    secret = folder / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    text = BLOCKS[0].replace("https://beamline.example.org/hooks/files", url)
    text = text.replace("/etc/lustre-events/secrets/beamline", str(secret))
    text = text.replace("smtp://mail.example.org:25", f"smtp://127.0.0.1:{port}")
    text = re.sub(r"^kind = ", "private = true\nkind = ", text.replace("private = true\n", ""), flags=re.MULTILINE)
    (folder / "endpoints.toml").write_text(text)
    users = folder / "users"
    users.mkdir()
    own = users / f"{USER.pw_name}.toml"
    own.write_text(BLOCKS[4])
    os.chown(own, USER.pw_uid, -1)
    text = service.config.read_text().replace("[dispatcher]\n", f'[dispatcher]\nuser_rules = "{users}"\n')
    service.config.write_text(text + f'[actions]\nendpoints = "{folder / "endpoints.toml"}"\n')


def told_in(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all that the service has written: index, Redis's files, logs."""
    told = {}
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix not in {".toml", ".key"} and path != folder / "secret":
            with contextlib.suppress(FileNotFoundError):  # it goes on: jobs remove what they no longer need
                told[path.name] = path.read_bytes()
    return told


def received(listener: Listener) -> list[dict[str, Any]]:
    """Return the data of all events so far."""
    found = []
    for body in map(json.loads, listener.bodies()):
        found += [event["data"] for event in (body if isinstance(body, list) else [body])]
    return found


def play(service: Service, listener: Listener, box: Mailbox) -> None:
    """Do what the rules are about, until all of it was told."""
    for name in ("campaign/run1", "raw/run1"):
        (service.files / name).mkdir(parents=True)
    numbers = iter(range(1_000))

    def measured() -> bool:  # again and again: a rule fires for what happens after it is active
        (service.files / f"campaign/run1/m{next(numbers)}.h5").write_bytes(b"\x89HDF")
        return any(event.get("path", "").startswith("/campaign/run1/m") for event in received(listener))

    wait_for(measured, 60, service.last_words)
    (service.files / "raw/run1/a.raw").write_text("1")
    (service.files / "long.csv").write_text("a,b\n1,2\n3,4\n5,6\n")
    (service.files / "short.csv").write_text("a,b\n1,2\n")
    wait_for(lambda: any("table" in event for event in received(listener)), 60, service.last_words)
    (service.files / "raw/run1/a.raw").unlink()
    wait_for(lambda: "raw data: /raw/run1/a.raw was removed" in box.subjects, 60, service.last_words)
    play_user(service, box)


def follow(service: Service, box: Mailbox, folder: Path) -> None:
    """Let a user subscribe to a search as the console does: what it finds is told in a mail."""
    user = {"user": USER.pw_name, "uid": USER.pw_uid}
    wanted = {"name": "long ones", "query": "rows:>2", "endpoint": "myself"}
    with redis.Redis.from_url(service.redis.url) as client:
        RedisRequests(client).ask("subscribe", {**user, **wanted})

    def told() -> bool:  # again and again, as above; one a second, for a user's rules may send 60 a minute
        path = folder / f"followed{time.monotonic():.0f}.csv"
        path.write_text("a,b\n1,2\n3,4\n5,6\n")
        os.chown(path, USER.pw_uid, -1)
        return any("your search 'long ones'" in subject for subject in box.subjects)

    wait_for(told, 60, service.last_words)


def play_user(service: Service, box: Mailbox) -> None:
    """Let a user write a table, which is told in a mail; what others write is told to nobody."""
    path = service.files / "home" / "mine.csv"
    path.parent.mkdir()
    path.write_text("a,b\n1,2\n")
    os.chown(path, USER.pw_uid, -1)
    wait_for(lambda: "new: mine.csv" in box.subjects, 60, service.last_words)
    follow(service, box, path.parent)
    if os.geteuid() == 0:
        assert not any(subject in {"new: long.csv", "new: short.csv"} for subject in box.subjects)
