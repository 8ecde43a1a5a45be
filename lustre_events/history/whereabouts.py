"""Where things were: the names of an object at a given time, and the path of a directory at a given time.

Names come from what happened to an object. What had a name before the history begins is known by its first removal
or rename, or, where nothing ever happened to it, by the index.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.changelog.record import ChangelogRecord, RecordType
from lustre_events.domain.namespace import Place
from lustre_events.domain.record_meaning import effects
from lustre_events.history.archive import Archive, Happening

Links = Callable[[Collection[FID]], Iterable[tuple[FID, FID, bytes]]]
"""Returns (FID, parent, name) of every name that objects have now, by the index."""
_DEEPEST = 256
_RIGHTS = frozenset({RecordType.SATTR, RecordType.XATTR})


@dataclass(slots=True)
class Life:
    """The names of one object over time: from each of `times` on those at the same position behind the first.

    `rights_ns`: when its rights last changed, or may have (0: never, as far as the history reaches).
    """

    times: list[int] = field(default_factory=list)
    names: list[tuple[Place, ...]] = field(default_factory=lambda: [()])
    rights_ns: int = 0

    def at(self, time_ns: int) -> tuple[Place, ...]:
        """Return the names then; where there is none, the last ones before, else the first behind."""
        at = bisect_right(self.times, time_ns)
        return (
            self.names[at]
            or next((each for each in reversed(self.names[:at]) if each), ())
            or next((each for each in self.names[at:] if each), ())
        )


def life(fid: FID, happened: Iterable[Happening], present: Collection[Place]) -> Life:
    """Return an object's names over time, from what happened to it (in order), and its present names."""
    found = Life()
    changes: list[tuple[int, Place, bool]] = []
    for each in happened:
        record = each.record
        changes += [(each.time_ns, place, there) for place, there in _changes(fid, record)]
        if record.type in _RIGHTS and record.target == fid:
            found.rights_ns = max(found.rights_ns, each.time_ns)
    first: dict[Place, bool] = {}
    for _, place, there in changes:
        first.setdefault(place, there)
    now = dict.fromkeys([place for place in present if place not in first])
    now |= dict.fromkeys(place for place, there in first.items() if not there)
    found.names[0] = tuple(now)
    for time_ns, place, there in changes:
        now.pop(place, None)
        if there:
            now[place] = None
        found.times.append(time_ns)
        found.names.append(tuple(reversed(now)))
    return found


def _changes(fid: FID, record: ChangelogRecord) -> Iterable[tuple[Place, bool]]:
    """Yield the names that a record gives to an object or takes from it."""
    moved = record.source if record.type == RecordType.RENME else record.target
    for effect in effects(record):
        if effect.fid == fid:
            yield (effect.parent, effect.name), True
        elif effect.fid is None and fid in {moved, record.source}:
            yield (effect.parent, effect.name), False
        elif effect.fid is not None and record.target == fid:
            yield (effect.parent, effect.name), False  # overwritten by a rename


class Whereabouts:
    """Where objects were at a given time; ask `learn` for them first, in few calls."""

    def __init__(self, archive: Archive, links: Links) -> None:
        self._archive = archive
        self._links = links
        self._lives: dict[FID, Life] = {}

    def learn(self, fids: Collection[FID]) -> None:
        """Learn where objects were, and all directories that they ever were in."""
        wanted = {fid for fid in fids if fid and fid not in self._lives}
        for _ in range(_DEEPEST):
            wanted -= self._lives.keys()
            if not wanted:
                return
            self.add(wanted, self._archive.by_fid(wanted))
            wanted = {parent for fid in wanted for parent, _ in self.ever(fid)}

    def add(self, fids: Collection[FID], happened: Sequence[Happening]) -> None:
        """Take all that happened to objects, in order."""
        own: dict[FID, list[Happening]] = {fid: [] for fid in fids}
        for each in happened:
            for fid in {each.record.target, each.record.source}:
                if fid in own:
                    own[fid].append(each)
        present: dict[FID, list[Place]] = {}
        for fid, parent, name in self._links(own):
            present.setdefault(fid, []).append((parent, name))
        self._lives |= {fid: life(fid, each, present.get(fid, ())) for fid, each in own.items()}

    def names(self, fid: FID, time_ns: int) -> tuple[Place, ...]:
        """Return the names of an object at a given time, the newest first."""
        known = self._lives.get(fid)
        return known.at(time_ns) if known is not None else ()

    def ever(self, fid: FID) -> set[Place]:
        """Return all names that an object ever had."""
        known = self._lives.get(fid)
        return {place for names in known.names for place in names} if known is not None else set()

    def rights_ns(self, fid: FID) -> int:
        """Return when the rights of an object last changed, or may have."""
        known = self._lives.get(fid)
        return known.rights_ns if known is not None else 0

    def above(self, directory: FID, time_ns: int) -> list[Place] | None:
        """Return the names from a directory up to the root at a given time; None: one of them is not known."""
        found: list[Place] = []
        while directory != ROOT_FID:
            names = self.names(directory, time_ns)
            if not names or len(found) > _DEEPEST:
                return None
            found.append(names[0])
            directory = names[0][0]
        return found

    def directory(self, fid: FID, time_ns: int) -> bytes:
        """Return the path that a directory had then, `/` for the root; its FID where that is not known."""
        names = self.names(fid, time_ns)
        return self.path(names[0], time_ns) if names else b"/" if fid == ROOT_FID else str(fid).encode()

    def path(self, place: Place, time_ns: int) -> bytes:
        """Return the path that a name had at a given time; it begins with a FID where more is not known."""
        directory, name = place
        above = self.above(directory, time_ns)
        if above is None:
            return str(directory).encode() + b"/" + name
        return b"/".join((b"", *(each for _, each in reversed(above)), name))
