"""Directories as they are: listed by workers (`scan`), merged into names, objects and facts (see fs_answers.py).

A scan begins with one directory and goes on with those that it finds; what is left are pending rows, so it survives
every crash. The same rows without a scan list one directory alone: for `heal` and for `verify --repair`.

An answer is a portion of a directory (listing_diff.py). Names of the index in its range which were not listed
become tombstones.

A file that is new to the index gets its facts from the listing, and the rules are asked (reason `scan`). One whose
facts differ has changed without a record that was seen: it counts as written
(another size or mtime, or a change that neither a record nor a new name explains: both can be put back) or changed.
One whose facts are the same, but were changed after its documents were begun, counts as written, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.dispatcher import fs_answers, tags
from lustre_events.dispatcher.directory_walks import DirectoryWalks
from lustre_events.dispatcher.heal import Healing
from lustre_events.dispatcher.listing_diff import Merged, Portion, portion_of
from lustre_events.dispatcher.turn import Turn
from lustre_events.dispatcher.unrecorded import Listed, Unrecorded
from lustre_events.dispatcher.work_planner import Question, WorkPlanner
from lustre_events.domain.batch import ObjectChange
from lustre_events.domain.namespace import OrderKey
from lustre_events.domain.pending import PendingRow
from lustre_events.domain.record_meaning import Kind
from lustre_events.domain.times import SECOND_NS
from lustre_events.index.interface import Facts, ObjectRow
from lustre_events.jobs.messages import SCAN, Result

CLOCKS_NS = 2 * SECOND_NS
"""A change this shortly after a record is the one that the record reports, since clocks differ."""

_NEW = frozenset({Kind.CONTENT, Kind.NAME})
_NAME = frozenset({Kind.NAME})


class Scanning:
    """Takes portions of directories; `take` each result, then `write` them all, in the caller's transaction."""

    def __init__(
        self, planner: WorkPlanner, walks: DirectoryWalks, healing: Healing, unrecorded: Unrecorded
    ) -> None:
        self._unrecorded = unrecorded
        self._planner = planner
        self._walks = walks
        self._healing = healing
        self._portions: list[Portion] = []
        self._done: list[tuple[int, FID, str]] = []

    def begin(self) -> None:
        """Forget what a step that failed has left."""
        self._portions, self._done = [], []

    def take(self, turn: Turn, result: Result, _row: ObjectRow, before: PendingRow) -> PendingRow | None:
        """Keep a portion for `write` and return what is left of the directory's row.

        Raises:
            ConfigError: it is no listing.
        """
        portion, said = portion_of(result, before, self._healing.skew_ns)
        if said.error:
            self._done.append((before.scan, result.fid, said.error))
            return None
        if portion.after < before.after:
            return before  # it came twice
        if portion.after > before.after:
            return fs_answers.again(before, turn.now_ns)  # a portion between was lost
        self._portions.append(portion)
        if portion.last is not None:
            row = msgspec.structs.replace(before, after=portion.last)
            return fs_answers.again(row, turn.now_ns) if said.more else row
        self._done.append((before.scan, result.fid, ""))
        return None

    def gave_up(self, before: PendingRow, error: str) -> None:
        """Take a directory whose tries are used up as one that cannot be read."""
        self._done.append((before.scan, before.fid, error))

    def write(self, turn: Turn) -> None:
        """Write what was taken, and the work that it asks for."""
        merged = Merged()
        for portion in _present(turn, self._portions):
            known = {
                link.name: link
                for link in turn.transaction.links_between(portion.parent, portion.after, portion.last)
            }
            merged.add(portion, known)
        if self._portions:
            self._write(turn, merged)
        for scan, directories in merged.below.items():
            fs_answers.listings(turn, self._planner.facts_lane, sorted(directories), scan)
        self._count(turn)
        self.begin()

    def _write(self, turn: Turn, merged: Merged) -> None:
        fids = merged.objects.keys()
        stored = turn.transaction.objects(fids)
        named = {
            fid: _change(turn.now_ns, facts)
            for fid, facts in merged.objects.items()
            if fid in merged.named & stored.keys()
        }
        known = self._unrecorded.before(turn, merged.named & stored.keys(), merged.lost)
        before = self._walks.before(turn, named)
        turn.transaction.set_links(merged.links)
        self._walks.begin(turn, before)
        new = [(_new_row(fid, facts), facts) for fid, facts in merged.objects.items() if fid not in stored]
        turn.transaction.add_objects(new)
        facts = turn.transaction.facts(stored)
        changed = self._changed(turn, merged, stored, facts)
        self._planner.take(turn, changed)
        asked = [_question(row, _NEW, turn.now_ns) for row, _ in new]
        asked += [
            _question(stored[fid], _NAME, turn.now_ns) for fid in merged.named & (stored.keys() - changed.keys())
        ]
        self._planner.ask(turn, asked)
        self._planner.look_at(turn, tags.untold(turn, merged.objects))
        # Who has lost a name and has none left: is it still there?
        gone = merged.lost - turn.transaction.linked(merged.lost)
        self._planner.look_at(turn, gone)
        self._unrecorded.take(turn, Listed(merged.objects, stored, facts, merged.named, changed, gone), known)
        self._healing.want(turn, merged.disputed)
        turn.counters["scanned"] += sum(len(portion.names) for portion in self._portions)
        turn.counters["healed"] += merged.healed

    def _changed(
        self, turn: Turn, merged: Merged, stored: dict[FID, ObjectRow], facts: Mapping[FID, tuple[int, Facts]]
    ) -> dict[FID, ObjectChange]:
        """Return what has changed of objects whose facts are known; let `stat` look at the others."""
        self._planner.look_at(turn, stored.keys() - facts.keys())
        changed: dict[FID, ObjectChange] = {}
        same: dict[FID, Facts] = {}
        for fid, (_, known) in facts.items():
            seen = merged.objects[fid]
            if _outside(seen) == _outside(known):
                same[fid] = seen
                continue
            change = changed[fid] = _change(turn.now_ns, seen)
            change.attributes, change.named = True, fid in merged.named
            change.rights = _rights(seen) != _rights(known)
            change.content = seen.type == "f" and (
                (seen.size, seen.mtime_ns) != (known.size, known.mtime_ns)
                or (fid not in merged.named and _changed_unseen(seen, known, stored[fid]))
            )
        for fid in _read_before(turn, same):
            changed[fid] = _change(turn.now_ns, same[fid])
            changed[fid].content, changed[fid].named = True, fid in merged.named
        return changed

    def _count(self, turn: Turn) -> None:
        files: Counter[int] = Counter()
        directories: Counter[int] = Counter()
        for portion in self._portions:
            files[portion.scan] += sum(facts is None or facts.type != "d" for _, facts in portion.names.values())
        for scan, fid, error in self._done:
            directories[scan] += 1
            if scan and error:
                turn.transaction.put_unreadable(scan, fid, error)
        for scan in (files.keys() | directories.keys()) - {0}:
            turn.transaction.count_scan(scan, directories[scan], files[scan])
        turn.transaction.remove_failures([(fid, SCAN) for _, fid, error in self._done if not error])


