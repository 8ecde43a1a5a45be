"""The stand-in for liblustreapi, built once per session and empty for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lustre_events import llapi
from tests.support.servers.standin import Standin, build


@pytest.fixture(scope="session")
def standin_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("standin"))


@pytest.fixture(scope="session")
def old_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("standin"), old=True)


@pytest.fixture
def standin(standin_path: Path) -> Iterator[Standin]:
    """A stand-in with one empty MDT; at the end nothing may be left open, not freed or misused."""
    standin = Standin(standin_path)
    standin.reset()
    standin.add_mdt("lustre-MDT0000")
    yield standin
    leaks, misuses = standin.leaks, standin.misuses
    standin.reset()
    assert (leaks, misuses) == (0, 0)


@pytest.fixture
def library(standin: Standin) -> llapi.Library:
    return llapi.load(standin.path)
