"""Sizes, times and ids of a query as half-open intervals of whole numbers: what `field:value` stands for."""

from __future__ import annotations

import grp
import pwd
import re
from calendar import isleap, monthrange
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

from lustre_events.index.query.written_dates import FORMS

Interval = tuple[int, int]
"""From the first number to the one behind the last."""

_SECOND = 1_000_000_000
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([kmgtpe]?)(?:i?b)?\Z", re.IGNORECASE | re.ASCII)
_NOW = re.compile(r"now((?:[+-]\d{1,9}[smhdw])*)\Z", re.ASCII)
_STEP = re.compile(r"([+-]\d+)([smhdw])", re.ASCII)
_STEP_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DATE = re.compile(
    r"(\d{4})(?:([-/])(\d\d?)(?:\2(\d\d?)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?)?)?)?"
    r"(Z|[+-]\d\d:\d\d)?\Z",
    re.IGNORECASE | re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def size_interval(text: str, now_ns: int) -> Interval:  # noqa: ARG001 - one signature for all
    """Return the bytes of `1000`, `1k`, `1.5M`, `2GiB`: factors of 1024, in either case.

    Raises:
        ValueError: it is no size.
    """
    match = _SIZE.match(text)
    if match is None:
        raise ValueError("write a size as 1000, 1k, 1.5M or 2G (factors of 1024)")
    factor = 1024 ** (" kmgtpe".index(match[2].lower()) if match[2] else 0)
    size = int(Decimal(match[1]) * factor)
    return size, size + 1


def time_interval(text: str, now_ns: int) -> Interval:
    """Return the nanoseconds of `2026`, `2026-11`, `2026-11-22`, `2026-11-22T10`, `2026-11-22T10:00`, `now-7d`.

    `2026-3`, `2026-3-1` and `2026/03` are dates, too. A date is the whole day, an hour the whole hour, a minute the
    whole minute. Times are UTC where no offset (`+01:00`) is given.

    Raises:
        ValueError: it is no time.
    """
    relative = _NOW.match(text)
    if relative:
        seconds = sum(int(count) * _STEP_SECONDS[unit] for count, unit in _STEP.findall(relative[1]))
        return now_ns + seconds * _SECOND, now_ns + seconds * _SECOND + 1
    match = _DATE.match(text)
    try:
        return _date_interval(match) if match else _no_time()
    except (ValueError, OverflowError) as exc:
        raise ValueError(f"write a time as {FORMS} or now-7d") from exc


def _no_time() -> Interval:
    raise ValueError


# Branches: one for each part of a date that may be left out.
def _date_interval(match: re.Match[str]) -> Interval:
    numbers = (match[1], *match.groups()[2:7])
    year, month, day, hour, minute, second = (int(part) if part else None for part in numbers)
    offset = match[9] or "Z"
    zone = UTC if offset in "Zz" else timezone(timedelta(hours=int(offset[1:3]), minutes=int(offset[4:])))
    if offset[0] == "-":
        zone = timezone(-zone.utcoffset(None))
    start = datetime(year or 0, month or 1, day or 1, hour or 0, minute or 0, second or 0, tzinfo=zone)
    first = _nanoseconds(start)
    if month is None:
        return first, first + (366 if isleap(start.year) else 365) * 86400 * _SECOND
    if day is None:
        return first, first + monthrange(start.year, month)[1] * 86400 * _SECOND
    if hour is None:
        return first, first + 86400 * _SECOND
    if minute is None:
        return first, first + 3600 * _SECOND
    if second is None:
        return first, first + 60 * _SECOND
    fraction = match[8] or ""
    first += int(fraction.ljust(9, "0"))
    return first, first + 10 ** (9 - len(fraction))


def _nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def owner_interval(text: str, now_ns: int) -> Interval:  # noqa: ARG001 - as above
    """Return the uid of a number or a user's name on this machine.

    Raises:
        ValueError: there is no such user.
    """
    return _id_interval(text, "user", lambda name: pwd.getpwnam(name).pw_uid)


def group_interval(text: str, now_ns: int) -> Interval:  # noqa: ARG001 - as above
    """Return the gid of a number or a group's name on this machine.

    Raises:
        ValueError: there is no such group.
    """
    return _id_interval(text, "group", lambda name: grp.getgrnam(name).gr_gid)


def _id_interval(text: str, kind: str, look_up: Callable[[str], int]) -> Interval:
    try:
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else look_up(text)
    except (KeyError, ValueError) as exc:
        raise ValueError(f"this machine knows no {kind} of that name; write its number") from exc
    return number, number + 1
