"""What `report --activity` counts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.changelog.record import ChangelogRecord
from lustre_events.history.archive import Happening
from lustre_events.inspect import activity
from tests.support.records import builders as b

HOUR = activity.HOUR_NS
DIRECTORY = b.fid_of(3)
BY: dict[str, Any] = {"uid": 7, "gid": 7, "extra_flags": 1, "jobid": b"rm.7"}


def counted(records: Iterable[ChangelogRecord]) -> activity.Activity:
    return activity.count(Happening("lustre-MDT0000", 1, each, each.time_ns) for each in records)


def test_changes_are_counted_by_hour_user_job_and_directory() -> None:
    """A rename counts in both directories; who only opens a file changes nothing."""
    found = counted([
        b.create(4, name=b"x", index=1, time_ns=1, **BY),
        b.rename(4, ROOT_FID, b"x", to_parent=DIRECTORY, to=b"y", index=2, time_ns=2, **BY),
        b.open_(4, index=3, time_ns=3, **BY),
        b.unlink(4, DIRECTORY, b"y", index=4, time_ns=HOUR, last=True, uid=8, gid=8, extra_flags=1, jobid=b""),
    ])  # fmt: skip

    assert {hour: (each.changes, each.made, each.removed) for hour, each in found.hours.items()} == {
        0: (2, 1, 0), 1: (1, 0, 1),
    }  # fmt: skip
    assert (dict(found.users), dict(found.jobs)) == ({7: 2, 8: 1}, {b"rm.7": 2})
    assert found.directories == {ROOT_FID: 2, DIRECTORY: 2}


def test_it_is_told_with_the_most_first() -> None:
    """Rows come from the most changes down, and where the records name nobody that is said."""
    found = counted(
        [b.mkdir(4, name=b"x", index=1, time_ns=1, flags=0x1000, extra_flags=0, jobid=b"", uid=None, gid=None)]
    )
    lines = list(activity.as_lines(found, 5, str, repr, lambda fid: f"path of {fid}"))

    assert lines[1].split() == ["1970-01-01", "00:00", "1", "1", "0"]
    assert "users: the records name none" in lines
    assert f"         1  path of {ROOT_FID}" in lines
    assert activity.as_json(found, 5, FID.__str__)["directories"][0]["changes"] == 1
