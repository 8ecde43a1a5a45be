"""The tutorial in extractors/README.md: every command is run, every output compared."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import fastjsonschema
import pytest

from lustre_events.catalog import template
from tests.support.pages import CONSOLE, commands, shows
from tests.support.service.command import clean_environment, lustre_events
from tests.support.service.images import EXTRACTORS, REPOSITORY
from tests.support.service.owner import OWNER, as_owner
from tests.support.service.service import PARTS, Service
from tests.support.waiting import wait_for

pytestmark = pytest.mark.apptainer

SECONDS = 60
PAGE = (EXTRACTORS / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?:^`([\w./]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
WRONG_CODE = 7
IMAGES, SITE, MOUNT = "/var/cache/lustre-events/images", "/lustre/site", "/mnt/lustre"
"""Folders of the page, in the place of which a test has its own."""


def part(heading: str) -> str:
    """Return what the page has below a heading, up to the next one."""
    return re.split(r"^##+ ", PAGE.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def steps(text: str) -> Iterator[tuple[str, str]]:
    """Yield (file, content) of what is to be written, and ("$ command", output) of what is to be run."""
    for name, kind, block in BLOCK.findall(text):
        if name:
            yield name, block
        elif kind == "console":
            for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, output = step.partition("\n")
                yield f"$ {command}", output


TUTORIAL = part("Your own in ten minutes") + part("A script that you have already")
WRITTEN = {name: text for name, text in steps(TUTORIAL) if not name.startswith("$ ")}


def test_tutorial_is_true(open_folder: Path, base_image: Path) -> None:
    """Followed step by step, the tutorial prints what it says, for both contracts, and fails nowhere else."""
    commands = open_folder / "bin"
    commands.mkdir()
    program = commands / "lustre-events"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m lustre_events "$@"\n')
    program.chmod(0o755)
    environment = clean_environment(
        {"PATH": f"{commands}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)},
    )
    place = open_folder / "work"
    place.mkdir()
    ran = 0

    for what, text in steps(TUTORIAL):
        if not what.startswith("$ "):
            (place / what).write_text(text)
            continue
        if what.startswith("$ export "):
            name, _, value = what.removeprefix("$ export ").partition("=")
            environment[name] = value.replace("$PWD", str(place)).replace(IMAGES, str(base_image))
            continue
        done = subprocess.run(
            [shutil.which("bash") or "sh", "-c", what[2:]], cwd=place, env=environment, capture_output=True,
            text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        assert (what, done.stdout, done.stderr) == (what, text, "")
        assert done.returncode == (WRONG_CODE if "failed: " in text else 0)
        ran += 1
    assert ran > 10


def finished(folder: Path) -> Path:
    """Write the extractor as the tutorial leaves it."""
    made = folder / "rainfall"
    template.write(made, "batch")
    (made / "rainfall.py").write_text(WRITTEN["rainfall/rainfall.py"])
    (made / "samples" / "sample.txt").unlink()
    (made / "samples" / "jena.rain").write_text("station Jena\n0.5\n12.25\n")
    (made / "samples" / "bad-gera.rain").write_text("station Gera\nmuch\n")
    return made


@pytest.mark.timeout(180)
def test_a_user_brings_an_extractor_alone(open_folder: Path, base_image: Path) -> None:
    """With the settings of "Yours alone", a user adds the extractor and a rule; both hold for that user's files."""
    text = part("Yours alone, on a site")
    (settings,) = [block for _, kind, block in BLOCK.findall(text) if kind == "toml"]
    lines = {
        section: "".join(f"{key} = {json.dumps(here(value, open_folder))}\n" for key, value in keys.items())
        for section, keys in tomllib.loads(settings).items()
    }
    with Service(open_folder, runtime="apptainer", images=base_image, **lines) as service:
        own = {name: open_folder / "site" / name for name in ("extractors", "rules", "home")}
        for folder in own.values():
            folder.mkdir(parents=True)
        finished(own["home"])
        (own["extractors"] / OWNER.pw_name).mkdir()
        rules = own["rules"] / f"{OWNER.pw_name}.toml"
        rules.write_text(WRITTEN["rules.toml"])
        for path in (own["home"], *own["home"].rglob("*"), own["extractors"] / OWNER.pw_name, rules):
            os.chown(path, OWNER.pw_uid, OWNER.pw_gid)
        environment = clean_environment({
            "HOME": str(own["home"]), "USER": OWNER.pw_name, "LOGNAME": OWNER.pw_name, "TMPDIR": "/tmp",
            "LUSTRE_EVENTS_CONFIG": str(service.config), "PYTHONPATH": str(REPOSITORY), "COLUMNS": "120",
        })  # fmt: skip
        for words, printed in (step for block in CONSOLE.findall(text) for step in commands(block)):
            there = [here(word, open_folder).replace("ada", OWNER.pw_name) for word in words[1:]]
            done = subprocess.run(
                [*as_owner(), sys.executable, "-P", "-m", "lustre_events", *there], env=environment,
                cwd=own["home"], capture_output=True, text=True, timeout=SECONDS, check=False,
            )  # fmt: skip
            said = (done.stdout + done.stderr).replace(f"{open_folder}/site", SITE).replace(OWNER.pw_name, "ada")
            assert done.returncode == 0, said
            assert shows(printed, said.splitlines()), f"{words} prints:\n{said}"
        start(service)
        for owner, name in ((OWNER.pw_uid, "hers.rain"), (1, "others.rain")):
            path = service.files / name
            path.write_text("station Jena\n0.5\n12.25\n")
            os.chown(path, owner, -1)
        wait_for(partial(finds, service, f"{OWNER.pw_name}/rainfall.station:Jena", ["/hers.rain"]), 60,
                 service.last_words)  # fmt: skip


