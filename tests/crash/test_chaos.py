"""A short round of chaos; `make chaos` does many, on every kind of site."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import rounds
from tests.chaos.site import Kind, Site, unmount
from tests.support.need import missing, need

SECONDS = 10.0


@pytest.fixture
def place(open_folder: Path) -> Iterator[Path]:
    """A folder in which disks may be mounted."""
    need("redis-server")
    if os.geteuid() != 0:
        missing("only root may mount the small disks of a round of chaos")
    yield open_folder
    unmount(open_folder)


def test_whatever_is_killed_the_index_is_the_file_system(place: Path) -> None:
    """Kills and pauses of every process on a Lustre of two MDTs: the truth, sums that are equal, nothing left."""
    site = Site(place, Kind("lustre", "sqlite", clear_after="committed"), seed=1)
    account = rounds.run(site, 1, time.monotonic() + SECONDS, print)

    assert account.wrong == [], site.last_words()
    assert account.kills > 5
    assert account.looks == 1
