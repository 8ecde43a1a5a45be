"""Work that people ask for: running a new version on files that exist already, and retrying failed files.

Files come in portions that a command has found in the index. Repeated work has a low priority, and only a limited
amount of it is pending at once: new work goes first, and nobody can fill the index with work that waits for days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.config.settings import DispatcherSettings
from lustre_events.dispatcher.extractor_registry import ExtractorRegistry
from lustre_events.dispatcher.requests import Handler
from lustre_events.dispatcher.turn import Turn
from lustre_events.dispatcher.work_planner import WorkPlanner
from lustre_events.domain.pending import REPROCESS, RETRY
from lustre_events.errors import ConfigError
from lustre_events.jobs.messages import STAT
from lustre_events.jobs.requests import MOST_FILES, arguments_as

LOW_PRIORITY = -1_000


class ReprocessRequests:
    """Carries out the requests `reprocess`, `retry` and `drop`."""

    def __init__(self, registry: ExtractorRegistry, planner: WorkPlanner, settings: DispatcherSettings) -> None:
        self._registry = registry
        self._planner = planner
        self._most = settings.reprocess_rows

    def handlers(self) -> dict[str, Handler]:
        """Return what can be asked for."""
        return {"reprocess": self._reprocess, "retry": self._retry, "drop": self._drop}

    def _reprocess(self, turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Make rows for the first files of a portion, as far as there is room; say how many files that were."""
        asked = arguments_as(_Reprocess, arguments)
        if asked.name == STAT:
            raise ConfigError(f"{STAT} is not reprocessed; run: lustre-events scan")
        state = self._registry.state_of(asked.name)
        pending = turn.transaction.reprocessing(asked.name, self._most)
        fids = [FID.parse(text) for text in asked.fids[: max(0, self._most - pending)]]
        rows = turn.transaction.objects(fids)
        concerned = self._planner.concerned(turn, asked.name, list(rows.values()))
        made = self._planner.again(turn, [(fid, asked.name) for fid in concerned], REPROCESS, LOW_PRIORITY)
        waits = "it is disabled" if state.disabled else f"it is suspended: {state.suspended}"
        waits = "" if state.works else waits
        return {"taken": len(fids), "rows": made, "pending": pending + made, "waits": waits}

    def _retry(self, turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Any]:
        works = _works(arguments_as(_Works, arguments))
        for name in {name for _, name in works}:
            self._registry.state_of(name)
        return {"rows": self._planner.again(turn, works, RETRY, 0)}

    def _drop(self, turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {"dropped": turn.transaction.remove_failures(_works(arguments_as(_Works, arguments)))}


class _Reprocess(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    fids: Annotated[list[str], msgspec.Meta(max_length=MOST_FILES)]


class _Works(msgspec.Struct, forbid_unknown_fields=True):
    works: Annotated[list[tuple[str, str]], msgspec.Meta(max_length=MOST_FILES)]
    """FIDs and extractors."""


def _works(asked: _Works) -> Sequence[tuple[FID, str]]:
    return [(FID.parse(fid), extractor) for fid, extractor in asked.works]
