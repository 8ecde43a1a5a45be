"""Addresses of feeds: a feed reader sends no token, so what it may read is in the address itself.

An address `/feed/ID_SECRET` opens one saved search of one user, to be read only; there is one at most for each. The
secret has 256 random bits, of which the store has a hash. It ends by itself as tokens do, when its user ends it or
makes a new one, with the saved search, and where the user's name has gone to somebody else.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from lustre_events.errors import NotAllowed
from lustre_events.index.visibility import Viewer
from lustre_events.web.login import same
from lustre_events.web.personal_tokens import DAY_NS, REMEMBER_USE_NS
from lustre_events.web.saved_searches import SavedSearches
from lustre_events.web.store import Store

_COLUMNS = "id, user, uid, name, made_ns, expires_ns, used_ns"
_NOTHING = "this address opens no feed, or no longer does; make a new one on the console's page of saved searches"


@dataclass(frozen=True, slots=True)
class FeedAddress:
    """The address of a user's saved search, without its secret."""

    id: str
    user: str
    uid: int
    name: str
    made_ns: int
    expires_ns: int
    used_ns: int | None


class FeedAddresses:
    """The addresses of a store. `days`: how long each opens something."""

    def __init__(self, store: Store, days: float, clock: Callable[[], int] = time.time_ns) -> None:
        self._store = store
        self._days = days
        self._clock = clock

    def make(self, user: str, name: str) -> str:
        """Return a new address of a saved search, which replaces the one before; it is shown once.

        Raises ConfigError: there is no such search, or no such user on this node.
        """
        SavedSearches(self._store, self._clock).one(user, name)
        uid, now = Viewer.of_login(user).uid, self._clock()
        number, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        with self._store.opened() as connection:
            connection.execute(
                f"INSERT OR REPLACE INTO feed ({_COLUMNS}, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                (number, user, uid, name, now, now + int(self._days * DAY_NS), None, _hash(secret)),
            )
        return f"/feed/{number}_{secret}"

    def known(self, text: str) -> FeedAddress:
        """Return what an address opens. Raises NotAllowed: nothing, for whatever reason."""
        number, _, secret = text.partition("_")
        now = self._clock()
        with self._store.opened() as connection:
            row = connection.execute(f"SELECT {_COLUMNS}, hash FROM feed WHERE id = ?", (number,)).fetchone()  # noqa: S608
            if row is None or not same(_hash(secret).hex(), row[-1].hex()):
                raise NotAllowed(_NOTHING)
            found = FeedAddress(*row[:-1])
            if now >= found.expires_ns:
                raise NotAllowed(_NOTHING)
            if found.used_ns is None or now - found.used_ns >= REMEMBER_USE_NS:
                connection.execute("UPDATE feed SET used_ns = ? WHERE id = ?", (now, number))
        return found

    def by_name(self, user: str) -> dict[str, FeedAddress]:
        """Return a user's addresses that open something, by the names of the searches."""
        with self._store.opened() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM feed WHERE user = ? AND expires_ns > ?",  # noqa: S608
                (user, self._clock()),
            ).fetchall()
        return {each.name: each for each in (FeedAddress(*row) for row in rows)}

    def end(self, user: str, name: str) -> bool:
        """Revoke the address of a saved search; return whether there was one."""
        with self._store.opened() as connection:
            ended = connection.execute("DELETE FROM feed WHERE user = ? AND name = ?", (user, name))
            return ended.rowcount > 0


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
