"""Hypothesis runs by one profile: CI judges a change by the same examples, and exploring has its own command."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.profiles import EXPLORE, QUICK, examples, factor, scaled
from tests.support.service.command import REPOSITORY


def drawn() -> list[int]:
    """Return the examples of one run."""
    found: list[int] = []

    @examples(20)
    @given(st.integers())
    def collect(number: int) -> None:
        found.append(number)

    collect()
    return found


def test_the_same_examples_are_drawn_each_time() -> None:
    """Two runs draw the same examples, and other ones where somebody explores; no test may take only so long."""
    assert (drawn() == drawn()) is (factor == 0)
    assert settings.default is not None
    assert settings.default.deadline is None
    assert examples(20).deadline is None


def test_a_count_of_examples_is_scaled() -> None:
    """A test's own number of examples holds in CI, grows where somebody explores, and shrinks in `make quick`."""
    assert examples(20).max_examples == scaled(20)
    assert [scaled(count, {}) for count in (20, 500)] == [20, 500]
    assert [scaled(count, {EXPLORE: "10"}) for count in (20, 500)] == [200, 5000]
    assert [scaled(count, {QUICK: "1"}) for count in (5, 20, 80, 500)] == [5, 5, 8, 10]
    assert scaled(500, {QUICK: "1", EXPLORE: "2"}) == 1000


def test_every_test_goes_through_the_profile() -> None:
    """No test makes hypothesis's settings itself, which would hold against the profile: it calls `examples`."""
    own = re.compile(r"\bmax_examples=|from hypothesis import [^\n]*\bsettings\b|\bhypothesis\.settings\b")
    places = [
        path
        for path in (REPOSITORY / "tests").rglob("*.py")
        if path.name not in {"profiles.py", "test_profiles.py"}
    ]
    assert len(places) > 100
    assert [path.name for path in places if own.search(path.read_text("utf-8"))] == []
