"""Figures of two runs side by side."""

from __future__ import annotations

from bench.comparison import NOISE, lines
from tests.support.rows import each_row

MUCH = 1 + 2 * NOISE


@each_row(
    ("name", "before", "now", "worse"),
    [
        ("a.files_per_s", 100.0, 100.0 / MUCH, True),
        ("a.files_per_s", 100.0, 100.0 * MUCH, False),
        ("a.files_per_s_postgresql", 100.0, 100.0 / MUCH, True),
        ("indexers.files_per_s_2", 100.0, 100.0 / MUCH, True),
        ("indexers.files_per_s_2", 100.0, 100.0 * MUCH, False),
        ("a.starts_per_day", 100.0, 100.0 / MUCH, True),
        ("a.speedup", 100.0, 100.0 / MUCH, True),
        ("a.speedup", 100.0, 100.0 * MUCH, False),
        ("a.bytes_per_file", 100.0, 100.0 * MUCH, True),
        ("a.p99_s", 1.0, MUCH, True),
        ("a.p99_s", 1.0, 1 + NOISE / 2, False),
        ("a.p99_s", 1.0, 1 / MUCH, False),
        ("a.new_mb", None, 5.0, False),
    ],
)
def test_a_figure_that_got_worse_by_more_than_the_noise_is_marked(
    name: str, before: float | None, now: float, worse: bool
) -> None:
    """More is better of what is done in a second or a day, and of speedups; else less. No verdict on new ones."""
    (line,) = lines({name: now}, {} if before is None else {name: before}, {})

    assert line.endswith("worse") is worse
    assert (f"{before:,.2f}" in line) if before is not None else ("x" not in line)


def test_figures_of_another_machine_are_said_not_to_compare() -> None:
    """Where the circumstances differ a sentence says it."""
    *_, said = lines({"a.p99_s": 1.0}, {"a.p99_s": 1.0, "machine": "one"}, {"machine": "two"})

    assert "do not compare" in said
