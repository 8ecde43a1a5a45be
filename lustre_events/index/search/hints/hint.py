"""Hints for a search that finds nothing: a sentence, and a repaired query where there is one. Pure values."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lustre_events.index.search.hits import printable

MOST_COUNTED = 1_000
"""Most files that are counted for a hint; beyond that it says "more than"."""

MOST_WITHOUT = 2
"""For how many parts a hint says what would match without them."""

_NEAR, _NEAR_SHORT, _SHORT = 0.7, 0.5, 3
_SAME, _LAST_STEP, _FIRST_STEP = 3.0, 2.0, 1.5


@dataclass(frozen=True, slots=True)
class Hint:
    """Why a search finds nothing. `query` is a repaired one, which finds `files` (at most MOST_COUNTED + 1)."""

    text: str
    query: str | None = None
    files: int = 0


def counted(files: int) -> str:
    """Return how many files that are, as far as they were counted."""
    if files > MOST_COUNTED:
        return f"more than {MOST_COUNTED:,} files"
    return f"{files:,} file{'' if files == 1 else 's'}" if files else "no file"


def shown(text: str) -> str:
    """Return text of a query or an index as it is safe in a sentence."""
    return printable(text.encode("utf-8", "surrogateescape"))


def near(name: str, known: Iterable[str], limit: int) -> list[str]:
    """Return the known names that may have been meant, the nearest first.

    These are the same name in other case, longer ones that end or begin with it behind or before a dot, and those
    that differ in few characters.
    """
    wanted = name.casefold()
    found: list[tuple[float, str]] = []
    least = _NEAR_SHORT if len(wanted) <= _SHORT else _NEAR
    matcher = difflib.SequenceMatcher(b=wanted)
    for each in known:
        other = each.casefold()
        if other == wanted:
            found.append((_SAME, each))
        elif other.endswith(f".{wanted}"):
            found.append((_LAST_STEP, each))
        elif other.startswith(f"{wanted}."):
            found.append((_FIRST_STEP, each))
        else:
            matcher.set_seq1(other)
            if matcher.real_quick_ratio() >= least and matcher.quick_ratio() >= least:
                found.append((matcher.ratio(), each))
    found = [pair for pair in found if pair[0] >= least]
    found.sort(key=lambda pair: (-pair[0], len(pair[1]), pair[1]))
    return [each for _, each in found[:limit]]


def meant(candidates: Sequence[tuple[str, int]]) -> str:
    """Return the end of a sentence: `; did you mean columns (45 files) or column (1 file)?`, or nothing."""
    if not candidates:
        return ""
    return "; did you mean " + " or ".join(f"{shown(name)} ({counted(files)})" for name, files in candidates) + "?"


def best_without(without: Sequence[tuple[str, str, int]]) -> list[Hint]:
    """Return what is said of the parts that exclude most, where each finds something and all together nothing.

    Args:
        without: for each part its text, the query without it, and how many files that finds.
    """
    useful = sorted((each for each in without if each[2]), key=lambda each: -each[2])
    return [
        Hint(f"without {shown(part)}, {counted(files)} would match", query, files)
        for part, query, files in useful[:MOST_WITHOUT]
    ]
