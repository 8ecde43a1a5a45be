"""Slow copies and slow containers do not wait for each other: real workers, RQ and rsync."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.need import need
from tests.support.servers.redis import login
from tests.support.service.command import lustre_events
from tests.support.service.copy_site import OWNER
from tests.support.service.service import PARTS, Service
from tests.support.waiting import wait_for

HANGING = 50
MANIFEST = """
name = "copy"
version = "1"
description = "copies a file, or waits for ever"
command = ["python3", "/extractor/copy.py"]
contract = "action"
trusted = true
[limits]
seconds = 120
"""
PROGRAM = """
import pathlib, sys, time
source, outputs = map(pathlib.Path, sys.argv[1:3])
if source.read_text() == "hang":
    time.sleep(600)
(outputs / "made.out").write_text(source.read_text())
"""
ENDPOINTS = """
[endpoint.stuck]
kind = "transfer"
url = "file://{archive}"
program = "{program}"
timeout_seconds = 300
at_once = 25

[endpoint.archive]
kind = "transfer"
url = "file://{archive}"
"""
RULE = '[[rule]]\nname = "{0}"\nextensions = ["{0}"]\naction = "transfer"\nendpoint = "{1}"\n'
RULES = (
    RULE.format("stuck", "stuck") + RULE.format("good", "archive")
    + '[[rule]]\nname = "copy"\nextensions = ["raw"]\naction = "copy"\noutputs = "out"\n'
)  # fmt: skip


class CopiesAndContainers:
    """A site with a rule of a container, one whose copies hang, and one whose copies arrive."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        folder.chmod(0o755)
        self.archive = folder / "archive"
        self.archive.mkdir()
        os.chown(self.archive, OWNER.uid, OWNER.gid)
        program, action = folder / "hang", folder / "actions" / "copy"
        program.write_text("#!/bin/sh\nexec sleep 600\n")
        program.chmod(0o755)
        action.mkdir(parents=True)
        (action / "manifest.toml").write_text(MANIFEST)
        (action / "copy.py").write_text(PROGRAM)
        (folder / "endpoints.toml").write_text(ENDPOINTS.format(archive=self.archive, program=program))
        more = f'approved = "{folder / "approved"}"\n'
        self.service = stack.enter_context(Service(folder, rules=RULES, worker=more))
        settings = (
            f'[actions]\ntransfers = true\nendpoints = "{folder}/endpoints.toml"\nfolders = ["{action.parent}"]\n'
        )
        self.service.config.write_text(self.service.config.read_text() + settings)
        self.environment = {"LUSTRE_EVENTS_CONFIG": str(self.service.config)}
        for words in (("endpoints", "approve", "stuck"), ("endpoints", "approve", "archive"),
                      ("extractor", "approve", "--kind", "action", "copy")):  # fmt: skip
            done = lustre_events(*words, environment=self.environment)
            assert done.returncode == 0, done
        self.service.start_redis()
        self.environment["LUSTRE_EVENTS_REDIS_URL"] = login(self.service.redis, "admin")
        for name in ("reader", "dispatcher", "builtin"):
            self.service.start_part(name)
        wait_for((folder / "state" / "worker.key").is_file, failure=self.service.last_words)

    def start_worker(self, instance: str) -> None:
        """Start a worker of this name, with the login of workers."""
        url = login(self.service.redis, "worker")
        self.service.start(*PARTS["worker"], "--instance", instance, environment={"LUSTRE_EVENTS_REDIS_URL": url})

    def write(self, names: Sequence[str], content: str = "words") -> None:
        """Make files of the owner."""
        for name in names:
            path = self.service.files / name
            path.parent.mkdir(exist_ok=True)
            os.chown(path.parent, OWNER.uid, OWNER.gid)
            path.write_text(content)
            os.chown(path, OWNER.uid, OWNER.gid)

    def asked(self, *words: str) -> str:
        """Return what a command says."""
        return lustre_events(*words, environment=self.environment).stdout.decode()

    def out(self, rule: str) -> int:
        """Return how many runs of a rule are out."""
        lines = self.asked("runs", "list", "--json", "--rule", rule, "--state", "sent").splitlines()
        return len([json.loads(line) for line in lines])


@pytest.mark.timeout(300)
def test_hanging_copies_and_hanging_containers_keep_nobody_else_waiting() -> None:
    """While a container hangs a file is copied, and while fifty copies hang a container runs; status tells both."""
    need("rsync")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        site = CopiesAndContainers(folder, stack)
        failure = site.service.last_words
        site.start_worker("actions")
        site.start_worker("transfers")
        wait_for(lambda: '"stuck"' in site.asked("actions", "list", "--json"), failure=failure)
        site.write(["hangs/a.raw"], "hang")
        wait_for(lambda: site.out("copy") == 1, 60, failure)
        site.write(["b.good"])
        wait_for((site.archive / "b.good").is_file, 60, failure)
        site.start_worker("actions-2")
        site.write([f"{number}.stuck" for number in range(HANGING)])
        wait_for(lambda: site.out("stuck") == HANGING, 90, failure)
        site.write(["runs/c.raw"])
        wait_for((site.service.files / "runs" / "out" / "made.out").is_file, 60, failure)
        queues = json.loads(site.asked("status", "--json"))["rq"]["queues"]
        assert (queues["transfers"]["waiting"], queues["transfers"]["running"]) == (HANGING - 1, 1)
