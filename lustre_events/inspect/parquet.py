"""Hits as a Parquet file with typed columns: facts, and a column for each key of the documents (key_columns.py).

What type a key has is known for certain only at the end. So rows go into a file beside, as their types are so far;
where these change, into another one; and at the end all become one file. Mostly there is one, which is the answer.
Memory does not grow with the hits.
"""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import parquet

from lustre_events.changelog.fid import texts_of
from lustre_events.index.search.hits import octal, printable
from lustre_events.index.search.portions import HitPortion
from lustre_events.index.search.stored_documents import all_parsed
from lustre_events.index.values import clean
from lustre_events.inspect.key_columns import (
    LARGE,
    MOST_COLUMNS,
    REAL,
    TIME,
    TRUTH,
    WHOLE,
    Columns,
    Documents,
    KeyColumn,
    KeyNames,
)

ROWS_AT_ONCE = 1_000
"""Rows that become columns together."""
ROWS_OF_GROUP = 5_000
"""Most rows of a row group."""
BYTES_OF_GROUP = 64 << 20
"""Bytes of columns that are enough for a row group, since documents may be large."""
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


def write(
    portions: Iterable[HitPortion], file: BinaryIO, wanted: Sequence[str] = (), folder: Path | None = None
) -> list[str]:
    """Write a row for each path of each hit, and return what is to be said of the columns, as sentences.

    Args:
        portions: hits with whole paths.
        file: where to; it is written from where it stands on.
        wanted: the keys that become columns; empty: all, up to MOST_COLUMNS.
        folder: where there is room for a file as large; None: the system's folder for temporary files.

    Raises:
        OSError: a file cannot be written.
    """
    names = KeyNames(wanted)
    with tempfile.TemporaryDirectory(prefix="lustre-events-", dir=folder) as beside:
        parts = _Parts(Path(beside), wanted)
        for portion in map(HitPortion.with_paths, portions):  # a file whose names are all gone has no row
            if portion.hits:
                parts.take(portion, names.columns(portion.hits, _parsed(portion.documents)))
        notes = _notes(parts.columns, names, wanted)
        parts.end(notes)
        parts.become_one(file, notes)
    return [*notes.values()]


def _parsed(documents: Mapping[str, Sequence[str | None]]) -> Documents:
    return {name: all_parsed(texts) for name, texts in documents.items()}


def _notes(columns: dict[str, KeyColumn], names: KeyNames, wanted: Sequence[str]) -> dict[str, str]:
    """Return what is said of the columns, by their names."""
    notes = {
        name: f"{_shown(name)} has {' and '.join(sorted(column.kinds))}: its column is text"
        for name, column in columns.items()
        if column.mixed
    }
    for first, second in _alike(columns):
        told = f"{_shown(first)} and {_shown(second)} differ only in case: DuckDB reads the first for both"
        notes[second] = f"{notes[second]}; {told}" if second in notes else told
    for key in wanted:
        if key not in names.met:
            notes[key] = f"no file that was found has the key {_shown(key)}"
    if names.left_out:
        notes[""] = (
            f"of the keys only the first {MOST_COLUMNS} have columns, and all are in the column documents; "
            "name those that you want with --columns"
        )
    return notes


