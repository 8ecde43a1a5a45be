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
            params = item.callspec.params.values() if hasattr(item, "callspec") else ()
            on_postgresql = any(isinstance(each, str) and each == "postgresql" for each in params)
            if on_postgresql and OF_AN_INDEX & {*item.fixturenames}:
                item.add_marker(pytest.mark.long)
