"""examples/: each group's rules do what its page says, on the sample files that the page copies."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lustre_events.errors import LustreEventsError
from lustre_events.index import open_search
from tests.support.pages import CONSOLE, commands, shows
from tests.support.servers.http import Listener, listening
from tests.support.service.command import REPOSITORY, clean_environment
from tests.support.service.service import PARTS, Service
from tests.support.waiting import wait_for

EXAMPLES = REPOSITORY / "examples"
GROUPS = sorted(path.parent.name for path in EXAMPLES.glob("*/rules.toml"))
SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes....").decode()
SHELL = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
EVENT = re.compile(r"^```json\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("group", GROUPS)
def test_the_page_of_a_group_is_what_happens(group: str, all_images: Path) -> None:
    """Files are copied, searches print what the page shows, and the endpoint gets the event that it shows."""
    page = (EXAMPLES / group / "README.md").read_text()
    with ExitStack() as stack:
        folder = opened(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        listener = stack.enter_context(listening())
        rules = (EXAMPLES / group / "rules.toml").read_text()
        service = stack.enter_context(Service(folder, runtime="apptainer", images=all_images, rules=rules))
        configure(service, folder, group, listener.url)
        start(service, folder)
        copied = 0
        for block in CONSOLE.findall(page):
            for words, printed in commands(block):
                if words[0] == "lustre-events":
                    wait_for(partial(indexed, service, copied), 60, service.last_words)
                    said = ask(service, *words[1:])
                    assert shows(printed, said.splitlines()), f"{words} prints:\n{said}"
                else:
                    subprocess.run(move_to(service, words), cwd=REPOSITORY, check=True, timeout=10)
                    copied += words[0] == "install"
        event = json.loads(EVENT.findall(page)[0])
        wait_for(lambda: event in received(listener), 60, lambda: f"{received(listener)} {service.last_words()}")


def configure(service: Service, folder: Path, group: str, url: str) -> None:
    """Let the group's endpoint be the test's listener; the rules of `Service` itself go."""
    (folder / "secret").write_text(SECRET)
    (folder / "secret").chmod(0o600)
    text = (EXAMPLES / group / "endpoints.toml").read_text()
    text = re.sub(r'^url = ".*"', f'url = "{url}"\nprivate = true', text, flags=re.MULTILINE)
    text = re.sub(r'^secret = ".*"', f'secret = "{folder}/secret"', text, flags=re.MULTILINE)
    (folder / "endpoints.toml").write_text(text)
    (folder / "rules.toml").write_text((EXAMPLES / group / "rules.toml").read_text())
    service.config.write_text(service.config.read_text() + f'[actions]\nendpoints = "{folder}/endpoints.toml"\n')


def start(service: Service, folder: Path) -> None:
    """Start all parts, and wait until the rules are active: they act on what happens from then on."""
    service.start_redis()
    for name in PARTS:
        service.start_part(name)
    wait_for((folder / "state" / "actions.key").is_file, failure=service.last_words)
    service.start_part("courier", "lustre_events", "courier")
    wait_for(lambda: ask(service, "actions", "list").startswith("rule "), failure=service.last_words)


def move_to(service: Service, words: list[str]) -> list[str]:
    """Return a command of the page that works on the service's files."""
    return [re.sub(r"^files/", f"{service.files}/", word) for word in words]


