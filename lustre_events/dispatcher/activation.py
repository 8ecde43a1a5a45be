"""Since when rules of actions are active, where this node's clock may be wrong.

A rule is active since a time that is written down once, and fires for what happened later. A clock could move it:

    ahead when a rule came    the rule would fire for nothing until then: it is active when the clock is right
    behind for a while        nothing changes: what records say of the time counts, for that is the MDTs' clocks'
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from lustre_events.domain.pending import SECOND_NS

log = logging.getLogger(__name__)


class Activation:
    """Tells since when rules are active. `skew_ns` is how much the clocks of MDTs and of this node may differ."""

    def __init__(self, skew_ns: int) -> None:
        self._skew_ns = skew_ns
        self._least_ns = 0
        self._is_behind = False

    def look(self, now_ns: int, reached_ns: int) -> None:
        """Learn the time of this node, and of the last record that is committed; tell if the clock is behind."""
        self._least_ns = reached_ns - self._skew_ns
        behind = now_ns < self._least_ns
        if behind and not self._is_behind:
            log.error(
                "the clock of this node is %d s behind the records of the changelog, so runs are due at the wrong "
                "time; correct the clock, see: lustre-events doctor", (reached_ns - now_ns) // SECOND_NS,
                extra={"action": "clock"},
            )  # fmt: skip
        self._is_behind = behind

    def is_ahead(self, since_ns: Mapping[str, int], now_ns: int) -> bool:
        """Whether a rule is active only from a time that has not come."""
        return any(each > self._time_ns(now_ns) for each in since_ns.values())

    def since(self, names: Collection[str], known: Mapping[str, int], now_ns: int) -> dict[str, int]:
        """Return since when rules of these names are active (ns), by what is written down of them."""
        time_ns = self._time_ns(now_ns)
        early = sorted(name for name in names if known.get(name, 0) > time_ns)
        if early:
            log.warning(
                "the clock was ahead when rules came, so they are active from now on, and not later: %s",
                ", ".join(early), extra={"action": "clock"},
            )  # fmt: skip
        return {name: min(known.get(name, time_ns), time_ns) for name in names}

    def _time_ns(self, now_ns: int) -> int:
        """Return the time by this node, or by records if that is later by more than clocks may differ."""
        return max(now_ns, self._least_ns)
