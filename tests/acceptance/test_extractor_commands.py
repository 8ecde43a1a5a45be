"""Commands about extractors and failed files on a service at work, as a user runs them."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lustre_events.catalog import template
from lustre_events.errors import IndexUnavailable
from lustre_events.index import open_search
from tests.support.service.command import lustre_events
from tests.support.service.service import Service
from tests.support.waiting import wait_for

RULES = '[[rule]]\nname = "texts"\nextensions = ["txt", "doc"]\nextractor = "words"\n'
RUN = {"LUSTRE_EVENTS_DISPATCHER_ATTEMPTS": "1"}


class Site:
    """A service with two good tables and a broken one, all taken."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service = service
        self.rules = folder / "rules.toml"
        for name, content in {"a.txt": b"one\n", "b.txt": b"one\ntwo\n", "bad.doc": b"\xff\n"}.items():
            (service.files / name).write_bytes(content)
        wait_for(
            lambda: self.count("extractor:words") == 2 and self.count("failed:words") == 1,
            failure=self.service.last_words,
        )

    def count(self, query: str) -> int:
        """Return how many files match; 0 while there is no index."""
        with contextlib.suppress(IndexUnavailable), open_search(self.service.index) as search:
            return search.count(query)
        return 0

    def run(self, *words: str, code: int = 0) -> str:
        """Run a command, and return what it prints; what it says on stderr where it must fail."""
        done = lustre_events(*words, environment={"LUSTRE_EVENTS_CONFIG": str(self.service.config)})
        assert done.returncode == code, done.stderr.decode()
        return (done.stderr if code else done.stdout).decode()

    def status(self) -> dict[str, Any]:
        """Return what `status` says."""
        found: dict[str, Any] = json.loads(self.run("status", "--json"))
        return found


def trust(folder: Path) -> None:
    """Let an extractor run without a container."""
    path = folder / "manifest.toml"
    path.write_text("trusted = true\n" + path.read_text())


def _open(folder: Path) -> Path:
    """Let a folder be entered by the user that extractors run as."""
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as name, Service(_open(Path(name))) as service:
        folder = Path(name)
        template.write(service.extractors / "words", "single")
        trust(service.extractors / "words")
        (folder / "rules.toml").write_text(RULES)
        service.start("lustre_events", "run", environment=RUN)
        wait_for((folder / "index.db").exists)
        yield Site(service, folder)


def test_failed_files_are_listed_with_the_reason(site: Site) -> None:
    """A failed file is found by extractor, path, error text, owner and time, and shown whole."""
    line = site.run("failed", "list")
    assert "/bad.doc: words: " in line
    for found, *words in (
        (1, "--extractor", "wor*", "--path", "/*.doc", "--since", "1h"),
        (1, "--owner", "0", "--error", "exit code"),
        (0, "--extractor", "hdf5"),
        (0, "--path", "/x/**"),
        (0, "--error", "no such words"),
        (0, "--owner", "4711"),
    ):
        assert (words, site.run("failed", "list", *words).count("\n")) == (words, found)

    (row,) = map(json.loads, site.run("failed", "list", "--json").splitlines())
    assert (row["extractor"], row["attempts"]) == ("words", 1)
    assert [path.rpartition("/")[2] for path in row["paths"]] == ["bad.doc"]
    assert "words failed" in site.run("failed", "show", row["fid"])


def test_a_failed_file_is_tried_again_and_forgotten(site: Site) -> None:
    """`retry` gives it out at once; when it fails again it is there again, until it is dropped."""
    assert site.run("failed", "retry", "--error", "no such words") == "files that are tried again: 0\n"
    assert site.run("failed", "retry", "--path", "/bad.doc") == "files that are tried again: 1\n"
    wait_for(lambda: "jobs" in site.status()["index"]["counters"] and not site.status()["index"]["pending"])
    assert site.run("failed", "drop", "--path", "/*.doc") == "failures that are forgotten: 1\n"
    assert site.run("failed", "list") == ""


def test_an_extractor_is_suspended_and_resumed(site: Site) -> None:
    """While it is suspended its work waits, `list` and `status` say so; then it is done."""
    assert site.run("extractor", "suspend", "words", "--reason", "check") == "words: enabled, suspended: check\n"
    (site.service.files / "c.txt").write_text("x\n")
    wait_for(lambda: "(suspended: check)" in site.run("extractor", "list"))
    wait_for(lambda: site.count("name:c.txt AND size:>1") == 1)
    assert "words is suspended: check" in site.run("status")
    assert site.count("name:c.txt AND extractor:words") == 0
    assert site.run("extractor", "resume", "words") == "words: enabled, at work\n"
    wait_for(lambda: site.count("name:c.txt AND extractor:words") == 1)


def test_an_extractor_is_disabled_and_enabled(site: Site) -> None:
    """Both say what it is then; a second time changes nothing."""
    assert site.run("extractor", "disable", "hdf5") == "hdf5: disabled, at work\n"
    assert site.run("extractor", "disable", "hdf5") == "hdf5: unchanged, disabled, at work\n"
    assert site.run("extractor", "enable", "hdf5") == "hdf5: enabled, at work\n"
    assert "did you mean hdf5?" in site.run("extractor", "suspend", "hfd5", code=2)


def test_files_are_extracted_again(site: Site) -> None:
    """`reprocess` ends when all that it concerns is done, and says how many files that were."""
    assert site.run("extractor", "reprocess", "words", "--where", "name:a.txt OR name:b.txt") == (
        "words: files that are extracted again: 2\n"
    )
    assert "did you mean words?" in site.run("extractor", "reprocess", "wrods", "--where", "type:f", code=2)


def test_rules_are_followed_without_a_restart(site: Site) -> None:
    """A broken file keeps the old rules and says so; a repaired one counts within seconds."""
    before = site.rules.read_text()
    site.rules.write_text(before + "[[rule]\n")
    wait_for(lambda: any("not a TOML file" in each for each in site.status()["rules_problems"]))
    (site.service.files / "d.txt").write_text("x\n")
    wait_for(lambda: site.count("name:d.txt AND extractor:words") == 1)
    site.rules.write_text(before + '[[rule]]\nextensions = ["table"]\nextractor = "words"\n')
    wait_for(lambda: not site.status()["rules_problems"])
    (site.service.files / "e.table").write_text("x\n")
    wait_for(lambda: site.count("name:e.table AND extractor:words") == 1)


def test_a_new_extractor_works_without_a_restart(site: Site) -> None:
    """A folder that is added and a rule for it are enough: dispatcher and worker find both."""
    folder = site.service.extractors
    template.write(folder / "later", "single")
    trust(folder / "later")
    site.rules.write_text(site.rules.read_text() + '[[rule]]\nglobs = ["*.new"]\nextractor = "later"\n')
    wait_for(lambda: "later " in site.run("extractor", "list"))
    wait_for(lambda: "later" in site.status()["extractors"])
    (site.service.files / "f.new").write_text("x\n")
    wait_for(lambda: site.count("name:f.new AND extractor:later") == 1, failure=site.service.last_words)


def test_rules_are_explained_by_what_the_index_knows(site: Site) -> None:
    """`rules explain` takes names and facts of an object from the index."""
    with open_search(site.service.index) as search:
        fid = search.fid_of_path(b"a.txt")

    text = site.run("rules", "explain", str(fid))

    assert text.startswith("/a.txt: words (queue default, rule 'texts')\n  rule 'texts' -> words: holds\n")
    assert "not in the index" in site.run("rules", "explain", "[0x1:0x2:0x0]", code=2)
