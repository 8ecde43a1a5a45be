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
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.action_run import SENT, SETTLING, WAITING, Hold, Run, Seen, key_of
from lustre_events.domain.pending import SECOND_NS
from lustre_events.domain.rules import templates
from lustre_events.domain.rules.action_rules import ActionRule, ActionRules
from lustre_events.domain.rules.conditions import File
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.triggers import CONTENT, DOCUMENT, REMOVED
from lustre_events.errors import ConfigError, LustreEventsError
from lustre_events.index.interface import Facts, ObjectRow

log = logging.getLogger(__name__)

AT_ONCE = 200
"""Runs of one rule that one write takes."""
FACTS_WAIT_NS = SECOND_NS // 4
MOST_FACTS_WAIT_NS = 600 * SECOND_NS
"""A run waits so long for facts that rules do not need; then it is sent without them."""
LEASE_NS = 10 * SECOND_NS
"""Beyond the endpoint's own time."""
MOST_OUT_EVENTS = 4_000
MOST_MATCHES = 50_000

PENDING_WAIT_NS = SECOND_NS // 4


@dataclass(frozen=True, slots=True)
class ReadIndex:
    """Reads what is committed. Both calls may raise LustreEventsError.

    `documents` returns the good documents of objects, by extractor; `matching` those of some that match a query.
    """

    documents: Callable[[Collection[FID]], Mapping[FID, Mapping[str, Any]]]
    matching: Callable[[str, Collection[FID]], Collection[FID]]


NOTHING_TO_READ = ReadIndex(lambda _fids: {}, lambda _query, _fids: ())


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


