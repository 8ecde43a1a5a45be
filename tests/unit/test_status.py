"""What `status` prints: counters as sums that add up, and one line per MDT and group."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lustre_events import status
from tests import builders as b
from tests import captures
from tests.fakes_dispatcher import MDT0, Rig, append, csv_rig, cut

NOW_NS = 1_800_000_000 * status.SECOND_NS


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = csv_rig(tmp_path / "index.db")
    yield rig
    rig.close()


def added(line: str) -> tuple[int, int]:
    """Return the number before the = of a line, and the sum of those behind it."""
    whole, _, parts = line.partition(" = ")
    return int(whole.split()[-1]), sum(int(number) for number in re.findall(r"\d+", parts))


def test_the_sums_of_a_real_run_add_up(rig: Rig) -> None:
    """After recorded changelogs, unknown and damaged records and every kind of result, both sides are equal."""
    for mdt in captures.mdts("11-random-defmask"):
        for block in cut(captures.read("11-random-defmask", f"{mdt}.raw"), [500]):
            append(rig.store, mdt, *block)
    rig.settle()
    tail = rig.store.tail(MDT0).last_index
    for status_ in ("ok", "failed", "gone"):
        rig.pass_seconds(3600)
        rig.answer(rig.play(b.create(fid=9, name=b"z.csv"), b.record(77, 1), b.open_()), status_, error="e")
    append(rig.store, MDT0, b.raw(b.close(index=tail + 100)) + b"\xff" * 50, tail + 100, tail + 101, 2)
    rig.settle()
    counters = rig.writer.counters()

    lines = list(status.sums(counters))

    assert [line.split()[0] for line in lines[:2]] == ["records", "results"]
    for line in lines[:2]:
        whole, parts = added(line)
        assert whole == parts > 0
    assert added(lines[0])[0] == counters["records"] > 4891
    for part in ("named", "changed", "ignored", "unknown", "damaged"):
        assert counters[part] > 0
    for part in ("ok", "failed", "gone"):
        assert counters[f"results_{part}"] > 0


def test_what_the_sums_look_like() -> None:
    """Each sum is a line with its parts in words; what is in no sum stands on a line of its own."""
    counters = {"records": 5, "named": 3, "changed": 2, "results": 2, "results_ok": 1, "results_gone": 1, "jobs": 4}

    assert list(status.sums(counters)) == [
        "records 5 = 3 named + 2 changed + 0 ignored + 0 unknown + 0 damaged",
        "results 2 = 1 ok + 0 failed + 1 gone + 0 dropped",
        "jobs 4",
    ]


def mdt_state(**fields: Any) -> dict[str, Any]:
    """Return the state of an MDT that is fine."""
    rows = [{"epoch": 1, "committed": 40, "last_index": 50, "first_index": 41, "blocks": 2, "bytes": 4096}]
    return {
        "read_index": "50", "stored_index": "50", "cleared_index": "30", "records_per_second": "7",
        "caught_up_time_ns": str(NOW_NS - 3 * status.SECOND_NS // 2), "streams": rows, "committed_index": 40,
        "behind": 10, "losses": [], "records_read": "60", "records_stored": "50", "records_dropped": "8",
        "records_held": "2", **fields,
    }  # fmt: skip


def test_an_mdt_is_one_line_and_its_sum() -> None:
    """How far it was read, stored, committed and cleared, how far the index is behind, and since when."""
    first, second = status.mdt_lines("x-MDT0000", mdt_state(), NOW_NS)

    assert first == (
        "x-MDT0000: read 50, stored 50, committed 40, cleared 30; 10 behind, caught up 1.5 s ago; 7 records/s; "
        "stream: 2 blocks, 4 KiB"
    )
    assert second == "  records read 60 = 50 stored + 8 dropped + 2 held"


def test_trouble_of_an_mdt_is_said_below() -> None:
    """A reader that waits, a user that is gone and a loss that nobody accepted each have a line."""
    losses = [
        {"epoch": 1, "first_index": 7, "last_index": 9, "time_ns": NOW_NS, "reason": "gap", "accepted": False},
        {"epoch": 1, "first_index": 1, "last_index": 2, "time_ns": NOW_NS, "reason": "old", "accepted": True},
    ]
    state = mdt_state(waiting="Redis is full", user_lost="1", user="cl3", losses=losses)

    mdt = "x-MDT0000"
    accept = f"lustre-events continuity accept {mdt}"

    assert list(status.mdt_lines(mdt, state, NOW_NS))[2:] == [
        "  waiting: Redis is full",
        "  the changelog user cl3 is gone: register one and set [reader] user",
        f"  {status.loss_line(losses[0])}; compare with the file system, then: {accept}",
    ]


def test_a_loss_is_one_line() -> None:
    """From where to where, when and why; an end that is not known yet is a question mark."""
    loss = {"first_index": 7, "last_index": 0, "time_ns": NOW_NS, "reason": "gap", "accepted": True}

    assert status.loss_line(loss) == "continuity lost: 7 to ?, 2027-01-15T08:00:00Z: gap (accepted)"


def test_a_reader_that_never_ran_is_no_error() -> None:
    """An MDT of which only the stream is known can be shown too."""
    (line,) = status.mdt_lines(
        "x-MDT0000", {"streams": [], "committed_index": 0, "behind": 0, "losses": []}, NOW_NS
    )

    assert line.startswith("x-MDT0000: read 0, stored 0, committed 0, cleared 0; 0 behind, not caught up yet")


def test_a_group_is_one_line_and_what_it_lost() -> None:
    """How far it is behind on each MDT, and the ranges that it was cut off from."""
    group = {
        "behind": {"x-MDT0000": 5, "x-MDT0001": 0}, "unacknowledged_blocks": 1, "consumers": 2,
        "lost": [{"mdt": "x-MDT0000", "epoch": 1, "first_index": 3, "last_index": 9, "time_ns": NOW_NS}],
    }  # fmt: skip

    assert list(status.group_lines("audit", group)) == [
        "group audit: 5 behind on x-MDT0000, 0 behind on x-MDT0001; 1 blocks unacknowledged, 2 consumers",
        "  cut off: lost x-MDT0000 3 to 9, 2027-01-15T08:00:00Z",
    ]
