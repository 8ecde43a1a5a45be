"""Owners take turns in a queue: one who has very many files keeps nobody else's waiting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from lustre_events.config.settings import DispatcherSettings
from lustre_events.dispatcher.loop import LEAST_ROWS
from lustre_events.domain.rules.rule_file import parse as parse_rules
from lustre_events.jobs.messages import BUILTIN_QUEUE, STAT
from tests.support.index.places import IndexPlace
from tests.support.model.dispatcher import CSV_RULES, MDT0, Rig, answers, number
from tests.support.records import builders as b
from tests.support.records.builders import fid_of

MANY = 2 * LEAST_ROWS
PLACES = 8


@pytest.fixture
def rig(index_place: IndexPlace) -> Iterator[Rig]:
    made = Rig(
        index_place,
        rules=parse_rules(CSV_RULES, "rules", ("tabular", STAT)),
        settings=DispatcherSettings(queue_jobs=PLACES, job_files=4),
    )
    yield made
    made.close()


def make_files(rig: Rig, uid: int, first: int, count: int) -> None:
    """Let an owner make tables; `stat` sees whose they are before they have settled."""
    records = (b.create(fid=n, name=b"%d.csv" % n, time_ns=rig.now_ns) for n in range(first, first + count))
    rig.feed(*number(records, rig.store.tail(MDT0).last_index))
    rig.settle()
    rig.pass_seconds(0.6)
    rig.settle()
    while jobs := rig.queue.take(BUILTIN_QUEUE):
        results = [result for job in jobs for result in answers(job)]
        for result in results:
            result.document["uid"] = uid
        rig.results.put(results)
        rig.settle()
    rig.pass_seconds(10)
    rig.settle()


def owners(rig: Rig) -> Counter[int]:
    """Count the jobs that wait in the queue, by owner."""
    return Counter(job.owner for job in rig.queue.jobs["default"])


def test_very_many_files_of_one_owner_keep_nobody_waiting(rig: Rig) -> None:
    """A few files behind very many of another go out at once; in a full queue the next place is theirs."""
    make_files(rig, 1, 1, MANY)
    assert owners(rig) == {1: PLACES // 2}
    make_files(rig, 2, MANY + 1, MANY)
    assert owners(rig) == {1: PLACES // 2, 2: PLACES // 2}

    few = 2 * MANY + 1
    make_files(rig, 3, few, 3)
    assert owners(rig) == {1: PLACES // 2, 2: PLACES // 2}
    rig.queue.jobs["default"].pop(0)
    rig.settle()
    assert owners(rig) == {1: PLACES // 2 - 1, 2: PLACES // 2, 3: 1}
    assert [item.fid for item in rig.queue.jobs["default"][-1].items] == [fid_of(few + n) for n in range(3)]


@pytest.mark.long
def test_what_one_owner_cannot_take_is_for_others(rig: Rig) -> None:
    """All files of all owners go out in the end, each once, and no look goes on behind an owner's share."""
    make_files(rig, 1, 1, MANY)
    make_files(rig, 2, MANY + 1, 5)
    done: Counter[object] = Counter()
    first: list[int] = []
    while jobs := rig.queue.take():
        first += [job.owner for job in jobs]
        done.update(item.fid for job in jobs for item in job.items)
        rig.answer(jobs)
        rig.pass_seconds(1)
        rig.settle()
    assert done == {fid_of(n): 1 for n in range(1, MANY + 6)}
    assert 2 in first[: 2 * PLACES]
