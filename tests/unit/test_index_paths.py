"""Paths: made from links, whatever state these are in."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator

import pytest
from hypothesis import given

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.errors import QueryError
from lustre_events.index.paths import MAX_COMPONENTS, MOST_LINKS, NEAR_LEVELS
from lustre_events.index.paths import paths_of as bounded_paths
from lustre_events.index.planner.patterns import fids_of_pattern
from lustre_events.index.sqlite.dialect import SqliteDialect
from lustre_events.index.sqlite.paths import links_of, paths_of
from tests.support.index.paths import Links, all_paths, expression, links, patterns
from tests.support.index.tables import add_link, make_index, node, searching
from tests.support.profiles import examples


@pytest.fixture
def index() -> Iterator[sqlite3.Connection]:
    connection = make_index()
    yield connection
    connection.close()


def index_of(links: Links) -> sqlite3.Connection:
    connection = make_index()
    for (parent, name), fid in links.items():
        add_link(connection, parent, name, fid)
    return connection


@given(links)
@examples(200)
def test_paths_are_those_of_the_naive_model(links: Links) -> None:
    """All paths from the root, of hard links too; none through tombstones, unknown parents or cycles."""
    index = index_of(links)

    found = paths_of(index, [node(number) for number in range(10)])
    index.close()

    assert found == {node(number): paths for number, paths in all_paths(links).items()}


@given(links)
@examples(100)
def test_every_path_leads_back_to_its_object(links: Links) -> None:
    """fid_of_path is the inverse of paths_of, and finds nothing at names that are gone."""
    index = index_of(links)

    search = searching(index)
    back = {
        path: search.fid_of_path(path)
        for paths in paths_of(index, [node(number) for number in range(10)]).values()
        for path in paths
    }
    gone = [search.fid_of_path(name) for (parent, name), fid in links.items() if parent == 0 and fid is None]
    index.close()

    for number, paths in all_paths(links).items():
        assert all(back[path] == node(number) for path in paths)
    assert gone == [None] * len(gone)


@given(links, patterns)
@examples(300)
def test_patterns_find_what_the_naive_model_finds(links: Links, pattern: str) -> None:
    """* and ? stay in one component, ** crosses them, a pattern without a first slash matches at any depth."""
    # Out-of-order links can close cycles; then a directory has no paths of its own to compare with.
    links = {place: fid for place, fid in links.items() if fid is None or fid > place[0]}
    index = index_of(links)

    dialect = SqliteDialect(index)
    found = {FID.unpack(row[0]) for row in dialect.run(fids_of_pattern(dialect, pattern, None))}
    index.close()

    wanted = {
        node(number)
        for number, paths in all_paths(links).items()
        if number and any(expression(pattern).match(path + b"/") for path in paths)
    }
    assert found == wanted


def test_the_root_and_slashes(index: sqlite3.Connection) -> None:
    """The root's path is /; slashes at the ends of a path mean nothing."""
    add_link(index, 0, b"a", 1)
    add_link(index, 1, b"b", 2)

    search = searching(index)
    assert search.fid_of_path(b"/") == search.fid_of_path(b"") == ROOT_FID
    assert search.fid_of_path(b"/a/b/") == search.fid_of_path(b"a/b") == node(2)
    assert paths_of(index, [ROOT_FID]) == {ROOT_FID: [b"/"]}


def test_many_objects_and_deep_trees(index: sqlite3.Connection) -> None:
    """Neither thousands of objects at once nor a tree deeper than Python's stack is too much."""
    for level in range(1500):
        add_link(index, level, b"d", level + 1)
    for number in range(3000):
        add_link(index, 5, b"f%d" % number, 10_000 + number)

    paths = paths_of(index, [node(1500), *(node(10_000 + number) for number in range(3000))])

    assert paths[node(1500)] == [b"/".join([b"d"] * 1500)]
    assert paths[node(12_999)] == [b"d/d/d/d/d/f2999"]


@pytest.fixture
def nest(index: sqlite3.Connection) -> tuple[list[FID], list[FID]]:
    """Files in 500 directories inside each other with the longest names, and in an ordinary one."""
    for level in range(500):
        add_link(index, level, b"\xff" * 255, level + 1)
    add_link(index, 0, b"ordinary", 9_000)
    for number in range(200):
        add_link(index, 500, b"deep%d" % number, 10_000 + number)
        add_link(index, 9_000, b"f%d" % number, 20_000 + number)
    return [node(10_000 + number) for number in range(200)], [node(20_000 + number) for number in range(200)]


def test_a_nest_of_directories_costs_only_itself(index: sqlite3.Connection, nest: tuple[list[FID], ...]) -> None:
    """What is deep below long names has no path for the writer, others do; whoever reads the index gets all."""
    deep, ordinary = nest
    bounded = paths_of(index, deep + ordinary, bounded=True)

    assert [bounded[fid] for fid in deep] == [[]] * 200
    assert [bounded[fid] for fid in ordinary] == [[b"ordinary/f%d" % number] for number in range(200)]
    assert len(paths_of(index, deep[:1])[deep[0]][0]) > 500 * 255


@pytest.mark.long
def test_what_is_looked_at_for_paths_is_bounded(index: sqlite3.Connection) -> None:
    """Below very many deep directories no more links are looked at than said; what is near the root has a path."""
    for chain in range(100):
        for level in range(200):
            add_link(index, 1000 * chain + level if level else 0, b"%d" % chain, 1000 * chain + level + 1)
    asked = [node(1000 * chain + level) for chain in range(100) for level in (NEAR_LEVELS, 200)]
    looked_at = 0

    def counted(fids: Collection[FID]) -> list[tuple[FID, FID, bytes]]:
        nonlocal looked_at
        found = links_of(index, fids)
        looked_at += len(found)
        return found

    found = bounded_paths(counted, asked, bounded=True)
    assert MOST_LINKS < looked_at <= len(asked) * (NEAR_LEVELS + 1) < 100 * 200
    assert [bool(found[fid]) for fid in asked] == [True, False] * 100


def test_directories_with_many_parents_end(index: sqlite3.Connection) -> None:
    """Links that would multiply paths without bound give some of these paths, soon."""
    for level in range(40):
        add_link(index, level, b"a", level + 1)
        add_link(index, level, b"b", level + 1)

    assert paths_of(index, [node(40)])[node(40)]


def test_patterns_with_too_many_components(index: sqlite3.Connection) -> None:
    """A pattern as long as SQLite can take works, a longer one is refused in a sentence."""
    dialect = SqliteDialect(index)
    statement = fids_of_pattern(dialect, "/" + "/".join(["*"] * MAX_COMPONENTS), None)

    assert dialect.run(statement) == []
    with pytest.raises(QueryError, match="components"):
        fids_of_pattern(dialect, "/" + "/".join(["*"] * (MAX_COMPONENTS + 1)), None)
