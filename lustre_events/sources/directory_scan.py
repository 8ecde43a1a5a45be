"""From what is seen in a directory tree to records: the part of the `directory` source that thinks.

Events are taken as hints only: "look at this name again". A look compares what is at a name with what is known
to be there (directory_state), and makes records of the difference, each a legal step from the known tree to
the real one. So it does not matter how late an event is looked at, or whether a name was also found by listing
its directory: after the last event about a name, what is known of it is the truth.

A rename is seen by identity: an object appears at one name, and is no longer at another name that it is known
to have. That works across directories, across reads, for names that are in no event (moved into a directory
that was not watched yet), and after a restart, where no event tells anything.
The order matters in two places:

- An object whose name is gone may turn up elsewhere a moment later, so the removal of a name is *held* until
  everything that waits to be listed was listed (and the other half of a rename had time to arrive).
- An object whose name was taken by another one, and which may be alive elsewhere (two names exchanged, a
  directory moved away and made anew), is *set aside*: renamed to a name that nobody uses. From there it is
  renamed to where it turns up, or removed. Thus no object is ever without a name while it is alive.
"""

from __future__ import annotations

import logging
import stat
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.errors import ChangelogBroken
from lustre_events.llapi.statx import Statx, statx
from lustre_events.sources import inotify
from lustre_events.sources.directory_changes import DirectoryChanges
from lustre_events.sources.directory_handles import DirectoryHandles, DirectoryLost
from lustre_events.sources.directory_state import DirectoryEntry, DirectoryState
from lustre_events.sources.inotify import InotifyEvent, Watcher
from lustre_events.sources.local_fid import fid_of

LISTED = 1 << 32
"""Why a name is looked at, beside inotify's bits: its directory was listed."""
_NAMED = LISTED | inotify.CREATE | inotify.DELETE | inotify.MOVED_FROM | inotify.MOVED_TO

MOST_NAMES = 50
"""Most names of an object that are compared; of one with more a rename may be told as a new and a lost one."""
CHUNK_NAMES = 500
GRACE_SECONDS = 0.1
"""How long the other half of a rename may take to arrive."""
LOST_SECONDS = 0.5
"""How long a directory may be nowhere before everything is listed again."""
QUIET_SECONDS = 5.0
"""A file that nobody closed (linked from a nameless one) counts as written when it is left alone for this long."""

log = logging.getLogger(__name__)


class Astray(Exception):
    """What is known of the tree cannot be brought up to date step by step: everything must be listed anew."""


