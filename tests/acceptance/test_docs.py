"""docs/: what it shows runs, its reference is made from the code, and the site is built without a warning."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from lustre_events.domain.rules import action_file, rule_file
from lustre_events.domain.rules.conditions import KEYS
from lustre_events.index import open_search
from tests.support.pages import CONSOLE, commands, shows
from tests.support.service.command import REPOSITORY, clean_environment
from tests.support.service.service import PARTS, Service
from tests.support.waiting import wait_for

DOCS = REPOSITORY / "docs"
PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
FILES = {
    "campaign/run1/readings.csv": "time,temperature\n1,20.5\n2,21.0\n3,21.5\n4,22.0\n",
    "campaign/run2/readings.tsv": "time\ttemperature\n1\t3.5\n",
    "campaign/run2/pressure.csv": "time,pressure\n1,1013\n",
    "campaign/notes.txt": "nothing that a rule wants\n",
}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A service that has indexed the files that the pages speak of."""
    rules = '[[rule]]\nextensions = ["tsv"]\nextractor = "tabular"\n'
    with tempfile.TemporaryDirectory() as folder, Service(_opened(Path(folder)), rules=rules) as running:
        for name, text in FILES.items():
            path = running.files / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        running.start_redis()
        for name in PARTS:
            running.start_part(name)
        wait_for(lambda: documents(running) == 3, failure=running.log.read_text)
        yield running


def _opened(folder: Path) -> Path:
    """Let the account that runs extractors in."""
    folder.chmod(0o755)
    return folder


def documents(service: Service) -> int:
    try:
        with open_search(service.index) as search:
            stats = search.stats()
    except Exception:  # noqa: BLE001 - there is no index yet
        return -1
    return stats.counts.documents.get("tabular", 0) if not stats.pending else -1


ELSEWHERE = {
    "start.md": "test_start_page.py types it from its first line to its last",
    "admin-questions.md": "test_admin_questions.py makes each situation",
}
"""Pages whose blocks another test runs."""


def blocks() -> list[tuple[str, str]]:
    pages = [path for path in sorted(DOCS.glob("*.md")) if path.name not in ELSEWHERE]
    return [(path.name, block) for path in pages for block in CONSOLE.findall(path.read_text())]


def environment(service: Service) -> dict[str, str]:
    return clean_environment({
        "LUSTRE_EVENTS_CONFIG": str(service.config), "LUSTRE_EVENTS_REDIS_URL": service.redis.url, "COLUMNS": "120",
    })  # fmt: skip


@pytest.mark.parametrize(("page", "block"), blocks(), ids=lambda value: value[:20])
def test_every_command_of_the_docs_runs(service: Service, page: str, block: str) -> None:
    """Each exits with 0 (1: doctor found something, a search nothing), and prints what the page shows.

    Times, identifiers and the like differ from run to run; `...` stands for what a page leaves out.
    """
    for words, printed in commands(block):
        assert words[0] == "lustre-events"
        done = subprocess.run(
            [sys.executable, "-P", "-m", "lustre_events", *words[1:]], capture_output=True, text=True, timeout=60,
            cwd=service.files.parent, env={**environment(service), "PYTHONPATH": str(REPOSITORY)}, check=False,
        )  # fmt: skip
        allowed = {0, 1} if words[1] in {"doctor", "search"} else {0}
        assert done.returncode in allowed, f"{page}: {words}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        if words[1:3] == ["extractor", "init"]:
            _trust(service.files.parent / words[3])
        said = (done.stdout + done.stderr).replace(str(service.files), "/mnt/lustre")
        said = said.replace(str(service.files.parent), "/etc/lustre-events")
        assert shows(printed, said.splitlines()), f"{page}: {words} prints:\n{said}"


