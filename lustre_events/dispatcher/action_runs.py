"""Runs of actions from when they are made (run_settling.py) until they end, in the transactions of a step.

    waiting, due       it goes to the courier, leased, as far as rates, holds and what is out already allow
    sent, answered     done; or due again, dead, or waiting until its endpoint is released
    sent, with a job   done, dead or due again when the job has ended; until then it is looked at now and then
    sent, lease ended  nobody knows whether it arrived: due again, with the same key

A delivery goes out only when its lease is committed, and an answer is acknowledged only when it is committed. So a
kill between any two steps loses nothing, and at worst something is sent again.
"""

from __future__ import annotations

import logging
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lustre_events.actions import run_transitions
from lustre_events.actions.delivery import Answer, Delivery, Parcel
from lustre_events.actions.figures import RuleFigures
from lustre_events.actions.guards import Guards
from lustre_events.actions.superseding import supersedes
from lustre_events.changelog.fid import FID
from lustre_events.dispatcher import run_chains
from lustre_events.dispatcher.run_views import as_seen_now
from lustre_events.dispatcher.run_writing import put_runs
from lustre_events.dispatcher.turn import Turn
from lustre_events.dispatcher.user_jobs import UserJobs
from lustre_events.dispatcher.viewers import UserView, Viewers
from lustre_events.domain.action_run import BY_ENDPOINT, SENT, WAITING, Hold, Run
from lustre_events.domain.rules import batch_scripts, containers, transfers
from lustre_events.domain.rules.action_rules import ActionRule, ActionRules, user_of
from lustre_events.domain.rules.containers import action_of
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.rules.file_workers import work_of
from lustre_events.domain.rules.grants import Author
from lustre_events.domain.times import SECOND_NS
from lustre_events.domain.triggers import CONTENT, DOCUMENT, REMOVED

log = logging.getLogger(__name__)

AT_ONCE = 200
"""Most runs of one rule that one write takes."""
LEASE_NS = 10 * SECOND_NS
"""How long a lease lasts beyond the endpoint's own timeout."""
MOST_OUT_EVENTS = 4_000
ONCE = frozenset({CONTENT, DOCUMENT})
"""What has fired of these lives with the object, with its content."""
HELD_WAIT_NS = 15 * SECOND_NS
"""How long a run waits whose own endpoint is held, while its rule has another one now."""
JOB_WAIT_NS = 15 * SECOND_NS
"""How long between two looks at whether a job has ended."""


@dataclass(slots=True)
class _Out:
    """A delivery that is out: where, of which rule, how many events, since when and until when."""

    endpoint: str
    rule: str
    events: int
    since_ns: int
    until_ns: int


