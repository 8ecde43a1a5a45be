"""The dispatcher: from records and results to names, work and documents. The index is real, the rest a fake."""

from __future__ import annotations

import itertools
import json
import logging
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lustre_events.changelog.fid import ROOT_FID
from lustre_events.changelog.record import ChangelogRecord, RecordType
from lustre_events.config.settings import DispatcherSettings
from lustre_events.dispatcher import Dispatcher
from lustre_events.dispatcher.jobs import STAT_FILES
from lustre_events.dispatcher.loop import LEAST_RECORDS, LEAST_ROWS
from lustre_events.domain.rules.rule_file import parse as parse_rules
from lustre_events.errors import IndexUnavailable, StreamUnavailable, UnknownExtractor
from lustre_events.index.interface import Identity
from lustre_events.jobs.messages import BUILTIN_QUEUE, HEAL, LONGEST_HINT, STAT, Job, JobItem, encode_job
from tests.support.index.places import IndexPlace
from tests.support.model.dispatcher import (
    CSV_RULES,
    FACTS,
    HDF5,
    MDT0,
    MDT1,
    TABULAR,
    MemoryQueue,
    Rig,
    answers,
    append,
    csv_rig,
    number,
)
from tests.support.records import builders as b
from tests.support.records.builders import START_NS, fid_of, raw
from tests.support.waiting import wait_for

MakeRig = Callable[..., Rig]


@pytest.fixture
def make(index_place: IndexPlace) -> Iterator[MakeRig]:
    """Build rigs with `*.csv` → tabular, or with the rules given, and close them."""
    made: list[Rig] = []

    def build(rules: str = CSV_RULES, **settings: object) -> Rig:
        made.append(
            Rig(
                index_place,
                rules=parse_rules(rules, "rules", ("tabular", "hdf5", STAT)),
                settings=DispatcherSettings(**settings),  # type: ignore[arg-type]
            )
        )
        return made[-1]

    yield build
    for rig in made:
        rig.close()


@pytest.fixture
def rig(make: MakeRig) -> Rig:
    return make()


def extractors(jobs: list[Job]) -> list[str]:
    return sorted(job.extractor for job in jobs)


def answer_all(rig: Rig) -> None:
    """Be the workers until nothing is left to do."""
    while jobs := rig.play():
        rig.answer(jobs)


# Work


def test_a_new_file_gets_facts_and_its_rules_work(rig: Rig) -> None:
    """A file created and closed gives one row for `stat` and one for each extractor of its rules, with its path."""
    jobs = rig.play(b.mkdir(fid=9, name=b"dir"), b.create(fid=1, parent=9, name=b"a.csv"), b.close(fid=1))
    items = {job.extractor: {item.fid: item.path for item in job.items} for job in jobs}
    assert items == {STAT: {fid_of(9): b"dir", fid_of(1): b"dir/a.csv"}, "tabular": {fid_of(1): b"dir/a.csv"}}


def test_good_results_become_facts_and_documents(rig: Rig) -> None:
    """`stat` fills the object's columns, an extractor its document, and nothing is left to do."""
    rig.answer(rig.play(b.create(name=b"a.csv")))
    assert rig.select("SELECT type, size, uid, nlink, jobid FROM object") == [("f", 10, 1000, 1, b"job.1000")]
    assert rig.select("SELECT extractor, body FROM document") == [("tabular", '{"rows":3}')]
    assert rig.pending() == set()


@pytest.mark.parametrize(
    "record",
    [b.open_(), b.close(write=False), b.record(RecordType.ATIME, 1), b.record(RecordType.GXATR, 1), b.mark()],
)
def test_reading_causes_no_work(rig: Rig, record: ChangelogRecord) -> None:
    """Reading a file, also by our own workers, never causes anything."""
    assert rig.play(record) == []
    assert rig.select("SELECT count(*) FROM object") == [0]


def test_unlink_after_create_leaves_nothing(rig: Rig) -> None:
    """A file created and removed within one batch causes no job and no object."""
    assert rig.play(b.create(name=b"a.csv"), b.close(), b.unlink(name=b"a.csv")) == []
    assert rig.select("SELECT count(*) FROM object") == [0]
    assert rig.pending() == set()


def test_unlink_before_it_is_due_deletes_the_row(make: MakeRig) -> None:
    """What is removed before its work is due is never worked on, also in a later batch."""
    rig = make(settle_seconds=10**7)
    rig.answer(rig.play(b.create(name=b"a.csv")))
    assert rig.pending() == {(fid_of(1), "tabular")}
    rig.play(b.unlink(name=b"a.csv"))
    assert rig.pending() == set()


@pytest.mark.parametrize(
    "record",
    [
        b.create(fid=3, parent=9, name=b"new"),
        b.unlink(fid=1, parent=9, name=b"a"),
        b.rename(fid=1, parent=9, name=b"a", to=b"c", to_parent=9),
        b.rename(fid=1, parent=9, name=b"a", to=b"a", to_parent=8),
        b.rename(fid=2, parent=8, name=b"b", to=b"b", to_parent=9),
        b.link(fid=2, parent=9, name=b"also"),
    ],
    ids=["create", "unlink", "rename", "away", "into", "link"],
)
def test_a_name_that_comes_or_goes_makes_the_facts_of_its_directory_due(rig: Rig, record: ChangelogRecord) -> None:
    """A directory has another time and link count then: `stat` looks again, also where a job has it already."""
    made = [b.mkdir(fid=9, name=b"d"), b.mkdir(fid=8, name=b"e"), b.create(fid=1, parent=9, name=b"a"),
            b.create(fid=2, parent=8, name=b"b")]  # fmt: skip
    jobs = rig.play(*made)
    assert fid_of(9) not in {item.fid for job in rig.play(record) for item in job.items}, "a job has it"
    rig.answer(jobs)

    rig.pass_seconds(1)
    assert fid_of(9) in {item.fid for job in rig.play() for item in job.items}


