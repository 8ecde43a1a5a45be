"""docs/containers.md: its action, its image and its rule do what the page says, in a container, as the owner.

The rule of docs/chains.md comes after it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.need import need
from tests.support.pages import commands
from tests.support.servers.http import Listener, listening
from tests.support.servers.redis import login
from tests.support.service.command import REPOSITORY, clean_environment, lustre_events
from tests.support.service.owner import OWNER, as_owner
from tests.support.service.service import PARTS, Service
from tests.support.waiting import wait_for

BLOCKS = re.findall(
    r"^```(\w*)\n(.*?)^```", (REPOSITORY / "docs" / "containers.md").read_text(), re.DOTALL | re.MULTILINE
)
MANIFEST, SCHEMA, PROGRAM, DEFINITION, RULE, SETTINGS = (text for _, text in BLOCKS[:6])
OWN_SETTINGS, GRANT, OWN_MANIFEST, OWN_PROGRAM, OWN_DEFINITION, OWN_COMMANDS, OWN_RULE = (
    text for _, text in BLOCKS[6:]
)
CHAINS = (REPOSITORY / "docs" / "chains.md").read_text()
(SHIP,) = re.findall(r"^```toml\n(.*?)^```", CHAINS, re.DOTALL | re.MULTILINE)
(ASKED,) = re.findall(r"^```text\n(.*?)^```", CHAINS, re.DOTALL | re.MULTILINE)
ENDPOINT = '[endpoint.beamline]\nkind = "webhook"\nurl = "{url}"\nprivate = true\n'
GREEDY = (
    RULE.replace('"calibrate"\ndir', '"greedy"\ndir').replace("/proj/*/raw/**", "/proj/**").replace("../c", "../c-")
)
"""A rule that holds for its own outputs, too, and for those of the page's rule."""


def test_the_page_has_an_action_a_rule_and_settings() -> None:
    """The page has a manifest, a schema, a program, an image, a rule and settings; then those of a user's own."""
    languages = [language for language, _ in BLOCKS]
    assert languages[:6] == ["toml", "json", "python", "", "toml", "toml"]
    assert languages[6:] == ["toml", "toml", "toml", "sh", "", "text", "toml"]
    assert list(tomllib.loads(SETTINGS)) == ["actions"]


def test_the_rules_say_what_the_page_on_chains_shows(open_folder: Path) -> None:
    """Who asks about a file is told which rule would come after which, and where the chain would not begin."""
    write_action(open_folder / "actions" / "calibrate")
    service = Service(open_folder)
    set_up(service, open_folder, "https://127.0.0.1:1")
    (open_folder / "chain.toml").write_text(RULE + SHIP)
    for words, printed in commands(ASKED):
        named = [str(open_folder / word) if word == "chain.toml" else word for word in words[1:]]
        done = lustre_events(*named, environment={"LUSTRE_EVENTS_CONFIG": str(service.config)})
        assert done.returncode == 0, done.stderr
        assert done.stdout.decode().replace(f"{open_folder}/", "").splitlines() == printed


@pytest.mark.apptainer
@pytest.mark.timeout(180)
def test_the_action_of_the_page_runs(base_image: Path) -> None:
    """A raw file gets its calibrated one, made in a container as its owner; only the rule after it is woken."""
    with ExitStack() as stack:
        listener = stack.enter_context(listening())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        write_action(folder / "actions" / "calibrate")
        images = folder / "images"
        images.mkdir()
        (images / "calibrate.sif").symlink_to(base_image / "base.sif")
        more = f'approved = "{folder / "approved"}"\nunpack_images = false\n'
        service = stack.enter_context(
            Service(folder, runtime="apptainer", images=images, rules=RULE + GREEDY + SHIP, worker=more)
        )
        set_up(service, folder, listener.url)
        environment = {"LUSTRE_EVENTS_CONFIG": str(service.config)}
        done = lustre_events("extractor", "approve", "calibrate", environment=environment)
        assert done.returncode == 0, done.stderr.decode()
        service.start_redis()
        environment["LUSTRE_EVENTS_REDIS_URL"] = login(service.redis, "admin")
        for name in ("reader", "dispatcher", "builtin"):
            service.start_part(name)
        wait_for((folder / "state" / "worker.key").is_file, failure=service.last_words)
        service.start_part("worker", *PARTS["worker"], "--instance", "actions")
        service.start_part("courier", "lustre_events", "courier")
        wait_for(lambda: is_active(environment), failure=service.last_words)
        made = play(service)
        wait_for(lambda: len(shipped(listener)) > 1, 60, service.last_words)
        wait_for(lambda: not_done(environment) == [], 60, service.last_words)
        again = lustre_events("runs", "list", "--json", environment=environment)
        told = json.loads((made.parent / ".run1.txt.calibrate.done").read_text())
    assert told["outputs"] == ["calibrated.txt"]
    runs = [json.loads(line) for line in again.stdout.splitlines()]
    assert (
        sorted((run["rule"], run["state"]) for run in runs)
        == [("calibrate", "done")] * 2 + [("greedy", "done")] * 2 + [("ship", "done")] * 2
    )
    assert shipped(listener) == [
        {"raw": f"/proj/ada/raw/{name}", "made": ["/proj/ada/calibrated/calibrated.txt"]}
        for name in ("run1.txt", "run2.txt")
    ]


