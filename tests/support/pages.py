"""Pages that show commands with what they print: read, and compared with what is printed now."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

CONSOLE = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)

VARIES = {
    "TIME": r"\d{4}-\d\d-\d\dT[\d:.]+Z", "FID": r"\[0x[0-9a-f]+:0x[0-9a-f]+:0x[0-9a-f]+\]", "EPOCH": r"\b1\d{18}\b",
    "JOB": r"\b[0-9a-f]{32}\b", "on NODE, ": r"(?<=TIME )on \S+, |on \S+, (?=at)", "active: NODE": r"active: \S+",
    "SPENT": r"\b[\d.]+ m?s\b", "RECORD": r"\brecord \d+\b",
    "OWN": r"\b(root|owner \d+|group \d+)\b", "FILES": r"(?<=files in this run: )\d+",
    "ext  - SIZE": r"ext +- .*", "READ": r"\b(read|stored|committed|cleared) \d+\b",
    "VERSION": r"\bversion \d+\b", "GENERATION": r"\bgeneration \d+\b",
    "LISTED": r"(?<= {4})\d+(?= {3,})", "FOUND": r"(?<=tabular )\d+(?= found)",
}  # fmt: skip
"""What is not the same in two runs, and what stands for it: times, identifiers, sizes of directories, this node,
versions of extractors."""


def commands(block: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield each command of a block, and the lines that it is to print."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, *printed = part.rstrip("\n").split("\n")
        yield shlex.split(command), printed


def plain(line: str) -> str:
    """Return a line with names in the place of what varies."""
    for name, pattern in VARIES.items():
        line = re.sub(pattern, name, line)
    return line


def shows(page: list[str], said: list[str]) -> bool:
    """Whether a page shows what was said, in any order; where it leaves out something, in this order."""
    shown, found = [plain(line) for line in page], [plain(line) for line in said if line]
    if not any("..." in line for line in shown):
        return sorted(shown) == sorted(found)
    assert any(line != "..." for line in shown), "a page that shows nothing says nothing"
    pattern = "\n".join(re.escape(line) for line in shown).replace(r"\.\.\.", ".*")
    return re.fullmatch(pattern, "\n".join(found), re.DOTALL) is not None
