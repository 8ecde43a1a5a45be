"""Every command, as somebody without rights: whatever is missing is one sentence, never a traceback."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from lustre_events.cli.main import COMMANDS, cli
from lustre_events.index import open_writer
from tests.support.unprivileged import Ran, Run, run_all

FID = "[0x200000401:0x1:0x0]"
WORDS: dict[str, str] = {
    "actions backfill": "told *",
    "actions hold": "told",
    "actions release": "told",
    "actions show": "told",
    "actions try": "told / --dry-run",
    "changelog deregister": "lustre-events",
    "config check": "{here}/none.toml",
    "continuity accept": "lustre-MDT0000",
    "continuity reconcile": "lustre-MDT0000",
    "dashboard": "--listen 127.0.0.1:1",
    "decode": "{here}/settings.toml",
    "demo": "--images {here}/none",
    "du": "/",
    "explain": "/a",
    "endpoints approve": "archive",
    "extractor add": "{here}/own --no-validate",
    "extractor approve": "text",
    "extractor build": "text",
    "extractor disable": "text",
    "extractor enable": "text",
    "extractor init": "{here}/closed/made",
    "extractor reprocess": "text --where type:f",
    "extractor resume": "text",
    "extractor suspend": "text",
    "extractor try": "text {here}/settings.toml",
    "extractor validate": "text",
    "failed show": FID,
    "groups remove": "mine",
    "history": "/a/**",
    "metrics": "--listen 127.0.0.1:1",
    "pool add": "lab",
    "pool remove": "lab",
    "reader": "--mdt lustre-MDT0000",
    "replay": "{here}/records",
    "rules check": "{here}/none.toml",
    "rules explain": "/a",
    "rules test": "{here}/none.toml",
    "runs show": "0123456789abcdef",
    "scan": "{here}",
    "search": "*",
    "show": FID,
    "token create": "--server https://127.0.0.1:1",
    "token list": "--server https://127.0.0.1:1",
    "token revoke": "abc --server https://127.0.0.1:1",
    "verify": "{here}",
    "web": "--listen 127.0.0.1:1",
    "web-password": "ada --password secret",
}
"""What the commands need to be told; the others need nothing."""

KINDS = range(1, 10)
"""The exit codes of errors.py."""


def commands() -> Iterator[str]:
    """Yield every command and subcommand, as one types it."""
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        if isinstance(command, click.Group):
            yield from (f"{name} {each}" for each in command.list_commands(context))
        else:
            yield name


@pytest.fixture
def here(open_folder: Path) -> Path:
    """A folder that everybody reads, with settings, records, and an index in a closed folder and in an open one."""
    for name in ("closed", "open", "records", "own"):
        (open_folder / name).mkdir()
    for name in ("closed", "open"):
        open_writer(f"sqlite:///{open_folder}/{name}/index.db").close()
        (open_folder / name / "index.db").chmod(0o644)
    (open_folder / "closed").chmod(0o700)
    (open_folder / "open").chmod(0o777)
    (open_folder / "settings.toml").write_text(
        f'[redis]\nurl = "unix://{open_folder}/none.sock"\n[filesystem]\nsource = "directory"\n'
        f'mount = "{open_folder}"\nstate = "{open_folder}/closed/state"\n'
    )
    return open_folder


def walk(here: Path, environment: dict[str, str], **more: object) -> dict[str, Ran]:
    """Run every command as an account without rights."""
    own = {"HOME": str(here / "none"), "TMPDIR": str(here / "none"), **environment}
    runs = {
        name: Run([*name.split(), *(word.format(here=here) for word in WORDS.get(name, "").split())], own, **more)  # type: ignore[arg-type]
        for name in commands()
    }
    return dict(zip(runs, run_all(list(runs.values())), strict=True))


def faults(results: dict[str, Ran]) -> list[str]:
    """Return what is no sentence, or has another exit code than that of its kind."""
    found = []
    for name, ran in results.items():
        *_, last = ["", *ran.stderr.strip().splitlines()]
        if "Usage: " in ran.stderr:
            found.append(
                f"{name}: was not understood, so nothing was tried; give it what it needs in WORDS: {last}"
            )
        elif "Traceback" in ran.stderr or "Exception ignored" in ran.stderr:
            found.append(f"{name}: a traceback: {last}")
        elif ran.code not in {0, *KINDS}:
            found.append(f"{name}: exit code {ran.code}: {last}")
        elif ran.code and not re.match(r"(lustre-events: |Error: |\{)", last) and not ran.stdout:
            found.append(f"{name}: no sentence: {last!r}")
    return found


def test_without_settings_each_command_says_what_is_missing_and_whom_to_ask(here: Path) -> None:
    """An ordinary user of a node where nobody set anything up gets one sentence from every command."""
    results = walk(here, {})
    assert faults(results) == []
    for name in ("search", "failed retry", "extractor reprocess", "groups list", "explain"):
        assert "ask the administrators" in results[name].stderr, (name, results[name])


@pytest.mark.parametrize("index", ["open", "closed"])
def test_without_redis_each_command_says_so(index: str, here: Path) -> None:
    """Where Redis is away, with an index that is open and with one that is closed, there is no traceback."""
    url = f"sqlite:///{here}/{index}/index.db"
    results = walk(here, {"LUSTRE_EVENTS_CONFIG": f"{here}/settings.toml", "LUSTRE_EVENTS_INDEX_URL": url})
    assert faults(results) == []
    if index == "closed":
        assert "has no right to read" in results["search"].stderr
        assert results["search"].code == 6


def test_on_a_full_disk_each_command_says_so(here: Path) -> None:
    """What cannot be written, to stdout or to a file, is one sentence and never an exit code of 0."""
    url = f"sqlite:///{here}/open/index.db"
    own = {
        "LUSTRE_EVENTS_CONFIG": f"{here}/settings.toml",
        "LUSTRE_EVENTS_INDEX_URL": url,
        "TMPDIR": f"{here}/open",
    }
    results = walk(here, own, stdout="/dev/full", most_bytes=0)
    assert faults(results) == []
    assert {name: results[name].code for name in ("config example", "extractor list")} == {
        "config example": 9, "extractor list": 9,
    }  # fmt: skip
    assert "No space left" in results["config example"].stderr
