"""Fair shares of a queue: owners of files take turns, however many files one of them has.

Rows are looked at with the longest due first. Behind a million rows of one owner nobody else's would be seen; so
where a lane has more rows than a look takes, some rows of each further owner are looked at too. No owner has more
than half of a queue's places, and of the jobs that are ready those go first whose owner has the fewest waiting.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeVar

from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.pending import PendingRow
from lustre_events.index.interface import Lane

OWNERS = 50
"""Most owners that are looked at in one step, per lane; the others follow in the next ones."""

T = TypeVar("T")

ANY_OWNER = -1
"""The owner of a job whose files `stat` has not seen yet."""
NO_OWNER = -2
"""What is built in: it works for all."""

_HALF = 2
_FEW = 2
"""Places that an owner may have even in the shortest queue."""


class Shares:
    """Remembers whose jobs wait in which queue, and which owner's turn it is in lanes that are deep.

    Args:
        files: the most rows of one owner in one look.
    """

    def __init__(self, files: int) -> None:
        self._files = files
        self._owners: dict[str, dict[str, int]] = defaultdict(dict)
        self._reached: dict[Lane, int] = {}

    def jobs(self, queue: str) -> list[str]:
        """Return the jobs that were given to a queue, as far as it is known that they wait there."""
        return [*self._owners[queue]]

    def wait(self, queue: str, alive: Iterable[str]) -> None:
        """Learn which of these jobs still wait."""
        owners = self._owners[queue]
        self._owners[queue] = {job: owners[job] for job in alive if job in owners}

    def given(self, queue: str, job: str, owner: int) -> None:
        """Count a job that goes out."""
        self._owners[queue][job] = owner

    def has_none(self, queue: str, owner: int) -> bool:
        """Whether no job of an owner, who is known, waits in a queue."""
        return owner > ANY_OWNER and owner not in self._owners[queue].values()

    def deep(self, lane: Lane, *, deep: bool) -> None:
        """Learn whether a lane has more rows than a look has taken."""
        if deep:
            self._reached.setdefault(lane, ANY_OWNER)
        else:
            self._reached.pop(lane, None)

    def is_deep(self, lane: Lane) -> bool:
        """Whether a lane had more rows than a look has taken."""
        return lane in self._reached

    def rows(self, turn: Turn, lane: Lane, extractors: Sequence[str], limit: int) -> list[PendingRow]:
        """Return due rows of a deep lane's owners, some of each, about `limit` in all."""
        after = self._reached.get(lane)
        if after is None:
            return []
        shares = turn.transaction.owners(lane, extractors, after, OWNERS)
        owners = sorted({share.owner for share in shares})[:OWNERS]
        self._reached[lane] = owners[-1] if len(owners) == OWNERS else ANY_OWNER
        asked = [share for share in shares if share.owner in set(owners)]
        each = min(self._files, max(1, limit // max(1, len(asked))))
        return turn.transaction.due_of(lane, asked, turn.now_ns, each)

    def in_turn(self, queue: str, places: int, ready: Sequence[T], owners: Sequence[int]) -> list[T]:
        """Return what is ready to go into a queue as owners take turns, without what is beyond an owner's half."""
        most = max(places // _HALF, _FEW)
        held = Counter(self._owners[queue].values())
        found: list[tuple[int, int]] = []
        for number, owner in enumerate(owners):
            if owner == NO_OWNER:
                found.append((0, number))
            elif held[owner] < most:
                found.append((held[owner], number))
                held[owner] += 1
        return [ready[number] for _, number in sorted(found)]
