"""DESIGN.md names the test that covers each threat: they are there."""

from __future__ import annotations

import re

import pytest

from tests.support.service.command import REPOSITORY

NAMED = sorted(set(re.findall(r"`(\w+/test_\w+\.py)::(test_\w+)`", (REPOSITORY / "DESIGN.md").read_text("utf-8"))))


def test_threats_are_covered_by_name() -> None:
    """The table of threats names tests; without any, the next test would prove nothing."""
    assert len(NAMED) > 50


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_test_that_the_design_names_exists(file: str, name: str) -> None:
    """A test that was renamed or removed leaves no promise behind."""
    assert f"def {name}(" in (REPOSITORY / "tests" / file).read_text("utf-8")
