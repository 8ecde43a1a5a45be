"""Jobs that are missing: lost is what is missing in a second step."""

from __future__ import annotations

from lustre_events.dispatcher.missing_jobs import KEPT_STEPS, MOST, MissingJobs


def test_a_job_is_lost_that_is_missing_in_a_second_step() -> None:
    """Missing once is a doubt, whatever was asked in that step; to be there in between ends it."""
    missing = MissingJobs()
    missing.begin()
    assert [missing.was_missing(job) for job in ("a", "a", "b")] == [False, False, False]
    missing.begin()
    missing.is_there("b")
    assert [missing.was_missing(job) for job in ("a", "a", "b")] == [True, True, False]


def test_however_many_are_missing_each_is_lost_in_its_second_step() -> None:
    """After a loss of all of Redis more jobs are missing than are remembered for long."""
    missing, jobs = MissingJobs(), [str(number) for number in range(3 * MOST)]
    missing.begin()
    assert not any(missing.was_missing(job) for job in jobs)
    missing.begin()
    assert all(missing.was_missing(job) for job in jobs)


def test_jobs_that_were_missing_long_ago_are_forgotten() -> None:
    """What is remembered does not grow without end."""
    missing = MissingJobs()
    missing.begin()
    for number in range(2 * MOST):
        missing.was_missing(str(number))
    for _ in range(KEPT_STEPS + 1):
        missing.begin()
    assert len(missing) == 0