@pytest.mark.apptainer
def test_the_image_of_the_page_is_built(open_folder: Path, tiny_image: Path) -> None:
    """The definition file makes an image of the one that is there, with what its %post says."""
    images = open_folder / "images"
    images.mkdir()
    shutil.copy(tiny_image, images / "base.sif")
    folder = write_action(open_folder / "calibrate")
    done = lustre_events("extractor", "build", folder, environment={"LUSTRE_EVENTS_WORKER_IMAGES": str(images)})
    assert done.returncode == 0, done.stderr.decode()
    argv = [need("apptainer"), "-q", "exec", str(images / "calibrate.sif"), "cat", "/offset"]
    assert subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout == b"100\n"


@pytest.mark.apptainer
@pytest.mark.timeout(180)
def test_a_user_does_it_alone(tiny_image: Path) -> None:
    """Action, image and rule of a user, made as the page says and without root, run on that user's files alone."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        images = folder / "images"
        images.mkdir()
        shutil.copy(tiny_image, images / "base.sif")
        service = stack.enter_context(
            Service(folder, runtime="apptainer", images=images, worker="unpack_images = false\n")
        )
        allow(service, folder)
        do_alone(service, folder)
        service.start_redis()
        environment = {"LUSTRE_EVENTS_CONFIG": str(service.config)}
        environment["LUSTRE_EVENTS_REDIS_URL"] = login(service.redis, "admin")
        for name in ("reader", "dispatcher", "builtin"):
            service.start_part(name)
        wait_for((folder / "state" / "worker.key").is_file, failure=service.last_words)
        service.start_part("worker", *PARTS["worker"], "--instance", "actions")
        wait_for(lambda: is_active(environment, f"{OWNER.pw_name}/columns"), failure=service.last_words)
        made = play_alone(service)
        listed = lustre_events("runs", "list", "--json", environment=environment)
    assert made == ["the first column", "time", "1"]
    runs = [json.loads(line) for line in listed.stdout.splitlines()]
    assert [(run["rule"], run["state"]) for run in runs] == [(f"{OWNER.pw_name}/columns", "done")]


def allow(service: Service, folder: Path) -> None:
    """Let users have actions and rules, as the page says."""
    (folder / "endpoints.toml").write_text(GRANT)
    actions, dispatcher = OWN_SETTINGS.replace("/lustre/site", f"{folder}/site").split("[dispatcher]\n")
    actions = actions.replace("/etc/lustre-events/endpoints.toml", f"{folder}/endpoints.toml")
    text = service.config.read_text().replace("[dispatcher]\n", f"[dispatcher]\n{dispatcher}")
    service.config.write_text(text + actions)
    for kind in ("actions", "rules"):
        own = folder / "site" / kind / OWNER.pw_name
        own.mkdir(parents=True)
        os.chown(own, OWNER.pw_uid, OWNER.pw_gid)


def do_alone(service: Service, folder: Path) -> None:
    """Write what the page says as the user, and run its commands."""
    home = folder / "home"
    (home / "columns").mkdir(parents=True)
    named = {"manifest.toml": OWN_MANIFEST, "columns.sh": OWN_PROGRAM, "columns.def": OWN_DEFINITION}
    for name, text in named.items():
        (home / "columns" / name).write_text(text)
    rules = folder / "site" / "rules" / f"{OWNER.pw_name}.toml"
    rules.write_text(OWN_RULE)
    for path in (home, rules, *home.rglob("*")):
        os.chown(path, OWNER.pw_uid, OWNER.pw_gid)
    lines = [line.removeprefix("$ ") for line in OWN_COMMANDS.splitlines() if line.startswith("$ ")]
    script = "\n".join(["set -e", *lines, f"lustre-events rules check --user {rules}"])
    for shown, there in (("/lustre/site", f"{folder}/site"), ("/var/cache/lustre-events", str(folder))):
        script = script.replace(shown, there)
    done = subprocess.run(
        [*as_owner(), "sh", "-c", script], capture_output=True, check=False, timeout=120, cwd=home,
        env=clean_environment({
            "HOME": str(home), "TMPDIR": str(home), "USER": OWNER.pw_name, "LOGNAME": OWNER.pw_name,
            "LUSTRE_EVENTS_CONFIG": str(service.config),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().endswith(f"{rules}: ok, 1 rule of actions\n")
    assert (folder / "site" / "actions" / OWNER.pw_name / "images" / "columns.sif").stat().st_uid == OWNER.pw_uid


def play_alone(service: Service) -> list[str]:
    """Write the same table as the user and as another one, and return what was made of the user's."""
    tables = {OWNER.pw_uid: service.files / "mine", **({1: service.files / "others"} if os.geteuid() == 0 else {})}
    for uid, folder in reversed(tables.items()):
        folder.mkdir()
        os.chown(folder, uid, -1)
        with (folder / "run1.csv").open("w") as file:
            os.fchown(file.fileno(), uid, -1)
            file.write("time,depth\n1,2\n")
    marker = service.files / "mine" / "columns" / ".run1.csv.columns.done"
    wait_for(marker.exists, 60, service.last_words)
    assert not any((folder / "columns").exists() for uid, folder in tables.items() if uid != OWNER.pw_uid)
    made = marker.parent / "first-column.txt"
    assert made.stat().st_uid == OWNER.pw_uid
    return made.read_text().splitlines()


