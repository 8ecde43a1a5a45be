"""Who changes most, and where: users, jobs and directories with the most changes, and changes per hour."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lustre_events.changelog.fid import FID
from lustre_events.changelog.record import RecordType
from lustre_events.domain.record_meaning import effects
from lustre_events.history.archive import Happening

HOUR_NS = 3600 * 10**9
_LOOKS = frozenset({RecordType.OPEN, RecordType.ATIME, RecordType.GXATR, RecordType.NOPEN, RecordType.MARK})
_MADE = frozenset({RecordType.CREAT, RecordType.MKDIR, RecordType.SLINK, RecordType.MKNOD})
_REMOVED = frozenset({RecordType.UNLNK, RecordType.RMDIR})


@dataclass(slots=True)
class Hour:
    """What happened within one hour."""

    changes: int = 0
    made: int = 0
    removed: int = 0


@dataclass(slots=True)
class Activity:
    """Counts of changes. A directory counts records that add or remove a name in it; others name no directory."""

    hours: dict[int, Hour] = field(default_factory=dict)
    users: Counter[int] = field(default_factory=Counter)
    jobs: Counter[bytes] = field(default_factory=Counter)
    directories: Counter[FID] = field(default_factory=Counter)


def count(happened: Iterable[Happening]) -> Activity:
    """Return the counts of all records that change something; who only looks does not count."""
    found = Activity()
    for each in happened:
        record = each.record
        if record.type in _LOOKS:
            continue
        hour = found.hours.setdefault(record.time_ns // HOUR_NS, Hour())
        hour.changes += 1
        hour.made += record.type in _MADE
        hour.removed += record.type in _REMOVED
        if record.uid is not None:
            found.users[record.uid] += 1
        if record.jobid:
            found.jobs[record.jobid] += 1
        found.directories.update({effect.parent for effect in effects(record)})
    return found


def as_lines(
    found: Activity, most: int, user: Callable[[int], str], show: Callable[[bytes], str], path: Callable[[FID], str]
) -> Iterator[str]:  # fmt: skip
    """Yield the counts for a person, `most` of each kind; hours are those of UTC."""
    yield f"{'hour (UTC)':18}{'changes':>10}{'made':>10}{'removed':>10}"
    for hour, each in sorted(found.hours.items()):
        at = time.strftime("%Y-%m-%d %H:00", time.gmtime(hour * HOUR_NS // 10**9))
        yield f"{at:18}{each.changes:10}{each.made:10}{each.removed:10}"
    kinds: list[tuple[str, list[tuple[str, int]]]] = [
        ("users", [(user(uid), number) for uid, number in found.users.most_common(most)]),
        ("jobs", [(show(job), number) for job, number in found.jobs.most_common(most)]),
        ("directories", [(path(fid), number) for fid, number in found.directories.most_common(most)]),
    ]
    for kind, rows in kinds:
        yield f"{kind} with most changes:" if rows else f"{kind}: the records name none"
        yield from (f"{number:10}  {text}" for text, number in rows)


def as_json(found: Activity, most: int, path: Callable[[FID], str]) -> dict[str, Any]:
    """Return the counts as JSON types."""
    return {
        "hours": [
            {"time_ns": hour * HOUR_NS, "changes": each.changes, "made": each.made, "removed": each.removed}
            for hour, each in sorted(found.hours.items())
        ],
        "users": [{"uid": uid, "changes": number} for uid, number in found.users.most_common(most)],
        "jobs": [
            {"job": job.decode("utf-8", "surrogateescape"), "changes": number}
            for job, number in found.jobs.most_common(most)
        ],
        "directories": [
            {"fid": str(fid), "path": path(fid), "changes": number}
            for fid, number in found.directories.most_common(most)
        ],
    }
