"""Asks the file system itself about names that may be wrong: `heal`.

The clocks of two MDSs differ, so the records of two MDTs can be in the wrong order. What a name means is wrong only
if two records about it were: of different MDTs, with times that differ by no more than the clocks, or of epochs
that came in the wrong order. So an object is *contested*

- when a record meets a link of another MDT's at its place, within the skew: both objects. The last record about a
  name is always in such a pair if it has lost, so the object that is really there is asked for;
- when it has records of two MDTs of which the one that was read later is not clearly the later one. The record
  that ended the reign of a wrong winner is about that very object, so the one that is gone from there is asked for;
- when it has migrated, and the last record of a name is of its old FID (aliases.py);
- when a record came late (spans.py): what was removed since its time is forgotten, so it may bring back what is
  gone. What it names is asked for, and what it meets there.

Also asked for: an object that a worker found under another name than the job said, or not at all although the index
has a name for it; that also finds what a lost record would have told.

An answer that says which names the object has is written with the stamp of the asking (fs_answers.py). A name in
the index that the object has not becomes a tombstone right behind the record that gave it: the answer does not say
what is there now, and a record that is still to come may. Where index and answer disagree about a stamp that is
too young, it is asked again. A worker that cannot tell names (no fid2path: not root, or a local directory) says so;
then the directories of the names are listed instead.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.dispatcher import fs_answers
from lustre_events.dispatcher.directory_walks import DirectoryWalks
from lustre_events.dispatcher.turn import Turn
from lustre_events.dispatcher.work_planner import Question, WorkPlanner
from lustre_events.domain.batch import Batch, ObjectChange
from lustre_events.domain.namespace import Link, Place, base_stamp, eff_time_of, refuted, rivals
from lustre_events.domain.pending import SECOND_NS, Kind, PendingRow
from lustre_events.errors import ConfigError
from lustre_events.index.interface import ObjectRow
from lustre_events.jobs.messages import HEAL, Result


class Names(msgspec.Struct, frozen=True, gc=False):
    """What a worker says: pairs of the parent's FID and the percent-encoded name; None: it cannot tell.

    `whole`: these are all of them (a file with many hard links has more names than Lustre can tell).
    """

    names: list[tuple[str, str]] | None
    whole: bool = False

    def places(self) -> set[tuple[FID, bytes]]:
        """Return the names, decoded. Raises ConfigError."""
        return {(FID.parse(parent), fs_answers.name_of(name)) for parent, name in self.names or ()}


class Healing:
    """Puts and takes `heal` rows, in the caller's transaction."""

    def __init__(self, planner: WorkPlanner, walks: DirectoryWalks, skew_seconds: float) -> None:
        self._planner = planner
        self._walks = walks
        self.skew_ns = fs_answers.skew_ns(skew_seconds)
        self.begin()

    def begin(self) -> None:
        """Forget what a step that failed has left."""
        self._lists: set[FID] = set()
        self._looks: set[FID] = set()
        self._questions: list[Question] = []

    def before(self, turn: Turn, batch: Batch) -> None:
        """Find which names of the batch meet another MDT's, or came late; before its links are written."""
        for place, known in turn.transaction.links(batch.links).items():
            link = batch.links[place]
            if place in batch.late or rivals(known.stamp, link.stamp, self.skew_ns):
                batch.contest((known.fid, link.fid), max(known.stamp, link.stamp))

    def after(self, turn: Turn, batch: Batch, stored: Mapping[FID, ObjectRow], present: Mapping[FID, FID]) -> int:
        """Ask for the contested objects' names; return how many.

        `stored` are the objects as they were before the batch, `present` the FIDs that migrated ones have now.
        """
        for fid, row in stored.items():
            change = batch.changes.get(fid)
            if change is not None and row.cause and _late(row.cause, change.since, self.skew_ns):
                batch.contest((fid,), max(row.cause, change.cause))
        if not batch.contested:
            return 0
        times: dict[FID, int] = {}
        for fid, time_ns in batch.contested.items():
            for each in {fid, present.get(fid, fid)}:
                times[each] = max(times.get(each, 0), time_ns)
        return self.want(turn, times)

    def want(self, turn: Turn, times: Mapping[FID, int]) -> int:
        """Ask for objects' names, once what was logged about each up to a time (ns) is old enough."""
        missing = times.keys() - turn.transaction.objects(times).keys()
        linked = turn.transaction.linked(missing) if missing else set()
        # A name that leads to nothing (an old FID, a record that came late): `stat` will find that it is gone.
        turn.transaction.put_objects([ObjectRow(fid=fid, generation=1) for fid in sorted(linked)])
        self._planner.look_at(turn, linked)
        asked = times.keys() - (missing - linked)
        return fs_answers.heals(
            turn, self._planner.facts_lane, {fid: self._ripe(times[fid], turn.now_ns) for fid in asked}
        )

    def doubt(self, turn: Turn, fids: Collection[FID]) -> int:
        """Ask for the names of objects that workers found elsewhere, or not at all; return how many."""
        stored = turn.transaction.objects(fids) if fids else {}
        due_ns = dict.fromkeys(stored, self._ripe(turn.now_ns, turn.now_ns))
        return fs_answers.heals(turn, self._planner.facts_lane, due_ns)

    def take(self, turn: Turn, result: Result, row: ObjectRow, before: PendingRow) -> PendingRow | None:
        """Write what a worker said about an object's names; return what is left to be asked. `write` ends it.

        Raises:
            ConfigError: it is no answer.
        """
        said = _names(result)
        places = _present(turn, said.places())
        known = {(link.parent, link.name): link for link in turn.transaction.links_of([row.fid]).get(row.fid, [])}
        wrong, missing = known.keys() - places, places - known.keys()
        if said.names is None or not said.whole:
            self._lists |= {parent for parent, _ in wrong}
            wrong = set()
        if said.whole and not places:
            self._looks.add(row.fid)  # it has no name at all: is it still there?
        if not wrong and not missing:
            return None
        known |= turn.transaction.links(missing)
        stamp = base_stamp(before.handed_out_ns - self.skew_ns)
        turn.counters["healed"] += self._write(turn, row, _links(row.fid, wrong, missing, known, stamp), known)
        young = [known[place].stamp for place in (wrong | missing) & known.keys() if known[place].stamp >= stamp]
        return fs_answers.again(before, self._ripe(max(map(eff_time_of, young)), turn.now_ns)) if young else None

    def gave_up(self, before: PendingRow, error: str) -> None:
        """Nothing is left to do where nobody could tell an object's names: the failure is kept."""

    def _write(self, turn: Turn, row: ObjectRow, links: Sequence[Link], known: Mapping[Place, Link]) -> int:
        winning = [
            link
            for link in links
            if (place := (link.parent, link.name)) not in known or known[place].stamp < link.stamp
        ]
        if not winning:
            return 0
        change = ObjectChange(turn.now_ns)
        change.named, change.type = True, row.type
        before = self._walks.before(turn, {row.fid: change})
        turn.transaction.set_links(winning)
        self._walks.begin(turn, before)
        self._questions.append(Question(row, frozenset(), frozenset({Kind.NAME}), turn.now_ns, turn.now_ns, HEAL))
        # Who lost a name to this object, and this one if no name is left: are they still there?
        others = {known[place].fid for link in winning if (place := (link.parent, link.name)) in known}
        self._looks |= {fid for fid in (row.fid, *others) if fid is not None}
        return len(winning)

    def write(self, turn: Turn) -> None:
        """Write the work that the answers ask for; once what is left of all rows is written."""
        fs_answers.listings(turn, self._planner.facts_lane, sorted(self._lists))
        nameless = self._looks - turn.transaction.linked(self._looks)
        self._planner.look_at(turn, nameless)
        self._planner.ask(turn, [each for each in self._questions if each.row.fid not in nameless])
        self.begin()

    def _ripe(self, time_ns: int, now_ns: int) -> int:
        """Return when an answer overrules all that was logged up to a time, by whatever clock, in ns."""
        return min(time_ns, now_ns + self.skew_ns) + 2 * self.skew_ns + SECOND_NS


