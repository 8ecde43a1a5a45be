"""The keys that the shipped extractors can give, as their schemas say: nobody's files are needed to know them."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lustre_events.catalog import shipped

MOST_DEPTH = 8
UNITS = {
    "deg": "degrees", "bytes": "bytes", "kb": "kB", "seconds": "s", "mm": "mm", "m": "m", "percent": "%",
    "kelvin": "K", "angstrom": "angstrom", "ratio": "",
}  # fmt: skip
"""Units by the ends of keys."""
NAMED = "common"
"""What all families say under the same names."""

_UNIT = re.compile(r"_([a-z]+)\Z")
_TYPES = {"integer": "number", "number": "number", "string": "text", "boolean": "true or false"}


@dataclass(frozen=True, slots=True)
class SchemaKey:
    """A key of a schema, dotted; `*` stands for a part that the file names (a column, a header, a data set)."""

    extractor: str
    name: str
    type: str
    unit: str
    help: str


@functools.cache
def all_keys(folder: Path | None = None) -> tuple[SchemaKey, ...]:
    """Return the keys of all shipped schemas, by name; none where they are not there or cannot be read."""
    top = folder or shipped.extractors()
    common = _read(top / "schema" / "common.json")
    found: dict[tuple[str, str], SchemaKey] = {}
    for path in sorted(top.glob("*/schema.json")):
        extractor = path.parent.name
        for key in _of(_read(path), extractor, common):
            found.setdefault((key.name, extractor), key)
    return tuple(found[each] for each in sorted(found))


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _of(schema: Mapping[str, Any], extractor: str, common: Mapping[str, Any]) -> Iterator[SchemaKey]:
    own = {name: each for name, each in schema.get("properties", {}).items() if name not in {NAMED, "preview"}}
    yield from _below({**schema, "properties": own}, "", extractor, schema, 0)
    if NAMED in schema.get("properties", {}):
        yield from _below(common, NAMED, extractor, common, 0)


def _below(
    node: Mapping[str, Any], name: str, extractor: str, root: Mapping[str, Any], depth: int
) -> Iterator[SchemaKey]:
    """Yield the keys of a node of a schema, which has this name."""
    help_ = str(node.get("description", "")) if name else ""
    node = _resolved(node, root)
    if depth > MOST_DEPTH:
        return
    inside = list(_inside(node, name, help_))
    for step, each in inside:
        yield from _below(each, step, extractor, root, depth + 1)
    if name.strip("*.") and not inside and (kind := _kind(node)):
        unit = _UNIT.search(name)
        yield SchemaKey(extractor, name, kind, UNITS.get(unit[1], "") if unit else "", help_)


def _inside(node: Mapping[str, Any], name: str, help_: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what a node may be or have in it, each with its dotted name."""
    for each in (*node.get("oneOf", ()), *node.get("anyOf", ())):
        yield name, each
    more = [node.get("additionalProperties"), *node.get("patternProperties", {}).values()]
    named = [("*", each) for each in more if isinstance(each, dict)]
    for step, each in (*node.get("properties", {}).items(), *named):
        yield f"{name}.{step}" if name else step, each
    items = node.get("items")
    first = items[0] if isinstance(items, list) and items else items
    if isinstance(first, dict):
        yield name, {**first, "description": help_} if help_ else first


def _resolved(node: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(node.get("$ref", "")).removeprefix("#/definitions/")
    found = root.get("definitions", {}).get(name, {}) if name else {}
    return {**found, **node} if isinstance(found, dict) else node


def _kind(node: Mapping[str, Any]) -> str:
    if "const" in node or "enum" in node:
        return "text"
    if str(node.get("$ref", "")).endswith("/moment"):
        return "time"
    said = node.get("type")
    kinds = {_TYPES[each] for each in (said if isinstance(said, list) else [said]) if each in _TYPES}
    return " or ".join(sorted(kinds))
