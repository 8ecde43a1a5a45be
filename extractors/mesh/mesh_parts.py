"""What all formats of meshes say: arrays on points and cells, times, names."""

from __future__ import annotations

import math
from typing import Any

import extractor_facts as facts

MAX_ARRAYS = 300
MAX_NAMES = 300
LARGEST = (1 << 63) - 1


class Mesh:
    """One mesh, as its file describes it."""

    def __init__(self, kind: str) -> None:
        self.found: dict[str, Any] = {"format": kind}
        self.arrays: dict[str, dict[str, Any]] = {}
        self.seen: set[tuple[str, str]] = set()
        self.times: list[float] = []
        self.time_count = 0
        self.names: dict[str, dict[str, None]] = {}
        self.reasons: list[str] = []
        self.counts: dict[str, int] = {}

    def array(self, name: Any, place: str, dtype: str = "", components: int | None = None) -> None:
        """Take an array on points, cells or the whole."""
        shown = facts.text(name, 300)
        if not shown or (place, shown) in self.seen or len(self.seen) > 100_000:
            return
        self.seen.add((place, shown))
        about: dict[str, Any] = {"on": [place]} | ({"dtype": dtype} if dtype else {})
        about |= {"components": components} if components is not None and 0 < components < 1 << 31 else {}
        if shown in self.arrays:
            self.arrays[shown]["on"].append(place)
        elif len(self.arrays) < MAX_ARRAYS:
            self.arrays[shown] = about

    def count(self, key: str, number: int) -> None:
        """Add to a number, such as that of the points."""
        if number < 0 or self.counts.get(key, 0) + number > LARGEST:
            raise ValueError(f"it claims to have {number} {key}")
        self.counts[key] = self.counts.get(key, 0) + number

    def time(self, value: Any) -> None:
        """Take a time step."""
        try:
            number = float(value)
        except (TypeError, ValueError):
            return
        if math.isfinite(number):
            self.time_count += 1
            self.times = [min([*self.times[:1], number]), max([*self.times[1:], number])]

    def name(self, key: str, value: Any) -> None:
        """Add to a list of names."""
        if text := facts.text(value, 500):
            self.names.setdefault(key, {})[text] = None

    def document(self) -> dict[str, Any]:
        """Return what was found."""
        found = self.found | self.counts
        if self.arrays:
            found |= {"arrays": list(self.arrays), "array": self.arrays}
        if len({name for _, name in self.seen}) > len(self.arrays):
            self.reasons.append(f"of {len({name for _, name in self.seen})} arrays {len(self.arrays)} are listed")
        if self.times:
            found |= {"time_steps": self.time_count, "time_first": self.times[0], "time_last": self.times[1]}
        for key, names in self.names.items():
            found[key] = list(names)[:MAX_NAMES]
            if len(names) > MAX_NAMES:
                self.reasons.append(f"of {len(names)} {key} {MAX_NAMES} are listed")
        return found

    def tree(self) -> list[dict[str, str]]:
        """Return the arrays for `preview`."""
        return [
            {"path": name, "about": " ".join([", ".join(one["on"]), one.get("dtype", "")]).strip()}
            for name, one in self.arrays.items()
        ]
