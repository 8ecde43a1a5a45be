"""The patterns of queries: `*` and `?` are wild, `[*]`, `[?]` and `[[]` stand for the characters themselves.

The same patterns work in SQLite's GLOB.
"""

from __future__ import annotations

import re

_BRACKETED = re.compile(r"\[([*?[])\]")
_LITERAL_PREFIX = re.compile(r"(?:[^*?[]|\[[*?[]\])*")


def escape(char: str) -> str:
    """Return the pattern of one literal character."""
    return f"[{char}]" if char in "*?[" else char


def literal_of(glob: str) -> str | None:
    """Return the only text that matches, or None if something in the pattern is wild."""
    rest = _BRACKETED.sub("", glob)
    return None if "*" in rest or "?" in rest else _BRACKETED.sub(r"\1", glob)


def literal_prefix_of(glob: str) -> str:
    """Return the text that every match begins with."""
    match = _LITERAL_PREFIX.match(glob)
    return _BRACKETED.sub(r"\1", match.group()) if match else ""
