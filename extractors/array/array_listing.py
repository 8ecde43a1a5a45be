"""The arrays of one file: counted all, listed up to a bound."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import extractor_facts as facts

MAX_LISTED = 500  # arrays with shape and type
MAX_NAME = 300
MAX_DIMENSIONS = 64
MAX_KEYS = 200  # of what else a file says
LARGEST = (1 << 63) - 1


class Listing:
    """Names, types and shapes of arrays."""

    def __init__(self) -> None:
        self.count = self.values = 0
        self.types: Counter[str] = Counter()
        self.listed: dict[str, dict[str, Any]] = {}
        self.reasons: list[str] = []

    def add(self, name: str, dtype: str, shape: Sequence[int], **more: Any) -> None:
        """Take one array.

        Raises:
            ValueError: its shape is none.
        """
        if len(shape) > MAX_DIMENSIONS or any(not isinstance(one, int) or one < 0 for one in shape):
            raise ValueError("one of its arrays has an impossible shape")
        size = math.prod(shape)
        if size > LARGEST:
            raise ValueError("one of its arrays claims an impossible size")
        self.count += 1
        self.values += size
        self.types[dtype] += 1
        if len(self.listed) < MAX_LISTED:
            shown = facts.text(name, MAX_NAME) or "(no name)"
            self.listed[shown] = {"dtype": dtype, "shape": list(shape), "size": size} | more

    def document(self) -> dict[str, Any]:
        """Return what they are."""
        found: dict[str, Any] = {
            "array_count": self.count,
            "arrays": list(self.listed),
            "array": self.listed,
            "dtypes": dict(self.types.most_common(100)),
            "values": min(self.values, LARGEST),
        }
        if self.count > len(self.listed):
            self.reasons.append(f"of {self.count} arrays {len(self.listed)} are listed")
        return found

    def tree(self) -> list[dict[str, str]]:
        """Return them for `preview`."""
        return [
            {"path": name, "about": facts.text(f"{one['dtype']} {' x '.join(map(str, one['shape']))}", 200)}
            for name, one in list(self.listed.items())[: facts.MAX_BRANCHES]
        ]


def exactly(stream: Any, size: int) -> bytes:
    """Return `size` bytes.

    Raises:
        ValueError: there are fewer.
    """
    data: bytes = stream.read(size)
    if len(data) != size:
        raise ValueError("it is cut off within its header")
    return data


def plain(value: Any) -> Any:
    """Return a single value as a document has it; None for what is none."""
    if isinstance(value, str):
        return facts.text(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 64 else str(value)[:100]
    return value if isinstance(value, float) and math.isfinite(value) else None


def kept(given: dict[str, Any], reasons: list[str]) -> dict[str, Any]:
    """Return the single values among what a file says, and lists of up to 100 of them."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        shown = [plain(one) for one in value] if isinstance(value, list) else plain(value)
        name = facts.text(key, MAX_NAME)
        if not name or shown is None or (isinstance(shown, list) and (len(shown) > 100 or None in shown)):
            continue
        if len(found) == MAX_KEYS:
            reasons.append(f"of {len(given)} keys of metadata {MAX_KEYS} are listed")
            break
        found[name] = shown
    return found