class ActionRuns:
    """Sends runs, in the caller's transaction. `handed_out` are deliveries to give once it is committed."""

    def __init__(self, viewers: Viewers) -> None:
        """Take `viewers`, which knows the users who must be allowed to see what is sent."""
        self._viewers = viewers
        self.rules = ActionRules()
        self.endpoints: Mapping[str, Endpoint] = {}
        self.guards = Guards()
        self.figures = RuleFigures()
        self.handed_out: list[Delivery] = []
        self._out: dict[str, _Out] = {}
        self._jobs = UserJobs(self.rules)

    def follow(self, rules: ActionRules, endpoints: Mapping[str, Endpoint]) -> None:
        """Send what these rules make to these endpoints from now on."""
        self.rules, self.endpoints = rules, endpoints

    def reload(self) -> None:
        """Forget what is not committed: after a failed step nobody knows."""
        self.handed_out = []

    # Out

    def hand_out(self, turn: Turn, *, courier: bool) -> None:
        """Lease runs that are due, and keep their deliveries until this is committed.

        `courier`: whether one takes deliveries; what file workers do does not wait for it.
        """
        self._forget_ended(turn.now_ns)
        self._jobs = UserJobs(self.rules)
        held = {(hold.kind, hold.name) for hold in turn.transaction.holds()}
        for name in site_first(turn.transaction.rules_with_runs(WAITING)):
            rule = self.rules.by_name.get(name)
            if self.rules.is_paused(name):
                continue
            if rule is None:
                runs = turn.transaction.due_runs(WAITING, name, turn.now_ns, AT_ONCE)
                put_runs(
                    turn, runs, [run_transitions.cancelled(run, turn.now_ns, "its rule is gone") for run in runs]
                )
            elif not held & {("rule", name), ("endpoint", rule.endpoint)} and (courier or work_of(rule.endpoint)):
                self._hand_out(turn, rule, {name for kind, name in held if kind == "endpoint"})

    def _hand_out(self, turn: Turn, rule: ActionRule, held: Collection[str]) -> None:
        endpoint = self.endpoints.get(rule.endpoint)
        if endpoint is None:
            return
        room = self._room(turn, rule, endpoint)
        sights = self._viewers.views(turn.transaction, rule.viewers)
        if room <= 0 or sights is None:
            return
        runs = turn.transaction.due_runs(WAITING, rule.name, turn.now_ns, min(room, AT_ONCE, MOST_OUT_EVENTS))
        fresh = self._one_of_each(turn, rule, [self._fit(turn, rule, run, sights, held) for run in runs])
        put_runs(turn, runs, fresh)
        ready: dict[str, list[Run]] = defaultdict(list)
        for run in fresh:
            if run.state == WAITING and run.due_ns <= turn.now_ns:
                ready[run.endpoint].append(run)
        for name, mine in ready.items():
            batches = list(_batches(mine, rule))[: self._deliveries_left(self.endpoints[name], rule)]
            for batch in batches:
                self._send(turn, self.endpoints[name], batch)

    def _room(self, turn: Turn, rule: ActionRule, endpoint: Endpoint) -> int:
        """Return how many events of a rule may go out now."""
        left = self._deliveries_left(endpoint, rule)
        if left <= 0:
            return 0
        out = (
            turn.transaction.count_runs(SENT, rule.name, rule.running)  # those whose jobs go on, too
            if rule.running and rule.submits
            else sum(each.events for each in self._out.values() if each.rule == rule.name)
        )
        rates = (
            self.guards.room("rule", rule.name, rule.per_minute, turn.now_ns),
            self.guards.room("endpoint", endpoint.name, endpoint.per_minute, turn.now_ns),
            max(0, rule.running - out) if rule.running else AT_ONCE,
            left * rule.batch,
            self._room_of(rule.author, turn.now_ns),
            self._containers_left(rule),
        )
        room = self._jobs.left(turn, rule, min(rates))
        judged = _judged(rule.name, endpoint.name)
        if room > 0 and self.guards.tripped(judged):
            return int(self.guards.may_probe(judged, turn.now_ns))
        return room

    def _room_of(self, author: Author | None, now_ns: int) -> int:
        if author is None:
            return AT_ONCE
        return self.guards.room("user", author.name, author.allowance.per_minute, now_ns)

    def _containers_left(self, rule: ActionRule) -> int:
        """Return how many containers of a user's rules may run beside those that do."""
        author = rule.author
        if author is None or not rule.outputs:
            return AT_ONCE
        out = [
            each for each in self._out.values() if action_of(each.endpoint) and user_of(each.rule) == author.name
        ]
        return max(0, author.allowance.containers - len(out))

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

    def _fit(
        self, turn: Turn, rule: ActionRule, run: Run, sights: Sequence[UserView], held: Collection[str]
    ) -> Run:
        """Return a run as it may go out, or why not: too old, its rule was edited, somebody may not see it now."""
        if turn.now_ns - run.event_ns > rule.expires_ns:
            return run_transitions.expired(run, turn.now_ns)
        edited = run.digest != rule.digest or run.endpoint != rule.endpoint or len(run.body) > rule.most_body
        if edited and not (run.attempts and self._may_keep(rule, run)):
            return run_transitions.anew(run, rule.digest, turn.now_ns)
        if run.endpoint in held:
            return run_transitions.later(run, turn.now_ns + HELD_WAIT_NS)
        if sights and run.trigger != REMOVED:
            return as_seen_now(turn, rule, run, sights)
        return run

    def _may_keep(self, rule: ActionRule, run: Run) -> bool:
        """Whether the endpoint that was tried is there and takes what was made for it: then it is tried again.

        A user's run is asked anew: what the rule said before, and where it held, may not be granted any more.
        """
        endpoint = self.endpoints.get(run.endpoint)
        fits = endpoint is not None and endpoint.kind in {run.action, containers.KIND}
        return fits and rule.author is None

    @staticmethod
    def _one_of_each(turn: Turn, rule: ActionRule, runs: Sequence[Run]) -> list[Run]:
        """Let a run wait while a container or job of its rule works on the same file: both would publish."""
        if not rule.works_alone:
            return list(runs)
        open_ = turn.transaction.open_runs({run.fid for run in runs}) if runs else ()
        busy = {run.fid for run in open_ if run.rule == rule.name and run.state == SENT}
        found = []
        for run in runs:
            goes = run.state == WAITING and run.due_ns <= turn.now_ns
            found.append(
                run_transitions.later(run, turn.now_ns + _wait_ns(rule)) if goes and run.fid in busy else run
            )
            busy |= {run.fid} if goes else set()
        return found

    def _send(self, turn: Turn, endpoint: Endpoint, batch: Sequence[Run]) -> None:
        attempt, lease_ns = uuid.uuid4().hex, _lease_ns(endpoint.timeout_seconds)
        after = [run_transitions.handed_out(run, attempt, turn.now_ns, lease_ns) for run in batch]
        put_runs(turn, batch, after)
        events = tuple(Parcel(run.id, run.key, run.body, run.handle, run.again) for run in after)
        self.handed_out.append(Delivery(attempt, endpoint.name, turn.now_ns + lease_ns, events))
        self._out[attempt] = _Out(endpoint.name, batch[0].rule, len(batch), turn.now_ns, turn.now_ns + lease_ns)
        self._jobs.sent(batch[0].rule, endpoint.name, len(batch))
        self.guards.sent(batch[0].rule, endpoint.name, user_of(batch[0].rule), len(batch), turn.now_ns)
        turn.counters["deliveries"] += 1

    def lease_ends_ns(self, run: Run, now_ns: int) -> int:
        """Return when the lease of a run that is out ends at the latest; 0: nothing is known of one."""
        out, endpoint = self._out.get(run.attempt), self.endpoints.get(run.endpoint)
        if run.state != SENT:
            return 0
        if out is not None and out.since_ns <= now_ns:  # perhaps its endpoint had more time then
            return out.until_ns
        return now_ns + _lease_ns(endpoint.timeout_seconds) if endpoint is not None else 0

    def _forget_ended(self, now_ns: int) -> None:
        # What went out later than now did so before the clock was set back: nobody knows how long ago.
        self._out = {attempt: out for attempt, out in self._out.items() if out.since_ns <= now_ns < out.until_ns}

    def _forget_answered(self, runs: Mapping[str, Run], answers: Sequence[Answer]) -> None:
        """Free the room of deliveries that were answered, also of those for which nobody waits any more."""
        for answer in answers:
            if not _is_out(runs.get(answer.run), answer):
                self._out.pop(answer.attempt, None)

    # Back

    def take(self, turn: Turn, answers: Sequence[Answer]) -> None:
        """Take answers: each counts only for a run that is out with this very attempt."""
        runs = turn.transaction.runs({answer.run for answer in answers})
        before: list[Run] = []
        after: list[Run] = []
        wrong: dict[tuple[str, str], str] = {}
        for answer in answers:
            run = runs.get(answer.run)
            if run is None or not _is_out(run, answer) or not _may_say(run, answer):
                turn.counters["answers_dropped"] += 1
                continue
            self._judge(run, answer)
            turn.counters[f"attempts_{answer.outcome}"] += 1
            if answer.outcome == run_transitions.ENDPOINT:
                # What a user's own rule sends may be the reason: then that rule is held, and nobody else's.
                wrong[
                    "rule" if user_of(run.rule) else "endpoint", run.rule if user_of(run.rule) else run.endpoint
                ] = answer.error
            before.append(run)
            after.append(run_transitions.taken(run, answer.of_attempt, turn.now_ns))
            runs[run.id] = after[-1]
        self._forget_answered(runs, answers)
        self.figures.note(after, turn.now_ns)
        after = self.newest_only(turn, after)
        put_runs(turn, before, after)
        run_chains.follow(turn, self.rules, after)
        for (kind, name), why in wrong.items():
            self.hold(turn, Hold(kind, name, why, turn.now_ns, BY_ENDPOINT))

    def _judge(self, run: Run, answer: Answer) -> None:
        """Take note of whether an endpoint works, once for each delivery; what was not tried does not tell it."""
        if self._out.pop(answer.attempt, None) is None or answer.outcome == run_transitions.UNTRIED:
            return
        comes_on = answer.outcome == run_transitions.AGAIN and run_transitions.comes_on(run, answer.of_attempt)
        worked = comes_on or answer.outcome not in {run_transitions.AGAIN, run_transitions.ENDPOINT}
        self.guards.judged(_judged(run.rule, run.endpoint), worked=worked)

    @staticmethod
    def newest_only(turn: Turn, runs: Sequence[Run]) -> list[Run]:
        """Let what was not delivered end where newer content has come, or was delivered, meanwhile."""
        waiting = [run for run in runs if run.state == WAITING and not run_transitions.may_have_job(run)]
        fids = {run.fid for run in waiting}
        if not fids:
            return list(runs)
        made = turn.transaction.fired(fids, {run.rule for run in waiting if run.began in ONCE})
        open_ = turn.transaction.open_runs(fids)
        ended = _older(waiting, open_) | _passed(waiting, made, open_)
        return [run_transitions.superseded(run, turn.now_ns) if run.id in ended else run for run in runs]

    def look_for_lost(self, turn: Turn) -> None:
        """Make runs whose lease has ended due again; have the jobs of others looked at."""
        for name in turn.transaction.rules_with_runs(SENT):
            due = turn.transaction.due_runs(SENT, name, turn.now_ns, AT_ONCE)
            runs = [run for run in due if not run.handle]
            turn.counters["runs_lost"] += len(runs)
            lost = [run_transitions.lost(run, turn.now_ns) for run in runs]
            self.figures.note(lost, turn.now_ns)
            put_runs(turn, runs, self.newest_only(turn, lost))
            self._look_at_jobs(turn, [run for run in due if run.handle])

    def _look_at_jobs(self, turn: Turn, runs: Sequence[Run]) -> None:
        """Have the jobs of runs looked at, those of one script together."""
        lease_ns = _lease_ns(batch_scripts.SECONDS)
        for endpoint in sorted({run.endpoint for run in runs}):
            attempt, mine = uuid.uuid4().hex, [run for run in runs if run.endpoint == endpoint]
            put_runs(turn, mine, [run_transitions.looked_at(run, attempt, turn.now_ns, lease_ns) for run in mine])
            looks = tuple(Parcel(run.id, run.key, b"", run.handle, run.again) for run in mine)
            self.handed_out.append(Delivery(attempt, endpoint, turn.now_ns + lease_ns, looks))

    @staticmethod
    def hold(turn: Turn, hold: Hold) -> None:
        """Hold a rule or an endpoint, for a guard; what is held stays as it is."""
        if any((each.kind, each.name) == (hold.kind, hold.name) for each in turn.transaction.holds()):
            return
        log.error("%s %r is held: %s", hold.kind, hold.name, hold.why, extra={"action": "hold"})
        turn.transaction.put_hold(hold)
        turn.counters["holds"] += 1


