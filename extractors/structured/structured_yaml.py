"""YAML as nested lists and dictionaries, built from the events of libyaml, in bounded memory.

Scalars are those of YAML 1.2's core schema, as today's programs write them: `yes`, `on` and `1:30` are words. A tag
constructs nothing, and an alias is the same object again, never a copy.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from extractor_batch import OutOfTime, within

SECONDS = 20  # of one file
MAX_NODES = 200_000
MAX_DEPTH = 200
MAX_SCALAR = 20_000  # characters of one that are kept
WHOLE = re.compile(r"[-+]?[0-9]{1,30}")
NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,5})?")
OCTAL, HEX = re.compile(r"0o[0-7]{1,30}"), re.compile(r"0x[0-9a-fA-F]{1,30}")
NONE = {"", "~", "null", "Null", "NULL"}
TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
MERGE = "<<"
NO_KEY = object()


class Full(Exception):
    """More is not kept."""


class Held:
    """Bytes as a stream."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        part, self._data = self._data[:size], self._data[size:]
        return part


def resolved(word: str) -> Any:
    """Return what a plain scalar is by YAML 1.2's core schema."""
    if word in NONE:
        return None
    if word in TRUTHS:
        return TRUTHS[word]
    if WHOLE.fullmatch(word):
        return int(word)
    if OCTAL.fullmatch(word):
        return int(word, 8)
    if HEX.fullmatch(word):
        return int(word, 16)
    return float(word) if NUMBER.fullmatch(word) else word[:MAX_SCALAR]


class Builder:
    """The documents so far, and the lists and dictionaries that are open."""

    def __init__(self) -> None:
        self.documents: list[Any] = []
        self.nodes = 0
        self._open: list[Any] = []
        self._keys: list[Any] = []  # of each open one: the key that waits for its value; NO_KEY where none does
        self._anchors: dict[str, Any] = {}
        self._last: tuple[Any, Any] | None = None

    def take(self, event: Any) -> None:
        """Take an event of libyaml. Raise Full where it is too much."""
        if isinstance(event, yaml.ScalarEvent):
            is_plain = event.implicit[0] and event.style in (None, "")
            self._put(resolved(event.value) if is_plain else event.value[:MAX_SCALAR], event.anchor)
        elif isinstance(event, yaml.AliasEvent):
            self._put(self._anchors.get(event.anchor), None)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            node: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            self._put(node, event.anchor)
            self._open.append(node)
            self._keys.append(NO_KEY)
            if len(self._open) > MAX_DEPTH:
                raise Full(f"it is nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._open.pop()
            self._keys.pop()
        elif isinstance(event, yaml.DocumentStartEvent):
            self._anchors = {}

    def _put(self, value: Any, anchor: str | None) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise Full(f"values are of its first {MAX_NODES} nodes")
        if anchor:
            self._anchors[anchor] = value
        if not self._open:
            self.documents.append(value)
        elif isinstance(self._open[-1], list):
            self._open[-1].append(value)
            self._last = (self._open[-1], -1)
        elif self._keys[-1] is NO_KEY:
            self._keys[-1] = value if isinstance(value, (str, int, float)) else str(value)[:100]
        else:
            key, self._keys[-1] = self._keys[-1], NO_KEY
            self._member(self._open[-1], key, value)

    def _member(self, there: dict[Any, Any], key: Any, value: Any) -> None:
        """Set a member; a merge brings those of others, which count less than its own."""
        if key != MERGE:
            there[key] = value
            self._last = (there, key)
            return
        for other in value if isinstance(value, list) else [value]:
            if isinstance(other, dict):
                self.nodes += len(other)
                for name, one in list(other.items()):
                    there.setdefault(name, one)

    def torn(self) -> list[Any]:
        """Return the documents but for the last value: the text breaks there, so it may be wrong."""
        if self._last:
            del self._last[0][self._last[1]]
        return self.documents


def read(stream: Any) -> tuple[list[Any], str]:
    """Return the documents of a stream, and why they are not all; an empty text where they are."""
    builder = Builder()
    try:
        with within(SECONDS):
            for event in yaml.parse(stream, Loader=yaml.CSafeLoader):
                builder.take(event)
    except Full as exc:
        return builder.documents, f"{exc}"
    except OutOfTime:
        return builder.documents, f"it is what was read in {SECONDS} seconds"
    except yaml.MarkedYAMLError as exc:
        line = f" in line {exc.problem_mark.line + 1}" if exc.problem_mark else ""
        return builder.torn(), f"it is broken YAML{line}: {exc.problem}"
    except yaml.YAMLError as exc:
        return builder.torn(), f"it is broken YAML: {getattr(exc, 'reason', exc)}"
    return builder.documents, ""
