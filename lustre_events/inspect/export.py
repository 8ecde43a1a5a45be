"""All hits of a search as a file for other programs: JSON lines, CSV, Parquet. Memory does not grow with them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, NamedTuple

from lustre_events.errors import ConfigError
from lustre_events.index.search.hits import Hit, hit_json, name_text
from lustre_events.index.search.stored_documents import text_of

FORMATS = ("jsonl", "csv", "parquet")
COLUMNS = ("path", "fid", "type", "size", "mtime_ns", "uid", "gid", "mode", "mime", "documents")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the beginning of one; with some languages also the wide forms of the four signs."""


class Exported(NamedTuple):
    """How many hits were written, and what is to be said of the columns, as sentences."""

    hits: int
    notes: tuple[str, ...] = ()


def write(
    hits: Iterable[Hit], kind: str, file: BinaryIO, *, columns: Sequence[str] = (), folder: Path | None = None
) -> Exported:
    """Write hits, whose paths are whole.

    Args:
        hits: what is written.
        kind: one of FORMATS.
        file: where to.
        columns: of Parquet, the keys that become columns; empty: all.
        folder: of Parquet, where there is room for a file as large; None: the system's for temporary files.

    Raises:
        ConfigError: pyarrow is missing, or only Parquet has columns of keys.
        OSError: the file cannot be written.
    """
    if columns and kind != "parquet":
        raise ConfigError("only --format parquet has a column for each key; leave --columns out")
    counted = _Counted(hits)
    notes: Sequence[str] = ()
    if kind == "parquet":
        notes = _parquet().write(counted, file, columns, folder)
    else:
        file.writelines(jsonl(counted) if kind == "jsonl" else comma_separated(counted))
    file.flush()
    return Exported(counted.count, tuple(notes))


def _parquet() -> ModuleType:
    try:
        from lustre_events.inspect import parquet  # noqa: PLC0415 - pyarrow is optional
    except ModuleNotFoundError as exc:
        raise ConfigError("Parquet needs pyarrow: pip install 'lustre-events[parquet]'") from exc
    return parquet


class _Counted:
    """Iterates over hits, and knows how many they were."""

    def __init__(self, hits: Iterable[Hit]) -> None:
        self._hits = hits
        self.count = 0

    def __iter__(self) -> Iterator[Hit]:
        for hit in self._hits:
            self.count += 1
            yield hit


def jsonl(hits: Iterable[Hit]) -> Iterator[bytes]:
    """Yield a line of JSON for each hit."""
    return (json.dumps(hit_json(hit)).encode("ascii") + b"\n" for hit in hits)


def comma_separated(hits: Iterable[Hit]) -> Iterator[bytes]:
    """Yield a line with the names of the columns, then one for each path of each hit."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in chain((COLUMNS,), _rows(hits)):
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


def _rows(hits: Iterable[Hit]) -> Iterator[tuple[Any, ...]]:
    """Yield a row for each path."""
    for hit in hits:
        mode = None if hit.mode is None else f"{hit.mode:04o}"
        rest = (str(hit.fid), hit.type, hit.size, hit.mtime_ns, hit.uid, hit.gid, mode, hit.mime)
        documents = text_of(hit.documents)
        for path in hit.paths:
            yield name_text(path), *rest, documents
