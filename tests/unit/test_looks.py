"""Looks at what users have: each has an end, and one that does not answer costs the others nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from lustre_events.catalog.looks import AGAIN_SECONDS, MOST_HANGING, Looks, Unanswered


class Hanging:
    """A place that does not answer until it is told to; to wait for it takes 10 s of a clock that tests set."""

    def __init__(self, now: list[float]) -> None:
        self.now, self.asked, self.answers, self.ended = now, 0, threading.Event(), threading.Event()

    def look(self) -> str:
        """Wait in vain."""
        self.asked += 1
        self.now[0] += 10
        assert self.answers.wait(20)
        self.ended.set()
        return "late"


def told(outcome: Callable[[], object]) -> object:
    """Return what a look gave, or the first words of why it did not."""
    try:
        return outcome()
    except Unanswered as exc:
        return str(exc).partition(",")[0]


def test_who_does_not_answer_is_left_behind() -> None:
    """The others are asked; the place is not, while a thread waits there and for some time; then it is again."""
    now = [0.0]
    looks, hanging = Looks(0.05, lambda: now[0]), Hanging(now)
    asked = {Path("a"): lambda: 1, Path("b"): hanging.look, Path("c"): lambda: 3, Path("d"): lambda: 1 // 0}

    def found() -> dict[str, object]:
        looks.begin()
        return {str(place): told(look) for place, look in looks.each(asked) if str(place) != "d"}

    silent = "b: did not answer within 0.05 s"
    assert found() == {"a": 1, "b": silent, "c": 3}
    with pytest.raises(ZeroDivisionError):
        looks.at(Path("d"), asked[Path("d")])
    now[0] += AGAIN_SECONDS + 1
    assert (found(), hanging.asked) == ({"a": 1, "b": silent, "c": 3}, 1)
    hanging.answers.set()
    assert hanging.ended.wait(20)
    for each in threading.enumerate():
        if each.name == "look":
            each.join(20)
    assert found() == {"a": 1, "b": "late", "c": 3}


def test_few_are_waited_for_in_one_round() -> None:
    """Where several do not answer, those behind them come in the next round, and no round takes long."""
    now = [0.0]
    looks, all_hanging = Looks(0.05, lambda: now[0]), [Hanging(now) for _ in range(MOST_HANGING)]
    asked: dict[Path, Callable[[], object]] = {Path(str(at)): each.look for at, each in enumerate(all_hanging)}
    asked[Path("behind")] = partial(int, 7)
    try:
        looks.begin()
        first = dict(looks.each(asked))
        assert told(first[Path("behind")]) == "behind: is looked at next time"
        looks.begin()
        assert told(dict(looks.each(asked))[Path("behind")]) == 7
        assert [each.asked for each in all_hanging] == [1] * MOST_HANGING
    finally:
        for each in all_hanging:
            each.answers.set()
