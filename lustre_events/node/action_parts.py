"""What actions need of a node: endpoints as their file says now, and documents for the bodies of what is sent."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from lustre_events.catalog.catalog import read_endpoints
from lustre_events.changelog.fid import FID
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.errors import ConfigError, QueryError
from lustre_events.index.opening import open_search
from lustre_events.index.query.parser import parse
from lustre_events.index.search.search import Search
from lustre_events.index.visibility import Viewer

log = logging.getLogger(__name__)

_LATER_NS = 10**18
USERS_SECONDS = 0.5
"""How long a query may take that is asked as a user: nothing else is done meanwhile."""
READ_SECONDS = 5.0
"""How long it may take to read the documents of a few hundred objects."""


class ActionReader:
    """Reads the index for the bodies and queries of actions, as it is committed."""

    def __init__(self, index_url: str) -> None:
        self._url = index_url
        self._search: Search | None = None

    def matching(self, query: str, fids: Collection[FID], viewer: Viewer | None = None) -> Collection[FID]:
        """Return those of some objects that match a query, as a user sees them (None: all).

        Raises QueryError, IndexUnavailable: also if a user's query takes too long.
        """
        with self._reading() if viewer is None else open_search(self._url, USERS_SECONDS) as search:
            return search.matching(query, fids, visible_to=viewer)

    def documents(self, fids: Collection[FID]) -> Mapping[FID, Mapping[str, Any]]:
        """Return the good documents of objects, by extractor. Raises IndexUnavailable."""
        with self._reading() as search:
            return {
                view.fid: {each.extractor: each.body for each in view.documents} for view in search.show_many(fids)
            }

    def close(self) -> None:
        """Close the index, if it is open."""
        search, self._search = self._search, None
        if search is not None:
            search.close()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Search]:
        """Give the index, which stays open for the next rule's question, but not behind a failure."""
        search = self._search or open_search(self._url, READ_SECONDS)
        self._search = None
        try:
            yield search
        except BaseException:
            search.close()
            raise
        self._search = search


def check_query(query: str) -> None:
    """Refuse a query that cannot be understood, or whose answer changes with time alone. Raises QueryError."""
    if parse(query, now_ns=0) != parse(query, now_ns=_LATER_NS):
        raise QueryError("it means something else as time goes by (`now`); write a date, or the rule's own keys")


class EndpointFile:
    """The endpoints of a file as it is now; where it is wrong it stays as it was, and the log says why."""

    def __init__(self, path: Path | None) -> None:
        """Read the file. Raises ConfigError."""
        self._path = path
        self._stamp = self._look()
        self._endpoints = read_endpoints(path)

    def look(self) -> Mapping[str, Endpoint]:
        """Return the endpoints."""
        stamp = self._look()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._endpoints = read_endpoints(self._path)
            except ConfigError as exc:
                kept = f"{exc}; until that is repaired, endpoints stay as they were"
                log.error("%s", kept, extra={"action": "look"})  # noqa: TRY400 - one sentence
        return self._endpoints

    def _look(self) -> tuple[int, int]:
        try:
            facts = self._path.stat() if self._path is not None else None
        except OSError:
            return 0, 0
        return (facts.st_mtime_ns, facts.st_ino) if facts is not None else (0, 0)
