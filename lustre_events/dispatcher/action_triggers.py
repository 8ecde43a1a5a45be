"""From what happened to runs of actions, in the transaction that moves the cursor.

A run begins as `settling`: something happened, and by what is known a rule could hold. Until it has settled it
takes in what else happens. Whether the rule holds is asked then (run_settling.py).

Nothing fires for what a scan, a reprocessing or a repair finds, since no record says it (while records are missing
it is held: unrecorded.py), and a rename of a directory says nothing about what is in it. A file that gets a name
for which a rule holds now, and did not before, counts as new content, once: rsync and editors write under another
name first.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lustre_events.actions import run_transitions
from lustre_events.actions.superseding import supersedes
from lustre_events.changelog.fid import FID
from lustre_events.config.settings import DispatcherSettings
from lustre_events.dispatcher.directory_triggers import Happened, may_stir, stirred
from lustre_events.dispatcher.own_work import Origin, OwnWork
from lustre_events.dispatcher.result_outcome import ResultOutcome
from lustre_events.dispatcher.run_writing import put_runs
from lustre_events.dispatcher.turn import Turn
from lustre_events.dispatcher.user_runs import NAMED, events_of, owners_view
from lustre_events.dispatcher.viewers import Viewers
from lustre_events.domain.action_run import SETTLING, Run, Seen, key_of_found
from lustre_events.domain.batch import Batch, ObjectChange
from lustre_events.domain.namespace import Link, OrderKey, eff_time_of
from lustre_events.domain.pending import REPROCESS, due
from lustre_events.domain.rules.action_rules import USERS, ActionRule, ActionRules
from lustre_events.domain.rules.conditions import File
from lustre_events.domain.times import SECOND_NS
from lustre_events.domain.triggers import (
    CONTENT,
    DIRECTORY,
    DOCUMENT,
    HSM,
    LAYOUT,
    REMOVED,
    RENAMED,
)
from lustre_events.index.interface import Facts, ObjectRow
from lustre_events.jobs.messages import BUILT_IN, SCAN


@dataclass(frozen=True, slots=True)
class Before:
    """What the index knew of objects before their names were written."""

    paths: Mapping[FID, Sequence[bytes]] = field(default_factory=dict)
    facts: Mapping[FID, tuple[int, Facts]] = field(default_factory=dict)
    rows: Mapping[FID, ObjectRow] = field(default_factory=dict)
    owners: Mapping[FID, Seen] = field(default_factory=dict)
    """What owners who have rules of their own saw of them."""
    own: Mapping[FID, Origin] = field(default_factory=dict)
    """What runs of containers have put into the file system."""


@dataclass(frozen=True, slots=True)
class _Fired:
    """A rule whose conditions something that happened to an object could meet."""

    rule: ActionRule
    trigger: str
    fid: FID
    stamp: bytes
    first_ns: int
    jobid: bytes | None
    before: Seen | None
    depth: int = 0
    """How many runs in a row led to this."""
    once: bool = False
    """Only where the rule has not fired for this content yet."""
    hold: str = ""
    """Why its run is held; empty: it is not."""
    found: str = ""
    """What a listing has found, of which no record told; empty: a record did."""


NOTHING = Before()
_LOSE_NAMES = frozenset({RENAMED, REMOVED})
_NEED_BEFORE = frozenset({RENAMED, REMOVED, LAYOUT, HSM})
"""Where none of these happened, nothing that was known before matters (`_facts_matter`)."""
ANY_TIME_NS = 1 << 62
MOST_UNWANTED = 50_000
UNWANTED_NS = 60 * SECOND_NS


class ActionTriggers:
    """Makes runs that settle. `floor_ns` says since when each rule is active; it fires for what happened later."""

    def __init__(self, settings: DispatcherSettings, viewers: Viewers) -> None:
        self._viewers = viewers
        self._settle_ns = int(settings.settle_seconds * SECOND_NS)
        self._settle_max_ns = int(settings.settle_max_seconds * SECOND_NS)
        self.rules = ActionRules()
        self.floor_ns: Mapping[str, int] = {}
        self.watched: Collection[str] = ()
        self._own = OwnWork()
        self._unwanted: set[FID] = set()
        """Objects whose names no rule wanted a moment ago."""
        self._unwanted_ns = 0
        self._doubts = False

    def follow(self, rules: ActionRules, floor_ns: Mapping[str, int]) -> None:
        """Use these rules from now on."""
        self.rules, self.floor_ns = rules, floor_ns
        self._own.rules = rules
        self._unwanted = set()
        more = {RENAMED, LAYOUT, HSM} if CONTENT in rules.triggers else set()
        more |= {RENAMED} if any(rule.outputs for rule in rules.by_name.values()) else set()
        more |= {CONTENT, RENAMED} if DIRECTORY in rules.triggers else set()
        self.watched = rules.triggers | more

    def before(self, turn: Turn, batch: Batch) -> Before:
        """Return what is known of objects that lose it now: names and facts of what is renamed or removed."""
        if not self.watched or batch.unusual.isdisjoint(_NEED_BEFORE):
            return NOTHING
        changes = batch.changes
        moved = [fid for fid, each in changes.items() if not _LOSE_NAMES.isdisjoint(each.events)]
        asked = [fid for fid, each in changes.items() if _facts_matter(each)]
        gone = [fid for fid in asked if REMOVED in changes[fid].events]
        look = turn.transaction
        if not moved and not asked:
            return NOTHING
        own = moved if self.rules.users else []
        facts = look.facts({*asked, *own})
        owners = owners_view(turn, self.rules, self._viewers, facts, own)
        return Before(look.paths(moved), facts, look.objects(gone), owners, self._own.before(turn, batch))

    def take(
        self,
        turn: Turn,
        batch: Batch,
        alive: Mapping[FID, ObjectChange],
        stored: Mapping[FID, ObjectRow],
        before: Before,
    ) -> None:
        """Write runs for what happened. `alive` has those of the batch's changes whose objects are not gone."""
        if not self.watched:
            return
        self._own.note(turn, before.own)
        present = self._of_interest(turn, batch, alive)
        fired = [
            *self._removals(batch.changes, alive, before),
            *self._others(turn, present, stored, before),
            *self._directories(turn, Happened(present, stored, before.paths, before.own)),
        ]
        if fired:
            self._write(turn, fired)

    def before_found(self, turn: Turn, named: Collection[FID], lost: Collection[FID]) -> Before:
        """Return what is known of objects of which a listing says that they have other names, or lost one."""
        look, fids = turn.transaction, {*named, *lost}
        facts = look.facts(fids)
        owners = owners_view(turn, self.rules, self._viewers, facts, fids if self.rules.users else ())
        gone = {fid: facts[fid] for fid in lost if fid in facts}
        return Before(look.paths(fids), gone, look.objects(lost), owners)

    def take_found(  # noqa: PLR0917 - as `take`, and why
        self,
        turn: Turn,
        happened: Mapping[FID, ObjectChange],
        alive: Collection[FID],
        stored: Mapping[FID, ObjectRow],
        before: Before,
        why: str,
        known_by: Callable[[str, FID], str],
    ) -> None:
        """Write runs that are held for what no record has told, as `take` does.

        `known_by` tells what happened to an object from all else that may.
        """
        present = {fid: change for fid, change in happened.items() if fid in alive}
        fired = [
            *self._removals(happened, alive, before),
            *self._others(turn, present, stored, before),
            *self._directories(turn, Happened(present, stored, before.paths, before.own)),
        ]
        if fired:
            found = [replace(each, hold=why, found=known_by(each.trigger, each.fid)) for each in fired]
            self._write(turn, found)

    def _of_interest(
        self, turn: Turn, batch: Batch, alive: Mapping[FID, ObjectChange]
    ) -> Mapping[FID, ObjectChange]:
        """Return the changes of objects whose names, and then whose directories, some rule could want."""
        places = self._wanted_places(turn, batch, alive)
        if not places:
            return {}
        paths = turn.transaction.paths({parent for _, parent, _ in places})
        idle = {parent for parent, directories in paths.items() if self._are_idle(directories)}
        wanted = {
            fid
            for fid, parent, name in places
            if parent not in idle and self._may_happen(alive[fid], paths[parent], name)
        }
        return {fid: change for fid, change in alive.items() if fid in wanted} if wanted else {}

    def _wanted_places(
        self, turn: Turn, batch: Batch, alive: Mapping[FID, ObjectChange]
    ) -> list[tuple[FID, FID, bytes]]:
        """Return object, directory and name of each name that some rule could want, of objects with events.

        What is made in this batch has all of its names in it; of others the index is asked, but of those whose
        names no rule wanted a moment ago. Most objects of most batches are not wanted, and leave here.
        """
        links = self.rules.names.among(batch.links.values())
        self._forget_unwanted(turn, batch, links)
        older = self._older(turn, alive, {link.fid for link in links if link.fid is not None})
        places = [
            (fid, link.parent, link.name)
            for link in links
            if (fid := link.fid) is not None and fid in alive and alive[fid].events
        ]
        return places + [(fid, link.parent, link.name) for fid, found in older.items() for link in found]

    def _older(
        self, turn: Turn, alive: Mapping[FID, ObjectChange], named: Collection[FID]
    ) -> Mapping[FID, Sequence[Link]]:
        """Return wanted names of what was not made in this batch; remember what has none. `named` gets one now."""
        older = [fid for fid, change in alive.items() if not change.created]
        older = [fid for fid in older if fid not in self._unwanted]
        asked = [fid for fid in older if alive[fid].events]
        known = turn.transaction.links_of(asked) if asked else {}
        among = self.rules.names.among
        wanted = {fid: links for fid, found in known.items() if (links := among(found))}
        if not self.rules.names.every and not self._doubts:
            self._unwanted.update(alive)
            self._unwanted.difference_update(older)
            self._unwanted.update(asked)
            self._unwanted.difference_update(wanted, named)
        return wanted

    def _are_idle(self, directories: Sequence[bytes]) -> bool:
        """Whether no rule could hold in a directory that has these paths; one that is not known may be any."""
        if not directories or DIRECTORY in self.rules.triggers:
            return False
        return not any(map(self.rules.may_hold_in, directories))

    def _may_happen(self, change: ObjectChange, directories: Sequence[bytes], name: bytes) -> bool:
        """Whether a rule could want what happened to a name; a directory that is not known may be any."""
        asked = {*change.events, CONTENT} if RENAMED in change.events else {*change.events}
        if not directories or any(self.rules.may_happen_in(asked, each, name) for each in directories):
            return True
        return DIRECTORY in self.rules.triggers and may_stir(asked, directories, name, self.rules.may_happen_in)

    def _forget_unwanted(self, turn: Turn, batch: Batch, wanted: Sequence[Link]) -> None:
        """Forget objects that get a wanted name now; where names are in doubt, all: heals change them."""
        self._doubts |= batch.doubts_names
        if self._doubts or len(self._unwanted) > MOST_UNWANTED or turn.now_ns - self._unwanted_ns > UNWANTED_NS:
            self._unwanted, self._unwanted_ns = set(), turn.now_ns
        else:
            self._unwanted.difference_update(link.fid for link in wanted if link.fid is not None)

    def documents(self, turn: Turn, outcomes: Sequence[ResultOutcome]) -> None:
        """Write runs for documents that are written now, of files whose content a record has told of.

        What somebody asked for again is no news.
        """
        if DOCUMENT not in self.rules.triggers:
            return
        rows = turn.transaction.objects({each.row.fid for each in outcomes if _is_news(each)})
        known = {fid: row for fid, row in rows.items() if row.content and row.type == "f" and _told(row)}
        fired = [*self._by_documents(turn, known)]
        if fired:
            self._write(turn, fired)

    def _by_documents(self, turn: Turn, rows: Mapping[FID, ObjectRow]) -> Iterator[_Fired]:
        """Yield rules that could hold for objects of which documents are written now; own work fires few."""
        paths = turn.transaction.paths(rows)
        depths = self._own.depths(turn, rows)
        for fid, row in rows.items():
            for rule in self._asked(DOCUMENT, row.cause, [File(path) for path in paths[fid]], row.type):
                if rule.own or fid not in depths:
                    time_ns, depth = eff_time_of(row.cause), depths.get(fid, 0)
                    yield _Fired(rule, DOCUMENT, fid, row.cause, time_ns, row.jobid, None, depth)

    def _removals(
        self, happened: Mapping[FID, ObjectChange], alive: Collection[FID], before: Before
    ) -> Iterator[_Fired]:
        if REMOVED not in self.rules.triggers:
            return
        for fid, change in happened.items():
            stamp = change.events.get(REMOVED)
            paths = before.paths.get(fid, ())
            if stamp is None or fid in alive or not paths:
                continue
            _, facts = before.facts.get(fid, (0, None))
            row = before.rows.get(fid)
            seen = _seen(paths, facts, change.type or (row.type if row is not None else None))
            for rule in self._asked(REMOVED, stamp, [File(path) for path in paths], seen.type):
                known = before.owners.get(fid) if rule.name == USERS else seen
                if known is not None:
                    yield _Fired(rule, REMOVED, fid, stamp, change.first_ns, change.jobid, known)

    def _others(
        self,
        turn: Turn,
        present: Mapping[FID, ObjectChange],
        stored: Mapping[FID, ObjectRow],
        before: Before,
    ) -> Iterator[_Fired]:
        if not present:
            return
        paths = turn.transaction.paths(present)
        unknown = [fid for fid in present if not paths.get(fid)]
        names = turn.transaction.places(unknown)[1] if unknown else {}
        for fid, change in present.items():
            known = paths.get(fid, ())
            files = [File(path) for path in known] or [File(name, whole=False) for name in names.get(fid, ())]
            type_ = change.type or (stored[fid].type if fid in stored else None)
            yield from self._of_object(fid, change, files, type_, before)

    def _of_object(
        self, fid: FID, change: ObjectChange, files: Sequence[File], type_: str | None, before: Before
    ) -> Iterator[_Fired]:
        for trigger, stamp in change.events.items():
            seen = _seen_before(trigger, fid, type_, before)
            for rule, depth in self._asked_of(before.own.get(fid), trigger, stamp, files, type_):
                users = rule.name == USERS and trigger == RENAMED
                known = before.owners.get(fid, Seen()) if users else seen
                yield _Fired(rule, trigger, fid, stamp, change.first_ns, change.jobid, known, depth)
        if RENAMED in change.events and CONTENT not in change.events and CONTENT in self.rules.triggers:
            yield from self._named(fid, change, files, type_, before)

    def _named(
        self, fid: FID, change: ObjectChange, files: Sequence[File], type_: str | None, before: Before
    ) -> Iterator[_Fired]:
        """Yield rules on content that hold under the new name of a file, and did not under the old one."""
        old = [File(path) for path in before.paths.get(fid, ())]
        stamp = change.events[RENAMED]
        for rule, depth in self._asked_of(before.own.get(fid), CONTENT, stamp, files, type_):
            if rule.name == USERS:
                was = Seen(paths=tuple(file.path for file in old))
                yield _Fired(rule, NAMED, fid, stamp, change.first_ns, change.jobid, was)
            elif not any(rule.may_hold(file, type_) for file in old):
                yield _Fired(rule, CONTENT, fid, stamp, change.first_ns, change.jobid, None, depth, once=True)

    def _directories(self, turn: Turn, happened: Happened) -> Iterator[_Fired]:
        """Yield rules for directories that may be complete now."""
        if DIRECTORY not in self.rules.triggers:
            return
        for each in stirred(turn, happened, self._asked):
            yield _Fired(each.rule, DIRECTORY, each.fid, each.stamp, each.first_ns, each.jobid, None, each.depth)

    def expand(self, turn: Turn, runs: Sequence[Run]) -> None:
        """Let what stood for the rules of all users become runs of the owners' rules."""
        events, after = events_of(turn, self.rules, runs)
        put_runs(turn, runs, after)
        fired = [
            _Fired(
                each.rule,
                each.trigger,
                run.fid,
                run.stamp,
                run.first_ns,
                run.jobid,
                each.before,
                once=each.once,
                hold=run.hold,
                found=run.key if run.hold else "",
            )
            for each in events
            if self._is_later(each.rule, eff_time_of((run := each.run).stamp))
        ]
        if fired:
            self._write(turn, fired)

    def _is_later(self, rule: ActionRule, time_ns: int) -> bool:
        """Whether something happened after a rule became active."""
        return time_ns >= self.floor_ns.get(rule.name, time_ns)

    def _asked(self, trigger: str, stamp: bytes, files: Sequence[File], type_: str | None) -> list[ActionRule]:
        found = {rule.name: rule for file in files for rule in self.rules.asked(trigger, file, type_)}
        time_ns = eff_time_of(stamp) if found else 0
        return [rule for rule in found.values() if self._is_later(rule, time_ns)]

    def _asked_of(
        self, own: Origin | None, trigger: str, stamp: bytes, files: Sequence[File], type_: str | None
    ) -> Iterator[tuple[ActionRule, int]]:
        """Yield the rules that are asked, and how many runs in a row have led here; own work fires few rules."""
        origin = own if own is not None and stamp <= own.stamp else None
        for rule in self._asked(trigger, stamp, files, type_):
            if origin is None or rule.own:
                yield rule, 0 if origin is None else origin.depth

    def _write(self, turn: Turn, fired: Sequence[_Fired]) -> None:
        fids = {each.fid for each in fired}
        rows = turn.transaction.objects(fids)
        done = turn.transaction.fired(fids, {each.rule.name for each in fired if each.once})
        open_: dict[tuple[FID, str, str], list[Run]] = defaultdict(list)
        for run in turn.transaction.open_runs(fids):
            open_[run.fid, run.rule, run.trigger].append(run)
        written: list[Run] = []
        for each in fired:
            row = rows.get(each.fid)
            content = row.content if row is not None else 0
            if each.once and (not content or done.get((each.fid, each.rule.name), 0) >= content):
                continue
            written += self._runs(turn, each, content, open_[each.fid, each.rule.name, each.trigger])
        turn.transaction.put_runs(written)

    def _runs(self, turn: Turn, fired: _Fired, content: int, others: Sequence[Run]) -> Iterator[Run]:
        """Yield the runs that change: a new one, or the one that is settling; older ones that wait are no more."""
        rule = fired.rule
        settle_ns, settle_max_ns = self._settle_of(rule, fired.trigger)
        event_ns = turn.now_ns if fired.hold else min(eff_time_of(fired.stamp), turn.now_ns)
        keyed = fired.found and fired.trigger != DIRECTORY  # whose key is that of what is in it
        key = key_of_found(rule.name, fired.trigger, fired.found) if keyed else ""
        run = Run(
            id=uuid.uuid4().hex, key=key, rule=rule.name, digest=rule.digest, trigger=fired.trigger,
            endpoint=rule.endpoint, action=rule.action, fid=fired.fid, stamp=fired.stamp, event_ns=event_ns,
            first_ns=min(fired.first_ns, event_ns), generation=content, made_ns=turn.now_ns,
            due_ns=due(min(fired.first_ns, event_ns), event_ns, settle_ns, settle_max_ns),
            before=fired.before, jobid=fired.jobid, depth=fired.depth, hold=fired.hold,
        )  # fmt: skip
        for other in others:
            if other.state == SETTLING:
                yield run_transitions.again(other, run, settle_ns, settle_max_ns)
                return
        for other in others:
            if supersedes(run, other):
                ended = run_transitions.superseded(other, turn.now_ns)
                turn.counters.update(run_transitions.counted(other.state, ended.state))
                yield ended
        turn.counters.update(run_transitions.counted(None, run.state))
        yield run

    def _settle_of(self, rule: ActionRule, trigger: str) -> tuple[int, int]:
        """Return how long an object must rest, and how long at most that is waited for."""
        if rule.complete is not None and rule.complete.quiet_ns:
            return rule.complete.quiet_ns, ANY_TIME_NS
        if rule.settle_ns is not None:
            return rule.settle_ns, self._settle_max_ns
        return 0 if trigger in {REMOVED, DOCUMENT} else self._settle_ns, self._settle_max_ns


