"""How many requests of one user are answered at the same time: half of what the console can, so that others go on.

A request has its turn before it is known who asks. Once that is known it counts among the user's, until it is
answered: whoever has as many already is refused at once, and its turn is free for others.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import MutableMapping
from typing import Any

from lustre_events.errors import TooOften

_KEY = "lustre_events.turn"
AGAIN_SECONDS = 2
"""When to ask again."""


class UserTurns:
    """Counts the requests at work by their users. `turns`: how many are answered at the same time."""

    def __init__(self, turns: int) -> None:
        self.most = max(1, turns // 2)
        self._lock = threading.Lock()
        self._at_work: Counter[int] = Counter()

    def take(self, uid: int) -> None:
        """Count one more of a user's. Raises TooOften: there are as many as one may have."""
        with self._lock:
            if self._at_work[uid] >= self.most:
                raise TooOften(
                    f"{self.most} of your requests are being answered, the most of one user at the same time; "
                    "ask again when one of them is done"
                )
            self._at_work[uid] += 1

    def give_back(self, uid: int) -> None:
        """Count one less of a user's."""
        with self._lock:
            self._at_work[uid] -= 1
            if not self._at_work[uid]:
                del self._at_work[uid]


class UserTurn:
    """The turn of one request, which is nobody's until it is known who asks."""

    def __init__(self, turns: UserTurns, environ: MutableMapping[str, Any]) -> None:
        self._turns = turns
        self._uid: int | None = None
        environ[_KEY] = self

    def take(self, uid: int) -> None:
        """Make it a user's, if it is nobody's yet. Raises TooOften."""
        if self._uid is None:
            self._turns.take(uid)
            self._uid = uid

    @property
    def uid(self) -> int | None:
        """Whose it is; None: nobody's."""
        return self._uid

    def end(self) -> None:
        """Note that the request is answered."""
        if self._uid is not None:
            self._turns.give_back(self._uid)
            self._uid = None


def take(environ: MutableMapping[str, Any], uid: int) -> None:
    """Count a request among those of a user, where it has a turn. Raises TooOften."""
    turn = environ.get(_KEY)
    if isinstance(turn, UserTurn):
        turn.take(uid)