def test_the_last_unlink_removes_object_and_documents(rig: Rig) -> None:
    """With its last name an object goes with its documents and what is searched of them."""
    rig.answer(rig.play(b.create(name=b"a.csv")))
    rig.play(b.unlink(name=b"a.csv"))
    for table in ("object", "document", "number", "pending"):
        assert rig.select(f"SELECT count(*) FROM {table}") == [0]  # noqa: S608 - names from the line above
    assert rig.writer.counters()["removed"] == 1


def test_a_hard_link_keeps_the_object(rig: Rig) -> None:
    """A file with two names lives until both are gone, whatever the flag of the first removal says."""
    rig.answer(rig.play(b.create(name=b"a.csv"), b.link(name=b"b.csv")))
    jobs = rig.play(b.unlink(name=b"a.csv", last=True))
    assert rig.paths(1) == [[b"b.csv"]]
    assert rig.select("SELECT count(*) FROM document") == [1]
    assert extractors(jobs) == [STAT]  # its link count changed
    rig.play(b.unlink(name=b"b.csv"))
    assert rig.select("SELECT count(*) FROM object") == [0]


def test_an_overwritten_file_is_removed(rig: Rig) -> None:
    """RENME onto another file removes that file's object and documents, and the moved one keeps its own."""
    rig.answer(rig.play(b.create(fid=1, name=b"a.csv"), b.create(fid=2, name=b"b.csv")))
    rig.play(b.rename(fid=1, name=b"a.csv", to=b"b.csv", over=2))
    assert rig.paths(1, 2) == [[b"b.csv"], []]
    assert rig.select("SELECT fid FROM object") == [fid_of(1).pack()]
    assert rig.select("SELECT count(*) FROM document") == [1]


def test_a_lost_last_flag_is_made_good_by_stat(rig: Rig) -> None:
    """Old servers forget the flag: `stat` then finds the object gone, and as it has no name it is removed."""
    rig.answer(rig.play(b.create(name=b"a.csv")))
    jobs = rig.play(b.unlink(name=b"a.csv", last=False))
    assert rig.select("SELECT count(*) FROM object") == [1]
    rig.answer(jobs, "gone")
    for table in ("object", "document", "pending"):
        assert rig.select(f"SELECT count(*) FROM {table}") == [0]  # noqa: S608 - names from the line above


def test_a_directory_rename_is_one_row(rig: Rig) -> None:
    """After a directory's rename every path below it is new, and no file below it is worked on."""
    rig.answer(
        rig.play(b.mkdir(fid=9, name=b"old"), *(b.create(fid=n, parent=9, name=b"%d.csv" % n) for n in range(1, 6)))
    )
    before = rig.select("SELECT parent, name, fid FROM link WHERE fid IS NOT NULL")
    jobs = rig.play(b.rename(fid=9, name=b"old", to=b"new"))
    after = rig.select("SELECT parent, name, fid FROM link WHERE fid IS NOT NULL")
    assert len(set(before) ^ set(after)) == 2
    assert rig.paths(3) == [[b"new/3.csv"]]
    assert [[item.fid for item in job.items] for job in jobs] == [[fid_of(9)]]


def test_a_rename_asks_the_rules_again(rig: Rig) -> None:
    """A file written under a temporary name and renamed (as rsync does) is extracted under its new name."""
    rig.answer(rig.play(b.create(name=b".a.csv.Xy12")))
    assert rig.select("SELECT count(*) FROM document") == [0]
    assert extractors(rig.play(b.rename(name=b".a.csv.Xy12", to=b"a.csv"))) == [STAT, "tabular"]


def test_a_rename_of_an_extracted_file_is_not_extracted_again(rig: Rig) -> None:
    """A rename that leaves the content alone causes no second extraction; a change of content does."""
    answer_all_of = b.create(name=b"a.csv"), b.close()
    rig.answer(rig.play(*answer_all_of))
    jobs = rig.play(b.rename(name=b"a.csv", to=b"b.csv"), b.sattr())
    assert extractors(jobs) == [STAT]
    rig.answer(jobs)
    assert extractors(rig.play(b.close())) == [STAT, "tabular"]


def test_a_new_name_by_hard_link_asks_the_rules(rig: Rig) -> None:
    """A second name that matches a rule gives work as a new file does."""
    rig.answer(rig.play(b.create(name=b"a")))
    assert "tabular" in extractors(rig.play(b.link(name=b"a.csv")))


def test_attributes_alone_do_not_extract(rig: Rig) -> None:
    """SATTR and XATTR refresh the facts only, unless a rule asks for attributes."""
    rig.answer(rig.play(b.create(name=b"a.csv")))
    assert extractors(rig.play(b.sattr(), b.xattr())) == [STAT]


def test_a_rule_may_ask_for_attributes(make: MakeRig) -> None:
    """With events = ["attributes"] a change of attributes is work, also for a file that has its document."""
    rig = make(CSV_RULES + 'events = ["attributes", "content"]\n')
    rig.answer(rig.play(b.create(name=b"a.csv")))
    assert extractors(rig.play(b.xattr())) == [STAT, "tabular"]


def test_only_regular_files_are_extracted(rig: Rig) -> None:
    """Directories, links and devices have facts only, whatever their names."""
    jobs = rig.play(b.mkdir(fid=1, name=b"d.csv"), b.symlink(fid=2, name=b"l.csv"), b.mknod(fid=3, name=b"n.csv"))
    assert extractors(jobs) == [STAT]
    rig.answer(jobs, document={**FACTS, "type": "p"})
    assert rig.play() == []


def test_rules_wait_for_the_type(rig: Rig) -> None:
    """An object never heard of before (no scan yet) is extracted once `stat` says that it is a regular file."""
    jobs = rig.play(b.rename(fid=5, name=b"x", to=b"old.csv"))
    assert extractors(jobs) == [STAT]
    rig.answer(jobs)
    rig.pass_seconds(10)
    assert extractors(rig.play()) == ["tabular"]


