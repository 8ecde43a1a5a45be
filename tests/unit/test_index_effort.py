"""What a search costs in SQLite: statements and steps, which are the same however large the index is."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.errors import IndexUnavailable
from lustre_events.index.planner.planner import FEW
from lustre_events.index.query.parser import parse
from lustre_events.index.search.hints.known import knowing
from lustre_events.index.search.subtree import walked
from lustre_events.index.sqlite.pages import aligned
from lustre_events.index.sqlite.search import SqliteReading
from lustre_events.index.visibility import Viewer
from tests.support.index.tables import MemoryBackend, add_file, add_object, make_index, searching

ANN = Viewer(1, frozenset({10}))
OPEN = {"uid": 5, "gid": 5, "mode": 0o755}
FEW_OF_ALL = 3
"""For SQLite more than a few objects match then, as in a large index."""


@given(st.lists(st.sets(st.integers(0, 30)), min_size=1, max_size=3), st.integers(1, 4))
def test_streams_are_put_together_portion_by_portion(sets: list[set[int]], size: int) -> None:
    """What is in any of some streams, or in all, comes in order and once, however the streams are cut."""

    def streams() -> list[Iterator[list[int]]]:
        return [iter([sorted(each)[start : start + size] for start in range(0, len(each), size)]) for each in sets]

    either = [number for each in aligned(streams(), any) for number in sorted(set().union(*each))]
    both = [number for each in aligned(streams(), all) for number in sorted(set(each[0]).intersection(*each[1:]))]

    assert either == sorted(set().union(*sets))
    assert both == sorted(set(sets[0]).intersection(*sets[1:]))


@pytest.fixture(scope="module")
def many() -> Iterator[dict[int, sqlite3.Connection]]:
    """Give indexes with files in few and in many directories, by how many; they are only read."""
    with made_indexes() as make:
        indexes = {directories: make() for directories in (40, 400)}
        for directories, index in indexes.items():
            spread(index, directories)
        yield indexes


@pytest.fixture
def made() -> Iterator[Callable[[], sqlite3.Connection]]:
    """Make indexes, which are closed in the end."""
    with made_indexes() as make:
        yield make


@contextlib.contextmanager
def made_indexes() -> Iterator[Callable[[], sqlite3.Connection]]:
    """Make indexes, which are closed in the end."""
    indexes: list[sqlite3.Connection] = []

    def make() -> sqlite3.Connection:
        index = make_index()
        indexes.append(index)
        add_object(index, 0, type="d", **OPEN)
        return index

    yield make
    for index in indexes:
        index.close()


def spread(index: sqlite3.Connection, directories: int) -> None:
    """Add a file in each of some directories, all of them open, and one that is hidden."""
    for number in range(directories):
        mode: dict[str, Any] = {"mtime_ns": number, "size": number, **OPEN}
        add_file(index, number + 1, b"top/dir%04d/red file" % number, {"x": {"k": "red"}}, **mode)
    index.execute("UPDATE object SET uid = 5, gid = 5, mode = ? WHERE type = 'd'", (0o755,))
    hidden = "UPDATE object SET mode = ? WHERE fid IN (SELECT fid FROM link WHERE name = ?)"
    index.execute(hidden, (0o700, b"dir0001"))


def statements_of(index: sqlite3.Connection, search: Callable[[], Any]) -> int:
    """Return how many statements read names or objects meanwhile, also those that functions of ours run."""
    said: list[str] = []
    index.set_trace_callback(said.append)
    search()
    index.set_trace_callback(None)
    return sum("FROM link" in each or "FROM object" in each for each in said)


@pytest.mark.parametrize(
    ("query", "sort", "few"),
    [
        *((query, None, FEW) for query in ("k:red", "red", "red AND file", "k:r*", "size:>0", "red*", "-blue")),
        *((query, None, FEW_OF_ALL) for query in ("k:red", "k:r*", "size:>0")),
        ("type:f", "mtime", FEW), ("type:f", "mtime", FEW_OF_ALL), ("k:red", "-mtime", FEW),
        ("red", "relevance", FEW),
    ],
)  # fmt: skip
def test_the_directories_of_a_page_are_asked_for_together(
    many: dict[int, sqlite3.Connection], query: str, sort: str | None, few: int
) -> None:
    """What a viewer may list takes as many statements for ten times as many directories."""
    asked = []
    for directories, index in many.items():
        page = partial(searching(index, few).page, query, sort=sort, limit=1000, visible_to=ANN)
        found = {hit.paths[0] for hit in page().hits}
        assert {path for path in found if path.endswith(b"file")} == {
            b"top/dir%04d/red file" % number
            for number in range(directories)
            if number != 1 and not (query == "size:>0" and number == 0)
        }
        asked.append(statements_of(index, page))
    assert asked[0] == asked[1]


def test_words_are_counted_no_further_than_another_part_has_objects(made: Callable[[], sqlite3.Connection]) -> None:
    """Beside a value that few files have, a word that ten times as many files have costs little more."""
    steps = []
    for others in (60, 600):
        index = made()
        index.execute("BEGIN")
        for number in range(5):
            add_file(index, number + 1, b"frame rare%d" % number, {"x": {"energy": 200}})
        for number in range(others):
            add_file(index, number + 100, b"frame %d" % number, {"x": {"energy": 1}})
        index.execute("COMMIT")
        with MemoryBackend(index).reading(None) as reading:
            steps.append(steps_of(index, lambda: reading.selective(parse("frame AND energy:>190", now_ns=0))))
    assert steps[1] < 3 * steps[0]


@pytest.mark.parametrize("query", ["fra* AND energy:>190", "ann* AND energy:>190", "zzz* AND energy:>190"])
def test_a_beginning_is_not_looked_up_anew_for_each_object(
    made: Callable[[], sqlite3.Connection], query: str
) -> None:
    """Beside a value that few files have, the beginning of a word is looked up as often for ten times as many."""
    looked_up = []
    for files in (20, 200):
        index = made()
        index.execute("BEGIN")
        for number in range(files):
            add_file(index, number + 1, b"frame%d" % number, {"x": {"energy": 200, "word": f"annealed {number}"}})
        index.execute("COMMIT")
        found = searching(index).page(query, limit=1000).hits
        said: list[str] = []
        index.set_trace_callback(said.append)
        searching(index).page(query, limit=1000)
        index.set_trace_callback(None)
        assert len(found) == (0 if query.startswith("zzz") else files)
        looked_up.append(sum("_idx" in each and "SELECT" in each for each in said))
    assert looked_up[1] <= looked_up[0] + 2


def steps_of(index: sqlite3.Connection, look: Callable[[], Any]) -> int:
    """Return how many tens of its own steps SQLite takes meanwhile."""
    count = 0

    def step() -> None:
        nonlocal count
        count += 1

    index.set_progress_handler(step, 10)
    look()
    index.set_progress_handler(None, 0)
    return count


def test_a_walk_ends_with_its_time(made: Callable[[], sqlite3.Connection]) -> None:
    """A walk asks many questions, each a quick one: where nothing matches, it ends when the time is over."""
    index = made()
    add_file(index, 1, b"d/file", type="f")

    with pytest.raises(IndexUnavailable, match="took too long"):
        walked(SqliteReading(index, end=0.0), parse("path:/d/** type:d", now_ns=0), None, 1)


def test_a_count_below_a_directory_looks_at_nothing_else(made: Callable[[], sqlite3.Connection]) -> None:
    """Why a search finds nothing is found below its path in as many steps, however much else came before."""
    steps = []
    for others in (20, 600):
        index = made()
        for number in range(others):
            add_file(index, number + 100, b"others/file%d" % number, type="f")
        for number in range(20):
            add_file(index, number + 1, b"mine/file%d" % number, {"x": {"k": 1}})
        with knowing(MemoryBackend(index, few=FEW_OF_ALL), None, 0, 60.0) as known:
            found: list[int] = []
            look = partial(known.files, parse("path:/mine/**", now_ns=0))
            steps.append(steps_of(index, lambda: found.append(look())))  # noqa: B023 - called at once
            assert found == [20]
    assert steps[1] <= steps[0] + 2
