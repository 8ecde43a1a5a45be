"""Rules of actions about complete directories: when one is complete, and what comes later.

[[rule]]
on = "directory"
directories = ["/proj/*/runs/*"]      # the directories themselves
complete = { marker = "*.done", min_files = 100, quiet_seconds = 600 }   # all that is said must be so
late = "report"                       # what comes after that: again (it may be complete once more), ignore

Its files are those that lie directly in it. One whose name the marker's glob matches is a marker, and not counted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from lustre_events.config.tables import Location, key, read
from lustre_events.domain.rules.conditions import KEYS, NOT, Accounts, Globs
from lustre_events.domain.rules.grants import Author
from lustre_events.domain.times import SECOND_NS
from lustre_events.domain.triggers import DIRECTORY

REPORT, AGAIN, IGNORE = "report", "again", "ignore"
LATE = (REPORT, AGAIN, IGNORE)
_YEAR = 366 * 86_400
_ABOUT = frozenset({"directories", "owners", "groups"})
"""The conditions that a directory can meet."""
FILES_ONLY = KEYS.keys() - _ABOUT - {"events"}


@dataclass(frozen=True, slots=True)
class Complete:
    """When a directory is complete: all of this is so.

    Attributes:
        marker: what a file in it is called; None: none is asked for.
        min_files: the least number of files in it, without the markers.
        quiet_ns: for so long nothing was written in it, and nothing got a name there; 0: it need not be quiet.
    """

    marker: Globs | None
    min_files: int
    quiet_ns: int

    def is_marker(self, name: bytes) -> bool:
        """Whether a file of this name is a marker."""
        return self.marker is not None and self.marker.match(name)

    def lacks(self, markers: int, files: int) -> str:
        """Return what a directory with these numbers of markers and files lacks; empty: nothing, if it is quiet."""
        if self.marker is not None and not markers:
            return f"no file {self.marker_text} is in it"
        if files < self.min_files:
            return f"{files} files are in it, and {self.min_files} must be"
        return ""

    def says(self, names: Collection[bytes]) -> tuple[bool, str]:
        """Return whether a directory with files of these names lacks nothing, and what it has or lacks."""
        markers = sum(map(self.is_marker, names))
        lack = self.lacks(markers, len(names) - markers)
        found = f"{len(names) - markers} files and {markers} that mark it are in it"
        return not lack, lack or found

    @property
    def marker_text(self) -> str:
        """What markers are called, for people."""
        return "" if self.marker is None else next(iter(self.marker.written))

    @property
    def text(self) -> str:
        """When a directory is complete, for people."""
        found = [f"a file {self.marker_text}"] if self.marker is not None else []
        found += [f"{self.min_files} file{'s' * (self.min_files != 1)} or more"] if self.min_files else []
        found += [f"nothing written for {self.quiet_ns / SECOND_NS:g} s"] if self.quiet_ns else []
        return ", ".join(found)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What `complete` of a rule says."""

    marker: str = key("", longest=255)
    min_files: int | None = key(None, least=1, most=100_000_000)
    quiet_seconds: float | None = key(None, least=1, most=_YEAR)


def read_complete(
    location: Location, table: Mapping[str, Any], on: Collection[str], author: Author | None
) -> Complete | None:
    """Return when directories of a rule are complete; None: it is about something else. Raises `location.error`."""
    if DIRECTORY not in on:
        for name in ("complete", "late"):
            if name in table:
                raise location.at(name).refusal(f"is for on = {DIRECTORY!r} only; remove one of the two")
        return None
    _check(location, table, on, author)
    given = table.get("complete")
    if not isinstance(given, dict) or not given:
        raise location.at("complete").refusal(
            "must say when a directory is complete, e.g. { marker = '*.done', min_files = 100, quiet_seconds = 60 }"
        )
    entry = read(_Entry, given, location.inside(f"{location.section} complete".strip()))
    if "/" in entry.marker or ("marker" in given and not entry.marker):
        raise location.at("complete").refusal("has a marker that is not the name of a file; write e.g. '*.done'")
    marker = KEYS["globs"].read(location.at("complete"), [entry.marker], Accounts()) if entry.marker else None
    least = entry.min_files if entry.min_files is not None else int(marker is None)
    return Complete(marker, least, int((entry.quiet_seconds or 0) * SECOND_NS))


def _check(location: Location, table: Mapping[str, Any], on: Collection[str], author: Author | None) -> None:
    if author is not None:
        raise location.at("on").refusal(f"has {DIRECTORY!r}, which is for the site's rules; use another trigger")
    if len(on) > 1:
        raise location.at("on").refusal(f"has {DIRECTORY!r}, which stands alone; write two rules")
    if "types" in table:
        raise location.at("types").refusal(f"is said by on = {DIRECTORY!r} already; remove it")
    if "directories" not in table:
        raise location.at("directories").refusal("is missing; name the directories that become complete")
    said = {*table, *(table[NOT] if isinstance(table.get(NOT), dict) else ())}
    for name in sorted(said & FILES_ONLY):
        raise location.at(name).refusal(f"asks about a file; on = {DIRECTORY!r} takes {', '.join(sorted(_ABOUT))}")
