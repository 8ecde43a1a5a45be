"""What a text of a document says besides its words: a time, a number, and words of scripts without spaces.

All of it is pure, and reads nothing into a text: what is not certainly a time or a number is neither.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone

from lustre_events.domain.bounds import within

MAX_LENGTH = 40
"""Characters of a text that may be a time or a number."""

MOST_INTEGER = 2**63
"""Integers below it, and down to its negative, are compared exactly; larger ones as floats and as text."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(
    r"(\d{4})(?:-(\d\d)|([-:/])(\d\d?)\3(\d\d?)"
    r"(?:[T ](\d\d?)(?::(\d\d)(?::(\d\d)(?:[.,](\d{1,18}))?)?)?(?: ?(Z|UTC|[+-]\d\d(?::?\d\d)?))?)?)\Z",
    re.ASCII,
)
_COMPACT = re.compile(
    r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)?(?:\.(\d{1,18}))?(Z|[+-]\d\d(?::?\d\d)?)?\Z", re.ASCII
)
# Not 007 and not +5: who writes so means a name.
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?\Z", re.ASCII)
_INTEGER = re.compile(r"-?\d{1,19}\Z", re.ASCII)

_ACCENT = re.compile("[\u0300-\u036f]")
_MOST_MARKS = 30
"""Combining characters in a row that `unicodedata` may sort: its time grows with their square. Real text has few
(UAX #15, "Stream-Safe Text Format")."""
_MARKS_BELOW = 0x20000
_PAIRS = {0x344: "\u0308\u0301", 0xF73: "\u0f71\u0f72", 0xF75: "\u0f71\u0f74", 0xF81: "\u0f71\u0f80"}
"""The characters that stand for two combining ones (UAX #15, "non-starter decompositions")."""
# Thai, Lao, Myanmar, Khmer; kana, bopomofo, Chinese characters, Hangul.
_UNSPACED = re.compile(
    "[\u0e01-\u0e2e\u0e40-\u0e45\u0e81-\u0eae\u0ec0-\u0ec4\u1000-\u102a\u1780-\u17b3"
    "\u3005-\u3007\u3040-\u30ff\u3100-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff"
    "\U00020000-\U0003134f]"
)


def time_of(text: str) -> int | None:
    """Return the time that a text is, in nanoseconds since the epoch in UTC; None: it is none.

    Times are written as ISO 8601 and NetCDF have them (`2026-03`, `2026-03-01`, `2026-3-1 12:00`,
    `2026-03-01T12:00:00.5+01:00`, `20260301T120000Z`) or EXIF (`2026:03:01 12:00:00`). Without an offset they are
    UTC. A date is its first moment. What is out of the index's range is kept as the end of that range.
    """
    if not 7 <= len(text) <= MAX_LENGTH or not text[:4].isdigit():
        return None
    match, compact = _TIME.match(text), _COMPACT.match(text)
    if match:
        year, short, _, month, day, hour, minute, second, fraction, zone = match.groups()
        month = short or month
    elif compact:
        year, month, day, hour, minute, second, fraction, zone = compact.groups()
    else:
        return None
    try:
        moment = datetime(
            int(year), int(month), int(day or 1), int(hour or 0), int(minute or 0), min(int(second or 0), 59),
            tzinfo=_zone(zone),
        )  # fmt: skip
        whole = (moment - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        return None
    return within(whole * 1_000_000_000 + int((fraction or "0")[:9].ljust(9, "0")))


def _zone(text: str | None) -> timezone:
    if text is None or text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)


def number_of(text: str) -> float | None:
    """Return the number that a text is, as another program may have written it; None: it is none.

    Digits behind a leading zero or a plus are a name, as in `run 007`.
    """
    if not 0 < len(text) <= MAX_LENGTH or _NUMBER.match(text) is None:
        return None
    return number(text)


def number(text: str) -> float | None:
    """Return the number that somebody wrote: an int where it is one of up to 64 bits, else a finite float."""
    if _INTEGER.match(text) and abs(int(text)) < MOST_INTEGER:
        return int(text)
    try:
        value = float(text) if "_" not in text else None
    except ValueError:
        return None
    return value if value is not None and abs(value) != float("inf") and value == value else None  # noqa: PLR0124 - NaN


def unaccented(text: str) -> str:
    """Return a text without the accents of its letters, composed: of both forms of `Müller` `Muller`."""
    if text.isascii():
        return text
    return composed(_ACCENT.sub("", unicodedata.normalize("NFD", _in_order(text))))


def composed(text: str) -> str:
    """Return a text in Unicode's form NFC, in a time that grows with its length alone."""
    return text if text.isascii() else unicodedata.normalize("NFC", _in_order(text))


def _in_order(text: str) -> str:
    """Return a text whose long rows of combining characters are in canonical order: what normalizes alike."""
    return _long_rows().sub(_sorted_marks, text)


@functools.cache
def _long_rows() -> re.Pattern[str]:
    marks = "".join(filter(unicodedata.combining, map(chr, range(0x300, _MARKS_BELOW))))
    return re.compile(f"[{marks}{''.join(map(chr, _PAIRS))}]{{{_MOST_MARKS},}}")


def _sorted_marks(row: re.Match[str]) -> str:
    return "".join(sorted(row[0].translate(_PAIRS), key=unicodedata.combining))


def has_unspaced(text: str) -> bool:
    """Return whether a text has characters of a script that puts no spaces between words."""
    return not text.isascii() and _UNSPACED.search(text) is not None


def segmented(text: str) -> str:
    """Return a text in which each character of a script without spaces is a word of its own.

    Both databases find words, and words that follow each other: so any run of such characters is found inside of
    a longer one.
    """
    if text.isascii():
        return text
    return _UNSPACED.sub(" \\g<0> ", text) if _UNSPACED.search(text) else text
