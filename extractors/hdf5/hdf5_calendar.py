"""Times of the CF conventions (1.11, chapter 4.4), such as "days since 1970-01-01", as ISO 8601."""

from __future__ import annotations

import itertools
import math
import re

UNITS = {"microsec": 1e-6, "microsecond": 1e-6, "millisec": 1e-3, "millisecond": 1e-3, "msec": 1e-3, "ms": 1e-3,
         "s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hr": 3600, "hour": 3600,
         "d": 86400, "day": 86400}  # fmt: skip
SINCE = re.compile(
    r"\s*([A-Za-z]+)\s+since\s+([+-]?\d{1,5})-(\d{1,2})-(\d{1,2})"
    r"(?:[T ]\s*(\d{1,2})(?::(\d{1,2})(?::(\d{1,2}(?:\.\d*)?))?)?)?\s*(Z|UTC|GMT|[+-]?\d{1,2}:?(?:\d\d)?)?\s*",
    re.IGNORECASE,
)
CALENDARS = {"": "standard", "gregorian": "standard", "standard": "standard", "proleptic_gregorian": "gregorian",
             "julian": "julian", "noleap": "noleap", "365_day": "noleap", "all_leap": "all_leap",
             "366_day": "all_leap", "360_day": "360_day"}  # fmt: skip
MONTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def is_time(units: str) -> bool:
    """Whether units are those of a time."""
    return SINCE.fullmatch(units) is not None


def moments(values: tuple[float, ...], units: str, calendar: str = "") -> list[str | None]:
    """Return times in UTC, each None where it has no date of the years 1 to 9999 that is known.

    CF takes times without a zone for UTC. A day that only exists in a calendar of models, such as 30 February, is
    told as its month.
    """
    found = SINCE.fullmatch(units)
    kind = CALENDARS.get(calendar.strip().lower())
    if not found or kind is None:
        return [None for _ in values]
    unit, year, month, day, hour, minute, second, zone = found.groups()
    seconds = UNITS.get(unit.lower(), UNITS.get(unit.lower().removesuffix("s"), 0))
    if kind == "360_day" and unit.lower() in {"month", "months"}:
        seconds = 30 * 86400
    if not seconds or not (1 <= int(month) <= 12 and 1 <= int(day) <= lengths(int(year), kind)[int(month) - 1]):
        return [None for _ in values]  # months and years of other calendars have no one length
    start = days(int(year), int(month), int(day), kind) * 86400
    start += int(hour or 0) * 3600 + int(minute or 0) * 60 - shift(zone or "")
    return [_moment(start + float(second or 0) + value * seconds, kind) for value in values]


def shift(zone: str) -> int:
    """Return the seconds that a zone is ahead of UTC."""
    digits = zone.lstrip("+-").replace(":", "")
    if not digits.isdigit():
        return 0
    hours, minutes = (digits, "0") if len(digits) <= 2 else (digits[:-2], digits[-2:])
    return (int(hours) * 3600 + int(minutes) * 60) * (-1 if zone[0] == "-" else 1)


def _moment(seconds: float, kind: str) -> str | None:
    if not math.isfinite(seconds) or abs(seconds) > 1e13:
        return None
    whole, milli = divmod(round(seconds * 1000), 1000)
    number, rest = divmod(whole, 86400)
    year, month, day = date(number, kind)
    if not 1 <= year <= 9999:
        return None
    if day > lengths(year, "gregorian")[month - 1]:
        return f"{year:04}-{month:02}"
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{year:04}-{month:02}-{day:02}T{clock}" + (f".{milli:03}".rstrip("0") if milli else "") + "Z"


def lengths(year: int, kind: str) -> tuple[int, ...]:
    """Return how many days the months of a year have."""
    if kind == "360_day":
        return (30,) * 12
    leap = {
        "noleap": False,
        "all_leap": True,
        "julian": year % 4 == 0,
        "gregorian": year % 4 == 0 and (year % 100 != 0 or year % 400 == 0),
        "standard": year % 4 == 0 and (year < 1582 or year % 100 != 0 or year % 400 == 0),
    }[kind]
    return (31, 28 + leap, *MONTHS[2:])


def first_day(year: int, kind: str) -> int:
    """Return the number of the first day of a year."""
    leaps = {
        "360_day": -5 * year,
        "noleap": 0,
        "all_leap": year,
        "julian": (year - 1) // 4,
        "gregorian": (year - 1) // 4 - (year - 1) // 100 + (year - 1) // 400,
    }[kind]
    return 365 * year + leaps


def days(year: int, month: int, day: int, kind: str) -> int:
    """Return the number of a day; `standard` is Julian up to 4 October 1582, Gregorian from the 15th."""
    if kind == "standard":
        if (year, month, day) >= (1582, 10, 15):
            return days(year, month, day, "gregorian")
        return days(year, month, day, "julian") + GAP
    return first_day(year, kind) + sum(lengths(year, kind)[: month - 1]) + day - 1


def date(number: int, kind: str) -> tuple[int, int, int]:
    """Return year, month and day of a day's number."""
    if kind == "standard":
        return date(number, "gregorian") if number >= REFORM else date(number - GAP, "julian")
    year = number // 365
    while first_day(year, kind) > number:
        year -= max(1, (first_day(year, kind) - number) // 366)
    while first_day(year + 1, kind) <= number:
        year += max(1, (number - first_day(year + 1, kind)) // 366)
    rest = number - first_day(year, kind)
    ends = list(itertools.accumulate(lengths(year, kind)))
    month = next(place for place, end in enumerate(ends) if rest < end)
    return year, month + 1, rest - (ends[month - 1] if month else 0) + 1


REFORM = days(1582, 10, 15, "gregorian")
GAP = REFORM - days(1582, 10, 5, "julian")
