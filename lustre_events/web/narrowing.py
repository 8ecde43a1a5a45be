"""What narrows a query: values of fields, and histograms of sizes and times, each with the query it leads to."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from lustre_events.errors import QueryError
from lustre_events.index.query.slips import alternatives
from lustre_events.index.search.hits import Facet, Summary

COMMON = ("instrument", "technique", "sample", "creator", "keywords", "software")
"""The keys that documents of all families share (extractors/COMMON.md) and that narrow a query."""
FIELDS = ("extractor", "ext", "owner", "mime", *(f"common.{name}" for name in COMMON))
MOST_BARS = 40
HEIGHT = 30
"""Of the highest bar."""
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
_SIZES = (0, *(number << shift for shift in range(0, 60, 10) for number in (1, 32)))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a field, and the query that finds only these; empty where none can be written.

    `bytes` None: what is counted are no files.
    """

    value: str | int | float | None
    files: int
    bytes: int | None
    query: str


@dataclass(frozen=True, slots=True)
class Bar:
    """How many files lie in a range, how high that is drawn, and the query that finds only these."""

    label: str
    files: int
    height: int
    query: str


def narrow(query: str, condition: str) -> str:
    """Return a query that finds those files of another one (empty: of all) that meet a condition."""
    if not query:
        return condition
    try:
        joined = len(alternatives(query)) == 1
    except QueryError:
        joined = False
    return f"{query} AND {condition}" if joined else f"({query}) AND {condition}"


def beside(query: str, summary: Summary) -> dict[str, Any]:
    """Return what stands beside what was found, as parts.html takes it."""
    return {
        "facets": {name: values(query, name, found) for name, found in summary.facets.items()},
        "histograms": {"changed": times(query, summary.times), "size": sizes(query, summary.sizes)},
    }


def counted(asked: Mapping[str, str], things: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the same for things that are no files: how many have each value of what can be asked for."""
    some = list(things)
    facets = {name: Counter(str(each[name]) for each in some if each.get(name)).most_common() for name in asked}
    return {
        "facets": {
            name: tuple(Value(value, number, None, f"{name}:{value}") for value, number in found)
            for name, found in facets.items()
        },
        "chips": [(f"{name}:{value}", f"{name}:") for name, value in asked.items() if value],
    }


def values(query: str, field: str, found: Sequence[Facet]) -> tuple[Value, ...]:
    """Return the values of a field; nothing where no file has one."""
    if all(each.value in {None, ""} for each in found):
        return ()
    return tuple(Value(each.value, each.files, each.bytes, _of_value(query, field, each.value)) for each in found)


def _of_value(query: str, field: str, value: str | float | None) -> str:
    if value is None or value == "":
        return ""
    text = str(value)
    return narrow(query, f"{field}:{text if text.isalnum() else json.dumps(text, ensure_ascii=False)}")


def sizes(query: str, found: Sequence[int]) -> tuple[Bar, ...]:
    """Return sizes in bytes as a histogram."""
    edges = (*_SIZES, None)
    places = Counter(sum(1 for edge in _SIZES[1:] if size >= edge) for size in found)

    def condition(place: int) -> tuple[str, str]:
        low, high = edges[place], edges[place + 1]
        label = f"{_size(low or 0)} and more" if high is None else f"{_size(low or 0)} to {_size(high)}"
        return label, f"size:>={low}" if high is None else f"size:[{low} TO {high}}}"

    return _bars(query, places, condition)


def times(query: str, found: Sequence[int]) -> tuple[Bar, ...]:
    """Return times in ns as a histogram of days, months, years or decades: the finest that is not too wide."""
    moments = [_EPOCH + timedelta(microseconds=each // 1000) for each in found]
    if not moments:
        return ()
    for place_of, condition in _CALENDAR:
        places = Counter(map(place_of, moments))
        if max(places) - min(places) < MOST_BARS:
            return _bars(query, places, condition)
    return ()


def _day(place: int) -> tuple[str, str]:
    text = (_EPOCH + timedelta(days=place)).strftime("%Y-%m-%d")
    return text, f"mtime:{text}"


def _month(place: int) -> tuple[str, str]:
    text = f"{place // 12:04}-{place % 12 + 1:02}"
    return text, f"mtime:{text}"


def _year(place: int) -> tuple[str, str]:
    return f"{place:04}", f"mtime:{place:04}"


def _decade(place: int) -> tuple[str, str]:
    return f"{place}0 to {place}9", f"mtime:[{place}0 TO {place + 1}0}}"


_CALENDAR: tuple[tuple[Callable[[datetime], int], Callable[[int], tuple[str, str]]], ...] = (
    (lambda moment: (moment - _EPOCH).days, _day),
    (lambda moment: moment.year * 12 + moment.month - 1, _month),
    (lambda moment: moment.year, _year),
    (lambda moment: moment.year // 10, _decade),
)


def _bars(query: str, places: Counter[int], condition: Callable[[int], tuple[str, str]]) -> tuple[Bar, ...]:
    """Return a bar for each place from the first to the last; one place narrows nothing."""
    if len(places) < 2:
        return ()
    top = max(places.values())
    bars = []
    for place in range(min(places), max(places) + 1):
        label, text = condition(place)
        files = places[place]
        # What is there is to be seen.
        height = max(2, round(HEIGHT * files / top)) if files else 0
        bars.append(Bar(label, files, height, narrow(query, text) if files else ""))
    return tuple(bars)


def _size(size: int) -> str:
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size // 1024, unit + 1
    return f"{size} {_UNITS[unit]}" if size != 1 or unit else "1 byte"