def test_rules_wait_for_the_owner(make: MakeRig) -> None:
    """A rule with owners is asked when the owner is known."""
    rig = make(CSV_RULES + "owners = [1000]\n")
    jobs = rig.play(b.create(fid=1, name=b"a.csv"), b.create(fid=2, name=b"b.csv"))
    assert extractors(jobs) == [STAT]
    first, second = answers(jobs[0])
    second.document["uid"] = 7
    rig.results.put([first, second])
    rig.settle()
    assert rig.pending() == {(fid_of(1), "tabular")}


def test_a_file_whose_directory_is_unknown_is_extracted_by_its_name(rig: Rig) -> None:
    """Before a scan has named the directories above, rules on the name hold already; the path hint is empty."""
    jobs = rig.play(b.create(parent=77, name=b"a.csv"))
    assert [(item.fid, item.path) for job in jobs if job.extractor == "tabular" for item in job.items] == [
        (fid_of(1), b"")
    ]


def test_a_rule_for_stat_sets_its_queue(make: MakeRig) -> None:
    """A rule for the built-in extractor moves its work to another queue."""
    rig = make('[[rule]]\nextractor = "stat"\nqueue = "facts"\npriority = 9\n')
    assert rig.play(b.create()) == []
    assert extractors(rig.queue.take("facts")) == [STAT]


# Time


def fresh(rig: Rig, *records: ChangelogRecord) -> list[Job]:
    """Play records that happen now."""
    return rig.play(*(msgspec.structs.replace(record, time_ns=rig.now_ns) for record in records))


def test_work_waits_until_the_file_has_settled(rig: Rig) -> None:
    """A file is extracted `settle_seconds` after its last change, and every change moves that."""
    assert fresh(rig, b.create(name=b"a.csv")) == []
    rig.pass_seconds(1.5)
    assert extractors(fresh(rig, b.close())) == []
    rig.pass_seconds(1.5)
    assert extractors(rig.play()) == [STAT]
    rig.pass_seconds(0.6)
    assert extractors(rig.play()) == ["tabular"]


def test_a_file_that_never_rests_is_extracted_all_the_same(make: MakeRig) -> None:
    """After `settle_max_seconds` the file is extracted though it still changes."""
    rig = make(settle_seconds=2.0, settle_max_seconds=5.0)
    seconds = 0
    jobs = fresh(rig, b.create(name=b"a.csv"))
    while "tabular" not in extractors(jobs):
        rig.pass_seconds(1)
        seconds += 1
        jobs = fresh(rig, b.close())
    assert seconds == 5


def test_a_change_during_a_job_makes_the_file_due_again(rig: Rig) -> None:
    """The result of an older generation is written, and the file is extracted once more."""
    jobs = rig.play(b.create(name=b"a.csv"))
    assert extractors(rig.play(b.close())) == []
    rig.answer(jobs)
    assert rig.select("SELECT count(*) FROM document") == [1]
    rig.pass_seconds(3)
    again = rig.play()
    assert extractors(again) == [STAT, "tabular"]
    assert {item.generation for job in again for item in job.items} == {2}
    rig.answer(again)
    assert rig.pending() == set()


# Results


def test_failures_are_tried_again_later_alone_and_then_kept(rig: Rig) -> None:
    """A failed file is tried `attempts` times with growing waits in jobs of its own; then its failure is kept."""
    names = [b"%d.csv" % n for n in (1, 2, 3)]
    jobs = rig.play(*(b.create(fid=n, name=name) for n, name in enumerate(names, start=1)))
    (tabular,) = [job for job in jobs if job.extractor == "tabular"]
    rig.answer([job for job in jobs if job.extractor == STAT])
    rig.answer([tabular], "failed", error="b\0d", stderr="line 1")
    assert rig.play() == []
    assert rig.select("SELECT DISTINCT error, attempts FROM pending") == [("b d", 1)]
    rig.pass_seconds(10)
    again = rig.play()
    assert [len(job.items) for job in again] == [1, 1, 1]
    rig.answer(again, "failed", error="bad")
    rig.pass_seconds(10)
    assert rig.play() == []
    rig.pass_seconds(10)
    rig.answer(rig.play(), "failed", error="worse", stderr="line 9")
    assert rig.pending() == set()
    failures = rig.select("SELECT failure FROM document WHERE body IS NULL")
    assert len(failures) == 3
    assert all('"error":"worse"' in failure and '"attempts":3' in failure for failure in failures)


def test_a_final_failure_is_not_tried_again(rig: Rig) -> None:
    """What the program calls final is kept at once, with that word; a new content is tried as usual."""
    (job,) = [job for job in rig.play(b.create(name=b"a.csv")) if job.extractor == "tabular"]
    rig.answer([job], "failed", error="ValueError: no table", final=True)
    assert (fid_of(1), "tabular") not in rig.pending()
    (failure,) = rig.select("SELECT failure FROM document WHERE body IS NULL")
    assert '"attempts":1' in failure
    assert '"final":true' in failure
    assert "tabular" in {job.extractor for job in rig.play(b.close())}


def test_a_failure_of_old_content_costs_no_attempt(rig: Rig) -> None:
    """If the file changed while the job ran the failure says nothing about the present content."""
    (job,) = [job for job in rig.play(b.create(name=b"a.csv")) if job.extractor == "tabular"]
    rig.play(b.close())
    rig.answer([job], "failed", error="half a file")
    assert rig.select("SELECT attempts, job FROM pending WHERE extractor = 'tabular'") == [(0, None)]


def test_results_delivered_twice_count_once(rig: Rig) -> None:
    """The same result again changes neither documents nor attempts."""
    jobs = rig.play(b.create(fid=1, name=b"a.csv"), b.create(fid=2, name=b"b.csv"))
    rig.answer(jobs)
    stored = rig.select("SELECT * FROM document"), rig.select("SELECT * FROM object")
    rig.answer(jobs)
    assert (rig.select("SELECT * FROM document"), rig.select("SELECT * FROM object")) == stored
    jobs = [job for job in rig.play(b.close(fid=1)) if job.extractor == "tabular"]
    rig.answer(jobs, "failed", error="x")
    rig.answer(jobs, "failed", error="x")
    rig.results.put([*answers(jobs[0], "failed"), *answers(jobs[0], "failed")])
    rig.settle()
    assert rig.select("SELECT attempts FROM pending WHERE extractor = 'tabular'") == [1]


