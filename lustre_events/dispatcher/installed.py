"""What is installed: rules and extractors, read again when they change while the dispatcher runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping

from lustre_events.catalog.catalog import Found
from lustre_events.dispatcher.actions import Actions
from lustre_events.dispatcher.extractor_registry import ExtractorRegistry
from lustre_events.dispatcher.fs_answers import HEAL_IDENTITY, SCAN_IDENTITY
from lustre_events.dispatcher.work_planner import STAT_IDENTITY, WorkPlanner
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.rules.rules import DEFAULT_QUEUE
from lustre_events.domain.times import SECOND_NS
from lustre_events.index.interface import Identity
from lustre_events.jobs.messages import BUILTIN_QUEUE

log = logging.getLogger(__name__)

BUILT_IN = (STAT_IDENTITY, HEAL_IDENTITY, SCAN_IDENTITY)
LOOK_NS = 2 * SECOND_NS
"""How often rules and extractors are looked at for changes."""
LOOK_SHARE = 20
"""A look that takes long, as where users change much all the time, takes this part of the time at most."""
MOST_WAIT_NS = 60 * SECOND_NS
"""The longest time between two looks, also behind one that a hung file system held up."""


class Installed:
    """Tells the registry and the planner what is installed now.

    `problems` are what is wrong with rules or extractors, a sentence each; `queues` are those that jobs may go to.
    """

    def __init__(
        self,
        look: Callable[[], Found | None],
        registry: ExtractorRegistry,
        planner: WorkPlanner,
        actions: Actions,
        endpoints: Mapping[str, Endpoint],
        *,
        now_ns: int,
        stopwatch: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Take the adapters. `look` returns rules and extractors where they have changed since its last call."""
        self._stopwatch = stopwatch
        self._wait_ns = LOOK_NS
        self._look = look
        self._registry = registry
        self._planner = planner
        self._actions = actions
        self._looked_ns = now_ns
        self._rules, self._endpoints = planner.rules, endpoints
        self._left_out: tuple[str, ...] = ()
        self.problems: tuple[str, ...] = ()
        self.queues = {DEFAULT_QUEUE, BUILTIN_QUEUE, *planner.rules.queues}

    def follow(self, now_ns: int) -> None:
        """Take what has changed, if it is time to look."""
        if 0 <= now_ns - self._looked_ns < self._wait_ns:  # else it is time, or the clock was set back
            return
        begun = self._stopwatch()
        found = self._look()
        took_ns = self._stopwatch() - begun
        self._looked_ns = now_ns
        self._wait_ns = took_ns + min(max(LOOK_NS, LOOK_SHARE * took_ns), MOST_WAIT_NS)
        if found is None:
            return
        self.problems = found.problems
        for problem in found.problems:
            log.error("%s", problem, extra={"action": "look"})
        if found.rules is self._rules:
            return
        own = [
            Identity(name, each.version, each.digest, each.limits.jobs) for name, each in found.extractors.items()
        ]
        self._registry.install([*own, *BUILT_IN])
        self._rules, self._endpoints = found.rules, found.endpoints
        self._ask_rules()
        self.queues = {DEFAULT_QUEUE, BUILTIN_QUEUE, *found.rules.queues}
        log.info("rules and extractors were read again", extra={"action": "look", "extractors": len(own)})

    def leave_out(self, globs: tuple[str, ...]) -> None:
        """Keep rules from these directories, too."""
        self._left_out = globs
        self._ask_rules()
        log.info("%d directories are left out by a file in them", len(globs), extra={"action": "look"})

    def _ask_rules(self) -> None:
        rules = self._rules.leaving_out(self._left_out, written=False)
        self._planner.follow(rules)
        self._actions.follow(rules, self._endpoints)

    def add_queues(self, names: Iterable[str]) -> None:
        """Take queues of rows that still wait, although no rule names them any longer."""
        self.queues |= set(names)
