"""CONTRIBUTING, SECURITY, the changelog and the hooks say what is so."""

from __future__ import annotations

import re

import pytest

from tests.support.service.command import REPOSITORY

KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


def text(name: str) -> str:
    return (REPOSITORY / name).read_text("utf-8")


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md"])
def test_what_is_named_is_there(name: str) -> None:
    """Each file, folder, link and make target that the two documents name exists."""
    paths = re.findall(
        r"`((?:lustre_events|tests|deploy|docs|extractors|workers|bench)/[\w./-]+|[\w-]+\.(?:toml|md))`", text(name)
    )
    links = re.findall(r"\]\(([\w./-]+)(?:#([\w-]+))?\)", text(name))
    targets = set(re.findall(r"\bmake ([a-z-]+)", text(name))) - {"makes"}

    assert [path for path in paths if not (REPOSITORY / path).exists()] == []
    for path, anchor in links:
        headings = re.findall(r"^#+ (.*)$", text(path), re.MULTILINE)
        assert not anchor or anchor in {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}
    assert targets <= set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))


def test_make_fuzz_draws_something_for_each_of_its_files() -> None:
    """A file without a test that pytest knows as hypothesis's would be passed over without a word."""
    listed = re.search(r"^FUZZED = \$\(addprefix (\S+),((?:.|\\\n)*?)\)$", text("Makefile"), re.MULTILINE)
    assert listed is not None
    files = [listed[1] + name for name in listed[2].replace("\\", " ").split()]
    drawn = re.compile(r"^@given|^pytestmark = pytest\.mark\.hypothesis\b", re.MULTILINE)
    assert len(files) > 10
    assert [name for name in files if not drawn.search(text(name))] == []


def test_the_changelog_keeps_its_form() -> None:
    """The newest version is Unreleased; below each version, every entry stands under its kind, in order."""
    parts = re.split(r"^## ", text("CHANGELOG.md"), flags=re.MULTILINE)[1:]

    assert parts[0].startswith("[Unreleased]\n")
    for part in parts:
        kinds = re.findall(r"^### (.*)$", part, re.MULTILINE)
        assert kinds == [kind for kind in KINDS if kind in kinds]
        assert "\n- " not in part.split("\n### ")[0]
        assert not re.search(r"^#### |^\* ", part, re.MULTILINE)


def test_hooks_are_local_and_check_what_make_lint_checks() -> None:
    """Pre-commit fetches nothing: it runs the programs of the environment, those that `make lint` runs."""
    hooks = text(".pre-commit-config.yaml")
    entries = re.findall(r"^ +entry: (.*)$", hooks, re.MULTILINE)
    lint = re.search(r"^lint:\n((?:\t.*\n)+)", text("Makefile"), re.MULTILINE)

    assert re.findall(r"repo: (.*)$", hooks, re.MULTILINE) == ["local"]
    assert lint is not None
    assert {entry.split()[0].removeprefix(".venv/bin/") for entry in entries} == set(
        re.findall(r"\$\(BIN\)/([\w-]+)", lint[1])
    )