def test_what_is_found_can_be_opened_and_named(service: Service) -> None:
    """Each hit, given to another program as it is printed, is a file there; a path is taken as one has it."""

    def run(*words: str, cwd: Path = service.files) -> bytes:
        return subprocess.run(
            [sys.executable, "-P", "-m", "lustre_events", *words], capture_output=True, timeout=60, check=True,
            cwd=cwd, env={**environment(service), "PYTHONPATH": str(REPOSITORY)},
        ).stdout  # fmt: skip

    found = run("search", "--null", "ext:csv OR ext:tsv")
    ls = ["xargs", "-0", "ls"]
    listed = subprocess.run(ls, input=found, capture_output=True, timeout=60, check=True).stdout
    assert sorted(listed.splitlines()) == sorted(found.rstrip(b"\0").split(b"\0"))
    assert len(listed.splitlines()) == 3

    run1 = service.files / "campaign" / "run1"
    for path, cwd in (
        (str(run1 / "readings.csv"), service.files.parent), ("/campaign/run1/readings.csv", service.files.parent),
        ("readings.csv", run1), ("../run1/readings.csv", run1),
        ("campaign/run1/readings.csv", service.files.parent),
    ):  # fmt: skip
        assert f"{run1}/readings.csv".encode() in run("show", path, cwd=cwd)
    assert run("search", "--count", f"path:{service.files}/campaign/run2/*") == b"2\n"
    assert run("du", str(run1), "--by", "ext", "--csv") == run("du", ".", "--by", "ext", "--csv", cwd=run1)


def test_what_a_page_shows_is_compared() -> None:
    """Another word, a line more or a line less is a difference; a time, and what dots stand for, is none."""
    said = ["one at 2026-01-02T03:04:05Z", "two", "three"]
    assert shows(["two", "one at 2027-01-01T00:00:00Z", "three"], said)
    assert shows(["one ...", "...", "three"], said)
    assert not shows(["one at 2026-01-02T03:04:05Z", "two"], said)
    assert not shows(["one at 2026-01-02T03:04:05Z", "two", "four"], said)
    assert not shows(["one ...", "two"], said)
    assert not shows(["...", "two", "one ..."], said)
    with pytest.raises(AssertionError, match="says nothing"):
        shows(["..."], said)


TYPED_ELSEWHERE = {
    ("actions.md", "eml"): "test_mail_texts.py: what a subscription and a rule send",
    ("actions.md", "text"): "test_actions_page.py: a user asks about the rules",
    ("actions.md", "toml"): "test_actions_page.py: a service with these rules",
    ("admin.md", "text"): "test_docs_history.py: the history, of records with users and jobs",
    ("chains.md", "text"): "test_containers_page.py: a person asks about the rule",
    ("chains.md", "toml"): "test_containers_page.py: a service with this rule",
    ("commands.md", "text"): "made from the code",
    ("containers.md", ""): "test_containers_page.py: an image is built of it",
    ("containers.md", "json"): "test_containers_page.py: what a rule may set",
    ("containers.md", "python"): "test_containers_page.py: the program runs in a container",
    ("containers.md", "toml"): "test_containers_page.py: manifest, rule and settings of it",
    ("containers.md", "sh"): "test_containers_page.py: a user's own program",
    ("containers.md", "text"): "test_containers_page.py: a user builds and adds an action",
    ("slurm.md", "sh"): "test_slurm_page.py: a job is made of it",
    ("slurm.md", "text"): "test_slurm_page.py: a user checks the user's own rule",
    ("slurm.md", "toml"): "test_slurm_page.py: rule and settings of it",
    ("directories.md", "text"): "test_directories_page.py: a person asks about the rule",
    ("directories.md", "toml"): "test_directories_page.py: a service with this rule",
    ("transfer.md", "toml"): "test_transfer_page.py: endpoint, rule and settings of it",
    ("python.md", "python"): "test_every_program_of_the_docs_runs",
    ("researcher.md", "sql"): "test_export.py: DuckDB asks it of a file of hits",
    (
        "researcher.md",
        "text",
    ): "test_researcher_page.py: runs of March; a password is typed: test_api_clients.py asks for tokens",
    ("rules.md", "toml"): "test_the_page_of_rules_names_every_key",
    ("start.md", "toml"): "test_start_page.py writes these files",
    ("start.md", "text"): "test_readme.py: the demo",
    ("extractors/README.md", "python"): "test_tutorial.py: writes this file",
    ("extractors/README.md", "text"): "test_tutorial.py: lines of the contract; an image is built of it",
    ("extractors/README.md", "toml"): "test_tutorial.py: rule, settings; test_extractor_schemas.py: manifest",
    ("deploy/README.md", "nginx"): "tried by hand: CI has no nginx",
    ("examples/README.md", "sh"): "test_examples.py: starts the service with it",
}
"""Blocks of other kinds than `console`, and what holds them true."""