class ActionRuns:
    """Carries runs on, in the caller's transaction. `handed_out` are deliveries to give once it is committed."""

    def __init__(self, reading: ReadIndex = NOTHING_TO_READ) -> None:
        self._reading = reading
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
        for name in turn.transaction.rules_with_runs(SETTLING):
            runs = turn.transaction.due_runs(SETTLING, name, turn.now_ns, AT_ONCE)
            rule = self.rules.by_name.get(name)
            more |= len(runs) == AT_ONCE
            if not runs:
                continue
            if rule is None:
                self._put(turn, runs, [ledger.cancelled(run, turn.now_ns, "its rule is gone") for run in runs])
            else:
                self._ask(turn, rule, runs)
        return more

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
        asks = templates.asks_documents(rule.body) or templates.asks_documents(rule.settings)
        return _Known(
            turn.transaction.objects(fids), turn.transaction.facts(fids), turn.transaction.paths(fids),
            self._reading.documents(fids) if asks and fids else {},
            turn.transaction.fired(fids) if rule.query else {},
            self._pending(turn, fids) if rule.query else (),
        )  # fmt: skip

    def _asked(self, turn: Turn, rule: ActionRule, run: Run, known: _Known) -> Run | None:
        """Return what becomes of a run whose rule is asked now; None: it is forgotten."""
        if run.trigger == REMOVED:
            return self._made(turn, rule, run, run.before or Seen(), {})
        row = known.rows.get(run.fid)
        if row is None:
            return None  # gone meanwhile
        generation, facts = known.facts.get(run.fid, (0, None))
        waited = turn.now_ns - run.made_ns
        if generation < row.generation and waited < MOST_FACTS_WAIT_NS:
            return ledger.later(run, turn.now_ns + FACTS_WAIT_NS)
        seen = _seen(known.paths.get(run.fid, ()), row, facts)
        if run.trigger == CONTENT and _unchanged(run.before, seen):
            return None
        if run.trigger == DOCUMENT:
            after = self._matched(turn, rule, run, known)
            if after is not run:
                return after
        return self._made(turn, rule, run, seen, known.documents.get(run.fid, {}))

    def _matched(self, turn: Turn, rule: ActionRule, run: Run, known: _Known) -> Run | None:
        """Return a run as it is where the rule's query finds its object; else what becomes of it."""
        if known.fired.get((run.fid, rule.name), 0) >= known.rows[run.fid].content:
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
                found = set(self._reading.matching(rule.query, set(asked.values())))
            except LustreEventsError as exc:  # they are asked again: their runs are still settling
                log.warning("rule %r waits: %s", name, exc, extra={"action": "retry"})
                continue
            self._matches.update({key: fid in found for key, fid in asked.items()})

    # Out

    def hand_out(self, turn: Turn) -> None:
        """Lease runs that are due, and keep their deliveries until this is committed."""
        self._forget_ended(turn.now_ns)
        held = {(hold.kind, hold.name) for hold in turn.transaction.holds()}
        for name in turn.transaction.rules_with_runs(WAITING):
            rule = self.rules.by_name.get(name)
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
        if room <= 0:
            return
        runs = turn.transaction.due_runs(WAITING, rule.name, turn.now_ns, min(room, AT_ONCE, MOST_OUT_EVENTS))
        fresh = [self._fit(turn, rule, run) for run in runs]
        self._put(turn, runs, fresh)
        ready = [run for run in fresh if run.state == WAITING]
        batches = list(_batches(ready, rule.batch))[: self._deliveries_left(endpoint)]
        for batch in batches:
            self._send(turn, endpoint, batch)

    def _room(self, turn: Turn, rule: ActionRule, endpoint: Endpoint) -> int:
        """Return how many events of a rule may go out now."""
        if self._deliveries_left(endpoint) <= 0:
            return 0
        out = sum(each.events for each in self._out.values() if each.rule == rule.name)
        rates = (
            self.guards.room("rule", rule.name, rule.per_minute, turn.now_ns),
            self.guards.room("endpoint", endpoint.name, endpoint.per_minute, turn.now_ns),
            max(0, rule.running - out) if rule.running else AT_ONCE,
            self._deliveries_left(endpoint) * rule.batch,
        )
        room = min(rates)
        if room > 0 and self.guards.tripped(endpoint.name):
            return int(self.guards.may_probe(endpoint.name, turn.now_ns))
        return room

    def _deliveries_left(self, endpoint: Endpoint) -> int:
        # Twice as many as are sent at once: so the courier never waits for a step of the dispatcher.
        out = sum(each.endpoint == endpoint.name for each in self._out.values())
        return 2 * endpoint.at_once - out

    @staticmethod
    def _fit(turn: Turn, rule: ActionRule, run: Run) -> Run:
        """Return a run as it may go out, or why not: it is too old, or its rule was edited before it was tried."""
        if turn.now_ns - run.event_ns > rule.expires_ns:
            return ledger.expired(run, turn.now_ns)
        if run.digest != rule.digest and not run.attempts:
            return ledger.anew(run, rule.digest, turn.now_ns)
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
        self.guards.sent(batch[0].rule, endpoint.name, len(batch), turn.now_ns)
        turn.counters["deliveries"] += 1

    def _forget_ended(self, now_ns: int) -> None:
        self._out = {attempt: out for attempt, out in self._out.items() if out.until_ns > now_ns}

    # Back

    def take(self, turn: Turn, answers: Sequence[Answer]) -> None:
        """Take answers: each counts only for a run that is out with this very attempt."""
        runs = turn.transaction.runs({answer.run for answer in answers})
        before, after, wrong = [], [], {}
        for answer in answers:
            run = runs.get(answer.run)
            if run is None or run.state != SENT or run.attempt != answer.attempt:
                turn.counters["answers_dropped"] += 1
                continue
            out = self._out.pop(answer.attempt, None)
            if out is not None:
                worked = answer.outcome in {ledger.OK, ledger.REFUSED, ledger.UNTRIED}
                self.guards.judged(run.endpoint, worked=worked)
            turn.counters[f"attempts_{answer.outcome}"] += 1
            if answer.outcome == ledger.ENDPOINT:
                wrong[run.endpoint] = answer.error
            before.append(run)
            after.append(ledger.taken(run, answer.of_attempt, turn.now_ns))
            runs[run.id] = after[-1]
        self._put(turn, before, self._newest_only(turn, after))
        for endpoint, why in wrong.items():
            self.hold(turn, "endpoint", endpoint, why)

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


def put_runs(turn: Turn, before: Iterable[Run], after: Iterable[Run | None]) -> None:
    """Write what has become of runs, and count it; None: it is forgotten."""
    written, gone = [], []
    for old, new in zip(before, after, strict=True):
        turn.counters.update(ledger.counted(old.state, None if new is None else new.state))
        if new is None:
            gone.append(old.id)
        elif new is not old:
            written.append(new)
    turn.transaction.put_runs(written)
    turn.transaction.remove_runs(gone)


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
