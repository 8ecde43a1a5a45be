"""What listings find while records are missing: runs that are held, until a person releases or drops them.

A scan fires nothing. But while a loss is marked, what it finds is what the lost records would have told: a
reconciliation must neither act on thousands of files without a person's consent, nor leave them out. So each
difference becomes a run that is held as soon as its rule holds. A rule is asked only about what happened after it
became active, by the file's own time of change; so a scan into a new index makes no run.

Such a run has no record that its key could be made of. Its key says what was found: of which object, and for
content its size and mtime, for attributes, HSM and another name its ctime. So it is the same whenever, and however
often, that is found, also by an index that was restored.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial

from lustre_events.changelog.fid import FID
from lustre_events.dispatcher.action_triggers import NOTHING, ActionTriggers, Before
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.batch import ObjectChange
from lustre_events.domain.namespace import base_stamp
from lustre_events.domain.triggers import ATTRIBUTES, CONTENT, CREATED, DOCUMENT, HSM, REMOVED, RENAMED
from lustre_events.index.interface import Facts, ObjectRow

WHY = "found without a record while records are missing; a person releases or drops it"


@dataclass(frozen=True, slots=True)
class Listed:
    """What portions of directories say: objects as they are, and which of them are new, named anew or changed."""

    seen: Mapping[FID, Facts]
    stored: Mapping[FID, ObjectRow]
    """Those that the index had before."""
    known: Mapping[FID, tuple[int, Facts]]
    """What it knew of them."""
    named: AbstractSet[FID]
    changed: Mapping[FID, ObjectChange]
    gone: Collection[FID]
    """Those that have no name any more."""


class Unrecorded:
    """Makes such runs. `lost`: records are missing, and nobody has accepted it."""

    def __init__(self, triggers: ActionTriggers) -> None:
        self._triggers = triggers
        self.lost = False

    def before(self, turn: Turn, named: Collection[FID], lost: Collection[FID]) -> Before:
        """Return what is known of objects before they get other names, or lose one."""
        if not self.lost or not self._triggers.watched:
            return NOTHING
        return self._triggers.before_found(turn, named, lost)

    def take(self, turn: Turn, found: Listed, before: Before) -> None:
        """Write runs for what was found."""
        if not self.lost or not self._triggers.watched:
            return
        happened = {fid: _change(turn.now_ns, found, fid) for fid in found.seen}
        happened = {fid: change for fid, change in happened.items() if change.events}
        alive = happened.keys() - found.gone
        for fid in found.gone:
            happened[fid] = change = ObjectChange(turn.now_ns)
            change.events = {REMOVED: base_stamp(turn.now_ns)}
        self._triggers.take_found(turn, happened, alive, found.stored, before, WHY, partial(_known_by, found.seen))


def _known_by(seen: Mapping[FID, Facts], trigger: str, fid: FID) -> str:
    """Return what tells this from all else that may happen to an object in the same way."""
    facts = seen.get(fid)
    if facts is None or trigger in {CREATED, REMOVED}:
        return str(fid)
    return f"{fid}:{facts.size}:{facts.mtime_ns}" if trigger in {CONTENT, DOCUMENT} else f"{fid}:{facts.ctime_ns}"


def _change(now_ns: int, found: Listed, fid: FID) -> ObjectChange:
    """Return what happened to an object, with the time at which it was changed last."""
    facts = found.seen[fid]
    change = ObjectChange(now_ns)
    change.type = facts.type
    stamp = base_stamp(min(facts.ctime_ns, now_ns))
    change.events = dict.fromkeys(_events(found, fid, facts), stamp)
    return change


def _events(found: Listed, fid: FID, facts: Facts) -> list[str]:
    if fid not in found.stored:
        return [CREATED, CONTENT, DOCUMENT] if facts.type == "f" else [CREATED]
    events = []
    change, (_, known) = found.changed.get(fid), found.known.get(fid, (0, facts))
    if change is not None and change.content and not _explained(change, known, facts):
        events += [CONTENT, DOCUMENT]
    if change is not None and change.rights:
        events.append(ATTRIBUTES)
    if facts.released != known.released:
        events.append(HSM)
    # One name that the index did not know is another one for the same object, unless it is one more.
    if fid in found.named and (facts.type == "d" or facts.nlink == 1):
        events.append(RENAMED)
    return events


def _explained(change: ObjectChange, known: Facts, seen: Facts) -> bool:
    """Whether other rights say why a file was changed: what it has in it is taken for the same."""
    return change.rights and (known.size, known.mtime_ns) == (seen.size, seen.mtime_ns)
