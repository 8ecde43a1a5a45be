"""Results on their way into the index: what it knows of their objects, and what they change until it is written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lustre_events.changelog.fid import FID
from lustre_events.dispatcher.result_outcome import ResultOutcome
from lustre_events.dispatcher.tags import Tags
from lustre_events.dispatcher.turn import Turn
from lustre_events.dispatcher.work_planner import Question
from lustre_events.domain.pending import PendingRow, found_gone
from lustre_events.domain.retries import LONGEST_RETRY_NS
from lustre_events.domain.tallies import Tallies
from lustre_events.domain.times import SECOND_NS
from lustre_events.index.interface import Facts, ObjectRow, WorkKey
from lustre_events.jobs.messages import STAT, Result

GONE_WAIT_NS = 5 * SECOND_NS


@dataclass(slots=True)
class Taken:
    """A batch of results: what the index knows of their objects, and their changes until these are written."""

    objects: Mapping[FID, ObjectRow]
    pending: Mapping[WorkKey, PendingRow]
    linked: Collection[FID]
    """Objects that were not found, and have a name."""
    released: Collection[FID]
    """Objects whose content HSM had released, as far as is known."""
    rows: dict[WorkKey, PendingRow | None] = field(default_factory=dict)
    """What is left of pending rows that change."""
    nameless: set[FID] = field(default_factory=set)
    """Objects that are gone, and have no name."""
    doubted: set[FID] = field(default_factory=set)
    """Objects whose names are to be asked for."""
    outdated: dict[FID, ObjectRow] = field(default_factory=dict)
    """Objects that may have documents of older content."""
    questions: list[Question] = field(default_factory=list)
    facts: list[tuple[ObjectRow, int, Facts]] = field(default_factory=list)
    documents: list[tuple[ObjectRow, Result]] = field(default_factory=list)
    tags: list[tuple[ObjectRow, Result, Tags]] = field(default_factory=list)
    failures: list[tuple[ObjectRow, Result, int]] = field(default_factory=list)
    outcomes: list[ResultOutcome] = field(default_factory=list)
    judged: list[Result] = field(default_factory=list)
    tallies: Tallies = field(default_factory=Tallies)
    written: bool = False
    """Documents are in the index already; these results have none."""


def looked_up(turn: Turn, results: Sequence[Result], *, written: bool) -> Taken:
    """Return what the index knows of the objects of results; `written`: their documents are in the index."""
    objects = turn.transaction.objects({result.fid for result in results})
    pending = turn.transaction.pending([(result.fid, result.extractor) for result in results])
    linked = turn.transaction.linked({result.fid for result in results if result.status == "gone"})
    return Taken(objects, pending, linked, _released(turn, objects.values()), written=written)


def keep_for_migrations(turn: Turn, taken: Taken, passed_ns: int) -> None:
    """Keep objects that are gone with documents, as long as a record of a migration may still come for these."""
    for fid, _ in turn.transaction.documents(taken.nameless):
        before = taken.pending.get((fid, STAT))
        since_ns = before.gone_ns if before is not None and before.gone_ns else turn.now_ns
        if since_ns > passed_ns:
            taken.nameless.discard(fid)
            taken.rows[fid, STAT] = _kept(before, since_ns, turn.now_ns)


def _released(turn: Turn, rows: Iterable[ObjectRow]) -> set[FID]:
    """Return which objects HSM had released when `stat` saw them last; those with newer content do not matter."""
    seen = [row.fid for row in rows if row.known and row.generation > row.content]
    return {fid for fid, (_, facts) in turn.transaction.facts(seen).items() if facts.released} if seen else set()


def _kept(row: PendingRow | None, since_ns: int, now_ns: int) -> PendingRow | None:
    """Return the row of an object that is gone, to be looked at again when it has been so for twice as long."""
    if row is None:
        return None  # a result that came twice; the row that it had is due anyway, or the sweeper finds the object
    wait_ns = min(GONE_WAIT_NS + now_ns - since_ns, LONGEST_RETRY_NS)
    return found_gone(row, since_ns, now_ns + wait_ns)
