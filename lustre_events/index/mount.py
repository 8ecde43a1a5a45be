"""Paths as users see them, below the mount point, and as the index has them, from the file system's root."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from msgspec import structs

from lustre_events.index.search.hits import Hit, ObjectView
from lustre_events.index.search.portions import HitPortion

Named = TypeVar("Named", Hit, ObjectView)


@dataclass(frozen=True, slots=True)
class Mount:
    """Where a file system is mounted; empty or `/`: paths are as the index has them."""

    point: bytes

    @classmethod
    def at(cls, path: str) -> Mount:
        """Return the mount at a path, as settings have it."""
        return cls(os.fsencode(path).rstrip(b"/"))

    def whole(self, path: bytes) -> bytes:
        """Return a path of the index as one opens it."""
        inside = path.strip(b"/")
        return self.point + b"/" + inside if inside else self.point or b"/"

    def wholes(self, paths: Iterable[bytes]) -> tuple[bytes, ...]:
        """Return paths of the index as one opens them."""
        return tuple(map(self.whole, paths))

    def placed(self, found: Named) -> Named:
        """Return a hit or a view with its paths as one opens them."""
        paths = self.wholes(found.paths)
        return structs.replace(found, paths=paths) if isinstance(found, Hit) else replace(found, paths=paths)

    def placed_all(self, portion: HitPortion) -> HitPortion:
        """Return hits with their paths as one opens them."""
        above, root = self.point + b"/", self.whole(b"/")
        paths = [[above + path if path != b"/" else root for path in each] for each in portion.facts.paths]
        return HitPortion(portion.facts._replace(paths=paths), portion.documents)

    def inside(self, typed: bytes, cwd: bytes = b"") -> bytes:
        """Return the index's path of what somebody typed in the directory `cwd` (empty: none that matters).

        A path below the mount point is the file's own; so is one relative to `cwd` that leads there. Any other is
        taken as one from the root of the file system on, as the index has it.
        """
        meant = os.path.normpath(cwd + b"/" + typed) if cwd and not typed.startswith(b"/") else typed
        if self._below(cwd) is not None or self._below(meant) is not None:
            typed = meant
        path = os.path.normpath(typed) if typed.startswith(b"/") else typed
        below = self._below(path)
        return (path if below is None else below).strip(b"/")

    def query(self, text: str) -> str:
        """Return a query in which what stands below the mount point behind `path:` is from the root on."""
        if not self.point:
            return text
        point = re.escape(self.point.decode("utf-8", "surrogateescape"))
        return re.sub(rf'(\bpath:\(?"?){point}(?=/|[\s")]|$)/?', r"\1/", text)

    def _below(self, path: bytes) -> bytes | None:
        if not self.point or path == self.point:
            return b"" if self.point else None
        return path[len(self.point) + 1 :] if path.startswith(self.point + b"/") else None
