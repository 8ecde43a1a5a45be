"""How hypothesis runs: the same examples each time, unless somebody explores.

Tests run from a fixed seed, so that a change is judged by what it changes: what has passed passes again. An example
that was found to fail is written down beside its test (`@example`), for nothing else remembers it. `make explore`
looks for new ones: another seed each time, and as many times the examples as LUSTRE_EVENTS_EXPLORE says.
`make quick` looks at a tenth of the examples, and at 10 at most (LUSTRE_EVENTS_QUICK); CI at all.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from hypothesis import HealthCheck, settings

EXPLORE = "LUSTRE_EVENTS_EXPLORE"
QUICK = "LUSTRE_EVENTS_QUICK"
_DEFAULT = 100
_QUICK_SHARE = 10
_QUICK_LEAST = 5
_QUICK_MOST = 10


def scaled(count: int, environment: Mapping[str, str] = os.environ) -> int:
    """Return how many examples are looked at where a test asks for `count`."""
    explored = _factor(environment)
    if environment.get(QUICK) and not explored:
        return min(count, max(_QUICK_LEAST, count // _QUICK_SHARE), _QUICK_MOST)
    return count * max(1, explored)


def examples(count: int = _DEFAULT, *unchecked: HealthCheck) -> settings:
    """Return the settings of a test that looks at `count` examples, or at fewer or more by who asks."""
    return settings(max_examples=scaled(count), suppress_health_check=[HealthCheck.too_slow, *unchecked])


def _factor(environment: Mapping[str, str]) -> int:
    return int(environment.get(EXPLORE) or 0)


factor = _factor(os.environ)
"""How many times the usual number of examples is looked at; 0: nobody explores."""

settings.register_profile(
    "ci", derandomize=True, database=None, deadline=None, print_blob=True, max_examples=scaled(_DEFAULT),
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
settings.register_profile(
    "explore", derandomize=False, deadline=None, print_blob=True, max_examples=scaled(_DEFAULT),
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
settings.load_profile("explore" if factor else "ci")