def _names(result: Result) -> Names:
    """Return what a worker said. Raises ConfigError: these are not names."""
    try:
        return msgspec.convert(result.document, Names)
    except msgspec.ValidationError as exc:
        raise ConfigError(f"these are not names of an object: {exc}") from exc


def _links(
    fid: FID, wrong: Collection[Place], missing: Collection[Place], known: Mapping[Place, Link], stamp: bytes
) -> list[Link]:
    """Return what an answer of a stamp says of an object's places: which are not its own, and which are."""
    # That an object is not at a place does not say what is there: records that are still to come decide.
    refused = [Link(*place, None, refuted(known[place].stamp)) for place in wrong if known[place].stamp < stamp]
    return refused + [Link(*place, fid, stamp) for place in missing]


def _late(known: bytes, stamp: bytes, skew_ns: int) -> bool:
    """Whether a record about an object may really be older than the last one, another MDT's, though it came later.

    There is no lower bound: of an object only the last record is remembered, and where an MDT is read hours behind
    the other one, its rival may be any of those before that.
    """
    return known[8:10] != stamp[8:10] and eff_time_of(stamp) <= eff_time_of(known) + skew_ns


def _present(turn: Turn, places: set[Place]) -> set[Place]:
    """Return places by the present FIDs of their directories: one that was split has other ones too."""
    present = turn.transaction.moved({parent for parent, _ in places})
    return {(present.get(parent, parent), name) for parent, name in places}
