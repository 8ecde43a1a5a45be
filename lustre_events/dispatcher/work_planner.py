"""Turns changes of objects into pending work: raises generations, evaluates rules, makes rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.config.settings import DispatcherSettings
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.batch import ObjectChange
from lustre_events.domain.pending import CREATED, REASONS, Wanted, merged
from lustre_events.domain.record_meaning import Kind
from lustre_events.domain.rules.rules import DEFAULT_QUEUE, File, Rules, Work
from lustre_events.domain.times import SECOND_NS
from lustre_events.index.interface import Facts, Identity, Lane, ObjectRow, WorkKey
from lustre_events.jobs.messages import BUILT_IN, BUILTIN_QUEUE, SCAN, STAT, TAGS

STAT_IDENTITY = Identity(STAT, "2", "")
"""The built-in extractor. A new version makes it known again, with a greater serial."""

SWEEP = "sweep"

STAT_SETTLE_NS = SECOND_NS // 5
"""Facts are cheap: wait only for the rest of a burst such as CREAT and CLOSE."""


class Question(msgspec.Struct, frozen=True, gc=False):
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


class _Match(msgspec.Struct, frozen=True, gc=False):
    """What the rules give to a file under one of its names; `chance`: for one of the question's chances."""

    question: Question
    chance: bool
    facts: Facts | None
    works: tuple[Work, ...]


