"""From what happened to objects to what shall be done: generations are raised, rules asked, rows made."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from lustre_events.batch import ObjectChange
from lustre_events.config import DispatcherSettings
from lustre_events.fid import FID
from lustre_events.index.interface import Identity, ObjectRow, Transaction
from lustre_events.pending import CREATED, REASONS, SECOND_NS, Kind, Wanted, merged
from lustre_events.rules import DEFAULT_QUEUE, Rules, Work
from lustre_events.work import STAT

STAT_IDENTITY = Identity(STAT, "2", "")
"""The built-in extractor. A new version makes it known again, with a greater serial."""

SWEEP = "sweep"

STAT_SETTLE_NS = SECOND_NS // 5
"""Facts are cheap: wait only for the rest of a burst such as CREAT and CLOSE."""


@dataclass(frozen=True, slots=True)
class Question:
    """A regular file that the rules are asked about.

    Extractors whose rules name one of `changes` have work in any case; those whose rules name one of `chances`
    only if they have no good document of the file's present content (a renamed file, for example).
    """

    row: ObjectRow
    changes: frozenset[Kind]
    chances: frozenset[Kind]
    first_ns: int
    last_ns: int
    reason: str


class Wishes:
    """Makes pending rows, in the caller's transaction."""

    def __init__(self, rules: Rules, settings: DispatcherSettings) -> None:
        self._rules = rules
        self._settle_ns = int(settings.settle_seconds * SECOND_NS)
        self._settle_max_ns = int(settings.settle_max_seconds * SECOND_NS)
        own = rules.work_of_extractor(STAT)
        self._stat = own or Work(STAT, DEFAULT_QUEUE, 0, STAT_SETTLE_NS, "")
        self._asks = bool(rules.extractors - {STAT})

    def settle_ns(self, extractor: str, rule: str) -> int:
        """Return how long a file must be left alone before this work, in ns."""
        work = self._stat if extractor == STAT else self._rules.work_of(rule)
        return self._settle_ns if work is None or work.settle_ns is None else work.settle_ns

    def take(self, transaction: Transaction, changes: Mapping[FID, ObjectChange]) -> None:
        """Write the objects that changed, and the work that this asks for."""
        stored = transaction.objects(changes)
        rows = {fid: changed(stored.get(fid) or ObjectRow(fid=fid), change) for fid, change in changes.items()}
        transaction.put_objects(rows.values())
        wanted = [self._wanted(row, changes[fid], self._stat, row.generation) for fid, row in rows.items()]
        if self._asks:
            wanted += self._answers(transaction, [_question(row, changes[fid]) for fid, row in rows.items()])
        self._put(transaction, wanted)

    def ask(self, transaction: Transaction, questions: Sequence[Question]) -> None:
        """Ask the rules about files of which more is known now, and write the work that this asks for."""
        if self._asks:
            self._put(transaction, self._answers(transaction, questions))

    def look_at(self, transaction: Transaction, fids: Collection[FID], now_ns: int) -> None:
        """Let `stat` see whether objects are still there."""
        rows = transaction.objects(fids)
        asked = [Question(row, frozenset(), frozenset(), now_ns, now_ns, SWEEP) for row in rows.values()]
        self._put(transaction, [self._wanted(each.row, each, self._stat, each.row.generation) for each in asked])

    def needs(self, before: ObjectRow, after: ObjectRow) -> bool:
        """Whether the rules could not be asked about a file before its facts were known, but can now."""
        return after.type == "f" and (before.type is None or (self._rules.needs_owner and before.uid is None))

    def _answers(self, transaction: Transaction, questions: Iterable[Question]) -> list[Wanted]:
        asked = {
            question.row.fid: question
            for question in questions
            if question.row.type == "f"
            and (question.changes or question.chances)
            and not (self._rules.needs_owner and question.row.uid is None)
        }
        if not asked:
            return []
        paths = transaction.paths(asked)
        names = transaction.names(asked)
        documents = transaction.documents([fid for fid, question in asked.items() if question.chances])
        found = []
        for fid, question in asked.items():
            row, works = question.row, dict[str, tuple[Work, int]]()
            for events, generation in ((question.changes, row.generation), (question.chances, row.content)):
                for path, whole in _places(paths[fid], names.get(fid, [])):
                    for work in self._rules.match(path, whole=whole, owner=row.uid, events=events):
                        if events is question.changes or documents.get((fid, work.extractor), -1) < row.content:
                            works.setdefault(work.extractor, (work, generation))
            found += [self._wanted(row, question, *each) for name, each in works.items() if name != STAT]
        return found

    def _wanted(self, row: ObjectRow, change: ObjectChange | Question, work: Work, generation: int) -> Wanted:
        return Wanted(
            fid=row.fid,
            extractor=work.extractor,
            generation=generation,
            first_ns=change.first_ns,
            last_ns=change.last_ns,
            settle_ns=self._settle_ns if work.settle_ns is None else work.settle_ns,
            settle_max_ns=self._settle_max_ns,
            reason=change.reason if isinstance(change, Question) else _reason(change),
            rule=work.rule,
            queue=work.queue,
            priority=work.priority,
        )

    def _put(self, transaction: Transaction, wanted: Sequence[Wanted]) -> None:
        if not wanted:
            return
        present = transaction.pending([(each.fid, each.extractor) for each in wanted])
        transaction.put_pending(merged(present.get((each.fid, each.extractor)), each) for each in wanted)


def _places(paths: Sequence[bytes], names: Sequence[bytes]) -> list[tuple[bytes, bool]]:
    """Return all paths as whole ones, and the names that no known path ends in."""
    known = {path.rpartition(b"/")[2] for path in paths}
    return [*((path, True) for path in paths), *((name, False) for name in names if name not in known)]


def changed(row: ObjectRow, change: ObjectChange) -> ObjectRow:
    """Return an object's row after a change; a row that is not stored yet has generation 0."""
    generation, content = row.generation, row.content
    if change.content or change.attributes or not generation:
        generation += 1
    if change.content:
        content = generation
    return msgspec.structs.replace(
        row,
        generation=generation,
        content=content,
        type=change.type or row.type,
        jobid=change.jobid or row.jobid,
    )


def _question(row: ObjectRow, change: ObjectChange) -> Question:
    changes = {Kind.CONTENT} if change.content else set()
    if change.attributes:
        changes.add(Kind.ATTRIBUTES)
    chances = frozenset({Kind.NAME}) if change.named else frozenset()
    return Question(row, frozenset(changes), chances, change.first_ns, change.last_ns, _reason(change))


def _reason(change: ObjectChange) -> str:
    if change.created:
        return CREATED
    if change.content:
        return REASONS[Kind.CONTENT]
    return REASONS[Kind.ATTRIBUTES if change.attributes else Kind.NAME]
