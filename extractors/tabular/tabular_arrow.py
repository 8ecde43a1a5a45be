"""Parquet, and Arrow's files and streams, by pyarrow: schema, rows, Parquet's statistics, and the first rows."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import os
from typing import Any

from extractor_facts import MAX_COLUMNS as MAX_SHOWN
from extractor_facts import MAX_ROWS, preview, table
from tabular_columns import MAX_COLUMNS, MAX_DESCRIBED, MAX_TEXT, clean, key_of, listed, unique

os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # takes no address space in advance
import pyarrow as pa
import pyarrow.parquet as pq

MAX_CHUNKS = 50_000  # column chunks (row groups x columns) whose statistics are read
MAX_BATCHES = 10_000
MAX_FOOTER = 64 << 20
MAX_METADATA = 50
CUTTING = "parquet-rs"  # shortens texts in statistics, and pyarrow does not tell whether it did
MAX_GROUP = 16 << 20  # bytes of the first row group of which rows are shown
KINDS = (
    ("integer", pa.types.is_integer), ("number", pa.types.is_floating), ("number", pa.types.is_decimal),
    ("boolean", pa.types.is_boolean), ("text", pa.types.is_string), ("text", pa.types.is_large_string),
    ("time", pa.types.is_temporal), ("binary", pa.types.is_binary), ("binary", pa.types.is_large_binary),
    ("binary", pa.types.is_fixed_size_binary), ("list", pa.types.is_list), ("list", pa.types.is_large_list),
    ("list", pa.types.is_fixed_size_list), ("object", pa.types.is_nested), ("empty", pa.types.is_null),
)  # fmt: skip


def parquet(path: str) -> dict[str, Any]:
    """Return the document of a Parquet file from its footer."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    size = os.path.getsize(path)  # noqa: PTH202 - a path as text is what pyarrow takes
    with open(path, "rb") as file:  # noqa: PTH123
        file.seek(max(0, size - 8))
        tail = file.read()
    footer = int.from_bytes(tail[:4], "little")
    if tail[4:] != b"PAR1":
        raise ValueError("it begins as Parquet, but its end is not there")
    if not 0 < footer <= min(size - 12, MAX_FOOTER):
        raise ValueError(f"its footer says that it has {footer} bytes; at most {MAX_FOOTER} are read")
    with pq.ParquetFile(path, pre_buffer=False) as opened:
        metadata, schema = opened.metadata, opened.schema_arrow
        columns, count = _columns(schema)
        reasons = _statistics(metadata, columns)
        writer = clean(str(metadata.created_by or "")[:MAX_TEXT])
        if writer.startswith(CUTTING) and any("first" in one for one in columns.values() if one["type"] == "text"):
            reasons.append(
                "the first and the last of texts are those in its statistics, which its writer may cut off"
            )
        codecs = sorted({
            metadata.row_group(0).column(place).compression.lower()
            for place in range(min(metadata.num_columns, MAX_COLUMNS))
        }) if metadata.num_row_groups else []  # fmt: skip
        more: dict[str, Any] = {
            "row_groups": metadata.num_row_groups,
            "compression": codecs,
            "created_by": writer,
            **_metadata(schema.metadata),
        }
        found = _document("parquet", columns, count, metadata.num_rows, reasons, **more)
        return found | preview(table=_parquet_head(opened))


