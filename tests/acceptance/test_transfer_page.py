"""docs/transfer.md: its endpoint, its rule and its setting copy each file, by a real worker and rsync."""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from contextlib import ExitStack
from pathlib import Path

import pytest

from lustre_events.actions import transfer_commands
from lustre_events.actions.kinds import transfer
from lustre_events.domain.rules import endpoints
from tests.support.model.actions import rules_of
from tests.support.need import need
from tests.support.servers.redis import login
from tests.support.service.command import REPOSITORY, lustre_events
from tests.support.service.copy_site import OWNER
from tests.support.service.service import PARTS, Service
from tests.support.waiting import wait_for
from workers import many_copies, tree_listing

PAGE = (REPOSITORY / "docs" / "transfer.md").read_text()
ENDPOINT, RULE, MORE, SETTINGS = re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_page_has_an_endpoint_a_rule_and_a_setting() -> None:
    """Each block is what its place takes, and the page names every key of the endpoint and of `with`."""
    assert list(endpoints.parse(ENDPOINT, "endpoints")) == ["archive"]
    assert (list(tomllib.loads(RULE)), list(tomllib.loads(SETTINGS))) == (["rule"], ["actions"])
    for key in (*endpoints.OPTIONAL["transfer"], "secret", "private", "timeout_seconds", "strip"):
        assert f"`{key}`" in PAGE
    first = '[[rule]]\nname = "calibrate"\naction = "calibrate"\noutputs = "../calibrated"\n'
    found = rules_of(RULE + first + MORE).actions.by_name
    assert [rule.action for rule in found.values()] == ["transfer", "calibrate", "transfer", "transfer"]
    assert transfer.CopyOrder.__struct_fields__ == ("fid", "path", "strip", "directory", "outputs")
    assert f"{tree_listing.MOST_FILES:,} files and directories are the most" in PAGE
    assert f"{tree_listing.MOST_BYTES >> 20} MiB of their" in PAGE
    assert f"portions of up to {many_copies.PORTION} files and {many_copies.PORTION_BYTES >> 30} GiB" in PAGE


def test_the_page_tells_what_exit_codes_mean() -> None:
    """The table of the page has the codes that hold an endpoint, and those that are about one file."""
    held, files = transfer_commands.OF_THE_ENDPOINT, transfer_commands.OF_THE_FILE
    for found, words in ((held, "| rsync {};"), (held, "| rclone {};"), (files, "| rsync {}; rclone")):
        family = "rclone" if "rclone {" in words else "rsync"
        assert words.format(", ".join(map(str, sorted(found[family])))) in PAGE
    assert f"rclone {', '.join(map(str, sorted(files['rclone'])))} |" in PAGE


@pytest.mark.timeout(180)
def test_the_transfer_of_the_page_runs() -> None:
    """A file that comes is copied as its owner, by the program that the site has approved."""
    need("rsync")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        archive = folder / "archive" / "incoming"
        archive.mkdir(parents=True)
        os.chown(archive, OWNER.uid, OWNER.gid)
        (folder / "endpoints.toml").write_text(ENDPOINT.replace("/archive/incoming", str(archive)))
        approved = f'approved = "{folder / "approved"}"\n'
        service = stack.enter_context(Service(folder, rules=RULE.replace('"h5"', '"txt"'), worker=approved))
        settings = f'{SETTINGS}endpoints = "{folder / "endpoints.toml"}"\n'
        service.config.write_text(service.config.read_text() + settings)
        environment = {"LUSTRE_EVENTS_CONFIG": str(service.config)}
        for words in (("endpoints", "approve", "archive"), ("endpoints", "check")):
            done = lustre_events(*words, environment=environment)
            assert done.returncode == 0, done
        service.start_redis()
        environment["LUSTRE_EVENTS_REDIS_URL"] = login(service.redis, "admin")
        for name in ("reader", "dispatcher", "builtin"):
            service.start_part(name)
        wait_for((folder / "state" / "worker.key").is_file, failure=service.last_words)
        service.start_part("worker", *PARTS["worker"], "--instance", "transfers")
        wait_for(lambda: b'"ship raw data"' in asked("actions", "list", environment), failure=service.last_words)
        raw = service.files / "proj" / "ada" / "raw"
        raw.mkdir(parents=True)
        (raw / "run 1.txt").write_text("1\n2.5\n")
        os.chown(raw / "run 1.txt", OWNER.uid, OWNER.gid)
        made = archive / "ada" / "raw" / "run 1.txt"
        wait_for(made.exists, 60, service.last_words)
        wait_for(lambda: states(environment) == ["done"], 60, service.last_words)
        assert (made.read_text(), made.stat().st_uid) == ("1\n2.5\n", OWNER.uid)


def asked(command: str, word: str, environment: dict[str, str]) -> bytes:
    """Return what a command says as JSON."""
    return lustre_events(command, word, "--json", environment=environment).stdout


def states(environment: dict[str, str]) -> list[str]:
    """Return the states of all runs."""
    return [json.loads(line)["state"] for line in asked("runs", "list", environment).splitlines()]
