"""Dates as people write them, and how a query takes them: `03.2026`, `March 2026`, `1 March 2026`.

Only what can mean one thing is read: of `03/04/2026` nobody knows which number is the month, and `10.2026` is a
number.
"""

from __future__ import annotations

import calendar
import re
from datetime import date

from lustre_events.index.typed_values import number_of

FORMS = "2026, 2026-03, 2026-03-01, 2026-03-01T10:00 (UTC)"
"""Forms of a time that a query takes, for sentences."""
MOST_WORDS = 3

_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_name) if number}
_MONTHS |= {name[:3]: number for name, number in _MONTHS.items()} | {"sept": 9}
_MONTH = "(?P<word>[a-z]{3,9})[.]?"
_DAY = r"(?P<day>\d{1,2})"
_YEAR = r"(?P<year>[12]\d{3})"
_FORMS = [
    re.compile(form + r"\Z", re.ASCII | re.IGNORECASE)
    for form in (
        r"(?P<month>\d{1,2})[./-]" + _YEAR,  # 03.2026
        _DAY + r"\.(?P<month>\d{1,2})\." + _YEAR,  # 01.03.2026
        _YEAR + r"\.(?P<month>\d{1,2})\." + _DAY,  # 2026.03.01
        f"{_MONTH}[ -]?{_YEAR}",  # March 2026
        f"{_YEAR}[ -]?{_MONTH}(?:[ -]{_DAY})?",  # 2026 March 1
        f"{_DAY}(?:st|nd|rd|th)?[ -]?{_MONTH}[ -]?{_YEAR}",  # 1 March 2026
        f"{_MONTH} ?{_DAY}(?:st|nd|rd|th)?,? {_YEAR}",  # March 1, 2026
    )
]


def date_meant(text: str) -> str | None:
    """Return a date as a query takes it; None: it is none, or may be several."""
    for form in _FORMS if number_of(text) is None else ():
        match = form.match(text)
        if match is not None:
            parts = match.groupdict()
            word = parts.get("word")
            month = _MONTHS.get(word.lower(), 0) if word else int(parts["month"])
            return _written(int(parts["year"]), month, parts.get("day"))
    return None


def _written(year: int, month: int, day: str | None) -> str | None:
    try:
        found = date(year, month, int(day or 1)).isoformat()
    except ValueError:
        return None
    return found if day else found[:7]
