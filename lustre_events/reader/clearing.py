"""Clearing: telling the MDT which records the changelog user no longer needs.

A record cleared too early is lost, one never cleared fills the MDT. So: only what is safe by `clear_after`, in
order, never 0 (that means "everything", man llapi_changelog_clear), never below the mark, and the mark is
written before the MDT is told. The last clear is repeated now and then: that keeps a quiet user alive and is
the only way to learn that it is gone.

-ENOENT has two meanings: the user is gone, or it has cleared more already (Redis forgot the mark). So after every
opening the mark is cleared first: if that works, the user was there all the time and nothing was purged behind its
back. If not, the MDT is asked whether it knows the user, where it can tell; else the user is taken for gone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from lustre_events.config import ReaderSettings
from lustre_events.errors import ChangelogError, ChangelogRefused, ChangelogUnavailable, ChangelogUserUnknown
from lustre_events.reader.continuity import USER_GONE, Continuity, Gap
from lustre_events.sources.interface import Source
from lustre_events.streams.interface import ReaderStream, Tail

_log = logging.getLogger(__name__)
_HURRY_SECONDS = 0.2
_NEVER = float("-inf")


class Clearing:
    """The clearing of one reader. `cleared_index` is the last clear of this reader that the MDT took."""

    def __init__(
        self,
        source: Source,
        stream: ReaderStream,
        settings: ReaderSettings,
        clock: Callable[[], float],
        continuity: Continuity,
    ) -> None:
        self._source = source
        self._stream = stream
        self._settings = settings
        self._clock = clock
        self._continuity = continuity
        self.mark = 0
        self.safe_index = 0
        self.cleared_index = 0
        self.user_lost = False
        self._asked = False
        self._suspect: Gap | None = None
        self._lost: tuple[int, Gap] | None = None
        self._next_at = _NEVER
        self._cleared_at = _NEVER
        self._barred_until = _NEVER

    def resume(self, mark: int, suspect: Gap | None, epoch: int) -> None:
        """Begin at the mark; a suspected gap is a loss unless the MDT takes a clear there. Raises as `lose`."""
        self.mark = mark
        self.safe_index = self.cleared_index = 0
        self._next_at = self._cleared_at = self._barred_until = _NEVER
        self._asked = mark == 0
        self._suspect = suspect
        if suspect is not None and not (mark and self._settings.user):
            self._lose(epoch, suspect)  # nobody to ask

    def begin_index(self) -> None:
        """Forget the mark: the MDT's index has started again. Raises LeaseLost."""
        if self.mark or self._stream.mark():
            self._stream.set_mark(0)
        self.resume(0, None, 0)

    def done(self, tail: Tail) -> bool:
        """Whether nothing is left to clear."""
        return not self._settings.user or self.user_lost or max(self.mark, tail.last_index) == self.cleared_index

    def due(self) -> bool:
        """Whether it is time for `step`."""
        return bool(self._settings.user) and self._clock() >= self._next_at

    def step(self, tail: Tail, *, hurry: bool) -> None:
        """Clear what has become safe; `hurry`: the source has ended, so do not wait long for the next time.

        A refusal of the MDT is logged and tried again later; reading goes on. Raises LeaseLost,
        StreamUnavailable.
        """
        now = self._clock()
        self._next_at = now + (_HURRY_SECONDS if hurry else self._settings.clear_interval_seconds)
        self.safe_index = self._safe(tail)
        if now < self._barred_until:
            return
        if self.safe_index > self.mark and self._asked:
            self._stream.set_mark(self.safe_index)
            self.mark = self.safe_index
        repeat = now - self._cleared_at >= self._settings.keepalive_seconds
        if self.mark and (self.mark != self.cleared_index or repeat):
            self._clear(now, tail)

    def _safe(self, tail: Tail) -> int:
        if tail.epoch == 0:
            return 0
        safe = self._stream.committed() if self._settings.clear_after == "committed" else self._stream.stored()
        return min(safe, tail.last_index)

    def _clear(self, now: float, tail: Tail) -> None:
        mdt, user = self._source.mdt, self._settings.user
        extra = {"action": "clear", "mdt": mdt, "user": user, "index": self.mark}
        try:
            self._source.clear(user, self.mark)
        except ChangelogUserUnknown as exc:
            self._barred_until = now + self._settings.keepalive_seconds
            self._unknown(exc, tail)
        except ChangelogRefused as exc:
            self._barred_until = now + self._settings.keepalive_seconds
            _log.error("%s: clearing up to %d was refused: %s", mdt, self.mark, exc, extra=extra)
        except ChangelogUnavailable as exc:
            _log.warning("%s: clearing has to wait: %s", mdt, exc, extra=extra)
        else:
            if self.user_lost:
                _log.warning("%s: the changelog user %s is there again", mdt, user, extra=extra)
                self._found_again(tail)
            if not self._asked:
                self._next_at = _NEVER  # that was for asking: what is safe comes next
            self.user_lost, self._asked, self._suspect = False, True, None
            self.cleared_index, self._cleared_at = self.mark, now
            _log.info("cleared", extra=extra)

    def _unknown(self, why: ChangelogUserUnknown, tail: Tail) -> None:
        """Say that the user is gone, or, where the MDT still knows it, that it is ahead of the mark."""
        mdt, user = self._source.mdt, self._settings.user
        extra = {"action": "clear", "mdt": mdt, "user": user, "index": self.mark}
        known, self._asked = self._knows(user), True
        # With `committed` this user has cleared nothing that the index does not have.
        if self._suspect is not None and not (known and self._settings.clear_after == "committed"):
            self._lose(tail.epoch, self._suspect)
        self._suspect = None
        if known:
            _log.warning(
                "%s: the changelog user %s has cleared more than %d already, so Redis forgot the mark; "
                "clearing goes on above it", mdt, user, self.mark, extra=extra,
            )  # fmt: skip
            return
        if not self.user_lost:
            self._lost = (tail.epoch, Gap((self.cleared_index or self.mark) + 1, 0, USER_GONE))
            self._lose(*self._lost)
        self.user_lost = True
        _log.error(
            "%s: the changelog user %s is gone (%s), so records may be missing from now on; on the MDS run: "
            "lctl --device %s changelog_register, put the user that it prints into [reader] user, restart",
            mdt, user, why, mdt, extra=extra,
        )  # fmt: skip

    def _knows(self, user: str) -> bool:
        try:
            return self._source.knows(user) is True
        except ChangelogError:
            return False

    def _found_again(self, tail: Tail) -> None:
        """Say until where records may be missing."""
        if self._lost is not None:
            epoch, gap = self._lost
            if epoch == tail.epoch:
                self._lose(epoch, Gap(gap.first_index, tail.last_index, gap.reason))
            self._lost = None

    def _lose(self, epoch: int, gap: Gap) -> None:
        self._continuity.lose(epoch, gap)
