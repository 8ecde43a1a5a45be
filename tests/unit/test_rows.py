"""A table of cases as one test: no row is left out, and what fails says which row it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.rows import each_row


def error_of(test: Callable[..., None], **fixtures: object) -> BaseException:
    """Return what a test raises."""
    with pytest.raises(BaseException) as caught:
        test(**fixtures)
    return caught.value


def test_all_rows_run_and_each_that_fails_is_named() -> None:
    """A row that fails keeps no other one from running, and its values are beside its error."""
    seen = []

    @each_row(("number", "text"), [(1, "a"), (2, "b"), (3, "c")])
    def of_two(number: int, text: str) -> None:
        seen.append(number)
        assert text == "b"

    @each_row("number", [1, 2])
    def of_one(number: int) -> None:
        assert number == 1

    error = error_of(of_two)
    assert isinstance(error, ExceptionGroup)
    assert [each.__notes__ for each in error.exceptions] == [
        ["row: number=1, text='a'"],
        ["row: number=3, text='c'"],
    ]
    assert seen == [1, 2, 3]
    assert error_of(of_one).__notes__ == ["row: number=2"]


def test_two_tables_are_each_row_with_each() -> None:
    """Tables one above the other run every combination, and an error has the row of both."""
    seen = []

    @each_row("left", [1, 2])
    @each_row("right", "ab")
    def both(left: int, right: str) -> None:
        seen.append((left, right))
        assert seen != [(1, "a"), (1, "b"), (2, "a")]

    assert error_of(both).__notes__ == ["row: right='a'", "row: left=2"]
    assert seen == [(1, "a"), (1, "b"), (2, "a"), (2, "b")]


def test_no_row_finds_the_files_of_another(tmp_path: Path) -> None:
    """Each row has a folder of its own, which is empty."""

    @each_row("number", range(3))
    def writing(tmp_path: Path, number: int) -> None:
        (tmp_path / "file").touch(exist_ok=False)

    writing(tmp_path=tmp_path)

    assert len(list(tmp_path.glob("*/file"))) == 3


def test_a_row_that_would_skip_fails() -> None:
    """One row cannot take the others along: what would skip the whole test is an error, as `pytest.fail` is."""

    @each_row("number", [1])
    def skipping(number: int) -> None:
        pytest.skip("not here")

    @each_row("number", [1])
    def failing(number: int) -> None:
        pytest.fail("no")

    assert isinstance(error_of(skipping), AssertionError)
    assert isinstance(error_of(failing), pytest.fail.Exception)


def test_a_table_without_rows_is_refused() -> None:
    """What would test nothing is an error where it is written."""
    with pytest.raises(ValueError, match="without rows"):
        each_row("number", [])
    with pytest.raises(TypeError, match="marks"):
        each_row("number", [1, pytest.param(2, marks=pytest.mark.long)])
