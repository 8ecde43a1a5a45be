"""Members and fields of Redis's keys, read only where a key holds no more bytes than can be taken.

Whoever has a worker's login may put a gigabyte under any name of RQ's. The number of members does not tell, and who
reads them has them in memory. So Redis looks at the size first, and reads, in one step (bounded.lua).
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

MOST_MEMBERS = 100_000
"""Most members of one key that are read; a list may have more behind them."""
KEY_BYTES = 64 << 20
"""Most bytes of one key with that many members of RQ's."""
HASH_BYTES = 1 << 20
"""Most bytes of what a worker says of itself."""
_SCRIPT = (files(__package__) / "bounded.lua").read_text(encoding="utf-8")


def bounded(words: Sequence[Any], most: int = KEY_BYTES) -> tuple[Any, ...]:
    """Return a command that answers as `words` do, whose second is the key; None where it has more bytes."""
    command, key, *rest = words
    return ("EVAL", _SCRIPT, 0, key, MOST_MEMBERS, most, command, *rest)
