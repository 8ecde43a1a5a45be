"""Searches that users keep under a name, in the console's store: the same in every browser and over the API."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from lustre_events.errors import ConfigError
from lustre_events.index.query.parser import parse
from lustre_events.index.values import clean
from lustre_events.web.store import Store

MOST_OF_A_USER = 200
LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class SavedSearch:
    """A query under a name of its owner's. `sort` empty: any order."""

    name: str
    query: str
    sort: str
    made_ns: int


class SavedSearches:
    """The saved searches of a store; each user's are that user's alone."""

    def __init__(self, store: Store, clock: Callable[[], int] = time.time_ns) -> None:
        self._store = store
        self._clock = clock

    def list(self, user: str) -> list[SavedSearch]:
        """Return a user's searches, by name."""
        with self._store.opened() as connection:
            rows = connection.execute(
                "SELECT name, query, sort, made_ns FROM saved WHERE user = ? ORDER BY name", (user,)
            ).fetchall()
        return [SavedSearch(*row) for row in rows]

    def one(self, user: str, name: str) -> SavedSearch:
        """Return a search of a user's. Raises ConfigError: there is none of that name."""
        found = next((each for each in self.list(user) if each.name == name), None)
        if found is None:
            raise ConfigError(f"there is no saved search {name!r}")
        return found

    def save(self, user: str, name: str, query: str, sort: str = "") -> SavedSearch:
        """Keep a search, in the place of one of that name.

        Raises:
            ConfigError: the name is empty or too long, or there are too many.
            QueryError: the query is wrong.
        """
        if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            raise ConfigError(f"the name of a search is one line of 1 to {LONGEST_NAME} characters")
        now = self._clock()
        parse(query, now_ns=now)
        if query != clean(query) or len(sort) > LONGEST_NAME or sort != clean(sort):
            raise ConfigError("a saved search is text in UTF-8; write a name of other bytes with * and ?")
        with self._store.opened() as connection:
            (others,) = connection.execute(
                "SELECT count(*) FROM saved WHERE user = ? AND name <> ?", (user, name)
            ).fetchone()
            if others >= MOST_OF_A_USER:
                raise ConfigError(f"{user} has {MOST_OF_A_USER} saved searches, the most allowed; forget one first")
            connection.execute(
                "INSERT OR REPLACE INTO saved VALUES (?, ?, ?, ?, ?)", (user, name, query, sort, now)
            )
        return SavedSearch(name, query, sort, now)

    def forget(self, user: str, name: str) -> None:
        """Forget a search, and the address of its feed. Raises ConfigError: there is none of that name."""
        with self._store.opened() as connection:
            gone = connection.execute("DELETE FROM saved WHERE user = ? AND name = ?", (user, name)).rowcount
            connection.execute("DELETE FROM feed WHERE user = ? AND name = ?", (user, name))
        if not gone:
            raise ConfigError(f"there is no saved search {name!r}")
