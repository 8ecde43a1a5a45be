"""The pages of the design name the test that covers each threat and each crash: pytest finds and runs it."""

from __future__ import annotations

import ast
import re

from tests.support.kept import by_file
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


def test_every_threat_has_its_test() -> None:
    """Each row of the table of threats says what stops it, and names tests in its last column, and nothing else."""
    for row in THREATS:
        _, stops, tests = (part.strip() for part in row.split(" | "))
        assert stops, row
        assert NAME.sub("", tests).strip(", ") == "", row
        assert NAME.search(tests), row


def test_threats_are_covered_by_name() -> None:
    """The table of threats names tests; without any, the next test would prove nothing."""
    assert len(NAMED) > 50
    assert len(THREATS) > 50


def test_every_test_that_the_design_names_is_run() -> None:
    """A test that was renamed, removed, skipped or nested leaves no promise behind."""
    found = by_file(collected, list[str], {REPOSITORY / "tests" / file for file, _ in NAMED})
    assert [f"{file}::{name}" for file, name in NAMED if name not in found[REPOSITORY / "tests" / file]] == []


def test_every_crash_has_its_test() -> None:
    """Each row of the crash table names a test, mostly of those that kill."""
    assert [row for row in CRASHES if not NAME.search(row.rsplit(" | ", maxsplit=1)[-1])] == []


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
