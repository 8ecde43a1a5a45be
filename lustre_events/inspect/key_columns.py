"""Documents as columns: one for each key, with one type for all of its values. Pure, no file.

A column is named as a query names the key, behind its extractor: `hdf5.temperature`; what all families say alike
has no extractor's name: `common.instrument`. A list gives one value per element, also of lists and objects in it,
so the columns have just what is searched (values.py).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from operator import itemgetter
from types import NoneType
from typing import Any

from lustre_events.catalog.schemas import NAMED
from lustre_events.domain.bounds import at_end
from lustre_events.index.typed_values import MAX_LENGTH, MOST_INTEGER, time_of
from lustre_events.index.values import MAX_DEPTH, MAX_KEY_LENGTH, clean, searched

MOST_COLUMNS = 500
"""Most columns of keys in one file."""

TRUTH, REAL, TIME, TEXT = "true or false", "numbers", "times", "text"
WHOLE, LARGE, HUGE = "whole numbers", "whole numbers beyond 2^53", "whole numbers beyond 64 bits"
"""Kinds of values. No double has each large number exactly, and no type of Parquet a huge one."""

_EXACT = 2**53
_MOST_MOMENTS = 10_000
_NESTED = frozenset({dict, list})
_NONE = {NoneType}

Documents = Mapping[str, Sequence[Mapping[str, Any] | None]]
"""For each extractor the document of each file, or None."""

Columns = dict[str, list[Any]]
"""What the documents of some files say, by the names of columns: of each file a value, several, or None."""


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
        """Return the column with more values in it; None is none."""
        types = set(map(type, values)) - {NoneType}
        many = list in types
        if many:
            values = list(chain.from_iterable(each if type(each) is list else (each,) for each in values))
            types = set(map(type, values)) - {NoneType}
        kinds = frozenset(chain.from_iterable(_kinds(each, values) for each in types))
        return (
            self if kinds <= self.kinds and many <= self.many else KeyColumn(self.kinds | kinds, self.many | many)
        )

    def stored(self, values: Sequence[Any]) -> Sequence[Any]:
        """Return values, or None for each that is missing, as the column has them."""
        if self.kind == TIME and not self.many:
            return [None if each is None else _MOMENTS[each] for each in values]
        one = _CONVERTED.get(TEXT if self.mixed else "" if self.kind == TEXT else self.kind)
        if self.many:
            one = partial(_listed, one or _same)
        return values if one is None else [None if each is None else one(each) for each in values]


def _kinds(of: type, values: Sequence[Any]) -> Iterable[str]:
    if of is bool:
        return (TRUTH,)
    if of is float:
        return (REAL,)
    if of is int:
        return _kinds_of_integers([each for each in values if type(each) is int])
    texts = (each for each in values if type(each) is str)
    return (TEXT,) if None in map(_MOMENTS.__getitem__, texts) else (TIME,)


def _kinds_of_integers(values: Sequence[int]) -> Iterable[str]:
    most = max(map(abs, values))
    return (WHOLE,) if most <= _EXACT else (LARGE,) if most < MOST_INTEGER else (HUGE,)


class _Moments(dict[str, int | None]):
    """The times that texts are; None: it is none. Mostly a few come again and again: these are kept."""

    def __missing__(self, text: str) -> int | None:
        if len(text) > MAX_LENGTH or not text[:1].isdigit():
            return None
        if len(self) >= _MOST_MOMENTS:
            self.clear()
        moment = time_of(text.strip())
        found = self[text] = None if moment is None or at_end(moment) else moment
        return found


_MOMENTS = _Moments()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _same(value: Any) -> Any:
    return value


def _listed(one: Callable[[Any], Any], value: Any) -> list[Any]:
    return [*map(one, value)] if type(value) is list else [one(value)]


_CONVERTED: Mapping[str, Callable[[Any], Any]] = {
    TIME: _MOMENTS.__getitem__, TEXT: _text,
}  # fmt: skip


class KeyNames:
    """Which keys become columns, and under which names.

    Args:
        wanted: keys as a query has them, with an extractor's name or without; empty: all, up to MOST_COLUMNS.
    """

    def __init__(self, wanted: Collection[str] = ()) -> None:
        self._wanted = frozenset(wanted)
        self._made: set[str] = set()
        self.met: set[str] = set()
        """Those of the wanted keys that a file has."""
        self.left_out: set[str] = set()
        """Keys beyond MOST_COLUMNS; as many are kept."""

    def columns(self, size: int, documents: Documents) -> Columns:
        """Return what the documents of `size` files give.

        A key that several extractors give, or an extractor at two places, has each value of a file once.
        """
        found: dict[str, list[tuple[str, list[Any]]]] = {}
        for extractor, bodies in documents.items():
            level = _Level(partial(self._column, found, size, clean(extractor)))
            places = [place for place, body in enumerate(bodies) if body is not None]
            some = (body for body in bodies if body is not None)
            level.take([searched(body) if "preview" in body else body for body in some], places)
        return {name: _united(columns) for name, columns in found.items()}

    def _column(
        self, found: dict[str, list[tuple[str, list[Any]]]], size: int, extractor: str, key: str
    ) -> list[Any] | None:
        """Return an empty column for a key at one place of an extractor's documents; None: it has none."""
        name = self._name(extractor, clean(key)) if len(key) <= MAX_KEY_LENGTH else None
        if name is None:
            return None
        column = [None] * size
        found.setdefault(name, []).append((extractor, column))
        return column

    def _name(self, extractor: str, key: str) -> str | None:
        name = key if key.startswith(f"{NAMED}.") else f"{extractor}.{key}"
        if self._wanted:
            met = {key, f"{extractor}.{key}"} & self._wanted
            self.met |= met
            return name if met else None
        if len(self._made) >= MOST_COLUMNS and name not in self._made:
            if len(self.left_out) < MOST_COLUMNS:
                self.left_out.add(name)
            return None
        self._made.add(name)
        return name


