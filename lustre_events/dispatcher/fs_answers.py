"""Answers of the file system itself, to `heal` and `scan`, and why they can be merged with records in any order.

A worker is asked for the names of an object (`heal`) or for the entries of a directory (`scan`). S is the time at
which the question is given to a job, by this node's clock (`PendingRow.handed_out_ns`); the worker looks later than
S. The skew is the most by which two clocks differ. What the answer says is written into the index with the stamp
S - skew, and with the least key at that time, so that every record of that time or later wins against it.

This is right for every name:

- If it changed after the worker looked, the record of that change has a time above S - skew, whatever its MDT's
  clock shows. The record wins, whether it comes before the answer or after it.
- If it changed before the worker looked, the answer contains the change. The record may win against the answer;
  then it says the same, or a newer record overrules it.
- So an answer decides only where the last record about a name is older than S - skew. There the answer is right,
  and the index was wrong: a record was lost, or the wrong one of two MDTs' records had won.

Three things could still make it wrong. Each is prevented:

- *The tombstone of a removed name is swept, and then an answer from before the removal arrives.* The sweeper keeps
  tombstones that are younger than the oldest question which a job has (`Transaction.oldest_ask`). An answer counts
  only while its own job holds the row, so one that is late or comes twice is dropped (`in_time`).
- *A portion of a directory's listing is lost.* Each portion is complete from one name to another, so it is right
  alone, and the row keeps the name up to which all portions have arrived.
- *An answer and a record disagree, and the record's time is not below S - skew.* The record may be right, or it may
  have won by a wrong clock. The question is asked again once S - skew has passed the record's time (heal.py).

This module makes the rows. A doubt may come while a job already holds the row of that question. The answer of this
job counts, since it is right as of its own S, and then the question is asked again (`once_more`); a job that waits
long therefore keeps its rows. A listing that is wanted anew is the exception: it is taken from the job that holds
it, since it begins again at the first name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import unquote_to_bytes

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.pending import PendingRow
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import ConfigError
from lustre_events.index.interface import Identity, Lane, WorkKey
from lustre_events.jobs.messages import HEAL, SCAN, Result

MAX_NAME_BYTES = 255
"""NAME_MAX of Lustre and of Linux."""
HEAL_IDENTITY = Identity(HEAL, "1", "")
SCAN_JOBS = 32
SCAN_IDENTITY = Identity(SCAN, "1", "", SCAN_JOBS)
"""Most jobs at once: enough for many workers, and the others have their places in the queue too."""


def lane_of(facts: Lane) -> Lane:
    """Return the queue and priority of questions about the file system: just before the work of `stat`."""
    return Lane(facts.queue, facts.priority + 1)


def heals(turn: Turn, facts: Lane, due_ns: Mapping[FID, int]) -> int:
    """Make a `heal` row for each object, or renew the one it has; return for how many.

    `due_ns` has the time of each object from which on it may be asked for. The objects must be in the index.
    """
    present = turn.transaction.pending([(fid, HEAL) for fid in due_ns])
    rows = []
    for fid, each in due_ns.items():
        row = present.get((fid, HEAL))
        if row is None:
            rows.append(_row((fid, HEAL), lane_of(facts), max(each, turn.now_ns), turn.now_ns, HEAL))
        elif row.job is not None:
            rows.append(msgspec.structs.replace(row, changed_ns=max(each, turn.now_ns + 1, row.changed_ns)))
    turn.transaction.put_pending(rows)
    return len(rows)


def listings(turn: Turn, facts: Lane, directories: Collection[FID], scan: int = 0) -> None:
    """Make a row for the listing of each directory.

    With `scan` the listings are part of that scan, which goes on with the directories that they find; 0: of none.
    """
    present = turn.transaction.pending([(fid, SCAN) for fid in directories])
    rows = []
    for fid in directories:
        row = present.get((fid, SCAN))
        part_of = scan or (row.scan if row is not None else 0)
        reason = SCAN if part_of else HEAL
        rows.append(_row((fid, SCAN), lane_of(facts), turn.now_ns, turn.now_ns, reason, part_of))
    turn.transaction.put_pending(rows)


def name_of(text: str) -> bytes:
    """Return the bytes of a percent-encoded name. Raises ConfigError if no directory entry can be named so."""
    name = unquote_to_bytes(text)
    if name in {b"", b".", b".."} or len(name) > MAX_NAME_BYTES or b"/" in name or b"\0" in name:
        raise ConfigError(f"no directory has an entry of the name {text[:80]!r}")
    return name


def in_time(row: PendingRow | None, result: Result) -> bool:
    """Whether a result comes from the job that holds the row now."""
    return row is not None and row.job is not None and row.job == result.provenance.get("job")


def once_more(row: PendingRow) -> PendingRow | None:
    """Return the row of an answered question if it must be asked again: a doubt came while a job held it."""
    return again(row, row.changed_ns) if row.extractor == HEAL and row.changed_ns > row.handed_out_ns else None


def again(row: PendingRow, due_ns: int) -> PendingRow:
    """Return the row, held by no job and due at `due_ns`. Its tries begin at 0: being asked again is no failure."""
    return msgspec.structs.replace(row, due_ns=due_ns, job=None, attempts=0)


def _row(  # noqa: PLR0917 - a row's fields
    work: WorkKey, lane: Lane, due_ns: int, now_ns: int, reason: str, scan: int = 0
) -> PendingRow:
    fid, extractor = work
    return PendingRow(
        fid=fid, extractor=extractor, generation=0, due_ns=due_ns, changed_ns=now_ns, reason=reason,
        queue=lane.queue, priority=lane.priority, scan=scan,
    )  # fmt: skip


def skew_ns(skew_seconds: float) -> int:
    """Return the setting in ns."""
    return int(skew_seconds * SECOND_NS)
