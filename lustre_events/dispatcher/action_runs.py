"""Runs of actions from settling to their end, in the transactions of a step.

    settling, due      its rule is asked with all that is known now: what is sent is made, or the run is forgotten
    waiting, due       it goes to the courier, leased, as far as rates, holds and what is out already allow
    sent, answered     done; or due again, dead, or waiting until its endpoint is released
    sent, lease ended  nobody knows whether it arrived: due again, with the same key

A delivery goes out only when its lease is committed, and an answer is acknowledged only when it is committed. So a
kill between any two steps loses nothing, and at worst something is sent again.
"""

from __future__ import annotations

import logging
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from lustre_events.actions import bodies, ledger
from lustre_events.actions.delivery import Answer, Delivery, Parcel
from lustre_events.actions.guards import HOUR_NS, MOST_AT_A_PLACE, Guards
from lustre_events.changelog.fid import FID
from lustre_events.dispatcher.run_views import as_seen_now, asks_documents, gone_as_seen, without_old_names
from lustre_events.dispatcher.run_writing import put_runs
from lustre_events.dispatcher.turn import Turn
from lustre_events.dispatcher.user_runs import FACTS_WAIT_NS, MOST_FACTS_WAIT_NS
from lustre_events.dispatcher.viewers import OfUser, UserView, Viewers, seen_by_all
from lustre_events.domain.action_run import HELD, SENT, SETTLING, WAITING, Hold, Run, Seen, key_of
from lustre_events.domain.pending import SECOND_NS
from lustre_events.domain.rules.action_rules import USERS, ActionRule, ActionRules, user_of
from lustre_events.domain.rules.conditions import File
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.rules.grants import Author
from lustre_events.domain.triggers import CONTENT, DOCUMENT, REMOVED
from lustre_events.errors import ConfigError, LustreEventsError
from lustre_events.index.interface import Facts, ObjectRow
from lustre_events.index.visibility import Viewer

log = logging.getLogger(__name__)

AT_ONCE = 200
"""Runs of one rule that one write takes."""
LEASE_NS = 10 * SECOND_NS
"""Beyond the endpoint's own time."""
MOST_OUT_EVENTS = 4_000
MOST_MATCHES = 50_000

VIEWERS_WAIT_NS = SECOND_NS
PENDING_WAIT_NS = SECOND_NS // 4


@dataclass(frozen=True, slots=True)
class ReadIndex:
    """Reads what is committed. The first two may raise LustreEventsError.

    `documents` returns the good documents of objects, by extractor; `matching` those of some that match a query, as
    a user sees them (None: all); `of_user` returns a user with the groups that the user has here, or raises
    ConfigError.
    """

    documents: Callable[[Collection[FID]], Mapping[FID, Mapping[str, Any]]]
    matching: Callable[[str, Collection[FID], Viewer | None], Collection[FID]]
    of_user: OfUser = Viewer.of_user


NOTHING_TO_READ = ReadIndex(lambda _fids: {}, lambda _query, _fids, _viewer: ())
Expand = Callable[[Turn, Sequence[Run]], None]


@dataclass(slots=True)
class _Out:
    """A delivery that is out: where, of which rule, how many events, and until when."""

    endpoint: str
    rule: str
    events: int
    until_ns: int


@dataclass(frozen=True, slots=True)
class _Known:
    """What the index knows of the objects of runs."""

    rows: Mapping[FID, ObjectRow]
    facts: Mapping[FID, tuple[int, Facts]]
    paths: Mapping[FID, Sequence[bytes]]
    documents: Mapping[FID, Mapping[str, Any]]
    fired: Mapping[tuple[FID, str], int]
    pending: Collection[FID]
    """Those for which an extraction is pending, where queries are asked."""
    sights: Sequence[UserView] | None = ()
    """Of those who must be allowed to see what is sent; None: one of them is not known now."""


