"""Runs that settle: once the object of a run has rested, the rule of the run is evaluated.

If the rule holds, what will be sent (the body) is made, and the run goes on to action_runs.py. If it does not hold,
the run ends or is forgotten. If something is not known yet, the run is looked at again later.

A rule's query reads only what is committed, so it is asked between two transactions. Its answer is kept for the
next one (`ask_queries`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from lustre_events.actions import bodies, run_transitions
from lustre_events.actions.guards import HOUR_NS, MOST_AT_A_PLACE
from lustre_events.actions.superseding import is_in_doubt, supersedes
from lustre_events.changelog.fid import FID
from lustre_events.dispatcher import run_chains
from lustre_events.dispatcher.action_runs import AT_ONCE, ONCE, ActionRuns, site_first
from lustre_events.dispatcher.directory_judging import DirectoryJudging
from lustre_events.dispatcher.late_facts import LateFacts
from lustre_events.dispatcher.run_views import asks_documents, gone_as_seen, without_old_names
from lustre_events.dispatcher.run_writing import put_runs
from lustre_events.dispatcher.turn import Turn
from lustre_events.dispatcher.user_runs import FACTS_WAIT_NS, is_patient
from lustre_events.dispatcher.viewers import OfUser, UserView, Viewers, seen_by_all
from lustre_events.domain.action_run import (
    BY_BURST,
    BY_QUERY,
    DEAD,
    HELD,
    SENT,
    SETTLING,
    WAITING,
    Hold,
    Run,
    Seen,
    key_of,
)
from lustre_events.domain.retries import LONGEST_WAIT_NS
from lustre_events.domain.rules.action_rules import USERS, ActionRule
from lustre_events.domain.rules.conditions import File
from lustre_events.domain.rules.containers import MOST_DEPTH
from lustre_events.domain.times import SECOND_NS
from lustre_events.domain.triggers import AFTER, CONTENT, DIRECTORY, DOCUMENT, REMOVED
from lustre_events.errors import ConfigError, LustreEventsError
from lustre_events.index.interface import Facts, ObjectRow
from lustre_events.index.visibility import Viewer

log = logging.getLogger(__name__)

MOST_MATCHES = 50_000
DEAD_KEPT = 10
"""How many times the runs that the site grants a user a rule of that user's may have dead ones."""
DOCUMENTS_AT_ONCE = 25
"""Most objects whose documents are read together: all of one may have many MB."""

VIEWERS_WAIT_NS = SECOND_NS
PENDING_WAIT_NS = SECOND_NS // 4


@dataclass(frozen=True, slots=True)
class ReadIndex:
    """Functions that read what is committed in the index, and the users of this node.

    Attributes:
        documents: the good documents of objects, by FID and extractor. May raise LustreEventsError.
        matching: those of some objects that a query finds, as a user sees them (None: a user who sees everything).
            May raise LustreEventsError.
        of_user: a user, with the groups that the user has on this node. May raise ConfigError.
    """

    documents: Callable[[Collection[FID]], Mapping[FID, Mapping[str, Any]]]
    matching: Callable[[str, Collection[FID], Viewer | None], Collection[FID]]
    of_user: OfUser = Viewer.of_user


NOTHING_TO_READ = ReadIndex(lambda _fids: {}, lambda _query, _fids, _viewer: ())
Expand = Callable[[Turn, Sequence[Run]], None]


@dataclass(frozen=True, slots=True)
class _Known:
    """What the index knows of the objects of some runs of one rule."""

    rows: Mapping[FID, ObjectRow]
    facts: Mapping[FID, tuple[int, Facts]]
    paths: Mapping[FID, Sequence[bytes]]
    documents: Mapping[FID, Mapping[str, Any]]
    fired: Mapping[tuple[FID, str], int]
    pending: Collection[FID]
    """Objects with a pending extraction; filled only for a rule with a query."""
    sights: Sequence[UserView] | None = ()
    """The views of the users who must be allowed to see what is sent; None: one of them is not known now."""


