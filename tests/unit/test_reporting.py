"""Who asks for the status again and again does not have all rows counted each time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from lustre_events.node.status_report import SHARE, Counting
from tests.support.index.tables import add_object, make_index, searching


class Timer:
    """Time that passes by a second at each look, and where somebody says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        self.now += 1
        return self.now


@pytest.fixture
def index() -> Iterator[sqlite3.Connection]:
    connection = make_index()
    add_object(connection, 1)
    yield connection
    connection.close()


def test_rows_are_counted_again_only_after_a_while(index: sqlite3.Connection) -> None:
    """Counting takes a small part of the time, however large the index; what is quickly told is always new."""
    timer = Timer()
    counting, search = Counting(timer), searching(index)
    assert counting.stats(search).counts.objects == 1
    add_object(index, 2)
    index.execute("INSERT INTO counter VALUES ('records', 7)")
    again = counting.stats(search)
    assert again.counts.objects == 1
    assert again.counters["records"] == 7
    timer.now += SHARE
    assert counting.stats(search).counts.objects == 2


def test_who_asks_once_gets_what_is_there(index: sqlite3.Connection) -> None:
    """A count of somebody else's is never shown."""
    search = searching(index)
    assert Counting().stats(search).counts.objects == 1
    add_object(index, 2)
    assert Counting().stats(search).counts.objects == 2
