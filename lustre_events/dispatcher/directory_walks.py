"""DirectoryWalks: a directory got another path, so the rules may give another answer for the files below it.

A walk begins only where a rule's directories tell the new path from the old one, and where the directory had
names already (its own record may come after those of its files: MDTs are read side by side). It is kept in the
index and goes a bounded number of names in each step, so it neither stops reading nor is it lost in a crash. The
files are asked about as renamed files are: who has a good document of its present content is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.dispatcher.turn import Turn
from lustre_events.dispatcher.work_planner import Question, WorkPlanner
from lustre_events.domain.batch import ObjectChange
from lustre_events.domain.pending import REASONS
from lustre_events.domain.record_meaning import Kind
from lustre_events.index.interface import ObjectRow, Walk

NAMES_PER_STEP = 500
MAX_DEPTH = 2_048
"""No path has more names. Links that come out of order can form a circle for a while: a walk ends there."""

Paths = Mapping[FID, list[bytes]]


class DirectoryWalks:
    """Starts walks and continues them, in the caller's transaction."""

    def __init__(self, planner: WorkPlanner) -> None:
        self._planner = planner

    def before(self, turn: Turn, changes: Mapping[FID, ObjectChange]) -> Paths:
        """Return the paths of those directories whose names change, before their new ones are written."""
        if not self._planner.rules.ask_for_directories:
            return {}
        named = [
            fid
            for fid, change in changes.items()
            if (change.named or change.created) and change.type in (None, "d") and not change.gone
        ]
        return turn.transaction.paths(turn.transaction.parents(named)) if named else {}

    def begin(self, turn: Turn, before: Paths) -> int:
        """Begin the walks that the new names ask for, once these are written; return how many."""
        if not before:
            return 0
        after = turn.transaction.paths(before)
        walks = [Walk(fid) for fid, paths in before.items() if self._planner.rules.may_differ(paths, after[fid])]
        turn.transaction.put_walks(walks)
        return len(walks)

    def step(self, turn: Turn) -> None:
        """Continue a walk; count how many names were looked at, plus one for the directory."""
        walk = turn.transaction.walk()
        if walk is None:
            return
        names = turn.transaction.children(walk.fid, walk.after, NAMES_PER_STEP)
        objects = turn.transaction.objects({fid for _, fid in names})
        self._planner.ask(turn, [_question(row, turn.now_ns) for row in objects.values() if row.type == "f"])
        if len(names) < NAMES_PER_STEP:
            turn.transaction.remove_walk(walk.fid)
        else:
            turn.transaction.put_walks([msgspec.structs.replace(walk, after=names[-1][0])])
        if walk.depth < MAX_DEPTH:
            below = {fid for _, fid in names if fid not in objects or objects[fid].type in ("d", None)}
            turn.transaction.put_walks(
                Walk(fid, depth=walk.depth + 1) for fid in sorted(turn.transaction.parents(below))
            )
        turn.counters["walked"] += len(names) + 1


def _question(row: ObjectRow, now_ns: int) -> Question:
    return Question(row, frozenset(), frozenset({Kind.NAME}), now_ns, now_ns, REASONS[Kind.NAME])
