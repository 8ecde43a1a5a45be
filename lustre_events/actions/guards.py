"""Guards: they hold or slow what is too much, and lose nothing. In memory; what they hold is in the index.

A rule with more than `burst` runs within a minute is held. One that fires again and again for the same place is
most likely woken by its own work, so that run is held. Endpoints and rules have rates and bounds on what is out.
An endpoint that fails several times in a row is tried once a minute, until it works again.
"""

from __future__ import annotations

from collections import defaultdict, deque

from lustre_events.domain.times import SECOND_NS

MINUTE_NS = 60 * SECOND_NS
MOST_AT_A_PLACE = 20
"""Runs of one rule for one path within an hour."""
HOUR_NS = 60 * MINUTE_NS
BREAKER_FAILURES = 5
PROBE_NS = MINUTE_NS


class Window:
    """Counts what happened within the last minute, in portions."""

    def __init__(self) -> None:
        self._portions: deque[tuple[int, int]] = deque()
        self._sum = 0

    def add(self, count: int, now_ns: int) -> None:
        """Take note of something that happened now."""
        if count:
            self._portions.append((now_ns, count))
            self._sum += count

    def count(self, now_ns: int) -> int:
        """Return how much happened within the last minute."""
        while self._portions and not now_ns - MINUTE_NS < self._portions[0][0] <= now_ns:  # the clock was set back
            self._sum -= self._portions.popleft()[1]
        return self._sum


class Guards:
    """What is known of the last minute, by rule and by endpoint."""

    def __init__(self) -> None:
        self._made: dict[str, Window] = defaultdict(Window)
        self._sent: dict[tuple[str, str], Window] = defaultdict(Window)
        self._failures: dict[str, int] = defaultdict(int)
        self._probed_ns: dict[str, int] = {}

    def made(self, rule: str, count: int, burst: int, now_ns: int) -> str:
        """Take note of runs that a rule has made; return why the rule is to be held, if it is."""
        window = self._made[rule]
        window.add(count, now_ns)
        found = window.count(now_ns)
        if not burst or found <= burst:
            return ""
        return (
            f"{found} runs within a minute, and `burst` of the rule is {burst}; see: lustre-events runs"
            f" list --rule '{rule}', then: lustre-events actions release '{rule}'"
        )

    def forgive(self, rule: str) -> None:
        """Count a rule's runs from here on: a person released it."""
        self._made.pop(rule, None)

    def room(self, kind: str, name: str, per_minute: int, now_ns: int) -> int:
        """Return how many events may be sent now, by a rate; a large number where there is none."""
        return max(0, per_minute - self._sent[kind, name].count(now_ns)) if per_minute else 1 << 30

    def sent(self, rule: str, endpoint: str, user: str, count: int, now_ns: int) -> None:
        """Take note of events that go out; `user`: whose own rule it is, if one's."""
        if user:
            self._sent["user", user].add(count, now_ns)
        self._sent["rule", rule].add(count, now_ns)
        self._sent["endpoint", endpoint].add(count, now_ns)

    def judged(self, endpoint: str, *, worked: bool) -> None:
        """Take note of an attempt."""
        self._failures[endpoint] = 0 if worked else self._failures[endpoint] + 1

    def tripped(self, endpoint: str) -> bool:
        """Whether an endpoint has failed so often in a row that it is only probed."""
        return self._failures[endpoint] >= BREAKER_FAILURES

    def may_probe(self, endpoint: str, now_ns: int) -> bool:
        """Whether it is time to try an endpoint that has tripped; if so, that is noted."""
        if 0 <= now_ns - self._probed_ns.get(endpoint, 0) < PROBE_NS:
            return False
        self._probed_ns[endpoint] = now_ns
        return True

    def tripped_endpoints(self) -> list[str]:
        """Return the endpoints that are only probed."""
        return sorted(name for name, failures in self._failures.items() if failures >= BREAKER_FAILURES)