class _Level(dict[str, "list[Any] | None"]):
    """The columns of the keys of one level of an extractor's documents, each looked up when it is first needed."""

    def __init__(self, column: Callable[[str], list[Any] | None], prefix: str = "", depth: int = 0) -> None:
        super().__init__()
        self._column, self._prefix, self._depth = column, prefix, depth
        self._below: dict[str, _Level] = {}

    def __missing__(self, key: str) -> list[Any] | None:
        found = self[key] = self._column(self._prefix + key)
        return found

    def below(self, key: str) -> _Level:
        """Return the level of an object under a key."""
        found = self._below.get(key)
        if found is None:
            found = self._below[key] = _Level(self._column, f"{self._prefix}{key}.", self._depth + 1)
        return found

    def take(self, bodies: Sequence[Mapping[str, Any]], places: Sequence[int]) -> None:
        """Put the values of objects into the columns, for the files at places; those with the same keys at once."""
        alike: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for number, keys in enumerate(map(tuple, bodies)):
            alike[keys].append(number)
        for keys, numbers in alike.items():
            some = [places[number] for number in numbers]
            columns = zip(*[bodies[number].values() for number in numbers], strict=True)
            for key, values in zip(keys, columns, strict=True):
                self._take_values(key, values, some)

    def _take_values(self, key: str, values: Sequence[Any], places: Sequence[int]) -> None:
        """Put values of a key into its column."""
        kinds = set(map(type, values))
        if not kinds & _NESTED:
            if kinds != _NONE and (column := self[key]) is not None:
                _put(column, values, places)
            return
        scalars: list[tuple[Any, int]] = []
        objects: list[tuple[Any, int]] = []
        lists: list[tuple[Any, int]] = []
        for pair in zip(values, places, strict=True):
            kind = type(pair[0])
            (objects if kind is dict else lists if kind is list else scalars).append(pair)
        if scalars:
            self._take_values(key, *zip(*scalars, strict=True))
        if objects and self._depth < MAX_DEPTH:
            self.below(key).take(*zip(*objects, strict=True))
        for value, place in lists:
            self._take_list(key, value, place)

    def add(self, body: Mapping[str, Any], place: int) -> None:
        """Put the values of an object into the columns, for the file at a place, beside what is there."""
        for key, value in body.items():
            kind = type(value)
            if kind is dict:
                if self._depth < MAX_DEPTH:
                    self.below(key).add(value, place)
            elif kind is list:
                self._take_list(key, value, place)
            elif value is not None and (column := self[key]) is not None:
                _add(column, place, [value])

    def _take_list(self, key: str, values: list[Any], place: int, depth: int = 0) -> None:
        """Put the values of a list into the columns, and those of lists and objects in it."""
        scalars = [each for each in values if each is not None and type(each) not in _NESTED]
        if scalars or not values:
            self._add_several(key, scalars, place)
        for each in values if len(scalars) < len(values) else ():
            if type(each) is dict and self._depth < MAX_DEPTH:
                self.below(key).add(each, place)
            elif type(each) is list and depth < MAX_DEPTH:
                self._take_list(key, each, place, depth + 1)

    def _add_several(self, key: str, values: list[Any], place: int) -> None:
        column = self[key]
        if column is not None:
            _add(column, place, values)


def _put(column: list[Any], values: Sequence[Any], places: Sequence[int]) -> None:
    if len(places) == len(column):  # all of them, in order
        column[:] = values
        return
    for place, value in zip(places, values, strict=True):
        column[place] = value


def _add(column: list[Any], place: int, values: list[Any]) -> None:
    have = column[place]
    column[place] = values if have is None else [*(have if type(have) is list else [have]), *values]


def _united(columns: Sequence[tuple[str, list[Any]]]) -> list[Any]:
    """Return columns of one name, each with its extractor, as one: a file has each of its values once."""
    (_, first), *others = sorted(columns, key=itemgetter(0))
    for _, other in others:
        for place, value in enumerate(other):
            if value is not None:
                first[place] = value if first[place] is None else _both(first[place], value)
    return first


def _both(have: Any, more: Any) -> Any:
    """Return values with those of others that are not yet among them; true is another value than 1."""
    known = {(type(each) is bool, each) for each in _listed(_same, have)}
    new = {key: key[1] for each in _listed(_same, more) if (key := (type(each) is bool, each)) not in known}
    return [*_listed(_same, have), *new.values()] if new else have
