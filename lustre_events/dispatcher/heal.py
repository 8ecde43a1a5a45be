"""Finds names in the index that may be wrong, and has workers ask the file system about them: `heal`.

Why a name can be wrong: each MDS has a clock of its own, so the index may put the records of two MDTs into the
wrong order. This matters only where two records about one name are of different MDTs and their times differ by no
more than the clocks may differ (the skew), or where epochs of one MDT were read in the wrong order.

An object is *contested*, which means that a worker is asked for its names, in these cases:

- A record gives a meaning to a name that the index has from another MDT's record, and their times are within the
  skew. Both objects, the one in the record and the one in the index, are contested. If the wrong record won, the
  right one lost against it here, so the object that really has the name is one of the two.
- The index has records of two MDTs about the object, and the one that was read later is not clearly the later
  one. This finds an object that still has a name in the index although it has lost it: the record that took the
  name away is about that very object.
- The object has migrated, and the last record about one of its names has its old FID (migrated_fids.py).
- A record came late (domain/spans.py): the index has forgotten what was removed since the time of that record, so
  the record may bring a removed name back. The object that it names is contested, and the one that has the name
  in the index.
- A worker found the object under another name than its job said, or did not find it although the index has a name
  for it. This also finds what a lost record would have told.

What becomes of an answer: it lists the names that the object has, and is written with the time of the question
(fs_answers.py says why). A name that the index has and the object has not becomes a tombstone. Its stamp is the
next one after that of the record that gave the name, since the answer does not say which object has the name now:
any later record may still give it to one. Where answer and index disagree, but the index has a record that is too
young for the answer to decide, the object is asked for again later.

Some workers cannot list an object's names, because they are not root or because the source is a local directory
(there is no fid2path). They say so, and the directories of the names in doubt are listed instead.
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
from lustre_events.domain.pending import PendingRow
from lustre_events.domain.record_meaning import Kind
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import ConfigError
from lustre_events.index.interface import ObjectRow
from lustre_events.jobs.messages import HEAL, Result


class Names(msgspec.Struct, frozen=True, gc=False):
    """A worker's answer: the object's names, as pairs of the parent's FID and the percent-encoded name.

    `names` is None where the worker cannot list names. `whole` says that the list is complete: of a file with very
    many hard links Lustre lists only some.
    """

    names: list[tuple[str, str]] | None
    whole: bool = False

    def places(self) -> set[tuple[FID, bytes]]:
        """Return the names, decoded. Raises ConfigError."""
        return {(FID.parse(parent), fs_answers.name_of(name)) for parent, name in self.names or ()}


class Healing:
    """Makes `heal` rows for contested objects, and writes what workers answer, in the caller's transaction."""

    def __init__(self, planner: WorkPlanner, walks: DirectoryWalks, skew_seconds: float) -> None:
        self._planner = planner
        self._walks = walks
        self.skew_ns = fs_answers.skew_ns(skew_seconds)
        self.begin()

    def begin(self) -> None:
        """Forget what is collected for `write`: the step before may have failed."""
        self._lists: set[FID] = set()
        self._looks: set[FID] = set()
        self._questions: list[Question] = []

    def before(self, turn: Turn, batch: Batch) -> None:
        """Contest the objects of names in the batch that came late, or that another MDT's record may overrule.

        Call it before the links of the batch are written: it compares them with those in the index.
        """
        for place, known in turn.transaction.links(batch.links).items():
            link = batch.links[place]
            if place in batch.late or rivals(known.stamp, link.stamp, self.skew_ns):
                batch.contest((known.fid, link.fid), max(known.stamp, link.stamp))

    def after(self, turn: Turn, batch: Batch, stored: Mapping[FID, ObjectRow], present: Mapping[FID, FID]) -> int:
        """Make `heal` rows for the contested objects; return how many.

        `stored` are the objects as they were before the batch. `present` has the present FID of each one that has
        migrated, by its old FID.
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
        """Make `heal` rows for objects; return how many.

        `times` has for each object the time (ns) of the latest record in doubt. The row is due when an answer can
        overrule all records up to that time (`_ripe`).
        """
        missing = times.keys() - turn.transaction.objects(times).keys()
        linked = turn.transaction.linked(missing) if missing else set()
        # The index has a name for them but no object (an old FID, a record that came late). `stat` finds out
        # whether they are gone.
        turn.transaction.put_objects([ObjectRow(fid=fid, generation=1) for fid in sorted(linked)])
        self._planner.look_at(turn, linked)
        asked = times.keys() - (missing - linked)
        return fs_answers.heals(
            turn, self._planner.facts_lane, {fid: self._ripe(times[fid], turn.now_ns) for fid in asked}
        )

    def doubt(self, turn: Turn, fids: Collection[FID]) -> int:
        """Make `heal` rows for objects that workers found under another name, or not at all; return how many."""
        stored = turn.transaction.objects(fids) if fids else {}
        due_ns = dict.fromkeys(stored, self._ripe(turn.now_ns, turn.now_ns))
        return fs_answers.heals(turn, self._planner.facts_lane, due_ns)

    def take(self, turn: Turn, result: Result, row: ObjectRow, before: PendingRow) -> PendingRow | None:
        """Write a worker's answer about the names of an object; return the row if it must be asked for again.

        `before` is the row as the job held it. What the answer causes (listings, `stat`, rules) is collected until
        `write` is called.

        Raises:
            ConfigError: the document is not such an answer.
        """
        said = _names(result)
        places = _present(turn, said.places())
        known = {(link.parent, link.name): link for link in turn.transaction.links_of([row.fid]).get(row.fid, [])}
        wrong, missing = known.keys() - places, places - known.keys()
        if said.names is None or not said.whole:
            self._lists |= {parent for parent, _ in wrong}
            wrong = set()
        if said.whole and not places:
            self._looks.add(row.fid)  # it has no name at all, so `stat` looks whether it still exists
        if not wrong and not missing:
            return None
        known |= turn.transaction.links(missing)
        stamp = base_stamp(before.handed_out_ns - self.skew_ns)
        turn.counters["healed"] += self._write(turn, row, _links(row.fid, wrong, missing, known, stamp), known)
        young = [known[place].stamp for place in (wrong | missing) & known.keys() if known[place].stamp >= stamp]
        return fs_answers.again(before, self._ripe(max(map(eff_time_of, young)), turn.now_ns)) if young else None

    def gave_up(self, before: PendingRow, error: str) -> None:
        """Do nothing: where no worker could list an object's names, the failure that is kept is all there is."""

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
        # `stat` looks whether these still exist: those that lost a name to this one, and this one without a name.
        others = {known[place].fid for link in winning if (place := (link.parent, link.name)) in known}
        self._looks |= {fid for fid in (row.fid, *others) if fid is not None}
        return len(winning)

    def write(self, turn: Turn) -> None:
        """Write the work that the answers taken so far have caused.

        Call it after the rows that `take` returned are written.
        """
        fs_answers.listings(turn, self._planner.facts_lane, sorted(self._lists))
        nameless = self._looks - turn.transaction.linked(self._looks)
        self._planner.look_at(turn, nameless)
        self._planner.ask(turn, [each for each in self._questions if each.row.fid not in nameless])
        self.begin()

    def _ripe(self, time_ns: int, now_ns: int) -> int:
        """Return when a question may be asked whose answer overrules all records up to `time_ns`, in ns.

        The answer counts as of its question less the skew, and the clock of the record may be ahead by the skew.
        """
        return min(time_ns, now_ns + self.skew_ns) + 2 * self.skew_ns + SECOND_NS