class RunSettling:
    """Evaluates the rules of runs that have settled, in the caller's transaction."""

    def __init__(self, reading: ReadIndex, viewers: Viewers, expand: Expand, runs: ActionRuns) -> None:
        """Take the parts that it calls.

        `expand` turns rows that stand for all users' rules into runs of these rules; `runs` takes over what is made
        here.
        """
        self._reading = reading
        self._viewers = viewers
        self._expand = expand
        self._runs = runs
        self.directories = DirectoryJudging()
        self.late_facts = LateFacts()
        self._too_slow: dict[str, str] = {}
        """Users' own rules whose query failed or took too long, with the error; the next `settle` holds them."""
        self._extractors: Collection[str] = ()
        self._questions: dict[str, dict[tuple[str, int], FID]] = {}
        """The objects about which the next `ask_queries` asks: by rule, then by run and its `merged`."""
        self._matches: dict[tuple[str, int], bool] = {}
        """The answers of queries, which the next `settle` uses: by run and its `merged`."""

    def follow(self, extractors: Collection[str]) -> None:
        """Take note that rules may have changed: answers of queries are forgotten.

        `extractors` are those that rules of extractors name; an object for which one of them is pending has not
        settled for a query.
        """
        self._extractors = extractors
        self._matches = {}

    def settle(self, turn: Turn) -> bool:
        """Evaluate the rules of a portion of the runs that have settled; return whether there may be more."""
        more = False
        self._hold_slow(turn)
        self.directories.begin()
        users = bool(self._runs.rules.users)
        held = {hold.name for hold in turn.transaction.holds() if hold.kind == "rule"} if users else set()
        for name in site_first(turn.transaction.rules_with_runs(SETTLING)):
            rule = self._runs.rules.by_name.get(name)
            room = self._room_for_more(turn, rule, held)
            if self._runs.rules.is_paused(name) or room <= 0:
                continue
            runs = turn.transaction.due_runs(SETTLING, name, turn.now_ns, room)
            if rule is not None and len(runs) > DOCUMENTS_AT_ONCE and asks_documents(rule):
                runs, more = runs[:DOCUMENTS_AT_ONCE], True
            more |= len(runs) == AT_ONCE
            if runs:
                self._settled(turn, name, rule, runs)
        return more or self.directories.unfinished

    def _settled(self, turn: Turn, name: str, rule: ActionRule | None, runs: Sequence[Run]) -> None:
        """Go on with runs of one rule that have settled: expand them, cancel them, or evaluate the rule."""
        self.late_facts.looked_at(runs)
        if name == USERS:
            self._expand(turn, runs)
        elif rule is None:
            put_runs(turn, runs, [run_transitions.cancelled(run, turn.now_ns, "its rule is gone") for run in runs])
        else:
            run_chains.expand(turn, self._runs.rules, [run for run in runs if run_chains.stands_for_others(run)])
            self._ask(turn, rule, [run for run in runs if not run_chains.stands_for_others(run)])

    def _hold_slow(self, turn: Turn) -> None:
        """Hold the users' own rules whose queries failed or took too long."""
        wrong, self._too_slow = self._too_slow, {}
        for name, why in wrong.items():
            self._runs.hold(turn, Hold("rule", name, f"its query cannot be asked: {why}", turn.now_ns, BY_QUERY))

    def _room_for_more(self, turn: Turn, rule: ActionRule | None, held: Collection[str]) -> int:
        """Return for how many runs a rule may be evaluated now.

        For a user's own rule: none if it is held, else as many as the grant of the user has room for. Those that
        have a body and have not ended take up room.
        """
        if rule is None or rule.author is None:
            return AT_ONCE
        if rule.name in held:
            return 0
        most = rule.author.allowance.runs
        own = self._runs.rules.users.get(rule.author.uid, ())
        states = (WAITING, SENT, HELD)
        waiting = sum(turn.transaction.count_runs(state, each.name, most) for each in own for state in states)
        return min(AT_ONCE, most - waiting)

    def _ask(self, turn: Turn, rule: ActionRule, runs: Sequence[Run]) -> None:
        known = self._look(turn, rule, runs)
        after = _crowded_held(turn, rule, [self._asked(turn, rule, run, known) for run in runs])
        put_runs(turn, runs, after)
        made = [run for run in after if run is not None and run.state != SETTLING]
        fired = {(run.fid, rule.name): run.generation for run in made if run.began in ONCE}
        turn.transaction.put_fired(fired)
        self._runs.figures.note(made, turn.now_ns)
        _drop_oldest_dead(turn, rule)
        self.directories.made(turn, rule, made)
        _end_older(turn, runs, made)
        now_ns = turn.now_ns
        why = self._runs.guards.made(rule.name, sum(not run.hold for run in made), rule.burst, now_ns)
        if why:
            self._runs.hold(turn, Hold("rule", rule.name, why, turn.now_ns, BY_BURST))

    def _look(self, turn: Turn, rule: ActionRule, runs: Sequence[Run]) -> _Known:
        fids = {run.fid for run in runs if run.trigger != REMOVED or run.hold}
        asks = asks_documents(rule)
        return _Known(
            turn.transaction.objects(fids), turn.transaction.facts(fids), turn.transaction.paths(fids),
            self._reading.documents(fids) if asks and fids else {},
            turn.transaction.fired(fids, {rule.name}) if rule.query else {},
            self._pending(turn, fids) if rule.query else (),
            self._viewers.views(turn.transaction, rule.viewers),
        )  # fmt: skip

    def _asked(self, turn: Turn, rule: ActionRule, run: Run, known: _Known) -> Run | None:
        """Evaluate the rule for a run; return the run afterwards. None: it is forgotten."""
        sights, early = known.sights, self._not_yet(turn, rule, run, known)
        if sights is None or early is not None:
            return early
        row = known.rows.get(run.fid)
        if run.trigger == REMOVED:
            return self._gone(turn, rule, run, known, gone_as_seen(rule, run, sights))
        if row is None:
            why = "the file is not there any more"
            return run_transitions.cancelled(run, turn.now_ns, why) if run.trigger == AFTER else None
        generation, facts = known.facts.get(run.fid, (0, None))
        paths = seen_by_all(sights, run.fid, known.paths.get(run.fid, ()))
        in_doubt = not paths and any(sight.in_doubt for sight in sights)
        if (generation < row.generation or in_doubt) and is_patient(turn, run):
            self.late_facts.wait(run)
            return run_transitions.later(run, turn.now_ns + pause_of(turn, run))
        return self._present(turn, rule, run, known, _seen(paths, row, facts))

    def _gone(self, turn: Turn, rule: ActionRule, run: Run, known: _Known, seen: Seen) -> Run | None:
        """Evaluate the rule for a run whose object is gone; return the run afterwards. None: it is forgotten."""
        if run.hold and run.fid in known.rows:  # a listing lacks its name, but the object may have another name
            return (
                None if known.paths.get(run.fid) else run_transitions.later(run, turn.now_ns + pause_of(turn, run))
            )
        return self._made(turn, rule, run, seen, {})

    def _not_yet(self, turn: Turn, rule: ActionRule, run: Run, known: _Known) -> Run | None:
        """Return the run, due later, if its rule cannot be evaluated yet; None if it can."""
        if known.sights is None:
            return run_transitions.later(run, turn.now_ns + VIEWERS_WAIT_NS)
        return self.directories.not_yet(turn, rule, run) if run.trigger == DIRECTORY else None

    def _present(self, turn: Turn, rule: ActionRule, run: Run, known: _Known, seen: Seen) -> Run | None:
        """Evaluate the rule for a run whose object is there; return the run afterwards. None: it is forgotten.

        `seen` has the names that all of the required viewers see.
        """
        if run.trigger == CONTENT and _unchanged(run.before, seen):
            return None
        if run.trigger == DOCUMENT:
            after = self._matched(turn, rule, run, known)
            if after is not run:
                return after
        if run.trigger == DIRECTORY:
            judged = self.directories.judge(turn, rule, run)
            if judged.run is None or not judged.complete:
                return judged.run
            run = judged.run
        return self._as_seen(turn, rule, run, known, seen)

    def rehearsed(self, turn: Turn, rule: ActionRule, run: Run) -> Run | None:
        """Return the run as it would be sent, for an object that is there; None if a condition does not hold.

        The rule's query is not asked, and nothing is written.

        Raises:
            ConfigError: a required viewer is not known now.
        """
        known = self._look(turn, rule, [run])
        if known.sights is None:
            raise ConfigError("who must see the file is not known yet; ask again")
        _, facts = known.facts.get(run.fid, (0, None))
        paths = seen_by_all(known.sights, run.fid, known.paths.get(run.fid, ()))
        after = self._as_seen(turn, rule, run, known, _seen(paths, known.rows[run.fid], facts))
        return _crowded_held(turn, rule, [after])[0]

    def _as_seen(self, turn: Turn, rule: ActionRule, run: Run, known: _Known, seen: Seen) -> Run | None:
        run = without_old_names(rule, run)
        if all(sight.reads(run.fid) for sight in known.sights or ()):
            return self._made(turn, rule, run, seen, known.documents.get(run.fid, {}))
        return self._made(turn, rule, replace(run, jobid=None), replace(seen, mime=None), {})

    def _matched(self, turn: Turn, rule: ActionRule, run: Run, known: _Known) -> Run | None:
        """Return the run itself if the rule's query finds its object; else what becomes of it.

        Where the query has not been asked yet, that is the run, due later.
        """
        # A run with a key was requested by a person, or was made before its rule was edited. It goes on even if the
        # rule has fired for this content.
        if not run.key and known.fired.get((run.fid, rule.name), 0) >= known.rows[run.fid].content:
            return None
        waits = run.fid in known.pending and is_patient(turn, run)
        matches = self._matches.pop((run.id, run.merged), None)
        if waits or matches is None:
            self._questions.setdefault(rule.name, {})[run.id, run.merged] = run.fid
            pause_ns = pause_of(turn, run) if run.hold else PENDING_WAIT_NS
            return run_transitions.later(run, turn.now_ns + (pause_ns if waits else 0))
        return run if matches else None

    def _made(self, turn: Turn, rule: ActionRule, run: Run, seen: Seen, documents: Mapping[str, Any]) -> Run | None:
        path = next(
            (path for path in seen.paths if rule.holds(_file(rule.about(path), seen, turn.now_ns), seen.type)), None
        )
        if path is None:
            return None
        key = run.key or key_of(rule.name, run.trigger, run.stamp)
        place = bodies.place_of(path)
        run = run_transitions.ready(_with_key(run, key, rule), b"", place, seen.uid, turn.now_ns)
        try:
            body = bodies.rendered(rule, run, bodies.known_of(run, path, seen, documents))
        except ConfigError as exc:
            return run_transitions.refused(run, turn.now_ns, str(exc))
        run = run_transitions.ready(run, body, place, seen.uid, turn.now_ns)
        if run.hold:
            return run_transitions.held(run, run.hold)
        if run.depth > MOST_DEPTH:
            return run_transitions.held(run, f"more than {MOST_DEPTH} runs in a row, each woken by the one before")
        return run

    def _pending(self, turn: Turn, fids: Collection[FID]) -> set[FID]:
        works = [(fid, extractor) for fid in fids for extractor in self._extractors]
        return {fid for fid, _ in turn.transaction.pending(works)}

    def ask_queries(self) -> None:
        """Ask the queries of rules about the objects in question. Call it between transactions, without a lock."""
        questions, self._questions = self._questions, {}
        if len(self._matches) > MOST_MATCHES:
            self._matches = {}  # most are of runs that are gone; for the others the query is asked again
        for name, asked in questions.items():
            rule = self._runs.rules.by_name.get(name)
            if rule is None:
                continue
            try:
                found = self._matching(rule, set(asked.values()))
            except LustreEventsError as exc:  # the runs are still settling, so the query is asked again
                log.warning("rule %r waits: %s", name, exc, extra={"action": "retry"})
                if rule.author is not None:
                    self._too_slow[name] = str(exc)
                continue
            self._matches.update({key: fid in found for key, fid in asked.items()})

    def _matching(self, rule: ActionRule, fids: Collection[FID]) -> Collection[FID]:
        """Return the objects that a rule's query finds for every one of the rule's required viewers."""
        if not rule.viewers:
            return set(self._reading.matching(rule.query, fids, None))
        found = set(fids)
        for viewer in self._viewers.of(rule.viewers) or ():
            found &= set(self._reading.matching(rule.query, found, viewer))
        return found


