"""ONNX: the graph of a model, read from the wire format of protocol buffers; weights are passed over."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO

import extractor_facts as facts
from array_listing import MAX_NAME, Listing

MAX_BYTES = 1 << 20  # of what is read of one field
MAX_NODES = 5_000_000
NUMBERS = {1: "ir_version", 5: "model_version"}
TEXTS = {2: "producer", 3: "producer_version", 4: "domain", 6: "description"}
TYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
    17: "float8_e4m3", 19: "float8_e5m2", 21: "uint4", 22: "int4",
}  # fmt: skip
Field = tuple[int, Any, int, int]  # its number, its value where it is a number, and where it begins and ends


class Wire:
    """A file whose messages are walked field by field."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size = file, size

    def fields(self, at: int, end: int) -> Iterator[Field]:
        """Yield the fields of a message.

        Raises:
            ValueError: it is none.
        """
        while at < end:
            self.file.seek(at)
            key = self._number()
            number, kind = key >> 3, key & 7
            if not number:
                raise ValueError("it is not an ONNX model: a field has no number")
            value: Any = None
            if kind == 0:
                value = self._number()
                begin = at = self.file.tell()
            elif kind == 2:
                length = self._number()
                begin = self.file.tell()
                at = begin + length
            elif kind in {1, 5}:
                begin = self.file.tell()
                at = begin + (8 if kind == 1 else 4)
            else:
                raise ValueError("it is not an ONNX model: a field has an unknown type")
            if at > end:
                raise ValueError("it is not an ONNX model, or it ends early")
            yield number, value, begin, at

    def _number(self) -> int:
        found = shift = 0
        while shift < 70:
            byte = self.file.read(1)
            if not byte:
                raise ValueError("it is not an ONNX model, or it ends early")
            found |= (byte[0] & 127) << shift
            if byte[0] < 128:
                return found
            shift += 7
        raise ValueError("it is not an ONNX model: a number does not end")

    def text(self, begin: int, end: int) -> str:
        """Return a text."""
        self.file.seek(begin)
        return facts.text(self.file.read(min(end - begin, MAX_BYTES)).decode("utf-8", "replace"))

    def numbers(self, field: Field) -> list[int]:
        """Return the numbers of a repeated field, packed or one."""
        _, value, begin, end = field
        if value is not None:
            return [value]
        if end - begin > 4096:
            raise ValueError("one of its shapes is too long")
        self.file.seek(begin)
        found = []
        while self.file.tell() < end:
            found.append(self._number())
        return found


