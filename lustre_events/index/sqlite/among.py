"""Rows of SQLite among given values: lists of a few lengths, filled up with NULL.

So each statement is prepared once, and a short list costs little.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from lustre_events.changelog.fid import FID

_CHUNKS = (1, 4, 16, 64, 250, 900)
"""Lengths of IN lists: each mark costs, also one that stands for nothing."""
_MARKS = {size: ",".join("?" * size) for size in _CHUNKS}
_ROWS = {size: ",".join(["(?)"] * size) for size in _CHUNKS}


def select(
    connection: sqlite3.Connection, statement: str, fids: Collection[FID], *more: str
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a SELECT whose `IN ({})` is filled with `fids`, and the marks behind it with `more`."""
    return select_among(connection, statement, [fid.pack() for fid in fids], *more)


def select_among(
    connection: sqlite3.Connection, statement: str, values: Collection[bytes | int], *more: str
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a SELECT whose `IN ({})` is filled with values, in their order."""
    return _in_chunks(connection, statement, _MARKS, values, more)


def select_of(
    connection: sqlite3.Connection, statement: str, values: Collection[bytes | int], *more: str | int
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a SELECT whose `VALUES {}` is filled with values, each a row, in their order."""
    return _in_chunks(connection, statement, _ROWS, values, more)


def _in_chunks(
    connection: sqlite3.Connection, statement: str, marks: Mapping[int, str], values: Collection[bytes | int],
    more: Sequence[str | int],
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    ordered: list[Any] = sorted(values)
    start = 0
    while start < len(ordered):
        left = len(ordered) - start
        size = next((size for size in _CHUNKS if size >= left), _CHUNKS[-1])
        chunk = ordered[start : start + size]
        start += size
        chunk += [None] * (size - len(chunk))
        yield from connection.execute(statement.format(marks[size]), (*chunk, *more)).fetchall()
