"""Facets and du: how many files have which value, and how large these are."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.errors import ConfigError
from lustre_events.index.search.hits import Facet
from lustre_events.index.sqlite.tally import extension_of
from tests.support.index.tables import add_file, add_link, make_index, searching
from tests.support.profiles import examples
from tests.support.rows import each_row


@pytest.fixture
def index() -> Iterator[sqlite3.Connection]:
    """Four files in two directories, one of them with two names and two documents."""
    connection = make_index()
    documents: dict[str, Any] = {"hdf5": {"k": ["Red", "blue"], "n": 1}, "image": {"k": "red"}}
    add_file(connection, 1, b"a/x.H5", documents, size=10, uid=0, gid=0, mime="text/csv", released=1)
    add_file(connection, 2, b"a/y.h5", {"hdf5": {"k": "red"}}, size=20, uid=987_654, gid=987_654)
    add_file(connection, 3, b"b/z", size=40, uid=987_654)
    add_file(connection, 4, b"b/.rc", None, size=None)
    add_link(connection, 1003, b"second.h5", 1)
    yield connection
    connection.close()


@each_row(
    ("field", "facets"),
    [
        ("owner", [("987654", 2, 60), (None, 1, 0), ("root", 1, 10)]),
        ("group", [(None, 2, 40), ("987654", 1, 20), ("root", 1, 10)]),
        ("type", [("f", 4, 70)]),
        ("ext", [(None, 2, 40), ("h5", 2, 30)]),
        ("mime", [(None, 3, 60), ("text/csv", 1, 10)]),
        ("extractor", [(None, 2, 40), ("hdf5", 2, 30), ("image", 1, 10)]),
        ("k", [("red", 2, 30), ("blue", 1, 10)]),
        ("image.k", [("red", 1, 10)]),
        ("n", [(1.0, 1, 10)]),
        ("nokey", []),
    ],
)
def test_facets(index: sqlite3.Connection, field: str, facets: list[tuple[str | float | None, int, int]]) -> None:
    """Each value with its files and bytes, the most frequent first; what is not known, or not there, is None."""
    found = searching(index).facets("type:f", [field])[field]

    assert sorted(found, key=str) == sorted((Facet(*facet) for facet in facets), key=str)
    assert [facet.files for facet in found] == sorted((facet[1] for facet in facets), reverse=True)


def test_facets_have_a_limit(index: sqlite3.Connection) -> None:
    """Only a number of values are given, the most frequent ones; several fields at once are fine."""
    found = searching(index).facets("type:f", ["k", "owner"], limit=1)

    assert found["k"] == (Facet("red", 2, 30),)
    assert len(found["owner"]) == 1


def test_du_counts_hard_links_once(index: sqlite3.Connection) -> None:
    """A file with a name in each directory counts once for the whole, and once in each of them."""
    search = searching(index)

    assert sum(facet.bytes for facet in search.du(b"/", "type")) == 70
    assert {facet.value: facet.bytes for facet in search.du(b"a", "type")} == {"d": 0, "f": 30}
    assert {facet.value: facet.bytes for facet in search.du(b"/b/", "type")} == {"d": 0, "f": 50}
    assert search.du(b"a/x.H5", "owner") == (Facet("root", 1, 10),)
    with pytest.raises(ConfigError, match="/a/none: no such path"):
        search.du(b"a/none", "owner")


def test_du_of_names_that_look_like_patterns(index: sqlite3.Connection) -> None:
    """A directory whose name has the characters of a pattern is taken literally, whatever its bytes."""
    add_file(index, 10, b"[*]?\xff/x", size=1)
    add_file(index, 11, b"[ab]?\xff/x", size=2)

    assert sum(facet.bytes for facet in searching(index).du(b"[*]?\xff", "type")) == 1


@given(st.binary(max_size=12))
@examples(200)
def test_extensions(name: bytes) -> None:
    """An extension is what is behind the last dot, of whatever bytes; a first dot begins no extension."""
    found = extension_of(name)

    if found is not None:
        assert b"." in name[1:]
        assert found
    assert extension_of(b"a." + b"H5") == "h5"
