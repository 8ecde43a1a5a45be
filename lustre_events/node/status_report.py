"""The status of a service that the settings name: collected from its parts, or what to do where one is silent."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

import msgspec

from lustre_events.config.settings import Settings
from lustre_events.errors import IndexUnavailable, LustreEventsError, StreamError
from lustre_events.index import open_search
from lustre_events.index.backend import Counts, Stats
from lustre_events.index.search.search import Search
from lustre_events.inspect.status import Status, collect
from lustre_events.jobs.queues import JobState, RqQueues
from lustre_events.node import wiring
from lustre_events.streams.documents import RedisDocuments
from lustre_events.streams.groups import RedisGroups
from lustre_events.streams.history_state import HistoryState
from lustre_events.streams.records import RedisRecordStreams

SHARE = 30
"""Rows are counted again when this many times as long has passed as counting took."""


class Counting:
    """Remembers how many rows an index has, for who asks again and again; `timer` counts seconds."""

    def __init__(self, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        self._counts: Counts | None = None
        self._good_until = 0.0

    def stats(self, search: Search) -> Stats:
        """Return the sums of an index, whose rows are counted if it is time for that."""
        began = self._timer()
        known = self._counts if began < self._good_until else None
        stats = search.stats(known)
        if known is None:
            took = self._timer() - began
            self._counts, self._good_until = stats.counts, began + SHARE * took
        return stats


def status(
    settings: Settings, index_url: str, *, index_may_be_away: bool = False, counting: Counting | None = None
) -> Status:
    """Return what `status` shows; a Redis that is not configured or does not answer is one of its problems.

    Args:
        settings: of the service.
        index_url: the index.
        index_may_be_away: that is one of the problems too, not the end.
        counting: knows the rows of earlier looks at this index; None: they are counted.

    Raises:
        IndexUnavailable: there is no index; or, where that may be, it is one of the problems too.
    """
    problems: list[str] = []
    stats = None
    try:
        with open_search(index_url) as search:
            stats = (counting or Counting()).stats(search)
    except IndexUnavailable as exc:
        if not index_may_be_away:
            raise
        problems.append(str(exc))
    found, _ = _asked(settings, stats, ())
    return msgspec.structs.replace(found, problems=[*problems, *found.problems])


def standing(settings: Settings, jobs: Collection[str]) -> tuple[Status, dict[str, JobState]]:
    """Return a status without the index, whose sums cost time, and what RQ knows of some jobs."""
    return _asked(settings, None, jobs)


def _asked(settings: Settings, stats: Stats | None, jobs: Collection[str]) -> tuple[Status, dict[str, JobState]]:
    try:
        client = wiring.redis_client(settings)
    except LustreEventsError as exc:
        found = collect(stats, None, None, None)
        return msgspec.structs.replace(found, problems=[str(exc)]), {}
    with client:
        queues = RqQueues(client, settings.worker.job_timeout_seconds)
        found = collect(
            stats, RedisRecordStreams(client), RedisGroups(client), queues, settings.filesystem.mdts,
            history=HistoryState(client),
            documents=RedisDocuments(client, None),
        )  # fmt: skip
        try:
            return found, queues.states(jobs) if jobs else {}
        except StreamError as exc:
            return msgspec.structs.replace(found, problems=[*found.problems, str(exc)]), {}
