"""From what happened to files to directories that may be complete now.

Whatever is written in a directory, or gets a name there, may complete it; so may the directory's own new name. What
goes away completes nothing. Whether it is complete is asked when it has rested (directory_judging.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lustre_events.changelog.fid import FID
from lustre_events.dispatcher.own_work import Origin
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.batch import ObjectChange
from lustre_events.domain.rules.action_rules import ActionRule
from lustre_events.domain.rules.conditions import File
from lustre_events.domain.triggers import CONTENT, DIRECTORY, RENAMED
from lustre_events.index.interface import ObjectRow

COMPLETING = frozenset({CONTENT, RENAMED})
Asked = Callable[[str, bytes, Sequence[File], str | None], Sequence[ActionRule]]
"""Returns the rules that could hold: of a trigger, for what happened with a stamp, for files, of a type."""


@dataclass(frozen=True, slots=True)
class Stirred:
    """Something happened in a directory (`fid`) that a rule wants to see complete."""

    rule: ActionRule
    fid: FID
    stamp: bytes
    first_ns: int
    jobid: bytes | None
    depth: int

    def with_later(self, other: Stirred) -> Stirred:
        """Return both as one: the later counts, since the earlier one."""
        latest = max(self, other, key=lambda each: each.stamp)
        return replace(latest, first_ns=min(self.first_ns, other.first_ns), depth=max(self.depth, other.depth))


@dataclass(frozen=True, slots=True)
class Happened:
    """What happened to objects that are there, and what the index knew of them before."""

    present: Mapping[FID, ObjectChange]
    stored: Mapping[FID, ObjectRow]
    paths: Mapping[FID, Sequence[bytes]]
    own: Mapping[FID, Origin]

    def type_of(self, fid: FID) -> str | None:
        """Return the type of an object, as far as it is known."""
        row = self.stored.get(fid)
        return self.present[fid].type or (row.type if row is not None else None)


def stirred(turn: Turn, happened: Happened, asked: Asked) -> Iterator[Stirred]:
    """Yield each rule and directory of what happened once."""
    found: dict[tuple[str, FID], Stirred] = {}
    for each in (*_members(turn, happened, asked), *_renamed(turn, happened, asked)):
        place = each.rule.name, each.fid
        found[place] = found[place].with_later(each) if place in found else each
    yield from found.values()


def _members(turn: Turn, happened: Happened, asked: Asked) -> Iterator[Stirred]:
    stamps = _written(happened)
    links = turn.transaction.links_of(stamps) if stamps else {}
    parents = {link.parent for named in links.values() for link in named}
    paths = turn.transaction.paths(parents) if parents else {}
    for fid, stamp in stamps.items():
        for link in links.get(fid, ()):
            files = [File(path + b"/" + link.name) for path in paths[link.parent]]
            rules = asked(DIRECTORY, stamp, files or [File(link.name, whole=False)], "d")
            yield from _of_member(happened, fid, link.parent, rules)


def _written(happened: Happened) -> dict[FID, bytes]:
    """Return files that were written, or got a name, with the last stamp of that."""
    found = {}
    for fid, change in happened.present.items():
        stamp = _stamp(change)
        if stamp and happened.type_of(fid) in {"f", None}:
            found[fid] = stamp
    return found


def _stamp(change: ObjectChange) -> bytes:
    return max(change.events.get(CONTENT, b""), change.events.get(RENAMED, b""))


def _of_member(happened: Happened, fid: FID, parent: FID, rules: Sequence[ActionRule]) -> Iterator[Stirred]:
    """Yield what the file `fid` is to rules about its directory; own work stirs few."""
    change = happened.present[fid]
    stamp = _stamp(change)
    origin = _origin(happened, fid, stamp)
    for rule in rules:
        if origin is None or rule.own:
            depth = 0 if origin is None else origin.depth
            yield Stirred(rule, parent, stamp, change.first_ns, change.jobid, depth)


def _origin(happened: Happened, fid: FID, stamp: bytes) -> Origin | None:
    origin = happened.own.get(fid)
    return origin if origin is not None and stamp <= origin.stamp else None


def _renamed(turn: Turn, happened: Happened, asked: Asked) -> Iterator[Stirred]:
    """Yield rules that could hold for a directory under its new name, and not under the old one."""
    moved = [
        fid
        for fid, change in happened.present.items()
        if RENAMED in change.events and happened.type_of(fid) in {"d", None}
    ]
    paths = turn.transaction.paths(moved) if moved else {}
    for fid in moved:
        change, old = happened.present[fid], happened.paths.get(fid, ())
        stamp = change.events[RENAMED]
        for rule in asked(DIRECTORY, stamp, [File(path + b"/x") for path in paths[fid]], "d"):
            if not any(rule.may_hold(File(rule.about(path)), "d") for path in old):
                yield Stirred(rule, fid, stamp, change.first_ns, change.jobid, 0)


def may_stir(
    events: Collection[str], directories: Sequence[bytes], name: bytes, may_happen_in: Callable[..., bool]
) -> bool:
    """Whether something that happened under a name in directories could complete one of them, or what has it."""
    places = [(each, name) for each in directories] if COMPLETING & set(events) else []
    if RENAMED in events:
        places += [(each + b"/" + name, b"x") for each in directories]
    return any(may_happen_in((DIRECTORY,), *place) for place in places)