def ask(service: Service, *words: str) -> str:
    """Return what a command prints; paths stand below /mnt/lustre, as in the pages."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "lustre_events", *words], capture_output=True, text=True, timeout=60,
        check=False, cwd=service.files, env=clean_environment({
            "LUSTRE_EVENTS_CONFIG": str(service.config), "LUSTRE_EVENTS_REDIS_URL": service.redis.url,
            "PYTHONPATH": str(REPOSITORY), "COLUMNS": "120",
        }),
    )  # fmt: skip
    return (done.stdout + done.stderr).replace(str(service.files), "/mnt/lustre")


def indexed(service: Service, files: int) -> bool:
    """Whether this number of files has documents, and no work is pending."""
    return documents(service) >= files


def documents(service: Service) -> int:
    """Return how many documents there are, once no work is pending."""
    try:
        with open_search(service.index) as search:
            stats = search.stats()
    except LustreEventsError:
        return -1
    return sum(stats.counts.documents.values()) if not stats.pending else -1


def received(listener: Listener) -> list[dict[str, Any]]:
    """Return the data of all events so far."""
    found = []
    for body in map(json.loads, listener.bodies()):
        found += [event["data"] for event in (body if isinstance(body, list) else [body])]
    return found


@pytest.mark.timeout(120)
def test_the_notebook_runs_from_a_search_to_a_plot(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each cell gives the text that the notebook keeps, and the last one draws (RUN_NOTEBOOK=--write renews)."""
    kept = json.loads((EXAMPLES / "notebook.ipynb").read_text())["cells"]
    with tempfile.TemporaryDirectory() as name, Service(opened(Path(name))) as service:
        table = service.files / "climate" / "stations" / "2026.csv"
        table.parent.mkdir(parents=True)
        table.write_bytes((REPOSITORY / "extractors/tabular/samples/weather.csv").read_bytes())
        service.start_redis()
        for part in PARTS:
            service.start_part(part)
        wait_for(lambda: documents(service) == 1, failure=service.last_words)
        run = subprocess.run(
            [sys.executable, "-P", EXAMPLES / "run_notebook.py", *filter(None, [os.environ.get("RUN_NOTEBOOK")])],
            capture_output=True, text=True, timeout=60, check=False, cwd=service.files,
            env=clean_environment({
                "LUSTRE_EVENTS_CONFIG": str(service.config), "PYTHONPATH": str(REPOSITORY),
                "MPLCONFIGDIR": str(tmp_path_factory.mktemp("matplotlib")),
            }),
        )  # fmt: skip
    assert run.returncode == 0, run.stderr
    outputs = [json.loads(line) for line in run.stdout.splitlines()]
    assert list(map(texts, outputs)) == [texts(cell.get("outputs", [])) for cell in kept]
    assert [list(each["data"]) for each in outputs[-1]] == [["image/png"]]


def texts(outputs: list[dict[str, Any]]) -> list[str]:
    """Return what a cell printed, and its value."""
    return ["".join(each.get("text") or each["data"].get("text/plain", [])) for each in outputs]


def opened(folder: Path) -> Path:
    """Let the account that runs extractors in."""
    folder.chmod(0o755)
    return folder


READY = "worker of queue default"


@pytest.mark.timeout(180)
def test_an_example_is_tried_as_the_page_says(open_folder: Path, base_image: Path) -> None:
    """What is typed in the root of a checkout starts the service; in a second terminal the file is found."""
    page = (EXAMPLES / "README.md").read_text()
    (first,), (second,) = SHELL.findall(page), CONSOLE.findall(page)
    assert f"`{READY}`" in page
    for name in ("examples", "extractors"):
        (open_folder / name).symlink_to(REPOSITORY / name)
    program = open_folder / ".venv" / "bin" / "lustre-events"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m lustre_events "$@"\n')
    program.chmod(0o755)
    environment = clean_environment({"PYTHONPATH": str(REPOSITORY), "LUSTRE_EVENTS_WORKER_IMAGES": str(base_image)})
    log = open_folder / "run.log"
    with log.open("wb") as output:
        running = subprocess.Popen(
            ["bash", "-c", first], cwd=open_folder, env=environment, stdin=subprocess.DEVNULL, stdout=output,
            stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        wait_for(lambda: READY in log.read_text(), 60, log.read_text)
        kept: list[str] = []
        for step in re.split(r"^\$ ", second, flags=re.MULTILINE)[1:]:
            command, *printed = step.rstrip("\n").split("\n")
            if command.startswith("export "):
                kept.append(command)
                continue
            typed, said = [*kept, command], list[str]()
            wait_for(partial(_prints, typed, printed, said, open_folder, environment), 60,
                     partial("{}\n{}".format, said, log))  # fmt: skip
    finally:
        os.killpg(running.pid, signal.SIGINT)
        running.wait(30)


def _prints(
    typed: list[str], printed: list[str], said: list[str], folder: Path, environment: dict[str, str]
) -> bool:
    """Whether these commands print what the page shows; keep in `said` what they printed."""
    done = subprocess.run(
        ["bash", "-c", "\n".join(typed)], cwd=folder, env=environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    said[:] = (done.stdout + done.stderr).splitlines()
    return shows(printed, said)
