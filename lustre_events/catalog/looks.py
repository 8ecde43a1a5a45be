"""Looks at files and folders of users, each with an end: one whose file system never answers costs its user only.

Whoever asks such a file system (one of FUSE, say) waits in the kernel, where no signal but the end of the process
reaches. So a thread looks at one place after the other. Where a place takes too long the thread is left behind, and
another one goes on with the next place. That place is not asked again for some time, nor while a thread still waits
there. Where several do not answer, the others come next time: the dispatcher has more to do than to wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Generic, NoReturn, TypeVar

from lustre_events.errors import ManifestError

LOOK_SECONDS = 2.0
"""How long one look may take."""
AGAIN_SECONDS = 60.0
"""When to ask again whoever did not answer, at the earliest."""
MOST_HANGING = 2
"""Places that are waited for in one round; the others come in the next."""

T = TypeVar("T")
Look = Callable[[], T]


class Unanswered(ManifestError):
    """A look at a user's file or folder did not come to its end."""


class Looks:
    """Remembers which places do not answer, and does not ask them at once again. For one thread.

    Args:
        seconds: how long one look may take.
        clock: seconds, from any time on.
    """

    def __init__(self, seconds: float = LOOK_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._hanging: dict[Path, tuple[threading.Thread, float]] = {}
        self._waits = 0
        self.left_some = False
        """Whether places of this round are for the next one."""

    def begin(self) -> None:
        """Begin a round, in which a few places are waited for."""
        self._waits, self.left_some = 0, False

    def each(self, looks: Mapping[Path, Look[T]]) -> Iterator[tuple[Path, Look[T]]]:
        """Yield each place with what gives the outcome of its look: it returns, or raises, as the look did.

        It raises Unanswered where that did not end in time, now or shortly before, or could not begin.
        """
        asked = {place: look for place, look in looks.items() if self._may_ask(place)}
        for place in looks.keys() - asked.keys():
            yield place, partial(self._refuse, place)
        while asked and self._waits < MOST_HANGING:
            tour = _Tour(asked, self._seconds, self._clock)
            for place, outcome in tour.outcomes():
                del asked[place]
                yield place, outcome
            if asked:
                hanging = next(iter(asked))
                del asked[hanging]
                self._waits += 1
                self._hanging[hanging] = tour.thread, self._clock() + AGAIN_SECONDS
                yield hanging, partial(self._refuse, hanging)
        for place in asked:
            self.left_some = True
            yield place, partial(_put_off, place)

    def at(self, place: Path, look: Look[T]) -> T:
        """Return what one look gives, in a round of its own. Raises Unanswered, and whatever the look raises."""
        self.begin()
        return self.one(place, look)

    def one(self, place: Path, look: Look[T]) -> T:
        """Return what one look of a round gives. Raises Unanswered, and whatever the look raises."""
        return next(outcome for _, outcome in self.each({place: look}))()

    def _may_ask(self, place: Path) -> bool:
        thread, again = self._hanging.get(place, (None, 0.0))
        if thread is None:
            return True
        if thread.is_alive() or self._clock() < again:
            return False
        del self._hanging[place]
        return True

    def _refuse(self, place: Path) -> NoReturn:
        raise Unanswered(
            f"{place}: did not answer within {self._seconds:g} s, so what it holds now is not known here; its user"
            " has to see to its file system"
        )


def _put_off(place: Path) -> NoReturn:
    raise Unanswered(f"{place}: is looked at next time, since others did not answer")


class _Tour(Generic[T]):
    """Looks at places in a thread of its own, one after the other, until one takes too long."""

    def __init__(self, looks: Mapping[Path, Look[T]], seconds: float, clock: Callable[[], float]) -> None:
        self._looks = list(looks.items())
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._ended = False
        self._begun = clock()
        self._found: list[tuple[Path, Look[T]]] = []
        self.thread = threading.Thread(target=self._run, daemon=True, name="look")

    def outcomes(self) -> list[tuple[Path, Look[T]]]:
        """Return the outcomes: of all places, or of those before the one that takes too long."""
        self.thread.start()
        while not self._done.wait(max(0.0, self._left())):
            with self._lock:
                if self._left() <= 0:
                    self._ended = True
                    break
        return self._found

    def _left(self) -> float:
        return self._begun + self._seconds - self._clock()

    def _run(self) -> None:
        for place, look in self._looks:
            outcome = _outcome(look)
            with self._lock:
                if self._ended:
                    return
                self._found.append((place, outcome))
                self._begun = self._clock()
        self._done.set()


def _outcome(look: Look[T]) -> Look[T]:
    try:
        found = look()
    except Exception as exc:  # noqa: BLE001 - it is raised where the outcome is asked for
        return partial(_raise, exc)
    return partial(_return, found)


def _return(found: T) -> T:
    return found


def _raise(error: Exception) -> NoReturn:
    raise error
