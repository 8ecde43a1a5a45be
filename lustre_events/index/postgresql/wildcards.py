r"""Globs (wildcards.py) as PostgreSQL compares them.

That is LIKE for text. For names, which are bytes of any encoding, it is LIKE too, or a regular expression over
`encode(name, 'escape')` where one *character* of a name is wild.

encode(..., 'escape') leaves ASCII as it is, doubles backslashes, and writes any other byte as `\ooo`.
"""

from __future__ import annotations

import re

from lustre_events.index.query.wildcards import name_bytes

_PIECES = re.compile(r"\[([*?[])\]|([*?])|(.)", re.DOTALL)

# One character as SQLite reads it: any byte below 0xC0, or one from there on with all that continue it.
_CHARACTER = r"(?:[^\\]|\\\\|\\[012][0-7]{2}|\\3[0-7]{2}(?:\\2[0-7]{2})*(?!\\2[0-7]{2}))"


def text_like(glob: str) -> str:
    """Return the LIKE pattern of a glob over text."""
    return "".join({"*": "%", "?": "_"}.get(wild) or like_literal(char or wild) for char, wild in _pieces(glob))


def like_literal(text: str) -> str:
    """Return the LIKE pattern of a literal text."""
    return "".join("\\" + char if char in "\\%_" else char for char in text)


def name_test(column: str, glob: str) -> tuple[str, bytes | str]:
    """Return the condition that a column of bytes matches a glob as a whole, and its parameter."""
    pieces = _pieces(glob)
    if any(wild == "?" for _, wild in pieces):
        parts = [{"*": ".*", "?": _CHARACTER}.get(wild) or re.escape(escaped(char)) for char, wild in pieces]
        return f"encode({column}, 'escape') ~ %s", f"^{''.join(parts)}$"
    return f"{column} LIKE %s", b"".join(b"%" if wild else name_bytes(like_literal(char)) for char, wild in pieces)


def escaped(text: str) -> str:
    """Return the bytes of a name as encode(..., 'escape') writes them."""
    return "".join(
        "\\\\" if byte == 0x5C else chr(byte) if 0 < byte < 0x80 else f"\\{byte:03o}" for byte in name_bytes(text)
    )


def _pieces(glob: str) -> list[tuple[str, str]]:
    """Return (literal character, "") and ("", wild character) in turn."""
    return [(bracketed or other, wild) for bracketed, wild, other in _PIECES.findall(glob)]
