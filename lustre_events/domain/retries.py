"""When work is tried again: the delay after a failure, which doubles, and when the tries are used up."""

from __future__ import annotations

import msgspec

from lustre_events.domain.pending import RETRY, PendingRow
from lustre_events.domain.times import SECOND_NS

LONGEST_RETRY_NS = 3_600 * SECOND_NS
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
    wait_ns = min(retry_ns << min(row.attempts, 32), LONGEST_RETRY_NS)
    return msgspec.structs.replace(
        row, due_ns=now_ns + wait_ns, attempts=attempts, reason=RETRY, gone_ns=0, job=None,
        error=error[:MOST_OF_AN_ERROR],
    )  # fmt: skip
