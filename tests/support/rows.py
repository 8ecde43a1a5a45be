"""A table of cases as one test: each row runs, and each that fails is named."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

_LONGEST = 300
Test = Callable[..., None]


def each_row(names: str | Sequence[str], table: Iterable[Any]) -> Callable[[Test], Test]:
    """Run a test for each row of a table, called like `pytest.mark.parametrize`, but as one test.

    For small cases, which pytest takes longer to begin and end than to run. All rows run, whatever the others do;
    what a row raises has a note with its values. Each row has a `tmp_path` of its own. Other fixtures are shared by
    all rows, so no row may change what the next one finds. No row may skip the test.
    """
    keys = [names] if isinstance(names, str) else list(names)
    found = list(table)
    if not found:
        raise ValueError("a table without rows tests nothing")
    if any(isinstance(row, type(pytest.param())) for row in found):
        raise TypeError("a row cannot have marks of its own: use pytest.mark.parametrize")
    rows = [dict(zip(keys, [row] if isinstance(names, str) else row, strict=True)) for row in found]

    def over_rows(test: Test) -> Test:
        @functools.wraps(test)
        def run(**fixtures: Any) -> None:
            failed = [error for number, row in enumerate(rows) if (error := _run(test, number, row, fixtures))]
            if len(failed) == 1:
                raise failed[0]
            if failed:
                raise BaseExceptionGroup(f"{len(failed)} of {len(rows)} rows", failed)

        signature = inspect.signature(test)
        others = [each for each in signature.parameters.values() if each.name not in keys]
        vars(run)["__signature__"] = signature.replace(parameters=others)
        return run

    return over_rows


def _run(test: Test, number: int, row: dict[str, Any], fixtures: dict[str, Any]) -> BaseException | None:
    folder = fixtures.get("tmp_path")
    if isinstance(folder, Path):
        own = folder / str(number)
        own.mkdir()
        fixtures = {**fixtures, "tmp_path": own}
    try:
        test(**fixtures, **row)
    except pytest.skip.Exception:
        error: BaseException = AssertionError("a row must not skip the test")
    except (Exception, pytest.fail.Exception) as exc:  # noqa: BLE001 - the other rows run, too
        error = exc
    else:
        return None
    error.add_note("row: " + ", ".join(f"{key}={value!r:.{_LONGEST}}" for key, value in row.items()))
    return error
