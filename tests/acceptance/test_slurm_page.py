"""docs/slurm.md: its scripts, rules and settings make a job for a file and for a directory, by a real Slurm."""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.servers.redis import login
from tests.support.servers.slurm import cluster
from tests.support.service.command import REPOSITORY, lustre_events
from tests.support.service.service import PARTS, Service
from tests.support.service.slurm_site import OWNER
from tests.support.waiting import wait_for

BLOCKS = re.findall(
    r"^```(\w*)\n(.*?)^```", (REPOSITORY / "docs" / "slurm.md").read_text(), re.DOTALL | re.MULTILINE
)
SCRIPT, RULE, DIRECTORY_RULE, DIRECTORY_SCRIPT, SETTINGS = (text for _, text in BLOCKS)


def test_the_page_has_scripts_rules_and_settings() -> None:
    """The page has two scripts, two rules and settings, each as its language has it."""
    assert [language for language, _ in BLOCKS] == ["sh", "toml", "toml", "sh", "toml"]
    assert (list(tomllib.loads(RULE + DIRECTORY_RULE)), list(tomllib.loads(SETTINGS))) == (["rule"], ["actions"])


@pytest.mark.timeout(180)
def test_the_jobs_of_the_page_run() -> None:
    """A file that comes, and a directory that is complete, have one job each as their owner; then runs are done."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        (folder / "slurm").mkdir(mode=0o755)
        slurm = stack.enter_context(cluster(folder / "slurm"))
        (folder / "scripts").mkdir()
        (folder / "scripts" / "reduce.sh").write_text(SCRIPT)
        (folder / "scripts" / "sum.sh").write_text(DIRECTORY_SCRIPT)
        service = stack.enter_context(Service(folder, rules=RULE + DIRECTORY_RULE))
        settings = SETTINGS.replace("/etc/lustre-events/slurm", str(folder / "scripts"))
        service.config.write_text(f"{service.config.read_text()}{settings}slurm_poll_seconds = 0.5\n")
        environment = {"LUSTRE_EVENTS_CONFIG": str(service.config), **slurm.environment}
        service.start_redis()
        environment["LUSTRE_EVENTS_REDIS_URL"] = login(service.redis, "admin")
        for name in ("reader", "dispatcher", "builtin"):
            service.start_part(name)
        wait_for((folder / "state" / "worker.key").is_file, failure=service.last_words)
        own = {"LUSTRE_EVENTS_REDIS_URL": login(service.redis, "worker"), **slurm.environment}
        service.start(*PARTS["worker"], "--instance", "actions", environment=own)
        wait_for(lambda: b'"reduce"' in asked("actions", "list", environment), failure=service.last_words)
        raw = service.files / "proj" / "ada" / "raw"
        raw.mkdir(parents=True)
        os.chown(raw, OWNER.uid, OWNER.gid)
        (raw / "run 1.txt").write_text("1\n2.5\n")
        os.chown(raw / "run 1.txt", OWNER.uid, OWNER.gid)
        wait_for(lambda: states(environment) == ["done"], 90, service.last_words)
        made = raw / "run 1.txt.reduced"
        assert (made.read_text(), made.stat().st_uid) == ("2\n5\n", OWNER.uid)
        assert sorted(each.name for each in raw.iterdir()) == ["run 1.txt", made.name]
        runs = service.files / "proj" / "ada" / "runs"
        (runs / "7").mkdir(parents=True)
        for name in ("a.txt", "b.txt"):
            (runs / "7" / name).write_text(f"{name}\n")
        for each in (runs, runs / "7", *(runs / "7").iterdir()):
            os.chown(each, OWNER.uid, OWNER.gid)
        (runs / "7" / "7.done").touch()  # the last: whose the directory is decides whose the job is
        wait_for(lambda: states(environment) == ["done", "done"], 90, service.last_words)
        assert ((runs / "7.sum").read_text(), (runs / "7.sum").stat().st_uid) == (
            "a.txt\nb.txt\n2 files\n",
            OWNER.uid,
        )


def asked(command: str, word: str, environment: dict[str, str]) -> bytes:
    """Return what a command says as JSON."""
    return lustre_events(command, word, "--json", environment=environment).stdout


def states(environment: dict[str, str]) -> list[str]:
    """Return the states of all runs."""
    return [json.loads(line)["state"] for line in asked("runs", "list", environment).splitlines()]
