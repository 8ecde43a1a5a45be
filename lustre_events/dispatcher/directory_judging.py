"""Judges whether a directory is complete, by what the index knows of its files and not by counted events.

It is judged once three things are so: its quiet time is over; all records up to the end of that time have been
read, of all MDTs; and no worker is being asked about names or facts in it. Then a digest is made of the names,
sizes and mtimes of its files, and each rule fires once for each digest. Which digests have fired is kept with the
directory's object, so a rename of the directory changes nothing. The digest leaves out FIDs, since a migration
changes them, and the stamps of records, since a chmod makes one too.

A directory with many files is read in portions, over several writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from msgspec.structs import replace

from lustre_events.actions import bodies, run_transitions
from lustre_events.changelog.fid import FID
from lustre_events.dispatcher import fired_marks
from lustre_events.dispatcher.own_work import MARK as OWN
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.action_run import Run, key_of_directory
from lustre_events.domain.rules.action_rules import ActionRule
from lustre_events.domain.rules.complete import AGAIN, REPORT, Complete
from lustre_events.domain.times import SECOND_NS
from lustre_events.domain.triggers import DIRECTORY
from lustre_events.index.interface import Facts, ObjectRow
from lustre_events.jobs.messages import HEAL, SCAN

NAMES = 1_000
"""Most names that one write reads, of all directories together."""
PORTION = 250
"""Names that are read of a directory at once."""
READ_WAIT_NS = SECOND_NS
LEAST_WAIT_NS, MOST_WAIT_NS = SECOND_NS // 4, 60 * SECOND_NS
MOST_LOOKS = 1_000


class Judged(NamedTuple):
    """The run after its directory was judged; None: it is forgotten. `complete`: the run goes on to be sent."""

    run: Run | None
    complete: bool = False


@dataclass(slots=True)
class _Look:
    """How far the files of a directory have been read, and what they are so far.

    `merged` is that of the run when reading began: with another one something has happened, and it begins again.
    `after` is the last name that was read.
    """

    merged: int
    after: bytes = b""
    markers: int = 0
    files: int = 0
    digest: bytes = b""

    def add(self, name: bytes, facts: Facts, *, marks: bool) -> None:
        """Add a file; `marks`: it is one of the markers that the rule asks for."""
        self.markers += marks
        self.files += not marks
        self.digest = hashlib.sha256(self.digest + _line(name, facts)).digest()


class DirectoryJudging:
    """Judges directories in the caller's transaction.

    `read_until_ns` is the time up to which all records have been read; who calls it sets it before each write.
    """

    def __init__(self) -> None:
        self.read_until_ns = 0
        self._looks: dict[str, _Look] = {}
        self._left = 0

    def begin(self) -> None:
        """Begin a write, which reads NAMES names at most."""
        self._left = NAMES

    @property
    def unfinished(self) -> bool:
        """Whether this write has read as many names as it may, so that directories are left for the next one."""
        return self._left <= 0

    def forget(self) -> None:
        """Forget what was read: call it after a step that failed, which may have read what was not committed."""
        self._looks = {}

    def not_yet(self, turn: Turn, rule: ActionRule, run: Run) -> Run | None:
        """Return the run, due later, if its directory cannot be judged yet; None if it can."""
        rested_ns = _rested_ns(rule, run)
        if turn.now_ns < rested_ns:
            return run_transitions.later(run, rested_ns)
        if self.read_until_ns < rested_ns:
            return _waiting(turn, run, READ_WAIT_NS, "records of that time may still come")
        if turn.transaction.open_moves(1):
            return _waiting(turn, run, READ_WAIT_NS, "directories migrate")
        return None

    def judge(self, turn: Turn, rule: ActionRule, run: Run) -> Judged:
        """Judge the directory of a run that `not_yet` no longer puts off."""
        complete = rule.complete
        if complete is None:  # the rule was edited, and is no longer about complete directories
            return Judged(None)
        if self._left <= 0:
            return Judged(run)
        look = self._looks.get(run.id)
        if look is None or look.merged != run.merged:
            if len(self._looks) >= MOST_LOOKS:  # of runs that are gone
                self._looks = {}
            look = self._looks[run.id] = _Look(run.merged)
        why = self._asked_for(turn, [run.fid], (HEAL, SCAN)) or self._read(turn, rule, complete, run.fid, look)
        if why is None:
            return Judged(run)
        del self._looks[run.id]
        if why:
            waited_ns = turn.now_ns - max(run.made_ns, _rested_ns(rule, run))
            return Judged(_waiting(turn, run, min(max(waited_ns // 4, LEAST_WAIT_NS), MOST_WAIT_NS), why))
        return self._judged(turn, rule, complete, run, look)

    def _read(self, turn: Turn, rule: ActionRule, complete: Complete, fid: FID, look: _Look) -> str | None:
        """Read more files of a directory.

        Return "" when all are read, a sentence about what must be waited for, or None if more files are left.
        """
        while self._left > 0:
            names = turn.transaction.children(fid, look.after, PORTION)
            self._left -= len(names) + 1
            fids = [each for _, each in names]
            why = self._asked_for(turn, fids, (HEAL,)) or _count(turn, rule, complete, names, look)
            if why or len(names) < PORTION:
                return why
            look.after = names[-1][0]
        return None

    @staticmethod
    def _asked_for(turn: Turn, fids: Sequence[FID], extractors: Sequence[str]) -> str:
        pending = turn.transaction.pending([(fid, each) for fid in fids for each in extractors])
        return "names in it are being looked at" if pending else ""

    @staticmethod
    def _judged(turn: Turn, rule: ActionRule, complete: Complete, run: Run, look: _Look) -> Judged:
        """Return what becomes of a run whose directory has been read to the end."""
        members = look.digest.hex()[:32]
        key = key_of_directory(rule.name, run.fid, members)
        found = replace(run, members=members, files=look.files, error="")
        # A run that has its key was made before its rule was edited, and has not been sent.
        fired = set() if run.key else fired_marks.known(turn, rule, run.fid, members)
        if fired_marks.SAME in fired:
            return Judged(None)
        if fired_marks.EARLIER in fired and rule.late != AGAIN:
            turn.counters["directories_late"] += 1
            if rule.late != REPORT:
                return Judged(None)
            why = "files came into the directory after it was complete, and `late` of the rule is report"
            return Judged(
                run_transitions.cancelled(replace(found, key=key, place=_place(turn, run.fid)), turn.now_ns, why)
            )
        if complete.lacks(look.markers, look.files):
            return Judged(None)
        return Judged(replace(found, key=key), complete=True)

    @staticmethod
    def made(turn: Turn, rule: ActionRule, runs: Sequence[Run]) -> None:
        """Remember for which directories and digests these runs were made, so that none is made twice."""
        for run in runs:
            if run.trigger == DIRECTORY and run.members:
                fired_marks.put(turn, rule, run.fid, run.members)


def _rested_ns(rule: ActionRule, run: Run) -> int:
    return run.event_ns + (rule.complete.quiet_ns if rule.complete is not None else 0)


def _waiting(turn: Turn, run: Run, wait_ns: int, why: str) -> Run:
    return replace(run, due_ns=turn.now_ns + wait_ns, error=why[: run_transitions.MOST_ERROR])


def _place(turn: Turn, fid: FID) -> bytes:
    paths = turn.transaction.paths([fid])[fid]
    return bodies.place_of(paths[0]) if paths else b""


def _count(
    turn: Turn, rule: ActionRule, complete: Complete, names: Sequence[tuple[bytes, FID]], look: _Look
) -> str:
    """Add files to a look; return a sentence about what must be waited for, or ""."""
    fids = {fid for _, fid in names}
    rows, facts = turn.transaction.objects(fids), turn.transaction.facts(fids)
    own = {} if rule.own else turn.transaction.fired(fids, {OWN})
    for name, fid in names:
        row, (generation, known) = rows.get(fid), facts.get(fid, (0, None))
        if not _may_be_file(row, known):
            continue
        if row is None or known is None or generation < row.generation:
            return f"the facts of {bodies.text_of(name)[0].lstrip('/')} are not known yet"
        if own.get((fid, OWN), -1) < row.content:
            look.add(name, known, marks=complete.is_marker(name))
    return ""


def _may_be_file(row: ObjectRow | None, known: Facts | None) -> bool:
    types = (row and row.type, known and known.type)
    return all(type_ in {"f", None} for type_ in types)


def _line(name: bytes, facts: Facts) -> bytes:
    return b"%d %d %d %b\n" % (len(name), facts.size or 0, facts.mtime_ns or 0, name)
