"""Files of machine learning that begin with a header: safetensors and GGUF."""

from __future__ import annotations

import json
import struct
from typing import Any

import extractor_facts as facts
from array_listing import MAX_KEYS, MAX_NAME, Listing, exactly, kept, plain

MAX_HEADER = 32 << 20  # of safetensors
MAX_TEXT = 1 << 20
MAX_TENSORS = 1_000_000
DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64", "BOOL": "bool",
    "F8_E4M3": "float8_e4m3", "F8_E5M2": "float8_e5m2", "C64": "complex64",
}  # fmt: skip
# GGUF: types of values, and of tensors (ggml)
VALUES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, LIST = 8, 9
TENSORS = {
    0: "float32", 1: "float16", 2: "q4_0", 3: "q4_1", 6: "q5_0", 7: "q5_1", 8: "q8_0", 9: "q8_1", 10: "q2_k",
    11: "q3_k", 12: "q4_k", 13: "q5_k", 14: "q6_k", 15: "q8_k", 16: "iq2_xxs", 17: "iq2_xs", 18: "iq3_xxs",
    19: "iq1_s", 20: "iq4_nl", 21: "iq3_s", 22: "iq2_s", 23: "iq4_xs", 24: "int8", 25: "int16", 26: "int32",
    27: "int64", 28: "float64", 29: "iq1_m", 30: "bfloat16", 34: "tq1_0", 35: "tq2_0", 39: "mxfp4",
}  # fmt: skip
ABOUT = {
    "general.architecture": "architecture", "general.name": "title", "general.license": "licence",
    "general.author": "author", "general.organization": "organization", "general.version": "version",
}  # fmt: skip


def is_safetensors(head: bytes) -> bool:
    """Whether a file begins with the length of a header and a header."""
    return len(head) > 10 and head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= 100_000_000


def safetensors(stream: Any, listing: Listing, size: int | None) -> dict[str, Any]:
    """List the tensors of a safetensors file, and return what its header says beside them."""
    length = int.from_bytes(exactly(stream, 8), "little")
    if length > MAX_HEADER:
        raise ValueError(f"its header has {length} bytes; up to {MAX_HEADER} are read")
    said = json.loads(exactly(stream, length))
    if not isinstance(said, dict):
        raise ValueError("its header is not a JSON object")  # noqa: TRY004 - a file's error
    metadata = said.pop("__metadata__", {})
    end = 0
    for name, about in said.items():
        if not isinstance(about, dict) or not {"dtype", "shape", "data_offsets"} <= set(about):
            raise ValueError("it is not a safetensors file: its header does not list tensors")
        kind = facts.text(about["dtype"], 20)
        if not isinstance(about["shape"], list) or not isinstance(about["data_offsets"], list):
            raise ValueError("it is not a safetensors file: a tensor has no shape")  # noqa: TRY004 - a file's error
        listing.add(name, DTYPES.get(kind, kind.lower()), about["shape"])
        end = max([end, *(one for one in about["data_offsets"] if isinstance(one, int))])
    if size is not None and 8 + length + end > size:
        listing.reasons.append(f"the file is {8 + length + end - size} bytes shorter than its header says")
    found = kept(metadata, listing.reasons) if isinstance(metadata, dict) else {}
    return {"format": "safetensors"} | ({"metadata": found} if found else {})


class Gguf:
    """The header of a GGUF file."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        start = exactly(stream, 8)
        self.order = "<" if start[4:6] != b"\0\0" else ">"
        (self.version,) = struct.unpack(self.order + "I", start[4:])
        if self.version not in {2, 3}:
            raise ValueError(f"it is GGUF of version {self.version}; 2 and 3 are read")
        self.tensors, self.pairs = self._numbers("QQ")

    def _numbers(self, form: str) -> tuple[Any, ...]:
        form = self.order + form
        return struct.unpack(form, exactly(self.stream, struct.calcsize(form)))

    def _text(self) -> str:
        (length,) = self._numbers("Q")
        if length > MAX_TEXT:
            raise ValueError(f"a text of its header claims to have {length} bytes")
        return exactly(self.stream, length).decode("utf-8", "replace")

    def _value(self, kind: int) -> Any:
        if kind == TEXT:
            return self._text()
        if kind in VALUES:
            return self._numbers(VALUES[kind])[0]
        if kind != LIST:
            raise ValueError(f"a value of its header has the unknown type {kind}")
        kind, count = self._numbers("IQ")
        if kind == TEXT:
            found = []
            for number in range(count):
                text = self._text()
                if number < 100:
                    found.append(text)
            return found if count <= 100 else count
        if kind not in VALUES:
            raise ValueError("a list of its header holds lists")
        if count <= 100:
            return list(self._numbers(f"{count}{VALUES[kind]}"))
        size = struct.calcsize("<" + VALUES[kind]) * count
        while size:
            size -= len(exactly(self.stream, min(size, MAX_TEXT)))
        return count

    def metadata(self) -> dict[str, Any]:
        """Return the single values, short lists, and the lengths of long ones."""
        found: dict[str, Any] = {}
        for _ in range(self.pairs):
            name = self._text()
            (kind,) = self._numbers("I")
            value = self._value(kind)
            long = kind == LIST and isinstance(value, int)
            if len(found) < MAX_KEYS * 2:
                found[name + (".count" if long else "")] = value
        return found

    def list(self, listing: Listing) -> None:
        """List the tensors."""
        if self.tensors > MAX_TENSORS:
            raise ValueError(f"it claims to have {self.tensors} tensors")
        for _ in range(self.tensors):
            name = self._text()
            (dimensions,) = self._numbers("I")
            if dimensions > 8:
                raise ValueError(f"one of its tensors claims to have {dimensions} dimensions")
            shape = self._numbers(f"{dimensions}Q")
            kind, _ = self._numbers("IQ")
            listing.add(name, TENSORS.get(kind, f"type {kind}"), shape[::-1])  # as written: fastest first


def gguf(stream: Any, listing: Listing) -> dict[str, Any]:
    """List the tensors of a GGUF file, and return what its header says beside them."""
    header = Gguf(stream)
    said = header.metadata()
    header.list(listing)
    found: dict[str, Any] = {"format": "gguf", "format_version": f"{header.version}"}
    found |= {
        key: shown
        for name, key in ABOUT.items()
        if isinstance(said.get(name), str) and (shown := plain(said[name]))
    }
    tags = said.get("general.tags")
    if isinstance(tags, list) and (words := [text for tag in tags if (text := facts.text(tag, MAX_NAME))]):
        found["tags"] = words
    return found | {"metadata": kept(said, listing.reasons)}
