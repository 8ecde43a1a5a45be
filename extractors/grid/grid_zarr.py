"""Zarr, versions 2 and 3: one file of its metadata, a consolidated one, or a store in a zip archive."""

from __future__ import annotations

import json
import math
import zipfile
from typing import Any, BinaryIO

import extractor_facts as facts

MAX_BYTES = 16 << 20  # of one file of metadata
MAX_NODES = 500
MAX_MEMBERS = 200_000
MAX_ATTRIBUTES = 200  # of one array or group
MAX_ITEMS = 100  # values of one attribute
DIMENSIONS, SHARDING = "_ARRAY_DIMENSIONS", "sharding_indexed"
NAMES = (".zarray", ".zgroup", ".zattrs", "zarr.json")
BROKEN = (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError)


class Store:
    """Arrays, groups and attributes of a store."""

    def __init__(self, reasons: list[str]) -> None:
        self.reasons = reasons
        self.arrays: dict[str, dict[str, Any]] = {}
        self.array_count = self.group_count = 0
        self.attributes: dict[str, dict[str, Any]] = {}
        self.version = 0

    def node(self, path: str, said: Any) -> None:
        """Take the metadata of an array or a group of version 3."""
        if not isinstance(said, dict) or said.get("node_type") not in {"array", "group"}:
            raise ValueError("it is JSON, but no metadata of Zarr")
        self.version = 3
        self._attributes(path, said.get("attributes"))
        if said["node_type"] == "array":
            grid = said.get("chunk_grid")
            chunks = grid.get("configuration", {}).get("chunk_shape") if isinstance(grid, dict) else None
            codecs = [one for one in said.get("codecs") or () if isinstance(one, dict)]
            inner = next((one.get("configuration") for one in codecs if one.get("name") == SHARDING), None)
            self._array(path, said, said.get("data_type"), chunks, codecs=[one.get("name") for one in codecs],
                        names=said.get("dimension_names"), inner=inner)  # fmt: skip
        else:
            self.group_count += 1
        inner = said.get("consolidated_metadata")
        if isinstance(inner, dict) and isinstance(inner.get("metadata"), dict):
            for name, one in inner["metadata"].items():
                self.node(f"{path}/{name}".strip("/"), one)

    def old(self, name: str, said: Any) -> None:
        """Take the metadata of version 2, in a file of this name."""
        path, _, kind = name.rpartition("/")
        if not isinstance(said, dict):
            raise ValueError("it is JSON, but no metadata of Zarr")  # noqa: TRY004 - a file's error
        self.version = self.version or 2
        if kind == ".zattrs":
            self._attributes(path, said)
        elif kind == ".zgroup":
            self.group_count += 1
        elif kind == ".zarray":
            packing = said.get("compressor")
            codecs = [packing.get("id")] if isinstance(packing, dict) else []
            codecs += [one.get("id") for one in said.get("filters") or () if isinstance(one, dict)]
            self._array(path, said, said.get("dtype"), said.get("chunks"), codecs=codecs, names=None)

    def _array(
        self,
        path: str,
        said: dict[str, Any],
        dtype: Any,
        chunks: Any,
        *,
        codecs: list[Any],
        names: Any,
        inner: Any = None,
    ) -> None:
        """Take an array; `inner` is how shards, which `chunks` are then, are made of chunks."""
        shape = numbers(said.get("shape"))
        if shape is None:
            raise ValueError("it is not Zarr metadata: an array has no shape")
        self.array_count += 1
        if len(self.arrays) == MAX_NODES:
            return
        about: dict[str, Any] = {"shape": shape, "size": min(math.prod(shape), (1 << 63) - 1)}
        name = dtype.get("name") if isinstance(dtype, dict) else dtype
        about |= {"dtype": text} if (text := plain_type(name)) else {}
        if isinstance(inner, dict) and (parts := numbers(inner.get("chunk_shape"))) is not None:
            about |= {"shards": shards} if (shards := numbers(chunks)) is not None else {}
            chunks = parts
            codecs = codecs + [one.get("name") for one in inner.get("codecs") or () if isinstance(one, dict)]
        if (kept := numbers(chunks)) is not None:
            about["chunks"] = kept
        if words := [text for one in codecs if (text := facts.text(one, 100))][:20]:
            about["codecs"] = words
        if isinstance(names, list) and all(isinstance(one, str) for one in names):
            about["dimensions"] = [facts.text(one, 300) for one in names[:64]]
        self.arrays[facts.text(path, 500) or "/"] = about

    def _attributes(self, path: str, said: Any) -> None:
        found: dict[str, Any] = {}
        where = facts.text(path, 100) or "/"
        given = said if isinstance(said, dict) else {}
        for key, value in given.items():
            name = facts.text(key, 300)
            if name == DIMENSIONS and isinstance(value, list):
                found[name] = [facts.text(one, 300) for one in value[:64] if isinstance(one, str)]
            elif name and len(found) == MAX_ATTRIBUTES:
                self.reasons.append(f"of {len(given)} attributes of {where} {MAX_ATTRIBUTES} are listed")
                break
            elif name:
                self._attribute(found, name, value, where)
        if found and len(self.attributes) < 2 * MAX_NODES:
            self.attributes[facts.text(path, 500) or "/"] = found

    def _attribute(self, found: dict[str, Any], name: str, value: Any, where: str) -> None:
        """Take a value, or a list of values; of what is nested it is told that it is left out."""
        several = value if isinstance(value, list) else [value]
        if any(isinstance(one, (dict, list)) for one in several):
            self.reasons.append(f"{name} of {where} is nested, and left out")
            return
        kept = [shown for one in several[:MAX_ITEMS] if (shown := plain(one)) not in ("", None)]
        if len(several) > MAX_ITEMS:
            self.reasons.append(f"of {name} of {where} {MAX_ITEMS} values are listed")
        if kept:
            found[name] = kept if isinstance(value, list) else kept[0]

    def document(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Return the document, its common facts, and its parts for `preview`."""
        top = self.attributes.pop("/", {})
        if top and "/" in self.arrays:
            self.attributes["/"] = top
        for name, found in self.attributes.items():
            if name in self.arrays:
                names = found.pop(DIMENSIONS, None)
                self.arrays[name] |= {"dimensions": names} if names else {}
                self.arrays[name] |= {"attributes": found} if found else {}
        top.pop(DIMENSIONS, None)
        document: dict[str, Any] = {
            "format": "zarr",
            "format_version": str(self.version),
            "dataset_count": self.array_count,
        }
        document |= {"group_count": self.group_count, "datasets": list(self.arrays), "dataset": self.arrays}
        document |= {"attributes": top} if top else {}
        if self.array_count > len(self.arrays):
            self.reasons.append(f"of {self.array_count} arrays {len(self.arrays)} are listed")
        units = [found["units"] for found in self.attributes.values() if isinstance(found.get("units"), str)]
        said = {
            "title": top.get("title") or top.get("name"),
            "creator": top.get("creator_name") or top.get("institution"),
            "keywords": words(top.get("keywords")), "technique": top.get("source"), "units": units,
            "doi": top.get("doi") or top.get("id"), "start": top.get("time_coverage_start"),
            "end": top.get("time_coverage_end"), "created": top.get("date_created"),
        }  # fmt: skip
        tree = [{"path": name,
        "about": f"{one.get('dtype', '')} {' x '.join(map(str, one['shape']))}".strip()[:200]}
                for name, one in self.arrays.items()]  # fmt: skip
        return document, said, {"tree": tree}


def words(said: Any) -> list[str]:
    """Return keywords, which stand in a list or in one text."""
    parts = said.replace(";", ",").split(",") if isinstance(said, str) else said if isinstance(said, list) else []
    return [word for part in parts if isinstance(part, str) and (word := part.strip())]


def number(value: Any) -> Any:
    """Return a number as a document has it; None for what is none."""
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else str(value)[:100]
    return value if isinstance(value, float) and math.isfinite(value) else None


def plain(value: Any) -> Any:
    """Return a value as a document has it; None for none."""
    return facts.text(value) if isinstance(value, str) else value if isinstance(value, bool) else number(value)


def numbers(value: Any) -> list[int] | None:
    """Return extents; None for what is none."""
    fits = (
        isinstance(value, list)
        and len(value) <= 64
        and all(type(one) is int and 0 <= one < 1 << 63 for one in value)
    )
    return value if fits else None


def plain_type(name: Any) -> str:
    """Return a type: version 2 writes <f4 for float32."""
    if not isinstance(name, str):
        return "compound" if isinstance(name, list) else ""
    kinds = {"f": "float", "i": "int", "u": "uint", "c": "complex"}
    if name[:1] in "<>|" and name[1:2] in kinds and name[2:].isdigit() and len(name) < 6:
        return f"{kinds[name[1]]}{int(name[2:]) * 8}"
    return {"|b1": "bool", "|O": "object"}.get(name, facts.text(name, 100))


def one_file(content: bytes, reasons: list[str]) -> Store:
    """Return what one file of metadata says; which of them it is, its content tells.

    Raises:
        ValueError: it is none.
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"its metadata have more than {MAX_BYTES >> 20} MiB")
    said = json.loads(content)
    store = Store(reasons)
    if not isinstance(said, dict):
        raise ValueError("it is JSON, but no metadata of Zarr")  # noqa: TRY004 - a file's error
    if "zarr_consolidated_format" in said and isinstance(said.get("metadata"), dict):
        for name, one in said["metadata"].items():
            store.old(name if "/" in name else f"/{name}", one)
    elif said.get("zarr_format") == 3:
        store.node("", said)
    elif said.get("zarr_format") == 2:
        store.old("/.zarray" if "shape" in said else "/.zgroup", said)
    else:
        raise ValueError("it is JSON, but no metadata of Zarr; .zattrs alone do not tell what they are of")
    return store


def archived(file: BinaryIO, reasons: list[str]) -> Store:
    """Return what a store in a zip archive says.

    Raises:
        ValueError: it is none.
    """
    store = Store(reasons)
    try:
        with zipfile.ZipFile(file) as archive:
            members = [one for one in archive.infolist()[:MAX_MEMBERS] if one.filename.endswith(NAMES)]
            for member in members:
                with archive.open(member) as stream:
                    content = stream.read(MAX_BYTES + 1)
                _member(store, member.filename, content)
    except BROKEN as exc:
        raise ValueError(f"it is a broken archive: {facts.text(str(exc))}") from None
    if not members or not store.version:
        raise ValueError("it is an archive, but no store of Zarr")
    return store


def _member(store: Store, name: str, content: bytes) -> None:
    path, _, kind = name.rpartition("/")
    try:
        said = json.loads(content)
        if kind == "zarr.json":
            said.pop("consolidated_metadata", None)  # each of them is a member, too
            store.node(path, said)
        else:
            store.old(name if "/" in name else f"/{name}", said)
    except (ValueError, AttributeError, RecursionError) as exc:
        store.reasons.append(f"{facts.text(name, 100)}: {facts.text(str(exc), 100)}")
