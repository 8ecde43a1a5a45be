"""Searches on a streaming standby of PostgreSQL, as long as it is close behind; else on the index itself.

The lag is asked anew for each moment that is read. Once a standby has been promoted nobody can tell from it
alone whether the dispatcher writes there, so `[index] url` is asked then: with two hosts and
`target_session_attrs=read-write` that URL finds the server to which the dispatcher writes.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from lustre_events.errors import IndexUnavailable
from lustre_events.index.backend import Backend, Reading
from lustre_events.index.postgresql.database import Connection, Database
from lustre_events.index.postgresql.search import PostgresqlBackend
from lustre_events.index.visibility import Viewer

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""The longest that asking for the lag may take."""
NOT_FOLLOWING = "it is not a standby (any more)"

_LAG = """
SELECT CASE
    WHEN NOT pg_is_in_recovery() THEN NULL
    WHEN EXISTS (SELECT FROM pg_stat_wal_receiver)
        AND pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
    ELSE coalesce(
        extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 'Infinity')
END::float8
"""
"""All that came is replayed, and more still comes: no lag. Else at most the age of the last commit replayed."""


def lag_seconds(connection: Connection) -> float | None:
    """Return by how much a server is behind the one that it follows, at most; None: it follows none."""
    (lag,) = connection.execute(_LAG).fetchone() or (None,)
    return None if lag is None else max(0.0, float(lag))


def lag_of(url: str) -> float | None:
    """Return the lag of the standby of a URL, as `lag_seconds`. Raises ConfigError, IndexUnavailable."""
    database = Database(url, statement_seconds=LOOK_SECONDS)
    try:
        with database.transaction("BEGIN READ ONLY") as connection:
            return lag_seconds(connection)
    finally:
        database.close()


class StandbyBackend:
    """See `backend.Backend`: the standby of a URL, and the index itself where that is away or too far behind."""

    def __init__(self, url: str, open_index: Callable[[], Backend], most_seconds: float, seconds: float) -> None:
        """Connect to the server that answers.

        Args:
            url: the standby.
            open_index: opens the index itself; asked only when that is needed.
            most_seconds: up to which lag the standby is asked.
            seconds: how long a statement may take.

        Raises:
            ConfigError, IndexUnavailable, IndexTooNew: neither can be opened.
        """
        self._url = url
        self._open_index = open_index
        self._most = most_seconds
        self._seconds = seconds
        self._standby: PostgresqlBackend | None = None
        self._index: Backend | None = None
        self._in_trouble = False
        if self._trouble():
            self._index = open_index()

    @contextlib.contextmanager
    def reading(self, viewer: Viewer | None, seconds: float | None = None) -> Iterator[Reading]:
        """Give one moment of whichever is to be asked."""
        with self._asked(viewer, seconds) as reading:
            yield reading

    def close(self) -> None:
        """Close both."""
        for backend in (self._standby, self._index):
            if backend is not None:
                backend.close()

    def _asked(self, viewer: Viewer | None, seconds: float | None) -> AbstractContextManager[Reading]:
        why = self._trouble()
        if bool(why) != self._in_trouble:
            self._in_trouble = bool(why)
            asked = f"[index] url: the standby cannot be used, {why}" if why else "[index] search_url again"
            log.warning("searches ask %s", asked, extra={"action": "standby"})
        if not why and self._standby is not None:
            return self._standby.reading(viewer, seconds)
        if self._index is None:
            try:
                self._index = self._open_index()
            except IndexUnavailable as exc:
                raise IndexUnavailable(f"{exc}; and [index] search_url cannot be used, {why}") from exc
        return self._index.reading(viewer, seconds)

    def _trouble(self) -> str:
        """Return why the standby is not to be asked; empty: it is."""
        try:
            if self._standby is None:
                self._standby = PostgresqlBackend(self._url, self._seconds)
            with self._standby.connection() as connection:
                lag = lag_seconds(connection)
        except IndexUnavailable as exc:
            return str(exc)
        if lag is None:
            return NOT_FOLLOWING
        return "" if lag <= self._most else f"it is {lag:.0f} s behind, more than the {self._most:g} s allowed"