def test_an_older_result_does_not_win(rig: Rig) -> None:
    """A document of an older generation that comes late changes nothing."""
    first = rig.play(b.create(name=b"a.csv"))
    rig.answer(first)
    rig.answer(rig.play(b.close()), document={**FACTS, "rows": 99})
    rig.answer(first)
    (body,) = rig.select("SELECT body FROM document")
    assert '"rows":99' in body


def test_a_file_that_is_gone_is_normal(rig: Rig) -> None:
    """An extractor's file that is gone has no failure; without a name its work ends."""
    jobs = rig.play(b.create(name=b"a.csv"), b.unlink(name=b"a.csv", last=False))
    rig.answer(jobs, "gone")
    assert rig.pending() == set()
    assert rig.select("SELECT count(*) FROM document") == [0]


def test_a_file_renamed_under_a_worker_is_tried_again(rig: Rig) -> None:
    """A worker that finds nothing at its hint is no proof: while the index has a name the file is tried again."""
    jobs = rig.play(b.create(name=b"a.csv"))
    rig.play(b.rename(name=b"a.csv", to=b"b.csv"))
    rig.answer(jobs, "gone")
    rig.pass_seconds(10)
    again = rig.play()
    assert extractors(again) == [STAT, "tabular"]
    assert {item.path for job in again for item in job.items} == {b"b.csv"}
    rig.answer(again)
    assert rig.pending() == set()


@pytest.mark.parametrize("late", [STAT, "tabular"])
def test_a_file_that_moves_faster_than_it_is_looked_for_is_found_in_the_end(rig: Rig, late: str) -> None:
    """However often a worker comes too late for a file that has a name, its work is not given up."""
    jobs = rig.play(b.create(name=b"a.csv"))
    for tries in range(8):
        for job in jobs:
            if job.extractor == late:
                rig.answer([job], "gone")
            elif job.extractor not in {HEAL, late}:
                rig.answer([job])
        assert (fid_of(1), late) in rig.pending(), tries
        rig.pass_seconds(3600)
        jobs = rig.play()
    rig.answer([job for job in jobs if job.extractor == late])

    assert (fid_of(1), late) not in rig.pending()
    assert rig.select("SELECT type FROM object") == ["f"]
    assert any('"rows":' in body for body in rig.select("SELECT body FROM document") if body)


def test_results_for_removed_objects_are_dropped(rig: Rig) -> None:
    """A result that comes after its object was removed leaves no trace."""
    jobs = rig.play(b.create(name=b"a.csv"))
    rig.play(b.unlink(name=b"a.csv"))
    rig.answer(jobs)
    assert rig.select("SELECT count(*) FROM object") == [0]
    assert rig.select("SELECT count(*) FROM document") == [0]
    assert dropped(rig) == {"done": 2}


@pytest.mark.parametrize(
    "wrong",
    [
        {"extractor": "evil"},
        {"serial": 99},
        {"serial": -1},
        {"generation": 99},
        {"generation": 1 << 80},
        {"generation": -1},
    ],
)
def test_results_that_nobody_asked_for_are_dropped(rig: Rig, wrong: dict[str, object]) -> None:
    """Extractors, states, serials and generations that cannot be are refused, and nothing stops."""
    (job,) = [job for job in rig.play(b.create(name=b"a.csv")) if job.extractor == "tabular"]
    rig.results.put([msgspec.structs.replace(answers(job)[0], **wrong)])
    rig.settle()
    assert rig.select("SELECT count(*) FROM document") == [0]
    assert dropped(rig) == {"unasked": 1}
    assert rig.results.read(10) == []


def test_answers_that_are_dropped_are_counted_by_what_becomes_of_their_work(rig: Rig) -> None:
    """What comes twice was done before; what comes from a job that counted as lost is done again, and not lost."""
    jobs = rig.play(b.create(fid=1, name=b"a.csv"))
    for _ in range(2):
        rig.answer(each for each in jobs if each.extractor == STAT)
    assert dropped(rig) == {"done": 1}
    rig.pass_seconds(121)
    rig.settle()
    rig.answer(each for each in jobs if each.extractor == "tabular")
    assert dropped(rig) == {"done": 1, "again": 1}
    rig.pass_seconds(11)
    rig.answer(rig.play())
    assert rig.pending() == set()
    assert dropped(rig) == {"done": 1, "again": 1}


def dropped(rig: Rig) -> dict[str, int]:
    """Return how many results were dropped, by the reason; they are all of them."""
    counters = rig.writer.counters()
    found = {
        name.removeprefix("results_dropped_"): count
        for name, count in counters.items()
        if name.startswith("results_dropped_")
    }
    assert counters["results_dropped"] == sum(found.values())
    return found


@pytest.mark.parametrize(
    "facts",
    [{}, {**FACTS, "size": "big"}, {**FACTS, "type": "x"}, {**FACTS, "uid": None}],
)
def test_facts_that_are_none_are_a_failure(rig: Rig, facts: dict[str, object]) -> None:
    """A `stat` result without proper facts is tried again, and writes nothing."""
    rig.answer(rig.play(b.create()), document=facts)
    assert rig.select("SELECT size, facts_generation FROM object") == [(None, 0)]
    assert rig.select("SELECT attempts FROM pending") == [1]


def test_a_damaged_result_entry_is_acknowledged(rig: Rig) -> None:
    """An entry without results (it could not be understood) is counted, and does not come again."""
    rig.store.results["1-0"] = b'{"v":1,"results":[]}'
    rig.settle()
    assert rig.results.read(10) == []
    assert rig.writer.counters()["results_damaged"] == 1


