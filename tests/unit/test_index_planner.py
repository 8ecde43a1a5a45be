"""The planner: every node has a meaning, and parameters stay with the SQL that they belong to."""

from __future__ import annotations

import sqlite3
from typing import get_args

from lustre_events.index.planner.clause import Clause
from lustre_events.index.planner.planner import Planner
from lustre_events.index.query import tree as q
from lustre_events.index.sqlite.dialect import SqliteDialect
from tests.support.index.tables import add_file, make_index, searching
from tests.support.rows import each_row


def test_every_node_has_a_meaning() -> None:
    """Each node of the tree is in the planner, but for Exact, which `search/exact.py` replaces."""
    assert set(Planner._meaning) == set(get_args(q.Node)) - {q.Exact}


def test_parameters_follow_the_order_of_the_clauses() -> None:
    """A template that is filled with clauses has their parameters, in the order in which they stand."""
    filled = Clause.of("SELECT {} FROM {} WHERE {}", Clause("?", (1,)), "object", Clause("a = ? AND b = ?", (2, 3)))

    assert filled == Clause("SELECT ? FROM object WHERE a = ? AND b = ?", (1, 2, 3))


def test_what_is_counted_once_is_not_counted_again() -> None:
    """The three efforts of a search in SQLite ask for the size of a part once."""
    statements: list[str] = []
    index = make_index()
    index.set_trace_callback(statements.append)
    dialect = SqliteDialect(index)

    sizes = [dialect.counted(Clause("SELECT id FROM object WHERE size > ?", (1,)), 10) for _ in range(3)]
    index.close()

    assert sizes == [0, 0, 0]
    assert len(statements) == 1


@each_row("query", ["mime:\udcff", "extractor:\udcff*", "failed:x\udcff"])
def test_bytes_that_are_no_text_find_nothing(query: str) -> None:
    """What a terminal gives for bytes that are not UTF-8 is no error where only text can be."""
    index: sqlite3.Connection = make_index()
    add_file(index, 1, b"a", {"x": {"k": 1}}, mime="text/csv")

    assert searching(index).search(query) == []
    index.close()
