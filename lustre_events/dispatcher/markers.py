"""Directories with a file `.lustre-events-ignore`: they are left out as if `[filesystem] exclude` named them.

The file counts if root or the directory's owner owns it: a user who may only write in a directory cannot hide other
users' files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.rules.conditions import MARKER
from lustre_events.domain.rules.rules import Rules
from lustre_events.domain.times import SECOND_NS
from lustre_events.index.query.wildcards import escape

log = logging.getLogger(__name__)

LOOK_NS = 2 * SECOND_NS
EACH, MOST = 10, 100
"""Directories that are left out by their files, of one owner and of all: the rules are asked about each."""


class Markers:
    """Looks for them in the index, and publishes what no search finds. `follow` is called with changes."""

    def __init__(self, rules: Rules, follow: Callable[[tuple[str, ...]], None]) -> None:
        self._base = rules.left_out
        self._follow = follow
        self._known: tuple[str, ...] | None = None
        self._seen: tuple[str, ...] | None = None
        self._looked_ns = 0

    def is_time(self, now_ns: int) -> bool:
        """Whether to look again."""
        return self._known is None or not 0 <= now_ns - self._looked_ns < LOOK_NS

    def look(self, turn: Turn) -> None:
        """Look, and write what has changed; `committed` ends it."""
        self._seen = None
        marked = turn.transaction.marked(MARKER, EACH, MOST + 1)
        found = turn.transaction.paths(marked[:MOST])
        directories = {_glob(path): fid for fid, paths in found.items() for path in paths}
        self._seen = tuple(sorted(directories))
        if self._seen != self._known:
            turn.transaction.put_left_out(self._base, directories)
            if len(marked) > MOST:
                log.error(
                    "more than %d directories have a file %s; the others are searched",
                    MOST, MARKER.decode(), extra={"action": "look"},
                )  # fmt: skip

    def committed(self, now_ns: int) -> None:
        """Follow what the last look has found."""
        if self._seen is None:
            return
        self._looked_ns = now_ns
        seen, self._seen = self._seen, None
        if seen != (self._known or ()):
            self._follow(seen)
        self._known = seen


def _glob(path: bytes) -> str:
    """Return the glob of one directory; a byte that is no text is any character."""
    text = path.decode("utf-8", "surrogateescape")
    return "/" + "".join("?" if "\udc80" <= char <= "\udcff" else escape(char) for char in text)
