"""Keys and completions in an index that is too slow: what was found in time is given, and no error."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lustre_events.errors import IndexUnavailable
from lustre_events.index.backend import Backend, Reading
from lustre_events.index.search.search import Search
from lustre_events.index.visibility import Viewer
from tests.support.index.contents import Contents


class Slow:
    """A database that interrupts every statement behind the first few, as SQLite and PostgreSQL do: from within."""

    def __init__(self, reading: Reading, left: list[int]) -> None:
        self._reading, self._left = reading, left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reading, name)

    def find(self, *asked: Any) -> Any:
        """Find, or be interrupted."""
        self._left[0] -= 1
        if self._left[0] < 0:
            raise sqlite3.OperationalError("interrupted")
        return self._reading.find(*asked)

    def first(self, *asked: Any) -> Any:
        """Find with less, or be interrupted."""
        self._left[0] -= 1
        if self._left[0] < 0:
            raise sqlite3.OperationalError("interrupted")
        return self._reading.first(*asked)


class SlowBackend:
    """Gives one moment of a slow database; the statement that is interrupted is known outside of it only."""

    def __init__(self, backend: Backend, statements: int) -> None:
        self._backend, self._left = backend, [statements]

    @contextmanager
    def reading(self, viewer: Viewer | None, seconds: float | None = None) -> Iterator[Any]:
        """Give one moment."""
        try:
            with self._backend.reading(viewer, seconds) as reading:
                yield Slow(reading, self._left)
        except sqlite3.OperationalError as exc:
            raise IndexUnavailable("interrupted") from exc

    def close(self) -> None:
        """Close."""


@pytest.mark.parametrize(("statements", "files"), [(0, []), (2, [1]), (100, [1, 1])])
def test_what_was_found_in_time_is_given(empty_place: Any, statements: int, files: list[int]) -> None:
    """Where a look is interrupted the keys before it are listed and completed, and fields and schemas always."""
    with Contents(empty_place("sqlite")) as index:
        index.object(0, type="d")
        index.file(1, b"a.txt", {"x": {"sizeable": 1, "sizes_of": 2}})

        def slow() -> Search:
            return Search(SlowBackend(index.search()._backend, statements))

        assert [each.files for each in slow().fields("size") if "x" in each.extractors] == files
        assert slow().complete("size")[0] == "size:"
        assert len([each for each in slow().complete("size") if each in {"sizeable:", "sizes_of:"}]) == len(files)
        assert slow().complete("sizes_of:") == (("sizes_of:2",) if statements else ())
