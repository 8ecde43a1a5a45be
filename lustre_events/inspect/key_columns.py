"""Documents as columns: one for each key, with one type for all of its values. Pure, no file.

A column is named as a query names the key, behind its extractor: `hdf5.temperature`; what all families say alike
has no extractor's name: `common.instrument`. A list gives one value per element, also of lists and objects in it,
so the columns have just what is searched (values.py).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from lustre_events.catalog.schemas import NAMED
from lustre_events.index.typed_values import MAX_LENGTH, MOST_INTEGER, time_of
from lustre_events.index.values import MAX_DEPTH, MAX_KEY_LENGTH, clean, searched

MOST_COLUMNS = 500
"""Most columns of keys in one file."""

TRUTH, REAL, TIME, TEXT = "true or false", "numbers", "times", "text"
WHOLE, LARGE, HUGE = "whole numbers", "whole numbers beyond 2^53", "whole numbers beyond 64 bits"
"""Kinds of values. No double has each large number exactly, and no type of Parquet a huge one."""

_EXACT = 2**53
_SCALARS = frozenset({str, int, float, bool, type(None)})

Row = dict[str, Any]
"""What the documents of one file say, by the names of columns: a value, or a list of values."""


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """A column: the kinds of its values that were seen, and whether files have several of them."""

    kinds: frozenset[str] = frozenset()
    many: bool = False

    @property
    def kind(self) -> str:
        """The one kind that holds all values."""
        for kind, others in ((TRUTH, ()), (TIME, ()), (WHOLE, ()), (LARGE, (WHOLE,)), (REAL, (WHOLE,))):
            if kind in self.kinds and self.kinds <= {kind, *others}:
                return kind
        return TEXT

    @property
    def mixed(self) -> bool:
        """Whether the column is text since no other type holds all of its values."""
        return self.kind == TEXT and not self.kinds <= {TIME, TEXT}

    def with_values(self, values: Sequence[Any]) -> KeyColumn:
        """Return the column with more values in it, none of which is None."""
        types = set(map(type, values))
        many = list in types
        if many:
            values = list(chain.from_iterable(each if type(each) is list else (each,) for each in values))
            types = set(map(type, values))
        kinds = frozenset(chain.from_iterable(_kinds(each, values) for each in types))
        return (
            self if kinds <= self.kinds and many <= self.many else KeyColumn(self.kinds | kinds, self.many | many)
        )

    def stored(self, values: Sequence[Any]) -> Sequence[Any]:
        """Return values, or None for each that is missing, as the column has them."""
        one = _CONVERTED[self.kind] if self.kind != TEXT or self.mixed else None
        if self.many:
            lists = (each if each is None or type(each) is list else [each] for each in values)
            return [each if each is None or one is None else [*map(one, each)] for each in lists]
        return values if one is None else [None if each is None else one(each) for each in values]


def _kinds(of: type, values: Sequence[Any]) -> Iterable[str]:
    if of is bool:
        return (TRUTH,)
    if of is float:
        return (REAL,)
    if of is int:
        return _kinds_of_integers([each for each in values if type(each) is int])
    texts = values if all(type(each) is str for each in values) else [each for each in values if type(each) is str]
    return (TIME,) if all(_moment(each) is not None for each in texts) else (TEXT,)


def _kinds_of_integers(values: Sequence[int]) -> Iterable[str]:
    most = max(map(abs, values))
    return (WHOLE,) if most <= _EXACT else (LARGE,) if most < MOST_INTEGER else (HUGE,)


@functools.lru_cache(maxsize=4096)
def _known_moment(text: str) -> int | None:
    return time_of(text.strip())


def _moment(text: str) -> int | None:
    return _known_moment(text) if len(text) <= MAX_LENGTH and text[:1].isdigit() else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _same(value: Any) -> Any:
    return value


_CONVERTED: Mapping[str, Callable[[Any], Any]] = {
    TRUTH: _same, WHOLE: _same, LARGE: _same, REAL: float, TIME: _moment, TEXT: _text,
}  # fmt: skip


class Names:
    """Which keys become columns, and under which names.

    Args:
        wanted: keys as a query has them, with an extractor's name or without; empty: all, up to MOST_COLUMNS.
    """

    def __init__(self, wanted: Collection[str] = ()) -> None:
        self._wanted = frozenset(wanted)
        self._levels: dict[str, _Level] = {}
        self._made: set[str] = set()
        self.left_out: set[str] = set()
        """Keys beyond MOST_COLUMNS; as many are kept."""

    def row(self, documents: Mapping[str, Mapping[str, Any]]) -> Row:
        """Return what documents give. Of a key that all families may give, it is the first one's."""
        row: Row = {}
        for extractor, body in documents.items():
            level = self._levels.get(extractor)
            if level is None:
                level = self._levels[extractor] = _Level(clean(extractor), "", 0, self._name)
            level.take(searched(body), row)
        return row

    def _name(self, extractor: str, key: str) -> str | None:
        """Return the name of a key's column; None: it has none."""
        common = key.startswith(f"{NAMED}.")
        name = key if common else f"{extractor}.{key}"
        if self._wanted:
            return name if {key, f"{extractor}.{key}"} & self._wanted else None
        if len(self._made) >= MOST_COLUMNS and name not in self._made:
            if len(self.left_out) < MOST_COLUMNS:
                self.left_out.add(name)
            return None
        self._made.add(name)
        return name


class _Level(dict[str, str | None]):
    """The names of the columns of one level of an extractor's documents, each made when it is first asked for."""

    def __init__(self, extractor: str, prefix: str, depth: int, name: Callable[[str, str], str | None]) -> None:
        super().__init__()
        self._extractor, self._prefix, self._depth, self._name = extractor, prefix, depth, name
        self._below: dict[str, _Level] = {}

    def __missing__(self, key: str) -> str | None:
        dotted = clean(self._prefix + key)
        found = self[key] = self._name(self._extractor, dotted) if len(dotted) <= MAX_KEY_LENGTH else None
        return found

    def below(self, key: str) -> _Level:
        """Return the level of an object under a key."""
        found = self._below.get(key)
        if found is None:
            found = _Level(self._extractor, f"{self._prefix}{key}.", self._depth + 1, self._name)
            self._below[key] = found
        return found

    def take(self, body: Mapping[str, Any], row: Row) -> None:
        """Put the values of an object into a row."""
        for key, value in body.items():
            if type(value) is dict:
                if self._depth < MAX_DEPTH:
                    self.below(key).take(value, row)
            elif type(value) is list:
                self._take_list(key, value, row)
            elif value is not None and (name := self[key]) is not None:
                row.setdefault(name, value)

    def _take_list(self, key: str, values: list[Any], row: Row) -> None:
        if set(map(type, values)) <= _SCALARS:
            if (name := self[key]) is not None:
                row.setdefault(name, [each for each in values if each is not None])
            return
        found: Row = {}
        self._gather(key, values, found, 0)
        for name, several in found.items():
            row.setdefault(name, several)

    def _gather(self, key: str, values: list[Any], found: Row, depth: int) -> None:
        """Collect the values of a list with lists and objects in it."""
        for each in values:
            if type(each) is list:
                if depth < MAX_DEPTH:
                    self._gather(key, each, found, depth + 1)
            elif type(each) is dict:
                inside: Row = {}
                if self._depth < MAX_DEPTH:
                    self.below(key).take(each, inside)
                for column, value in inside.items():
                    found.setdefault(column, []).extend(value if type(value) is list else [value])
            elif each is not None and (name := self[key]) is not None:
                found.setdefault(name, []).append(each)