@pytest.mark.timeout(180)
def test_what_is_done_after_a_new_version(open_folder: Path, base_image: Path) -> None:
    """On a service with two files, of which one fails, the commands print what the page shows."""
    with Service(open_folder, runtime="apptainer", images=base_image, rules=WRITTEN["rules.toml"]) as service:
        made = finished(service.extractors)
        start(service)
        weather = service.files / "weather"
        weather.mkdir()
        for name in ("jena", "gera"):
            (sample,) = made.glob(f"samples/*{name}.rain")
            shutil.copy(sample, weather / f"{name}.rain")
        wait_for(partial(finds, service, "failed:rainfall OR rainfall.days:2", ["gera", "jena"]), 60,
                 service.last_words)  # fmt: skip
        manifest = made / "manifest.toml"
        manifest.write_text(manifest.read_text().replace('version = "1"', 'version = "2"'))
        said: list[str] = []
        for block in CONSOLE.findall(part("A new version")):
            for words, printed in commands(block):
                wait_for(partial(prints, service, words, printed, said), 30, said.__str__)


def start(service: Service) -> None:
    """Start Redis and all parts."""
    service.start_redis()
    for name in PARTS:
        service.start_part(name)


def here(text: str, folder: Path) -> str:
    """Return what the page says with this test's folder."""
    return text.replace(SITE, f"{folder}/site")


def ask(service: Service, *words: str) -> str:
    """Return what a command prints."""
    settings = {"LUSTRE_EVENTS_CONFIG": str(service.config), "LUSTRE_EVENTS_REDIS_URL": service.redis.url}
    done = lustre_events(*words, environment={**settings, "COLUMNS": "120"})
    return (done.stdout + done.stderr).decode().replace(str(service.files), MOUNT)


def finds(service: Service, query: str, names: list[str]) -> bool:
    """Whether a search finds just the files whose paths have these words, one each."""
    found = ask(service, "search", query).splitlines()
    return len(found) == len(names) and all(any(name in path for path in found) for name in names)


def prints(service: Service, words: list[str], printed: list[str], said: list[str]) -> bool:
    """Whether a command prints what the page shows; keep in `said` what it printed."""
    said[:] = [shlex.join(words), *ask(service, *words[1:]).splitlines()]
    return shows(printed, said[1:])


def test_the_lines_of_the_contract_are_those_of_its_schema() -> None:
    """What the page lets a program print is what the schema of an answer allows; what it reads has path and id."""
    (block,) = [text for _, kind, text in BLOCK.findall(part("Contract")) if kind == "text"]
    lines = [json.loads(text) for text in re.findall(r"\{.*?\}(?= {2,}|\n|$)", block)]
    told = [line for line in lines if "path" in line]
    answer = fastjsonschema.compile(json.loads((EXTRACTORS / "schema" / "answer.json").read_text()))
    for line in lines:
        if line not in told:
            answer(line)
    assert [list(line) for line in told] == [["id", "path"]] * 2
    assert lines[-1] == {"end": len(told)}


@pytest.mark.timeout(300)
def test_an_image_with_one_more_library_is_built(open_folder: Path, base_image: Path) -> None:
    """The definition file adds what lies in `lib` to an image, and `build` says where the new image is."""
    text = part("An image with one more library, without root")
    images, folder = open_folder / "images", finished(open_folder)
    images.mkdir()
    (images / "documents.sif").symlink_to(base_image / "base.sif")
    (folder / "manifest.toml").write_text(
        (folder / "manifest.toml").read_text().replace('image = "base"', 'image = "rainfall"')
    )
    ((name, definition),) = [(name, block) for name, _, block in BLOCK.findall(text) if name]
    (open_folder / name).write_text(definition)
    for what, output in steps(text):
        words = what[2:].split()
        if words[0] == "pip":  # which needs a network: this is what it would install
            (library,) = re.findall(r"(\w+)==", what)
            (folder / "lib").mkdir()
            (folder / "lib" / f"{library}.py").write_text("")
        elif words[0] == "lustre-events":
            environment = {"LUSTRE_EVENTS_WORKER_IMAGES": str(images)}
            done = lustre_events(*words[1:], environment=environment, cwd=open_folder, seconds=240)
            said = (done.stderr + done.stdout).decode().replace(str(images), IMAGES)
            assert shows(output.splitlines(), said.splitlines()), said
    assert (images / "rainfall.sif").is_file()
