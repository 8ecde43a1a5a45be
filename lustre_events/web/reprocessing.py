"""Have an extractor process again all files of a query that a user owns, in portions. For pages and the API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lustre_events.index.query.parser import both
from lustre_events.index.remote.answers import ReprocessedAnswer
from lustre_events.index.search.hits import Page
from lustre_events.index.search.search import Search
from lustre_events.index.visibility import Viewer
from lustre_events.jobs.requests import MOST_FILES


@dataclass(frozen=True, slots=True)
class Reprocessing:
    """Asks the dispatcher for files of an index that a viewer sees and owns."""

    index: Search
    ask: Callable[[str, Mapping[str, Any]], dict[str, Any]]
    viewer: Viewer

    def portion(self, query: str, extractor: str, cursor: str | None) -> ReprocessedAnswer:
        """Ask for the next files that match.

        Raises:
            QueryError: the query or the cursor is wrong.
            LustreEventsError: the dispatcher says why not.
        """
        own = query if self.viewer.sees_all else both(query, f"uid:{self.viewer.uid}")
        page = self._page(own, MOST_FILES, cursor)
        fids = [str(hit.fid) for hit in page.hits]
        answer = self.ask("reprocess", {"name": extractor, "fids": fids})
        taken = int(answer["taken"])
        following, more = page.cursor, page.cursor is not None
        if taken < len(fids):
            # The cursor behind the first ones, which were taken.
            following, more = self._page(own, taken, cursor).cursor if taken else cursor, True
        return ReprocessedAnswer(
            len(fids), taken, int(answer["rows"]), int(answer["pending"]), str(answer["waits"]), following, more
        )

    def _page(self, query: str, limit: int, cursor: str | None) -> Page:
        return self.index.page(query, limit=limit, cursor=cursor, visible_to=self.viewer, excerpts=False)