def _is_out(run: Run | None, answer: Answer) -> bool:
    """Whether a run is out with the attempt that an answer is about."""
    return run is not None and run.state == SENT and run.attempt == answer.attempt


def _may_say(run: Run, answer: Answer) -> bool:
    """Whether an answer can be one of who has the run: only jobs go on, containers make files, transfers copy many.

    The courier's answers have no seal, and what they named would be arguments of the next rule of a chain.
    """
    if (answer.outcome == run_transitions.STARTED or answer.handle) and not batch_scripts.script_of(run.endpoint):
        return False
    if answer.arrived and not transfers.target_of(run.endpoint):
        return False
    return (answer.outputs is None and not answer.made) or bool(action_of(run.endpoint))


def _wait_ns(rule: ActionRule) -> int:
    """Return how often a run looks whether the one before it, for the same file, has ended."""
    return JOB_WAIT_NS if rule.submits else SECOND_NS


def _lease_ns(seconds: float) -> int:
    """Return for how long a run is out: its endpoint's time, behind what is before it and had the same."""
    return LEASE_NS + int(3 * seconds * SECOND_NS)


def site_first(names: Iterable[str]) -> list[str]:
    """Return rules in the order in which they have their turn: those of the site before users' own."""
    return sorted(names, key=lambda name: bool(user_of(name)))