def test_a_new_version_of_an_extractor_asks_again(rig: Rig) -> None:
    """A result of the version before is written, and the new version has its turn."""
    jobs = rig.play(b.create(name=b"a.csv"))
    rig.extractors = (Identity("tabular", "2", "sha256:9"), HDF5)
    rig.restart()
    rig.answer(jobs)
    assert rig.pending() == {(fid_of(1), "tabular")}
    rig.pass_seconds(10)
    (job,) = rig.play()
    assert job.serial == 2


def test_a_migration_takes_documents_along(rig: Rig) -> None:
    """After MIGRT the documents belong to the new FID, and the file is not extracted again."""
    rig.answer(rig.play(b.create(fid=1, name=b"a.csv")))
    root = ROOT_FID
    jobs = rig.play(
        b.record(
            RecordType.MIGRT, 2, root, b"a.csv", 0x2000, source=fid_of(1), source_parent=root, source_name=b"a.csv"
        )
    )
    assert extractors(jobs) == [STAT]
    assert rig.paths(1, 2) == [[], [b"a.csv"]]
    assert rig.select("SELECT o.fid, d.extractor FROM document d JOIN object o ON o.id = d.object") == [
        (fid_of(2).pack(), "tabular")
    ]


# Jobs


def test_jobs_are_batches_of_one_extractor_and_one_owner(make: MakeRig) -> None:
    """Files go out in batches up to `job_files`, of one owner each; `stat` in large ones of any owner."""
    rig = make(job_files=3)
    fresh(rig, *(b.create(fid=n, name=b"%d.csv" % n) for n in range(1, 9)))
    rig.pass_seconds(0.5)
    (stat,) = rig.play()
    results = answers(stat)
    for result, uid in zip(results, [1, 2] * 4, strict=True):
        result.document["uid"] = uid
    rig.results.put(results)
    rig.pass_seconds(10)
    jobs = rig.play()
    assert sorted((job.owner, len(job.items)) for job in jobs) == [(1, 1), (1, 3), (2, 1), (2, 3)]
    assert stat.owner == -1


def test_jobs_are_bounded_by_the_bytes_of_their_paths(rig: Rig) -> None:
    """Files with paths of 16 KB go out in several jobs, each of a bearable size; none is left out."""
    deep = [b.mkdir(fid=2000 + n, parent=2000 + n - 1 if n else ROOT_FID, name=b"\xff" * 250) for n in range(60)]
    rig.answer(rig.play(*deep))
    jobs = rig.play(*(b.create(fid=n, parent=2059, name=b"%d.dat" % n) for n in range(1, 201)))
    sizes = [len(json.dumps(encode_job(job))) for job in jobs if job.extractor == STAT]
    assert len(sizes) > 2
    assert max(sizes) < 4 << 20
    assert {item.fid for job in jobs for item in job.items} == {fid_of(n) for n in range(1, 201)}
    endless = msgspec.structs.replace(jobs[0], items=(JobItem(fid_of(1), 1, b"x" * LONGEST_HINT + b"x"),))
    assert len(json.dumps(encode_job(endless))) < 1000


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Rig]:
    """A rig where everything takes a second, so that each part is as small as may be, in its own transaction."""
    bounded = (Identity("tabular", "1", "", most_jobs=1), Identity("hdf5", "1", ""))
    made = csv_rig(tmp_path / "slow.db", timer=itertools.count().__next__, extractors=bounded)
    yield made
    made.close()


def test_jobs_are_full_where_rows_are_looked_at_in_small_parts(slow: Rig) -> None:
    """However few rows one transaction takes, jobs wait for those that may follow in the next one."""
    slow.feed(*number((b.create(fid=n, name=b"%d.dat" % n) for n in range(1, 2 * STAT_FILES + 51)), 0))
    slow.dispatcher.step()
    assert [len(job.items) for job in slow.queue.take()] == [STAT_FILES, STAT_FILES, 50]
    assert slow.writer.counters()["job_files"] == 2 * STAT_FILES + 50


def test_parts_grow_while_they_are_quick(tmp_path: Path) -> None:
    """Records, and rows that are due, are taken in ever larger parts as long as time allows."""
    rig = csv_rig(tmp_path / "index.db")
    records = 5 * LEAST_RECORDS
    said: list[str] = []
    rig.writer._connection.set_trace_callback(said.append)
    rig.feed(*number((b.create(fid=n, name=b"%d.dat" % n) for n in range(1, records + 1)), 0))
    rig.dispatcher.step()
    moved = sum(each.startswith("UPDATE cursor SET position") for each in said)
    looked = sum("FROM pending WHERE queue = 'builtin'" in each and "extractor = 'stat'" in each for each in said)
    assert 1 < moved < records // LEAST_RECORDS
    assert 1 < looked < records // LEAST_ROWS
    rig.close()


def test_rows_that_wait_do_not_hide_the_others(slow: Rig) -> None:
    """An extractor that has as many jobs as it may leaves its rows where they are; those behind them go out."""
    tables = 5 * LEAST_ROWS
    slow.feed(*number((b.create(fid=n, name=b"%d.csv" % n) for n in range(1, tables + 1)), 0))
    slow.dispatcher.step()
    slow.queue.take()
    slow.pass_seconds(10)
    slow.feed(*number([b.create(fid=tables + 1, name=b"last")], tables))
    slow.dispatcher.step()
    jobs = slow.queue.take()
    assert sorted((job.extractor, len(job.items)) for job in jobs) == [(STAT, 1), ("tabular", 64)]


def test_lost_jobs_are_found_in_small_parts(slow: Rig) -> None:
    """All files of lost jobs are tried again, each counted once, though one transaction looks at some only."""
    files = 3 * LEAST_ROWS + 7
    slow.feed(*number((b.create(fid=n, name=b"%d.dat" % n) for n in range(1, files + 1)), 0))
    slow.settle()
    slow.queue.take()
    slow.pass_seconds(121)
    slow.dispatcher.step()
    slow.dispatcher.step()
    assert slow.writer.counters()["files_of_lost_jobs"] == files
    slow.pass_seconds(30)
    again = slow.play()
    assert {len(job.items) for job in again} == {1}


