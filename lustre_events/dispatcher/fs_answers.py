"""Answers from the file system itself, to `heal` and `scan`, and why they can be merged with the records.

A worker is asked for the names of an object (`heal`) or for what is in a directory (`scan`). S is when its row is
handed out, by this node's clock (`PendingRow.handed_out_ns`); the answer is found later than S. It is written with
the stamp S - skew, that of no record, where `skew` bounds by how much two clocks differ. For every name:

- What changed it after the worker looked has a record of a time above S - skew, whatever its MDT's clock says. That
  record wins, may it come before the answer or after it.
- What changed it before the worker looked is in the answer. Its record may have a stamp above the answer's; then it
  says the same as the answer, or something newer does.
- So the answer decides only where the last record about a name is older than S - skew, and there it is right: a
  record was lost, or its rival of another MDT has won by a wrong clock.

Three things could break that, and do not:

- *A tombstone is swept, then an answer from before the removal comes.* The sweeper stays behind the oldest row that
  a job holds (`Transaction.oldest_ask`), and an answer counts only while its own job holds the row: a late one, or
  one that is delivered twice, is dropped (`in_time`).
- *A portion of a listing is lost.* A portion is a full statement about the names behind one name up to another, so
  each stands for itself, and the row remembers the name up to which portions have come without a gap.
- *An answer and a record disagree, and the record's stamp is not old enough.* It may be right, or be the rival with
  the wrong clock. Then it is asked again, when S - skew has passed that stamp (`healing`).

Rows are made here. Where a job holds the row already its answer may be older than the doubt: it counts, since it is
right as of its own S, and then it is asked again (`once_more`). So a job that waits for long keeps its rows. A
listing that is wanted anew is taken away from the job that holds it, since it begins again at the first name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import unquote_to_bytes

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.pending import SECOND_NS, PendingRow
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
    """Return where questions about the file system wait: before the work in the lane of `stat`."""
    return Lane(facts.queue, facts.priority + 1)


def heals(turn: Turn, facts: Lane, due_ns: Mapping[FID, int]) -> int:
    """Ask for objects' names, each from its time on; return how many. The objects must be stored."""
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
    """Have directories listed; with `scan` for that scan, which continues with the directories in them."""
    present = turn.transaction.pending([(fid, SCAN) for fid in directories])
    rows = []
    for fid in directories:
        row = present.get((fid, SCAN))
        part_of = scan or (row.scan if row is not None else 0)
        reason = SCAN if part_of else HEAL
        rows.append(_row((fid, SCAN), lane_of(facts), turn.now_ns, turn.now_ns, reason, part_of))
    turn.transaction.put_pending(rows)


def name_of(text: str) -> bytes:
    """Return the name of a directory's entry, as it travels. Raises ConfigError: no entry can have it."""
    name = unquote_to_bytes(text)
    if name in {b"", b".", b".."} or len(name) > MAX_NAME_BYTES or b"/" in name or b"\0" in name:
        raise ConfigError(f"no directory has an entry of the name {text[:80]!r}")
    return name


def in_time(row: PendingRow | None, result: Result) -> bool:
    """Whether a result is of the job that holds the row."""
    return row is not None and row.job is not None and row.job == result.provenance.get("job")


def once_more(row: PendingRow) -> PendingRow | None:
    """Return what is left of an answered question: it is due again where a doubt came while a job held it."""
    return again(row, row.changed_ns) if row.extractor == HEAL and row.changed_ns > row.handed_out_ns else None


def again(row: PendingRow, due_ns: int) -> PendingRow:
    """Return a row that no job holds, due at a given time; what was asked so far does not count as a failure."""
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
