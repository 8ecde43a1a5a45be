"""The dispatcher's look at its pools, every few seconds, for `status`, the console and metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import msgspec

from lustre_events.errors import StreamDamaged
from lustre_events.jobs import pools
from lustre_events.jobs.pool_states import SITE, PoolState, published
from lustre_events.node.pool_queues import Pool

LOOK_SECONDS = 5.0


class PoolWatch:
    """Knows how pools are.

    Args:
        known: the pools.
        refused: how many answers of each were refused (PooledResults.refused).
        tell: gets what there is to publish.
        clock: seconds from any beginning.
        time_ns: the time in ns since the epoch.
    """

    def __init__(
        self, known: Mapping[str, Pool], refused: Mapping[str, int], tell: Callable[[Mapping[str, str]], None],
        clock: Callable[[], float] = time.monotonic, time_ns: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        self._pools = known
        self._refused = refused
        self._tell = tell
        self._clock = clock
        self._time_ns = time_ns
        self._states: dict[str, PoolState] = {}
        self._due = 0.0

    def tend(self) -> None:
        """Look at all pools where it is time, and tell of them. Raises StreamError: the site's Redis is away."""
        if self._clock() < self._due:
            return
        self._states = {name: self._look(pool) for name, pool in self._pools.items()}
        if self._states:  # from 0 on: what begins with the first one rises nowhere, so no alert would see it
            self._states[SITE] = PoolState(refused=self._refused.get("", 0))
        self._tell({"pools": published(self._states)})
        self._due = self._clock() + LOOK_SECONDS

    def _look(self, pool: Pool) -> PoolState:
        refused = self._refused.get(pool.name, 0)
        damaged, found = "", None
        try:
            found = pool.ask(lambda: pool.queue.glance(pools.queue_of(pool.name)), None)
        except StreamDamaged as exc:  # by who has the pool's login: it costs the pool only
            damaged = str(exc)
        if found is None:
            before = self._states.get(pool.name, PoolState(own=pool.own))
            return msgspec.structs.replace(before, trouble=damaged or pool.trouble, refused=refused)
        counts, workers = found
        return PoolState(
            own=pool.own, looked_ns=self._time_ns(), waiting=counts.waiting, running=counts.running,
            failed=counts.failed, workers=workers, refused=refused,
        )  # fmt: skip