def test_the_greatest_priority_goes_first(make: MakeRig) -> None:
    """Where a queue has room for one job only it is the most urgent one."""
    rig = make(
        '[[rule]]\nextractor = "tabular"\nextensions = ["csv"]\npriority = -1\n'
        '[[rule]]\nextractor = "hdf5"\nextensions = ["h5"]\npriority = 7\n',
        queue_jobs=1,
    )
    order = []
    jobs = rig.play(b.create(fid=1, name=b"a.csv"), b.create(fid=2, name=b"b.h5"))
    while jobs:
        order += extractors(jobs)
        jobs = rig.play()
    assert order == ["hdf5", STAT, "tabular"]


def test_a_full_queue_leaves_rows_pending_and_reading_goes_on(make: MakeRig) -> None:
    """A queue is never longer than `queue_jobs`; the rest stays pending, and records are taken all the same."""
    rig = make(queue_jobs=2, job_files=1)
    rig.feed(*number((b.create(fid=n, name=b"%d.csv" % n) for n in range(1, 8)), 0))
    rig.settle()
    assert rig.queue.length("default") == 2
    rig.feed(*number([b.mkdir(fid=9, name=b"d")], 7))
    rig.settle()
    assert rig.paths(9) == [[b"d"]]
    assert rig.queue.length("default") == 2
    done = 0
    while jobs := rig.play():
        assert len(jobs) <= 2 * 2
        done += sum(len(job.items) for job in jobs)
    assert done == 7 + 8


def test_a_suspended_extractor_waits(rig: Rig) -> None:
    """Rows of a suspended extractor stay pending."""
    rig.select("UPDATE extractor SET suspended = 'too many failures' WHERE name = 'tabular'")
    rig.restart()
    assert extractors(rig.play(b.create(name=b"a.csv"))) == [STAT]
    assert (fid_of(1), "tabular") in rig.pending()


def test_small_batches_wait_while_the_queue_is_busy(rig: Rig) -> None:
    """While jobs wait anyway a batch that is not full waits a little for more files."""
    rig.play(b.create(fid=1))
    rig.queue.enqueue(BUILTIN_QUEUE, [Job("other", STAT, 1, -1, ())])
    fresh(rig, b.create(fid=2, name=b"b"))
    rig.queue.enqueue(BUILTIN_QUEUE, [Job("other", STAT, 1, -1, ())])
    rig.pass_seconds(0.3)
    rig.settle()
    assert rig.queue.length(BUILTIN_QUEUE) == 1
    rig.pass_seconds(0.5)
    rig.settle()
    assert rig.queue.length(BUILTIN_QUEUE) == 2


@pytest.mark.long
def test_jobs_grow_while_workers_are_slow(rig: Rig) -> None:
    """A pool that takes a job in ten seconds gets few and large ones, every file once, and no result is dropped."""
    sizes: dict[str, list[int]] = {STAT: [], "tabular": []}
    longest = 0
    for second in range(1, 121):
        rig.feed(b.create(index=second, fid=second, name=b"%d.csv" % second, time_ns=rig.now_ns))
        rig.pass_seconds(1)
        rig.settle()
        longest = max(longest, *(rig.queue.length(queue) for queue in ("default", BUILTIN_QUEUE)))
        if second % 10 == 0:
            for queue in ("default", BUILTIN_QUEUE):
                job = rig.queue.jobs[queue].pop(0)
                sizes[job.extractor].append(len(job.items))
                rig.answer([job])
    assert longest <= 2
    assert all(sum(each[2:]) / len(each[2:]) >= 9 for each in sizes.values())

    while jobs := rig.play():
        rig.answer(jobs)
        rig.pass_seconds(10)
    counters = rig.writer.counters()
    assert rig.pending() == set()
    assert (counters["job_files"], counters["results"]) == (240, 240)
    assert "results_dropped" not in counters


def test_a_question_that_waits_keeps_its_rows_and_is_asked_again(rig: Rig) -> None:
    """What is doubted while a job has it is answered by that job, then asked once more: no second job, no loss."""
    rig.answer(rig.play(b.create(fid=1, name=b"a.dat")), elsewhere=True)
    for _ in range(3):
        rig.pass_seconds(30)
        rig.settle()
        assert len(rig.queue.jobs[BUILTIN_QUEUE]) == 1
        rig.feed(*number([b.sattr(fid=1)], rig.store.tail(MDT0).last_index))
        rig.pass_seconds(30)
        rig.settle()
        rig.answer(rig.queue.take(BUILTIN_QUEUE, STAT), elsewhere=True)
    (asked,) = rig.queue.take(BUILTIN_QUEUE, HEAL)
    rig.answer([asked], document={"names": [(str(ROOT_FID), "a.dat")], "whole": True})
    assert "results_dropped" not in rig.writer.counters()

    rig.pass_seconds(60)
    rig.settle()
    (again,) = rig.queue.take(BUILTIN_QUEUE, HEAL)
    rig.answer([again], document={"names": [(str(ROOT_FID), "a.dat")], "whole": True})
    assert rig.pending() == set()


def test_the_queue_of_what_is_built_in_is_its_own(rig: Rig) -> None:
    """What is built in waits for no container; rows of a version that had one queue go on in theirs."""
    rig.play(b.create(fid=1, name=b"a.csv"))
    rig.feed(*number([b.create(fid=2, name=b"b.csv")], 1))
    rig.settle()
    assert {queue: extractors(jobs) for queue, jobs in rig.queue.jobs.items() if jobs} == {
        BUILTIN_QUEUE: [STAT], "default": ["tabular"],
    }  # fmt: skip
    rig.queue.take()
    rig.select("UPDATE pending SET queue = 'default', job = NULL, due_ns = 0")
    rig.settle()
    rig.settle()
    assert sorted(extractors(rig.queue.take("default"))) == [STAT, "tabular"]


