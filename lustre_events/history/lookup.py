"""A history: what happened to an object, at a path, or in a directory, with the paths that things had then."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from lustre_events.changelog.fid import FID, NO_FID, ROOT_FID
from lustre_events.changelog.record import RecordType
from lustre_events.domain.namespace import Place
from lustre_events.domain.record_meaning import effects
from lustre_events.errors import ConfigError
from lustre_events.history.archive import Archive, Coverage, Happening
from lustre_events.history.visibility import Access, Sight
from lustre_events.history.whereabouts import Whereabouts

MOST_OBJECTS = 500_000
"""Most objects of one directory whose history is shown."""
_PORTION = 10_000


@dataclass(frozen=True, slots=True)
class Present:
    """What the index knows now.

    Args:
        links: (FID, parent, name) of every name of objects.
        child: what a name in a directory means.
        entries: names in a directory behind a name, in order: (name, FID, type).
        access: which directories the viewer can search and list; None: all.
        uid: the viewer's.
    """

    links: Callable[[Collection[FID]], Iterable[tuple[FID, FID, bytes]]]
    child: Callable[[FID, bytes], FID | None]
    entries: Callable[[FID, bytes, int], Sequence[tuple[bytes, FID, str | None]]]
    access: Access | None = None
    uid: int | None = None

    def all_entries(self, directory: FID) -> Iterator[tuple[bytes, FID, str | None]]:
        """Yield all names in a directory."""
        after = b""
        while found := self.entries(directory, after, _PORTION):
            yield from found
            if len(found) < _PORTION:
                return
            after = found[-1][0]


@dataclass(frozen=True, slots=True)
class Deed:
    """One record with its paths at that time: `path` is where it happened, `source` where a rename began.

    None: there is none, it is not known, or the viewer may not see it.
    """

    happening: Happening
    fid: FID
    path: bytes | None
    source: bytes | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """What happened, in order. `in_part`: what the viewer may not know is left out, if there is any."""

    deeds: Sequence[Deed]
    in_part: bool
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class Former:
    """What stood in a directory at a given time; `certain`: a record says so, else nothing speaks against it."""

    name: bytes
    fid: FID
    certain: bool


class Teller:
    """Tells histories out of an archive, for one viewer; `most`: objects of one directory whose history is told."""

    def __init__(self, archive: Archive, present: Present, most: int = MOST_OBJECTS) -> None:
        self._archive = archive
        self._most = most
        self._present = present
        self._whereabouts = Whereabouts(archive, present.links)
        self._sight = Sight(present.access, present.uid, self._whereabouts)

    def fids_at(self, path: bytes) -> set[FID]:
        """Return the objects that have a path, or had it at any time; the directories above it too, then.

        Of what the viewer may not know none is found: else a guess at a name would be confirmed.
        """
        found = {ROOT_FID}
        for name in filter(None, path.split(b"/")):
            if self._sight.in_part:
                self._whereabouts.learn(found)
            present = {self._present.child(each, name) for each in found if self._sight.searches(each)}
            found = {fid for fid in present if fid is not None} | self._named({(each, name) for each in found})
        return found

    def _named(self, places: Collection[Place]) -> set[FID]:
        """Return the objects that had one of these names, as far as the viewer may know it."""
        found = set()
        for each in self._archive.by_name(places):
            here = [place for place in _places(each) if place in places]
            knows = self._sight.record(each, here)
            found |= _named(each, set(filter(knows, here)) if knows is not None else ())
        return found

    def of_objects(self, fids: Collection[FID]) -> Story:
        """Return what happened to objects, under all FIDs that they ever had."""
        known, found = set(fids), self._archive.by_fid(fids)
        while more := {fid for each in found for fid in _migrated(each)} - known:
            known |= more
            found = self._archive.by_fid(known)
        coverage = self._archive.coverage
        self._whereabouts.add(known, found)
        return self._told(found, coverage, known)

    def of_tree(self, tops: Collection[FID]) -> Story:
        """Return what happened in directories and all below them, also to what is gone, while it was there.

        Directories that the viewer can neither list nor has made are not looked into: they count nothing.

        Raises:
            ConfigError: that is too much.
        """
        directories: set[FID] = set()
        objects: set[FID] = set()
        frontier = set(tops)
        while frontier:
            directories |= frontier
            below, maybe = self._below(self._open(frontier))
            objects |= below
            if len(objects) > self._most:
                raise ConfigError(
                    f"more than {self._most} objects were in that directory; name a directory below it"
                )
            frontier = maybe - directories - {NO_FID}
        objects |= directories
        found = self._archive.by_fid(objects)
        coverage = self._archive.coverage
        self._whereabouts.add(objects, found)
        self._whereabouts.learn(self._parents(objects))
        return self._told([each for each in found if self._is_inside(each, directories, tops)], coverage)

    def _open(self, directories: set[FID]) -> set[FID]:
        """Return the directories that the viewer can list now, or has made."""
        if not self._sight.in_part:
            return directories
        happened = self._archive.by_fid(directories)
        self._whereabouts.add(directories, happened)
        self._whereabouts.learn(self._parents(directories))
        made = {each.record.target for each in happened if each.record.type == RecordType.MKDIR}
        own = {each.record.target for each in happened if self._sight.did(each)} & made
        return {each for each in directories if each in own or self._sight.lists(each)}

    def _below(self, directories: Collection[FID]) -> tuple[set[FID], set[FID]]:
        """Return what ever had a name in directories, and what of it may be a directory, as the viewer knows it."""
        found = self._seen(self._archive.in_directories(directories)) if directories else []
        below = {fid for each in found for fid in (each.record.target, each.record.source) if fid}
        maybe = {each.record.target for each in found if each.record.type in _MAKES_DIRECTORIES}
        maybe |= {each.record.source for each in found if each.record.type == RecordType.RENME}
        for directory in filter(self._sight.lists, directories):
            for _, fid, type_ in self._present.all_entries(directory):
                below.add(fid)
                maybe |= {fid} if type_ == "d" else set()
        return below, maybe

    def _seen(self, found: Sequence[Happening]) -> Sequence[Happening]:
        """Return the records of which the viewer may know."""
        if not self._sight.in_part:
            return found
        self._whereabouts.learn({effect.parent for each in found for effect in effects(each.record)})
        return [each for each in found if self._sight.record(each, _places(each)) is not None]

    def _is_inside(self, each: Happening, directories: Collection[FID], tops: Collection[FID]) -> bool:
        record = each.record
        if record.target in tops or record.source in tops:
            return True
        places = _places(each) or self._whereabouts.names(record.target, each.time_ns)
        return any(parent in directories for parent, _ in places)

    def as_of(self, directories: Collection[FID], time_ns: int) -> tuple[list[Former], Coverage]:
        """Return what stood in a directory, or in several that were one in turn, at a given time, by name.

        A name was what the last record before says; else what the first one behind says of what was there; a name
        of which none speaks was there all the time.

        Raises:
            ConfigError: the viewer may not know.
        """
        self._whereabouts.learn(directories)
        if not all(self._sight.name((each, b""), time_ns) for each in directories):
            raise ConfigError("you could not list that directory then, or it is not known whether you could")
        states = _states(self._archive.in_directories(directories), directories, time_ns)
        coverage = self._archive.coverage
        now = [(name, fid) for each in directories for name, fid, _ in self._present.all_entries(each)]
        states |= {name: Former(name, fid, certain=False) for name, fid in now if name not in states}
        found = [state for state in states.values() if state is not None]
        return sorted(found, key=lambda each: each.name), coverage

    def _parents(self, fids: Collection[FID]) -> set[FID]:
        return {parent for fid in fids for parent, _ in self._whereabouts.ever(fid)}

    def _told(self, found: Sequence[Happening], coverage: Coverage, about: Collection[FID] = ()) -> Story:
        parents = {effect.parent for each in found for effect in effects(each.record)}
        self._whereabouts.learn(parents | self._parents(about))
        deeds = [deed for each in found if (deed := self._deed(each)) is not None]
        return Story(deeds, self._sight.in_part, coverage)

    def _deed(self, each: Happening) -> Deed | None:
        record = each.record
        named = _places(each)
        subject = record.source if record.type == RecordType.RENME else record.target
        places = named or list(self._whereabouts.names(subject, each.time_ns))
        seen = self._sight.record(each, places)
        if seen is None:
            return None
        paths = [self._whereabouts.path(place, each.time_ns) if seen(place) else None for place in places]
        if len(named) > 1:  # a rename or a migration: from the first to the last
            return Deed(each, subject, paths[-1], paths[0])
        return Deed(each, subject, next(filter(None, paths), None))


def _places(each: Happening) -> list[Place]:
    """Return the names that a record gives or takes, in its order."""
    return [(effect.parent, effect.name) for effect in effects(each.record)]


def _named(each: Happening, places: Collection[Place]) -> set[FID]:
    """Return the objects that a record gave one of the names to, or took it from."""
    record = each.record
    found = set()
    for effect in effects(record):
        if (effect.parent, effect.name) in places:
            lost = record.source if record.type == RecordType.RENME else record.target
            found.add(effect.fid if effect.fid is not None else lost)
            if record.type == RecordType.RENME and effect.fid is not None and record.target:
                found.add(record.target)  # overwritten there
    return {fid for fid in found if fid}


def _states(found: Iterable[Happening], directories: Collection[FID], time_ns: int) -> dict[bytes, Former | None]:
    """Return what records say that stood in directories at a given time, by name; None: nothing."""
    states: dict[bytes, Former | None] = {}
    for each in found:
        for name, before, after in _turns(each, directories):
            past = each.time_ns <= time_ns
            if past or name not in states:
                fid = after if past else before
                states[name] = None if fid is None else Former(name, fid, certain=True)
    return states


def _turns(each: Happening, directories: Collection[FID]) -> Iterator[tuple[bytes, FID | None, FID | None]]:
    """Yield (name, what it meant before, what it means behind a record) of a directory's names."""
    record = each.record
    for effect in effects(record):
        if effect.parent not in directories:
            continue
        if record.type in {RecordType.RENME, RecordType.MIGRT}:
            overwritten = record.target if record.type == RecordType.RENME and record.target else None
            yield effect.name, record.source if effect.fid is None else overwritten, effect.fid
        else:
            yield effect.name, record.target if effect.fid is None else None, effect.fid


def _migrated(each: Happening) -> Iterator[FID]:
    if each.record.type == RecordType.MIGRT:
        yield from filter(None, (each.record.source, each.record.target))


_MAKES_DIRECTORIES = frozenset({RecordType.MKDIR, RecordType.RMDIR, RecordType.MIGRT})