def _names(result: Result) -> Names:
    """Return the answer in a result. Raises ConfigError if its document is none."""
    try:
        return msgspec.convert(result.document, Names)
    except msgspec.ValidationError as exc:
        raise ConfigError(f"these are not names of an object: {exc}") from exc


def _links(
    fid: FID, wrong: Collection[Place], missing: Collection[Place], known: Mapping[Place, Link], stamp: bytes
) -> list[Link]:
    """Return the links that an answer leads to: tombstones at `wrong` places, the object at `missing` ones."""
    # The answer does not say which object is at a wrong place now; a record that is still to come may.
    refused = [Link(*place, None, refuted(known[place].stamp)) for place in wrong if known[place].stamp < stamp]
    return refused + [Link(*place, fid, stamp) for place in missing]


def _late(known: bytes, stamp: bytes, skew_ns: int) -> bool:
    """Whether the record `stamp` may really be older than `known`, another MDT's record that was read before it.

    However much older its time is, it counts: the index keeps only the last record of an object, and an MDT may be
    read hours behind another one, so the record that it contradicts may be an earlier one than `known`.
    """
    return known[8:10] != stamp[8:10] and eff_time_of(stamp) <= eff_time_of(known) + skew_ns


def _present(turn: Turn, places: set[Place]) -> set[Place]:
    """Return places with the present FIDs of their directories: a directory that was split also has old FIDs."""
    present = turn.transaction.moved({parent for parent, _ in places})
    return {(present.get(parent, parent), name) for parent, name in places}
