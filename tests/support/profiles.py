"""How hypothesis runs: the same examples each time, unless somebody explores.

Tests run from a fixed seed, so that a change is judged by what it changes: what has passed passes again. An example
that was found to fail is written down beside its test (`@example`), for nothing else remembers it. `make explore`
looks for new ones: another seed each time, and as many times the examples as LUSTRE_EVENTS_EXPLORE says.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EXPLORE = "LUSTRE_EVENTS_EXPLORE"
_DEFAULT = 100

factor = int(os.environ.get(EXPLORE) or 0)
"""How many times the usual number of examples is looked at; 0: nobody explores."""

settings.register_profile(
    "ci", derandomize=True, database=None, deadline=None, print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
settings.register_profile(
    "explore", derandomize=False, deadline=None, print_blob=True, max_examples=_DEFAULT * max(1, factor),
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
settings.load_profile("explore" if factor else "ci")


def examples(count: int = _DEFAULT, *unchecked: HealthCheck) -> settings:
    """Return the settings of a test that looks at `count` examples, and at more where somebody explores."""
    return settings(max_examples=count * max(1, factor), suppress_health_check=[HealthCheck.too_slow, *unchecked])