def _alike(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the first of names that differ only in the case of ASCII letters, with each other of them."""
    first: dict[bytes, str] = {}
    for name in names:
        if (known := first.setdefault(name.encode("utf-8", "surrogateescape").lower(), name)) != name:
            yield known, name


def _shown(name: str) -> str:
    return printable(name.encode("utf-8", "surrogateescape"))


class _File:
    """A file of Parquet that is being written, one row group after the other."""

    def __init__(self, where: Any, columns: Mapping[str, KeyColumn]) -> None:
        schema = _schema(columns)
        repeated = [name for name in schema.names if name not in _EACH_ITS_OWN]
        self._writer = parquet.ParquetWriter(where, schema, compression="zstd", use_dictionary=repeated)
        self._writing = ThreadPoolExecutor(1)  # beside the search for the next hits
        self._written: Future[None] | None = None
        self._group: list[Any] = []
        self._rows = self._bytes = 0

    def add(self, rows: Any) -> None:
        """Write a table."""
        self._group.append(rows)
        self._rows += rows.num_rows
        self._bytes += rows.nbytes
        if self._rows >= ROWS_OF_GROUP or self._bytes >= BYTES_OF_GROUP:
            self._flush()

    def _flush(self) -> None:
        self._wait()
        if self._group:
            self._written = self._writing.submit(self._writer.write_table, pa.concat_tables(self._group))
        self._group, self._rows, self._bytes = [], 0, 0

    def _wait(self) -> None:
        """Wait until the last group is written: no more than one waits for it."""
        if self._written is not None:
            self._written.result()
        self._written = None

    def close(self, notes: Mapping[str, str]) -> None:
        """End the file."""
        self._flush()
        self._wait()
        self._writing.shutdown()
        if notes:
            self._writer.add_key_value_metadata({NOTES: json.dumps(notes).encode()})
        self._writer.close()


@dataclass(slots=True)
class _Parts:
    """The files beside, each with columns of its own, of which the last one is open."""

    folder: Path
    wanted: Sequence[str]
    columns: dict[str, KeyColumn] = field(default_factory=dict)
    paths: list[Path] = field(default_factory=list)
    _open: _File | None = None

    def take(self, hits: HitPortion, values: Columns) -> None:
        """Write hits with what their documents give."""
        columns = _with(self.columns, values)
        if columns != self.columns:
            self.end({})
            self.columns = columns
        if self._open is None:
            self.paths.append(self.folder / str(len(self.paths)))
            self._open = _File(self.paths[-1], columns)
        self._open.add(_table(hits, values, columns))

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
        names = KeyNames(self.wanted or [*self.columns])
        for path in self.paths:
            with parquet.ParquetFile(path) as part:
                for batch in part.iter_batches(ROWS_AT_ONCE):
                    whole.add(_as(pa.Table.from_batches([batch]), self.columns, names))
            path.unlink()
        whole.close(notes)


def _with(columns: dict[str, KeyColumn], values: Columns) -> dict[str, KeyColumn]:
    """Return the columns that have more values."""
    new = {name: columns.get(name, KeyColumn()).with_values(each) for name, each in sorted(values.items())}
    return columns | new


def _schema(columns: Mapping[str, KeyColumn]) -> Any:
    *facts, documents = _FACTS
    return pa.schema([*facts, *(pa.field(name, _type(column)) for name, column in columns.items()), documents])


def _type(column: KeyColumn) -> Any:
    one = _TYPES.get(column.kind, pa.string())
    return pa.list_(one) if column.many else one


def _table(hits: HitPortion, values: Columns, columns: Mapping[str, KeyColumn]) -> Any:
    """Return the rows of hits as columns: one for each path."""
    keys = [_array(values.get(name), hits.hits, column) for name, column in columns.items()]
    paths = [*chain.from_iterable(hits.facts.paths)]
    *facts, documents = _facts(hits)
    if len(paths) != hits.hits:
        which = pa.array([number for number, each in enumerate(hits.facts.paths) for _ in each], pa.int64())
        *facts, documents = (each.take(which) for each in (*facts, documents))
        keys = [each.take(which) for each in keys]
    return pa.table([*_paths(paths), *facts, *keys, documents], schema=_schema(columns))


def _paths(paths: Sequence[bytes]) -> tuple[Any, Any]:
    """Return the columns of paths. One that is not UTF-8 is escaped in `path`, and as it is in `path_bytes`."""
    as_they_are = pa.array(paths, pa.binary())
    try:
        return as_they_are.cast(pa.string()), pa.nulls(len(paths), pa.binary())
    except pa.ArrowInvalid:
        told, bytes_ = zip(*map(_told, paths), strict=True)
        return pa.array(told, pa.string()), pa.array(bytes_, pa.binary())


def _facts(hits: HitPortion) -> Iterator[Any]:
    """Yield the columns of facts behind those of paths."""
    fids, _, *facts, modes, mimes = hits.facts
    columns = (texts_of(fids), *facts, [*map(_octal, modes)], mimes, hits.whole_documents())
    return (pa.array(values, kind) for values, kind in zip(columns, _FACTS.types[2:], strict=True))


def _told(path: bytes) -> tuple[str, bytes | None]:
    try:
        return path.decode(), None
    except UnicodeDecodeError:
        return printable(path), path


_octal = functools.cache(octal)


def _array(values: Sequence[Any] | None, size: int, column: KeyColumn) -> Any:
    if values is None:
        return pa.nulls(size, _type(column))
    stored = column.stored(values)
    try:
        return pa.array(stored, _type(column))
    except UnicodeEncodeError:  # a lone surrogate: rare
        return pa.array([_clean(each) for each in stored], _type(column))


def _clean(value: Any) -> Any:
    if isinstance(value, list):
        return [*map(_clean, value)]
    return clean(value) if isinstance(value, str) else value


def _as(table: Any, columns: Mapping[str, KeyColumn], names: KeyNames) -> Any:
    """Return rows that were written before all types were known with the columns of the end."""
    schema = _schema(columns)
    values: Columns | None = None
    found = []
    for wanted in schema:
        place = table.schema.get_field_index(wanted.name)
        if place >= 0 and table.schema.field(place).type == wanted.type:
            found.append(table.column(place))
        elif place < 0:
            found.append(pa.nulls(table.num_rows, wanted.type))
        else:
            if values is None:
                hits = [json.loads(each) for each in table.column("documents").to_pylist()]
                extractors = dict.fromkeys(extractor for each in hits for extractor in each)
                documents = {extractor: [each.get(extractor) for each in hits] for extractor in extractors}
                values = names.columns(table.num_rows, documents)
            found.append(_array(values.get(wanted.name), table.num_rows, columns[wanted.name]))
    return pa.table(found, schema=schema)