def arrow(path: str, *, stream: bool) -> dict[str, Any]:
    """Return the document of an Arrow file (Feather version 2), or of a stream of record batches."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    rows, reasons, head = 0, [], None
    with pa.OSFile(path) as source:
        options = pa.ipc.IpcReadOptions(use_threads=False, ensure_alignment=pa.ipc.Alignment.Any)
        reader = (pa.ipc.open_stream if stream else pa.ipc.open_file)(source, options=options)
        schema = reader.schema
        columns, count = _columns(schema)
        try:
            batches = MAX_BATCHES if stream else reader.num_record_batches
            done = 0
            for place in range(min(batches, MAX_BATCHES)):
                batch = reader.read_next_batch() if stream else reader.get_batch(place)
                rows += batch.num_rows
                head = head or _head(batch)
                done += 1
            if not stream and batches > done:
                reasons.append(f"the rows of the first {done} of {batches} record batches are counted")
        except StopIteration:
            pass
        except (pa.ArrowException, OSError) as exc:
            reasons.append(clean(f"a record batch cannot be read: {exc}"[:MAX_TEXT]))
    form = "arrow-stream" if stream else "arrow"
    more = {"batches": done, **_metadata(schema.metadata)}
    return _document(form, columns, count, rows, reasons, **more) | preview(table=head)


def _document(
    form: str, columns: dict[str, dict[str, Any]], count: int, rows: int, reasons: list[str], **more: Any
) -> dict[str, Any]:
    told = dict(itertools.islice(columns.items(), MAX_DESCRIBED))
    found = listed(form, told, count, rows, reasons, names=list(columns), **more)
    return found | ({"partial": "; ".join(reasons)} if reasons else {})


def _parquet_head(opened: pq.ParquetFile) -> dict[str, Any] | None:
    """Return the first rows, where the first row group is no large one."""
    metadata = opened.metadata
    if not metadata.num_row_groups or metadata.row_group(0).total_byte_size > MAX_GROUP:
        return None
    names = opened.schema_arrow.names[:MAX_SHOWN]
    if len(set(names)) < len(names):
        return None
    try:
        return _head(next(opened.iter_batches(MAX_ROWS, [0], names, use_threads=False)))
    except (pa.ArrowException, OSError, StopIteration):
        return None


def _head(batch: pa.RecordBatch) -> dict[str, Any] | None:
    """Return the head of a table for the preview."""
    try:
        columns = [
            batch.column(place).slice(0, MAX_ROWS).to_pylist() for place in range(batch.num_columns)[:MAX_SHOWN]
        ]
    except (pa.ArrowException, ValueError, OverflowError):
        return None  # a time zone that nobody knows, or a date beyond Python's
    return table([key_of(name) for name in batch.schema.names[:MAX_SHOWN]], zip(*columns, strict=True))


def _columns(schema: pa.Schema) -> tuple[dict[str, dict[str, Any]], int]:
    names = unique(key_of(name) for name in schema.names[:MAX_COLUMNS])
    found = {}
    for name, field in zip(names, schema, strict=False):
        kind = next((word for word, holds in KINDS if holds(field.type)), "object")
        found[name] = {"type": kind, "stored": clean(str(field.type)[:MAX_TEXT])}
    return found, len(schema.names)


def _statistics(metadata: pq.FileMetaData, columns: dict[str, dict[str, Any]]) -> list[str]:
    """Add values, empties and ranges to the flat columns, as the writer counted them for each row group."""
    flat = {}
    for place in range(min(metadata.num_columns, 4 * MAX_COLUMNS)):
        leaf = metadata.schema.column(place)
        if leaf.max_repetition_level or "." in leaf.path:
            continue  # its statistics are of what stands in lists
        if (name := key_of(leaf.path)) in columns and len(flat) < MAX_DESCRIBED:
            flat[place] = columns[name]
    groups = min(metadata.num_row_groups, MAX_CHUNKS // max(1, len(flat)))
    for place, column in flat.items():
        column.update(_over_groups(metadata, place, groups))
    if groups < metadata.num_row_groups:
        return [f"ranges are of the first {groups} of {metadata.num_row_groups} row groups"]
    return []


def _over_groups(metadata: pq.FileMetaData, place: int, groups: int) -> dict[str, Any]:
    """Return values, empties and range of one column over row groups; nothing where one has no statistics."""
    empty, low, high = 0, None, None
    for group in range(groups):
        statistics = metadata.row_group(group).column(place).statistics
        if statistics is None or not statistics.has_null_count:
            return {}
        empty += statistics.null_count
        least, most = _range(statistics)
        if least is not None and most is not None:
            low, high = least if low is None else min(low, least), most if high is None else max(high, most)
    found: dict[str, Any] = {}
    if groups and groups == metadata.num_row_groups and 0 <= empty <= metadata.num_rows:
        found["values"] = metadata.num_rows - empty
    if empty > 0:
        found["empty"] = empty
    if low is not None:
        found |= {"first": low, "last": high} if isinstance(low, str) else {"min": low, "max": high}
    return found


def _range(statistics: pq.Statistics) -> tuple[Any, Any]:
    """Return the least and the greatest value of a column chunk; None, None where it has none for JSON."""
    if not statistics.has_min_max:
        return None, None
    try:
        return _plain(statistics.min), _plain(statistics.max)
    except (pa.ArrowException, ValueError, OverflowError, UnicodeDecodeError):
        return None, None  # a time zone that nobody knows, or a date beyond Python's


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value[:MAX_TEXT])
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if math.isfinite(value) and -(1 << 63) <= value < 1 << 63 else None


def _metadata(found: dict[bytes, bytes] | None) -> dict[str, Any]:
    """Return what the writer said in key and value; its own schema and pandas' are left out."""
    kept = {
        key_of(key.decode("utf-8", "replace")): clean(value[:MAX_TEXT].decode("utf-8", "replace"))
        for key, value in list((found or {}).items())[:MAX_METADATA]
        if key not in (b"ARROW:schema", b"pandas")
    }
    return {"metadata": kept} if kept else {}