def test_a_lost_job_is_given_out_again(rig: Rig) -> None:
    """When a lease ends and the queue does not know the job any more its files are tried again, each alone."""
    jobs = rig.play(b.create(fid=1, name=b"a.csv"), b.create(fid=2, name=b"b.csv"))
    assert rig.play() == []
    rig.pass_seconds(121)
    rig.settle()
    assert rig.writer.counters()["files_of_lost_jobs"] == 4
    rig.pass_seconds(11)
    again = rig.play()
    assert [len(job.items) for job in again] == [1] * 4
    assert not {job.id for job in again} & {job.id for job in jobs}
    rig.answer(again)
    assert rig.pending() == set()


def test_a_worker_that_is_lost_while_redis_is_full_costs_no_attempt(make: MakeRig) -> None:
    """However often that is: its files are tried again ten minutes later, with all their attempts."""
    rig = make(attempts=2)
    rig.play(b.create(fid=1, name=b"a.csv"), b.create(fid=2, name=b"b.csv"))
    for _ in range(3):
        rig.queue.full_ns = rig.now_ns
        rig.pass_seconds(121)
        rig.settle()
        assert rig.select("SELECT attempts FROM pending") == [0] * 4
        rig.pass_seconds(599)
        assert rig.play() == []
        rig.pass_seconds(2)
        assert [len(job.items) for job in rig.play()] == [2, 2]
    assert rig.writer.counters()["files_of_lost_jobs"] == 12

    rig.pass_seconds(121)
    rig.settle()
    assert rig.select("SELECT attempts FROM pending") == [1] * 4


def test_a_job_that_ends_during_a_step_is_not_lost(rig: Rig) -> None:
    """What a job has put behind the results of a step counts, though the job is gone when that step asks for it."""
    rig.queue = ending = EndingQueue()
    rig.restart()
    jobs = rig.play(b.create(name=b"a.csv"))
    rig.pass_seconds(121)
    ending.meanwhile = lambda: [rig.results.put(answers(job)) for job in jobs]

    rig.settle()

    assert rig.writer.counters().get("files_of_lost_jobs", 0) == 0
    assert rig.pending() == set()


class EndingQueue(MemoryQueue):
    """A queue whose jobs end, with results, just before somebody asks for those that run."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] = list

    def unfinished(self, job_ids: Collection[str]) -> set[str]:
        """See `dispatcher.JobQueue`."""
        self.meanwhile()
        self.meanwhile = list
        return super().unfinished(job_ids)


def test_a_file_that_ends_every_worker_is_given_up(make: MakeRig) -> None:
    """A file whose jobs are always lost is not tried for ever, and its failure says why."""
    rig = make(attempts=2)
    rig.answer([job for job in rig.play(b.create(name=b"a.csv")) if job.extractor == STAT])
    for _ in range(2):
        rig.pass_seconds(200)
        rig.play()
    rig.pass_seconds(200)
    rig.play()
    assert rig.pending() == set()
    (failure,) = rig.select("SELECT failure FROM document")
    assert "the worker was lost" in failure


def test_the_lease_of_a_job_that_still_waits_is_prolonged(rig: Rig) -> None:
    """A job that waits in a long queue or runs for long is not given out twice."""
    rig.feed(*number([b.create(name=b"a.csv")], 0))
    rig.settle()
    rig.pass_seconds(121)
    rig.settle()
    assert rig.queue.waiting == 2
    jobs = rig.queue.take()
    rig.queue.running = {job.id for job in jobs}
    rig.pass_seconds(121)
    assert rig.play() == []
    rig.answer(jobs)
    assert rig.pending() == set()


# Streams


def test_older_epochs_are_drained_first(rig: Rig) -> None:
    """Records of an older epoch come first; when it is drained it is dropped, and the newer one is read."""
    rename = b.rename(fid=1, name=b"a", to=b"b", index=1, time_ns=START_NS + 9 * 10**9)
    append(rig.store, MDT0, raw(b.create(fid=1, name=b"a", index=5)), 5, 5, 1, epoch=1)
    append(rig.store, MDT0, raw(rename), 1, 1, 1, epoch=2)
    assert rig.dispatcher.step()
    assert rig.paths(1) == [[b"a"]]
    rig.settle()
    assert rig.paths(1) == [[b"b"]]
    assert rig.streams.epochs(MDT0) == [2]
    assert set(rig.writer.cursors()) == {(MDT0, 1), (MDT0, 2)}


def test_records_read_again_under_a_new_epoch_change_nothing(rig: Rig) -> None:
    """After a loss of Redis the same records come under a new epoch: the names stay as they are."""
    history = number(
        [b.create(name=b"a"), b.rename(name=b"a", to=b"b"), b.create(fid=2, name=b"a"), b.unlink(fid=2, name=b"a")],
        0,
    )
    rig.feed(*history, epoch=1)
    rig.settle()
    before = rig.paths(1, 2)
    rig.feed(*history, epoch=2)
    rig.settle()
    assert rig.paths(1, 2) == before == [[b"b"], []]


def test_blocks_are_acknowledged_when_they_are_committed(rig: Rig) -> None:
    """The stream is told the position, and forgets the blocks."""
    rig.play(b.create(), b.close())
    assert rig.store.committed == {(MDT0, 1): 2}
    assert rig.store.streams[MDT0, 1].blocks == []


def test_a_torn_block_does_not_stop_the_rest(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Records before the damage and all later blocks count; what was skipped is counted and in the log."""
    records = number([b.create(fid=1, name=b"a"), b.create(fid=2, name=b"b")], 0)
    with caplog.at_level(logging.ERROR):
        append(rig.store, MDT0, raw(*records)[:-3], 1, 2, 2)
        append(rig.store, MDT0, raw(*number([b.create(fid=3, name=b"c")], 2)), 3, 3, 1)
        rig.settle()
    assert rig.paths(1, 2, 3) == [[b"a"], [], [b"c"]]
    assert rig.writer.counters()["damaged"] == 1
    assert "cannot be read and are skipped" in caplog.text