def test_every_block_of_the_docs_is_held_by_a_test() -> None:
    """A block is a `console` block, whose commands run, or of a kind that another test reads."""
    pages = {path.name: path for path in DOCS.glob("*.md")}
    pages |= {
        f"{folder}/README.md": REPOSITORY / folder / "README.md" for folder in ("deploy", "extractors", "examples")
    }
    fences = {
        (name, kind)
        for name, path in pages.items()
        for kind in re.findall(r"^```(\w*)\n.*?^```$", path.read_text(), re.DOTALL | re.MULTILINE)
    }
    assert {each for each in fences if each[1] != "console"} == TYPED_ELSEWHERE.keys()


def test_the_page_of_rules_names_every_key() -> None:
    """What the page shows is TOML, and has every key that a rule may have, and no other."""
    page = (DOCS / "rules.md").read_text()
    site, action = (
        tomllib.loads(block)["rule"][0]
        for block in re.findall(r"^```toml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    )
    conditions = {*KEYS, "not"}
    assert site.keys() == set(rule_file._Entry.__dataclass_fields__) | conditions
    own = set(action_file._Entry.__dataclass_fields__) | {"on", "with", "body", "complete"}
    assert own <= action.keys() <= own | conditions


def _trust(extractor: Path) -> None:
    """Let a new extractor run without a container, which this service does not have."""
    manifest = extractor / "manifest.toml"
    manifest.write_text("trusted = true\n" + manifest.read_text())


@pytest.mark.parametrize("program", PYTHON.findall((DOCS / "python.md").read_text()))
def test_every_program_of_the_docs_runs(service: Service, program: str) -> None:
    """The examples of the Python page work as they stand, while files change."""
    with subprocess.Popen(
        [sys.executable, "-P", "-W", "error", "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=REPOSITORY, env=environment(service),
    ) as running:  # fmt: skip

        def ended() -> bool:
            (service.files / "campaign" / "notes.txt").touch()
            return running.poll() is not None

        try:
            wait_for(ended, 60)
        finally:
            running.kill()
        assert running.stdout is not None
        printed = running.stdout.read()
    assert running.returncode == 0, printed
    assert printed


def generate() -> ModuleType:
    specification = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert specification is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["settings.md", "metrics.md", "commands.md", "rules.md", "fields.md", "api.md"])
def test_the_reference_is_made_from_the_code(page: str) -> None:
    """A setting, metric or command that changes changes its page: run `make docs`."""
    assert (DOCS / page).read_text() == generate().PAGES[page]()


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """All links lead somewhere, nothing is loaded from elsewhere, cells wrap; other folders' pages are in it."""
    run = subprocess.run(
        [sys.executable, "-P", "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    for page in (tmp_path / "site").glob("*.html"):
        assert not re.search(r'<(?!a\s)[^>]*\b(src|href)="(https?:)?//', page.read_text()), page.name
        assert re.search(r'href="\.?/?site\.css"', page.read_text()), page.name
    for place in ("deploy", "extractors", "extractors/tabular", "examples", "examples/beamline"):
        assert (tmp_path / "site" / place / "index.html").is_file(), place
    assert re.search(r"table td,[^}]*white-space: normal", (tmp_path / "site" / "site.css").read_text())
    assert not list((tmp_path / "site").glob("*.py"))
