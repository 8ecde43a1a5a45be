"""The numbers, words and truths in nested data by dotted keys; lists give lists of values, within bounds."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

MAX_PLACES = 1000
MAX_EACH = 500  # values of one key
MAX_VALUES = 10_000
MAX_STEPS = 100_000  # values that are looked at: aliases of YAML can be a billion of them
MAX_CHARACTERS = 250_000
MAX_WORDS = 2000  # characters of one value
MAX_KEY = 200
MAX_DEPTH = 30


def clean(text: str) -> str:
    """Return text that JSON and a database can hold."""
    return text.encode("utf-8", "replace").decode().replace("\0", " ")


def scalar(value: Any) -> Any:
    """Return a number, word or truth as a document may hold it; None for anything else."""
    if isinstance(value, str):
        return clean(value[:MAX_WORDS])
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, bool) or (isinstance(value, int) and -(1 << 63) <= value < 1 << 63):
        return value
    return value if isinstance(value, float) and math.isfinite(value) else None


class Values:
    """What is kept."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self._seen: dict[str, set[Any]] = {}
        self._values = self._characters = self._steps = 0
        self._reasons: dict[str, None] = {}

    def add(self, value: Any, place: str, *, listed: bool = False, many: bool = False, depth: int = 0) -> None:
        """Take a value at a dotted key: `listed` in a list, `many` in one of many objects: each word once."""
        if isinstance(value, (dict, list)):
            if depth >= MAX_DEPTH:
                self._reasons[f"what is nested deeper than {MAX_DEPTH} levels is left out"] = None
                return
            pairs = value.items() if isinstance(value, dict) else ((None, part) for part in value)
            for key, part in pairs:
                if self._is_full():
                    return
                name = place if key is None else clean(f"{place}.{key}" if place else str(key))[:MAX_KEY]
                inner = many or (isinstance(part, dict) if key is None else listed)
                self.add(part, name or "item", listed=listed or key is None, many=inner, depth=depth + 1)
            return
        kept = scalar(value)
        if kept is None and isinstance(value, (int, float)):
            self._reasons["numbers beyond 64 bits, infinities and NaN are left out"] = None
        if kept is not None:
            if isinstance(value, str) and len(value) > MAX_WORDS:
                self._reasons[f"texts are cut at {MAX_WORDS} characters"] = None
            self._keep(kept, place or "item", listed=listed, many=many)

    def _keep(self, kept: Any, place: str, *, listed: bool, many: bool) -> None:
        if place not in self.kept:
            if len(self.kept) >= MAX_PLACES:
                self._reasons[f"values are of the first {MAX_PLACES} keys"] = None
                return
            self._characters += len(place)
        if not listed:
            self.kept[place] = kept
        elif not self._joined(kept, place, many=many):
            return
        self._values += 1
        self._characters += len(kept) if isinstance(kept, str) else 8

    def _joined(self, kept: Any, place: str, *, many: bool) -> bool:
        if many:
            seen = self._seen.setdefault(place, set())
            if kept in seen:
                return False
            seen.add(kept)
        there = self.kept.setdefault(place, [])
        if not isinstance(there, list):
            there = self.kept[place] = [there]
        if len(there) >= MAX_EACH:
            self._reasons[f"values of a list are its first {MAX_EACH}"] = None
            return False
        there.append(kept)
        return True

    def _is_full(self) -> bool:
        self._steps += 1
        full = self._values >= MAX_VALUES or self._characters >= MAX_CHARACTERS or self._steps > MAX_STEPS
        if full:
            self._reasons[f"values are the first {self._values}"] = None
        return full

    def describe(self, reasons: list[str]) -> dict[str, Any]:
        """Return what is kept, and add the reasons why it is not all."""
        reasons += self._reasons
        return {"value": self.kept} if self.kept else {}
