"""The numbers, words and truths in nested JSON by dotted keys; lists and objects in lists give lists of values."""

from __future__ import annotations

from typing import Any

from tabular_columns import clean, key_of

MAX_PLACES = 1000
MAX_EACH = 1000  # values of one key
MAX_VALUES = 20_000
MAX_CHARACTERS = 300_000
MAX_WORDS = 2000  # characters of one value
MAX_DEPTH = 32
ODD = "numbers beyond 64 bits, infinities and NaN are left out"


class Values:
    """What is kept, within bounds."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.nested = self._odd = False
        self._seen: dict[str, set[Any]] = {}
        self._values = self._characters = 0
        self._reasons: dict[str, None] = {}

    def add(self, value: Any, place: str, *, listed: bool = False, many: bool = False, depth: int = 0) -> None:
        """Take a value at a dotted key: `listed` in a list, `many` in one of many objects."""
        if not isinstance(value, (dict, list)):
            kept = self._scalar(value)
            if kept is not None and self._room(place):
                self._keep(kept, place, listed=listed, many=many)
        elif depth >= MAX_DEPTH:
            self._reasons[f"what is nested deeper than {MAX_DEPTH} levels is left out"] = None
        elif not self._full:
            self.nested = self.nested or depth > 0
            for key, part in value.items() if isinstance(value, dict) else ((None, part) for part in value):
                name = place if key is None else key_of(f"{place}.{key}" if place else key)
                is_one = many or (isinstance(part, dict) if key is None else listed)
                self.add(part, name, listed=listed or key is None, many=is_one, depth=depth + 1)

    def _keep(self, kept: Any, place: str, *, listed: bool, many: bool) -> None:
        if not listed:
            self.kept[place] = kept
            self._count(kept)
            return
        if many and isinstance(kept, str):
            seen = self._seen.setdefault(place, set())
            if kept in seen:
                return
            seen.add(kept)
        there = self.kept.setdefault(place, [])
        if not isinstance(there, list):
            there = self.kept[place] = [there]
        if len(there) >= MAX_EACH:
            self._reasons[f"values of a list are its first {MAX_EACH}"] = None
            return
        there.append(kept)
        self._count(kept)

    @property
    def _full(self) -> bool:
        full = self._values >= MAX_VALUES or self._characters >= MAX_CHARACTERS
        if full:
            self._reasons[f"values are the first {self._values}"] = None
        return full

    def _room(self, place: str) -> bool:
        if self._full:
            return False
        if place not in self.kept:
            if len(self.kept) >= MAX_PLACES:
                self._reasons[f"values are of the first {MAX_PLACES} keys"] = None
                return False
            self._characters += len(place)
        return True

    def _count(self, kept: Any) -> None:
        self._values += 1
        self._characters += len(kept) if isinstance(kept, str) else 8

    def _scalar(self, value: Any) -> Any:
        """Return a number, word or truth as a document may hold it; None for anything else."""
        if isinstance(value, str):
            if len(value) > MAX_WORDS:
                self._reasons[f"texts are cut at {MAX_WORDS} characters"] = None
            return clean(value[:MAX_WORDS])
        if isinstance(value, bool) or (isinstance(value, (int, float)) and -(1 << 63) <= value < 1 << 63):
            return value
        self._odd = self._odd or isinstance(value, (int, float))
        return None

    def describe(self, reasons: list[str], *, is_table: bool) -> dict[str, Any]:
        """Return what is kept; of a table whose rows are plain only if it is all."""
        if is_table and self._reasons and not self.nested:
            return {}
        reasons += [*self._reasons, *([ODD] if self._odd else [])]
        return {"value": self.kept} if self.kept else {}
