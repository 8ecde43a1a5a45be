"""Columns of values as PostgreSQL's binary arrays, for `unnest`: made at once, not value by value.

A column has one type whatever its values are, so that each statement is prepared once.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

_HEADER = struct.Struct("!iiIii")
_LENGTH = struct.Struct("!i")
_LENGTHS = [_LENGTH.pack(length) for length in range(256)]
_NULL = _LENGTH.pack(-1)
_WIDE = 8


class Column(bytes):
    """An array in PostgreSQL's binary form."""


class Integers(Column):
    """bigint[]."""


class Floats(Column):
    """double precision[]."""


class Texts(Column):
    """text[]."""


class Blobs(Column):
    """bytea[]."""


_OIDS: dict[type[Column], tuple[int, int]] = {
    Integers: (20, 1016), Floats: (701, 1022), Texts: (25, 1009), Blobs: (17, 1001)
}  # fmt: skip
"""Of an element and of the array (pg_type.dat)."""
_CODES: dict[type[Column], str] = {Integers: "q", Floats: "d"}
_KINDS: dict[type, type[Column]] = {int: Integers, float: Floats, str: Texts, bytes: Blobs}


def column(values: Sequence[Any]) -> Column:
    """Return values of one type, or None, as an array; of None only one of texts."""
    first = next((value for value in values if value is not None), "")
    kind = _KINDS[type(first)]
    nulls = None in values
    wide = _CODES.get(kind, "")
    if wide and not nulls:
        body = _wide(array(wide, values))
    elif wide:
        form = struct.Struct(f"!{wide}")
        body = _joined([value if value is None else form.pack(value) for value in values])
    else:
        body = _joined([value.encode() if isinstance(value, str) else value for value in values])
    return kind(_HEADER.pack(1, int(nulls), _OIDS[kind][0], len(values), 1) + body)


def _wide(values: array[Any]) -> bytes:
    """Return numbers of 8 bytes, each behind its length."""
    if sys.byteorder == "little":
        values.byteswap()
    raw, count = values.tobytes(), len(values)
    step = _WIDE + len(_NULL)
    body = bytearray(step * count)
    body[3::step] = bytes([_WIDE]) * count
    for place in range(_WIDE):
        body[len(_NULL) + place :: step] = raw[place::_WIDE]
    return bytes(body)


def _joined(values: Sequence[bytes | None]) -> bytes:
    parts: list[bytes] = []
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            length = len(value)
            parts += (_LENGTHS[length] if length < len(_LENGTHS) else _LENGTH.pack(length), value)
    return b"".join(parts)


def _register(kind: type[Column]) -> None:
    class OfKind(Dumper):
        format = Format.BINARY
        oid = _OIDS[kind][1]

        def dump(self, obj: Column) -> Buffer | None:
            return obj

    psycopg.adapters.register_dumper(kind, OfKind)


for _kind in _OIDS:
    _register(_kind)
