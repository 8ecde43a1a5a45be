"""Personal tokens: who asks without a browser. The store has only their hashes.

A token is `le_ID_SECRET`. The secret has 256 random bits, so a plain hash of it cannot be guessed back. A token
belongs to a user's name and uid: where the name has gone to somebody else, it opens nothing.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from lustre_events.errors import ConfigError, NotAllowed
from lustre_events.index.visibility import Viewer
from lustre_events.web.login import same
from lustre_events.web.store import Store

SCOPES = {"read": "search and look", "act": "retry, reprocess, and keep searches"}
MOST_OF_A_USER = 50
"""Tokens that open something; more would be forgotten by their owner."""
LONGEST_LABEL = 100
DAY_NS = 86_400 * 10**9
REMEMBER_USE_NS = 600 * 10**9
"""How often the use of a token is written down at most."""
KEPT_NS = 90 * DAY_NS
"""How long a token that no longer works is still shown; of a user's the newest MOST_OF_A_USER."""

_COLUMNS = "id, user, uid, label, scopes, made_ns, expires_ns, used_ns, per_minute, revoked_ns"


@dataclass(frozen=True, slots=True)
class PersonalToken:
    """A token without its secret. `per_minute` 0: the site's limit."""

    id: str
    user: str
    uid: int
    label: str
    scopes: frozenset[str]
    made_ns: int
    expires_ns: int
    used_ns: int | None
    per_minute: int
    revoked_ns: int | None

    def open_at(self, now_ns: int) -> bool:
        """Return whether it opens anything at a given time."""
        return self.revoked_ns is None and now_ns < self.expires_ns


class Tokens:
    """The tokens of a store.

    Args:
        store: where they are.
        most_days: the longest life of a token.
        clock: ns since the epoch.
    """

    def __init__(self, store: Store, most_days: float, clock: Callable[[], int] = time.time_ns) -> None:
        self._store = store
        self._most_days = most_days
        self._clock = clock

    def create(
        self,
        user: str,
        label: str = "",
        *,
        scopes: Collection[str] = ("read",),
        days: float = 0,
        per_minute: int = 0,
    ) -> tuple[str, PersonalToken]:
        """Make a token of a user of this machine; return its secret, which is stored nowhere, and what is kept.

        `days` 0: as long as the site allows.

        Raises:
            ConfigError: no such user or scope, too long a life, or too many tokens.
        """
        viewer, now = Viewer.of_login(user), self._clock()
        life = days or self._most_days
        _check(label, scopes, life, self._most_days)
        secret = secrets.token_urlsafe(32)
        made = PersonalToken(
            secrets.token_hex(6), user, viewer.uid, label, frozenset(scopes), now, now + int(life * DAY_NS), None,
            per_minute, None,
        )  # fmt: skip
        with self._store.opened() as connection:
            over = "expires_ns < :old OR revoked_ns < :old"
            connection.execute(f"DELETE FROM token WHERE {over}", {"old": now - KEPT_NS})  # noqa: S608
            open_ones = [each for each in _of(connection, user) if each.open_at(now)]
            closed = [each.id for each in _of(connection, user) if not each.open_at(now)]
            connection.executemany("DELETE FROM token WHERE id = ?", [(each,) for each in closed[MOST_OF_A_USER:]])
            if len(open_ones) >= MOST_OF_A_USER:
                raise ConfigError(
                    f"{user} has {MOST_OF_A_USER} tokens, the most allowed; revoke one that is no longer needed"
                )
            connection.execute(
                f"INSERT INTO token ({_COLUMNS}, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                (made.id, user, made.uid, label, " ".join(sorted(made.scopes)), made.made_ns, made.expires_ns, None,
                 per_minute, None, _hash(secret)),
            )  # fmt: skip
        return f"le_{made.id}_{secret}", made

    def known(self, text: str) -> PersonalToken:
        """Return the token that somebody shows. Raises NotAllowed: it opens nothing, for whatever reason."""
        _, _, rest = text.partition("le_")
        number, _, secret = rest.partition("_")
        now = self._clock()
        with self._store.opened() as connection:
            row = connection.execute(f"SELECT {_COLUMNS}, hash FROM token WHERE id = ?", (number,)).fetchone()  # noqa: S608
            if row is None or not same(_hash(secret).hex(), row[-1].hex()):
                raise NotAllowed("this token is not known here; make one with: lustre-events token create")
            found = _token(row[:-1])
            if found.revoked_ns is not None:
                raise NotAllowed("this token was revoked; make one with: lustre-events token create")
            if now >= found.expires_ns:
                raise NotAllowed("this token has expired; make one with: lustre-events token create")
            if found.used_ns is None or now - found.used_ns >= REMEMBER_USE_NS:
                connection.execute("UPDATE token SET used_ns = ? WHERE id = ?", (now, found.id))
        return found

    def now_ns(self) -> int:
        """Return the time by which tokens end."""
        return self._clock()

    def list(self, user: str | None) -> list[PersonalToken]:
        """Return the tokens of a user (None: of all), the newest first."""
        with self._store.opened() as connection:
            return _of(connection, user)

    def revoke(self, number: str, user: str | None) -> PersonalToken:
        """End a token of a user (None: of anybody) for ever. Raises ConfigError: there is no such token."""
        with self._store.opened() as connection:
            found = next((each for each in _of(connection, user) if each.id == number), None)
            if found is None:
                raise ConfigError(f"there is no token {number!r}; see: lustre-events token list")
            if found.revoked_ns is None:
                connection.execute("UPDATE token SET revoked_ns = ? WHERE id = ?", (self._clock(), number))
        return found


def _check(label: str, scopes: Collection[str], life: float, most: float) -> None:
    unknown = sorted(set(scopes) - SCOPES.keys())
    if unknown or not scopes:
        raise ConfigError(f"a token is for {' or '.join(SCOPES)}, not for {', '.join(unknown) or 'nothing'}")
    if not 0 < life <= most:
        raise ConfigError(f"a token is valid for at most {most:g} days here ([web] token_days)")
    if len(label) > LONGEST_LABEL or not label.isprintable():
        raise ConfigError(f"a label is one line of at most {LONGEST_LABEL} characters")


def _of(connection: sqlite3.Connection, user: str | None) -> list[PersonalToken]:
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM token WHERE :user IS NULL OR user = :user ORDER BY made_ns DESC, id",  # noqa: S608
        {"user": user},
    )
    return [_token(row) for row in rows]


def _token(row: tuple[str, str, int, str, str, int, int, int | None, int, int | None]) -> PersonalToken:
    number, user, uid, label, scopes, made_ns, expires_ns, used_ns, per_minute, revoked_ns = row
    return PersonalToken(
        number, user, uid, label, frozenset(scopes.split()), made_ns, expires_ns, used_ns, per_minute, revoked_ns
    )


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
