"""Every step from the known tree of a directory to its real one: each changes the state and makes its record.

State and log change together, so the tree of the state is always what the log's records say: a record is a
legal operation on it. Records are what an MDT with the default mask would write, as far as it can be known
afterwards: user and group are the owner's (who did it is not known), the time is that of the record's making.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator

from lustre_events.changelog.fid import FID, NO_FID
from lustre_events.changelog.record import (
    CLOSE_WRITE,
    EXTRA_UIDGID,
    FLAG_EXTRA,
    FLAG_RENAME,
    FLAG_VERSION,
    RENME_LAST,
    UNLNK_LAST,
    ChangelogRecord,
    RecordType,
)
from lustre_events.llapi.statx import Statx
from lustre_events.sources.directory_state import DirectoryEntry, DirectoryState, KnownObject

_ASIDE = b".lustre-events-moved-"
_CREATIONS = {
    stat.S_IFREG: RecordType.CREAT,
    stat.S_IFDIR: RecordType.MKDIR,
    stat.S_IFLNK: RecordType.SLINK,
}


class DirectoryChanges:
    """What can happen to the known tree."""

    def __init__(self, state: DirectoryState, gone: Callable[[FID], None]) -> None:
        """`gone` is called with each directory that is no longer in the tree."""
        self._state = state
        self._gone = gone

    def create(self, entry: DirectoryEntry, fid: FID, facts: Statx, *, announce: bool) -> None:
        """A new object. `announce`: say at once that it was written, because no event will."""
        self._state.put(entry, fid)
        regular = stat.S_ISREG(facts.mode)
        size, mtime_ns = (None, None) if regular else (facts.size, facts.mtime_ns)
        self._state.keep(fid, KnownObject(stat.S_ISDIR(facts.mode), size, mtime_ns, facts.ctime_ns))
        type_ = _CREATIONS.get(stat.S_IFMT(facts.mode), RecordType.MKNOD)
        self._append(type_, fid, entry.parent, entry.name, facts=facts)
        if regular and announce:
            self.write(fid, entry.parent, facts)

    def link(self, entry: DirectoryEntry, fid: FID, facts: Statx) -> None:
        """One more name of an object."""
        self._state.put(entry, fid)
        self._append(RecordType.HLINK, fid, entry.parent, entry.name, facts=facts)

    def rename(self, left: DirectoryEntry, entry: DirectoryEntry, fid: FID, facts: Statx | None = None) -> None:
        """The object at `left` is at `entry` now; what is known to be there (no full directory) is overwritten."""
        self._state.remove(left)
        overwritten = self._state.at(entry) or NO_FID
        last = bool(overwritten) and self._drop(entry, overwritten)
        self._state.put(entry, fid)
        self._append(
            RecordType.RENME,
            overwritten,
            entry.parent,
            entry.name,
            flags=FLAG_RENAME | (RENME_LAST if last else 0),
            facts=facts,
            source=fid,
            left=left,
        )

    def set_aside(self, entry: DirectoryEntry, fid: FID) -> DirectoryEntry:
        """Give the object another name beside its old one, because that was taken; return the new place."""
        aside = DirectoryEntry(entry.parent, _ASIDE + fid.pack().hex().encode())
        if self._state.at(aside) == fid:  # it had two names, and lost both
            self._remove(entry, fid)
        else:
            self.rename(entry, aside, fid)
        return aside

    def remove(self, entry: DirectoryEntry, fid: FID) -> None:
        """The name is gone; of a directory everything below is gone, too."""
        for below, child in self._below(fid):
            self._remove(below, child)
        self._remove(entry, fid)

    def write(self, fid: FID, parent: FID, facts: Statx) -> None:
        """The content of a file changed."""
        self._state.keep(fid, KnownObject(False, facts.size, facts.mtime_ns, facts.ctime_ns))
        self._append(RecordType.CLOSE, fid, parent, flags=CLOSE_WRITE, facts=facts)

    def doubt(self, fid: FID) -> None:
        """The content of a file may have changed: it must be announced when the file can be looked at."""
        known = self._state.known(fid)
        if known is not None and not known.is_directory:
            self._state.keep(fid, KnownObject(False, None, None, known.ctime_ns))

    def change_attributes(self, fid: FID, parent: FID, facts: Statx) -> None:
        """Mode, owner, times or extended attributes changed."""
        self.note_ctime(fid, facts)
        self._append(RecordType.SATTR, fid, parent, facts=facts)

    def note_ctime(self, fid: FID, facts: Statx) -> None:
        """The attributes were looked at, and are nothing new."""
        known = self._state.known(fid)
        if known is not None:
            self._state.keep(fid, KnownObject(known.is_directory, known.size, known.mtime_ns, facts.ctime_ns))

    def _below(self, fid: FID) -> Iterator[tuple[DirectoryEntry, FID]]:
        """Return all names below a directory, children before their parents; nothing for other objects."""
        found: list[tuple[DirectoryEntry, FID]] = []
        waiting = [fid]
        while waiting:
            directory = waiting.pop()
            for name, child in self._state.children(directory).items():
                found.append((DirectoryEntry(directory, name), child))
                waiting.append(child)
        return reversed(found)

    def _remove(self, entry: DirectoryEntry, fid: FID) -> None:
        known = self._state.known(fid)
        last = self._drop(entry, fid)
        if known is not None and known.is_directory:
            self._append(RecordType.RMDIR, fid, entry.parent, entry.name)
        else:
            self._append(RecordType.UNLNK, fid, entry.parent, entry.name, flags=UNLNK_LAST if last else 0)

    def _drop(self, entry: DirectoryEntry, fid: FID) -> bool:
        """Forget a name, and with the last one the object; return whether it was the last one."""
        self._state.remove(entry)
        if self._state.entries(fid, 1):
            return False
        known = self._state.known(fid)
        self._state.forget(fid)
        if known is not None and known.is_directory:
            self._gone(fid)
        return True

    def _append(
        self,
        type_: RecordType,
        target: FID,
        parent: FID,
        name: bytes = b"",
        *,
        flags: int = 0,
        facts: Statx | None = None,
        source: FID = NO_FID,
        left: DirectoryEntry | None = None,
    ) -> None:
        self._state.append(
            ChangelogRecord(
                index=0,  # the log gives it
                type=type_,
                time_ns=time.time_ns(),
                target=target,
                parent=parent,
                name=name,
                flags=FLAG_VERSION | flags | (FLAG_EXTRA if facts else 0),
                extra_flags=EXTRA_UIDGID if facts else 0,
                source=source,
                source_parent=left.parent if left else NO_FID,
                source_name=left.name if left else b"",
                uid=facts.uid if facts else None,
                gid=facts.gid if facts else None,
            )
        )
