"""A worker on a lent node: it takes a job only while there is room for one before the end."""

from __future__ import annotations

import pytest

from workers.walltime import END_SECONDS, LEAST_SECONDS, Walltime

NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("took", "room_seconds"),
    [([], 30), ([2], 30), ([20], 60), ([20, 1], 60), ([1_000], 600)],
    ids=["nothing yet", "short", "three times the longest", "the longest counts", "no longer than a job may take"],
)
def test_room_follows_the_longest_job(took: list[float], room_seconds: float) -> None:
    """Three times the longest job so far, at least half a minute, at most the longest run of a job."""
    walltime = Walltime(NOW + 3600, 600, lambda: NOW)
    for seconds in took:
        walltime.took(seconds)

    assert walltime.room_seconds == room_seconds
    assert walltime.left_seconds() == 3600 - END_SECONDS - room_seconds


def test_a_job_that_takes_as_long_as_it_may_still_fits() -> None:
    """Where the room is the longest run of a job, every job that is taken can end before it is ended."""
    walltime = Walltime(NOW + 600 + END_SECONDS, 600, lambda: NOW)
    assert walltime.left_seconds() > 0
    walltime.took(500)
    assert walltime.left_seconds() == 0


def test_jobs_that_may_not_take_long_need_less_room() -> None:
    """No job needs more room than it is given time."""
    assert Walltime(NOW, 5, lambda: NOW).room_seconds == 5 < LEAST_SECONDS
