"""Requests of `lustre-events scan`, `verify --repair` and `continuity reconcile` (requests.py: how they travel).

scan           begin with a directory, of which all names above are said    → {"scan": id}
scan-progress  how far is it?             → {"directories", "files", "left", "unreadable": [[path, error], ...]}
repair         list directories alone, look at objects, and extract again what is stale     → {"rows"}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.dispatcher import fs_answers
from lustre_events.dispatcher.requests import Handler
from lustre_events.dispatcher.turn import Turn
from lustre_events.dispatcher.work_planner import Question, WorkPlanner
from lustre_events.domain.namespace import Link, base_stamp
from lustre_events.domain.record_meaning import Kind
from lustre_events.errors import ConfigError
from lustre_events.index.interface import ObjectRow
from lustre_events.jobs.requests import arguments_as

KEPT_SCANS = 100
UNREADABLE = 1_000
"""Most directories that could not be read which an answer names."""

REPAIR = "repair"


class _Scan(msgspec.Struct):
    path: list[tuple[str, str]]
    """The directories from below the root down to the one to scan: percent-encoded name and FID."""


class _ScanProgress(msgspec.Struct):
    scan: int


class _Repair(msgspec.Struct):
    directories: list[str] = []
    objects: list[str] = []
    stale: list[str] = []


class ScanRequests:
    """Carries such requests out, in the caller's transaction."""

    def __init__(self, planner: WorkPlanner, skew_ns: int) -> None:
        self._planner = planner
        self._skew_ns = skew_ns

    def handlers(self) -> dict[str, Handler]:
        """Return the table of requests."""
        return {"scan": self._scan, "scan-progress": self._progress, "repair": self._repair}

    def _scan(self, turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Any]:
        asked = arguments_as(_Scan, arguments)
        steps = [(unquote_to_bytes(name), FID.parse(fid)) for name, fid in asked.path]
        directories = [ROOT_FID, *(fid for _, fid in steps)]
        if len({*directories}) < len(directories):
            raise ConfigError("the path to scan names a directory twice; take the path from the mount point down")
        stamp = base_stamp(turn.now_ns - self._skew_ns)
        links = [Link(parent, *step, stamp) for parent, step in zip(directories, steps, strict=False)]
        stored = turn.transaction.objects(directories)
        turn.transaction.put_objects(
            ObjectRow(fid=fid, generation=1, type="d") for fid in directories if fid not in stored
        )
        turn.transaction.set_links(links)
        self._planner.look_at(turn, set(directories) - stored.keys())
        scan = turn.transaction.begin_scan(directories[-1], turn.now_ns, KEPT_SCANS)
        fs_answers.listings(turn, self._planner.facts_lane, directories[-1:], scan)
        return {"scan": scan}

    def _progress(self, turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Any]:
        asked = arguments_as(_ScanProgress, arguments)
        found = turn.transaction.scan(asked.scan, UNREADABLE)
        if found is None:
            raise ConfigError(
                f"there is no scan {asked.scan}, or it was long ago; begin one with: lustre-events scan PATH"
            )
        paths = turn.transaction.paths([fid for fid, _ in found.unreadable])
        return {
            "directories": found.directories,
            "files": found.files,
            "left": found.left,
            "unreadable": [
                [quote_from_bytes((paths[fid] or [str(fid).encode()])[0]), error] for fid, error in found.unreadable
            ],
        }

    def _repair(self, turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Any]:
        asked = arguments_as(_Repair, arguments)
        wanted = {key: {FID.parse(fid) for fid in getattr(asked, key)} for key in _Repair.__struct_fields__}
        stored = turn.transaction.objects(set().union(*wanted.values()))
        directories = wanted["directories"] & stored.keys()
        fs_answers.listings(turn, self._planner.facts_lane, sorted(directories))
        objects = wanted["objects"] & stored.keys()
        self._planner.look_at(turn, objects)
        stale = [stored[fid] for fid in sorted(wanted["stale"] & stored.keys())]
        chances = frozenset({Kind.CONTENT, Kind.NAME})
        self._planner.ask(
            turn, [Question(row, frozenset(), chances, turn.now_ns, turn.now_ns, REPAIR) for row in stale]
        )
        return {"rows": len(directories) + len(objects) + len(stale)}