def is_active(environment: dict[str, str], rule: str = "calibrate") -> bool:
    """Whether the dispatcher asks a rule of the page."""
    done = lustre_events("actions", "list", "--json", environment=environment)
    return done.returncode == 0 and f'"{rule}"'.encode() in done.stdout


def set_up(service: Service, folder: Path, url: str) -> None:
    """Let the service know the folder of actions, and the endpoint of the rule that comes after."""
    (folder / "endpoints.toml").write_text(ENDPOINT.format(url=url))
    actions = SETTINGS.replace("/etc/lustre-events/actions", str(folder / "actions"))
    more = f'endpoints = "{folder / "endpoints.toml"}"\n'
    service.config.write_text(service.config.read_text() + actions + more)


def shipped(listener: Listener) -> list[dict[str, object]]:
    """Return the data of all events so far."""
    return [json.loads(body)["data"] for body in listener.bodies()]


def not_done(environment: dict[str, str]) -> list[str]:
    """Return the states of runs that are not done."""
    found = lustre_events("runs", "list", "--json", environment=environment).stdout.splitlines()
    return [state for line in found if (state := json.loads(line)["state"]) != "done"]


def write_action(folder: Path) -> Path:
    """Write what the page says."""
    folder.mkdir(parents=True)
    (folder / "manifest.toml").write_text(MANIFEST)
    (folder / "with.schema.json").write_text(SCHEMA)
    (folder / "calibrate.py").write_text(PROGRAM)
    (folder / "calibrate.def").write_text(DEFINITION)
    return folder


def play(service: Service) -> Path:
    """Write a raw file, wait until its calibrated one is there, and return that."""
    raw = service.files / "proj" / "ada" / "raw"
    raw.mkdir(parents=True)
    made = raw.parent / "calibrated" / "calibrated.txt"
    for each in (raw, raw.parent):
        os.chown(each, OWNER.pw_uid, OWNER.pw_gid)
    for name in ("run1.txt", "run2.txt"):  # the second one comes when the first one's outputs are there
        (raw / name).write_text("1\n2.5\n")
        os.chown(raw / name, OWNER.pw_uid, OWNER.pw_gid)
        for target in (made.parent, raw.parent / "c-alibrated"):
            wait_for((target / f".{name}.calibrate.done").exists, 60, service.last_words)
    assert made.read_text() == "2.0\n5.0\n"
    assert made.stat().st_uid == OWNER.pw_uid
    assert sorted(each.name for each in raw.iterdir()) == ["run1.txt", "run2.txt"]
    return made
