"""Own work: what runs of containers have put into the file system, which fires only rules that say `own`.

It is known by where it comes from: outputs are made in a directory of the run and renamed from there. The rename's
record names that directory, whose name has the run's id; the ledger says whether there is such a run. A directory
of unknown origin is somebody else's work, so a user who makes directories of such names hides nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from lustre_events.changelog.fid import FID
from lustre_events.dispatcher.run_writing import put_runs
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.action_run import SETTLING, mark_of_maker
from lustre_events.domain.batch import Batch
from lustre_events.domain.rules import containers
from lustre_events.domain.rules.action_rules import ActionRules
from lustre_events.index.interface import ObjectRow

MARK = "/own"
"""Beside what has fired for an object: the content that is own work. No rule is named so."""
MOST_KNOWN = 50_000

T = TypeVar("T", str, int)


@dataclass(frozen=True, slots=True)
class Origin:
    """A rename out of a run's directory: when, how many runs in a row have led to it, and what tells which run."""

    stamp: bytes
    depth: int
    mark: str


class OwnWork:
    """Knows own work, in the caller's transaction."""

    def __init__(self) -> None:
        self.rules = ActionRules()
        self._places: OrderedDict[FID, str] = OrderedDict()
        """Ids of runs by their directories, as records have told of them."""
        self._depths: OrderedDict[FID, int] = OrderedDict()
        """How many runs in a row have led to an object, as far as this process has seen it."""

    def before(self, turn: Turn, batch: Batch) -> Mapping[FID, Origin]:
        """Return which objects of a batch come from a run; to be asked before its names are written."""
        if not any(rule.outputs for rule in self.rules.by_name.values()):
            return {}
        came = batch.came_from
        self._learn(batch.made_directories.items())
        links = turn.transaction.links_of({parent for parent, _ in came.values()} - self._places.keys())
        self._learn((fid, link.name) for fid, names in links.items() for link in names)
        return self._origins(turn, came)

    def _learn(self, named: Iterable[tuple[FID, bytes]]) -> None:
        """Remember which directories are runs' own, by their names."""
        for fid, name in named:
            if run_id := containers.run_of(name):
                _remember(self._places, fid, run_id)

    def _origins(self, turn: Turn, came: Mapping[FID, tuple[FID, bytes]]) -> Mapping[FID, Origin]:
        asked = {self._places[parent] for parent, _ in came.values() if parent in self._places}
        runs = turn.transaction.runs(asked) if asked else {}
        found = {}
        for fid, (parent, stamp) in came.items():
            run = runs.get(self._places.get(parent, ""))
            if run is not None and run.attempts and containers.action_of(run.endpoint):
                found[fid] = Origin(stamp, run.depth + 1, mark_of_maker(run))
        return found

    def note(self, turn: Turn, own: Mapping[FID, Origin]) -> None:
        """Remember own work and whose it is; forget what was to be asked while nobody knew where it came from."""
        if not own:
            return
        for fid, origin in own.items():
            _remember(self._depths, fid, origin.depth)
        rows = turn.transaction.objects(own)  # as this batch has left them: it may have made them
        turn.transaction.put_fired({
            (fid, mark): row.content for fid, row in rows.items() for mark in (MARK, own[fid].mark)
        })  # fmt: skip
        hasty = [
            run
            for run in turn.transaction.open_runs(own)
            if run.state == SETTLING and run.stamp <= own[run.fid].stamp and not self._wanted(run.rule)
        ]
        put_runs(turn, hasty, [None] * len(hasty))

    def depths(self, turn: Turn, rows: Mapping[FID, ObjectRow]) -> dict[FID, int]:
        """Return those of some objects whose present content is own work, with how many runs have led to it."""
        if not any(rule.outputs for rule in self.rules.by_name.values()):
            return {}
        marked = turn.transaction.fired(rows, {MARK})
        return {
            fid: self._depths.get(fid, 1)
            for fid, row in rows.items()
            if (fid, MARK) in marked and marked[fid, MARK] >= row.content
        }

    def _wanted(self, name: str) -> bool:
        rule = self.rules.by_name.get(name)
        return rule is not None and rule.own


def _remember(known: OrderedDict[FID, T], fid: FID, value: T) -> None:
    known[fid] = value
    known.move_to_end(fid)
    if len(known) > MOST_KNOWN:
        known.popitem(last=False)