def _older(runs: Iterable[Run], open_: Iterable[Run]) -> set[str]:
    """Return the ids of those of the runs that end for an open one."""
    newer: dict[tuple[FID, str, str], list[Run]] = defaultdict(list)
    for run in open_:
        newer[run.fid, run.rule, run.trigger].append(run)
    return {
        run.id
        for run in runs
        for each in newer[run.fid, run.rule, run.trigger]
        if each.stamp > run.stamp and supersedes(each, run)
    }


def _passed(runs: Iterable[Run], made: Mapping[tuple[FID, str], int], open_: Iterable[Run]) -> set[str]:
    """Return the ids of those of the runs behind which newer content was delivered already."""
    held = {(run.fid, run.rule) for run in open_ if run.hold}  # is made, too, and perhaps a person drops it
    return {
        run.id
        for run in runs
        if run.began in ONCE and (run.fid, run.rule) not in held
        if made.get((run.fid, run.rule), 0) > run.generation > 0
    }


def _judged(rule: str, endpoint: str) -> str:
    """Return the name under which failures in a row are counted: a user's own rule is counted alone."""
    return rule if user_of(rule) else endpoint


def _batches(runs: Sequence[Run], rule: ActionRule) -> Iterator[list[Run]]:
    """Yield runs that are sent together; what was refused in a batch goes alone.

    So does a copy that was made for a rule before it was edited: that may be one of many files, which has the whole
    time of an attempt for itself.
    """
    alone = {
        run.id for run in runs if run.alone or (transfers.target_of(run.endpoint) and run.digest != rule.digest)
    }
    together = [run for run in runs if run.id not in alone]
    yield from (together[start : start + rule.batch] for start in range(0, len(together), rule.batch))
    yield from ([run] for run in runs if run.id in alone)
