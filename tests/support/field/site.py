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
    "var/lib/redis",
    "var/lib/postgresql",
    "var/lib/systemd",
    "var/tmp",
    "backup",
    "etc/sysusers.d",
    "etc/ssl/private",
)
"""Not compared: what is never on disk, others' logs and caches, folders of systemd's and of ssl-cert, what the test
put there."""


ACCOUNTS = {f"etc/{name}" for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid", "ld.so.cache")}
"""What changes whenever an account or a library is added and removed; it must not name us."""


class Site:
    """The machine, and how far the administrator is in the page."""

    def __init__(self, machine: Machine) -> None:
        """Begin at the top of the page."""
        self.machine = machine
        self.left = list(blocks((REPOSITORY / "deploy/README.md").read_text(encoding="utf-8")))
        self.passed_over: list[Block] = []
        self.before: dict[str, str] = {}
        self.first_hit_seconds = 0.0

    def follow(self, heading: str) -> str:
        """Carry out the blocks below a heading that are left; return what they said."""
        said = [self.step(heading)]
        while self.left and self.left[0].heading == heading:
            said.append(self.step(heading))
        return "\n".join(said)

    def step(self, heading: str) -> str:
        """Carry out the next block below a heading; return what it said."""
        self._come_to(heading)
        return self.carry_out(self.left.pop(0))

    def take(self, heading: str) -> list[Block]:
        """Return the blocks below a heading, wherever the administrator is in the page, to be carried out now."""
        found = [block for block in self.left if block.heading == heading]
        assert found, f"no block below {heading!r} is left"
        self.left = [block for block in self.left if block.heading != heading]
        return found

    def next(self, heading: str) -> str:
        """Return the next block below a heading, which is not carried out yet."""
        self._come_to(heading)
        return self.left[0].script

    def _come_to(self, heading: str) -> None:
        """Pass over blocks, as where some tests run alone; the last test of the page wants that there are none."""
        while self.left and self.left[0].heading != heading:
            block = self.left.pop(0)
            if not block.skipped:
                self.passed_over.append(block)
        assert self.left, f"no block below {heading!r} is left"

    def carry_out(self, block: Block) -> str:
        """Type a block, unless its mark says why not."""
        if block.skipped:
            return ""
        done = self.machine.run(block.script, folder=HERE)
        return done.stdout + done.stderr


def files(root: Path) -> dict[str, str]:
    """Return all that lies on a machine's disk, with a sum of its content, owner and mode for what is in /etc."""
    summed = {path: path.startswith("etc/") and path not in ACCOUNTS for path in _paths(root)}
    return {path: _sum(root / path) if counts else "" for path, counts in summed.items()}


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