def _new_row(fid: FID, facts: Facts) -> ObjectRow:
    content = 1 if facts.type == "f" else 0
    return ObjectRow(fid=fid, generation=1, content=content, type=facts.type, uid=facts.uid, known=1)


def _question(row: ObjectRow, chances: frozenset[Kind], now_ns: int) -> Question:
    return Question(row, frozenset(), chances, now_ns, now_ns, SCAN)


def _change(now_ns: int, facts: Facts) -> ObjectChange:
    change = ObjectChange(now_ns)
    change.type, change.named, change.found = facts.type, True, True
    return change


def _outside(facts: Facts) -> Sequence[object]:
    """Return what tells that an object has changed; the time of access does not, nor what reading it tells."""
    return (
        facts.type, facts.size, facts.mtime_ns, facts.ctime_ns, facts.uid, facts.gid, facts.mode, facts.nlink,
        facts.released, facts.acl,
    )  # fmt: skip


def _rights(facts: Facts) -> Sequence[object]:
    return facts.uid, facts.gid, facts.mode, facts.acl


def _read_before(turn: Turn, same: Mapping[FID, Facts]) -> list[FID]:
    """Return files whose facts are known as they are, while a document may be of what was in them before.

    `stat` saw the last change, for whatever reason; an extractor had read the file before; the record was lost.
    """
    written = {fid: min(seen.mtime_ns, seen.ctime_ns) for fid, seen in same.items() if seen.type == "f"}
    begun = turn.transaction.begun(written) if written else {}
    return [fid for fid, time_ns in begun.items() if time_ns <= written[fid] + CLOCKS_NS]


def _told_ns(row: ObjectRow) -> int:
    """Return the time of the last record that told of an object."""
    return OrderKey.unpack(row.cause).eff_time if row.cause else 0


def _changed_unseen(seen: Facts, known: Facts, row: ObjectRow) -> bool:
    """Whether a file was changed and no record has told so: whoever writes can put back its size and mtime."""
    return seen.ctime_ns > max(known.ctime_ns, _told_ns(row) + CLOCKS_NS)


def _present(turn: Turn, portions: Sequence[Portion]) -> Sequence[Portion]:
    """Return portions with the present FIDs of what was listed before it migrated."""
    if not turn.transaction.any_moved():
        return portions
    fids = {fid for portion in portions for fid, _ in portion.names.values() if fid is not None}
    present = turn.transaction.moved(fids)
    return [portion.followed(present) for portion in portions] if present else portions
