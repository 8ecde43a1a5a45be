"""Numbers of an operating system that the index cannot hold: each costs its own exactness, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.changelog.fid import NO_FID
from lustre_events.dispatcher.listing_diff import Listing
from lustre_events.dispatcher.tags import SeenFacts
from lustre_events.domain.bounds import LEAST, MOST, at_end, converted, far_time, within
from lustre_events.index.interface import Facts
from lustre_events.index.query.parser import parse
from lustre_events.index.query.tree import Fact
from lustre_events.index.search.hits import ObjectFacts, ObjectView, view_text
from lustre_events.inspect.status import time_text
from lustre_events.jobs.messages import JobItem
from lustre_events.llapi.statx import Statx, statx
from lustre_events.sources.local_fid import fid_of
from lustre_events.web.rendering import time_text as web_time_text
from tests.support.model.dispatcher import FACTS
from tests.support.records.numbers import NUMBERS, any_number
from tests.support.rows import each_row
from workers.files import OpenFile

YEAR_2300 = 10_413_792_000 * 10**9


@given(any_number)
def test_a_number_stays_or_becomes_the_end_that_it_lies_beyond(number: int) -> None:
    """What fits is itself; what does not is the nearest number that does, and that is seen of it."""
    kept = within(number)
    assert LEAST <= kept <= MOST
    assert kept == number or at_end(kept)
    assert (kept > number) == (number < LEAST)
    assert (kept < number) == (number > MOST)


@given(st.dictionaries(st.sampled_from(NUMBERS), any_number))
def test_a_listing_takes_any_number_and_keeps_the_neighbours(odd: dict[str, int]) -> None:
    """One file with any 128-bit integers as its facts is bounded; its neighbours stay as they are."""
    facts: list[dict[str, Any]] = [FACTS, {**FACTS, **odd}, FACTS]
    entries = [[name, "[0x1:0x2:0x3]", each] for name, each in zip("abc", facts, strict=True)]

    found = converted({"entries": entries}, Listing).entries

    usual = msgspec.convert(FACTS, SeenFacts)
    bounded = {name: within(number) for name, number in odd.items()}
    assert [each for _, _, each in found] == [usual, msgspec.structs.replace(usual, **bounded), usual]


@each_row("value", [{**FACTS, "size": "1"}, {**FACTS, "size": True}, {**FACTS, "size": 1.5}, {}, 7])
def test_what_is_no_number_is_still_refused(value: object) -> None:
    """Only numbers are brought into the range; facts that are none stay refused."""
    with pytest.raises(msgspec.ValidationError):
        converted(value, Facts)


@given(st.lists(any_number, min_size=11, max_size=11))
def test_any_facts_of_a_local_object_give_a_fid(numbers: list[int]) -> None:
    """Whatever time of birth a file system tells, an object has a FID, and the same one at each look."""
    names = ("size", "mtime_ns", "ctime_ns", "btime_ns")
    facts = Statx(ino=numbers[0] & (1 << 64) - 1, mode=0o100644, nlink=1, uid=0, gid=0, dev_major=8, dev_minor=1,
                  mnt_id=1, **dict(zip(names, numbers[1:], strict=False)))  # fmt: skip

    assert fid_of(facts).pack() == fid_of(facts).pack() != NO_FID.pack()


def test_a_time_that_the_index_cannot_hold_is_read_as_the_end(tmp_path: Path) -> None:
    """A file of the year 2300 has the latest time, read by either way to its facts; other numbers are exact."""
    path = tmp_path / "future"
    path.write_text("x")
    os.utime(path, ns=(YEAR_2300, YEAR_2300))
    assert path.stat().st_mtime_ns == YEAR_2300

    looked = statx(os.fsencode(path))
    with OpenFile(JobItem(NO_FID, 0, b""), os.open(path, os.O_PATH), b"future") as file:
        facts = file.facts()

    assert (looked.mtime_ns, looked.size) == (MOST, 1)
    assert (facts["mtime_ns"], facts["atime_ns"], facts["size"]) == (MOST, MOST, 1)
    assert facts["ctime_ns"] == path.stat().st_ctime_ns


@given(any_number)
def test_any_time_is_shown(time_ns: int) -> None:
    """Every place that shows a time shows any, exactly or as what it is: at an end of the range or beyond it."""
    shown = dict.fromkeys(ObjectFacts.__slots__) | {"mtime_ns": time_ns, "cause": b""}
    texts = [
        time_text(time_ns),
        web_time_text(time_ns or 1),
        view_text(ObjectView(NO_FID, (), ObjectFacts(**shown), (), (), ())),  # type: ignore[arg-type]
    ]
    for text in texts:
        assert far_time(time_ns) is None or str(far_time(time_ns)) in text
        assert ("or later" in text) == (time_ns >= MOST)
        assert ("or earlier" in text) == (time_ns <= LEAST)


@each_row(
    ("query", "facts"),
    [
        ("mtime:>2262", [MOST]),
        ("mtime:>2300", [MOST]),
        ("mtime:2300", [MOST]),
        ("mtime:2262", [MOST]),
        ("mtime:>9999-12-31T23:59:59", [MOST]),
        ("mtime:9999", [MOST]),
        ("mtime:9999-12", [MOST]),
        ("mtime:now+999999999w", [MOST]),
        ("mtime:<=2300", [LEAST, 0, MOST]),
        ("mtime:<2262", [LEAST, 0]),
        ("mtime:<1600", [LEAST]),
        ("mtime:1600-02", [LEAST]),
        ("mtime:>1600", [LEAST, 0, MOST]),
        ("mtime:>1678", [0, MOST]),
        ("mtime:[1600 TO 2300]", [LEAST, 0, MOST]),
        ("size:99999999999E", [MOST]),
        ("size:>99999999999E", [MOST]),
    ],
)
def test_a_query_finds_what_may_lie_beyond_the_range(query: str, facts: list[int]) -> None:
    """A date beyond the range finds the files at that end of it, for each of them may be of that date."""
    node = parse(query, now_ns=0)
    assert isinstance(node, Fact)
    assert all(bound is None or LEAST <= bound <= MOST for bound in (node.low, node.high))

    found = [
        fact
        for fact in (LEAST, 0, MOST)
        if (node.low is None or node.low <= fact) and (node.high is None or fact < node.high)
    ]
    assert found == facts
