"""The command blocks of deploy/README.md, as an administrator types them.

A comment before a block, which no reader sees, says what the test does otherwise:

    <!-- field test: add WORDS -->          each line gets these words
    <!-- field test: skip REASON -->        it is not carried out
    <!-- field test: on the other node -->  it is typed on another machine
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MARK = re.compile(r"<!-- field test: (add|skip|on) (.+) -->\Z")


@dataclass(frozen=True, slots=True)
class Block:
    """One block: below which heading, what is typed, why it is skipped (nothing: it is not), and where."""

    heading: str
    script: str
    skipped: str = ""
    elsewhere: bool = False


def blocks(text: str) -> Iterator[Block]:
    """Yield the indented blocks of a page, in order."""
    heading, mark = "", ("", "")
    for part in re.split(r"\n(?:[ \t]*\n)+", text):
        lines = part.splitlines()
        if lines and all(line.startswith("    ") for line in lines):
            yield _block(heading, [line[4:] for line in lines], *mark)
        found = MARK.match(lines[-1]) if lines else None
        mark = (found[1], found[2]) if found else ("", "")
        heading = next((line.lstrip("# ") for line in lines if line.startswith("#")), heading)


def _block(heading: str, lines: list[str], kind: str, words: str) -> Block:
    if kind == "skip":
        return Block(heading, "\n".join(lines), words)
    if kind == "on":
        return Block(heading, "\n".join(lines), elsewhere=True)
    return Block(heading, "\n".join(f"{line} {words}".rstrip() for line in lines))
