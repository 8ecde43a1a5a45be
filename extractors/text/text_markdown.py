"""Whether a text is Markdown, and its headings: lines that begin with # are comments in many other texts."""

from __future__ import annotations

import itertools
import re

MAX_FOUND = 500  # headings that are looked at
SIGNS = re.compile(r"(?m)^```|\[[^\]\n]{1,200}\]\([^)\n]{1,500}\)")
# Headings of Markdown, alone or of several levels; lines with as many # one after the other are comments
ALONE = re.compile(r"(?:\A\s*|\n[ \t]*\n)(#{1,6} [^\n]*)\n[ \t]*\n")
LEVEL = re.compile(r"(?m)^(#{1,6}) \S")
COMMENTS = re.compile(r"(?m)^(#+)(?![#!])[^\n]*\n\1(?!#)[^\n]*$")
SIGNED = re.compile(
    r"(?m)^(#{1,6}) +(.{1,500})$|(?:(?<=\n\n)|\A)(?![ \t#>*+-]|\d+[.)])(.{1,200})\n(=+|-{2,})[ \t]*$"
)
FRONT = re.compile(r"(?s)\A---[ \t]*\n.*?\n---[ \t]*(?:\n\s*|\Z)")
FENCED = re.compile(r"(?ms)^[ \t]*(```+|~~~+)[^\n]*\n.*?(?:^[ \t]*\1[ \t]*$|\Z)")


def is_markdown(lines: str) -> bool:
    """Say whether a text has links or code of Markdown, or headings."""
    return SIGNS.search(lines) is not None or headed(lines)


def marked(lines: str) -> list[tuple[str, str]]:
    """Return the headings of Markdown: with signs before or a line below them; none of code or front matter."""
    lines = FENCED.sub("", FRONT.sub("", lines))
    found = itertools.islice(SIGNED.finditer(lines), MAX_FOUND)
    return [(match[1] or match[4], match[2] or match[3]) for match in found]


def headed(lines: str) -> bool:
    """Say whether lines that begin with # are headings of Markdown, and not comments of another language."""
    if COMMENTS.search(lines):
        return False
    return ALONE.search(lines) is not None or len(set(LEVEL.findall(lines))) > 1
