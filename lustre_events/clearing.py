"""Clearing: telling the MDT which records the changelog user no longer needs.

A record cleared too early is lost, one never cleared fills the MDT. So: only what is safe by `clear_after`, in
order, never 0 (that means "everything", man llapi_changelog_clear), never below the mark, and the mark is
written before the MDT is told. The last clear is repeated now and then: that keeps a quiet user alive and is
the only way to learn that it is gone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from lustre_events.config import ReaderSettings
from lustre_events.errors import ChangelogRefused, ChangelogUnavailable, ChangelogUserUnknown
from lustre_events.sources.interface import Source
from lustre_events.streams.interface import ReaderStream, Tail

_log = logging.getLogger(__name__)
_HURRY_SECONDS = 0.2
_NEVER = float("-inf")


class Clearing:
    """The clearing of one reader. `cleared_index` is the last clear of this reader that the MDT took."""

    def __init__(
        self, source: Source, stream: ReaderStream, settings: ReaderSettings, clock: Callable[[], float]
    ) -> None:
        self._source = source
        self._stream = stream
        self._settings = settings
        self._clock = clock
        self.mark = 0
        self.safe_index = 0
        self.cleared_index = 0
        self.user_lost = False
        self._next_at = _NEVER
        self._cleared_at = _NEVER
        self._barred_until = _NEVER

    def resume(self) -> int:
        """Read the mark, as every reader does when it begins, and return it."""
        self.mark = self._stream.mark()
        self.safe_index = self.cleared_index = 0
        self._next_at = self._cleared_at = self._barred_until = _NEVER
        return self.mark

    def begin_epoch(self, first_index: int) -> None:
        """Forget the mark where the MDT's index has started again below it. Raises LeaseLost."""
        self.safe_index = 0
        if first_index <= self.mark:
            self._stream.set_mark(0)
            self.mark = self.cleared_index = 0

    def done(self, tail: Tail) -> bool:
        """Whether nothing is left to clear."""
        return not self._settings.user or self.user_lost or max(self.mark, tail.last_index) == self.cleared_index

    def step(self, tail: Tail, *, hurry: bool) -> None:
        """Clear what has become safe, if it is time to; `hurry`: the source has ended, so do not wait long.

        A refusal of the MDT is logged and tried again later; reading goes on. Raises LeaseLost,
        StreamUnavailable.
        """
        now = self._clock()
        if not self._settings.user or now < self._next_at:
            return
        self._next_at = now + (_HURRY_SECONDS if hurry else self._settings.clear_interval_seconds)
        self.safe_index = self._safe(tail)
        if now < self._barred_until:
            return
        if self.safe_index > self.mark:
            self._stream.set_mark(self.safe_index)
            self.mark = self.safe_index
        repeat = now - self._cleared_at >= self._settings.keepalive_seconds
        if self.mark and (self.mark != self.cleared_index or repeat):
            self._clear(now)

    def _safe(self, tail: Tail) -> int:
        if tail.epoch == 0:
            return 0
        safe = self._stream.committed() if self._settings.clear_after == "committed" else self._stream.stored()
        return min(safe, tail.last_index)

    def _clear(self, now: float) -> None:
        mdt, user = self._source.mdt, self._settings.user
        extra = {"action": "clear", "mdt": mdt, "user": user, "index": self.mark}
        try:
            self._source.clear(user, self.mark)
        except ChangelogUserUnknown as exc:
            self.user_lost = True
            self._barred_until = now + self._settings.keepalive_seconds
            _log.error(
                "%s: the changelog user %s is gone (%s), so records may be missing from now on; on the MDS run: "
                "lctl --device %s changelog_register, put the user that it prints into [reader] user, restart",
                mdt, user, exc, mdt, extra=extra,
            )  # fmt: skip
        except ChangelogRefused as exc:
            self._barred_until = now + self._settings.keepalive_seconds
            _log.error("%s: clearing up to %d was refused: %s", mdt, self.mark, exc, extra=extra)
        except ChangelogUnavailable as exc:
            _log.warning("%s: clearing has to wait: %s", mdt, exc, extra=extra)
        else:
            if self.user_lost:
                _log.warning("%s: the changelog user %s is there again", mdt, user, extra=extra)
            self.user_lost = False
            self.cleared_index, self._cleared_at = self.mark, now
            _log.info("cleared", extra=extra)
