"""Values of a document that JSON or the index cannot hold: each is replaced and named, and the rest stays.

NaN, infinities, whole numbers beyond 64 bits and what is nested too deep become null, half a surrogate pair becomes
U+FFFD. The document says so in the text `partial`, as shipped extractors do of what they leave out themselves.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

PARTIAL = "partial"
MOST_REASONS = 10
_NUMBERS = range(-(1 << 63), 1 << 64)
_LONGEST_DIGITS = 100
_HALF = re.compile("[\ud800-\udfff]")


def loads(data: bytes) -> Any:
    """Return the value of a JSON text; a whole number of very many digits becomes an infinite one.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested deeper than Python can read.
    """
    try:
        return json.loads(data)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError:  # Python reads no number of more than some thousand digits
        return json.loads(data, parse_int=_whole_number)


def _whole_number(text: str) -> float:
    if len(text) <= _LONGEST_DIGITS:
        return int(text)
    return -math.inf if text.startswith("-") else math.inf


def holds(value: Any) -> bool:
    """Return whether a scalar, or a key, can be kept as it is."""
    if isinstance(value, str):
        return value.isascii() or _HALF.search(value) is None
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or value in _NUMBERS


def without(document: dict[str, Any], levels: int) -> dict[str, Any]:
    """Return `document` with what cannot be kept replaced; `levels` is how deep it may be nested."""
    reasons: dict[str, None] = {}
    kept = {
        name: part for key, value in document.items() for name, part in [_part("", key, value, levels, reasons)]
    }
    told = list(reasons)
    if len(told) > MOST_REASONS:
        told[MOST_REASONS:] = [f"and {len(told) - MOST_REASONS} more"]
    before = kept.get(PARTIAL)
    return {**kept, PARTIAL: "; ".join([*([before] if isinstance(before, str) and before else []), *told])}


def _part(above: str, key: str, value: Any, levels: int, reasons: dict[str, None]) -> tuple[str, Any]:
    name = _text(key)
    place = f"{above}.{name}" if above else name
    if name != key:
        reasons[f"{_short(place)}: half a surrogate pair in the key"] = None
    return name, _kept(place, value, levels - 1, reasons)


def _kept(place: str, value: Any, levels: int, reasons: dict[str, None]) -> Any:
    if isinstance(value, (dict, list)):
        if value and levels <= 1:
            reasons[f"{_short(place)}: nested too deep, left out"] = None
            return None
        if isinstance(value, list):
            return [_kept(place, each, levels - 1, reasons) for each in value]
        return {
            name: part for key, each in value.items() for name, part in [_part(place, key, each, levels, reasons)]
        }
    if holds(value):
        return value
    if isinstance(value, str):
        reasons[f"{_short(place)}: half a surrogate pair in the text"] = None
        return _text(value)
    number = isinstance(value, float)
    what = f"{json.dumps(value)}, which JSON cannot hold" if number else "a number beyond 64 bits"
    reasons[f"{_short(place)}: {what}, left out"] = None
    return None


def _text(text: str) -> str:
    return _HALF.sub("\ufffd", text)


def _short(place: str) -> str:
    shown = "".join(character if character.isprintable() else " " for character in place)
    return shown if len(shown) <= 100 else shown[:99] + "…"