class ActionRuns:
    """Carries runs on, in the caller's transaction. `handed_out` are deliveries to give once it is committed."""

    def __init__(self, reading: ReadIndex, viewers: Viewers, expand: Expand) -> None:
        """Take what reads the index, knows users, and makes runs of users' own rules of what stands for them."""
        self._reading = reading
        self._viewers = viewers
        self._expand = expand
        self._too_slow: dict[str, str] = {}
        """Users' own rules whose query cannot be asked, and why."""
        self._extractors: Collection[str] = ()
        self._questions: dict[str, dict[tuple[str, int], FID]] = {}
        """What queries are to be asked about: by rule, and by run and how often it was merged."""
        self._matches: dict[tuple[str, int], bool] = {}
        self.rules = ActionRules()
        self.endpoints: Mapping[str, Endpoint] = {}
        self.guards = Guards()
        self.handed_out: list[Delivery] = []
        self._out: dict[str, _Out] = {}

    def follow(
        self, rules: ActionRules, endpoints: Mapping[str, Endpoint], extractors: Collection[str] = ()
    ) -> None:
        """Ask these rules, and send to these endpoints, from now on; `extractors` are those that rules name."""
        self.rules, self.endpoints, self._extractors = rules, endpoints, extractors
        self._matches = {}

    def reload(self) -> None:
        """Forget what is not committed: after a failed step nobody knows."""
        self.handed_out = []

    # Settling

    def settle(self, turn: Turn) -> bool:
        """Ask the rules about runs that have settled; return whether there may be more."""
        more = False
        self._hold_slow(turn)
        held = (
            {hold.name for hold in turn.transaction.holds() if hold.kind == "rule"} if self.rules.users else set()
        )
        for name in _site_first(turn.transaction.rules_with_runs(SETTLING)):
            rule = self.rules.by_name.get(name)
            room = self._room_for_more(turn, rule, held)
            if self.rules.is_paused(name) or room <= 0:
                continue
            runs = turn.transaction.due_runs(SETTLING, name, turn.now_ns, room)
            more |= len(runs) == AT_ONCE
            if not runs:
                continue
            if name == USERS:
                self._expand(turn, runs)
            elif rule is None:
                self._put(turn, runs, [ledger.cancelled(run, turn.now_ns, "its rule is gone") for run in runs])
            else:
                self._ask(turn, rule, runs)
        return more

    def _hold_slow(self, turn: Turn) -> None:
        """Hold users' own rules whose queries cannot be asked."""
        wrong, self._too_slow = self._too_slow, {}
        for name, why in wrong.items():
            self.hold(turn, "rule", name, f"its query cannot be asked: {why}")

    def _room_for_more(self, turn: Turn, rule: ActionRule | None, held: Collection[str]) -> int:
        """Return of how many runs a rule may be asked now.

        None of a user's rule that is held; and no more than the site grants of that user's wait with what is sent.
        """
        if rule is None or rule.author is None:
            return AT_ONCE
        if rule.name in held:
            return 0
        most = rule.author.allowance.runs
        own = self.rules.users.get(rule.author.uid, ())
        states = (WAITING, SENT, HELD)
        waiting = sum(turn.transaction.count_runs(state, each.name, most) for each in own for state in states)
        return min(AT_ONCE, most - waiting)

    def _ask(self, turn: Turn, rule: ActionRule, runs: Sequence[Run]) -> None:
        known = self._look(turn, rule, runs)
        after = [self._asked(turn, rule, run, known) for run in runs]
        self._put(turn, runs, after)
        made = [run for run in after if run is not None and run.state != SETTLING]
        fired = {(run.fid, rule.name): run.generation for run in made if run.trigger in {CONTENT, DOCUMENT}}
        turn.transaction.put_fired(fired)
        why = self.guards.made(rule.name, len(made), rule.burst, turn.now_ns)
        if why:
            self.hold(turn, "rule", rule.name, why)

    def _look(self, turn: Turn, rule: ActionRule, runs: Sequence[Run]) -> _Known:
        fids = {run.fid for run in runs if run.trigger != REMOVED}
        asks = asks_documents(rule)
        return _Known(
            turn.transaction.objects(fids), turn.transaction.facts(fids), turn.transaction.paths(fids),
            self._reading.documents(fids) if asks and fids else {},
            turn.transaction.fired(fids) if rule.query else {},
            self._pending(turn, fids) if rule.query else (),
            self._sights(turn, rule),
        )  # fmt: skip

    def _sights(self, turn: Turn, rule: ActionRule) -> list[UserView] | None:
        viewers = self._viewers.of(rule.viewers)
        return None if viewers is None else [UserView(turn.transaction, viewer) for viewer in viewers]

    def _asked(self, turn: Turn, rule: ActionRule, run: Run, known: _Known) -> Run | None:
        """Return what becomes of a run whose rule is asked now; None: it is forgotten."""
        if known.sights is None:
            return ledger.later(run, turn.now_ns + VIEWERS_WAIT_NS)
        if run.trigger == REMOVED:
            return self._made(turn, rule, run, gone_as_seen(rule, run, known.sights), {})
        row = known.rows.get(run.fid)
        if row is None:
            return None  # gone meanwhile
        generation, facts = known.facts.get(run.fid, (0, None))
        paths = seen_by_all(known.sights, run.fid, known.paths.get(run.fid, ()))
        in_doubt = not paths and any(sight.in_doubt for sight in known.sights)
        if (generation < row.generation or in_doubt) and turn.now_ns - run.made_ns < MOST_FACTS_WAIT_NS:
            # The longer it waits, the less often it is looked at: a hundred thousand may wait for a slow worker.
            return ledger.later(run, turn.now_ns + max(FACTS_WAIT_NS, (turn.now_ns - run.made_ns) // 4))
        return self._present(turn, rule, run, known, _seen(paths, row, facts))

    def _present(self, turn: Turn, rule: ActionRule, run: Run, known: _Known, seen: Seen) -> Run | None:
        """Return what becomes of a run of an object that is there, with names that all who must see them see."""
        if run.trigger == CONTENT and _unchanged(run.before, seen):
            return None
        if run.trigger == DOCUMENT:
            after = self._matched(turn, rule, run, known)
            if after is not run:
                return after
        return self._as_seen(turn, rule, run, known, seen)

    def rehearsed(self, turn: Turn, rule: ActionRule, run: Run) -> Run | None:
        """Return what a run of an object that is there would send, without its query; None: conditions do not hold.

        Nothing is written.
        """
        known = self._look(turn, rule, [run])
        if known.sights is None:
            raise ConfigError("who must see the file is not known yet; ask again")
        _, facts = known.facts.get(run.fid, (0, None))
        paths = seen_by_all(known.sights, run.fid, known.paths.get(run.fid, ()))
        return self._as_seen(turn, rule, run, known, _seen(paths, known.rows[run.fid], facts))

    def _as_seen(self, turn: Turn, rule: ActionRule, run: Run, known: _Known, seen: Seen) -> Run | None:
        run = without_old_names(rule, run)
        if all(sight.reads(run.fid) for sight in known.sights or ()):
            return self._made(turn, rule, run, seen, known.documents.get(run.fid, {}))
        return self._made(turn, rule, replace(run, jobid=None), replace(seen, mime=None), {})

    def _matched(self, turn: Turn, rule: ActionRule, run: Run, known: _Known) -> Run | None:
        """Return a run as it is where the rule's query finds its object; else what becomes of it."""
        # A run that has its key was asked for, or was made before its rule was edited: that it fired is no reason.
        if not run.key and known.fired.get((run.fid, rule.name), 0) >= known.rows[run.fid].content:
            return None
        waits = run.fid in known.pending and turn.now_ns - run.made_ns < MOST_FACTS_WAIT_NS
        matches = self._matches.pop((run.id, run.merged), None)
        if waits or matches is None:
            self._questions.setdefault(rule.name, {})[run.id, run.merged] = run.fid
            return ledger.later(run, turn.now_ns + (PENDING_WAIT_NS if waits else 0))
        return run if matches else None

    def _made(self, turn: Turn, rule: ActionRule, run: Run, seen: Seen, documents: Mapping[str, Any]) -> Run | None:
        path = next((path for path in seen.paths if rule.holds(_file(path, seen, turn.now_ns), seen.type)), None)
        if path is None:
            return None
        key = run.key or key_of(rule.name, run.trigger, run.stamp)
        place = bodies.place_of(path)
        run = ledger.ready(_with_key(run, key, rule), b"", place, seen.uid, turn.now_ns)
        try:
            body = bodies.rendered(rule, run, bodies.known_of(run, path, seen, documents))
        except ConfigError as exc:
            return ledger.refused(run, turn.now_ns, str(exc))
        run = ledger.ready(run, body, place, seen.uid, turn.now_ns)
        if turn.transaction.runs_at(rule.name, place, turn.now_ns - HOUR_NS, MOST_AT_A_PLACE) >= MOST_AT_A_PLACE:
            why = f"more than {MOST_AT_A_PLACE} runs within an hour for this path: does the action change the file?"
            return ledger.held(run, why)
        return run

    def _pending(self, turn: Turn, fids: Collection[FID]) -> set[FID]:
        works = [(fid, extractor) for fid in fids for extractor in self._extractors]
        return {fid for fid, _ in turn.transaction.pending(works)}

    def ask_queries(self) -> None:
        """Ask the queries of rules about what is committed, on the objects in question only; no lock is held."""
        questions, self._questions = self._questions, {}
        if len(self._matches) > MOST_MATCHES:
            self._matches = {}  # of runs that are gone; those of others are asked for again
        for name, asked in questions.items():
            rule = self.rules.by_name.get(name)
            if rule is None:
                continue
            try:
                found = self._matching(rule, set(asked.values()))
            except LustreEventsError as exc:  # they are asked again: their runs are still settling
                log.warning("rule %r waits: %s", name, exc, extra={"action": "retry"})
                if rule.author is not None:
                    self._too_slow[name] = str(exc)
                continue
            self._matches.update({key: fid in found for key, fid in asked.items()})

    def _matching(self, rule: ActionRule, fids: Collection[FID]) -> Collection[FID]:
        """Return those that a rule's query finds, as each of those who must see them sees them."""
        if not rule.viewers:
            return set(self._reading.matching(rule.query, fids, None))
        found = set(fids)
        for viewer in self._viewers.of(rule.viewers) or ():
            found &= set(self._reading.matching(rule.query, found, viewer))
        return found

    # Out

    def hand_out(self, turn: Turn) -> None:
        """Lease runs that are due, and keep their deliveries until this is committed."""
        self._forget_ended(turn.now_ns)
        held = {(hold.kind, hold.name) for hold in turn.transaction.holds()}
        for name in _site_first(turn.transaction.rules_with_runs(WAITING)):
            rule = self.rules.by_name.get(name)
            if self.rules.is_paused(name):
                continue
            if rule is None:
                runs = turn.transaction.due_runs(WAITING, name, turn.now_ns, AT_ONCE)
                self._put(turn, runs, [ledger.cancelled(run, turn.now_ns, "its rule is gone") for run in runs])
            elif ("rule", name) not in held and ("endpoint", rule.endpoint) not in held:
                self._hand_out(turn, rule)

    def _hand_out(self, turn: Turn, rule: ActionRule) -> None:
        endpoint = self.endpoints.get(rule.endpoint)
        if endpoint is None:
            return
        room = self._room(turn, rule, endpoint)
        sights = self._sights(turn, rule)
        if room <= 0 or sights is None:
            return
        runs = turn.transaction.due_runs(WAITING, rule.name, turn.now_ns, min(room, AT_ONCE, MOST_OUT_EVENTS))
        fresh = [self._fit(turn, rule, run, sights) for run in runs]
        self._put(turn, runs, fresh)
        ready = [run for run in fresh if run.state == WAITING and run.due_ns <= turn.now_ns]
        batches = list(_batches(ready, rule.batch))[: self._deliveries_left(endpoint, rule)]
        for batch in batches:
            self._send(turn, endpoint, batch)

    def _room(self, turn: Turn, rule: ActionRule, endpoint: Endpoint) -> int:
        """Return how many events of a rule may go out now."""
        left = self._deliveries_left(endpoint, rule)
        if left <= 0:
            return 0
        out = sum(each.events for each in self._out.values() if each.rule == rule.name)
        rates = (
            self.guards.room("rule", rule.name, rule.per_minute, turn.now_ns),
            self.guards.room("endpoint", endpoint.name, endpoint.per_minute, turn.now_ns),
            max(0, rule.running - out) if rule.running else AT_ONCE,
            left * rule.batch,
            self._room_of(rule.author, turn.now_ns),
        )
        room = min(rates)
        judged = _judged(rule.name, endpoint.name)
        if room > 0 and self.guards.tripped(judged):
            return int(self.guards.may_probe(judged, turn.now_ns))
        return room

    def _room_of(self, author: Author | None, now_ns: int) -> int:
        if author is None:
            return AT_ONCE
        return self.guards.room("user", author.name, author.allowance.per_minute, now_ns)

    def _deliveries_left(self, endpoint: Endpoint, rule: ActionRule) -> int:
        # Twice as many as are sent at once: so the courier never waits for a step of the dispatcher. Users' own
        # rules have half of them, and one user half of these, so that others find room.
        out = [each for each in self._out.values() if each.endpoint == endpoint.name]
        left = 2 * endpoint.at_once - len(out)
        if rule.author is None:
            return left
        users = [user for each in out if (user := user_of(each.rule))]
        own = max(1, endpoint.at_once // 2) - users.count(rule.author.name)
        return min(left, endpoint.at_once - len(users), own)

    @staticmethod
    def _fit(turn: Turn, rule: ActionRule, run: Run, sights: Sequence[UserView]) -> Run:
        """Return a run as it may go out, or why not: too old, its rule was edited, somebody may not see it now."""
        if turn.now_ns - run.event_ns > rule.expires_ns:
            return ledger.expired(run, turn.now_ns)
        if run.digest != rule.digest and not run.attempts:
            return ledger.anew(run, rule.digest, turn.now_ns)
        if sights and run.trigger != REMOVED:
            return as_seen_now(turn, rule, run, sights)
        return run

    def _send(self, turn: Turn, endpoint: Endpoint, batch: Sequence[Run]) -> None:
        attempt = uuid.uuid4().hex
        # Whoever sends has the endpoint's time, after what is before it in the courier had the same.
        lease_ns = LEASE_NS + int(3 * endpoint.timeout_seconds * SECOND_NS)
        after = [ledger.handed_out(run, attempt, turn.now_ns, lease_ns) for run in batch]
        self._put(turn, batch, after)
        events = tuple(Parcel(run.id, run.key, run.body) for run in after)
        self.handed_out.append(Delivery(attempt, endpoint.name, turn.now_ns + lease_ns, events))
        self._out[attempt] = _Out(endpoint.name, batch[0].rule, len(batch), turn.now_ns + lease_ns)
        self.guards.sent(batch[0].rule, endpoint.name, user_of(batch[0].rule), len(batch), turn.now_ns)
        turn.counters["deliveries"] += 1

    def _forget_ended(self, now_ns: int) -> None:
        self._out = {attempt: out for attempt, out in self._out.items() if out.until_ns > now_ns}

    # Back

    def take(self, turn: Turn, answers: Sequence[Answer]) -> None:
        """Take answers: each counts only for a run that is out with this very attempt."""
        runs = turn.transaction.runs({answer.run for answer in answers})
        before: list[Run] = []
        after: list[Run] = []
        wrong: dict[tuple[str, str], str] = {}
        for answer in answers:
            run = runs.get(answer.run)
            if run is None or run.state != SENT or run.attempt != answer.attempt:
                turn.counters["answers_dropped"] += 1
                continue
            out = self._out.pop(answer.attempt, None)
            if out is not None:
                worked = answer.outcome in {ledger.OK, ledger.REFUSED, ledger.UNTRIED}
                self.guards.judged(_judged(run.rule, run.endpoint), worked=worked)
            turn.counters[f"attempts_{answer.outcome}"] += 1
            if answer.outcome == ledger.ENDPOINT:
                # What a user's own rule sends may be the reason: then that rule is held, and nobody else's.
                wrong[
                    "rule" if user_of(run.rule) else "endpoint", run.rule if user_of(run.rule) else run.endpoint
                ] = answer.error
            before.append(run)
            after.append(ledger.taken(run, answer.of_attempt, turn.now_ns))
            runs[run.id] = after[-1]
        self._put(turn, before, self._newest_only(turn, after))
        for (kind, name), why in wrong.items():
            self.hold(turn, kind, name, why)

    def _newest_only(self, turn: Turn, runs: Sequence[Run]) -> list[Run]:
        """Let what was not delivered end where newer content has come meanwhile."""
        waiting = {run.fid for run in runs if run.state == WAITING and run.trigger != REMOVED}
        newer = defaultdict(list)
        for run in turn.transaction.open_runs(waiting) if waiting else ():
            newer[run.fid, run.rule, run.trigger].append(run.stamp)
        return [
            ledger.superseded(run, turn.now_ns)
            if run.state == WAITING and any(stamp > run.stamp for stamp in newer[run.fid, run.rule, run.trigger])
            else run
            for run in runs
        ]

    def look_for_lost(self, turn: Turn) -> None:
        """Let runs whose lease has ended be due again."""
        for name in turn.transaction.rules_with_runs(SENT):
            runs = turn.transaction.due_runs(SENT, name, turn.now_ns, AT_ONCE)
            turn.counters["runs_lost"] += len(runs)
            self._put(turn, runs, self._newest_only(turn, [ledger.lost(run, turn.now_ns) for run in runs]))

    def hold(self, turn: Turn, kind: str, name: str, why: str) -> None:
        """Hold a rule or an endpoint."""
        if any(each.kind == kind and each.name == name for each in turn.transaction.holds()):
            return
        log.error("%s %r is held: %s", kind, name, why, extra={"action": "hold"})
        turn.transaction.put_hold(Hold(kind, name, why, turn.now_ns))
        turn.counters["holds"] += 1

    @staticmethod
    def _put(turn: Turn, before: Iterable[Run], after: Iterable[Run | None]) -> None:
        """Write what has become of runs, and count it."""
        put_runs(turn, before, after)


def _site_first(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: bool(user_of(name)))


def _judged(rule: str, endpoint: str) -> str:
    """Return by what name failures in a row are counted: those of a user's own rule for that rule alone."""
    return rule if user_of(rule) else endpoint


def _batches(runs: Sequence[Run], most: int) -> Iterator[list[Run]]:
    """Yield runs that are sent together; what was refused in a batch goes alone."""
    together = [run for run in runs if not run.alone]
    yield from (together[start : start + most] for start in range(0, len(together), most))
    yield from ([run] for run in runs if run.alone)


def _with_key(run: Run, key: str, rule: ActionRule) -> Run:
    return replace(run, key=key, digest=rule.digest, endpoint=rule.endpoint, action=rule.action)


def _unchanged(before: Seen | None, seen: Seen) -> bool:
    """Whether a burst with HSM or layout records has left size and time as they were: nobody wrote."""
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
