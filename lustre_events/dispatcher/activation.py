"""Since when rules of actions are active, where this node's clock may be wrong.

A rule is active since a time that is written down once, and fires for what happened later. A clock could move it:

    ahead when a rule came    the rule would fire for nothing until then: it is active when the clock is right
    behind for a while        a rule that is known stays as it is, for records tell a later time

A new rule is active from this node's time on. Records do not count for it: one of an MDT whose clock was ahead
would silence it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from lustre_events.domain.times import SECOND_NS

log = logging.getLogger(__name__)


class Activation:
    """Tells since when rules are active. `skew_ns` is how much the clocks of MDTs and of this node may differ."""

    def __init__(self, skew_ns: int) -> None:
        self._skew_ns = skew_ns
        self._least_ns = 0
        self._is_behind = False

    def look(self, now_ns: int, reached: tuple[int, str]) -> None:
        """Learn this node's time, and the latest of records with its MDT; tell if records are of the future."""
        reached_ns, mdt = reached
        self._least_ns = reached_ns - self._skew_ns
        behind = now_ns < self._least_ns
        if behind and not self._is_behind:
            log.error(
                "the clock of this node and the records of %s disagree by %d s: the records are of a later time; "
                "compare the clocks of both, and correct whichever is wrong",
                mdt, (reached_ns - now_ns) // SECOND_NS, extra={"action": "clock"},
            )  # fmt: skip
        self._is_behind = behind

    def is_ahead(self, since_ns: Mapping[str, int], now_ns: int) -> bool:
        """Whether a rule is active only from a time that has not come."""
        return any(each > self._latest_ns(now_ns) for each in since_ns.values())

    def since(self, names: Collection[str], known: Mapping[str, int], now_ns: int) -> dict[str, int]:
        """Return since when rules of these names are active (ns), by what is written down of them."""
        latest_ns = self._latest_ns(now_ns)
        early = sorted(name for name in names if known.get(name, 0) > latest_ns)
        if early:
            log.warning(
                "the clock was ahead when rules came, so they are active from now on, and not later: %s",
                ", ".join(early), extra={"action": "clock"},
            )  # fmt: skip
        return {name: min(known.get(name, now_ns), latest_ns) for name in names}

    def _latest_ns(self, now_ns: int) -> int:
        """Return the time by this node, or by records if that is later by more than clocks may differ."""
        return max(now_ns, self._least_ns)
