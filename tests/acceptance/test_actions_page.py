"""docs/actions.md: its rules do what the page says, with a real courier, a web server and a mail server."""

from __future__ import annotations

import base64
import json
import re
import socket
import tempfile
import tomllib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from standardwebhooks import Webhook

from tests.support.servers.http import Listener, listening
from tests.support.service.command import REPOSITORY
from tests.support.service.service import PARTS, Service
from tests.support.waiting import wait_for

BLOCKS = re.findall(
    r"^```toml\n(.*?)^```", (REPOSITORY / "docs" / "actions.md").read_text(), re.DOTALL | re.MULTILINE
)
SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes....").decode()


class Mailbox:
    """What a mail server got."""

    def __init__(self) -> None:
        self.subjects: list[str] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - as aiosmtpd calls it
        """Keep the subject of a mail."""
        self.subjects += re.findall(r"^Subject: (.*?)\r?$", envelope.content.decode(), re.MULTILINE)
        return "250 fine"


def test_the_page_has_endpoints_and_three_rules() -> None:
    """The page has one file of endpoints and three rules, which are TOML."""
    assert [list(tomllib.loads(block)) for block in BLOCKS] == [["endpoint"], ["rule"], ["rule"], ["rule"]]


@pytest.mark.timeout(180)
def test_the_rules_of_the_page_do_what_it_says() -> None:
    """A measurement is a signed webhook, raw data that goes is a mail, and a long table a webhook with its rows."""
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
        service = stack.enter_context(Service(folder, rules="\n".join(BLOCKS[1:])))
        settings(service, folder, listener.url, port)
        service.start_redis()
        for name in PARTS:
            service.start_part(name)
        wait_for((folder / "state" / "actions.key").is_file, failure=service.last_words)
        service.start_part("courier", "lustre_events", "courier")
        play(service, listener, box)
    events = received(listener)
    assert {"table": "/long.csv", "rows": 3} in events
    assert not any(event.get("table") == "/short.csv" for event in events)
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
    text = re.sub(r"^kind = ", "private = true\nkind = ", text, flags=re.MULTILINE)
    (folder / "endpoints.toml").write_text(text)
    service.config.write_text(
        service.config.read_text() + f'[actions]\nendpoints = "{folder / "endpoints.toml"}"\n'
    )


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
