"""Dates and times in cells: a workbook keeps numbers of days, and only a cell's format says that it is a date.

Formats and serial numbers: ECMA-376 part 1, 18.8.30 and 18.17.4.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from office_xml import Package

STYLES = "xl/styles.xml"
MAX_STYLES = 70_000  # Excel has up to 65,490
DAY, TIME, BOTH, ELAPSED = "day", "time", "both", "elapsed"
# Formats that have a number and no code; 27 to 36 and 50 to 58 are dates of East Asian languages
BUILT_IN = (
    dict.fromkeys((14, 15, 16, 17), DAY) | dict.fromkeys((18, 19, 20, 21, 45, 47), TIME) | {22: BOTH, 46: ELAPSED}
    | dict.fromkeys((27, 28, 29, 30, 31, 36, *range(50, 59)), DAY) | dict.fromkeys((32, 33, 34, 35), TIME)
)  # fmt: skip
QUOTED = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]|AM/PM|A/P', re.IGNORECASE)
DURATION = re.compile(r"\[(h+|m+|s+)\]")
FRACTION = re.compile(r"s[.,]0+")  # of a second
FIRST, FIRST_1904 = datetime(1899, 12, 31), datetime(1904, 1, 1)  # noqa: DTZ001 - a sheet has no zone
MAX_SERIAL = 2_958_466  # the day after 31 December 9999
NO_DAY = 60  # 29 February 1900, which there was not
LAST = datetime(9999, 12, 31)  # noqa: DTZ001 - as above
CLOCK = re.compile(r"P(?:(\d{1,9})D)?T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})(?:[.,](\d+))?S)?")
MILLISECONDS = 86_400_000  # of a day


class Moment(str):
    """A date or a time as text; it is no name of a column."""

    __slots__ = ()


def kind_of(code: str) -> str:
    """Return whether a format's code shows a date, a time, both, or a time that has elapsed; empty for none."""
    code = QUOTED.sub("", code.split(";", maxsplit=1)[0]).lower()
    if DURATION.search(code):
        return ELAPSED
    code = FRACTION.sub("s", code)
    if code == "general" or any(one in code for one in "0#?"):
        return ""
    has_time = "h" in code or "s" in code
    has_day = "y" in code or "d" in code or ("m" in code and not has_time)
    return (BOTH if has_time else DAY) if has_day else TIME if has_time else ""


def clock(milliseconds: int) -> Moment:
    """Return a time of a day, or one that has elapsed, as hours, minutes and seconds."""
    seconds, rest = divmod(milliseconds, 1000)
    fraction = f".{rest:03}".rstrip("0") if rest else ""
    return Moment(f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{fraction}")


def shown(number: float, kind: str, *, from_1904: bool) -> Moment | float:
    """Return what a number means in a format: ISO 8601 without a zone; the number where it is no date."""
    if not 0 <= number <= MAX_SERIAL:
        return number
    milliseconds = round(number * MILLISECONDS)
    if kind == ELAPSED or (milliseconds < MILLISECONDS and kind in {TIME, BOTH}):
        return clock(milliseconds)
    days, rest = divmod(milliseconds, MILLISECONDS)
    first = FIRST_1904
    if not from_1904:
        if days in {0, NO_DAY}:
            return number
        first, days = FIRST, days - (days > NO_DAY)
    if days > (LAST - first).days:
        return number
    moment = first + timedelta(days=days, milliseconds=rest)
    if kind == DAY and not rest:
        return Moment(moment.date().isoformat())
    return Moment(moment.isoformat(timespec="milliseconds" if rest % 1000 else "seconds"))


def of_iso(value: str) -> Moment:
    """Return a date or a time as OpenDocument has it; a duration (PT12H30M00S) as a clock shows it."""
    found = CLOCK.fullmatch(value)
    if not found:
        return Moment(value)
    days, hours, minutes, seconds = (int(one or 0) for one in found.groups()[:4])
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return clock(total * 1000 + int((found[5] or "0").ljust(3, "0")[:3]))


def styles(package: Package) -> list[str]:
    """Return what the numbers of cells of each style are, in the order in which cells refer to them."""
    codes: dict[str, str] = {}
    found: list[str] = []
    inside = [False]

    def start(name: str, attributes: dict[str, str]) -> None:
        if name == "numFmt" and len(codes) < MAX_STYLES:
            codes[attributes.get("numFmtId", "")] = kind_of(attributes.get("formatCode", ""))
        elif name == "cellXfs":
            inside[0] = True
        elif name == "xf" and inside[0] and len(found) < MAX_STYLES:
            key = attributes.get("numFmtId", "0")
            number = int(key) if key.isdecimal() and len(key) < 8 else 0
            found.append(codes.get(key, BUILT_IN.get(number, "")))

    def end(name: str, _: str) -> None:
        if name == "cellXfs":
            inside[0] = False

    package.walk(STYLES, start, end)
    return found
