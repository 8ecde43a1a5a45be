"""Actions in the dispatcher: their rules and endpoints, what is written in a step, what goes out after it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from lustre_events.actions.delivery import Answer
from lustre_events.actions.delivery_links import CourierLink
from lustre_events.config.settings import DispatcherSettings
from lustre_events.dispatcher.action_backfill import Backfill
from lustre_events.dispatcher.action_facts import ActionFacts, CountRuns, CourierWatch
from lustre_events.dispatcher.action_runs import ActionRuns
from lustre_events.dispatcher.action_sweep import RunSweeper
from lustre_events.dispatcher.action_triggers import ActionTriggers
from lustre_events.dispatcher.activation import Activation
from lustre_events.dispatcher.due_times import DueTimes
from lustre_events.dispatcher.hold_requests import HoldRequests
from lustre_events.dispatcher.result_outcome import Follow, ResultOutcome
from lustre_events.dispatcher.run_requests import RunRequests
from lustre_events.dispatcher.run_settling import ReadIndex, RunSettling
from lustre_events.dispatcher.transactions import Write
from lustre_events.dispatcher.turn import Turn
from lustre_events.dispatcher.viewers import Viewers
from lustre_events.domain.action_run import OPEN
from lustre_events.domain.rules.action_rules import ActionRules
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.rules.rules import Rules
from lustre_events.domain.times import SECOND_NS
from lustre_events.jobs.requests import Request

log = logging.getLogger(__name__)

ROUNDS = 10
"""Most writes of one step that ask rules about runs which have settled."""


class Actions:
    """See the module. `triggers` takes part in what records write."""

    def __init__(
        self, link: CourierLink, settings: DispatcherSettings, reading: ReadIndex, count: CountRuns
    ) -> None:
        """Take what deliveries go to, and what reads and counts that which is committed."""
        self._link = link
        self._viewers = Viewers(reading.of_user)
        self.triggers = ActionTriggers(settings, self._viewers)
        self.runs = ActionRuns(self._viewers)
        self.settling = RunSettling(reading, self._viewers, self.triggers.expand, self.runs)
        self.sweeper = RunSweeper()
        self._activation = Activation(int(settings.skew_seconds * SECOND_NS))
        self._run_requests = RunRequests(self.runs)
        self._due_times = DueTimes(self.runs)
        self._facts = ActionFacts(count)
        self._hold_requests = HoldRequests(self.runs, self.triggers, self._facts)
        self._watch = CourierWatch()
        self._rules = ActionRules()
        self._new = True
        self._more = False
        self._any = True
        """Whether there may be runs in the index."""
        self._answered: list[str] = []
        self._entries: Sequence[tuple[str, Sequence[Answer]]] = ()

    def follow(self, rules: Rules, endpoints: Mapping[str, Endpoint]) -> None:
        """Follow these rules and endpoints from the next step on."""
        self._rules = rules.actions
        self._viewers.follow(rules.actions.viewers)
        self._new = True
        self.runs.follow(rules.actions, endpoints)
        self.settling.follow(rules.extractors)

    def follow_results(self, turn: Turn, outcomes: Sequence[ResultOutcome], *, others: Follow) -> None:
        """Fire rules for documents that were written, wake runs whose facts came; pass the results on to others."""
        self.settling.late_facts.came(turn, outcomes)
        self.triggers.documents(turn, outcomes)
        others(turn, outcomes)

    def read(
        self, counters: Mapping[str, int], now_ns: int, asked: Iterable[Request], reached: tuple[int, str]
    ) -> None:
        """Read the courier's answers, as far as they are not committed, and ask the queries of rules.

        `counters` are those that are committed, `asked` the requests that this step answers, `reached` the latest
        time of a record that is committed, with its MDT.

        Raises StreamUnavailable, IndexUnavailable.
        """
        if not self._any and not self._rules:
            return
        self.sweeper.look(counters)
        self._facts.look(now_ns, self._hold_requests.asked(asked))
        self._activation.look(now_ns, reached)
        self._new |= self._activation.is_ahead(self.triggers.floor_ns, now_ns)
        self._viewers.refresh(now_ns)
        self.settling.ask_queries()
        if self._watch.is_time(now_ns):
            self._watch.look(self._link.waiting())
        done = set(self._answered)
        self._entries = [entry for entry in self._link.answers() if entry[0] not in done]

    def activate(self) -> Iterator[Write]:
        """Yield what is to be written before any record: since when new rules are active."""
        if self._new:
            yield self._activate

    def writes(self) -> Iterator[Write]:
        """Yield what is to be written behind records and results."""
        if not self._any and not self._rules:
            return
        for _, answers in self._entries:
            yield partial(self.runs.take, answers=answers)
        for _ in range(ROUNDS):
            yield self._settle
            if not self._more:
                break
        yield self.runs.look_for_lost
        # What no courier takes would fill Redis; of what file workers do a few are out at most.
        yield partial(self.runs.hand_out, courier=not self._watch.silent_ns)
        yield self.sweeper.sweep
        yield self._due_times.look
        yield self._facts.see

    def _activate(self, turn: Turn) -> None:
        known = turn.transaction.activated()
        paused = {name for name in known if self._rules.is_paused(name)}
        since_ns = self._activation.since({*self._rules.by_name, *paused}, known, turn.now_ns)
        if since_ns != known:
            turn.transaction.put_activated(since_ns)
        self.triggers.follow(self._rules, since_ns)
        self._any = any(turn.transaction.rules_with_runs(state) for state in OPEN)
        self._new = False

    def _settle(self, turn: Turn) -> None:
        self._more = self.settling.settle(turn)

    def committed(self) -> bool:
        """Hand out deliveries and acknowledge answers, now that all is committed; return whether there was any.

        Raises StreamUnavailable: what was not handed out is due again when its lease ends.
        """
        deliveries, self.runs.handed_out = self.runs.handed_out, []
        self._answered += [entry_id for entry_id, _ in self._entries]
        busy = bool(deliveries or self._entries)
        self._entries = ()
        self._link.put(deliveries)
        if self._answered:
            self._link.acknowledge(self._answered)
            self._answered = []
        return busy

    def published(self) -> str:
        """Return what the dispatcher reports about actions, as JSON."""
        failing = set(self.runs.guards.tripped_endpoints()) & set(self.runs.endpoints)
        return self._facts.published(self._watch, failing, self.runs.figures.published())

    def forget(self) -> None:
        """Look again at what is committed: after a failed step nobody knows."""
        self._new = True
        self._entries = ()
        self.runs.reload()
        self.settling.directories.forget()

    # What people ask for

    def handlers(self) -> dict[str, Any]:
        """Return what carries requests out, by their names."""
        return {
            **self._run_requests.handlers(), "retry_runs": self._retry,
            **self._hold_requests.handlers(),
            **Backfill(self.runs, self.settling).handlers(),
        }  # fmt: skip

    def _retry(self, turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Any]:
        self._any = True
        return self._run_requests.retry(turn, arguments)
