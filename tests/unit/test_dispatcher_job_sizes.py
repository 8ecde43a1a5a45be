"""Jobs grow where a queue is deep, as far as their files are quick."""

from __future__ import annotations

from lustre_events.dispatcher.job_sizes import DEEP, GROWTH, LONG_SECONDS, JobSizes
from tests.support.rows import each_row

FILES = 10
QUICK, SLOW = LONG_SECONDS / FILES / 1_000, LONG_SECONDS / FILES / 2


@each_row(
    ("seconds", "waiting", "most"),
    [
        (None, DEEP, FILES),
        (QUICK, DEEP - 1, FILES),
        (QUICK, DEEP, GROWTH * FILES),
        (SLOW, DEEP, 2 * FILES),
        (LONG_SECONDS, DEEP, FILES),
        (0.0, DEEP, GROWTH * FILES),
    ],
)
def test_a_deep_queue_makes_jobs_of_quick_files_larger(seconds: float | None, waiting: int, most: int) -> None:
    """A job has `job_files` files, and more only in a deep queue, as many as do not run for long."""
    sizes = JobSizes(FILES)
    if seconds is not None:
        sizes.learn("x", {"duration_ms": round(seconds * 1_000 * FILES), "files": FILES})

    assert sizes.most("x", waiting) == most


def test_any_number_can_be_learned_from() -> None:
    """Whatever number a worker writes as its duration, or as its files, jobs stay within the bounds."""
    sizes = JobSizes(FILES)
    for took_ms, files in ((10**400, 1), (1, 10**400), (10**400, 10**400)):
        sizes.learn("x", {"duration_ms": took_ms, "files": files})

        assert FILES <= sizes.most("x", DEEP) <= GROWTH * FILES


@each_row("told", [{}, {"duration_ms": "5", "files": 1}, {"duration_ms": -5, "files": 1},
                                  {"duration_ms": 5, "files": 0}])  # fmt: skip
def test_what_says_nothing_teaches_nothing(told: dict[str, object]) -> None:
    """Whatever a worker writes as its duration, jobs are no smaller than `job_files`, and no larger."""
    sizes = JobSizes(FILES)
    sizes.learn("x", told)

    assert sizes.most("x", DEEP) == FILES
