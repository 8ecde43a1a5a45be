"""Hits as a Parquet file with typed columns: facts, and a column for each key of the documents (key_columns.py).

What type a key has is known for certain only at the end. So rows go into a file beside, as their types are so far;
where these change, into another one; and at the end all become one file. Mostly there is one, which is the answer.
Memory does not grow with the hits.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import parquet

from lustre_events.index.search.hits import Hit, printable
from lustre_events.index.search.stored_documents import text_of
from lustre_events.index.values import clean
from lustre_events.inspect.key_columns import LARGE, MOST_COLUMNS, REAL, TIME, TRUTH, WHOLE, KeyColumn, Names, Row

ROWS_AT_ONCE = 1_000
"""Rows that become columns together."""
ROWS_OF_GROUP = 20_000
"""Rows of a row group; as columns they need little memory."""
NOTES = b"lustre-events"
"""The key of the file's metadata with what is said of its columns, as JSON: a sentence by the column's name."""

_FACTS = pa.schema([
    ("path", pa.string()), ("path_bytes", pa.binary()), ("fid", pa.string()), ("type", pa.string()),
    ("size", pa.int64()), ("mtime", pa.timestamp("ns", tz="UTC")), ("uid", pa.int64()), ("gid", pa.int64()),
    ("mode", pa.string()), ("mime", pa.string()), ("documents", pa.string()),
])  # fmt: skip
_TYPES = {
    TRUTH: pa.bool_(), WHOLE: pa.int64(), LARGE: pa.int64(), REAL: pa.float64(), TIME: pa.timestamp("ns", tz="UTC"),
}  # fmt: skip
_EACH_ITS_OWN = frozenset({"path", "path_bytes", "fid", "size", "mtime", "documents"})
"""Columns whose values do not repeat: no dictionary of them is made."""


def write(hits: Iterable[Hit], file: BinaryIO, wanted: Sequence[str] = (), folder: Path | None = None) -> list[str]:
    """Write a row for each path of each hit, and return what is to be said of the columns, as sentences.

    Args:
        hits: with whole paths.
        file: where to; it is written from where it stands on.
        wanted: the keys that become columns; empty: all, up to MOST_COLUMNS.
        folder: where there is room for a file as large; None: the system's folder for temporary files.

    Raises:
        OSError: a file cannot be written.
    """
    names = Names(wanted)
    with tempfile.TemporaryDirectory(prefix="lustre-events-", dir=folder) as beside:
        parts = _Parts(Path(beside))
        rest = iter(hits)
        while portion := list(islice(rest, ROWS_AT_ONCE)):
            parts.take(portion, [names.row(hit.documents) for hit in portion])
        notes = _notes(parts.columns, names, wanted)
        parts.end(notes)
        parts.become_one(file, notes)
    return [*notes.values()]


def _notes(columns: dict[str, KeyColumn], names: Names, wanted: Sequence[str]) -> dict[str, str]:
    """Return what is said of the columns, by their names."""
    notes = {
        name: f"{_shown(name)} has {' and '.join(sorted(column.kinds))}: its column is text"
        for name, column in columns.items()
        if column.mixed
    }
    for key in wanted:
        if not any(name == key or name.endswith(f".{key}") for name in columns):
            notes[key] = f"no file that was found has the key {_shown(key)}"
    if names.left_out:
        notes[""] = (
            f"of the keys only the first {MOST_COLUMNS} have columns, and all are in the column documents; "
            "name those that you want with --columns"
        )
    return notes


def _shown(name: str) -> str:
    return printable(name.encode("utf-8", "surrogateescape"))


class _File:
    """A file of Parquet that is being written, one row group after the other."""

    def __init__(self, where: Any, columns: Mapping[str, KeyColumn]) -> None:
        schema = _schema(columns)
        repeated = [name for name in schema.names if name not in _EACH_ITS_OWN]
        self._writer = parquet.ParquetWriter(where, schema, compression="zstd", use_dictionary=repeated)
        self._group: list[Any] = []
        self._rows = 0

    def add(self, rows: Any) -> None:
        """Write a table."""
        self._group.append(rows)
        self._rows += rows.num_rows
        if self._rows >= ROWS_OF_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._group:
            self._writer.write_table(pa.concat_tables(self._group))
        self._group, self._rows = [], 0

    def close(self, notes: Mapping[str, str]) -> None:
        """End the file."""
        self._flush()
        if notes:
            self._writer.add_key_value_metadata({NOTES: json.dumps(notes).encode()})
        self._writer.close()


@dataclass(slots=True)
class _Parts:
    """The files beside, each with columns of its own, of which the last one is open."""

    folder: Path
    columns: dict[str, KeyColumn] = field(default_factory=dict)
    paths: list[Path] = field(default_factory=list)
    _open: _File | None = None

    def take(self, hits: Sequence[Hit], rows: Sequence[Row]) -> None:
        """Write hits with what their documents give."""
        columns = _with(self.columns, rows)
        if columns != self.columns:
            self.end({})
            self.columns = columns
        if self._open is None:
            self.paths.append(self.folder / str(len(self.paths)))
            self._open = _File(self.paths[-1], columns)
        self._open.add(_table(hits, rows, columns))

    def end(self, notes: Mapping[str, str]) -> None:
        """End the file that is open."""
        if self._open is not None:
            self._open.close(notes)
            self._open = None

    def become_one(self, file: BinaryIO, notes: Mapping[str, str]) -> None:
        """Write all of the files as one."""
        if len(self.paths) == 1:
            with self.paths[0].open("rb") as part:
                shutil.copyfileobj(part, file, 1 << 20)
            return
        whole = _File(file, self.columns)
        for path in self.paths:
            with parquet.ParquetFile(path) as part:
                for number in range(part.num_row_groups):
                    whole.add(_as(part.read_row_group(number), self.columns))
            path.unlink()
        whole.close(notes)


def _with(columns: dict[str, KeyColumn], rows: Sequence[Row]) -> dict[str, KeyColumn]:
    """Return the columns that have the values of rows as well."""
    found: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            if name in found:
                found[name].append(value)
            else:
                found[name] = [value]
    new = {name: columns.get(name, KeyColumn()).with_values(values) for name, values in sorted(found.items())}
    return columns | new


def _schema(columns: Mapping[str, KeyColumn]) -> Any:
    *facts, documents = _FACTS
    return pa.schema([*facts, *(pa.field(name, _type(column)) for name, column in columns.items()), documents])


def _type(column: KeyColumn) -> Any:
    one = _TYPES.get(column.kind, pa.string())
    return pa.list_(one) if column.many else one


def _table(hits: Sequence[Hit], rows: Sequence[Row], columns: Mapping[str, KeyColumn]) -> Any:
    """Return the rows of hits as columns: one for each path."""
    paths = [path for hit in hits for path in hit.paths]
    if len(paths) != len(hits):
        rows = [row for hit, row in zip(hits, rows, strict=True) for _ in hit.paths]
        hits = [hit for hit in hits for _ in hit.paths]
    *facts, documents = _facts(hits, paths)
    values = [*facts, *(_array(rows, name, column) for name, column in columns.items()), documents]
    return pa.table(values, schema=_schema(columns))


def _facts(hits: Sequence[Hit], paths: Sequence[bytes]) -> Iterator[Any]:
    """Yield the columns of facts. A path that is not UTF-8 is escaped in `path`, and as it is in `path_bytes`."""
    shown: list[str] = []
    odd: list[bytes | None] = []
    for path in paths:
        try:
            shown.append(path.decode())
            odd.append(None)
        except UnicodeDecodeError:
            shown.append(printable(path))
            odd.append(path)
    modes = (None if hit.mode is None else f"{hit.mode:04o}" for hit in hits)
    columns: list[list[Any]] = [
        shown, odd, [str(hit.fid) for hit in hits], [hit.type for hit in hits], [hit.size for hit in hits],
        [hit.mtime_ns for hit in hits], [hit.uid for hit in hits], [hit.gid for hit in hits], list(modes),
        [hit.mime for hit in hits], [text_of(hit.documents) for hit in hits],
    ]  # fmt: skip
    return (pa.array(values, kind) for values, kind in zip(columns, _FACTS.types, strict=True))


def _array(rows: Sequence[Row], name: str, column: KeyColumn) -> Any:
    values = column.stored([row.get(name) for row in rows])
    try:
        return pa.array(values, _type(column))
    except UnicodeEncodeError:  # a lone surrogate: rare
        return pa.array([_clean(each) for each in values], _type(column))


def _clean(value: Any) -> Any:
    if isinstance(value, list):
        return [*map(_clean, value)]
    return clean(value) if isinstance(value, str) else value


def _as(table: Any, columns: Mapping[str, KeyColumn]) -> Any:
    """Return rows that were written before all types were known with the columns of the end."""
    schema = _schema(columns)
    rows: list[Row] | None = None
    found = []
    for wanted in schema:
        place = table.schema.get_field_index(wanted.name)
        if place >= 0 and table.schema.field(place).type == wanted.type:
            found.append(table.column(place))
        elif place < 0:
            found.append(pa.nulls(table.num_rows, wanted.type))
        else:
            if rows is None:
                rows = [Names([*columns]).row(json.loads(each)) for each in table.column("documents").to_pylist()]
            found.append(_array(rows, wanted.name, columns[wanted.name]))
    return pa.table(found, schema=schema)
