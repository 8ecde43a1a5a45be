"""docs/slurm.md: its scripts, rules and settings make jobs, and a user has some alone, by a real Slurm."""

from __future__ import annotations

import json
import os
import pwd
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.need import need
from tests.support.servers.redis import login
from tests.support.servers.slurm import cluster
from tests.support.service.command import REPOSITORY, clean_environment, lustre_events
from tests.support.service.service import PARTS, Service
from tests.support.service.slurm_site import OWNER
from tests.support.waiting import wait_for

BLOCKS = re.findall(
    r"^```(\w*)\n(.*?)^```", (REPOSITORY / "docs" / "slurm.md").read_text(), re.DOTALL | re.MULTILINE
)
SCRIPT, RULE, DIRECTORY_RULE, DIRECTORY_SCRIPT, SETTINGS = (text for _, text in BLOCKS[:5])
OWN_SCRIPT, OWN_SETTINGS, GRANT, OWN_PROGRAM, OWN_RULE, OWN_COMMANDS = (text for _, text in BLOCKS[5:])
USER = pwd.getpwuid(OWNER.uid)


@dataclass(frozen=True)
class Site:
    """A service that submits jobs, its folder, and the environment in which its commands find it and Slurm."""

    folder: Path
    service: Service
    environment: dict[str, str]


def test_the_page_has_scripts_rules_and_settings() -> None:
    """The page has two scripts, two rules and settings, each as its language has it; then those of a user."""
    languages = [language for language, _ in BLOCKS]
    assert languages[:5] == ["sh", "toml", "toml", "sh", "toml"]
    assert languages[5:] == ["sh", "toml", "toml", "sh", "toml", "text"]
    assert (list(tomllib.loads(RULE + DIRECTORY_RULE)), list(tomllib.loads(SETTINGS))) == (["rule"], ["actions"])


@contextmanager
def site_of(scripts: dict[str, str], rules: str, more: Callable[[Service], None]) -> Iterator[Site]:
    """Run a Slurm, and a service with job scripts and rules; `more` is done to its settings before it begins."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        (folder / "slurm").mkdir(mode=0o755)
        slurm = stack.enter_context(cluster(folder / "slurm"))
        (folder / "scripts").mkdir()
        for name, text in scripts.items():
            (folder / "scripts" / name).write_text(text)
        service = stack.enter_context(Service(folder, rules=rules))
        settings = SETTINGS.replace("/etc/lustre-events/slurm", str(folder / "scripts"))
        service.config.write_text(f"{service.config.read_text()}{settings}slurm_poll_seconds = 0.5\n")
        more(service)
        environment = {"LUSTRE_EVENTS_CONFIG": str(service.config), **slurm.environment}
        service.start_redis()
        environment["LUSTRE_EVENTS_REDIS_URL"] = login(service.redis, "admin")
        for name in ("reader", "dispatcher", "builtin"):
            service.start_part(name)
        wait_for((folder / "state" / "worker.key").is_file, failure=service.last_words)
        own = {"LUSTRE_EVENTS_REDIS_URL": login(service.redis, "worker"), **slurm.environment}
        service.start(*PARTS["worker"], "--instance", "actions", environment=own)
        yield Site(folder, service, environment)


@pytest.mark.timeout(180)
def test_the_jobs_of_the_page_run() -> None:
    """A file that comes, and a directory that is complete, have one job each as their owner; then runs are done."""
    scripts = {"reduce.sh": SCRIPT, "sum.sh": DIRECTORY_SCRIPT}
    with site_of(scripts, RULE + DIRECTORY_RULE, lambda _: None) as site:
        service, environment = site.service, site.environment
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


@pytest.mark.timeout(180)
def test_a_user_does_it_alone() -> None:
    """Program and rule of a user, made as the page says and without root, make jobs for that user's files alone."""
    with site_of({"own.sh": OWN_SCRIPT}, "", allow) as site:
        service = site.service
        do_alone(site)
        rule = f'"{USER.pw_name}/columns"'.encode()
        wait_for(lambda: rule in asked("actions", "list", site.environment), failure=service.last_words)
        home = service.files / "home"
        owners = {"ada": OWNER.uid, **({"bob": 1} if os.geteuid() == 0 else {})}
        for name, uid in reversed(owners.items()):
            (home / name).mkdir(parents=True)
            os.chown(home / name, uid, -1)
            with (home / name / "run $1.csv").open("w") as file:
                os.fchown(file.fileno(), uid, -1)
                file.write("time,depth\n1,2\n")
        made = home / "ada" / "run $1.csv.column"
        wait_for(made.exists, 90, service.last_words)
        wait_for(lambda: states(site.environment) == ["done"], 60, service.last_words)
        assert (made.read_text(), made.stat().st_uid) == ("time\n1\n", OWNER.uid)
        assert not list((home / "bob").glob("*.column"))


def allow(service: Service) -> None:
    """Let users submit jobs, as the page says."""
    folder = service.config.parent
    (folder / "endpoints.toml").write_text(GRANT)
    actions, dispatcher = OWN_SETTINGS.split("[dispatcher]\n")
    endpoints = actions.removeprefix("[actions]\n").replace("/etc/lustre-events/", f"{folder}/")
    rules = dispatcher.replace("/lustre/site", f"{folder}/site")
    text = service.config.read_text().replace("[dispatcher]\n", f"[dispatcher]\n{rules}")
    service.config.write_text(text.replace("[actions]\n", f"[actions]\n{endpoints}"))
    (folder / "site" / "rules").mkdir(parents=True)
    (folder / "site" / "rules" / f"{USER.pw_name}.toml").touch()
    os.chown(folder / "site" / "rules" / f"{USER.pw_name}.toml", USER.pw_uid, USER.pw_gid)


def do_alone(site: Site) -> None:
    """Write what the page says as the user, and run its commands."""
    home, rules = site.folder / "home", site.folder / "site" / "rules" / f"{USER.pw_name}.toml"
    home.mkdir()
    (home / "columns.sh").write_text(OWN_PROGRAM)
    rules.write_text(OWN_RULE.replace("/home/ada", str(home)))
    for path in (home, home / "columns.sh"):
        os.chown(path, USER.pw_uid, USER.pw_gid)
    script = "\n".join(["set -e", *(line.removeprefix("$ ") for line in OWN_COMMANDS.splitlines())])
    done = subprocess.run(
        [*as_user(), "sh", "-c", script.replace("/lustre/site", str(site.folder / "site"))],
        capture_output=True, check=False, timeout=120, cwd=home,
        env=clean_environment({
            "HOME": str(home), "USER": USER.pw_name, "LUSTRE_EVENTS_CONFIG": str(site.service.config),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().endswith(f"{rules}: ok, 1 rule of actions\n")


def as_user() -> list[str]:
    """Return what runs a command as the user. Any checkout will do: it may be read."""
    if os.geteuid() != 0:
        return []
    ids = (f"--reuid={USER.pw_uid}", f"--regid={USER.pw_gid}", "--clear-groups")
    return [need("setpriv"), *ids, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]


def asked(command: str, word: str, environment: dict[str, str]) -> bytes:
    """Return what a command says as JSON."""
    return lustre_events(command, word, "--json", environment=environment).stdout


def states(environment: dict[str, str]) -> list[str]:
    """Return the states of all runs."""
    return [json.loads(line)["state"] for line in asked("runs", "list", environment).splitlines()]