def _drop_oldest_dead(turn: Turn, rule: ActionRule) -> None:
    """Drop the oldest dead runs of a user's own rule where there are many: its user may never look at them."""
    if rule.author is None:
        return
    most = DEAD_KEPT * rule.author.allowance.runs
    beyond = turn.transaction.count_runs(DEAD, rule.name, most + AT_ONCE) - most
    old = turn.transaction.due_runs(DEAD, rule.name, turn.now_ns, beyond) if beyond > 0 else []
    put_runs(turn, old, [run_transitions.dropped(run, turn.now_ns) for run in old])


def _end_older(turn: Turn, asked: Sequence[Run], made: Sequence[Run]) -> None:
    """End older runs as superseded that had to wait until it was known whether a newer run is made.

    `asked` are the runs whose rule was evaluated, `made` those of them that go on.
    """
    doubted = {run.id for run in asked if is_in_doubt(run)}
    new = {(run.fid, run.rule, run.trigger): run for run in made if run.id in doubted}
    older = []
    for run in turn.transaction.open_runs({fid for fid, _, _ in new}) if new else ():
        newer = new.get((run.fid, run.rule, run.trigger))
        if newer is not None and supersedes(newer, run):
            older.append(run)
    put_runs(turn, older, [run_transitions.superseded(run, turn.now_ns) for run in older])