class WorkPlanner:
    """Makes pending rows, in the caller's transaction. Extractors that are `disabled` get none."""

    def __init__(
        self, rules: Rules, settings: DispatcherSettings, disabled: Callable[[str], bool] = lambda _name: False
    ) -> None:
        self._disabled = disabled
        self._settle_ns = int(settings.settle_seconds * SECOND_NS)
        self._settle_max_ns = int(settings.settle_max_seconds * SECOND_NS)
        self.follow(rules)

    def follow(self, rules: Rules) -> None:
        """Use these rules from now on."""
        self.rules = rules
        own = rules.work_of_extractor(STAT)
        self._stat = _apart(own) if own else Work(STAT, BUILTIN_QUEUE, 0, STAT_SETTLE_NS, "")
        self._asks = bool(rules.extractors - {STAT})

    @property
    def facts_lane(self) -> Lane:
        """Where `stat` waits."""
        return Lane(self._stat.queue, self._stat.priority)

    def settle_ns(self, extractor: str, rule: str) -> int:
        """Return how long a file must be left alone before this work, in ns."""
        work = self._stat if extractor == STAT else self.rules.work_of(rule)
        return self._settle_ns if work is None or work.settle_ns is None else work.settle_ns

    def take(
        self, turn: Turn, changes: Mapping[FID, ObjectChange], directories: Collection[FID] = ()
    ) -> dict[FID, ObjectRow]:
        """Write the objects that changed, and the work that this asks for; return those that were stored before.

        `directories` are those in which names came or went, which changes their time, size and links, too.
        """
        stored = turn.transaction.objects({*changes, *directories})
        changes = dict(changes)
        for fid in directories:
            if fid in stored or fid in changes:
                changes[fid] = copy(changes[fid]) if fid in changes else ObjectChange(turn.now_ns)
                changes[fid].attributes = True
        rows = {fid: changed(stored.get(fid) or ObjectRow(fid=fid), change) for fid, change in changes.items()}
        turn.transaction.put_objects(rows.values())
        wanted = [self._wanted(row, changes[fid], self._stat, row.generation) for fid, row in rows.items()]
        if self._asks:
            wanted += self._answers(turn, [_question(row, changes[fid]) for fid, row in rows.items()])
        self._put(turn, wanted, new=rows.keys() - stored.keys())
        return stored

    def ask(self, turn: Turn, questions: Sequence[Question]) -> None:
        """Ask the rules about files of which more is known now, and write the work that this asks for."""
        if self._asks:
            self._put(turn, self._answers(turn, questions))

    def look_at(self, turn: Turn, fids: Collection[FID]) -> None:
        """Let `stat` see whether objects are still there."""
        rows = turn.transaction.objects(fids)
        asked = [Question(row, frozenset(), frozenset(), turn.now_ns, turn.now_ns, SWEEP) for row in rows.values()]
        self._put(turn, [self._wanted(each.row, each, self._stat, each.row.generation) for each in asked])

    def facts_came(
        self, before: ObjectRow, generation: int, facts: Facts, now_ns: int, *, restored: bool
    ) -> Question | None:
        """Return what the rules can be asked now that `stat` has seen an object in `generation`; None: nothing new.

        `restored`: HSM had its content on tape only, so nobody may have extracted it.
        """
        if facts.type != "f":
            return None
        after = msgspec.structs.replace(before, type=facts.type, uid=facts.uid, known=generation)
        chances = {Kind.NAME} | ({Kind.CONTENT} if restored or before.known < before.content else set())
        changes: set[Kind] = set()
        if before.type is None or (self.rules.needs_owner and before.uid is None):
            chances.add(Kind.CONTENT)
        elif not self.rules.needs_facts or before.known >= before.generation:
            if not restored:
                return None
        elif before.generation > max(before.content, before.known):
            changes.add(Kind.ATTRIBUTES)
        return Question(after, frozenset(changes), frozenset(chances), now_ns, now_ns, "facts")

    def concerned(self, turn: Turn, extractor: str, rows: Sequence[ObjectRow]) -> list[FID]:
        """Return those files that have a document of an extractor, or to which a rule would give it."""
        files = [row for row in rows if row.type == "f"]
        documents = turn.transaction.documents([row.fid for row in files])
        asked = [Question(row, frozenset(Kind), frozenset(), turn.now_ns, turn.now_ns, "") for row in files]
        given = {
            match.question.row.fid
            for match in self._matches(turn, asked)
            if any(work.extractor == extractor for work in match.works)
        }
        return [row.fid for row in files if (row.fid, extractor) in documents or row.fid in given]

    def remove_outdated(self, turn: Turn, rows: Sequence[ObjectRow]) -> int:
        """Remove documents of older content that no rule has made anew; return how many.

        Otherwise the file would be found by what it no longer contains. One that is asked for stays until it comes.
        """
        by_fid = {row.fid: row for row in rows if row.type == "f" and self._is_known(row)}
        documents = turn.transaction.documents(by_fid) if by_fid else {}
        old = _older(documents, by_fid)
        if not old:
            return 0
        asked = [
            Question(by_fid[fid], frozenset(Kind), frozenset(), turn.now_ns, turn.now_ns, "")
            for fid in {fid for fid, _ in old}
        ]
        given = {
            (match.question.row.fid, work.extractor) for match in self._matches(turn, asked) for work in match.works
        }
        old -= given | turn.transaction.pending(old).keys()
        turn.transaction.remove_outdated(sorted(old))
        return len(old)

    def again(self, turn: Turn, asked: Sequence[WorkKey], reason: str, priority: int) -> int:
        """Write work that a person asks for, due at once; what is pending anyway stays. Return how much is new."""
        rows = turn.transaction.objects({fid for fid, _ in asked})
        pending = turn.transaction.pending(asked)
        wanted = []
        for fid, extractor in dict.fromkeys(asked):
            if fid not in rows or (fid, extractor) in pending:
                continue
            queue = self._stat.queue if extractor in BUILT_IN else DEFAULT_QUEUE
            own = self._stat if extractor == STAT else self.rules.work_of_extractor(extractor)
            work = own or Work(extractor, queue, 0, 0, "")
            work = replace(
                work, settle_ns=0, priority=min(work.priority, 0) + priority if priority else work.priority
            )
            question = Question(rows[fid], frozenset(), frozenset(), turn.now_ns, turn.now_ns, reason)
            wanted.append(self._wanted(rows[fid], question, work, rows[fid].generation))
        self._put(turn, wanted)
        return len(wanted)

    def _answers(self, turn: Turn, questions: Iterable[Question]) -> list[Wanted]:
        """Return the work that the rules give to files: of several rules for an extractor the first one's."""
        asked = [question for question in questions if question.changes or question.chances]
        # What is new has no document.
        stored = [each.row.fid for each in asked if each.chances and each.row.id]
        documents = turn.transaction.documents(stored) if stored else {}
        found: dict[WorkKey, Wanted] = {}
        for match in self._matches(turn, asked):
            row = match.question.row
            generation = row.content if match.chance else row.generation
            for work in self._undone(match, documents):
                if (row.fid, work.extractor) not in found:
                    wanted = self._wanted(row, match.question, work, generation, match.facts)
                    found[row.fid, work.extractor] = wanted
        return list(found.values())

    def _undone(self, match: _Match, documents: Mapping[WorkKey, int]) -> Iterator[Work]:
        """Yield the work of a match that is not done: `stat` has its own, and a document may be good enough."""
        row = match.question.row
        for work in match.works:
            if match.chance and documents.get((row.fid, work.extractor), -1) >= row.content:
                continue
            if work.extractor != STAT and not self._disabled(work.extractor):
                yield work

    def _matches(self, turn: Turn, questions: Sequence[Question]) -> Iterator[_Match]:
        """Yield what rules give to regular files of which enough is known: for their changes, then for chances."""
        asked = {each.row.fid: each for each in questions if each.row.type == "f" and self._is_known(each.row)}
        if not asked:
            return
        paths, names = turn.transaction.places(asked)
        known = turn.transaction.facts(asked) if self.rules.needs_owner or self.rules.needs_facts else {}
        for fid, question in asked.items():
            _, facts = known.get(fid, (0, None))
            places = _places(paths[fid], names.get(fid, []))
            for chance, events in ((False, question.changes), (True, question.chances)):
                for path, whole in places if events else ():
                    file = _file(path, events, facts, question.last_ns, whole=whole)
                    yield _Match(question, chance, facts, self.rules.match(file))

    def _is_known(self, row: ObjectRow) -> bool:
        """Whether the rules can be asked about a file; else they are when its facts come."""
        return self.rules.can_judge(row.generation, row.known, row.uid)

    def _wanted(
        self,
        row: ObjectRow,
        change: ObjectChange | Question,
        work: Work,
        generation: int,
        facts: Facts | None = None,
    ) -> Wanted:
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
            not_before_ns=min(facts.mtime_ns, change.last_ns) + work.min_age_ns if facts and work.min_age_ns else 0,
        )

    @staticmethod
    def _put(turn: Turn, wanted: Sequence[Wanted], new: Collection[FID] = ()) -> None:
        """Write work; for objects that are `new` none is pending."""
        if not wanted:
            return
        known = [(each.fid, each.extractor) for each in wanted if each.fid not in new]
        present = turn.transaction.pending(known) if known else {}
        turn.transaction.put_pending(merged(present.get((each.fid, each.extractor)), each) for each in wanted)


