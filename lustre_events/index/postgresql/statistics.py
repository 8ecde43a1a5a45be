"""Statistics of an index that grows quickly.

Without them PostgreSQL plans as for empty tables, and a search that takes milliseconds takes minutes. Its own
autovacuum comes a minute later, or not at all where that is off.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from psycopg import sql

from lustre_events.errors import IndexUnavailable
from lustre_events.index.postgresql.database import Database

log = logging.getLogger(__name__)

CHECK_SECONDS = 5.0
LEAST_BYTES = 256 << 10
"""A smaller table is quickly read as a whole."""
_LOCK_MS, _STATEMENT_MS = 500, 60_000
_GROWN = """
    SELECT relname, pg_relation_size(pg_class.oid) AS size FROM pg_class
    WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
    AND pg_has_role(relowner, 'USAGE') AND pg_relation_size(pg_class.oid) >= %s
    AND (pg_relation_size(pg_class.oid) > 2 * relpages::bigint * current_setting('block_size')::bigint
        OR NOT EXISTS (SELECT 1 FROM pg_stats WHERE schemaname = current_schema() AND tablename = relname))
"""
"""Tables of ours without statistics, or more than twice as large as when they were last looked at."""


class Statistics:
    """Keeps them, between the writer's transactions."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take a clock, in seconds from any beginning."""
        self._clock = clock
        self._at = float("-inf")
        self._tried: dict[str, int] = {}

    def follow(self, database: Database) -> None:
        """Analyse tables that have grown; looks every CHECK_SECONDS. What goes wrong is logged, and tried again."""
        if self._clock() - self._at < CHECK_SECONDS:
            return
        self._at = self._clock()
        try:
            with database.errors():
                found = database.connection.execute(_GROWN, (LEAST_BYTES,)).fetchall()
            for table, size in found:
                # Once for each size: where nothing comes of it, e.g. for a lock, the writer does not stand still.
                if size >= 2 * self._tried.get(table, 0):
                    self._analyse(database, table)
                    self._tried[table] = size
        except IndexUnavailable as exc:
            log.warning("%s: its statistics stay old: %s", database.name, exc, extra={"action": "analyse"})

    @staticmethod
    def _analyse(database: Database, table: str) -> None:
        with database.transaction() as connection:
            connection.execute(f"SET LOCAL lock_timeout = {_LOCK_MS}")
            connection.execute(f"SET LOCAL statement_timeout = {_STATEMENT_MS}")
            connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))
