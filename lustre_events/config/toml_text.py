"""TOML that somebody else wrote, read within bounds: whatever it holds, it is a table or one sentence.

tomllib follows brackets by recursion, takes time that grows with the square of a dotted key's parts, and hands on
integers of any length, which Python then refuses to print. So brackets and dots are counted before it parses, and
what it found is looked through afterwards: a table that comes from here can be printed, stored and walked.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from lustre_events.errors import ConfigError

MOST_BYTES = 1 << 20
MOST_DEPTH = 16
"""Arrays and tables within each other, and parts of a dotted key."""
MOST_CHARACTERS = 1_000
"""Of a key, or of a text that a program or the index takes as a whole."""
_INTEGERS = range(-(1 << 63), 1 << 63)
"""What TOML promises, and what every later stage can hold."""

# Each alternative also matches a text that is not closed, up to where it could go on: no text is looked at twice.
_QUOTED = re.compile(
    r'"""(?:[^\\]|\\(?:.|\Z))*?(?:"""|\Z)'
    r"|'''.*?(?:'''|\Z)"
    r'|"(?:[^"\\\n]|\\[^\n])*+"?'
    r"|'[^'\n]*+'?"
    r"|\#[^\n]*+",
    re.DOTALL,
)
_LONG_KEY = re.compile(rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{MOST_DEPTH}}}")
_BRACKETS = re.compile(r"[\[\]{}]")


def read_toml(data: bytes | str, origin: str) -> dict[str, Any]:
    """Return the table of a TOML text.

    Raises:
        ConfigError: it is not TOML, or more than anybody needs; the message begins with `origin`.
    """
    if len(data) > MOST_BYTES:
        raise ConfigError(f"{origin}: more than {MOST_BYTES >> 20} MiB; make it shorter")
    try:
        text = data if isinstance(data, str) else data.decode()
        _check_shape(text, origin)
        table = tomllib.loads(text)
    except (ValueError, RecursionError, OverflowError, MemoryError) as exc:  # of TOML, UTF-8 or a long number
        help_ = next((words for sign, words in _HELP.items() if sign in str(exc)), "")
        raise ConfigError(f"{origin}: not a TOML file: {exc}{help_}") from exc
    _check_values(table, origin)
    return table


def _check_shape(text: str, origin: str) -> None:
    bare = _QUOTED.sub(_stand_in, text)
    depth = 0
    for bracket in _BRACKETS.finditer(bare):
        depth = max(0, depth + (1 if bracket[0] in "[{" else -1))
        if depth > MOST_DEPTH:
            raise ConfigError(f"{origin}: more than {MOST_DEPTH} brackets within each other; make it flatter")
    if _LONG_KEY.search(bare):
        raise ConfigError(f"{origin}: a key of more than {MOST_DEPTH} parts; make it shorter")


_HELP = {
    "Invalid value": '; texts are written in quotes: name = "tables"',
    "Unterminated string": "; a closing quote is missing",
    "Cannot overwrite": "; a key stands twice in one section",
}
"""What to do about errors that people make who have never written TOML, by a sign of them."""


def _stand_in(quoted: re.Match[str]) -> str:
    """Return what stands for a quoted text, which may be part of a key; nothing for a comment."""
    return "" if quoted[0].startswith("#") else "q"


def _check_values(table: Mapping[str, Any], origin: str) -> None:
    waiting: list[tuple[Any, int]] = [(table, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MOST_DEPTH:
            raise ConfigError(f"{origin}: more than {MOST_DEPTH} levels within each other; make it flatter")
        if isinstance(value, str) and "\0" in value:
            raise ConfigError(f"{origin}: a text with a NUL character; remove it")
        if isinstance(value, int) and value not in _INTEGERS:
            raise ConfigError(f"{origin}: a number beyond 64 bits; write a smaller one")
        waiting += [(each, depth + 1) for each in _inside(value)]


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def sentence(error: object) -> str:
    """Return what is said about a stranger's file as one line that every later stage can hold."""
    exact = str(error).encode("utf-8", "backslashreplace").decode()
    line = "".join(each if each.isprintable() else " " for each in exact)
    return line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 3]}..."
