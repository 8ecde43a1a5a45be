"""The installed extractors: which of them work, and the breaker that suspends one that fails for everything.

    state       kept in the index as            its pending rows        new changes
    works                                       are given out           make rows
    tripped     suspended, failing above 0      wait; one job a while   make rows
                                                tries whether it works
    suspended   suspended, failing 0            wait for `resume`       make rows
    disabled    disabled                        wait for `enable`       are passed over

A job in which every file failed through no file's fault (messages.Result.blame) counts for the breaker; one good
result, or one that failed by its file, ends the row of such jobs. Failed tries in the meantime are not counted
against the files. A new version or digest lifts the breaker (index.register).
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from lustre_events.config.nearest import nearest
from lustre_events.config.settings import DispatcherSettings
from lustre_events.dispatcher.requests import Handler
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import ConfigError
from lustre_events.index.interface import ExtractorState, Identity, IndexWriter
from lustre_events.jobs.messages import STAT, Result
from lustre_events.jobs.requests import arguments_as

log = logging.getLogger(__name__)

BY_HAND = "by hand"
PROBE_NS = 60 * SECOND_NS
"""How often a job tries a suspended extractor."""


class ExtractorRegistry:
    """Knows the state of every installed extractor, and changes it in the caller's transaction.

    `states` is what is committed or about to be; after a failed step `reload` learns it from the index again.
    """

    def __init__(self, index: IndexWriter, installed: Sequence[Identity], settings: DispatcherSettings) -> None:
        self._index = index
        self._jobs = settings.breaker_jobs
        self._blamed: dict[str, set[str]] = defaultdict(set)
        self._probe_at_ns: dict[str, int] = {}
        self.install(installed)

    def install(self, installed: Sequence[Identity]) -> None:
        """Take what is installed now."""
        self._installed = list(installed)
        self._most_jobs = {each.name: each.most_jobs for each in installed}
        self.reload()

    def reload(self) -> None:
        """Load the states from the index."""
        self._blamed.clear()
        self.states = self._index.register(self._installed)

    @property
    def working(self) -> list[str]:
        """The extractors whose work is given out, in order."""
        return sorted(name for name, state in self.states.items() if state.works)

    def most_jobs(self, name: str) -> int:
        """Return how many jobs of an extractor may be out at once; 0: any number."""
        return self._most_jobs.get(name, 0)

    def probing(self, now_ns: int) -> list[str]:
        """Return the tripped extractors of which one job may be tried now."""
        return [
            name
            for name, state in sorted(self.states.items())
            if state.suspended is not None
            and state.failing
            and not state.disabled
            and self._probe_at_ns.get(name, 0) <= now_ns
        ]

    def probed(self, name: str, now_ns: int) -> None:
        """Note that a job of a tripped extractor goes out: the next one waits its time."""
        self._probe_at_ns[name] = now_ns + PROBE_NS

    def disabled(self, name: str) -> bool:
        """Whether changes make no work for an extractor."""
        state = self.states.get(name)
        return state is not None and state.disabled

    def excuses(self, result: Result) -> bool:
        """Whether a failed result costs its file no try: the extractor fails for everything, as it did before."""
        state = self.states.get(result.extractor)
        return result.blame == "extractor" and state is not None and (state.failing > 0 or not state.works)

    def judge(self, turn: Turn, results: Sequence[Result]) -> None:
        """Count what results say about their extractors; trip the breaker, or reset it."""
        blamed: dict[str, list[Result]] = defaultdict(list)
        fine = set()
        for result in results:
            if result.status == "failed" and result.blame == "extractor":
                blamed[result.extractor].append(result)
            elif result.status not in {"gone", "released"}:
                fine.add(result.extractor)
        for name in sorted(fine):
            self._blamed.pop(name, None)
            state = self.states.get(name)
            if state is not None and state.failing:
                if state.suspended is not None:
                    log.warning("%s works again and is resumed", name, extra={"action": "resume"})
                self._put(turn, state, suspended=None, failing=0)
        for name in sorted(blamed.keys() - fine):
            self._count(turn, name, blamed[name])

    def handlers(self) -> dict[str, Handler]:
        """Return what can be asked for."""
        return {
            "suspend": self._handler(lambda _state, why: {"suspended": why or BY_HAND, "failing": 0}),
            "resume": self._handler(lambda _state, _why: {"suspended": None, "failing": 0}),
            "disable": self._handler(lambda _state, _why: {"disabled": True}),
            "enable": self._handler(lambda _state, _why: {"disabled": False}),
        }

    def state_of(self, name: str) -> ExtractorState:
        """Return the state of a named extractor. Raises ConfigError: there is none."""
        state = self.states.get(name)
        if state is None:
            raise ConfigError(f"no extractor {name!r} is installed{nearest(name, tuple(self.states))}")
        return state

    def published(self) -> str:
        """Return the states as JSON, for `status` and `extractor list`."""
        rows = {
            name: {"version": state.version, "suspended": state.suspended, "disabled": state.disabled,
                   "failing": state.failing}
            for name, state in sorted(self.states.items())
        }  # fmt: skip
        return msgspec.json.encode(rows).decode()

    def _count(self, turn: Turn, name: str, results: Sequence[Result]) -> None:
        state = self.states.get(name)
        if state is None or (state.suspended is not None and not state.failing):
            return  # suspended by a person: what was under way says nothing new
        jobs = {str(result.provenance.get("job", "")) for result in results} - self._blamed[name]
        self._blamed[name] |= jobs
        failing = state.failing + len(jobs)
        suspended = state.suspended
        if failing >= self._jobs:
            self.probed(name, turn.now_ns)
        if failing >= self._jobs and suspended is None:
            suspended = f"{failing} jobs in a row failed, with every file: {results[-1].error}"
            turn.transaction.forgive(name)
            log.error("%s is suspended: %s", name, suspended, extra={"action": "suspend", "extractor": name})
        self._put(turn, state, suspended=suspended, failing=failing)

    def _handler(self, change: Callable[[ExtractorState, str], dict[str, Any]]) -> Handler:
        def handle(turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Any]:
            asked = arguments_as(_Change, arguments)
            state = self.state_of(asked.name)
            changes = change(state, asked.reason)
            if changes.get("disabled") and asked.name == STAT:
                raise ConfigError(f"{STAT} keeps the facts of every file; it can be suspended, not disabled")
            self._blamed.pop(asked.name, None)
            after = self._put(turn, state, **changes)
            return {"changed": after != state, "suspended": after.suspended, "disabled": after.disabled}

        return handle

    def _put(self, turn: Turn, state: ExtractorState, **changes: Any) -> ExtractorState:
        after = msgspec.structs.replace(state, **changes)
        if after != state:
            turn.transaction.put_states([after])
            self.states[state.name] = after
        return after


class _Change(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    reason: str = ""
