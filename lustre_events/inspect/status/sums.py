"""Counters that are sums of others, and that `status` prints so: whoever reads it can add them up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

SUMS = {
    "records": ("named", "changed", "ignored", "unknown", "damaged"),
    "results": ("results_ok", "results_failed", "results_gone", "results_released", "results_dropped"),
    "results_dropped": (
        "results_dropped_done",
        "results_dropped_again",
        "results_dropped_unasked",
        "results_dropped_indexers",
    ),
}
"""The dispatcher's counters that are sums of others (batch.py, results.py). One that is a part, too, is told where
it is not 0."""

READER_SUMS = {"records_read": ("records_stored", "records_dropped", "records_held")}
"""The same for a reader (gathering.Counters)."""


def sums(counters: Mapping[str, int]) -> Iterator[str]:
    """Yield the dispatcher's counters: those that are sums with their parts, then the others on one line.

    Those with a colon in their name are about one extractor (tallies.py) and stand elsewhere.
    """
    all_parts = {part for parts in SUMS.values() for part in parts}
    for name, parts in SUMS.items():
        if name not in all_parts or counters.get(name):
            yield sum_line(name, parts, counters)
    known = {*SUMS, *all_parts}
    others = {name: count for name, count in sorted(counters.items()) if name not in known and ":" not in name}
    if others:
        yield ", ".join(f"{name} {count}" for name, count in others.items())


def sum_line(name: str, parts: tuple[str, ...], counters: Mapping[str, int | str]) -> str:
    """Return a counter and its parts on one line."""
    words = (f"{counters.get(part, 0)} {part.removeprefix(f'{name}_').removeprefix('records_')}" for part in parts)
    return f"{name.replace('_', ' ')} {counters.get(name, 0)} = {' + '.join(words)}"
