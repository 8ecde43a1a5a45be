"""The patterns of queries: `*` and `?` are wild, `[*]`, `[?]` and `[[]` stand for the characters themselves.

The same patterns work in SQLite's GLOB.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_BRACKETED = re.compile(r"\[([*?[])\]")
_PIECES = re.compile(r"\[[*?[]\]|.", re.DOTALL)
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


def matcher(glob: str) -> Callable[[str], bool]:
    """Return whether a whole text matches, as a function."""
    runs = [""]
    for part in _PIECES.findall(glob):
        if part == "*":
            runs.append("")
        else:
            runs[-1] += "." if part == "?" else re.escape(_BRACKETED.sub(r"\1", part))
    first, *behind = runs
    # What stands between two stars is taken where it comes first: to try all its places could take hours.
    between = "".join(f"(?>.*?{run})" for run in behind[:-1] if run)
    expression = re.compile(first + (f"{between}.*{behind[-1]}" if behind else ""), re.DOTALL)
    return lambda text: expression.fullmatch(text) is not None


def name_bytes(text: str) -> bytes:
    """Return a name as the file system has it; surrogate escapes stand for bytes that are not UTF-8."""
    return text.encode("utf-8", "surrogateescape")
