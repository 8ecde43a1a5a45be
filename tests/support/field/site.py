"""A machine that is set up by deploy/README.md: how far it is in the page, and what was there before."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from tests.support.field.machine import Machine
from tests.support.field.readme import Block, blocks
from tests.support.service.command import REPOSITORY

HERE = "/srv/lustre-events"
"""Where the administrator has the checkout."""
ELSEWHERE = (
    "dev",
    "proc",
    "run",
    "srv",
    "sys",
    "tmp",
    "mnt",
    "root",
    "var/log",
    "var/cache/apt",
    "var/cache/debconf",
    "var/cache/ldconfig",
)
"""What is not compared: what is never on disk, other programs' logs and caches, and what the test put there."""


class Site:
    """The machine, and how far the administrator is in the page."""

    def __init__(self, machine: Machine) -> None:
        """Begin at the top of the page."""
        self.machine = machine
        self.left = list(blocks((REPOSITORY / "deploy/README.md").read_text(encoding="utf-8")))
        self.before: dict[str, str] = {}
        self.first_hit_seconds = 0.0

    def follow(self, heading: str) -> str:
        """Carry out the blocks below a heading, which must come next; return what they said."""
        said = [self.carry_out(self.left.pop(0)) for _ in self._next(heading)]
        assert said, f"no block below {heading!r} is left; next: {self.left[:1]}"
        return "\n".join(said)

    def _next(self, heading: str) -> list[Block]:
        found = []
        for block in self.left:
            if block.heading != heading:
                break
            found.append(block)
        return found

    def carry_out(self, block: Block) -> str:
        """Type a block, unless its mark says why not."""
        if block.skipped:
            return ""
        done = self.machine.run(block.script, folder=HERE)
        return done.stdout + done.stderr


def files(root: Path) -> dict[str, str]:
    """Return all that lies on a machine's disk, with a sum of its content, owner and mode for what is in /etc."""
    return {path: _sum(root / path) if path.startswith("etc/") else "" for path in _paths(root)}


def _paths(root: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        within = os.path.relpath(folder, root).removeprefix(".").lstrip("/")
        folders[:] = [name for name in folders if f"{within}/{name}".lstrip("/") not in ELSEWHERE]
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in folders + names:
            if not name.endswith("-"):  # copies that passwd(1)'s programs leave
                yield f"{within}/{name}".lstrip("/")


def _sum(path: Path) -> str:
    status = path.lstat()
    content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
    return f"{status.st_uid}:{status.st_gid}:{status.st_mode:o}:{hashlib.sha256(content).hexdigest()}"