def _apart(work: Work) -> Work:
    """Return the work of a rule for `stat`: in the queue of what is built in, unless it names another one."""
    return replace(work, queue=BUILTIN_QUEUE) if work.queue == DEFAULT_QUEUE else work


def _places(paths: Sequence[bytes], names: Sequence[bytes]) -> list[tuple[bytes, bool]]:
    """Return all paths as whole ones, and the names that no known path ends in."""
    known = {path.rpartition(b"/")[2] for path in paths}
    return [*((path, True) for path in paths), *((name, False) for name in names if name not in known)]


def _file(path: bytes, events: frozenset[Kind], facts: Facts | None, now_ns: int, *, whole: bool) -> File:
    if facts is None:
        return File(path, events, whole, now_ns=now_ns)
    return File(
        path, events, whole, facts.uid, facts.gid, facts.size, facts.mtime_ns, facts.mime, now_ns=now_ns
    )  # fmt: skip


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
        rights=generation if change.rights else row.rights,
        type=change.type or row.type,
        jobid=change.jobid or row.jobid,
        cause=max(row.cause, change.cause),
    )


def _question(row: ObjectRow, change: ObjectChange) -> Question:
    changes = {Kind.CONTENT} if change.content else set()
    if change.attributes:
        changes.add(Kind.ATTRIBUTES)
    chances = frozenset({Kind.NAME}) if change.named else frozenset()
    return Question(row, frozenset(changes), chances, change.first_ns, change.last_ns, _reason(change))


def _reason(change: ObjectChange) -> str:
    if change.found:
        return SCAN
    if change.created:
        return CREATED
    if change.content:
        return REASONS[Kind.CONTENT]
    return REASONS[Kind.ATTRIBUTES if change.attributes else Kind.NAME]


def _older(documents: Mapping[WorkKey, int], by_fid: Mapping[FID, ObjectRow]) -> set[WorkKey]:
    """Return documents of older content; not tags, which `stat` keeps as they are."""
    return {
        work for work, generation in documents.items() if generation < by_fid[work[0]].content and work[1] != TAGS
    }
