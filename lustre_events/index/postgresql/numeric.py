"""Numbers of documents as PostgreSQL's NUMERIC: integers of 64 bits and floats, each exactly itself."""

from __future__ import annotations

from decimal import Decimal


def numeric(value: float) -> Decimal:
    """Return a number as psycopg sends it for NUMERIC, with the digits that tell a float from its neighbours."""
    return Decimal(value) if isinstance(value, int) else Decimal(repr(value))


def plain(value: Decimal) -> float:
    """Return a stored number: an int where it is whole and of 64 bits."""
    whole = int(value)
    return whole if whole == value and abs(whole) < 1 << 63 else float(value)
