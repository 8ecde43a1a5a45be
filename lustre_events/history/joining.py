"""With which MDTs the keeper's present group has begun: in front of another's first block records may be missing.

    FOLDER/joined.json     ["lustre-MDT0000", ...]; absent: the group began with the history, so nothing is missing

It is emptied before a group is made, and an MDT stands in it once its first block is written. So whichever process
writes that block knows that it is the first one.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import msgspec

NAME = "joined.json"


class Joining:
    """The MDTs that the group has begun with, on the disk."""

    def __init__(self, folder: Path) -> None:
        """Read them. Raises OSError, ValueError: the file is damaged."""
        self._path = folder / NAME
        self._begun: set[str] | None = None
        if self._path.exists():
            self._begun = set(msgspec.json.decode(self._path.read_bytes(), type=list[str]))

    def begin(self) -> None:
        """Let a group begin that knows no MDT yet; called before it is made. Raises OSError."""
        self._write(set())

    def is_first(self, mdt: str) -> bool:
        """Whether the group has not begun with an MDT."""
        return self._begun is not None and mdt not in self._begun

    def began(self, mdts: Collection[str]) -> None:
        """Keep that the first blocks of MDTs are written. Raises OSError."""
        new = {mdt for mdt in mdts if self.is_first(mdt)}
        if new:
            self._write((self._begun or set()) | new)

    def _write(self, mdts: set[str]) -> None:
        path = self._path.with_suffix(".tmp")
        with path.open("wb") as file:
            file.write(msgspec.json.encode(sorted(mdts)))
            file.flush()
            os.fsync(file.fileno())
        path.rename(self._path)
        self._begun = mdts
