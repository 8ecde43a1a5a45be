"""When what failed is tried again, extractions and runs of actions: after a delay that doubles, and how often.

The first delay of an extraction is `[dispatcher] retry_seconds`, and its tries are `[dispatcher] attempts`
(config/settings.py).
"""

from __future__ import annotations

import hashlib

import msgspec

from lustre_events.domain.action_run import Run
from lustre_events.domain.pending import RETRY, PendingRow
from lustre_events.domain.times import SECOND_NS

LONGEST_RETRY_NS = 3_600 * SECOND_NS
FIRST_RUN_RETRY_NS = 10 * SECOND_NS
LONGEST_WAIT_NS = 6 * 3_600 * SECOND_NS
"""The most that an endpoint may ask for with Retry-After."""
RUN_RETRIED_NS = 24 * 3_600 * SECOND_NS
"""From a run's first failed attempt on; then it is dead."""
MOST_OF_AN_ERROR = 500
"""Characters of an error that a row keeps between two tries."""


def excused(row: PendingRow, now_ns: int, retry_ns: int, error: str = "") -> PendingRow:
    """Return `row` due again after a wait, with all the tries that it had."""
    return msgspec.structs.replace(row, due_ns=now_ns + retry_ns, job=None, error=error[:MOST_OF_AN_ERROR])


def failed(row: PendingRow, now_ns: int, retry_ns: int, tries: int, error: str = "") -> PendingRow | None:
    """Return `row` with one more attempt, due again after a wait that doubles; None: its tries are used up."""
    attempts = row.attempts + 1
    if attempts >= tries:
        return None
    return msgspec.structs.replace(
        row, due_ns=now_ns + doubled(retry_ns, row.attempts), attempts=attempts, reason=RETRY, gone_ns=0, job=None,
        error=error[:MOST_OF_AN_ERROR],
    )  # fmt: skip


def doubled(first_ns: int, times: int) -> int:
    """Return a delay that has doubled a number of times, an hour at most; ns."""
    return min(first_ns << min(times, 32), LONGEST_RETRY_NS)


def run_delay(run: Run) -> int:
    """Return how long a run waits after an attempt in vain: twice as long each time, and not all at once; ns."""
    jitter = hashlib.sha256(f"{run.key}:{run.attempts}".encode()).digest()[0]
    return doubled(FIRST_RUN_RETRY_NS, max(run.attempts - 1, 0)) * (205 + 102 * jitter // 255) // 256


def delay_asked_for(asked_ns: int) -> int:
    """Return how long a run waits whose endpoint asks for a delay; ns."""
    return min(max(asked_ns, 0), LONGEST_WAIT_NS)
