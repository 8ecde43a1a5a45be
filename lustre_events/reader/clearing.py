"""Clearing: telling the MDT which records the changelog user no longer needs.

A record cleared too early is lost, one never cleared fills the MDT. So: only what is safe by `clear_after`, in
order, never 0 (that means "everything", man llapi_changelog_clear), never below the mark, and the mark is
written before the MDT is told. The last clear is repeated now and then: that keeps a quiet user alive and is
the only way to learn that it is gone.

-ENOENT has two meanings: the user is gone, or it has cleared more already (Redis forgot the mark). So after every
opening the mark is cleared first: if that works, the user was there all the time and nothing was purged behind its
back. If not, the MDT is asked whether it knows the user, where it can tell; else the user is taken for gone.

That holds for an id for which a clear has worked on this MDT (Redis keeps it beside the mark). An id that the MDT
never took is a wrong setting: it is said, and no loss is marked. Where another id takes over, what came after the
last clear for the old one may be missing, unless the old one is still registered.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from lustre_events.changelog.users import OwnUser, example, number, short
from lustre_events.config.settings import ReaderSettings
from lustre_events.errors import (
    ChangelogError,
    ChangelogRefused,
    ChangelogUnavailable,
    ChangelogUserUnknown,
    ConfigError,
)
from lustre_events.reader.continuity import USER_GONE, Continuity, Gap
from lustre_events.sources.interface import Source
from lustre_events.streams.interface import ReaderStream, Tail

_log = logging.getLogger(__name__)
_HURRY_SECONDS = 0.2
_NEVER = float("-inf")


@dataclass(slots=True)
class _Times:
    """When the next step is due, when the MDT accepted the last clear, and until when it is not asked again."""

    next_at: float = _NEVER
    cleared_at: float = _NEVER
    barred_until: float = _NEVER


class _ClearedFor:
    """The id for which the MDT has accepted a clear, and up to where, as it is kept in Redis; "": none."""

    def __init__(self, stream: ReaderStream) -> None:
        self._stream = stream
        self._kept = ""
        self.user = ""
        self.index = 0

    def load(self, mark: int) -> None:
        """Read what is kept; where that has no index, it is the mark. This process knows what Redis lost."""
        self._kept = self._stream.cleared_for()
        user, _, index = self._kept.partition(" ")
        self.user = user or self.user
        self.index = int(index or mark)

    def keep(self, user: str) -> None:
        """Keep that the MDT accepted a clear for this user, up to its present mark."""
        self.user = user
        self._write(user)

    def keep_index(self) -> None:
        """Keep the index too: the mark may advance without a clear."""
        self._write(f"{self.user} {self.index}")

    def forget(self) -> None:
        """Keep nothing."""
        self.user = ""
        self._write("")

    def _write(self, text: str) -> None:
        if self._kept != text:
            self._stream.set_cleared_for(text)
            self._kept = text

    def is_for(self, user: str) -> bool:
        """Whether the MDT has accepted a clear for that id."""
        return bool(self.user) and number(self.user) == number(user)


class Clearing:
    """The clearing of one reader. `cleared_index` is the last clear of this reader that the MDT accepted.

    `user` is the id, its name while it is looked for, "" where nothing is cleared. `own_user` looks for it.

    Each answer of the MDT touches three things at once: how far is cleared (`mark`, `safe_index`, `cleared_index`),
    whose id it is (`user`, `_stale`, and `_taken`, for which the MDT has taken a clear), and what may be lost
    (`user_lost`, `_asked`, `_suspect`, `_lost`). Each method is one step of that; `_times` says when one is due.
    """

    def __init__(
        self,
        source: Source,
        stream: ReaderStream,
        settings: ReaderSettings,
        clock: Callable[[], float],
        continuity: Continuity,
        *,
        own_user: OwnUser | None,
    ) -> None:
        self._source = source
        self._stream = stream
        self._settings = settings
        self._clock = clock
        self._continuity = continuity
        self._own_user = own_user
        self.user = settings.user
        self._stale = own_user is not None and not number(self.user)
        self._taken = _ClearedFor(stream)
        self.mark = 0
        self.safe_index = 0
        self.cleared_index = 0
        self.user_lost = False
        self._asked = False
        self._suspect: Gap | None = None
        self._lost: tuple[int, Gap] | None = None
        self._times = _Times()

    def resume(self, mark: int, suspect: Gap | None, epoch: int) -> None:
        """Begin at the mark; a suspected gap is a loss unless the MDT takes a clear there. Raises as `lose`."""
        self.mark = mark
        self.safe_index = self.cleared_index = 0
        self._times = _Times()
        self._asked = mark == 0
        self._suspect = suspect
        self._taken.load(mark)
        if suspect is not None and not (mark and self.user):
            self._lose(epoch, suspect)  # nobody to ask

    def begin_index(self) -> None:
        """Forget the mark: the MDT's index has started again. Raises LeaseLost."""
        if self.mark or self._stream.mark():
            self._stream.set_mark(0)
        self._taken.forget()
        self._stale = self._own_user is not None  # ids begin anew, too
        self.resume(0, None, 0)

    def done(self, tail: Tail) -> bool:
        """Whether nothing is left to clear."""
        return not self.user or self.user_lost or max(self.mark, tail.last_index) == self.cleared_index

    def due(self) -> bool:
        """Whether it is time for `step`."""
        return bool(self.user) and self._clock() >= self._times.next_at

    def step(self, tail: Tail, *, hurry: bool) -> None:
        """Clear what has become safe; `hurry`: the source has ended, so do not wait long for the next time.

        A refusal of the MDT is logged and tried again later; reading goes on. Raises LeaseLost,
        StreamUnavailable.
        """
        now = self._clock()
        self._times.next_at = now + (_HURRY_SECONDS if hurry else self._settings.clear_interval_seconds)
        self.safe_index = self._safe(tail)
        if now < self._times.barred_until or (self._stale and not self._found(now, tail)):
            return
        if self.safe_index > self.mark and self._asked:
            self._stream.set_mark(self.safe_index)
            self.mark = self.safe_index
        repeat = now - self._times.cleared_at >= self._settings.keepalive_seconds
        if self.mark and (self.mark != self.cleared_index or repeat):
            self._clear(now, tail)

    def _safe(self, tail: Tail) -> int:
        if tail.epoch == 0:
            return 0
        safe = self._stream.committed() if self._settings.clear_after == "committed" else self._stream.stored()
        return min(safe, tail.last_index)

    def _clear(self, now: float, tail: Tail) -> None:
        mdt, user = self._source.mdt, self.user
        try:
            self._source.clear(short(user), self.mark)
        except ChangelogUserUnknown as exc:
            self._times.barred_until = now + self._settings.keepalive_seconds
            self._unknown(exc, tail)
        except ChangelogRefused as exc:
            self._times.barred_until = now + self._settings.keepalive_seconds
            _log.error("%s: clearing up to %d was refused: %s", mdt, self.mark, exc, extra=self._extra())
        except ChangelogUnavailable as exc:
            _log.warning("%s: clearing has to wait: %s", mdt, exc, extra=self._extra())
        else:
            if self.user_lost:
                _log.warning("%s: the changelog user %s is registered again", mdt, user, extra=self._extra())
            if not self._asked:
                self._times.next_at = _NEVER  # that was for asking: what is safe comes next
            self._confirm(tail)
            self._end_loss(tail)
            self.user_lost, self._asked, self._suspect = False, True, None
            self.cleared_index, self._times.cleared_at = self.mark, now
            self._taken.index = self.mark
            _log.info("%s: cleared up to %d for %s", self._source.mdt, self.mark, self.user, extra=self._extra())

    def _unknown(self, why: ChangelogUserUnknown, tail: Tail) -> None:
        """Report that the user is gone, is not ours, or, where the MDT knows it, that it is ahead of the mark."""
        known, self._asked = self._knows(self.user), True
        took = self._taken.is_for(self.user)
        # With `committed` this user has cleared nothing that the index does not have.
        legal = known and (took and self._settings.clear_after == "committed")
        if self._suspect is not None and not legal and not (known and self._taken.user and not took):
            self._lose(tail.epoch, self._suspect)
            self._suspect = None
        if known:
            _log.warning(
                "%s: the changelog user %s has cleared more than %d already, so Redis forgot the mark or it was "
                "registered later; clearing goes on above it",
                self._source.mdt, self.user, self.mark, extra=self._extra(),
            )  # fmt: skip
            self._confirm(tail)
        elif took:
            self._gone(str(why), tail)
        else:
            self._not_ours()
        self._suspect = None
        if not known and self._own_user is not None:
            self._stale = True  # it may have been registered again, with another id

    def _gone(self, why: str, tail: Tail) -> None:
        """Report that records may be missing: the MDT accepted clears of this user, but has forgotten it."""
        mdt = self._source.mdt
        if not self.user_lost or self._lost is None:
            self._lost = (tail.epoch, Gap(self._taken.index + 1, 0, USER_GONE))
            self._lose(*self._lost)
        self.user_lost = True
        self._taken.keep_index()
        _log.error(
            "%s: the changelog user %s is gone (%s), so records may be missing from now on; "
            "run: lustre-events changelog register --mdt %s, and do what it says",
            mdt, self._taken.user, why, mdt, extra=self._extra(),
        )  # fmt: skip

    def _not_ours(self) -> None:
        """Report that the setting is wrong: the MDT never accepted a clear for this id, so no loss is known."""
        mdt = self._source.mdt
        self.user_lost = True
        if self._taken.user:
            self._taken.keep_index()
        _log.error(
            "%s: the settings name the changelog user %s, which this MDT does not know (or it has cleared more "
            "than %d already), so nothing is cleared here; ids differ from MDT to MDT: look with lustre-events "
            "changelog users --mdt %s, register one where none is ours, write %s, and restart the reader",
            mdt, self.user, self.mark, mdt, example(mdt), extra=self._extra(),
        )  # fmt: skip

    def _found(self, now: float, tail: Tail) -> bool:
        """Look for the user, which may have another id now; where there is none, report it and try again later."""
        if self._own_user is None:
            return True
        try:
            found = self._own_user.find()
        except (ConfigError, ChangelogError) as exc:
            self._times.barred_until = now + self._settings.keepalive_seconds
            if isinstance(exc, ChangelogUserUnknown) and self._taken.user and self.mark:
                self._gone(str(exc), tail)
            else:
                self.user_lost = True
                _log.error("nothing is cleared: %s", exc, extra=self._extra())
            return False
        if number(found) != number(self.user):
            _log.warning(
                "%s: our changelog user is %s", self._source.mdt, found, extra={**self._extra(), "user": found}
            )
        self.user, self._stale = found, False
        return True

    def _confirm(self, tail: Tail) -> None:
        """Keep that the MDT knows this user; if it knew another one before, records may be missing."""
        mdt, before = self._source.mdt, self._taken.user
        if before and not self._taken.is_for(self.user):
            if self._knows(before):
                _log.warning(
                    "%s: clearing goes on for %s; %s is still registered and fills the MDT: "
                    "lustre-events changelog deregister %s --mdt %s",
                    mdt, self.user, before, before, mdt, extra=self._extra(),
                )  # fmt: skip
            elif self._lost is None:
                last_index = self._suspect.last_index if self._suspect is not None else 0
                self._lost = (tail.epoch, Gap(self._taken.index + 1, last_index, USER_GONE))
                self._lose(*self._lost)
        self._taken.keep(self.user)

    def _knows(self, user: str) -> bool:
        with suppress(ChangelogError):
            if self._source.knows(short(user)) is True:
                return True
        return self._own_user is not None and self._own_user.registered(user) is True

    def _end_loss(self, tail: Tail) -> None:
        """Report up to where records may be missing, as soon as a later one has come."""
        if self._lost is None:
            return
        epoch, gap = self._lost
        if epoch == tail.epoch and not gap.last_index:
            if tail.last_index < gap.first_index:
                return
            self._lose(epoch, Gap(gap.first_index, tail.last_index, gap.reason))
        self._lost = None

    def _lose(self, epoch: int, gap: Gap) -> None:
        self._continuity.lose(epoch, gap)

    def _extra(self) -> dict[str, object]:
        return {"action": "clear", "mdt": self._source.mdt, "user": self.user, "index": self.mark}