def test_what_is_no_mdt_s_is_left_alone(rig: Rig) -> None:
    """A stream whose name cannot be ordered is not read, and holds up none of the others."""
    append(rig.store, "lustre", raw(b.create(fid=9, name=b"z")), 1, 1, 1)
    rig.play(b.create(fid=1, name=b"a"))
    assert rig.paths(1, 9) == [[b"a"], []]
    assert set(rig.writer.cursors()) == {(MDT0, 1)}


def test_several_mdts_in_one_step(rig: Rig) -> None:
    """Records of all MDTs go into one transaction, and each has its cursor."""
    rig.feed(b.mkdir(fid=9, name=b"d"), mdt=MDT0)
    rig.feed(b.create(fid=1, parent=9, name=b"a"), mdt=MDT1)
    assert rig.dispatcher.step()
    assert rig.paths(1) == [[b"d/a"]]
    assert {place: cursor.position for place, cursor in rig.writer.cursors().items()} == {
        (MDT0, 1): 1,
        (MDT1, 1): 1,
    }


def test_the_counters_add_up_and_are_published(rig: Rig) -> None:
    """`status` can show that nothing was left out: the sums are published and survive a restart."""
    rig.answer(rig.play(b.create(name=b"a.csv"), b.open_(), b.sattr(), b.record(77, 1)))
    rig.restart()
    rig.answer(rig.play(b.close()))
    rig.pass_seconds(2)
    rig.dispatcher.step()
    counters = rig.writer.counters()
    assert (
        counters["records"]
        == 5
        == counters["named"] + counters["changed"] + counters["ignored"] + counters["unknown"]
    )
    assert counters["results"] == 4 == counters["results_ok"]
    assert counters["job_files"] == 4
    published = rig.streams.state()
    assert {name: int(published[name]) for name in counters} == counters
    assert int(published["alive_ns"]) == rig.now_ns


def test_a_rule_for_a_missing_extractor_is_refused(rig: Rig) -> None:
    """A dispatcher does not begin with rules that name what is not installed."""
    rig.extractors = (HDF5,)
    with pytest.raises(UnknownExtractor, match="'tabular', which is not installed"):
        rig.restart()
    rig.extractors = (TABULAR, HDF5)


# The loop


def running(dispatcher: Dispatcher) -> threading.Thread:
    thread = threading.Thread(target=dispatcher.run)
    thread.start()
    return thread


def test_run_takes_what_comes_until_it_is_stopped(tmp_path: Path) -> None:
    """`run` takes records and results as they come, and returns after `stop`."""
    rig = csv_rig(tmp_path / "index.db", settings=DispatcherSettings(idle_ms=10))
    thread = running(rig.dispatcher)
    try:
        rig.feed(*number([b.create(name=b"a.csv")], 0))
        wait_for(lambda: rig.queue.waiting == 2)
        for job in rig.queue.take():
            rig.results.put(answers(job))
        wait_for(lambda: not rig.store.results)
    finally:
        rig.dispatcher.stop()
        thread.join(10)
    assert not thread.is_alive()
    # No record names the root, but its mode decides who sees anything: it is asked for at the start.
    assert rig.pending() == {(ROOT_FID, "stat")}
    rig.close()


def test_run_outlives_a_silent_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While Redis does not answer `run` tries again, and goes on when it does."""
    monkeypatch.setattr("lustre_events.dispatcher.loop.RETRY_WAIT_SECONDS", 0.01)
    rig = csv_rig(tmp_path / "index.db", settings=DispatcherSettings(idle_ms=10))
    rig.feed(*number([b.create(name=b"a.csv")], 0))
    rig.store.unavailable = True
    with pytest.raises(StreamUnavailable):
        rig.dispatcher.step()
    thread = running(rig.dispatcher)
    try:
        rig.store.unavailable = False
        wait_for(lambda: rig.queue.waiting == 2)
    finally:
        rig.dispatcher.stop()
        thread.join(10)
    assert rig.store.committed == {(MDT0, 1): 1}
    rig.close()


def test_what_stops_it_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the index cannot be written the reason stands where status and doctor look; then it is gone."""
    monkeypatch.setattr("lustre_events.dispatcher.loop.RETRY_WAIT_SECONDS", 0.01)
    rig = csv_rig(tmp_path / "index.db", settings=DispatcherSettings(idle_ms=10))
    writable = threading.Event()
    transaction = rig.writer.transaction

    def full() -> AbstractContextManager[Any]:
        if not writable.is_set():
            raise IndexUnavailable("index.db: the disk is full; make room")
        return transaction()

    monkeypatch.setattr(rig.writer, "transaction", full)
    rig.feed(*number([b.create(name=b"a.csv")], 0))
    thread = running(rig.dispatcher)
    try:
        wait_for(lambda: "the disk is full" in str(rig.streams.state().get("trouble")))
        writable.set()
        wait_for(lambda: rig.streams.state().get("trouble") == "")
    finally:
        rig.dispatcher.stop()
        thread.join(10)
    assert rig.store.committed == {(MDT0, 1): 1}
    rig.close()


def test_a_document_of_older_content_goes_where_no_rule_makes_it_anew(rig: Rig) -> None:
    """x.csv becomes x.txt and is written: its columns go; b.csv keeps its own until the new ones come."""
    rig.answer(rig.play(b.create(fid=1, name=b"x.csv"), b.create(fid=2, name=b"b.csv")))
    assert rig.select("SELECT count(*) FROM document WHERE body IS NOT NULL") == [2]

    rig.answer(rig.play(b.rename(fid=1, name=b"x.csv", to=b"x.txt")))
    assert rig.select("SELECT count(*) FROM document WHERE body IS NOT NULL") == [2], "the content is the same"

    jobs = rig.play(b.close(fid=1), b.close(fid=2))
    rig.answer(job for job in jobs if job.extractor == STAT)
    held = rig.select("SELECT fid FROM object JOIN document ON object = object.id WHERE body IS NOT NULL")
    assert [bytes(fid) for fid in held] == [fid_of(2).pack()]
