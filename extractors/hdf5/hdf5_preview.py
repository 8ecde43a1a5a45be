"""The preview of an array file: its tree, the course of its columns, and the head of its first table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import extractor_facts as facts
import numpy as np
from hdf5_coverage import decoded

MAX_COLUMNS = 8
MAX_NUMBERS = 400_000  # of all columns together


def preview(
    document: dict[str, Any], columns: Iterable[tuple[str, int, Callable[[], Any]]], head: Any
) -> dict[str, Any]:
    """Return the preview; `columns` are name, size and reader of what has one dimension, `head` rows of a table."""
    lines, left = [], MAX_NUMBERS
    for name, size, read in columns:
        if not 1 < size <= left or len(lines) >= MAX_COLUMNS:
            continue
        values = read()
        if values is None or values.dtype.kind not in "iuf":
            continue
        left -= size
        attributes = document["dataset"].get(name, {}).get("attributes", {})
        units = attributes.get("units")
        lines.append(line(name, decoded(values, attributes), units if isinstance(units, str) else ""))
    return facts.preview(tree=tree(document), lines=lines, table=head)


def line(name: str, values: Any, unit: str) -> dict[str, Any] | None:
    """Return the course of numbers."""
    finite = values[np.isfinite(values)].astype("f8")
    made = facts.Line(name, unit)
    step = 1
    while len(finite) > facts.MAX_POINTS * step:
        step *= 2
    starts = np.arange(0, len(finite), step)
    if not len(starts):
        return None
    made.low, made.high = np.minimum.reduceat(finite, starts).tolist(), np.maximum.reduceat(finite, starts).tolist()
    made.count = len(finite)
    return made.shown()


def tree(document: dict[str, Any]) -> list[dict[str, str]]:
    """Return groups and datasets in the order of their paths."""
    kinds = {path: kind for kind, paths in document.get("nexus", {}).get("classes", {}).items() for path in paths}
    found = {path: kinds.get(path, "group") for path in document.get("groups", [])}
    for path, one in document["dataset"].items():
        found[path] = " ".join([one["dtype"], " x ".join(map(str, one["shape"]))]).strip()
    return [{"path": path[:1000], "about": found[path][:200]} for path in sorted(found) if path]


def head_of(values: Any) -> dict[str, Any] | None:
    """Return the head of a table of compound rows."""
    names = values.dtype.names
    if not names:
        return None
    return facts.table(names, [[_cell(row[name]) for name in names[: facts.MAX_COLUMNS]] for row in values])


def _cell(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return str(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
