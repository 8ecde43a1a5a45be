"""The pages of the design name the test that covers each threat and each crash: pytest finds and runs it."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.support.service.command import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = [DOCS / f"{name}.md" for name in ("architecture", "protocol", "security")] + sorted(
    DOCS.glob("decisions/*.md")
)
DESIGN = "\n".join(page.read_text("utf-8") for page in PAGES)
NAME = re.compile(r"`(\w+/test_\w+\.py)::(test_\w+)`")
NAMED = sorted(set(NAME.findall(DESIGN)))
THREATS = re.findall(r"^\| (.*) \|$", DESIGN.partition("## Threats")[2].partition("\n## ")[0], re.MULTILINE)[1:]
CRASHES = re.findall(r"^\| (.*) \|$", DESIGN.partition("## Crash table")[2].partition("\n## ")[0], re.MULTILINE)[1:]


def collected(source: str) -> list[str]:
    """Return the tests of a module that pytest runs: functions at its top, each as its name means at the end."""
    functions = {
        node.name: node for node in ast.parse(source).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    }
    return [
        name
        for name, node in functions.items()
        if name.startswith("test_") and not any(re.search(r"\bfixture|\bskip\b", ast.unparse(each))
                                                for each in node.decorator_list)
    ]  # fmt: skip


@cache
def run_in(file: str) -> list[str]:
    """Return the tests of one of our files."""
    return collected((REPOSITORY / "tests" / file).read_text("utf-8"))


@pytest.mark.parametrize("row", THREATS)
def test_every_threat_has_its_test(row: str) -> None:
    """Each row of the table of threats says what stops it, and names tests in its last column, and nothing else."""
    _, stops, tests = (part.strip() for part in row.split(" | "))
    assert stops
    assert NAME.sub("", tests).strip(", ") == ""
    assert NAME.search(tests)


def test_threats_are_covered_by_name() -> None:
    """The table of threats names tests; without any, the next test would prove nothing."""
    assert len(NAMED) > 50
    assert len(THREATS) > 50


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_test_that_the_design_names_is_run(file: str, name: str) -> None:
    """A test that was renamed, removed, skipped or nested leaves no promise behind."""
    assert name in run_in(file)


@pytest.mark.parametrize("row", CRASHES)
def test_every_crash_has_its_test(row: str) -> None:
    """Each row of the crash table names a test, mostly of those that kill."""
    assert NAME.search(row.rsplit(" | ", maxsplit=1)[-1])


def test_the_crash_table_is_read() -> None:
    """Its rows are told from its head, and the rules of Markdown between them from rows."""
    assert len([row for row in CRASHES if "---" not in row]) == len(CRASHES) > 10


def test_what_is_no_test_is_not_counted() -> None:
    """A name in a text, in a call, within a function or under `skip` is not what pytest runs."""
    source = """
x = 'def test_a(): pass'
def f():
    def test_b(): pass
@pytest.mark.skip
def test_c(): pass
def test_d(): pass
"""
    assert collected(source) == ["test_d"]
