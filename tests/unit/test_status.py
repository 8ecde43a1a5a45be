"""What `status` prints: counters as sums that add up, and one line per MDT and group."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from lustre_events.inspect import status
from lustre_events.inspect.status import Earlier, LossStatus, MdtStatus, Status
from lustre_events.inspect.status.collect import of_indexers
from lustre_events.inspect.status.parts import DispatcherStatus, GroupLoss, GroupStatus, HistoryStatus
from lustre_events.streams.documents import IndexerState, RedisDocuments
from tests.support.model.dispatcher import MDT0, Rig, append, csv_rig, cut
from tests.support.records import builders as b
from tests.support.records import captures
from tests.support.rows import each_row
from tests.support.service.statuses import mdt_of, status_of

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


@pytest.mark.long
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
    counters = {"records": 5, "named": 3, "changed": 2, "results": 2, "results_ok": 1, "results_gone": 1, "jobs": 4,
                "extractor:tabular:ok": 9}  # fmt: skip

    assert list(status.sums(counters)) == [
        "records 5 = 3 named + 2 changed + 0 ignored + 0 unknown + 0 damaged",
        "results 2 = 1 ok + 0 failed + 1 gone + 0 released + 0 dropped",
        "jobs 4",
    ]
    lost = {"results_dropped": 3, "results_dropped_done": 2, "results_dropped_again": 1}
    assert [*status.sums({**counters, **lost})][2] == (
        "results dropped 3 = 2 done + 1 again + 0 unasked + 0 indexers"
    )


def mdt_state(**fields: Any) -> MdtStatus:
    """Return the state of an MDT that is fine."""
    rows = [{"epoch": 1, "committed": 40, "last_index": 50, "first_index": 41, "blocks": 2, "bytes": 4096}]
    return mdt_of({
        "read_index": "50", "stored_index": "50", "cleared_index": "30", "records_per_second": "7",
        "caught_up_time_ns": str(NOW_NS - 3 * status.SECOND_NS // 2), "streams": rows, "committed_index": 40,
        "behind": 10, "losses": [], "records_read": "60", "records_stored": "50", "records_dropped": "8",
        "records_held": "2", **fields,
    })  # fmt: skip


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
    recover = f"lustre-events continuity reconcile {mdt}"

    assert list(status.mdt_lines(mdt, state, NOW_NS))[2:] == [
        "  waiting: Redis is full",
        "  the MDT does not know the changelog user cl3: see lustre-events changelog users",
        f"  {status.loss_line(state.losses[0])}; recover with: {recover}",
    ]


def test_a_loss_is_one_line() -> None:
    """From where to where, when and why; an end that is not known yet is a question mark."""
    loss = LossStatus(1, 7, 0, NOW_NS, "gap", accepted=True)

    assert status.loss_line(loss) == "continuity lost: 7 to ?, 2027-01-15T08:00:00Z: gap (accepted)"


def test_a_reader_that_never_ran_is_no_error() -> None:
    """An MDT of which only the stream is known can be shown too."""
    (line,) = status.mdt_lines("x-MDT0000", MdtStatus(committed_index=0), NOW_NS)

    assert line.startswith("x-MDT0000: read 0, stored 0, committed 0, cleared 0; 0 behind, not caught up yet")


def test_a_group_is_one_line_and_what_it_lost() -> None:
    """How far it is behind on each MDT, and the ranges that it was cut off from."""
    lost = GroupLoss("x-MDT0000", 1, 3, 9, NOW_NS)
    group = GroupStatus({"x-MDT0000": 5, "x-MDT0001": 0}, unacknowledged_blocks=1, consumers=2, lost=[lost])

    assert list(status.group_lines("audit", group)) == [
        "group audit: 5 behind on x-MDT0000, 0 behind on x-MDT0001; 1 blocks unacknowledged, 2 consumers",
        "  cut off: lost x-MDT0000 3 to 9, 2027-01-15T08:00:00Z",
    ]


def test_the_history_is_one_line_and_what_it_waits_for() -> None:
    """How large it is, from when to when it reaches, how far it is behind, and when it was heard of."""
    history = HistoryStatus(NOW_NS - 10**9, 3 << 20, 1 << 30, NOW_NS - 10**10, NOW_NS, "waiting: no room\n", 7)

    line, waits = status.history_lines(history, NOW_NS)
    assert line == (
        "history: 3.0 MiB of at most 1.0 GiB, from 2027-01-15T07:59:50Z to 2027-01-15T08:00:00Z; 7 behind; "
        "heard 1 s ago"
    )
    assert waits == "  waiting: no room\\n"
    (line,) = status.history_lines(HistoryStatus(behind=7), NOW_NS)
    assert line == "history: 0 bytes, empty; 7 behind; its keeper has never run"


def looked(counters: dict[str, int], **fields: Any) -> Status:
    """Return what a look at a service gives, whose index has these counters."""
    index = {"objects": 2, "links": 2, "tombstones": 0, "pending": {"write": 3},
             "oldest_due_ns": {"write": NOW_NS - 5 * 10**9}, "documents": {}, "failures": {},
             "counters": counters, "bytes": 3 << 20}  # fmt: skip
    return status_of({"time_ns": NOW_NS, "index": index, **fields})


def test_rates_come_from_two_looks() -> None:
    """What has grown between them, per second; an index that was made anew counts from nothing."""
    before = Earlier(NOW_NS - 10 * status.SECOND_NS, {"records": 100, "results": 50})

    found = status.with_rates(looked({"records": 150, "results": 20}), before)

    assert found.rates.records == 5
    assert found.rates.results == 2
    assert status.with_rates(looked({}), None).rates is None


def test_an_extractor_is_one_line_of_what_it_does_of_late() -> None:
    """State and results of all time; files per second, failures and durations of the last look on."""
    state = json.dumps({"tabular": {"version": "1", "suspended": None, "disabled": False, "failing": 0}})
    old = {"extractor:tabular:ok": 100, "extractor:tabular:le:10": 100, "extractor:tabular:us": 10**9}
    new = {"extractor:tabular:ok": 130, "extractor:tabular:failed": 10, "extractor:tabular:le:10": 100,
           "extractor:tabular:le:0.1": 40, "extractor:tabular:us": 10**9}  # fmt: skip
    before = Earlier(NOW_NS - 10 * status.SECOND_NS, old)

    found = status.with_rates(looked(new, dispatcher={"extractors": state}), before)

    (line,) = (line for line in status.lines(found) if line.startswith("extractor"))
    assert line == (
        "extractor tabular: version 1, works; 130 ok, 10 failed; 4 files/s; 25.0 % failed; "
        "p50 75 ms, p95 97.5 ms a file"
    )
    later = status.with_rates(found, Earlier(NOW_NS - status.SECOND_NS, new))
    assert later.extractors["tabular"].files_per_second == 0
    assert later.extractors["tabular"].failure_rate == 10 / 140


def test_suspended_extractors_and_broken_rules_are_problems_said_last() -> None:
    """The reason and what ends it stand at the end; a hostile name moves no cursor."""
    state = {"tabular": {"version": "1", "suspended": "no image \x1b[2J", "disabled": False, "failing": 3}}
    found = status.with_rates(
        looked({}, dispatcher={"extractors": json.dumps(state)}, rules_problems=["r.toml: no"]), None
    )

    *_, suspended, rules = status.lines(found)

    assert suspended.startswith("problem: extractor tabular is suspended: no image \\x1b[2J; see: ")
    assert rules == "problem: r.toml: no"


def test_an_index_that_is_away_hides_nothing_else() -> None:
    """Readers and dispatcher are shown, and what cannot be known is a question mark."""
    state = mdt_state(committed_index=None)
    found = status.with_rates(
        Status(
            time_ns=NOW_NS,
            problems=["index.db: gone"],
            mdts={"x-MDT0000": state},
            dispatcher=DispatcherStatus({"alive_ns": str(NOW_NS)}),
        ),
        None,
    )

    text = list(status.lines(found))

    assert "committed ?," in text[0]
    assert "dispatcher: heard 0.0 s ago" in text
    assert "continuity: nothing lost" in text
    assert text[-1] == "problem: index.db: gone"


def test_pending_rows_have_their_age_and_the_index_its_size() -> None:
    """By reason, how long the oldest row has been due."""
    text = list(status.lines(status.with_rates(looked({"named": 4, "changed": 6, "job_files": 4}), None)))

    assert "  pending:   write 3 (the oldest due 5 s ago)" in text
    assert "  size:      3.0 MiB" in text
    assert "  coalescing: 2.5 changes for each file given to a worker" in text


@each_row(("seconds", "text"), [(0.0123, "12.3 ms"), (5, "5 s"), (300, "5 min"), (1e6, "11.6 days")])
def test_spans_of_time_have_their_usual_unit(seconds: float, text: str) -> None:
    """Three digits and a unit."""
    assert status.span_text(seconds) == text


def test_what_a_dispatcher_publishes_gives_rates_to_one_look(rig: Rig) -> None:
    """The counters of up to a minute ago are published beside the present ones."""
    rig.play(b.create(fid=1, name=b"a.csv"))
    first = json.loads(rig.store.dispatcher_state["past"])
    rig.pass_seconds(11)
    rig.play(b.create(fid=2, name=b"b.csv"))

    past = msgspec.json.decode(rig.store.dispatcher_state["past"], type=Earlier)
    found = status.with_rates(looked(rig.writer.counters(), time_ns=rig.now_ns), past)

    assert past.time_ns == first["time_ns"]
    assert found.rates.records == pytest.approx(1 / 11)


# What `status --json` gave before statuses had types, for a service of which every part is there.
WHOLE: dict[str, Any] = {
    "time_ns": NOW_NS,
    "problems": ["Redis is slow"],
    "rules_problems": ["r.toml: no"],
    "index": {
        "objects": 2, "links": 2, "tombstones": 1, "pending": {"write": 3}, "oldest_due_ns": {"write": 5},
        "documents": {"tabular": 1}, "failures": {"hdf5": 1}, "counters": {"records": 9},
        "cursors": [{"mdt": "x-MDT0000", "epoch": 1, "position": 40}], "bytes": 4096, "full": [],
    },
    "mdts": {
        "x-MDT0000": {
            "read_index": "50", "user": "cl1", "memory_share": "0.100", "mark": "30", "waiting": "",
            "streams": [
                {"epoch": 1, "committed": 40, "last_index": 50, "first_index": 41, "blocks": 2, "bytes": 4096}
            ],
            "committed_index": 40,
            "behind": 10,
            "losses": [
                {"epoch": 1, "first_index": 7, "last_index": 9, "time_ns": 3, "reason": "gap", "accepted": False}
            ],
        },
    },
    "dispatcher": {"alive_ns": str(NOW_NS), "records": "9", "extractors": "{}", "problems": "[]", "past": "{}"},
    "groups": {
        "audit": {
            "behind": {"x-MDT0000": 5}, "unacknowledged_blocks": 1, "consumers": 2,
            "lost": [{"mdt": "x-MDT0000", "epoch": 1, "first_index": 3, "last_index": 9, "time_ns": 4}],
        },
    },
    "history": {
        "updated_ns": 1, "bytes": 2, "most_bytes": 3, "oldest_ns": 4, "newest_ns": 5, "waiting": "no", "behind": 6,
    },
    "rq": {
        "queues": {"default": {"waiting": 1, "running": 0, "failed": 2}},
        "workers": [{"name": "w", "host": "n1", "state": "idle", "queues": ["default"]}],
        "damaged": 0,
    },
    "pools": {
        "lab": {
            "own": True, "trouble": "away", "looked_ns": 9, "waiting": 1, "running": 2, "failed": 3, "workers": 4,
            "refused": 5,
        },
    },
    "rates": {"records": 1.0, "results": 0.0, "jobs": 0.0, "job_files": 0.0, "links": 0.0, "seconds": 10.0},
    "extractors": {
        "tabular": {
            "version": "1", "suspended": None, "disabled": False, "failing": 0, "results": {"ok": 1},
            "files_per_second": 0.1, "failure_rate": 0.0, "p50_seconds": 0.1, "p95_seconds": None,
        },
    },
}  # fmt: skip


def test_the_json_of_a_status_is_an_interface() -> None:
    """Scripts find each key where it was, of the same type, with all that the processes publish."""
    assert json.dumps(status_of(WHOLE).json(), sort_keys=True) == json.dumps(WHOLE, sort_keys=True)
    assert list(status_of(WHOLE).json()) == list(WHOLE)


def test_what_could_not_be_asked_is_left_out_of_the_json() -> None:
    """A script sees from the missing key that a part did not answer."""
    assert json.loads(json.dumps(Status(time_ns=7).json())) == {
        "time_ns": 7, "problems": [], "rules_problems": [], "rates": None, "extractors": {}
    }  # fmt: skip


def test_an_indexer_that_is_gone_for_a_day_is_shown_no_more() -> None:
    """What waits for indexers is, also where none of them lives."""
    day = 86_400 * 10**9

    class Documents:
        """What indexers have told."""

        @staticmethod
        def indexers() -> dict[str, IndexerState]:
            """Return the states of one that is gone, and of one that is not."""
            return {"old": IndexerState(NOW_NS - day - 1), "new": IndexerState(NOW_NS - day + 1)}

        @staticmethod
        def waiting() -> dict[str, int]:
            """Return how many portions wait."""
            return {"": 2, "lab": 1}

    class Never(Documents):
        """There has never been an indexer."""

        @staticmethod
        def indexers() -> dict[str, IndexerState]:
            """Return nothing."""
            return {}

    class Quiet(Never):
        """Nor does anything wait."""

        @staticmethod
        def waiting() -> dict[str, int]:
            """Return nothing."""
            return {}

    never = of_indexers(cast("RedisDocuments", Never()), NOW_NS)
    assert never is not None
    assert never.waiting == 3
    assert of_indexers(cast("RedisDocuments", Quiet()), NOW_NS) is None
    documents = cast("RedisDocuments", Documents())
    found, later = of_indexers(documents, NOW_NS), of_indexers(documents, NOW_NS + day)
    assert found is not None
    assert later is not None
    assert ((found.waiting, *found.indexers), (later.waiting, *later.indexers)) == ((3, "new"), (3,))
