"""Values of attributes and small datasets as JSON has them, within a bound for the whole document."""

from __future__ import annotations

import json
import math
import numbers
from typing import Any

import numpy as np

MAX_TEXT = 4000  # characters of one text
MAX_ITEMS = 100  # values of one list
MAX_ATTRIBUTES = 500  # of one object
MAX_VALUES = 8000  # of a whole document
MAX_BYTES = 500_000  # of all of them as JSON


class Room:
    """What a document has room for, and what it had none for."""

    def __init__(self) -> None:
        self.values = self.bytes = 0
        self.cut: dict[str, None] = {}
        self.cut_count = 0

    def take(self, name: str, value: Any) -> bool:
        """Whether there is room for a value, which then takes it."""
        size = len(json.dumps(value)) + len(name) + 8
        count = len(value) if isinstance(value, list) else 1
        if self.values + count > MAX_VALUES or self.bytes + size > MAX_BYTES:
            self.drop(name)
            return False
        self.values += count
        self.bytes += size
        return True

    def drop(self, name: str) -> None:
        """Remember that a value is missing, or is not all there."""
        self.cut_count += 1
        if len(self.cut) < 10:
            self.cut[name[:60]] = None

    def reason(self) -> str:
        """Return what is missing; empty where nothing is."""
        if not self.cut_count:
            return ""
        names = ", ".join(self.cut)
        return f"{self.cut_count} attributes or values are cut or left out: {names}" + (
            ", ..." if self.cut_count > len(self.cut) else ""
        )

    def plain(self, name: str, value: Any) -> Any:
        """Return a value as JSON knows it; None, and its name remembered, where JSON cannot hold it."""
        found = plain(value)
        cut = isinstance(value, (np.ndarray, list, tuple)) and np.size(value) > MAX_ITEMS
        cut |= isinstance(value, (str, bytes)) and len(value) > MAX_TEXT
        if found is None or cut:
            self.drop(name)
        return found


def plain(value: Any) -> Any:  # noqa: PLR0911 - a type a line
    """Return a value as JSON knows it; None where JSON cannot hold it.

    Whole numbers beyond 64 bits are texts, to be exact; so are NaN and Infinity, which fill values often are.
    """
    if isinstance(value, np.ndarray):
        if value.size == 1:
            return plain(value.reshape(-1)[0])
        parts = [plain(part) for part in value.reshape(-1)[:MAX_ITEMS]]
        return parts if all(part is not None for part in parts) else None
    if isinstance(value, bytes):
        return clean(value.decode("utf-8", "replace"))
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value) if -(1 << 63) <= value < 1 << 63 else str(int(value))
    if isinstance(value, numbers.Real):
        number = float(value)
        return number if math.isfinite(number) else "NaN" if math.isnan(number) else "-Infinity"[number > 0 :]
    if isinstance(value, numbers.Complex):
        return clean(str(value))
    return None


def clean(text: str) -> str:
    """Return text that JSON and a database can hold, without the zero bytes that pad fixed lengths."""
    return text.rstrip("\0").replace("\0", " ").encode("utf-8", "replace").decode()[:MAX_TEXT]
