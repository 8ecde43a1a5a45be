"""Numbers of an operating system, brought into what the index can hold: signed 64 bits.

A file may have any time that its file system can store, and in ns since the epoch 64 bits end in the years 1677
and 2262. Sizes, inode numbers and counts have 64 bits without a sign. What lies beyond an end of the range is kept
as that end (`within`). So a number at an end is also the sign that it was brought there (`at_end`): it stands for
itself and all that lie beyond, and is shown as such.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

LEAST = -(1 << 63)
MOST = (1 << 63) - 1

_EARLIEST, _LATEST = "1677-09-21 or earlier", "2262-04-11 or later"
_LEVELS = 5
"""How deep the numbers of a listing's facts lie."""

Kind = TypeVar("Kind")


def within(number: int) -> int:
    """Return `number`, or the end of the index's range that it lies beyond."""
    return LEAST if number < LEAST else min(number, MOST)


def at_end(number: int) -> bool:
    """Return whether a number of the index stands for all beyond it, too."""
    return not LEAST < number < MOST


def far_time(time_ns: int) -> str | None:
    """Return in words a time in ns that lies at an end of the range or beyond it; None: it is an exact one."""
    if not at_end(time_ns):
        return None
    return _LATEST if time_ns > 0 else _EARLIEST


def converted(value: Any, kind: type[Kind]) -> Kind:
    """Return what msgspec makes of `value`, with every number brought into the range where that is needed.

    Raises:
        msgspec.ValidationError: it is no `kind`.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return msgspec.convert(_all_within(value, _LEVELS), kind)


def _all_within(value: Any, levels: int) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return within(value)
    if levels and isinstance(value, dict):
        return {key: _all_within(item, levels - 1) for key, item in value.items()}
    if levels and isinstance(value, (list, tuple)):
        return [_all_within(item, levels - 1) for item in value]
    return value