class DirectoryReconciler:
    """Makes the known tree follow the real one. Every method that changes something runs in a transaction."""

    def __init__(self, top_fd: int, state: DirectoryState, watcher: Watcher, own: FID) -> None:
        """`top_fd` is the open top directory; `own` the FID of the state's folder, which is left out."""
        self._top_fd = top_fd
        self._state = state
        self._watcher = watcher
        self._handles = DirectoryHandles(top_fd, state, own)
        self._changes = DirectoryChanges(state, self._leave)
        self._waiting: deque[FID] = deque([ROOT_FID])
        self._listing: Iterator[dict[DirectoryEntry, int]] | None = None
        self._held: dict[DirectoryEntry, float] = {}
        self._lost: dict[FID, float] = {}
        self._anybody = False  # whether attributes of somebody changed who cannot be told any more
        self._moved = False  # whether names changed since the lost ones were last looked for
        self._look_around = time.monotonic() + QUIET_SECONDS

    def close(self) -> None:
        """Close what it opened."""
        self._handles.close()

    def notice(self, events: Sequence[InotifyEvent]) -> None:
        """Look at what events are about. Raises Astray, as the next two do: begin with a new reconciler."""
        reasons: dict[DirectoryEntry, int] = {}
        for event in events:
            if event.name:
                entry = DirectoryEntry(event.directory, event.name)
                reasons[entry] = reasons.get(entry, 0) | event.mask
            elif event.mask & inotify.IGNORED:
                self._handles.drop(event.directory)
                self._lose(event.directory)
            elif event.directory == ROOT_FID and event.mask & inotify.ATTRIB:
                self._changes.change_attributes(ROOT_FID, ROOT_FID, statx(dir_fd=self._top_fd))
        self._look_at(reasons)

    def list_some(self) -> bool:
        """List a directory that waits, or a part of it; False: none waits."""
        if self._listing is None:
            if not self._waiting:
                return False
            self._listing = self._list(self._waiting.popleft())
        reasons = next(self._listing, None)
        if reasons is None:
            self._listing = None
        else:
            self._look_at(reasons)
        return True

    def due(self) -> float:
        """Return when `settle` has something to do, in seconds of the monotonic clock."""
        if self._lost and self._moved:
            return 0.0
        return min([self._look_around, *self._held.values(), *self._lost.values()])

    def settle(self) -> None:
        """Decide what had to wait; to be called when there are no events and nothing to list.

        Raises:
            Astray: a directory cannot be found.
            ChangelogBroken: the top directory was removed.
        """
        now = time.monotonic()
        for entry in [entry for entry, due in self._held.items() if due <= now]:
            del self._held[entry]
            self._release(entry)
        self._moved = False
        for directory, due in list(self._lost.items()):
            self._find(directory, late=due <= now)
        if now >= self._look_around:
            self._look_around = now + QUIET_SECONDS
            if statx(dir_fd=self._top_fd).nlink == 0:
                raise ChangelogBroken("the watched directory was removed; make it again, or watch another one")
            self._announce_quiet()

    # Looking.

    def _look_at(self, reasons: dict[DirectoryEntry, int]) -> None:
        """Bring what is known of these places up to date."""
        before = {entry: self._state.at(entry) for entry in reasons}
        seen = self._see(reasons)
        # Somebody was renamed twice, with a change of attributes between: take all who were renamed.
        self._anybody = any(
            reasons[entry] & inotify.ATTRIB and before[entry] is None and seen.get(entry) is None
            for entry in reasons
        )
        self._moved = True
        named = [entry for entry in seen if reasons[entry] & _NAMED]
        for entry in sorted(named, key=lambda entry: _rank(before[entry], reasons[entry])):
            self._update(entry, seen[entry], reasons[entry])
        for fid in _touched(inotify.CLOSE_WRITE, reasons, before, seen):
            self._write(fid)
        for fid in _touched(inotify.ATTRIB, reasons, before, seen):
            self._change_attributes(fid)
        self._watch_directories(seen)

    def _watch_directories(self, seen: Mapping[DirectoryEntry, Statx | None]) -> None:
        """Let directories be listed, and watched with that, of which the state knows and that nobody watches."""
        for entry, facts in seen.items():
            if facts is None or not stat.S_ISDIR(facts.mode):
                continue
            fid = fid_of(facts)
            if self._state.at(entry) == fid and not self._watcher.watches(fid):
                self._waiting.append(fid)

    def _see(self, entries: Iterable[DirectoryEntry]) -> dict[DirectoryEntry, Statx | None]:
        """Return what is at places now, without those that cannot be examined."""
        seen: dict[DirectoryEntry, Statx | None] = {}
        for entry in entries:
            try:
                seen[entry] = self._handles.look(entry)
            except DirectoryLost:
                self._lose(entry.parent)
            except PermissionError:
                self._forbid(entry.parent)
        return seen

    # Deciding.

    def _update(self, entry: DirectoryEntry, facts: Statx | None, why: int) -> None:
        known = self._state.at(entry)
        if facts is None:
            if known is not None:
                self._hold(entry, GRACE_SECONDS if why & inotify.MOVED_FROM else 0)
            return
        fid = fid_of(facts)
        if fid == known:
            if why & (LISTED | inotify.MOVED_TO):  # it may have been away, and was changed there
                self._compare(fid, entry, facts, why, renamed=False)
            return
        if known is not None and (
            why & (inotify.MOVED_FROM | LISTED) or entry in self._held or self._state.children(known)
        ):
            self._hold(self._changes.set_aside(entry, known), GRACE_SECONDS)
        self._arrive(entry, fid, facts, why)

    def _arrive(self, entry: DirectoryEntry, fid: FID, facts: Statx, why: int) -> None:
        """An object is at a name that it was not known to have; what is still known there is dead (and empty)."""
        names = self._state.entries(fid, MOST_NAMES)
        left = next((name for name in names if self._has_left(fid, name)), None)
        if left is None and names and stat.S_ISDIR(facts.mode):
            left = names[0]  # a directory has one name only
        if left is not None:
            if self._inside(entry.parent, fid):
                raise Astray  # it was moved into a directory of its own that had been moved out of it before
            self._changes.rename(left, entry, fid, facts)
            self._compare(fid, entry, facts, why, renamed=True)
            return
        overwritten = self._state.at(entry)
        if overwritten is not None:
            self._changes.remove(entry, overwritten)
        if self._state.entries(fid, 1):
            self._changes.link(entry, fid, facts)
            self._compare(fid, entry, facts, why, renamed=True)
        else:
            # The one who created it by its name has it open, and will close it: that event says when it is written.
            closing = why & inotify.CREATE and not why & inotify.MOVED_TO and facts.nlink == 1
            self._changes.create(entry, fid, facts, announce=not closing)

    def _has_left(self, fid: FID, entry: DirectoryEntry) -> bool:
        """Whether an object is not at `entry` any more; no where that cannot be seen (it will be listed)."""
        return any(facts is None or fid_of(facts) != fid for facts in self._see([entry]).values())

    def _inside(self, directory: FID, ancestor: FID) -> bool:
        """Whether a directory is known to be `ancestor` or to lie below it."""
        while directory != ancestor:
            entries = self._state.entries(directory, 1)
            if not entries:  # the top
                return False
            directory = entries[0].parent
        return True

    def _compare(self, fid: FID, entry: DirectoryEntry, facts: Statx, why: int, *, renamed: bool) -> None:
        """Make records of what changed in the object itself while nobody looked."""
        known = self._state.known(fid)
        if known is None:
            return
        announced = known.size is not None
        if stat.S_ISREG(facts.mode) and (
            (known.size, known.mtime_ns) != (facts.size, facts.mtime_ns) if announced else why & LISTED
        ):
            self._changes.write(fid, entry.parent, facts)
        elif known.ctime_ns != facts.ctime_ns:
            if why & LISTED and stat.S_ISREG(facts.mode) and not renamed:
                # Whoever writes can put size and time back; what nobody can put back is the time of the change.
                self._changes.write(fid, entry.parent, facts)
            if why & LISTED or self._anybody:
                self._changes.change_attributes(fid, entry.parent, facts)
            else:
                self._changes.note_ctime(fid, facts)

    def _write(self, fid: FID) -> None:
        """Say that a file was written, wherever it is now."""
        for entry in self._state.entries(fid, MOST_NAMES):
            facts = self._handles.find(fid, entry)
            if facts is not None and stat.S_ISREG(facts.mode):
                self._changes.write(fid, entry.parent, facts)
                return
        self._changes.doubt(fid)

    def _change_attributes(self, fid: FID) -> None:
        """Say that attributes changed, wherever the object is now; where it cannot be seen it will be listed."""
        for entry in self._state.entries(fid, MOST_NAMES):
            facts = self._handles.find(fid, entry)
            if facts is not None:
                self._changes.change_attributes(fid, entry.parent, facts)
                return

    def _announce_quiet(self) -> None:
        for fid in self._state.unannounced():
            for entry in self._state.entries(fid, 1):
                facts = self._handles.find(fid, entry)
                if facts is not None and time.time_ns() - facts.ctime_ns > QUIET_SECONDS * 1e9:
                    self._changes.write(fid, entry.parent, facts)

    # Waiting.

    def _hold(self, entry: DirectoryEntry, seconds: float) -> None:
        self._held.setdefault(entry, time.monotonic() + seconds)

    def _release(self, entry: DirectoryEntry) -> None:
        """Remove a name that was held, unless something came back to it."""
        known = self._state.at(entry)
        if known is None:
            return
        for facts in self._see([entry]).values():
            if facts is None:
                self._changes.remove(entry, known)
            else:
                self._look_at({entry: LISTED})

    def _lose(self, directory: FID) -> None:
        self._lost.setdefault(directory, time.monotonic() + LOST_SECONDS)

    def _forbid(self, directory: FID) -> None:
        """Leave a directory's content as it is known; a change of its mode is a reason to list it again."""
        self._watcher.unwatch(directory)
        self._handles.warn(directory, b"", "may not be read")

    def _find(self, directory: FID, *, late: bool) -> None:
        """List a lost directory again, if it was found; forget it, if it was removed."""
        try:
            if self._state.entries(directory, 1):
                self._handles.get(directory)
                self._watcher.unwatch(directory)
                self._waiting.append(directory)
        except DirectoryLost as exc:
            if late:
                raise Astray from exc
            return
        except PermissionError:
            pass  # it is where it was, and cannot be looked into
        del self._lost[directory]

    def _leave(self, directory: FID) -> None:
        self._watcher.unwatch(directory)
        self._handles.drop(directory)

    # Listing.

    def _list(self, directory: FID) -> Iterator[dict[DirectoryEntry, int]]:
        """Watch a directory, then yield its names in parts: first new ones, then known ones, then missing ones."""
        if self._watcher.watches(directory):
            return
        try:
            self._watcher.watch(directory, self._handles.get(directory))
            names = self._handles.names(directory)
        except (DirectoryLost, FileNotFoundError):
            self._lose(directory)
            return
        except PermissionError:
            self._forbid(directory)
            return
        known = self._state.children(directory)
        ordered = [name for name in names if name not in known]
        ordered += [name for name in names if name in known]
        ordered += sorted(known.keys() - set(names))
        for start in range(0, len(ordered), CHUNK_NAMES):
            yield {DirectoryEntry(directory, name): LISTED for name in ordered[start : start + CHUNK_NAMES]}


def _rank(known: FID | None, why: int) -> int:
    """Return when a name has its turn: free ones first, which make others free; at last those that were left."""
    if known is None:
        return 0
    return 2 if why & inotify.MOVED_FROM else 1


def _touched(
    bit: int,
    reasons: Mapping[DirectoryEntry, int],
    before: Mapping[DirectoryEntry, FID | None],
    seen: Mapping[DirectoryEntry, Statx | None],
) -> Iterable[FID]:
    """Return the objects that events of a kind are about, each once."""
    # Who is at the name now may have come there since, and who was there may have left: take both.
    fids = [fid for entry, fid in before.items() if reasons[entry] & bit and fid is not None]
    fids += [fid_of(facts) for entry, facts in seen.items() if reasons[entry] & bit and facts is not None]
    return dict.fromkeys(fids)
