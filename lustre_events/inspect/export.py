"""All hits of a search as a file for other programs: JSON lines, CSV, Parquet. Memory does not grow with them."""

from __future__ import annotations

import contextlib
import csv
import gc
import io
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from lustre_events.changelog.fid import texts_of
from lustre_events.errors import ConfigError
from lustre_events.index.search.hits import from_root, name_text, octal
from lustre_events.index.search.portions import HitPortion

FORMATS = ("jsonl", "csv", "parquet")
COLUMNS = ("path", "fid", "type", "size", "mtime_ns", "uid", "gid", "mode", "mime", "documents")
_FACTS = ("fid", "paths", "type", "size", "mtime_ns", "uid", "gid", "mode", "mime")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the beginning of one; with some languages also the wide forms of the four signs."""


FEW_PORTIONS = 5
"""Portions that make no process of their own worth its start."""
PORTIONS_BETWEEN = 50
"""Portions after which Python looks for values in circles: a portion leaves few."""


class Exported(NamedTuple):
    """How many hits were written, and what is to be said of the columns, as sentences."""

    hits: int
    notes: tuple[str, ...] = ()


def write(
    portions: Iterable[HitPortion],
    kind: str,
    file: BinaryIO,
    *,
    columns: Sequence[str] = (),
    folder: Path | None = None,
    beside: bool = True,
) -> Exported:
    """Write hits, whose paths are whole.

    Args:
        portions: what is written.
        kind: one of FORMATS.
        file: where to.
        columns: of Parquet, the keys that become columns; empty: all.
        folder: of Parquet, where there is room for a file as large; None: the system's for temporary files.
        beside: of Parquet, let a process of its own write the file where there are many hits.

    Raises:
        ConfigError: pyarrow is missing, or only Parquet has columns of keys.
        OSError: the file cannot be written.
    """
    if columns and kind != "parquet":
        raise ConfigError("only --format parquet has a column for each key; leave --columns out")
    hits = 0

    def counted() -> Iterator[HitPortion]:
        nonlocal hits
        for number, portion in enumerate(portions, 1):
            hits += portion.hits
            yield portion
            if not number % PORTIONS_BETWEEN:
                gc.collect(1)

    notes: Sequence[str] = ()
    with _collecting_between_portions():
        if kind == "parquet":
            notes = _parquet(counted(), file, columns, folder, beside=beside)
        else:
            file.writelines(jsonl(counted()) if kind == "jsonl" else comma_separated(counted()))
    file.flush()
    return Exported(hits, tuple(notes))


@contextlib.contextmanager
def _collecting_between_portions() -> Iterator[None]:
    """Keep Python from looking for circles among the values of a portion, which have none: a fifth of the time."""
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def _parquet(
    portions: Iterator[HitPortion], file: BinaryIO, columns: Sequence[str], folder: Path | None, *, beside: bool
) -> Sequence[str]:
    """Write Parquet, here or by a process of its own, and return what is to be said of the columns."""
    if find_spec("pyarrow") is None:
        raise ConfigError("Parquet needs pyarrow: pip install 'lustre-events[parquet]'")
    first = deque(islice(portions, FEW_PORTIONS))
    module = "parquet_process" if beside and len(first) == FEW_PORTIONS else "parquet"
    # Each takes its time to load, and only one of them is needed.
    writer = import_module(f"lustre_events.inspect.{module}")
    found: Sequence[str] = writer.write(chain(_taken(first), portions), file, columns, folder)
    return found


def _taken(portions: deque[HitPortion]) -> Iterator[HitPortion]:
    """Yield portions, and hold none of them any longer."""
    while portions:
        yield portions.popleft()


def jsonl(portions: Iterable[HitPortion]) -> Iterator[bytes]:
    """Yield a line of JSON for each hit, as `hits.hit_json`; documents as they are stored."""
    for paths, fid, *facts, documents in _hits(portions):
        line = json.dumps(dict(zip(_FACTS, (fid, from_root(paths), *facts), strict=True)))
        yield f'{line[:-1]}, "documents": {documents}, "matched": []}}\n'.encode("ascii")


def comma_separated(portions: Iterable[HitPortion]) -> Iterator[bytes]:
    """Yield a line with the names of the columns, then one for each path of each hit."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in chain((COLUMNS,), _rows(portions)):
        writer.writerow(map(cell, row))
        yield text.getvalue().encode("utf-8", "surrogateescape")
        text.seek(0)
        text.truncate()


def cell(value: Any) -> Any:
    """Return a cell of CSV that no spreadsheet takes for a formula: such a text gets an apostrophe in front."""
    if not isinstance(value, str) or not value.startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return "'" + value
    return value


def _rows(portions: Iterable[HitPortion]) -> Iterator[tuple[Any, ...]]:
    """Yield a row for each path."""
    for paths, *rest in _hits(portions):
        for path in paths:
            yield name_text(path), *rest


def _hits(portions: Iterable[HitPortion]) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of each hit, and what its row has besides."""
    for portion in portions:
        fids, paths, *facts, modes, mimes = portion.facts
        yield from zip(
            paths, texts_of(fids), *facts, map(octal, modes), mimes, portion.whole_documents(), strict=True
        )  # fmt: skip
