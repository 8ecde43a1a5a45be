"""Figures beside those of another run: what got worse by more than the noise.

Figures of different machines do not compare; the circumstances stand in the same file, and a difference is said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lustre_events.errors import ConfigError

NOISE = 0.15
"""Two runs on one machine differ by less (measured on 2 busy cores)."""
_MORE_IS_BETTER = re.compile(r"_per_(s|day)(_|\Z)|speedup\Z")
_SAME = ("machine", "python")


def read(path: Path) -> Mapping[str, Any]:
    """Return what a run has written. Raises ConfigError: the file cannot be read as that."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{path}: these are no figures of a run ({exc}); name a file of `--output`") from exc
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: these are no figures of a run; name a file of `--output`")
    return found


def ratio(before: object, now: float) -> float | None:
    """Return a figure as a multiple of the one before; None: there was none."""
    return now / before if isinstance(before, (int, float)) and before else None


def is_worse(name: str, before: object, now: float) -> bool:
    """Return whether a figure got worse by more than the noise."""
    found = ratio(before, now)
    if found is None:
        return False
    return found < 1 - NOISE if _MORE_IS_BETTER.search(name) else found > 1 + NOISE


def lines(figures: Mapping[str, float], before: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each figure, then what is to be said about all of them; `here` are the circumstances."""
    for name, value in figures.items():
        found = ratio(before.get(name), value)
        beside = "" if found is None else f"{before[name]:14,.2f}{found:8.2f}x"
        yield f"{name:34}{value:14,.2f}{beside}{'  worse' if is_worse(name, before.get(name), value) else ''}"
    for name in _SAME:
        if name in before and before[name] != here.get(name):
            yield f"The other run had {name} {before[name]}, this one {here.get(name)}: they do not compare."
