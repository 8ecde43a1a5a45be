"""What holds for all tests of units."""

from __future__ import annotations

from pathlib import Path

import pytest

OF_AN_INDEX = {"index_place", "empty_place"}
"""Fixtures that give an index on either database."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let `make quick` run these tests on SQLite alone: tests/contract proves that PostgreSQL does the same."""
    for item in items:
        if Path(__file__).parent in item.path.parents and isinstance(item, pytest.Function):
            callspec = getattr(item, "callspec", None)
            on_postgresql = callspec is not None and "postgresql" in callspec.params.values()
            if on_postgresql and OF_AN_INDEX & {*item.fixturenames}:
                item.add_marker(pytest.mark.long)
