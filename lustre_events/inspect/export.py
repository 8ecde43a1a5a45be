"""All hits of a search as a file for other programs: JSON lines, CSV, Parquet. Memory does not grow with them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, BinaryIO

from lustre_events.errors import ConfigError
from lustre_events.index.search.hits import Hit, hit_json, name_text, printable
from lustre_events.index.search.stored_documents import text_of

FORMATS = ("jsonl", "csv", "parquet")
COLUMNS = ("path", "fid", "type", "size", "mtime_ns", "uid", "gid", "mode", "mime", "documents")
ROWS_AT_ONCE = 1_000
"""Rows that become columns together."""
ROWS_OF_GROUP = 20_000
"""Rows of a row group of Parquet; as columns they need little memory."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the beginning of one; with some languages also the wide forms of the four signs."""


def write(hits: Iterable[Hit], kind: str, file: BinaryIO) -> int:
    """Write hits, whose paths are whole, and return how many they were.

    Raises:
        ConfigError: pyarrow is missing.
        OSError: the file cannot be written.
    """
    counted = _Counted(hits)
    {"jsonl": _jsonl, "csv": _csv, "parquet": _parquet}[kind](counted, file)
    file.flush()
    return counted.count


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


def _jsonl(hits: Iterable[Hit], file: BinaryIO) -> None:
    file.writelines(jsonl(hits))


def _csv(hits: Iterable[Hit], file: BinaryIO) -> None:
    file.writelines(comma_separated(hits))


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


def _parquet(hits: Iterable[Hit], file: BinaryIO) -> None:
    """Write typed columns; a path that is not UTF-8 is escaped in `path`, and as it is in `path_bytes`."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - optional
        from pyarrow import parquet  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        raise ConfigError("Parquet needs pyarrow: pip install 'lustre-events[parquet]'") from exc
    text, number = pa.string(), pa.int64()
    schema = pa.schema([
        ("path", text), ("path_bytes", pa.binary()), ("fid", text), ("type", text), ("size", number),
        ("mtime", pa.timestamp("ns", tz="UTC")), ("uid", number), ("gid", number), ("mode", text), ("mime", text),
        ("documents", text),
    ])  # fmt: skip
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        batches = (
            pa.record_batch(list(map(pa.array, columns, schema.types)), schema=schema) for columns in _columns(hits)
        )
        while group := list(islice(batches, ROWS_OF_GROUP // ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_batches(group))


def _columns(hits: Iterable[Hit]) -> Iterator[list[list[Any]]]:
    """Yield the columns of ROWS_AT_ONCE rows."""
    rows = _rows(hits)
    while portion := list(islice(rows, ROWS_AT_ONCE)):
        paths, *rest = (list(column) for column in zip(*portion, strict=True))
        odd = [None if _is_utf8(path) else path.encode("utf-8", "surrogateescape") for path in paths]
        shown = [path if raw is None else printable(raw) for path, raw in zip(paths, odd, strict=True)]
        yield [shown, odd, *rest]


def _is_utf8(path: str) -> bool:
    return path.isascii() or not any("\udc80" <= char <= "\udcff" for char in path)