def _facts_matter(change: ObjectChange) -> bool:
    """Whether it matters what was known of an object: it is removed, or perhaps nobody wrote it."""
    events = change.events
    return REMOVED in events or (CONTENT in events and (LAYOUT in events or HSM in events))


def _told(row: ObjectRow) -> bool:
    """Whether a record has told of an object: what only a scan has found happened before anybody looked."""
    return bool(row.cause) and OrderKey.unpack(row.cause).index > 0


def _is_news(outcome: ResultOutcome) -> bool:
    """Whether a result is a document that neither a scan nor a person has asked for."""
    return outcome.status == "ok" and outcome.reason not in {REPROCESS, SCAN} and outcome.extractor not in BUILT_IN


def _seen_before(trigger: str, fid: FID, type_: str | None, before: Before) -> Seen | None:
    """Return what must be known later of an object as it was: the old name, or the content."""
    if trigger == RENAMED:
        return Seen(paths=tuple(before.paths.get(fid, ())))
    return _seen((), before.facts[fid][1], type_) if trigger == CONTENT and fid in before.facts else None


def _seen(paths: Sequence[bytes], facts: Facts | None, type_: str | None) -> Seen:
    if facts is None:
        return Seen(paths=tuple(paths), type=type_)
    return Seen(
        paths=tuple(paths), type=facts.type, uid=facts.uid, gid=facts.gid, size=facts.size, mtime_ns=facts.mtime_ns,
        mode=facts.mode, mime=facts.mime,
    )  # fmt: skip