class Model:
    """What one model says."""

    def __init__(self, file: BinaryIO, size: int, listing: Listing) -> None:
        self.wire, self.listing = Wire(file, size), listing
        self.found: dict[str, Any] = {"format": "onnx"}
        self.operators: Counter[str] = Counter()
        self.inputs: dict[str, dict[str, Any]] = {}
        self.outputs: dict[str, dict[str, Any]] = {}
        self.weights: set[str] = set()
        self.nodes = 0

    def document(self) -> dict[str, Any]:
        """Return what it says.

        Raises:
            ValueError: it is no model.
        """
        graph = None
        opsets: dict[str, int] = {}
        metadata: dict[str, str] = {}
        for number, value, begin, end in self.wire.fields(0, self.wire.size):
            if value is not None:
                self.found |= {NUMBERS[number]: signed(value)} if number in NUMBERS else {}
            elif number in TEXTS:
                self.found |= {TEXTS[number]: text} if (text := self.wire.text(begin, end)) else {}
            elif number == 7:
                graph = (begin, end)
            elif number == 8:
                opsets |= self._opset(begin, end)
            elif number == 14 and len(metadata) < 200:
                metadata |= self._pair(begin, end)
        if graph is None or not opsets or not 1 <= self.found.get("ir_version", 0) <= 100:
            raise ValueError("it is not an ONNX model: it has no graph or no version")
        self._graph(*graph)
        self.found |= {"opsets": opsets, "nodes": self.nodes, "operators": dict(self.operators.most_common(200))}
        if len(self.operators) > 200:
            self.listing.reasons.append(f"of {len(self.operators)} kinds of operators 200 are listed")
        for key, ports in (("inputs", self.inputs), ("outputs", self.outputs)):
            self.found[key] = {name: port for name, port in ports.items() if name not in self.weights}
        return self.found | ({"metadata": metadata} if metadata else {})

    def _opset(self, begin: int, end: int) -> dict[str, int]:
        domain, version = "ai.onnx", None
        for number, value, start, stop in self.wire.fields(begin, end):
            if number == 1 and value is None:
                domain = self.wire.text(start, stop) or domain
            elif number == 2:
                version = value
        return {domain: version} if version is not None and version < 1 << 31 else {}

    def _pair(self, begin: int, end: int) -> dict[str, str]:
        said = {number: self.wire.text(start, stop) for number, _, start, stop in self.wire.fields(begin, end)}
        return {said[1]: said.get(2, "")} if said.get(1) else {}

    def _graph(self, begin: int, end: int) -> None:
        for field in self.wire.fields(begin, end):
            number, value, start, stop = field
            if value is not None:
                continue
            if number == 1:
                self._node(start, stop)
            elif number == 2 and (name := self.wire.text(start, stop)):
                self.found["graph"] = name
            elif number == 10 and (text := self.wire.text(start, stop)):
                self.found.setdefault("description", text)
            elif number == 5:
                self._tensor(start, stop)
            elif number in {11, 12} and len(self.inputs) + len(self.outputs) < 10_000:
                name, port = self._port(start, stop)
                (self.inputs if number == 11 else self.outputs)[name] = port

    def _node(self, begin: int, end: int) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise ValueError(f"it has more than {MAX_NODES} nodes")
        for number, value, start, stop in self.wire.fields(begin, end):
            if number == 4 and value is None:
                self.operators[self.wire.text(start, stop)[:MAX_NAME] or "?"] += 1

    def _tensor(self, begin: int, end: int) -> None:
        name, kind, shape, outside = "", 0, [], False
        for field in self.wire.fields(begin, end):
            number, value, start, stop = field
            if number == 1:
                shape += self.wire.numbers(field)
            elif number == 2 and value is not None:
                kind = value
            elif number == 8 and value is None:
                name = self.wire.text(start, stop)
            elif number == 14:
                outside = value == 1
        self.weights.add(name)
        self.listing.add(name, TYPES.get(kind, f"type {kind}"), shape, **({"external": True} if outside else {}))

    def _port(self, begin: int, end: int) -> tuple[str, dict[str, Any]]:
        """Return name, type and shape of an input or output; a dimension without a number is a text."""
        name, port = "?", {}
        for number, value, start, stop in self.wire.fields(begin, end):
            if number == 1 and value is None:
                name = self.wire.text(start, stop)[:MAX_NAME] or "?"
            elif number == 2 and value is None:
                for kind, _, inner, outer in self.wire.fields(start, stop):
                    if kind == 1:
                        port = self._tensor_type(inner, outer)
        return name, port

    def _tensor_type(self, begin: int, end: int) -> dict[str, Any]:
        port: dict[str, Any] = {}
        for number, value, start, stop in self.wire.fields(begin, end):
            if number == 1 and value is not None:
                port["dtype"] = TYPES.get(value, f"type {value}")
            elif number == 2 and value is None:
                port["shape"] = [
                    self._dimension(*field[2:]) for field in self.wire.fields(start, stop) if field[0] == 1
                ][:64]
        return port

    def _dimension(self, begin: int, end: int) -> str:
        for number, value, start, stop in self.wire.fields(begin, end):
            if number == 1 and value is not None:
                return str(signed(value))
            if number == 2 and value is None:
                return self.wire.text(start, stop)[:MAX_NAME] or "?"
        return "?"


def signed(value: int) -> int:
    """Return a number of 64 bits with its sign."""
    found: int = struct.unpack("<q", struct.pack("<Q", value & ((1 << 64) - 1)))[0]
    return found
