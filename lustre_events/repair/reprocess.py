"""Runs a new version of an extractor on files that are indexed already: `lustre-events extractor reprocess`.

The index is searched here; the dispatcher takes the files in portions, as fast as its limit on what is
pending allows. If it is stopped at any point and started again, some files are processed twice, and none is left
out.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from lustre_events.changelog.fid import FID
from lustre_events.index.search.search import Search
from lustre_events.streams.interface import Requests

PORTION = 1_000
"""Most files that one request may name."""
PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Progress:
    """`asked` of `total` files have been given to the dispatcher, `rows` of them are work, `pending` is left."""

    total: int
    asked: int = 0
    rows: int = 0
    pending: int = 0
    waits: str = ""
    """Why the extractor's work waits, if it does."""

    @property
    def done(self) -> int:
        """Files that are done with."""
        return max(0, self.asked - self.pending)


def reprocess(
    search: Search, requests: Requests, name: str, where: str, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Progress]:
    """Have `name` extract the files that match a query again; yield how far it is, until nothing is pending.

    Raises:
        QueryError: the query is wrong.
        ConfigError: the dispatcher refuses, e.g. knows no such extractor.
        StreamUnavailable: no dispatcher answers.
    """
    progress = Progress(search.count(where))
    waiting: list[FID] = []
    fids = _fids(search, where)
    while True:
        waiting += itertools.islice(fids, PORTION - len(waiting))
        answer = requests.ask("reprocess", {"name": name, "fids": [str(fid) for fid in waiting]})
        taken = int(answer["taken"])
        waiting = waiting[taken:]
        progress = replace(
            progress, asked=progress.asked + taken, rows=progress.rows + int(answer["rows"]),
            pending=int(answer["pending"]), waits=str(answer["waits"]),
        )  # fmt: skip
        progress = replace(progress, total=max(progress.total, progress.asked))
        yield progress
        if not waiting and not progress.pending and not taken:
            return
        if not taken:
            sleep(PAUSE_SECONDS)


def _fids(search: Search, where: str) -> Iterator[FID]:
    cursor = None
    while True:
        page = search.page(where, limit=PORTION, cursor=cursor)
        yield from (hit.fid for hit in page.hits)
        cursor = page.cursor
        if cursor is None:
            return
