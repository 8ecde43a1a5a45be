"""docs/directories.md: its rule does what the page says, with a real courier and a web server."""

from __future__ import annotations

import json
import re
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.pages import commands
from tests.support.servers.http import Listener, listening
from tests.support.servers.redis import login
from tests.support.service.command import REPOSITORY, lustre_events
from tests.support.service.service import PARTS, Service
from tests.support.waiting import wait_for

PAGE = (REPOSITORY / "docs" / "directories.md").read_text()
(RULE,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
(ASKED,) = re.findall(r"^```text\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
ENDPOINT = '[endpoint.beamline]\nkind = "webhook"\nurl = "{url}"\nprivate = true\n'


def prepare(service: Service, folder: Path, url: str) -> Path:
    """Let the service know the endpoint of the page; return a directory of a run with files in it."""
    (folder / "endpoints.toml").write_text(ENDPOINT.format(url=url))
    text = service.config.read_text()
    service.config.write_text(f'{text}[actions]\nendpoints = "{folder / "endpoints.toml"}"\n')
    place = service.files / "proj" / "a" / "runs" / "7"
    place.mkdir(parents=True)
    return place


def fill(place: Path) -> None:
    """Write three files."""
    for number in range(3):
        (place / f"{number}.h5").write_bytes(b"\x89HDF")


def test_the_rules_say_what_the_page_shows(open_folder: Path) -> None:
    """Who asks about a directory is told by what it is complete, and what it lacks."""
    service = Service(open_folder)
    place = prepare(service, open_folder, "https://127.0.0.1:1")
    fill(place)
    own = open_folder / "directories.toml"
    own.write_text(RULE)

    def said(*words: str) -> list[str]:
        named = [str(own) if word == "directories.toml" else word for word in words]
        done = lustre_events(*named, environment={"LUSTRE_EVENTS_CONFIG": str(service.config)})
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().replace(f"{open_folder}/", "").splitlines()

    for words, printed in commands(ASKED):
        assert said(*words[1:]) == printed
    (place / "7.done").touch()
    *_, last = said("rules", "test", "--rules", "directories.toml", "/proj/a/runs/7/0.h5")
    assert last == "    yes complete: 3 files and 1 that mark it are in it"


@pytest.mark.timeout(180)
def test_the_rule_of_the_page_does_what_it_says() -> None:
    """A directory that is complete is told once, with its path and number of files; one that is not is not told."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        listener = stack.enter_context(listening())
        service = stack.enter_context(Service(folder, rules=RULE))
        place = prepare(service, folder, listener.url)
        service.start_redis()
        for name in PARTS:
            service.start_part(name)
        wait_for((folder / "state" / "actions.key").is_file, failure=service.last_words)
        service.start_part("courier", "lustre_events", "courier")
        environment = {
            "LUSTRE_EVENTS_CONFIG": str(service.config),
            "LUSTRE_EVENTS_REDIS_URL": login(service.redis, "admin"),
        }
        wait_for(lambda: is_active(environment), 60, service.last_words)
        fill(place)
        other = place.parent / "8"
        other.mkdir()
        fill(other)
        (place / "7.done").touch()
        wait_for(lambda: bool(listener.bodies()), 60, service.last_words)
        (other / "8.done").touch()
        wait_for(lambda: len(received(listener)) > 1, 60, service.last_words)
    assert received(listener) == [
        {"directory": "/proj/a/runs/7", "files": 3},
        {"directory": "/proj/a/runs/8", "files": 3},
    ]


def is_active(environment: dict[str, str]) -> bool:
    """Whether the dispatcher asks the page's rule."""
    done = lustre_events("actions", "list", "--json", environment=environment)
    return done.returncode == 0 and b'"reduce"' in done.stdout


def received(listener: Listener) -> list[dict[str, object]]:
    """Return the data of all events so far."""
    return [json.loads(body)["data"] for body in listener.bodies()]