def _crowded_held(turn: Turn, rule: ActionRule, after: Sequence[Run | None]) -> list[Run | None]:
    """Return runs of a rule as they are, but held where it fires again and again for the same path."""
    places = {run.place for run in after if run is not None and run.state == WAITING}
    crowded = turn.transaction.crowded(rule.name, places, turn.now_ns - HOUR_NS, MOST_AT_A_PLACE)
    if not crowded:
        return list(after)
    why = f"more than {MOST_AT_A_PLACE} runs within an hour for this path: does the action change the file?"
    return [
        run if run is None or run.state != WAITING or run.place not in crowded else run_transitions.held(run, why)
        for run in after
    ]


def _with_key(run: Run, key: str, rule: ActionRule) -> Run:
    return replace(run, key=key, digest=rule.digest, endpoint=rule.endpoint, action=rule.action)


def pause_of(turn: Turn, run: Run) -> int:
    """Return how long (ns) a run waits until it is looked at again: a quarter of its age, or FACTS_WAIT_NS if more.

    So runs that have waited long cost little: a hundred thousand of them may wait for a slow worker. Facts of its
    object that come meanwhile make it due at once (late_facts.py). It is never
    longer than other waits, by which due_times.py knows what a wrong clock has said.
    """
    return min(max(FACTS_WAIT_NS, (turn.now_ns - run.made_ns) // 4), LONGEST_WAIT_NS)


def _unchanged(before: Seen | None, seen: Seen) -> bool:
    """Whether size and mtime are as before: the records were of HSM or of the layout, and nobody wrote."""
    return before is not None and before.mtime_ns is not None and (before.size, before.mtime_ns) == (
        seen.size, seen.mtime_ns,
    )  # fmt: skip


def _seen(paths: Sequence[bytes], row: ObjectRow, facts: Facts | None) -> Seen:
    if facts is None:
        return Seen(paths=tuple(paths), type=row.type)
    return Seen(
        paths=tuple(paths), type=facts.type, uid=facts.uid, gid=facts.gid, size=facts.size, mtime_ns=facts.mtime_ns,
        mode=facts.mode, mime=facts.mime,
    )  # fmt: skip


def _file(path: bytes, seen: Seen, now_ns: int) -> File:
    return File(
        path, uid=seen.uid, gid=seen.gid, size=seen.size, mtime_ns=seen.mtime_ns, mime=seen.mime, now_ns=now_ns
    )
